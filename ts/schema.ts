/** Standard Schema v1 (zod, valibot, arktype, …) on a sub-agent's input. Only the interface is known here, no library. */
import { MasterAgentError } from "./errors";

/** A schema of any library that follows Standard Schema v1 (https://standardschema.dev). */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardSchemaResult<Output> | Promise<StandardSchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What a schema answers: the value, or what is wrong with it. */
export type StandardSchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardSchemaIssue[] };

/** One thing that is wrong with a value. */
export interface StandardSchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Whether `value` is a schema that can be called. */
export function isStandardSchema(value: unknown): value is StandardSchema {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) {
    return false;
  }
  const standard = (value as Partial<StandardSchema>)["~standard"];
  return typeof standard === "object" && standard !== null && typeof standard.validate === "function";
}

/**
 * The value that the schema makes of `value`. Throws, or rejects with, `ERR_INPUT_SCHEMA`, which lists every issue with its path.
 */
export function checkSchema(schema: StandardSchema, value: unknown, agentType: string): unknown {
  let answer: StandardSchemaResult<unknown> | Promise<StandardSchemaResult<unknown>>;
  try {
    answer = schema["~standard"].validate(value);
  } catch (cause) {
    throw brokenSchema(agentType, cause);
  }
  if (typeof (answer as Partial<PromiseLike<unknown>> | null)?.then === "function") {
    return Promise.resolve(answer).then(
      (result) => unwrap(result, agentType),
      (cause) => {
        throw brokenSchema(agentType, cause);
      },
    );
  }
  return unwrap(answer as StandardSchemaResult<unknown>, agentType);
}

function unwrap(result: StandardSchemaResult<unknown>, agentType: string): unknown {
  if (typeof result !== "object" || result === null) {
    throw brokenSchema(agentType, undefined);
  }
  if (result.issues === undefined) {
    return result.value;
  }
  const issues = [...result.issues].map((issue) => ({ path: pathOf(issue), message: String(issue.message) }));
  const shown = issues.slice(0, 5).map((issue) => `${issue.path}: ${issue.message}`);
  const rest = issues.length > shown.length ? ` (and ${issues.length - shown.length} more)` : "";
  throw new MasterAgentError(
    "ERR_INPUT_SCHEMA",
    `The input does not fit the inputSchema of sub-agent ${JSON.stringify(agentType)}: ${shown.join("; ")}${rest}`,
    { details: { agentType, issues } },
  );
}

function brokenSchema(agentType: string, cause: unknown): MasterAgentError {
  return new MasterAgentError(
    "ERR_INPUT_SCHEMA",
    `The inputSchema of sub-agent ${JSON.stringify(agentType)} failed instead of answering; see cause`,
    { cause, details: { agentType } },
  );
}

function pathOf(issue: StandardSchemaIssue): string {
  let path = "input";
  for (const part of issue.path ?? []) {
    const key = typeof part === "object" ? part.key : part;
    path += typeof key === "number" ? `[${key}]` : `.${String(key)}`;
  }
  return path;
}
