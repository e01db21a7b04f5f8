/**
 * Filters: objects that say which documents are meant. Their types are here, and the checks that need the object itself;
 * paths, operators and what they mean are checked by the engine, which names the place of a fault.
 */
import { invalid, MasterAgentError } from "../errors";
import { show } from "../options";
import { toJson } from "../payload";
import type { Serialized } from "../types";

/** The most that a filter may take, in bytes of JSON. */
const MAX_FILTER = 1 << 20;

/** Filters of documents whose metadata is not typed: any path, any operator. */
export interface FreeFilter {
  /** All of them match. */
  readonly and?: readonly FreeFilter[] | undefined;
  /** At least one of them matches. */
  readonly or?: readonly FreeFilter[] | undefined;
  /** It does not match. */
  readonly not?: FreeFilter | undefined;
  /** A path into the metadata (`"a.b"` goes into objects), with a value or {@link FilterOperators}. */
  readonly [path: string]: unknown;
}

/** What a filter can ask of one field. All that is given must hold. */
export interface FilterOperators<T = unknown> {
  /** Equals: by JSON value, 1 equals 1.0, and text never equals a number. */
  readonly eq?: T | undefined;
  /** Does not equal; documents without the field match. */
  readonly ne?: T | undefined;
  /** Greater; numbers with numbers, text with text (by code points). */
  readonly gt?: Ordered<T> | undefined;
  /** Greater or equal. */
  readonly gte?: Ordered<T> | undefined;
  /** Less. */
  readonly lt?: Ordered<T> | undefined;
  /** Less or equal. */
  readonly lte?: Ordered<T> | undefined;
  /** Equals one of them. */
  readonly in?: readonly T[] | undefined;
  /** Equals none of them; documents without the field match. */
  readonly nin?: readonly T[] | undefined;
  /** Whether the field is there. */
  readonly exists?: boolean | undefined;
  /** Text that holds this text; a list that holds this value. */
  readonly contains?: T | undefined;
  /** Text that begins so. */
  readonly startsWith?: (T extends string ? string : never) | undefined;
}

type Ordered<T> = T extends string ? string : T extends number ? number : never;

/** Widens literals, so that a filter may ask for any text or number where a field holds some of them. */
type Element<T> = T extends readonly (infer E)[] ? E : T;

/** What a filter may say of a field of type `T`: a value, or operators. A list matches where one of its elements does, or as a whole. */
export type FilterCondition<T> = T | Element<T> | FilterOperators<Element<T>>;

/** How deep typed paths go. */
type Below = [never, 0, 1, 2, 3, 4];

/** The paths of an object: its names, and dotted ones into its objects. */
export type FilterPath<T, Depth extends number = 5> = [Depth] extends [never]
  ? never
  : T extends readonly unknown[]
    ? never
    : T extends object
      ? { [K in keyof T & string]: K | `${K}.${FilterPath<NonNullable<T[K]>, Below[Depth]>}` }[keyof T & string]
      : never;

/** The type at a path. */
export type FilterValue<T, Path extends string> = Path extends keyof T
  ? Exclude<T[Path], undefined>
  : Path extends `${infer Key}.${infer Rest}`
    ? Key extends keyof T
      ? FilterValue<NonNullable<T[Key]>, Rest>
      : unknown
    : unknown;

/** Filters of documents with typed metadata. */
export type TypedFilter<M> = { readonly [P in FilterPath<M>]?: FilterCondition<FilterValue<M, P>> | undefined } & {
  readonly and?: readonly TypedFilter<M>[] | undefined;
  readonly or?: readonly TypedFilter<M>[] | undefined;
  readonly not?: TypedFilter<M> | undefined;
};

/**
 * Which documents are meant, by their metadata. All members must hold; `and`, `or` and `not` combine. It is data, never
 * text of a query language, so that nothing can be injected. Up to 32 levels and 1000 conditions.
 *
 * With typed metadata paths and operators are checked; dates are compared as the ISO text that they are stored as.
 *
 * @example
 * const filter = { source: "user", year: { gte: 2024 }, or: [{ tags: "a" }, { "author.name": { startsWith: "B" } }] };
 */
export type Filter<M = { [key: string]: unknown }> = string extends keyof M ? FreeFilter : TypedFilter<Serialized<M>>;

/** The JSON of a filter. A member that is `undefined` is an error: left out, it would match more than was meant. */
export function filterJson(value: unknown, field: string): string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid(field, `must be an object such as { source: "user" }, not ${show(value)}`);
  }
  let text: string;
  try {
    text = toJson(value, field, MAX_FILTER);
  } catch (error) {
    if (error instanceof MasterAgentError && error.code === "ERR_INPUT_TOO_LARGE") {
      throw invalid(field, `must take at most ${MAX_FILTER} bytes of JSON`);
    }
    throw error;
  }
  noGaps(value, field);
  if (hasLoneSurrogate(text)) {
    throw invalid(field, "contains a lone surrogate, which no document has; it must be valid Unicode");
  }
  return text;
}

/** Finds members that JSON would leave out. The value has been written as JSON: it has no cycles. */
function noGaps(value: unknown, path: string): void {
  if (value === undefined) {
    throw invalid(path, "is undefined: leave it out, or use null or { exists: false }");
  }
  if (typeof value !== "object" || value === null || typeof (value as { toJSON?: unknown }).toJSON === "function") {
    return;
  }
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      noGaps(value[index], `${path}[${index}]`);
    }
    return;
  }
  for (const key of Object.keys(value)) {
    noGaps((value as Record<string, unknown>)[key], `${path}.${key}`);
  }
}

/** Whether JSON that `JSON.stringify` wrote has an escaped lone surrogate: it writes pairs as they are. */
function hasLoneSurrogate(json: string): boolean {
  return json.includes("\\ud") && wellFormedJson(json) !== json;
}

/** JSON of `JSON.stringify` with U+FFFD in the place of lone surrogates, which no UTF-8 can have. */
export function wellFormedJson(json: string): string {
  return json.includes("\\ud") ? json.replace(/(\\\\)|\\ud[89a-f][0-9a-f]{2}/g, (_, pair?: string) => pair ?? "\\ufffd") : json;
}
