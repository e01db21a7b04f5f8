/**
 * Values that are stored: turned into JSON text, with an error where JSON would lose something silently.
 *
 * | value | becomes |
 * |---|---|
 * | `undefined` as a member | is left out, as JSON does; in an array, or as the whole value: `null` |
 * | `Date` | its ISO string; an invalid date is an error |
 * | an object with `toJSON()` | what that returns |
 * | an instance of a class | its own enumerable members |
 * | a lone surrogate | stays (as `\udXXX`) |
 * | `NaN`, `±Infinity`, BigInt, a function, a symbol | an error that names the path |
 * | `Map`, `Set`, `Error`, `RegExp`, `Promise`, typed arrays and buffers without `toJSON()` | an error that names the path |
 * | a cycle, or more than 100 levels | an error that names the path |
 */
import { MasterAgentError } from "./errors";

/** The default of `payloadLimit`: 16 MiB. */
export const DEFAULT_PAYLOAD_LIMIT = 16 * 1024 * 1024;

/** The deepest nesting of a payload; what reads it on the other side has a limit of its own. */
const MAX_DEPTH = 100;

/** How many values the walk may still visit: every value takes at least one byte, so more are over the limit too. */
let budget = 0;

/**
 * The JSON text of `value`. `field` names it in errors; `limit` is in bytes of UTF-8.
 *
 * One walk proves that `JSON.stringify` loses nothing. Only where the walk finds a fault, or a `toJSON` that must not
 * be called twice, is the value taken apart again with its path.
 */
export function toJson(value: unknown, field: string, limit: number): string {
  switch (typeof value) {
    case "string":
      if (value.length > limit) {
        throw tooLarge(field, limit);
      }
      break;
    case "undefined":
      return "null";
    default:
      budget = limit;
      if (!isSafe(value)) {
        value = copy(value, field, limit);
      }
  }
  let text: string;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    if (cause instanceof RangeError) {
      throw tooLarge(field, limit);
    }
    throw unserializable(field, "cannot be written as JSON", cause);
  }
  // A UTF-16 unit takes at most three bytes: most texts need not be measured.
  if (text.length * 3 > limit && Buffer.byteLength(text) > limit) {
    throw tooLarge(field, limit, Buffer.byteLength(text));
  }
  return text;
}

function isSafe(value: unknown): boolean {
  try {
    return isPlain(value, 0);
  } catch {
    return false;
  }
}

/** Whether `JSON.stringify` writes `value` without loss and without calling user code. */
function isPlain(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case "string":
      budget -= value.length;
      return budget >= 0;
    case "boolean":
    case "undefined":
      return true;
    case "number":
      return Number.isFinite(value);
    case "object":
      break;
    default:
      return false;
  }
  if (value === null) {
    return true;
  }
  if (depth === MAX_DEPTH) {
    return false;
  }
  if (Array.isArray(value)) {
    const length = value.length;
    if ((budget -= length) < 0 || typeof (value as { toJSON?: unknown }).toJSON === "function") {
      return false;
    }
    for (let index = 0; index < length; index++) {
      const item: unknown = value[index];
      if (typeof item === "number") {
        if (!Number.isFinite(item)) {
          return false;
        }
      } else if (!isPlain(item, depth + 1)) {
        return false;
      }
    }
    return true;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    return false;
  }
  for (const key in value) {
    const member: unknown = (value as Record<string, unknown>)[key];
    if (--budget < 0) {
      return false;
    }
    if (typeof member === "string") {
      budget -= member.length;
      continue;
    }
    if (!isPlain(member, depth + 1)) {
      return false;
    }
  }
  return budget >= 0 && typeof (value as { toJSON?: unknown }).toJSON !== "function";
}

/** A plain copy of `value`, or the error that names the place of the first fault. */
function copy(value: unknown, field: string, limit: number): unknown {
  const copier = new Copier(field, limit);
  try {
    return copier.copy(value, "") ?? null;
  } catch (cause) {
    if (cause instanceof MasterAgentError) {
      throw cause;
    }
    throw unserializable(copier.path(), "threw while it was read", cause);
  }
}

class Copier {
  readonly #field: string;
  readonly #limit: number;
  readonly #path: (string | number)[] = [];
  readonly #ancestors: object[] = [];
  #budget: number;

  constructor(field: string, limit: number) {
    this.#field = field;
    this.#limit = limit;
    this.#budget = limit;
  }

  /** Where the copier is: `input.items[3].fn`. */
  path(): string {
    let path = this.#field;
    for (const part of this.#path) {
      if (typeof part === "number") {
        path += `[${part}]`;
      } else {
        path += /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(part) ? `.${part}` : `[${JSON.stringify(part)}]`;
      }
    }
    return path;
  }

