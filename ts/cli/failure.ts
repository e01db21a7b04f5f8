/** How a command's failure is told. */
import { manyLines, paint, printError } from "./terminal";

/** Says what failed: one line with the code, as JSON, or with stacks and causes. */
export function report(error: unknown, { json, verbose }: { json: boolean; verbose: boolean }): void {
  const { message, code, retryable, details } = described(error);
  if (json) {
    printError(JSON.stringify({ error: { code, message, retryable, details } }));
    return;
  }
  printError(`${paint("red", "error", process.stderr)} ${manyLines(message)}${code === null ? "" : ` (${code})`}`);
  if (verbose) {
    printError(manyLines(stacks(error)));
  }
}

interface Described {
  message: string;
  code: string | null;
  retryable: boolean;
  details: unknown;
}

/** The error as data, with the fields of every error. */
export function described(error: unknown): Described {
  const { message, code, retryable, details } = (error instanceof Error ? error : {}) as Partial<Described>;
  return {
    message: message ?? String(error),
    code: typeof code === "string" ? code : null,
    retryable: retryable === true,
    details: details ?? null,
  };
}

function stacks(error: unknown): string {
  const parts: string[] = [];
  let current: unknown = error;
  for (let depth = 0; depth < 5 && current !== undefined && current !== null; depth++) {
    const { stack, cause } = (typeof current === "object" ? current : {}) as { stack?: unknown; cause?: unknown };
    parts.push(typeof stack === "string" ? stack : String(current));
    current = cause;
  }
  return parts.join("\ncaused by: ");
}
