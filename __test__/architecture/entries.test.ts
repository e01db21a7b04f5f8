/** The entry points and the contract name the same things. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { describe, test } from "node:test";
import * as viaImport from "master-agent";
import typescript from "typescript";
import { root } from "./repository.ts";

const viaRequire = createRequire(import.meta.url)("master-agent") as Record<string, unknown>;

/** The names of values (not of types alone) that index.d.ts exports. */
function declared(): string[] {
  const entry = `${root}/index.d.ts`;
  const program = typescript.createProgram([entry], { types: ["node"], noEmit: true });
  const source = program.getSourceFile(entry);
  assert.ok(source);
  const checker = program.getTypeChecker();
  const module = checker.getSymbolAtLocation(source);
  assert.ok(module);
  return checker
    .getExportsOfModule(module)
    .filter(({ declarations = [] }) => !declarations.some(typescript.isTypeOnlyExportDeclaration))
    .map((symbol) => (symbol.flags & typescript.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol))
    .filter(({ flags }) => (flags & typescript.SymbolFlags.Value) !== 0)
    .map(({ name }) => name)
    .sort();
}

describe("entries", () => {
  test("import and require give the same names", () => {
    assert.deepEqual(Object.keys(viaImport).sort(), Object.keys(viaRequire).sort());
  });

  test("import and require give the same values", () => {
    for (const [name, value] of Object.entries(viaImport)) assert.equal(value, viaRequire[name], name);
  });

  test("the contract declares them, and nothing that is not there", () => {
    assert.deepEqual(declared(), Object.keys(viaRequire).sort());
  });

  test("the names of the reference are there", () => {
    const names = ["MasterAgent", "registerSubAgent", "unregisterSubAgent", "getSubAgentRegistry", "EchoSubAgent"];
    const queue = ["getTaskQueue", "enqueueTask", "enqueueTasks", "DEFAULT_JOB_OPTS", "QUEUE_NAME"];
    for (const name of [...names, ...queue]) assert.ok(name in viaRequire, name);
  });
});
