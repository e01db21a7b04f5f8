/** What a user gets: the tarballs, installed in an empty project, in each way of loading them. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { runtimeFiles } from "../../scripts/lib/runtime.mjs";
import {
  model as bundled,
  node,
  offlineNode,
  platformFolder,
  repositoryTool,
  root,
  run,
  Scratch,
  type Tarball,
} from "./project.ts";

const scratch = new Scratch();
let main: Tarball;
let platform: Tarball;
let model: Tarball;
let project: string;

before(async () => {
  main = scratch.packMain();
  platform = await scratch.packPlatform();
  model = scratch.packModel();
  project = scratch.install([main, platform, model]);
  scratch.addTypeScript(project);
});
after(() => scratch.remove());

/** Writes the files of one case into a folder of its own inside the project. */
function place(name: string, files: Record<string, string>, inside = project): string {
  const folder = join(inside, name);
  mkdirSync(folder);
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  return folder;
}

/** The example of the documentation, as it stands. */
const example = `
class MySubAgent { agentType = "my-agent"; async run(input) { return { answer: input.query.toUpperCase() }; } }
registerSubAgent(new MySubAgent());
const master = new MasterAgent();
const { taskId, jobId } = await master.spawn({ agentType: "my-agent", input: { query: "hello" } });
const result = await master.waitForJob(jobId);
`;
const esm = `import { MasterAgent, registerSubAgent } from "master-agent";${example}`;
const cjs = `const { MasterAgent, registerSubAgent } = require("master-agent");\n(async () => {${example}`;
const print = "console.log(JSON.stringify({ taskId, jobId, result }));\n";

/** The same with the types that strict TypeScript asks for; the compiler checks that the result is what it is said to be. */
const typed = `import { MasterAgent, registerSubAgent, type TaskResult } from "master-agent";
class MySubAgent { agentType = "my-agent" as const; async run(input: { query: string }) { return { answer: input.query.toUpperCase() }; } }
registerSubAgent(new MySubAgent());
const master = new MasterAgent();
async function main(): Promise<void> {
  const { taskId, jobId } = await master.spawn({ agentType: "my-agent", input: { query: "hello" } });
  const result: TaskResult = await master.waitForJob(jobId);
  console.log(JSON.stringify({ taskId, jobId, result }));
}
export function mistaken(result: TaskResult): unknown {
  // @ts-expect-error: only a result that succeeded has an output
  return result.output.missing;
}
main().catch((error: unknown) => { console.error(error); process.exitCode = 1; });
`;

/** A use of memory: the document that answers is found among others. */
const memory = `
(async () => {
  await addRAGDocument("The cellar was painted green last spring.", { source: "diary" });
  await addRAGDocument("Our boiler gets repaired by the plumber on Tuesday.", { source: "user" });
  await addRAGDocument("Parrots live for sixty years.", { source: "book" });
  const [best] = await ragRetrieve("When will the heating work again?", { limit: 1 });
  console.log(JSON.stringify({ text: best.text, metadata: best.metadata }));
})().catch((error) => { console.error(error); process.exitCode = 1; });
`;
const memoryTyped = memory
  .replace("(async () => {", "(async (): Promise<void> => {")
  .replace("const [best]", "const [best]: RAGResult[]")
  .replace("  console.log", '  if (best === undefined) throw new Error("nothing was found");\n  console.log')
  .replace("(error)", "(error: unknown)");

/** Runs a script that uses memory, without a network, and checks what it found. */
function findsDocument(script: string, cwd: string): void {
  const { code, signal, stdout, stderr } = offlineNode([script], cwd);
  assert.equal(signal, null, `did not exit by itself\n${stdout}${stderr}`);
  assert.equal(code, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), {
    text: "Our boiler gets repaired by the plumber on Tuesday.",
    metadata: { source: "user" },
  });
  assert.equal(stderr, "");
  assert.ok(existsSync(join(cwd, "data", "lancedb")), "the memory is in ./data/lancedb");
}

interface Printed {
  taskId: string;
  jobId: string;
  result: { taskId: string; jobId: string; agentType: string; success: boolean; output: unknown; attempts: number };
}

