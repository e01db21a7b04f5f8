/** The list of error codes is the same in Rust, in TypeScript and in the documentation. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ERROR_CODES, MasterAgentError } from "../../ts/errors.ts";
import { read } from "./repository.ts";

const inRust = new Map(
  [...read("crates/core/src/code.rs").matchAll(/^\s*\w+ = "(ERR_\w+)", (true|false);/gm)].map(([, code, retryable]) => [
    code,
    retryable === "true",
  ]),
);

/** The entries of docs/errors.md: code → the text below its heading. */
const entries = new Map(
  read("docs/errors.md")
    .split(/^### /m)
    .slice(1)
    .map((entry) => {
      const [heading = "", ...body] = entry.split("\n");
      return [heading.trim(), body.join("\n")];
    }),
);

describe("error codes", () => {
  test("TypeScript has those of Rust, in their order", () => {
    assert.ok(inRust.size > 0);
    assert.deepEqual([...ERROR_CODES], [...inRust.keys()]);
  });

  test("TypeScript and Rust agree on what is retryable", () => {
    for (const code of ERROR_CODES) assert.equal(new MasterAgentError(code, "").retryable, inRust.get(code), code);
  });

  test("docs/errors.md has an entry for each and for no other", () => {
    assert.deepEqual([...entries.keys()].sort(), [...inRust.keys()].sort());
  });

  for (const [code, body] of entries) {
    test(`the entry of ${code} says cause, remedy and whether to try again`, () => {
      assert.match(body, /^Cause: \S/m);
      assert.match(body, /^What to do: \S/m);
      assert.equal(body.match(/^Retryable: (yes|no)/m)?.[1], inRust.get(code) ? "yes" : "no");
    });
  }
});
