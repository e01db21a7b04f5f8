/**
 * What a filter means, said once more and as plainly as possible: after the documentation of filters, not after the engine. It
 * is what the engine's answers are compared with.
 */

/** A filter that the engine must refuse. */
export class Refused extends Error {}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Test = (value: Json) => boolean;

const OPERATORS = new Set([
  "eq",
  "ne",
  "gt",
  "gte",
  "lt",
  "lte",
  "in",
  "nin",
  "exists",
  "contains",
  "startsWith",
  "and",
  "or",
  "not",
]);

const isObject = (value: Json | undefined): value is { [key: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Equal as JSON: 1 is 1.0, the order of keys does not matter. */
function same(a: Json, b: Json): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((element, index) => same(element, b[index] as Json));
  }
  if (isObject(a) && isObject(b)) {
    const keys = Object.keys(a);
    return (
      keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && same(a[key] as Json, b[key] as Json))
    );
  }
  return a === b;
}

/** Negative, zero or positive; `undefined` for what cannot be compared. Texts are compared by code points, as UTF-8 is. */
function order(a: Json, b: Json): number | undefined {
  if (typeof a === "number" && typeof b === "number") {
    return a - b === 0 || a === b ? 0 : a < b ? -1 : 1;
  }
  return typeof a === "string" && typeof b === "string" ? Buffer.compare(Buffer.from(a), Buffer.from(b)) : undefined;
}

/** The values that a path leads to: the key as it stands, and each way through objects, and through lists of objects. */
function* values(metadata: Json, path: string): Generator<Json> {
  if (!isObject(metadata)) {
    return;
  }
  if (Object.hasOwn(metadata, path)) {
    yield metadata[path] as Json;
  }
  for (let dot = path.indexOf("."); dot >= 0; dot = path.indexOf(".", dot + 1)) {
    const key = path.slice(0, dot);
    if (Object.hasOwn(metadata, key)) {
      const inner = metadata[key] as Json;
      for (const one of Array.isArray(inner) ? inner : [inner]) {
        yield* values(one, path.slice(dot + 1));
      }
    }
  }
}

/** Whether one of the values of a field passes; a list passes as a whole, or by one of its elements. */
function some(path: string, test: Test): Test {
  return (metadata) => [...values(metadata, path)].some((value) => test(value) || (Array.isArray(value) && value.some(test)));
}

const all =
  (tests: readonly Test[]): Test =>
  (metadata) =>
    tests.every((test) => test(metadata));
const any =
  (tests: readonly Test[]): Test =>
  (metadata) =>
    tests.some((test) => test(metadata));
const not =
  (test: Test): Test =>
  (metadata) =>
    !test(metadata);

function list(value: Json): Json[] {
  if (!Array.isArray(value)) {
    throw new Refused("not a list");
  }
  return value;
}

function text(value: Json): string {
  if (typeof value !== "string") {
    throw new Refused("not a text");
  }
  return value;
}

/** The predicate of a filter. */
export function meaning(filter: Json): Test {
  if (!isObject(filter)) {
    throw new Refused("not an object");
  }
  return all(
    Object.entries(filter).map(([key, value]) => {
      switch (key) {
        case "and":
          return all(list(value).map(meaning));
        case "or":
          return any(list(value).map(meaning));
        case "not":
          return not(meaning(value));
        default:
          return field(key, value);
      }
    }),
  );
}

function field(path: string, condition: Json): Test {
  if (!isObject(condition)) {
    return some(path, (value) => same(value, condition));
  }
  const entries = Object.entries(condition);
  const operators = entries.filter(([key]) => OPERATORS.has(key)).length;
  if (entries.length === 0 || (operators !== 0 && operators !== entries.length)) {
    throw new Refused("an empty object, or operators beside fields");
  }
  return all(entries.map(([key, value]) => (operators === 0 ? field(`${path}.${key}`, value) : operator(path, key, value))));
}

function operator(path: string, name: string, operand: Json): Test {
  const compare = (holds: (ordering: number) => boolean): Test => {
    if (typeof operand !== "number" && typeof operand !== "string") {
      throw new Refused("neither a number nor a text");
    }
    return some(path, (value) => {
      const ordering = order(value, operand);
      return ordering !== undefined && holds(ordering);
    });
  };
  switch (name) {
    case "eq":
      return some(path, (value) => same(value, operand));
    case "ne":
      return not(some(path, (value) => same(value, operand)));
    case "gt":
      return compare((ordering) => ordering > 0);
    case "gte":
      return compare((ordering) => ordering >= 0);
    case "lt":
      return compare((ordering) => ordering < 0);
    case "lte":
      return compare((ordering) => ordering <= 0);
    case "in": {
      const wanted = list(operand);
      return some(path, (value) => wanted.some((one) => same(value, one)));
    }
    case "nin": {
      const wanted = list(operand);
      return not(some(path, (value) => wanted.some((one) => same(value, one))));
    }
    case "exists": {
      if (typeof operand !== "boolean") {
        throw new Refused("not true or false");
      }
      const exists = some(path, () => true);
      return operand ? exists : not(exists);
    }
    case "contains": {
      const part = text(operand);
      return some(path, (value) => typeof value === "string" && value.includes(part));
    }
    case "startsWith": {
      const start = text(operand);
      return some(path, (value) => typeof value === "string" && value.startsWith(start));
    }
    case "and":
      return all(list(operand).map((one) => field(path, one)));
    case "or":
      return any(list(operand).map((one) => field(path, one)));
    default:
      return not(field(path, operand));
  }
}
