/**
 * Checks and defaults of everything that a user passes in. Every fault is an `ERR_INPUT_…` that names the field and
 * says what to do. What a payload may contain is `payload.ts`; environment variables are `config.ts`.
 */
import { invalid } from "./errors";
import { toJson } from "./payload";
import type { BackoffOptions, JobOptions, KeepOptions, WaitOptions } from "./types";

/** The queue of tasks. */
export const QUEUE_NAME = "master-agent-tasks";

/** The longest time that can be asked for: 100 years, in milliseconds. */
const MAX_TIME = 100 * 365 * 86_400_000;
/** What a timer of Node can wait: 24.8 days. */
const MAX_TIMER = 2 ** 31 - 1;
const MAX_COUNT = 2 ** 32 - 1;
const MAX_PRIORITY = 2_097_152;
const MAX_NAME = 255;

/** What a job gets that is added without options. Times in milliseconds. */
export const DEFAULT_JOB_OPTS = Object.freeze({
  attempts: 3,
  backoff: Object.freeze({ type: "exponential", delay: 1_000 } as const),
  priority: 0,
  delay: 0,
  maxStalls: 3,
  removeOnComplete: Object.freeze({ count: 100_000, age: 604_800_000 }),
  removeOnFail: Object.freeze({ count: 100_000, age: 604_800_000 }),
}) satisfies JobOptions;

/** How a value is shown in a message: short, and without calling user code. */
export function show(value: unknown): string {
  switch (typeof value) {
    case "string":
      return value.length > 40 ? `${JSON.stringify(value.slice(0, 40))}…` : JSON.stringify(value);
    case "bigint":
      return `${value}n`;
    case "symbol":
      return "a symbol";
    case "function":
      return "a function";
    case "object":
      return value === null ? "null" : Array.isArray(value) ? "an array" : "an object";
    default:
      return String(value);
  }
}

/** `value` as an object whose members are all in `known`; `undefined` is an empty one. */
export function options<K extends string>(value: unknown, field: string, known: ReadonlySet<K>): Partial<Record<K, unknown>> {
  if (value === undefined) {
    return {};
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid(field, `must be an object, not ${show(value)}`);
  }
  for (const key in value) {
    if (!known.has(key as K)) {
      throw unknownOption(`${field}.`, key, known);
    }
  }
  return value;
}

/** The error for an option that does not exist, with the name that was meant, where one is close. */
export function unknownOption(prefix: string, key: string, known: ReadonlySet<string>): Error {
  const meant = closest(key, known);
  const advice = meant === undefined ? `known are ${[...known].join(", ")}` : `did you mean ${meant}?`;
  return invalid(`${prefix}${key}`, `is not an option; ${advice}`);
}

function closest(name: string, known: ReadonlySet<string>): string | undefined {
  if (name.length > 64) {
    return undefined;
  }
  let best: string | undefined;
  let least = Math.min(3, Math.ceil(name.length / 2));
  for (const candidate of known) {
    const found = distance(name.toLowerCase(), candidate.toLowerCase());
    if (found < least || (found === least && best === undefined)) {
      best = candidate;
      least = found;
    }
  }
  return best;
}

/** Levenshtein distance. */
function distance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      const change = left[i - 1] === right[j - 1] ? 0 : 1;
      next.push(Math.min((next[j - 1] ?? 0) + 1, (row[j] ?? 0) + 1, (row[j - 1] ?? 0) + change));
    }
    row = next;
  }
  return row[right.length] ?? 0;
}

/** A name: 1 to 255 characters that can be written as UTF-8. */
export function name(value: unknown, field: string): string {
  if (typeof value !== "string" || value.length === 0) {
    throw invalid(field, `must be a non-empty string, not ${value === "" ? "an empty one" : show(value)}`);
  }
  if (value.length > MAX_NAME) {
    throw invalid(field, `must have at most ${MAX_NAME} characters, not ${value.length}`);
  }
  if (!value.isWellFormed()) {
    throw invalid(field, "contains a lone surrogate; it must be valid Unicode");
  }
  return value;
}

/** A job id as a caller gives it. */
export function jobId(value: unknown, field: string): string {
  const id = typeof value === "object" && value !== null ? (value as { jobId?: unknown }).jobId : value;
  if (typeof id === "string" && id.length > 0 && id.length < 19) {
    return id.isWellFormed() ? id : name(id, field);
  }
  return name(id, typeof value === "object" && value !== null ? `${field}.jobId` : field);
}

/** A whole number from `min` to `max`. */
export function integer(value: unknown, field: string, min: number, max: number = MAX_COUNT): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    throw invalid(field, `must be a whole number from ${min} to ${max}, not ${show(value)}`);
  }
  return value;
}

/** A time in milliseconds, rounded up to a whole one. */
export function time(value: unknown, field: string, min = 0, max: number = MAX_TIME): number {
  if (typeof value !== "number" || !(value >= min && value <= max)) {
    throw invalid(field, `must be a number of milliseconds from ${min} to ${max}, not ${show(value)}`);
  }
  return Math.ceil(value);
}

