/** Whatever a handler throws becomes a record. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { api, failure } from "../helpers/ts.ts";

const { failureOf } = failure;

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

describe("what handlers throw", () => {
  test("an error keeps its name, message, code, stack and causes", () => {
    const cause = new Error("socket hung up");
    const error = Object.assign(new TypeError("no answer", { cause }), { code: "ECONNRESET" });
    const { record, final } = failureOf(error);
    assert.equal(record.name, "TypeError");
    assert.equal(record.message, "no answer");
    assert.equal(record.code, "ECONNRESET");
    assert.ok(record.stack?.startsWith(error.stack as string));
    assert.ok(record.stack?.endsWith(cause.stack as string));
    assert.equal(final, false);
  });

  test("a cause that refers to itself ends", () => {
    const error = new Error("loop");
    error.cause = error;
    assert.ok(failureOf(error).record.stack);
  });

  test("an UnrecoverableError is final, also one of another copy of the class", () => {
    assert.equal(failureOf(new api.UnrecoverableError("no")).final, true);
    assert.equal(failureOf(Object.assign(new Error("no"), { name: "UnrecoverableError" })).final, true);
  });

  const odd: [string, unknown, string][] = [
    ["a string", "broken", "broken"],
    ["null", null, "null was thrown"],
    ["undefined", undefined, "undefined was thrown"],
    ["a number", 7, "7 was thrown"],
    ["a symbol", Symbol("s"), "Symbol(s) was thrown"],
    ["an object", { status: 500 }, 'an object was thrown: {"status":500}'],
    ["an object without prototype", Object.create(null), "an object was thrown: {}"],
    ["a frozen error", Object.freeze(new Error("frozen")), "frozen"],
    ["a lone surrogate", "\udc00", "\ufffd"],
    [
      "getters that throw",
      {
        get message() {
          throw new Error("no");
        },
        get stack() {
          throw new Error("no");
        },
      },
      "an object was thrown: (it cannot be shown)",
    ],
    ["a revoked proxy", revoked(), "an object was thrown: (it cannot be shown)"],
  ];
  for (const [name, thrown, message] of odd) {
    test(`${name} becomes a record`, () => {
      const { record } = failureOf(thrown);
      assert.equal(record.message, message);
      assert.equal(record.name, "Error");
      assert.equal(record.code, "ERR_TASK_FAILED");
    });
  }

  test("texts are bounded", () => {
    assert.ok(failureOf(new Error("x".repeat(1e6))).record.message.length < 40_000);
  });

  test("anything at all becomes a record of well-formed text", () => {
    fc.assert(
      fc.property(fc.anything({ withBigInt: true, withNullPrototype: true, withSparseArray: true }), (thrown) => {
        const { record } = failureOf(thrown);
        for (const text of Object.values(record)) assert.ok(typeof text === "string" && text.isWellFormed());
      }),
      { numRuns: 2_000 },
    );
  });
});