/** Runs a script that must end by itself, and checks what it printed. */
function runsExample(script: string, cwd: string): void {
  const { code, signal, stdout, stderr } = node([script], cwd);
  assert.equal(signal, null, `did not exit by itself\n${stdout}${stderr}`);
  assert.equal(code, 0, stderr);
  const { taskId, jobId, result } = JSON.parse(stdout) as Printed;
  assert.equal(typeof taskId, "string");
  assert.equal(typeof jobId, "string");
  assert.equal(result.success, true);
  assert.deepEqual(result.output, { answer: "HELLO" });
  assert.equal(result.taskId, taskId);
  assert.equal(result.jobId, jobId);
  assert.equal(result.agentType, "my-agent");
  assert.equal(result.attempts, 1);
  assert.equal(stderr, "");
  assert.ok(existsSync(join(cwd, "data")), "the state is in ./data");
}

describe("tarballs", () => {
  test("the main package has what it needs and nothing else", () => {
    const files = main.files.filter((file) => !/^bin\/.+\.js$/.test(file));
    assert.deepEqual(files, [
      "LICENSE",
      "README.md",
      "binding.js",
      "dist/cli.cjs",
      "dist/index.cjs",
      "dist/index.cjs.map",
      "index.d.mts",
      "index.d.ts",
      "index.js",
      "index.mjs",
      "package.json",
    ]);
    assert.ok(main.files.includes("bin/master-agent.js"));
  });

  test("the platform package has the addon and ONNX Runtime", () => {
    const files = ["LICENSE", "README.md", `master-agent.${platformFolder()}.node`, "package.json"];
    assert.deepEqual(platform.files, [...files, ...runtimeFiles(platformFolder())].sort());
  });

  test("the package of the model has the model and what has to be said of it", () => {
    assert.deepEqual(model.files, [
      "LICENSE",
      "NOTICE",
      "README.md",
      "model.json",
      "model.onnx",
      "package.json",
      "tokenizer.json",
    ]);
  });

  test("the model is installed beside the main package, once", () => {
    assert.deepEqual(
      readdirSync(join(project, "node_modules")).filter((name) => name.startsWith("master-agent")),
      ["master-agent", `master-agent-${platformFolder()}`, bundled.name].sort(),
    );
    assert.ok(!existsSync(join(project, "node_modules", "master-agent", "node_modules")));
    assert.ok(!existsSync(join(project, "node_modules", "master-agent", "npm")));
  });

  test("the entries are found and typed in every kind of resolution", () => {
    repositoryTool("@arethetypeswrong/cli/dist/index.js", [main.path, "--format", "ascii", "--no-emoji"], scratch.folder);
  });

  test("the manifest is in order", () => {
    repositoryTool(
      "publint/src/cli.js",
      [join(project, "node_modules", "master-agent"), "--strict", "--pack", "false"],
      scratch.folder,
    );
  });
});

