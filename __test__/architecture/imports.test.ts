/** The rules of dependency inside ts/. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join, posix } from "node:path";
import { describe, test } from "node:test";
import typescript from "typescript";
import { read, root } from "./repository.ts";

const files = readdirSync(join(root, "ts"), { recursive: true, encoding: "utf8" })
  .map((name) => name.replaceAll("\\", "/"))
  .filter((name) => name.endsWith(".ts"))
  .sort();
const library = files.filter((name) => !name.startsWith("cli/"));
const commands = files.filter((name) => name.startsWith("cli/"));

const importsOf = (file: string) =>
  typescript.preProcessFile(read(`ts/${file}`), true, true).importedFiles.map(({ fileName }) => fileName);

/** Where in ts/ an import leads, or undefined if it leads elsewhere. */
function within(file: string, name: string): string | undefined {
  return name.startsWith(".") ? posix.join(posix.dirname(file), name) : undefined;
}

/** What the build puts into dist/cli.cjs, with its licences. */
const bundled = ["cli-progress", "picomatch"];

const builtin = (name: string) => name.startsWith("node:") && isBuiltin(name);

describe("imports in ts/", () => {
  test("there is an entry and a place for the addon", () => {
    assert.ok(files.includes("index.ts"));
    assert.ok(importsOf("native.ts").includes("../binding.js"));
  });

  for (const file of library) {
    test(`${file} imports Node and the library only`, () => {
      for (const name of importsOf(file)) {
        if (file === "native.ts" && name === "../binding.js") continue;
        const target = within(file, name);
        // Nothing is installed with the package, so that nothing from elsewhere may be imported.
        assert.ok(target === undefined ? builtin(name) : !target.startsWith(".."), `${file} imports ${name}`);
        assert.ok(!target?.startsWith("cli/"), `${file} imports the command line: ${name}`);
      }
    });
  }

  for (const file of commands) {
    test(`${file} uses the library as any program does`, () => {
      for (const name of importsOf(file)) {
        const target = within(file, name);
        const own = name === "master-agent" || name === "master-agent/package.json";
        const ok = target === undefined ? builtin(name) || own || bundled.includes(name) : target.startsWith("cli/");
        assert.ok(ok, `${file} imports ${name}`);
      }
    });
  }

  for (const file of files.filter((name) => name !== "native.ts")) {
    test(`${file} does not reach the addon past native.ts`, () => {
      const text = read(`ts/${file}`);
      for (const trace of [/binding\.js/, /process\.dlopen/, /require\([^)]*\.node\b/]) assert.doesNotMatch(text, trace);
    });
  }

  test("user code runs nowhere else: no vm", () => {
    for (const file of files) assert.ok(!importsOf(file).includes("node:vm"), file);
  });
});
