/** What a payload may contain, and what is said about the rest. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { errors, payload } from "../helpers/ts.ts";

const { toJson, DEFAULT_PAYLOAD_LIMIT } = payload;
const json = (value: unknown, limit = DEFAULT_PAYLOAD_LIMIT) => toJson(value, "input", limit);

function fault(value: unknown, limit?: number) {
  try {
    json(value, limit);
  } catch (error) {
    assert.ok(error instanceof errors.MasterAgentError, String(error));
    return error;
  }
  return assert.fail("it was accepted");
}

const nested = (levels: number): unknown => {
  let value: unknown = 0;
  for (let level = 0; level < levels; level++) value = [value];
  return value;
};

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

describe("payloads", () => {
  test("plain values are what JSON makes of them", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        assert.equal(json(value), JSON.stringify(value));
      }),
    );
  });

  const accepted: [string, unknown, string][] = [
    ["nothing", undefined, "null"],
    ["a member that is undefined", { a: undefined, b: 1 }, '{"b":1}'],
    ["an item that is undefined", [undefined, 1], "[null,1]"],
    ["a hole", new Array(2), "[null,null]"],
    ["a date", { at: new Date(0) }, '{"at":"1970-01-01T00:00:00.000Z"}'],
    [
      "an instance of a class",
      new (class Point {
        x = 1;
        y = [2];
      })(),
      '{"x":1,"y":[2]}',
    ],
    ["no prototype", Object.assign(Object.create(null), { a: 1 }), '{"a":1}'],
    ["a member called __proto__", JSON.parse('{"__proto__":{"a":1}}'), '{"__proto__":{"a":1}}'],
    ["a lone surrogate", "\ud800", '"\\ud800"'],
    ["a boxed number", { n: Object(1) }, '{"n":1}'],
    ["a buffer, which has toJSON", Buffer.from("a"), '{"type":"Buffer","data":[97]}'],
    ["a key that is a symbol", { [Symbol("a")]: 1, b: 2 }, '{"b":2}'],
    ["the same object twice", ((shared) => [shared, shared])({ a: 1 }), '[{"a":1},{"a":1}]'],
    ["100 levels", nested(100), JSON.stringify(nested(100))],
  ];
  for (const [name, value, text] of accepted) test(`${name} is accepted`, () => assert.equal(json(value), text));

  const cyclic: Record<string, unknown> = { list: [1] };
  (cyclic["list"] as unknown[]).push({ back: cyclic });
  const refused: [string, unknown, string][] = [
    ["a function", { items: [1, 2, 3, { fn() {} }] }, "input.items[3].fn"],
    ["a function as the value", () => {}, "input"],
    ["a symbol", { a: { "b c": Symbol("x") } }, 'input.a["b c"]'],
    ["a BigInt", [[1n]], "input[0][0]"],
    ["NaN", { a: Number.NaN }, "input.a"],
    ["Infinity", [0, Number.NEGATIVE_INFINITY], "input[1]"],
    ["a cycle", cyclic, "input.list[1].back"],
    ["101 levels", nested(101), `input${"[0]".repeat(100)}`],
    ["a map", { m: new Map() }, "input.m"],
    ["a set", new Set(), "input"],
    ["a promise", { p: Promise.resolve() }, "input.p"],
    ["an error", { e: new TypeError("x") }, "input.e"],
    ["a regular expression", /x/, "input"],
    ["a typed array", { v: new Float32Array(2) }, "input.v"],
    ["an array buffer", [new ArrayBuffer(1)], "input[0]"],
    ["an invalid date", { at: new Date(Number.NaN) }, "input.at"],
    ["a boxed BigInt", Object(1n), "input"],
    ["a function from toJSON", { a: { toJSON: () => () => {} } }, "input.a"],
    ["a toJSON that throws", { toJSON: () => assert.fail() }, "input"],
    [
      "a getter that throws",
      {
        get a() {
          return assert.fail();
        },
      },
      "input.a",
    ],
    ["a proxy that was revoked", { p: revoked() }, "input.p"],
  ];
  for (const [name, value, path] of refused) {
    test(`${name} is refused at ${path.slice(0, 40)}`, () => {
      const error = fault(value);
      assert.equal(error.code, "ERR_INPUT_NOT_SERIALIZABLE");
      assert.ok(error.message.startsWith(`${path} `), error.message);
      assert.deepEqual(error.details, { field: path });
    });
  }

  test("toJSON is called once", () => {
    let calls = 0;
    assert.equal(json({ a: { toJSON: () => ++calls } }), '{"a":1}');
    assert.equal(calls, 1);
  });

  test("the limit is in bytes of UTF-8", () => {
    assert.equal(json("ab", 4), '"ab"');
    assert.equal(json("é", 4), '"é"');
    assert.equal(fault("abc", 4).code, "ERR_INPUT_TOO_LARGE");
    assert.equal(fault("éé", 5).code, "ERR_INPUT_TOO_LARGE");
    assert.deepEqual(fault({ a: "xxxxxxxxxx" }, 10).details?.["field"], "input");
  });

  test("what would never end is over the limit", () => {
    // Each level refers to the next one twice: 2^60 values.
    let wide: unknown = 1;
    for (let level = 0; level < 60; level++) wide = [wide, wide];
    assert.equal(fault(wide).code, "ERR_INPUT_TOO_LARGE");
    assert.equal(fault(new Array(2 ** 32 - 1)).code, "ERR_INPUT_TOO_LARGE");
    const text = "x".repeat(2 ** 20);
    assert.equal(fault(Array.from({ length: 5_000 }, () => ({ text }))).code, "ERR_INPUT_TOO_LARGE");
  });

  test("whatever is passed, the answer is JSON without loss, or a coded error", () => {
    const values = fc.anything({
      withBigInt: true,
      withBoxedValues: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withNullPrototype: true,
      withObjectString: true,
      withSparseArray: true,
      withTypedArray: true,
      maxDepth: 4,
    });
    fc.assert(
      fc.property(values, (value) => {
        try {
          const text = json(value);
          assert.equal(text, JSON.stringify(value) ?? "null");
        } catch (error) {
          assert.ok(error instanceof errors.MasterAgentError, String(error));
          assert.equal(error.code, "ERR_INPUT_NOT_SERIALIZABLE");
        }
      }),
      { numRuns: 5_000 },
    );
  });
});
