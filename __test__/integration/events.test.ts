/** Typed events of the tasks of a queue, whichever process they run in. */

import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { test } from "node:test";
import type { MasterAgent, TaskEvent } from "master-agent";
import { script, workerProcess } from "../helpers/child.ts";
import { agentFor, masterFor, queueOf } from "../helpers/masters.ts";
import { storeFor } from "../helpers/place.ts";
import { soon, until } from "../helpers/until.ts";

/** Listens to everything; complete when the engine has heard of it. */
async function listen(t: Parameters<typeof queueOf>[0], master: MasterAgent): Promise<TaskEvent[]> {
  const events: TaskEvent[] = [];
  for (const type of ["task:started", "task:progress", "task:completed", "task:failed", "task:retrying"] as const) {
    master.on(type, (event) => events.push({ type, ...event } as TaskEvent));
  }
  await master.status("1");
  await queueOf(t, master).counts();
  return events;
}

const outline = (events: readonly TaskEvent[]) => events.map(({ type, attempt }) => [type, attempt]);

test("the life of a task in the same process", async (t) => {
  const master = masterFor(t);
  const events = await listen(t, master);
  const agentType = agentFor(t, async (_input, { attempt, progress }) => {
    await progress({ half: true });
    if (attempt === 1) {
      throw new Error("first");
    }
    return "good";
  });
  const handle = await master.spawn({ agentType, taskId: "mine", backoff: 5 });
  await master.waitForJob(handle);
  await until("the last event", () => events.at(-1)?.type === "task:completed");
  assert.deepEqual(outline(events), [
    ["task:started", 1],
    ["task:progress", 1],
    ["task:retrying", 1],
    ["task:started", 2],
    ["task:progress", 2],
    ["task:completed", 2],
  ]);
  assert.ok(events.every((event) => event.jobId === handle.jobId && event.taskId === "mine" && event.agentType === agentType));
  const retrying = events[2];
  assert.ok(retrying?.type === "task:retrying" && retrying.error.message === "first" && retrying.delay === 5);
  const completed = events[5];
  assert.ok(completed?.type === "task:completed" && completed.output === "good");
});

test("failures, cancellations and dead letters are task:failed", async (t) => {
  const master = masterFor(t);
  const events = await listen(t, master);
  const bad = agentFor(t, () => Promise.reject(new TypeError("no")));
  const failed = await master.spawn({ agentType: bad, attempts: 1 });
  await master.waitForJob(failed);
  const cancelled = await master.spawn({ agentType: "nobody" });
  await master.cancel(cancelled);
  await until("both events", () => events.filter(({ type }) => type === "task:failed").length === 2);
  const codes = events.map((event) => (event.type === "task:failed" ? [event.jobId, event.error.code] : []));
  assert.deepEqual(codes, [[], [failed.jobId, "ERR_TASK_FAILED"], [cancelled.jobId, "ERR_TASK_CANCELLED"]]);
});

test("the life of a task in another process, and of one that dies with it", async (t) => {
  const folder = storeFor(t);
  const worker = await workerProcess(t, { folder, agents: { talk: {}, hold: {}, die: {} } });
  const master = masterFor(t, { store: folder, autostart: false });
  const events = await listen(t, master);
  // A worker learns of a listener with its next look at the store.
  await until("events come across", async () => {
    const probe = await master.spawn({ agentType: "hold" });
    const { jobId } = await worker.next("holding");
    worker.send({ type: "release", jobId });
    await master.waitForJob(probe);
    return events.length > 0;
  });
  const handle = await master.spawn({ agentType: "talk", input: {} });
  const { jobId } = await worker.next((message) => message.type === "holding" && message.jobId === handle.jobId);
  worker.send({ type: "release", jobId, value: "over there" });
  await master.waitForJob(handle);
  const own = () => events.filter((event) => event.jobId === handle.jobId);
  await until("the last event", () => own().at(-1)?.type === "task:completed");
  assert.deepEqual(outline(own()), [
    ["task:started", 1],
    ["task:progress", 1],
    ["task:completed", 1],
  ]);
  const dying = await master.spawn({ agentType: "die", maxStalls: 0 });
  await worker.exited;
  await workerProcess(t, { folder, agents: { hold: {} } });
  const result = await soon("the dead letter", master.waitForJob(dying));
  assert.deepEqual([result.state, result.error?.code], ["dead", "ERR_TASK_STALLED"]);
  await until("the event", () =>
    events.some(
      (event) => event.jobId === dying.jobId && event.type === "task:failed" && event.error.code === "ERR_TASK_STALLED",
    ),
  );
});

