/** The small examples run and say what they are to show. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { Bench, root } from "../helpers/program.ts";

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.remove());

describe("examples", () => {
  test("parallel.ts", async () => {
    const { code, stdout, stderr } = await bench.script("examples/parallel.ts").ended;
    assert.deepEqual([code, stderr], [0, ""]);
    assert.equal(
      stdout,
      [
        "HELLO has 5 letters",
        "1000 tasks, 500500 letters",
        "failed after 2 attempts: RangeError: there is nothing to measure",
        "",
      ].join("\n"),
    );
  });

  test("cancel-and-progress.ts", async () => {
    const { code, stdout, stderr } = await bench.script("examples/cancel-and-progress.ts").ended;
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^short-\d+ is at \{"step":3,"of":3\}$/m);
    assert.match(stdout, /^short-\d+ completed: 3$/m);
    assert.match(stdout, /^long-\d+ cancelled: ERR_TASK_CANCELLED: .*nobody needs it any more$/m);
  });

  test("worker-process: a producer and two workers", async () => {
    const agents = join(root, "examples", "worker-process", "agents.js");
    const producer = bench.script("examples/worker-process/producer.ts");
    await producer.says(/200 tasks are in /);
    const workers = [bench.command(["worker", agents]), bench.command(["worker", agents])];
    const { code, stdout, stderr } = await producer.ended;
    assert.deepEqual([code, stderr], [0, ""]);
    const counts = [...stdout.matchAll(/^process (\d+) did (\d+)$/gm)].map(
      ([, pid, count]) => [Number(pid), Number(count)] as const,
    );
    assert.equal(
      counts.reduce((sum, [, count]) => sum + count, 0),
      200,
    );
    for (const [pid] of counts) {
      assert.ok(workers.some(({ child }) => child.pid === pid));
    }
  });
});
