/** Which sub-agents `worker` finds in a module, and what it says where it finds none. */
import assert from "node:assert/strict";
import { existsSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { Bench, root } from "../helpers/program.ts";

const bench = new Bench();
after(() => bench.remove());

describe("what is served", () => {
  const modules: [name: string, file: string, text: string, served: string[]][] = [
    ["named exports", "named.mjs", `export const a = { agentType: "a", run() {} }; export const other = 1;`, ["a"]],
    ["a default export", "default.mjs", `export default { agentType: "a", run() {} };`, ["a"]],
    [
      "arrays",
      "array.mjs",
      `export default [{ agentType: "a", run() {} }]; export const more = [{ agentType: "b", run() {} }];`,
      ["a", "b"],
    ],
    ["classes", "class.mjs", `export class A { agentType = "a"; run() {} } export class Base { run() {} }`, ["a"]],
    [
      "a class beside its instance, once",
      "both.mjs",
      `export class A { agentType = "a"; run() {} } export const a = new A();`,
      ["a"],
    ],
    [
      "module.exports",
      "exports.cjs",
      `module.exports = { a: { agentType: "a", run() {} }, list: [{ agentType: "b", run() {} }] };`,
      ["a", "b"],
    ],
    ["one CommonJS object", "single.cjs", `module.exports = { agentType: "a", run() {} };`, ["a"]],
    [
      "what it registers itself",
      "registers.cjs",
      `const { registerSubAgent } = require("master-agent");
       class A { agentType = "a"; run() {} }
       registerSubAgent(new A(), { concurrency: 1 }); module.exports = { A };`,
      ["a"],
    ],
    [
      "what it registers as an ES module",
      "registers.mjs",
      `import { registerSubAgent } from "master-agent"; registerSubAgent({ agentType: "a", run() {} });`,
      ["a"],
    ],
    [
      "TypeScript",
      "typed.ts",
      `interface Input { a: string } export class A { agentType = "a" as const; run(input: Input) { return input.a; } }`,
      ["a"],
    ],
    [
      "TypeScript as an ES module",
      "typed.mts",
      `export const a: { agentType: string; run(): void } = { agentType: "a", run() {} };`,
      ["a"],
    ],
  ];
  for (const [name, file, text, served] of modules) {
    test(name, async () => {
      const project = `served/${file.replaceAll(".", "-")}`;
      const path = bench.file(`${project}/${file}`, text);
      bench.file(`${project}/node_modules/.keep`, "");
      for (const dependency of ["master-agent", "tsx"]) {
        const target = dependency === "tsx" ? join(root, "node_modules", "tsx") : root;
        symlinkSync(target, join(bench.folder, project, "node_modules", dependency), "junction");
      }
      const worker = bench.command(["worker", path, "--json"]);
      await worker.says(/"event":"ready".*\n/);
      const ready = JSON.parse(worker.stdout.split("\n")[0] ?? "") as { agents: string[]; store: string; queue: string };
      assert.deepEqual(ready.agents.sort(), served);
      assert.equal(ready.store, bench.store);
      worker.kill("SIGTERM");
      await worker.ended;
    });
  }
});

describe("what is refused", () => {
  const store = join(bench.folder, "untouched");
  const modules: [name: string, file: string, text: string | undefined, message: RegExp][] = [
    ["a file that is not there", "agnets.mjs", undefined, /does not exist\. Did you mean agents\.mjs\?/],
    ["a folder", ".", undefined, /is a folder/],
    ["data", "data.json", "{}", /its name must end with \.js/],
    ["a syntax error", "syntax.mjs", "export const a = 1;\nexport const b = ;\n", /SyntaxError: .*syntax\.mjs:2/],
    ["an error at load", "throws.mjs", `throw new Error("at load");`, /could not be loaded: Error: at load/],
    ["something else thrown", "string.mjs", `throw "a string";`, /could not be loaded: a string/],
    ["a missing dependency", "missing.cjs", `require("not-installed-here");`, /Cannot find module 'not-installed-here'/],
    ["a module that never loads", "endless.mjs", "await new Promise(() => {});", /waits for something at its top level/],
    ["no sub-agent", "none.mjs", "export const a = { run() {} };", /has no sub-agent/],
    [
      "two for one type",
      "two.mjs",
      `export const a = { agentType: "x", run() {} }; export const b = { agentType: "x", run() {} };`,
      /two sub-agents for "x": a and b/,
    ],
    [
      "an empty type",
      "empty.mjs",
      `export const a = { agentType: "", run() {} };`,
      /its export a cannot be registered: .*agentType/,
    ],
    [
      "a class that needs arguments",
      "needs.mjs",
      "export class A { constructor(o) { this.agentType = o.type; } run() {} }",
      /class A is left out/,
    ],
  ];
  test("each with ERR_CLI_MODULE, the file's name, exit code 1 and no stack", async () => {
    bench.file("agents.mjs", "export {};");
    for (const [name, file, text, message] of modules) {
      if (text !== undefined) {
        bench.file(file, text);
      }
      const { code, stdout, stderr } = await bench.run(["worker", file, "--store", store]);
      assert.equal(code, 1, `${name}: ${stderr}`);
      assert.equal(stdout, "", name);
      assert.match(stderr, /\(ERR_CLI_MODULE\)\n$/, name);
      assert.match(stderr, message, name);
      assert.ok(stderr.includes(join(bench.folder, file)), name);
      assert.doesNotMatch(stderr, /^\s+at /m, name);
    }
  });

  test("TypeScript where nothing reads it", {
    skip: Boolean((process.features as { typescript?: unknown }).typescript),
  }, async () => {
    const { code, stderr } = await bench.run(["worker", bench.file("plain.ts", "export {};"), "--store", store]);
    assert.equal(code, 1);
    assert.match(stderr, /npm install --save-dev tsx.*ERR_CLI_MODULE/);
  });

  test("with the stack of the cause if --verbose is given", async () => {
    bench.file("throws.mjs", `throw new Error("at load");`);
    const { stderr } = await bench.run(["worker", "throws.mjs", "--store", store, "--verbose"]);
    assert.match(stderr, /caused by: Error: at load\n\s+at .*throws\.mjs/);
  });

  test("a wrong setting, before anything is loaded or stored", async () => {
    bench.file("fine.mjs", `export const a = { agentType: "a", run() {} };`);
    for (const [args, env, exit, message] of [
      [["--concurrency", "0"], {}, 2, /--concurrency must be a whole number from 1/],
      [["--concurrency", "many"], {}, 2, /--concurrency/],
      [["--lease", "5"], {}, 2, /--lease/],
      [["--drain-timeout", "-1"], {}, 2, /--drain-timeout/],
      [[], { WORKER_CONCURRENCY: "x" }, 1, /WORKER_CONCURRENCY.*ERR_INPUT_INVALID/],
      [[], { WORKER_LEASE_MS: "1" }, 1, /WORKER_LEASE_MS.*ERR_INPUT_INVALID/],
    ] as [string[], Record<string, string>, number, RegExp][]) {
      const { code, stderr } = await bench.run(["worker", "fine.mjs", "--store", store, ...args], env);
      assert.equal(code, exit, stderr);
      assert.match(stderr, message);
    }
  });

  test("a store that cannot be opened", async () => {
    bench.file("fine.mjs", `export const a = { agentType: "a", run() {} };`);
    const blocked = join(bench.file("a-file", ""), "store");
    const { code, stderr } = await bench.run(["worker", "fine.mjs", "--store", blocked]);
    assert.equal(code, 1);
    assert.match(stderr, /^error .*ERR_STORE_/);
    assert.ok(stderr.includes(blocked));
  });

  test("none of them made a store", () => assert.equal(existsSync(store), false));
});
