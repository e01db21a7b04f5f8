/** A handler that blocks the event loop for longer than its lease keeps its job: leases are renewed beside the loop. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { MasterAgent } from "master-agent";
import { workerProcess } from "../helpers/child.ts";
import { Ledger } from "../helpers/ledger.ts";
import { PATIENCE } from "../helpers/long.ts";
import { folderFor, storeFor } from "../helpers/place.ts";
import { until } from "../helpers/until.ts";

test("a handler that blocks for 9 s with a lease of 3 s runs exactly once", { timeout: 4 * PATIENCE }, async (t) => {
  const folder = storeFor(t);
  const ledger = new Ledger(join(folderFor(t), "ledger"));
  const setup = { folder, ledger: ledger.path, master: { lease: 3_000, concurrency: 1 }, agents: { block: {} } };
  await using master = new MasterAgent({ store: folder, autostart: false });
  const first = await workerProcess(t, setup);
  const { jobId } = await master.spawn({ agentType: "block", input: { ms: 9_000 } });
  await until("it runs", () => ledger.byJob("began").has(jobId));
  const second = await workerProcess(t, setup);
  // The second one is at work, and idle most of the time.
  const idle = await master.run({ agentType: "block", input: { ms: 1 } });
  assert.equal(idle, second.pid);
  const result = await master.waitForJob(jobId, { timeout: 2 * PATIENCE });
  assert.equal(result.output, first.pid);
  assert.equal(result.attempts, 1);
  assert.equal(ledger.byJob("began").get(jobId)?.length, 1);
  assert.ok(result.duration >= 8_900, `it blocked for ${result.duration} ms`);
  assert.equal((await master.status(jobId))?.stalls, 0);
});

test("a loop that is silent for longer than stallTimeout loses its jobs, and its outcome is not taken", {
  timeout: 4 * PATIENCE,
}, async (t) => {
  const folder = storeFor(t);
  const ledger = new Ledger(join(folderFor(t), "ledger"));
  const setup = { folder, ledger: ledger.path, master: { lease: 500, stallTimeout: 500, concurrency: 1 }, agents: { block: {} } };
  await using master = new MasterAgent({ store: folder, autostart: false });
  const first = await workerProcess(t, setup);
  const { jobId } = await master.spawn({ agentType: "block", input: { ms: 3_000 } });
  await until("it runs", () => ledger.byJob("began").has(jobId));
  await until("it is given up", async () => (await master.status(jobId))?.stalls === 1);
  await first.kill();
  const second = await workerProcess(t, { ...setup, master: { concurrency: 1 } });
  const result = await master.waitForJob(jobId, { timeout: 2 * PATIENCE });
  assert.equal(result.output, second.pid);
  assert.deepEqual(
    ledger
      .byJob("began")
      .get(jobId)
      ?.map(({ pid }) => pid),
    [first.pid, second.pid],
  );
});
