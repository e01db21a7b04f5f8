/** The examples of memory run and say what they are to show. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Bench } from "../helpers/program.ts";

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.remove());

test("memory.ts, twice", async () => {
  for (let run = 0; run < 2; run++) {
    const { code, stdout, stderr } = await bench.script("examples/memory.ts").ended;
    assert.deepEqual([code, stderr], [0, ""]);
    assert.equal(
      stdout,
      [
        "3 of 3 are in",
        "parking: Visitors leave their cars behind the building.",
        "from users, since 2025: lift",
        "the librarian says: The lift in the north wing is out of order until Friday.",
        "1 removed, 2 left",
        "",
      ].join("\n"),
    );
  }
});

test("memory-embedding.ts", async () => {
  const { code, stdout, stderr } = await bench.script("examples/memory-embedding.ts").ended;
  assert.deepEqual([code, stderr], [0, ""]);
  assert.equal(stdout, "nearest by letters: zigzag puzzle\nshortest: banana bread, zigzag puzzle\n");
});
