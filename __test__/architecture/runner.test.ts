/** The counts that `npm test` closes with are right: nothing that failed is taken for a pass. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { root } from "./repository.ts";

const folder = mkdtempSync(join(tmpdir(), "master-agent-runner-"));
after(() => rmSync(folder, { recursive: true, force: true }));

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
  notes: string[];
}

let files = 0;

function count(source: string): Counts {
  files += 1;
  const file = join(folder, `${files}.test.mjs`);
  writeFileSync(
    file,
    `import assert from "node:assert"; import { after, before, describe, it, test } from "node:test";\n${source}`,
  );
  const env = { ...process.env };
  delete env["NODE_TEST_CONTEXT"];
  const reporter = join(root, "scripts", "lib", "counter.mjs");
  const { stdout } = spawnSync(process.execPath, ["--test", `--test-reporter=${reporter}`, file], {
    cwd: root,
    env,
    encoding: "utf8",
  });
  return JSON.parse(stdout) as Counts;
}

describe("counts", () => {
  test("tests in and outside of suites pass", () => {
    assert.deepEqual(count(`describe("s", () => { it("a", () => {}); it("b", () => {}); }); test("c", () => {});`), {
      passed: 3,
      failed: 0,
      skipped: 0,
      notes: [],
    });
  });

  test("a diagnostic message changes no count", () => {
    const { passed, failed } = count(`it("a", (t) => t.diagnostic("12 ms")); it("b", (t) => t.diagnostic("13 ms"));`);
    assert.deepEqual([passed, failed], [2, 0]);
  });

  test("a failure counts once, not again for its suite and file", () => {
    const { passed, failed } = count(`describe("s", () => { it("a", () => assert.fail()); it("b", () => {}); });`);
    assert.deepEqual([passed, failed], [1, 1]);
  });

  test("what is skipped or still to do is neither", () => {
    const { passed, failed, skipped } = count(`it.skip("a", () => {}); it("b", { todo: true }, () => assert.fail());`);
    assert.deepEqual([passed, failed, skipped], [0, 0, 2]);
  });

  test("a hook that fails is a failure", () => {
    assert.ok(count(`describe("s", () => { before(() => assert.fail()); it("a", () => {}); });`).failed > 0);
    assert.ok(count(`after(() => assert.fail()); it("a", () => {});`).failed > 0);
  });

  test("a file that cannot be loaded is a failure", () => {
    assert.equal(count(`import "./missing.mjs";`).failed, 1);
  });

  test("a process that ends in the middle is a failure", () => {
    assert.ok(count(`it("a", () => process.exit(0)); it("b", () => {});`).failed > 0);
    const { passed, failed, notes } = count(
      `it("a", () => {}); it("b", async () => { await new Promise(setImmediate); process.exit(0); }); it("c", () => {});`,
    );
    assert.equal(passed, 1);
    assert.equal(failed, 1);
    assert.match(notes.join(), /ended before these did: b, c$/);
  });

  test("subtests are counted beside the test that they are in", () => {
    const { passed, failed, notes } = count(
      `test("a", async (t) => { await t.test("b", () => {}); await t.test("c", () => {}); });`,
    );
    assert.deepEqual([passed, failed, notes], [3, 0, []]);
  });

  test("a file without a test is a failure", () => {
    const { failed, notes } = count("");
    assert.equal(failed, 1);
    assert.equal(notes.length, 1);
  });

  test("a rejection that nobody handles is a failure", () => {
    assert.ok(count(`it("a", async () => { Promise.reject(new Error("lost")); await new Promise(setImmediate); });`).failed > 0);
  });
});
