/** `memory …`: what can be written, what is refused, and the help. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { readArguments } from "../../ts/cli/arguments.ts";
import { choice, jsonObject, list, number } from "../../ts/cli/values.ts";
import { Bench } from "../helpers/program.ts";

const bench = new Bench();
after(() => bench.remove());

const refusal = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    // The loader of the tests gives each importer a copy of its own: the class is told by its members.
    assert.ok(error instanceof Error && "topic" in error, String(error));
    return error.message;
  }
  return assert.fail("it was understood");
};

describe("arguments of memory", () => {
  test("- is an operand, and options that may be repeated are lists", () => {
    const request = readArguments(["memory", "add", "-", "docs", "--glob", "*.md", "--glob={a,b}/**", "--sync"]);
    assert.deepEqual(request, {
      kind: "command",
      name: "memory add",
      operands: ["-", "docs"],
      values: { glob: ["*.md", "{a,b}/**"], sync: true },
    });
    assert.deepEqual(list("one"), []);
    assert.deepEqual(list(["one", "two"]), ["one", "two"]);
  });

  const refused: [args: string[], message: RegExp][] = [
    [["memory"], /^Which command\?\n\nUsage: master-agent memory /],
    [["memory", "serach"], /no command memory serach\. Did you mean memory search\?/],
    [["search", "x"], /no command search\. Did you mean memory search\?/],
    [["list"], /no command list\. Did you mean jobs list or memory list\?/],
    [["memry"], /Did you mean memory\?/],
    [["memory", "add"], /memory add needs <file\|folder\|->/],
    [["memory", "search"], /memory search needs <query\.\.\.>/],
    [["memory", "drop"], /memory drop needs <collection>/],
    [["memory", "drop", "a", "b"], /what is b\?/],
    [["memory", "search", "x", "--store", "s"], /memory search has no option --store/],
    [["memory", "add", "x", "--globs", "y"], /Did you mean --glob\?/],
    [["memory", "delete", "x", "--yes=1"], /--yes takes no value/],
  ];
  for (const [args, message] of refused) {
    test(`refuses: ${args.join(" ")}`, () =>
      assert.match(
        refusal(() => readArguments(args)),
        message,
      ));
  }

  test("values are checked, with their option's name", () => {
    assert.deepEqual(jsonObject('{"a":{"gte":1}}', "filter"), { a: { gte: 1 } });
    assert.match(
      refusal(() => jsonObject("{a:1}", "filter")),
      /^--filter must be JSON, such as .*not \{a:1\}/,
    );
    assert.match(
      refusal(() => jsonObject("[1]", "metadata")),
      /^--metadata must be a JSON object/,
    );
    assert.equal(number("0.25", "min-score", 0, 1), 0.25);
    for (const wrong of ["", "a", "1.5", "-1", "NaN"]) {
      assert.match(
        refusal(() => number(wrong, "min-score", 0, 1)),
        /^--min-score must be a number from 0 to 1/,
      );
    }
    assert.equal(choice("text", "mode", ["hybrid", "vector", "text"]), "text");
    assert.match(
      refusal(() => choice("vectors", "mode", ["hybrid", "vector", "text"])),
      /hybrid, vector or text, .*Did you mean vector\?/,
    );
  });
});

describe("the program", () => {
  const commands = [
    "add",
    "search",
    "list",
    "get",
    "delete",
    "export",
    "import",
    "stats",
    "collections",
    "optimize",
    "reindex",
    "drop",
  ];
  test("memory --help names every command", async () => {
    const { code, stdout } = await bench.run(["memory", "--help"]);
    assert.equal(code, 0);
    for (const command of commands) {
      assert.ok(stdout.includes(`memory ${command} `), command);
    }
  });

  for (const command of commands) {
    test(`memory ${command} --help shows usage, options and examples`, () => {
      const request = readArguments(["memory", command, "--help"]);
      assert.ok(request.kind === "help");
      assert.ok(request.text.startsWith(`Usage: master-agent memory ${command} `));
      for (const part of ["--path <folder>", "--json", "Examples:", `npx master-agent memory ${command}`]) {
        assert.ok(request.text.includes(part), part);
      }
      for (const line of request.text.split("\n")) {
        assert.ok(line.length <= 120, line);
      }
    });
  }

  test("mistakes are told on standard error, end with 2 and touch nothing", async () => {
    for (const args of [
      ["memory", "search", " "],
      ["memory", "search", "x", "--limit", "0"],
      ["memory", "search", "x", "--mode", "fuzzy"],
      ["memory", "search", "x", "--filter", "{"],
      ["memory", "add", "a", "b", "--id", "one"],
      ["memory", "add", "-", "-"],
      ["memory", "delete"],
      ["memory", "delete", "a", "--filter", "{}"],
      ["memory", "import", "x", "--on-conflict", "ask"],
    ]) {
      const { code, stdout, stderr } = await bench.run(args);
      assert.equal(code, 2, stderr);
      assert.equal(stdout, "");
      assert.match(stderr, /--help/);
    }
    assert.equal(existsSync(join(bench.store, "lancedb")), false);
  });

  test("a memory that is not there is an error, and is not made", async () => {
    const path = join(bench.folder, "nothing");
    for (const args of [["search", "x"], ["list"], ["get", "x"], ["delete", "x"], ["stats"], ["collections"], ["optimize"]]) {
      const { code, stdout, stderr } = await bench.run(["memory", ...args, "--path", path]);
      assert.deepEqual([code, stdout], [1, ""]);
      assert.match(stderr, /There is no memory in .*nothing.*\(ERR_STORE_OPEN\)/);
    }
    assert.equal(existsSync(path), false);
  });
});
