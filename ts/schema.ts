/** Standard Schema v1 (zod, valibot, arktype, …) on inputs of sub-agents and metadata of documents. Only the interface is known here, no library. */
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

/** What is checked, for messages. */
export interface SchemaUse {
  /** What the value is called, and its path begins with: `input`, `documents[3].metadata`. */
  readonly subject: string;
  /** What the schema is called. */
  readonly schema: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/**
 * The value that the schema makes of `value`. Throws, or rejects with, `ERR_INPUT_SCHEMA`, which lists every issue with its path.
 * A text in the place of `use` is an agent type, whose input is checked.
 */
export function checkSchema(schema: StandardSchema, value: unknown, use: string | SchemaUse): unknown {
  if (typeof use === "string") {
    const named = `the inputSchema of sub-agent ${JSON.stringify(use)}`;
    use = { subject: "input", schema: named, details: { agentType: use } };
  }
  const checked = use;
  let answer: StandardSchemaResult<unknown> | Promise<StandardSchemaResult<unknown>>;
  try {
    answer = schema["~standard"].validate(value);
  } catch (cause) {
    throw brokenSchema(checked, cause);
  }
  if (typeof (answer as Partial<PromiseLike<unknown>> | null)?.then === "function") {
    return Promise.resolve(answer).then(
      (result) => unwrap(result, checked),
      (cause) => {
        throw brokenSchema(checked, cause);
      },
    );
  }
  return unwrap(answer as StandardSchemaResult<unknown>, checked);
}

function unwrap(result: StandardSchemaResult<unknown>, use: SchemaUse): unknown {
  if (typeof result !== "object" || result === null) {
    throw brokenSchema(use, undefined);
  }
  if (result.issues === undefined) {
    return result.value;
  }
  const issues = [...result.issues].map((issue) => ({ path: pathOf(use.subject, issue), message: String(issue.message) }));
  const shown = issues.slice(0, 5).map((issue) => `${issue.path}: ${issue.message}`);
  const rest = issues.length > shown.length ? ` (and ${issues.length - shown.length} more)` : "";
  throw new MasterAgentError(
    "ERR_INPUT_SCHEMA",
    `${use.subject === "input" ? "The input" : use.subject} does not fit ${use.schema}: ${shown.join("; ")}${rest}`,
    { details: { ...use.details, issues } },
  );
}

function brokenSchema(use: SchemaUse, cause: unknown): MasterAgentError {
  const name = `${use.schema[0]?.toUpperCase()}${use.schema.slice(1)}`;
  return new MasterAgentError("ERR_INPUT_SCHEMA", `${name} failed instead of answering; see cause`, {
    cause,
    details: use.details,
  });
}

function pathOf(subject: string, issue: StandardSchemaIssue): string {
  let path = subject;
  for (const part of issue.path ?? []) {
    const key = typeof part === "object" ? part.key : part;
    path += typeof key === "number" ? `[${key}]` : `.${String(key)}`;
  }
  return path;
}
