/** The quickstart on a small repository: results, repetition, changes, and being stopped in the middle. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { Bench, type End, type Program } from "../helpers/program.ts";

const skip = process.platform === "win32";
const FILES = 40;
const TASKS = FILES * 3;

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
  for (let index = 0; index < FILES - 2; index++) {
    bench.file(
      `repository/src/module-${index}.ts`,
      `export function one() {}\nexport class Two {}\n${"// line\n".repeat(index)}`,
    );
  }
  bench.file(
    "repository/README.md",
    "# One\n\n## Two\n\n[there](src/module-1.ts) [not there](missing.md) [far](https://example.com)\n\n```\n# none\n```\n",
  );
  bench.file("repository/docs/todo.md", "# Three\n\nTODO: this\n");
  bench.file("repository/node_modules/other/index.js", "left out");
  bench.file("repository/data.bin", "left out");
});
afterEach(() => bench.remove());

const start = (store = "state"): Program =>
  bench.script("examples/quickstart.ts", ["repository", "--store", join(bench.folder, store)]);

/** The numbers in a row of the first table. */
function row({ stdout }: End, agentType: string): { tasks: number; now: number; retries: number; failed: number } {
  const match = new RegExp(`│ ${agentType} +│ +(\\d+) │ +(\\d+) │ +(\\d+) │ +(\\d+) │ +[\\d.]+ ms │`).exec(stdout);
  assert.ok(match, stdout);
  const [tasks = 0, now = 0, retries = 0, failed = 0] = match.slice(1).map(Number);
  return { tasks, now, retries, failed };
}

function fine(end: End): void {
  assert.deepEqual([end.code, end.signal], [0, null], end.stdout + end.stderr);
  assert.equal(end.stderr, "");
}

describe("the quickstart", () => {
  test("looks at every file with every sub-agent, and tries again what fails", async () => {
    const end = await start().ended;
    fine(end);
    assert.match(end.stdout, new RegExp(`^${FILES} files in .*repository, ${TASKS} tasks for 3 sub-agents\n`));
    assert.doesNotMatch(end.stdout, /Already done/);
    assert.match(end.stdout, new RegExp(`^${TASKS} of ${TASKS} tasks, \\d+ retried$`, "m"));
    assert.deepEqual(row(end, "outline"), { tasks: FILES, now: FILES, retries: 0, failed: 0 });
    assert.deepEqual(row(end, "statistics"), { tasks: FILES, now: FILES, retries: 0, failed: 0 });
    const links = row(end, "links");
    assert.deepEqual({ ...links, retries: 0 }, { tasks: FILES, now: FILES, retries: 0, failed: 0 });
    assert.ok(links.retries > 0 && links.retries < FILES, `${links.retries} retries`);
    assert.match(end.stdout, /│ most headings +│ README\.md +│ +2 │/);
    assert.match(end.stdout, /│ largest +│ src\/module-37\.ts +│ +39 lines │/);
    assert.match(end.stdout, /│ broken links +│ README\.md +│ +1 │/);
    assert.match(end.stdout, /│ to do +│ docs\/todo\.md +│ +1 │/);
    assert.doesNotMatch(end.stdout, /\u001b/);
  });

  test("puts the Markdown into a memory, and answers questions with its passages", async () => {
    bench.file("repository/docs/refunds.md", "# Refunds\n\nRefunds are paid within five working days.\n");
    const ask = (question: string): Program =>
      bench.script("examples/quickstart.ts", ["repository", "--store", join(bench.folder, "state"), "--ask", question]);
    const end = await ask("when do I get my money back?").ended;
    fine(end);
    assert.match(end.stdout, /^Memory {2}3 documents, 3 of them new or changed\n3 passages embedded and stored in [\d.]+ s$/m);
    assert.match(end.stdout, /^\? when do I get my money back\? {2}\d+ ms$/m);
    assert.match(
      end.stdout,
      /^ {2}[01]\.\d\d {2}docs\/refunds\.md {2}Refunds\n {2}│ Refunds are paid within five working days\.$/m,
    );
    const again = await ask("what is to be done?").ended;
    fine(again);
    assert.match(again.stdout, /^Memory {2}3 documents, none of them new or changed$/m);
    assert.match(again.stdout, /^ {2}[01]\.\d\d {2}docs\/todo\.md/m);
  });

  test("fails the same way each time", async () => {
    const ends = [await start("one").ended, await start("two").ended];
    ends.forEach(fine);
    assert.deepEqual(...(ends.map((end) => row(end, "links")) as [unknown, unknown]));
  });

  test("finds what is done, and does what changed", async () => {
    fine(await start().ended);
    const again = await start().ended;
    fine(again);
    assert.match(again.stdout, new RegExp(`^Already done in an earlier run: ${TASKS}\\. New or changed: 0\\.$`, "m"));
    assert.match(again.stdout, /^0 tasks in /m);
    assert.deepEqual({ ...row(again, "links"), retries: 0 }, { tasks: FILES, now: 0, retries: 0, failed: 0 });

    bench.file("repository/README.md", "# One\n\n## Two\n\n### Four\n");
    const changed = await start().ended;
    fine(changed);
    assert.match(changed.stdout, new RegExp(`^Already done in an earlier run: ${TASKS - 3}\\. New or changed: 3\\.$`, "m"));
    assert.match(changed.stdout, /│ most headings +│ README\.md +│ +3 │/);
    assert.equal(row(changed, "statistics").now, 1);
  });

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    test(`ends with 0 after ${signal}, and the next run goes on`, { skip }, async () => {
      const first = start();
      await first.says(/ of \d+ tasks/);
      first.kill(signal);
      fine(await first.ended);
      const end = await start().ended;
      fine(end);
      assert.match(end.stdout, /^Already done in an earlier run: \d+/m);
      assert.equal(row(end, "links").tasks, FILES);
    });
  }

  test("goes on after kill -9, without doing anything twice", { skip }, async () => {
    const first = start();
    await first.says(/ of \d+ tasks/);
    first.kill("SIGKILL");
    await first.ended;
    const end = await start().ended;
    fine(end);
    const done = Number(/^Already done in an earlier run: (\d+)\. New or changed: 0\.$/m.exec(end.stdout)?.[1]);
    const left = Number(/^Left over from a run that was interrupted: (\d+)\.$/m.exec(end.stdout)?.[1] ?? 0);
    assert.equal(done + left, TASKS);
    assert.ok(done > 0);
    const now = ["outline", "statistics", "links"].map((agentType) => row(end, agentType).now);
    assert.equal(
      now.reduce((sum, count) => sum + count, 0),
      left,
    );
  });

  test("a reader that goes away is no failure", async () => {
    const program = start();
    program.child.stdout?.once("data", () => program.child.stdout?.destroy());
    const { code, stderr } = await program.ended;
    assert.deepEqual([code, stderr], [0, ""]);
  });

  test("says what is wrong with the folder", async () => {
    const end = await bench.script("examples/quickstart.ts", ["nowhere"]).ended;
    assert.equal(end.code, 1);
    assert.match(end.stderr, /nowhere/);
    assert.doesNotMatch(end.stderr, /^\s+at /m);
  });
});
