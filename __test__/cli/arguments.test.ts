/** What can be written, what is refused and with which advice, and the help. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { readArguments } from "../../ts/cli/arguments.ts";
import { guess } from "../../ts/cli/values.ts";
import { Bench, root } from "../helpers/program.ts";

const bench = new Bench();
after(() => bench.remove());

const refusal = (args: string[]): string => {
  try {
    readArguments(args);
  } catch (error) {
    // The loader of the tests gives each importer a copy of its own: the class is told by its members.
    assert.ok(error instanceof Error && "topic" in error, String(error));
    return error.message;
  }
  return assert.fail(`${args.join(" ")} was understood`);
};

describe("arguments", () => {
  test("options and operands come in any order", () => {
    const expected = { kind: "command", name: "jobs show", operands: ["17"], values: { json: true, queue: "q", store: "s" } };
    assert.deepEqual(readArguments(["jobs", "show", "17", "--json", "--queue", "q", "--store=s"]), expected);
    assert.deepEqual(readArguments(["--json", "--store", "s", "jobs", "--queue=q", "show", "17"]), expected);
  });

  test("what follows -- is an operand", () => {
    const request = readArguments(["jobs", "show", "--", "--json"]);
    assert.ok(request.kind === "command");
    assert.deepEqual(request.operands, ["--json"]);
  });

  const refused: [args: string[], message: RegExp][] = [
    [[], /^Which command\?/],
    [["wroker"], /no command wroker\. Did you mean worker\?/],
    [["statsu"], /Did you mean status\?/],
    [["retry", "1"], /no command retry\. Did you mean jobs retry\?/],
    [["xyz"], /no command xyz\.$/],
    [["jobs"], /^Which command\?/],
    [["jobs", "lst"], /no command jobs lst\. Did you mean jobs list\?/],
    [["status", "--jsno"], /no option --jsno\. Did you mean --json\?/],
    [["status", "--state", "failed"], /status has no option --state/],
    [["status", "-x"], /no option -x/],
    [["status", "extra"], /status takes no arguments: what is extra\?/],
    [["status", "--json=yes"], /--json takes no value/],
    [["status", "--store"], /--store needs a value/],
    [["status", "--store", "--json"], /--store needs a value/],
    [["status", "--store="], /--store needs a value/],
    [["worker"], /worker needs <module\.\.\.>/],
    [["jobs", "show"], /jobs show needs <id>/],
    [["jobs", "show", "1", "2"], /what is 2\?/],
    [["status", "--constructor"], /no option --constructor/],
  ];
  for (const [args, message] of refused) {
    test(`refuses: ${args.join(" ") || "nothing"}`, () => assert.match(refusal(args), message));
  }

  test("guesses only what is near", () => {
    assert.equal(guess("jason", ["json", "store"]), " Did you mean json?");
    assert.equal(guess("sotre", ["json", "store"]), " Did you mean store?");
    assert.equal(guess("conc", ["concurrency"]), " Did you mean concurrency?");
    assert.equal(guess("elephant", ["json", "store"]), "");
  });
});

describe("the program", () => {
  test("a mistake is told on standard error and ends with 2", async () => {
    for (const args of [
      ["wroker"],
      ["status", "--jsno"],
      ["jobs", "list", "--limit", "0"],
      ["jobs", "list", "--state", "faild"],
    ]) {
      const { code, stdout, stderr } = await bench.run(args);
      assert.equal(code, 2, stderr);
      assert.equal(stdout, "");
      assert.match(stderr, /--help/);
    }
  });

  test("--version is the version of the package", async () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    for (const flag of ["--version", "-v"]) {
      const { code, stdout } = await bench.run([flag]);
      assert.equal(code, 0);
      assert.equal(stdout, `${version}\n`);
    }
  });

  const commands = ["worker", "status", "jobs list", "jobs show", "jobs retry", "jobs cancel", "jobs remove"];
  test("the help names every command", async () => {
    for (const args of [["--help"], ["help"], ["-h"]]) {
      const { code, stdout } = await bench.run(args);
      assert.equal(code, 0);
      for (const command of commands) {
        assert.ok(stdout.includes(command), command);
      }
    }
  });

  for (const command of commands) {
    test(`${command} --help shows usage, options and examples`, async () => {
      const { code, stdout, stderr } = await bench.run([...command.split(" "), "--help"]);
      assert.equal(code, 0, stderr);
      assert.ok(stdout.startsWith(`Usage: master-agent ${command} `));
      for (const part of ["--store <place>", "--queue <name>", "--json", "Examples:", `$ npx master-agent ${command}`]) {
        assert.ok(stdout.includes(part), part);
      }
      for (const line of stdout.split("\n")) {
        assert.ok(line.length <= 120, line);
      }
      assert.deepEqual((await bench.run(["help", ...command.split(" ")])).stdout, stdout);
    });
  }

  test("help and mistakes touch neither the addon nor the store", () => {
    assert.equal(existsSync(bench.store), false);
  });

  test("the library loads nothing of the command line", async () => {
    const script = bench.file(
      "library.cjs",
      `require(${JSON.stringify(root)}); console.log(JSON.stringify(Object.keys(require.cache)))`,
    );
    const { stdout } = await bench.start([script]).ended;
    const loaded = (JSON.parse(stdout) as string[]).map((path) => path.replaceAll("\\", "/"));
    assert.ok(loaded.some((path) => path.endsWith("/dist/index.cjs")));
    assert.deepEqual(
      loaded.filter((path) => /\/(bin|cli\.cjs|cli)(\/|$)/.test(path)),
      [],
    );
  });
});