  copy(value: unknown, key: string): unknown {
    if (--this.#budget < 0) {
      throw tooLarge(this.#field, this.#limit);
    }
    switch (typeof value) {
      case "string":
        this.#budget -= value.length;
        return value;
      case "boolean":
      case "undefined":
        return value;
      case "number":
        if (!Number.isFinite(value)) {
          throw this.#fault(`is ${value}, which JSON does not have; use null or a string`);
        }
        return value;
      case "bigint":
        throw this.#fault("is a BigInt, which JSON does not have; use a string");
      case "symbol":
        throw this.#fault("is a symbol, which cannot be written as JSON; leave it out");
      case "function":
        if (typeof (value as { toJSON?: unknown }).toJSON !== "function") {
          throw this.#fault("is a function, which cannot be written as JSON; leave it out");
        }
        break;
    }
    if (value === null) {
      return null;
    }
    const object = value as object;
    if (this.#ancestors.includes(object)) {
      throw this.#fault("refers back to a value that contains it (a cycle), which JSON cannot write");
    }
    if (this.#ancestors.length === MAX_DEPTH) {
      throw this.#fault(`is nested deeper than ${MAX_DEPTH} levels`);
    }
    this.#ancestors.push(object);
    const result = this.#copyObject(object, key);
    this.#ancestors.pop();
    return result;
  }

  #copyObject(object: object, key: string): unknown {
    if (object instanceof Date && Number.isNaN(object.getTime())) {
      throw this.#fault("is an invalid Date");
    }
    const toJSON: unknown = (object as { toJSON?: unknown }).toJSON;
    if (typeof toJSON === "function") {
      const replaced: unknown = toJSON.call(object, key);
      return replaced === object ? this.#members(object) : this.copy(replaced, key);
    }
    if (Array.isArray(object)) {
      return this.#items(object);
    }
    const prototype: unknown = Object.getPrototypeOf(object);
    if (prototype !== Object.prototype && prototype !== null) {
      const tag = Object.prototype.toString.call(object).slice(8, -1);
      switch (tag) {
        case "Number":
        case "String":
        case "Boolean":
          return this.copy((object as { valueOf(): unknown }).valueOf(), key);
        case "BigInt":
        case "Symbol":
          return this.copy((object as { valueOf(): unknown }).valueOf(), key);
      }
      const advice = ADVICE[tag];
      if (advice !== undefined || ArrayBuffer.isView(object)) {
        throw this.#fault(`is a ${tag}, which JSON would write as an empty or a useless object; ${advice ?? "use Array.from()"}`);
      }
    }
    return this.#members(object);
  }

  #items(array: unknown[]): unknown[] {
    if ((this.#budget -= array.length) < 0) {
      throw tooLarge(this.#field, this.#limit);
    }
    const items: unknown[] = [];
    for (let index = 0; index < array.length; index++) {
      this.#path.push(index);
      items.push(this.copy(array[index], String(index)) ?? null);
      this.#path.pop();
    }
    return items;
  }

  #members(object: object): Record<string, unknown> {
    const members: Record<string, unknown> = Object.create(null);
    for (const key of Object.keys(object)) {
      this.#path.push(key);
      const member = this.copy((object as Record<string, unknown>)[key], key);
      this.#path.pop();
      if (member !== undefined) {
        members[key] = member;
      }
    }
    return members;
  }

  #fault(problem: string): MasterAgentError {
    return unserializable(this.path(), problem);
  }
}

const ADVICE: Record<string, string | undefined> = {
  Map: "use Object.fromEntries()",
  Set: "use Array.from()",
  WeakMap: "leave it out",
  WeakSet: "leave it out",
  WeakRef: "leave it out",
  Promise: "await it first",
  RegExp: "use its source",
  Error: "use its message",
  ArrayBuffer: "use base64 text",
  SharedArrayBuffer: "use base64 text",
};

function unserializable(path: string, problem: string, cause?: unknown): MasterAgentError {
  return new MasterAgentError("ERR_INPUT_NOT_SERIALIZABLE", `${path} ${problem}`, {
    details: { field: path },
    ...(cause === undefined ? {} : { cause }),
  });
}

function tooLarge(field: string, limit: number, size?: number): MasterAgentError {
  const found = size === undefined ? "" : ` (${size} bytes)`;
  return new MasterAgentError(
    "ERR_INPUT_TOO_LARGE",
    `${field} is larger than the payload limit of ${limit} bytes${found}; store it elsewhere and pass a reference, or raise payloadLimit`,
    { details: { field, limit, ...(size === undefined ? {} : { size }) } },
  );
}
