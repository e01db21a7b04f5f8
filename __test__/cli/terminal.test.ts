/** Tables, widths, and text of others on a terminal. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ago, duration, fit, manyLines, oneLine, table, width } from "../../ts/cli/terminal.ts";

describe("text", () => {
  test("control characters of others do not reach the terminal", () => {
    assert.equal(oneLine("a\u001b[31mb\u0007\nc\td\u009b"), "a\ufffd[31mb\ufffd c d\ufffd");
    assert.equal(manyLines("a\r\nb\u001b]0;x\u0007"), "a\nb\ufffd]0;x\ufffd");
  });

  test("the width is that on the screen", () => {
    for (const [text, cells] of [
      ["abc", 3],
      ["äöü", 3],
      ["e\u0301", 1],
      ["日本", 4],
      ["👩‍👩‍👧", 2],
      ["", 0],
    ] as const) {
      assert.equal(width(text), cells, text);
    }
  });

  test("what does not fit is cut at a whole character", () => {
    assert.equal(fit("abcdef", 6), "abcdef");
    assert.equal(fit("abcdefg", 6), "abcde…");
    assert.equal(fit("日本語", 5), "日本…");
    assert.equal(fit("日本語", 4), "日…");
  });

  test("times are for people", () => {
    assert.deepEqual([0, 999, 1_000, 1_500, 61_000, 7_200_000, 172_800_000].map(duration), [
      "0 ms",
      "999 ms",
      "1 s",
      "1.5 s",
      "1 min",
      "2 h",
      "2 d",
    ]);
    assert.equal(ago(1_000, 3_000), "2 s ago");
    assert.equal(ago(3_000, 1_000), "in 2 s");
  });
});

describe("table", () => {
  const columns = [
    { title: "NAME", least: 6 },
    { title: "N", right: true, blank: "0" },
    { title: "LATE", right: true },
  ];
  const rows = [
    ["a long name", "0", "12"],
    ["b", "0", "3"],
  ];

  test("columns are as wide as what is in them", () => {
    assert.deepEqual(table(columns, rows, 80), ["NAME         N  LATE", "a long name  0    12", "b            0     3"]);
  });

  test("what has nothing is left out first, then names give way", () => {
    assert.deepEqual(table(columns, rows, 17), ["NAME         LATE", "a long name    12", "b               3"]);
    assert.deepEqual(table(columns, rows, 14), ["NAME      LATE", "a long …    12", "b            3"]);
    assert.deepEqual(table(columns, rows, 5)[1], "a lon…    12");
  });
});