test("for await gives all events until it is left, aborted or closed", async (t) => {
  const master = masterFor(t);
  const agentType = agentFor(t, (input) => input);
  const stream = master.events();
  await master.run({ agentType, input: 1 });
  const seen: string[] = [];
  for await (const event of stream) {
    seen.push(event.type);
    if (event.type === "task:completed") {
      break;
    }
  }
  assert.deepEqual(seen, ["task:started", "task:completed"]);
  const controller = new AbortController();
  const aborted = master.events({ signal: controller.signal });
  const reading = aborted.next();
  controller.abort();
  assert.equal((await soon("the end", reading)).done, true);
  const closed = master.events().next();
  await master.close();
  assert.equal((await soon("the end", closed)).done, true);
});

test("a slow reader loses the oldest events and is told how many", async (t) => {
  const master = masterFor(t);
  const agentType = agentFor(t, (input) => input);
  const stream = master.events({ buffer: 4 });
  await master.waitForJobs(await master.spawnParallel(Array.from({ length: 10 }, (_, input) => ({ agentType, input }))));
  await until("the rest was dropped", () => stream.dropped === 16);
  await stream.return();
});

test("once and off", async (t) => {
  const master = masterFor(t);
  const agentType = agentFor(t, (input) => input);
  const seen: unknown[] = [];
  const listener = () => seen.push("never");
  master.on("task:completed", listener);
  master.off("task:completed", listener);
  master.once("task:completed", ({ output }) => seen.push(output));
  await master.run({ agentType, input: 1 });
  await master.run({ agentType, input: 2 });
  await until("the event", () => seen.length === 1);
  assert.deepEqual(seen, [1]);
});

test("a listener that throws is an uncaught exception that nothing else suffers from", async (t) => {
  const source = `
    const thrown = [];
    process.on("uncaughtException", (error) => thrown.push(error.message));
    api.registerSubAgent({ agentType: "echo", run: (input) => input });
    const master = new api.MasterAgent({ store: args[0] });
    let completed = 0;
    master.on("task:completed", () => { throw new Error("mine"); });
    master.on("task:completed", () => { completed += 1; });
    const handles = await master.spawnParallel([1, 2, 3].map((input) => ({ agentType: "echo", input })));
    const results = await master.waitForJobs(handles);
    await master.run({ agentType: "echo", input: 4 });
    while (completed < 4 || thrown.length < 4) await new Promise((resolve) => setTimeout(resolve, 5));
    say([results.map(({ output }) => output), thrown]);
  `;
  const end = await script(t, source, [storeFor(t)]);
  assert.deepEqual(
    [end.code, end.lines],
    [
      0,
      [
        [
          [1, 2, 3],
          ["mine", "mine", "mine", "mine"],
        ],
      ],
    ],
    end.stderr,
  );
});

test("handlers and listeners run in no caller's asynchronous context", async (t) => {
  const caller = new AsyncLocalStorage<number>();
  const seen = new Set<unknown>();
  const agentType = agentFor(t, () => {
    seen.add(caller.getStore());
  });
  const master = caller.run(-1, () => masterFor(t));
  master.on("task:completed", () => seen.add(caller.getStore()));
  for (let turn = 0; turn < 200; turn++) {
    await caller.run(turn, async () => {
      await master.waitForJob(await master.spawn({ agentType }));
      assert.equal(caller.getStore(), turn, "who waits keeps its own");
    });
  }
  assert.deepEqual([...seen], [undefined]);
});