/** `true` or `false`. */
export function boolean(value: unknown, field: string): boolean {
  if (typeof value !== "boolean") {
    throw invalid(field, `must be true or false, not ${show(value)}`);
  }
  return value;
}

/** One of a few words. */
export function oneOf<T extends string>(value: unknown, field: string, words: readonly T[]): T {
  if (!words.includes(value as T)) {
    throw invalid(field, `must be ${words.map((word) => `"${word}"`).join(" or ")}, not ${show(value)}`);
  }
  return value as T;
}

/** An AbortSignal, also of another implementation. */
export function abortSignal(value: unknown, field: string): AbortSignal {
  if (
    typeof value !== "object" ||
    value === null ||
    typeof (value as AbortSignal).aborted !== "boolean" ||
    typeof (value as AbortSignal).addEventListener !== "function"
  ) {
    throw invalid(field, `must be an AbortSignal, not ${show(value)}`);
  }
  return value as AbortSignal;
}

const WAIT_KEYS: ReadonlySet<keyof WaitOptions> = new Set<keyof WaitOptions>(["timeout", "signal"]);

/** `{ timeout, signal }` of a wait. */
export function waitOptions(value: WaitOptions | undefined, field = "options"): WaitOptions {
  if (value === undefined) {
    return {};
  }
  const { timeout, signal } = options(value, field, WAIT_KEYS);
  return {
    ...(timeout === undefined ? {} : { timeout: time(timeout, `${field}.timeout`, 0, MAX_TIMER) }),
    ...(signal === undefined ? {} : { signal: abortSignal(signal, `${field}.signal`) }),
  };
}

const STOP_KEYS: ReadonlySet<"timeout"> = new Set(["timeout"] as const);

/** `{ timeout }` of stop and close; 30 seconds. */
export function stopTimeout(value: unknown): number {
  const { timeout } = options(value, "options", STOP_KEYS);
  return timeout === undefined ? 30_000 : time(timeout, "options.timeout", 0, MAX_TIMER);
}

/** The options of one job, checked and partly encoded. */
export interface JobSettings {
  key: string | undefined;
  priority: number;
  delay: number;
  /** JSON of the policy, or `0` where it is the default one. */
  policy: string;
}

export const JOB_OPTION_KEYS = [
  "jobId",
  "priority",
  "delay",
  "attempts",
  "backoff",
  "timeout",
  "maxStalls",
  "removeOnComplete",
  "removeOnFail",
] as const satisfies readonly (keyof JobOptions)[];
const JOB_KEYS: ReadonlySet<keyof JobOptions> = new Set(JOB_OPTION_KEYS);

/** The defaults of a master or a queue: job options over {@link DEFAULT_JOB_OPTS}, and how they are encoded. */
export class JobDefaults {
  readonly #given: JobOptions;
  /** `priority,delay,policy` of a job without options. */
  readonly tail: string;

