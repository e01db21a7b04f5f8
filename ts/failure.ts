/** Whatever a handler threw, as a record that can be stored. Nothing in here can throw, whatever was thrown. */
import type { TaskError } from "./types";

const MAX_TEXT = 32_768;
const MAX_CAUSES = 4;

/** The record of something thrown, and whether it ends the task at once. */
export function failureOf(thrown: unknown): { record: TaskError; final: boolean } {
  const name = text(thrown, "name") || "Error";
  const record: TaskError = {
    name,
    message: messageOf(thrown),
    code: text(thrown, "code") || "ERR_TASK_FAILED",
    ...stackOf(thrown),
  };
  return { record, final: name === "UnrecoverableError" };
}

function messageOf(thrown: unknown): string {
  if (typeof thrown === "object" && thrown !== null) {
    return text(thrown, "message") ?? `an object was thrown: ${described(thrown)}`;
  }
  return typeof thrown === "string" ? cut(thrown) : `${described(thrown)} was thrown`;
}

function described(value: unknown): string {
  try {
    if (typeof value === "object" && value !== null) {
      return cut(JSON.stringify(value) ?? "{}");
    }
    return cut(String(value));
  } catch {
    return "(it cannot be shown)";
  }
}

function stackOf(thrown: unknown): { stack?: string } {
  let stack = text(thrown, "stack");
  if (stack === undefined) {
    return {};
  }
  let cause = member(thrown, "cause");
  for (let depth = 0; depth < MAX_CAUSES && cause !== undefined && cause !== null; depth++) {
    stack += `\n[cause]: ${text(cause, "stack") ?? messageOf(cause)}`;
    cause = member(cause, "cause");
  }
  return { stack: cut(stack) };
}

function text(value: unknown, key: string): string | undefined {
  const found = member(value, key);
  return typeof found === "string" ? cut(found) : undefined;
}

function member(value: unknown, key: string): unknown {
  if (typeof value !== "object" || value === null) {
    return undefined;
  }
  try {
    return (value as Record<string, unknown>)[key];
  } catch {
    return undefined;
  }
}

function cut(value: string): string {
  return (value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT)}…` : value).toWellFormed();
}