describe("an installed package", () => {
  test("runs the example as CommonJS", () => {
    const folder = place("cjs", { "main.cjs": `${cjs}${print}})();\n` });
    runsExample("main.cjs", folder);
  });

  test("runs the example as an ES module", () => {
    const folder = place("esm", { "main.mjs": `${esm}${print}` });
    runsExample("main.mjs", folder);
  });

  test("runs it again on the state of the first run", () => {
    const folder = place("again", { "main.mjs": `${esm}${print}` });
    runsExample("main.mjs", folder);
    runsExample("main.mjs", folder);
  });

  test("finds documents as CommonJS, without a network", () => {
    const folder = place("memory-cjs", {
      "main.cjs": `const { addRAGDocument, ragRetrieve } = require("master-agent");${memory}`,
    });
    findsDocument("main.cjs", folder);
  });

  test("finds documents as an ES module, without a network", () => {
    const folder = place("memory-esm", { "main.mjs": `import { addRAGDocument, ragRetrieve } from "master-agent";${memory}` });
    findsDocument("main.mjs", folder);
  });

  const strict = {
    target: "es2022",
    types: ["node"],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    verbatimModuleSyntax: true,
    skipLibCheck: false,
    outDir: "out",
  };
  const kinds = [
    {
      name: "node16 as an ES module",
      file: "main.mts",
      out: "main.mjs",
      options: { module: "node16", moduleResolution: "node16" },
    },
    {
      name: "node16 as CommonJS",
      file: "main.cts",
      out: "main.cjs",
      options: { module: "node16", moduleResolution: "node16", verbatimModuleSyntax: false },
    },
    { name: "nodenext", file: "main.mts", out: "main.mjs", options: { module: "nodenext", moduleResolution: "nodenext" } },
    { name: "bundler", file: "main.mts", out: "main.mjs", options: { module: "esnext", moduleResolution: "bundler" } },
    {
      name: "bundler with the newest library",
      file: "main.mts",
      out: "main.mjs",
      options: { target: "esnext", lib: ["esnext", "dom"], module: "preserve", moduleResolution: "bundler" },
    },
  ];
  for (const { name, file, out, options } of kinds) {
    test(`runs it from strict TypeScript: ${name}`, () => {
      const folder = place(`ts-${name.replaceAll(" ", "-")}`, {
        [file]: typed,
        "tsconfig.json": JSON.stringify({ compilerOptions: { ...strict, ...options }, files: [file] }),
      });
      const compiled = node([join(project, "node_modules", "typescript", "bin", "tsc"), "--project", "."], folder);
      assert.equal(compiled.code, 0, compiled.stdout);
      runsExample(join("out", out), folder);
    });
  }

  test("finds documents from strict TypeScript, without a network", () => {
    const folder = place("memory-ts", {
      "main.mts": `import { addRAGDocument, type RAGResult, ragRetrieve } from "master-agent";${memoryTyped}`,
      "tsconfig.json": JSON.stringify({
        compilerOptions: { ...strict, module: "nodenext", moduleResolution: "nodenext" },
        files: ["main.mts"],
      }),
    });
    const compiled = node([join(project, "node_modules", "typescript", "bin", "tsc"), "--project", "."], folder);
    assert.equal(compiled.code, 0, compiled.stdout);
    findsDocument(join("out", "main.mjs"), folder);
  });

  test("is one copy whichever way it is loaded", () => {
    const folder = place("both", {
      "main.mjs": `
        import assert from "node:assert/strict";
        import { createRequire } from "node:module";
        import * as viaImport from "master-agent";
        const viaRequire = createRequire(import.meta.url)("master-agent");
        assert.deepEqual(Object.keys(viaImport).sort(), Object.keys(viaRequire).sort());
        for (const [name, value] of Object.entries(viaImport)) assert.equal(value, viaRequire[name], name);
        viaImport.registerSubAgent({ agentType: "shared", run: async () => "seen" });
        assert.ok(viaRequire.getSubAgentRegistry().has("shared"));
        const master = new viaRequire.MasterAgent();
        const { jobId } = await master.spawn({ agentType: "shared", input: {} });
        const { output } = await new viaImport.MasterAgent().waitForJob(jobId);
        assert.equal(output, "seen");
        console.log("one copy");
      `,
    });
    const { code, signal, stdout, stderr } = node(["main.mjs"], folder);
    assert.equal(signal, null, "did not exit by itself");
    assert.equal(code, 0, stderr);
    assert.equal(stdout, "one copy\n");
  });

  test("has a command line", () => {
    const folder = place("cli", {});
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    const { code, stdout, stderr } = run("npm", ["exec", "--offline", "--", "master-agent", "--version"], folder);
    assert.equal(code, 0, stderr);
    assert.match(stdout, new RegExp(`^(master-agent )?${version.replaceAll(".", "\\.")}\n$`));
  });

  test("tells what is missing when the package of the platform is", () => {
    const alone = scratch.install([main, model]);
    const folder = place("alone", { "main.mjs": `${esm}${print}` }, alone);
    const { code, signal, stderr } = node(["main.mjs"], folder);
    assert.equal(signal, null, "did not exit by itself");
    assert.notEqual(code, 0);
    assert.match(stderr, /ERR_ADDON_LOAD/);
    assert.ok(stderr.includes(`master-agent-${platformFolder()}`), stderr);
    assert.match(stderr, /install again/i);
  });

  test("runs tasks without the package of the model, and memory tells that it is missing", () => {
    const modelless = scratch.without(bundled.name, project);
    const folder = place("modelless", { "main.mjs": `${esm}${print}` }, modelless);
    runsExample("main.mjs", folder);
    const program = `
      import { addRAGDocument, MasterAgentError } from "master-agent";
      const error = await addRAGDocument("Some fact or note.").catch((reason) => reason);
      console.log(JSON.stringify({ own: error instanceof MasterAgentError, code: error.code, message: error.message }));
    `;
    const memoryFolder = place("modelless-memory", { "main.mjs": program }, modelless);
    const { code, signal, stdout, stderr } = offlineNode(["main.mjs"], memoryFolder);
    assert.equal(signal, null, "did not exit by itself");
    assert.equal(code, 0, stderr);
    const { own, code: reason, message } = JSON.parse(stdout) as { own: boolean; code: string; message: string };
    assert.ok(own);
    assert.equal(reason, "ERR_MODEL_LOAD");
    assert.ok(message.includes(bundled.name), message);
  });
});