  constructor(given: unknown, field: string) {
    const checked = options(given, field, JOB_KEYS);
    if (checked.jobId !== undefined) {
      throw invalid(`${field}.jobId`, "cannot be a default: every job needs its own");
    }
    // A copy: what the caller changes later must not pass by the checks.
    this.#given = { ...(checked as JobOptions) };
    const { priority, delay, policy } = encode(this.#given, `${field}.`);
    this.tail = `${priority},${delay},${policy}`;
  }

  /** The settings of a job with options of its own, whose names are known to be right. `prefix` is what names them in errors: `options.`, say. */
  settings(given: JobOptions, prefix: string): JobSettings {
    return encode({ ...this.#given, ...withoutUndefined(given) }, prefix);
  }

  /** The settings of a job whose options are not checked at all yet. */
  checked(given: unknown, field: string): JobSettings {
    return this.settings(options(given, field, JOB_KEYS) as JobOptions, `${field}.`);
  }
}

function withoutUndefined(given: JobOptions): JobOptions {
  const result: Record<string, unknown> = {};
  for (const key of JOB_OPTION_KEYS) {
    const value = given[key];
    if (value !== undefined) {
      result[key] = value;
    }
  }
  return result;
}

function encode(given: JobOptions, prefix: string): JobSettings {
  const policy: Record<string, unknown> = {};
  if (given.attempts !== undefined) {
    policy.attempts = integer(given.attempts, `${prefix}attempts`, 1);
  }
  if (given.backoff !== undefined) {
    policy.backoff = backoff(given.backoff, `${prefix}backoff`);
  }
  if (given.timeout !== undefined) {
    policy.timeout = time(given.timeout, `${prefix}timeout`, 1);
  }
  if (given.maxStalls !== undefined) {
    policy.maxStalls = integer(given.maxStalls, `${prefix}maxStalls`, 0);
  }
  if (given.removeOnComplete !== undefined) {
    policy.removeOnComplete = keep(given.removeOnComplete, `${prefix}removeOnComplete`);
  }
  if (given.removeOnFail !== undefined) {
    policy.removeOnFail = keep(given.removeOnFail, `${prefix}removeOnFail`);
  }
  const text = JSON.stringify(policy);
  return {
    key: given.jobId === undefined ? undefined : newJobId(given.jobId, `${prefix}jobId`),
    priority: given.priority === undefined ? 0 : integer(given.priority, `${prefix}priority`, 0, MAX_PRIORITY),
    delay: given.delay === undefined ? 0 : time(given.delay, `${prefix}delay`),
    policy: text === "{}" ? "0" : text,
  };
}

function newJobId(value: unknown, field: string): string {
  const id = name(value, field);
  if (/^\d+$/.test(id)) {
    throw invalid(field, `must not consist of digits only (${show(id)}): such ids are given by the store; add a prefix`);
  }
  return id;
}

const BACKOFF_KEYS: ReadonlySet<keyof BackoffOptions> = new Set<keyof BackoffOptions>(["type", "delay", "maxDelay", "jitter"]);

function backoff(value: unknown, field: string): unknown {
  if (typeof value === "number") {
    return { type: "fixed", delay: time(value, field) };
  }
  const { type, delay, maxDelay, jitter } = options(value, field, BACKOFF_KEYS);
  if (jitter !== undefined && (typeof jitter !== "number" || !(jitter >= 0 && jitter <= 1))) {
    throw invalid(`${field}.jitter`, `must be a number from 0 (none) to 1 (all of the wait), not ${show(jitter)}`);
  }
  return {
    type: type === undefined ? "exponential" : oneOf(type, `${field}.type`, ["fixed", "exponential"]),
    delay: delay === undefined ? DEFAULT_JOB_OPTS.backoff.delay : time(delay, `${field}.delay`),
    ...(maxDelay === undefined ? {} : { maxDelay: time(maxDelay, `${field}.maxDelay`) }),
    ...(jitter === undefined ? {} : { jitter }),
  };
}

const KEEP_KEYS: ReadonlySet<keyof KeepOptions> = new Set<keyof KeepOptions>(["count", "age"]);

function keep(value: unknown, field: string): unknown {
  if (typeof value === "boolean") {
    return value ? { count: 0 } : {};
  }
  if (typeof value === "number") {
    return { count: integer(value, field, 0, Number.MAX_SAFE_INTEGER) };
  }
  if (typeof value !== "object" || value === null) {
    throw invalid(field, `must be true, false, a count or { count, age }, not ${show(value)}`);
  }
  const { count, age } = options(value, field, KEEP_KEYS);
  return {
    ...(count === undefined ? {} : { count: integer(count, `${field}.count`, 0, Number.MAX_SAFE_INTEGER) }),
    ...(age === undefined ? {} : { age: time(age, `${field}.age`) }),
  };
}

/** What a task carries beside its input. */
export interface TaskExtras {
  taskId?: unknown;
  parentTaskId?: unknown;
  metadata?: unknown;
}

/** The text of one job for `Session.submit`, with the names that the caller needs again. */
export interface EncodedJob {
  text: string;
  agentType: string;
  taskId: string | undefined;
  key: string | undefined;
}

/** The last agent type and its JSON: runs of one type are the rule. */
let lastType = "";
let lastTypeJson = '""';

function typeJson(agentType: unknown, prefix: string): string {
  if (agentType !== lastType || lastType === "") {
    lastType = name(agentType, `${prefix}agentType`);
    lastTypeJson = JSON.stringify(lastType);
  }
  return lastTypeJson;
}

/** Encodes a job that has neither options nor names. */
export function encodePlain(agentType: string, inputJson: string, defaults: JobDefaults, prefix: string): string {
  return `[${typeJson(agentType, prefix)},0,0,0,${defaults.tail},0,${inputJson}]`;
}

/** Encodes a job with all that it can have. */
export function encodeFull(
  agentType: string,
  inputJson: string,
  extras: TaskExtras,
  settings: JobSettings,
  limit: number,
  prefix: string,
): EncodedJob {
  const type = typeJson(agentType, prefix);
  const taskId = extras.taskId === undefined ? undefined : name(extras.taskId, `${prefix}taskId`);
  const parent = extras.parentTaskId === undefined ? undefined : name(extras.parentTaskId, `${prefix}parentTaskId`);
  const metadata = extras.metadata === undefined ? "0" : metadataJson(extras.metadata, `${prefix}metadata`, limit);
  const { key, priority, delay, policy } = settings;
  return {
    text: `[${type},${nameJson(taskId)},${nameJson(parent)},${nameJson(key)},${priority},${delay},${policy},${metadata},${inputJson}]`,
    agentType,
    taskId,
    key,
  };
}

function nameJson(value: string | undefined): string {
  return value === undefined ? "0" : JSON.stringify(value);
}

function metadataJson(value: unknown, field: string, limit: number): string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid(field, `must be an object, not ${show(value)}`);
  }
  return toJson(value, field, limit);
}
