/** What was given for options, and what is told of a value that is none. */
import type { OptionName } from "./commands";

/** What was written is wrong; the exit code is 2. */
export class UsageError extends Error {
  /** What to ask for help about. */
  readonly topic: string;

  constructor(message: string, topic = "") {
    super(message);
    this.topic = topic;
  }
}

/** What was given for an option: `true` where it takes no value, a list where it may be repeated. */
export type OptionValue = string | true | readonly string[];

/** The options that were given. */
export type Values = Partial<Record<OptionName, OptionValue>>;

/** The value of an option as a whole number. */
export function wholeNumber(value: OptionValue | undefined, option: OptionName, least: number, most: number): number | undefined {
  if (value === undefined) {
    return undefined;
  }
  const number = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : Number.NaN;
  if (!(number >= least && number <= most)) {
    throw new UsageError(`--${option} must be a whole number from ${least} to ${most}, not ${String(value)}.`);
  }
  return number;
}

/** The value of an option as text. */
export function text(value: OptionValue | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** The values of an option that may be repeated. */
export function list(value: OptionValue | undefined): readonly string[] {
  return typeof value === "object" ? value : [];
}

/** The value of an option as a number. */
export function number(value: OptionValue | undefined, option: OptionName, least: number, most: number): number | undefined {
  if (value === undefined) {
    return undefined;
  }
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : Number.NaN;
  if (!(number >= least && number <= most)) {
    throw new UsageError(`--${option} must be a number from ${least} to ${most}, not ${String(value)}.`);
  }
  return number;
}

/** The value of an option as one of some words. */
export function choice<T extends string>(
  value: OptionValue | undefined,
  option: OptionName,
  choices: readonly T[],
): T | undefined {
  if (value === undefined) {
    return undefined;
  }
  const found = choices.find((one) => one === value);
  if (found === undefined) {
    const all = `${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}`;
    throw new UsageError(`--${option} must be ${all}, not ${String(value)}.${guess(String(value), choices)}`);
  }
  return found;
}

/** The value of an option as a JSON object. */
export function jsonObject(value: OptionValue | undefined, option: OptionName): Record<string, unknown> | undefined {
  if (value === undefined) {
    return undefined;
  }
  const shown = String(value);
  let parsed: unknown;
  try {
    parsed = JSON.parse(shown);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`--${option} must be JSON, such as '{"source":"user"}', not ${shown} (${reason}).`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new UsageError(`--${option} must be a JSON object, such as '{"source":"user"}', not ${shown}.`);
  }
  return parsed as Record<string, unknown>;
}

/** Says what may have been meant, with a space before it; nothing if nothing is near. */
export function guess(wrong: string, right: readonly string[], prefix = ""): string {
  let best: string | undefined;
  let least = Math.max(1, Math.floor(wrong.length / 3)) + 1;
  for (const candidate of right) {
    const away = candidate.startsWith(wrong) && wrong.length > 1 ? 1 : distance(wrong, candidate);
    if (away < least) {
      least = away;
      best = candidate;
    }
  }
  return best === undefined ? "" : ` Did you mean ${prefix}${best}?`;
}

/** How many letters have to be changed, added, left out or swapped with their neighbour (optimal string alignment). */
function distance(from: string, to: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1];
      let cost = Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) {
        cost = Math.min(cost, (before[j - 2] ?? 0) + 1);
      }
      row.push(cost);
    }
    before = previous;
    previous = row;
  }
  return previous[to.length] ?? 0;
}
