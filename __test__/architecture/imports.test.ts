/** The rules of dependency inside ts/. */
import assert from "node:assert/strict";
import { isBuiltin } from "node:module";
import { describe, test } from "node:test";
import typescript from "typescript";
import { list, read } from "./repository.ts";

const files = list("ts").filter((name) => name.endsWith(".ts"));
const importsOf = (file: string) =>
  typescript.preProcessFile(read(`ts/${file}`), true, true).importedFiles.map(({ fileName }) => fileName);

describe("imports in ts/", () => {
  test("there is an entry and a place for the addon", () => {
    assert.ok(files.includes("index.ts"));
    assert.ok(importsOf("native.ts").includes("../binding.js"));
  });

  for (const file of files) {
    test(`${file} imports Node and its neighbours only`, () => {
      for (const name of importsOf(file)) {
        if (file === "native.ts" && name === "../binding.js") continue;
        // Nothing is installed with the package, so that nothing from elsewhere may be imported.
        assert.ok(name.startsWith("./") || (name.startsWith("node:") && isBuiltin(name)), `${file} imports ${name}`);
      }
    });

    if (file !== "native.ts") {
      test(`${file} does not reach the addon past native.ts`, () => {
        const text = read(`ts/${file}`);
        for (const trace of [/binding\.js/, /process\.dlopen/, /createRequire/, /["'][^"']*\.node["']/])
          assert.doesNotMatch(text, trace);
      });
    }
  }

  test("user code runs nowhere else: no eval and no vm", () => {
    for (const file of files) assert.ok(!importsOf(file).includes("node:vm"), file);
  });
});
