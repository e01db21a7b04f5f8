/** What runs when: priority, order, limits per agent type beside the total. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { getTaskQueue, type JobHandle, unregisterSubAgent } from "master-agent";
import { afterwards } from "../helpers/cleanup.ts";
import { agentFor, masterFor, queueOf } from "../helpers/masters.ts";
import { storeFor } from "../helpers/place.ts";
import { gate, until } from "../helpers/until.ts";

test("priority first, then first in, first out", async (t) => {
  const master = masterFor(t, { autostart: false, concurrency: 1 });
  const ran: unknown[] = [];
  const agentType = agentFor(t, (input) => void ran.push(input));
  const handles: JobHandle[] = [];
  for (const [input, priority] of [
    ["c1", 5],
    ["a1", 0],
    ["d1", 2_097_152],
    ["b1", 1],
    ["a2", 0],
    ["c2", 5],
    ["b2", 1],
    ["a3", undefined],
  ] as const) {
    handles.push(await master.spawn({ agentType, input, priority }));
  }
  await master.start();
  await master.waitForJobs(handles);
  assert.deepEqual(ran, ["a1", "a2", "a3", "b1", "b2", "c1", "c2", "d1"]);
});

test("tasks of one call keep their order among those of others", async (t) => {
  const master = masterFor(t, { autostart: false, concurrency: 1 });
  const ran: number[] = [];
  const agentType = agentFor<number>(t, (input) => void ran.push(input));
  const groups = await Promise.all([
    ...Array.from({ length: 100 }, (_, n) => master.spawn({ agentType, input: n })),
    master.spawnParallel(Array.from({ length: 500 }, (_, n) => ({ agentType, input: 100 + n }))),
    ...Array.from({ length: 100 }, (_, n) => master.spawn({ agentType, input: 600 + n })),
  ]);
  await master.start();
  await master.waitForJobs(groups.flat());
  assert.deepEqual(
    ran,
    Array.from({ length: 700 }, (_, n) => n),
  );
});

test("no more run at once than the concurrency, and as many as it allows", async (t) => {
  const master = masterFor(t, { concurrency: 7 });
  let now = 0;
  let most = 0;
  const agentType = agentFor(t, async () => {
    now += 1;
    most = Math.max(most, now);
    await new Promise((resolve) => setTimeout(resolve, 2));
    now -= 1;
  });
  await master.waitForJobs(await master.spawnParallel(Array.from({ length: 300 }, () => ({ agentType }))));
  assert.equal(most, 7);
});

test("a limit of an agent type holds beside the total, and does not hold up others", async (t) => {
  const master = masterFor(t, { concurrency: 4, autostart: false });
  const open = gate();
  let limited = 0;
  let mostLimited = 0;
  const slow = agentFor(
    t,
    async () => {
      limited += 1;
      mostLimited = Math.max(mostLimited, limited);
      await open.opened;
      limited -= 1;
    },
    { concurrency: 2 },
  );
  const free = agentFor(t, () => "free");
  const slowOnes = await master.spawnParallel(Array.from({ length: 20 }, () => ({ agentType: slow })));
  const freeOnes = await master.spawnParallel(Array.from({ length: 200 }, () => ({ agentType: free })));
  await master.start();
  await master.waitForJobs(freeOnes);
  assert.equal(limited, 2, "the free ones passed by the limited ones, which hold two slots");
  assert.equal((await queueOf(t, master).counts(slow)).active, 2);
  open.open();
  await master.waitForJobs(slowOnes);
  assert.equal(mostLimited, 2);
});

test("every agent type gets its share, whatever the backlog of another", async (t) => {
  const master = masterFor(t, { concurrency: 2, autostart: false });
  const ran: string[] = [];
  const big = agentFor(t, () => void ran.push("big"));
  const small = agentFor(t, () => void ran.push("small"));
  await master.spawnParallel(Array.from({ length: 2_000 }, () => ({ agentType: big })));
  const handles = await master.spawnParallel(Array.from({ length: 10 }, () => ({ agentType: small })));
  await master.start();
  await master.waitForJobs(handles);
  const last = ran.lastIndexOf("small");
  assert.ok(last < 200, `the last of the small backlog came as number ${last}`);
});

test("only registered agent types are claimed, later registrations at once", async (t) => {
  const master = masterFor(t, { autostart: false });
  const queue = queueOf(t, master);
  const known = agentFor(t, () => "known");
  await master.start();
  const unknown = await master.spawn({ agentType: "comes-later", input: 1 });
  assert.equal(await master.run({ agentType: known }), "known");
  assert.equal((await queue.counts("comes-later")).waiting, 1);
  const { registerSubAgent } = await import("master-agent");
  registerSubAgent({ agentType: "comes-later", run: (input: number) => input + 1 });
  afterwards(t, () => unregisterSubAgent("comes-later"));
  assert.equal((await master.waitForJob(unknown)).output, 2);
});

test("queues of one store do not see each other", async (t) => {
  const store = storeFor(t);
  const ran: string[] = [];
  const agentType = agentFor<string>(t, (input) => void ran.push(input));
  const one = masterFor(t, { store, queue: "one", autostart: false });
  const two = masterFor(t, { store, queue: "two", autostart: false });
  const first = await one.spawn({ agentType, input: "one" });
  await two.spawn({ agentType, input: "two" });
  await one.start();
  await one.waitForJob(first);
  assert.deepEqual(ran, ["one"]);
  assert.equal(await two.status(first.jobId), null);
  assert.deepEqual((await queueOf(t, one).queues()).sort(), ["one", "two"]);
  await assert.rejects(two.waitForJob(first.jobId), { code: "ERR_JOB_NOT_FOUND" });
  const queue = getTaskQueue({ store, queue: "two" });
  afterwards(t, () => queue.close());
  assert.equal((await queue.counts()).waiting, 1);
});

test("pause keeps everything waiting, in every process, and resume lets it go", async (t) => {
  const master = masterFor(t);
  const queue = queueOf(t, master);
  const agentType = agentFor(t, () => "done");
  await master.run({ agentType });
  await queue.pause();
  assert.equal(await queue.isPaused(), true);
  const { jobId } = await master.spawn({ agentType });
  await assert.rejects(master.waitForJob(jobId, { timeout: 100 }), { code: "ERR_WAIT_TIMEOUT" });
  assert.equal((await master.status(jobId))?.state, "waiting");
  await queue.pause();
  await queue.resume();
  assert.equal((await master.waitForJob(jobId)).output, "done");
  assert.equal(await queue.isPaused(), false);
});

test("a queue can be paused before its first task", async (t) => {
  const master = masterFor(t);
  const queue = queueOf(t, master);
  const agentType = agentFor(t, () => "done");
  await queue.pause();
  const { jobId } = await master.spawn({ agentType });
  await until("the worker is there", async () => (await queue.workers()).length === 1);
  assert.equal((await master.status(jobId))?.state, "waiting");
  await queue.resume();
  assert.equal((await master.waitForJob(jobId)).output, "done");
});
