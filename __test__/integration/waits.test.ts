/** A waiting `waitForJob` is always answered, whatever becomes of its task and of those around it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { MasterAgent, type TaskResult } from "master-agent";
import { workerProcess } from "../helpers/child.ts";
import { afterwards } from "../helpers/cleanup.ts";
import { PATIENCE } from "../helpers/long.ts";
import { agentFor, masterFor, queueOf } from "../helpers/masters.ts";
import { storeFor } from "../helpers/place.ts";
import { gate, soon, until } from "../helpers/until.ts";

test("with the result, also when the task has ended before, and as often as it is asked", async (t) => {
  const master = masterFor(t);
  const agentType = agentFor(t, (input) => input);
  const handle = await master.spawn({ agentType, input: { a: 1 } });
  const results = await Promise.all([
    master.waitForJob(handle),
    master.waitForJob(handle.jobId),
    master.waitForJobs([handle, handle.jobId, handle]),
  ]);
  const all: TaskResult[] = results.flat();
  assert.equal(all.length, 5);
  for (const result of all) {
    assert.deepEqual(result, all[0]);
  }
  assert.deepEqual(await master.waitForJob(handle), all[0]);
  assert.deepEqual(await master.waitForJob(handle, { timeout: 0 }), all[0]);
});

test("with the failure", async (t) => {
  const master = masterFor(t);
  const agentType = agentFor(t, () => Promise.reject(new Error("no")));
  const result = await master.waitForJob(await master.spawn({ agentType, attempts: 1 }));
  assert.deepEqual([result.success, result.error?.message], [false, "no"]);
});

test("with a timeout, after which the task goes on", async (t) => {
  const master = masterFor(t);
  const open = gate();
  const agentType = agentFor(t, () => open.opened.then(() => "late"));
  const handle = await master.spawn({ agentType });
  const begun = Date.now();
  await assert.rejects(master.waitForJob(handle, { timeout: 50 }), (error: { code: string; retryable: boolean }) => {
    assert.deepEqual([error.code, error.retryable], ["ERR_WAIT_TIMEOUT", true]);
    return true;
  });
  assert.ok(Date.now() - begun >= 49);
  await assert.rejects(master.waitForJob(handle, { timeout: 0 }), { code: "ERR_WAIT_TIMEOUT" });
  open.open();
  assert.equal((await master.waitForJob(handle)).output, "late");
});

test("with an abort, before and after the wait begins", async (t) => {
  const master = masterFor(t, { autostart: false });
  const handle = await master.spawn({ agentType: "nobody" });
  const reason = new Error("enough");
  const isAborted = (error: { code: string; cause: unknown }) => {
    assert.equal(error.code, "ERR_WAIT_ABORTED");
    assert.equal(error.cause, reason);
    return true;
  };
  await assert.rejects(master.waitForJob(handle, { signal: AbortSignal.abort(reason) }), isAborted);
  await assert.rejects(master.waitForJob(handle, { timeout: 0, signal: AbortSignal.abort(reason) }), isAborted);
  const controller = new AbortController();
  const waits = [
    master.waitForJob(handle, { signal: controller.signal }),
    master.waitForJobs([handle, handle], { signal: controller.signal, timeout: 60_000 }),
    master.run({ agentType: "nobody" }, { signal: controller.signal }),
  ];
  const answers = Promise.all(waits.map((wait) => assert.rejects(soon("the abort", wait), isAborted)));
  // They have begun, and go on.
  await master.status(handle);
  controller.abort(reason);
  await answers;
  await assert.rejects(master.waitForJob(handle, { signal: AbortSignal.timeout(20) }), { code: "ERR_WAIT_ABORTED" });
});

test("run() that is aborted takes its task back", async (t) => {
  const master = masterFor(t, { autostart: false });
  const controller = new AbortController();
  const running = master.run({ agentType: "nobody" }, { signal: controller.signal });
  const answer = assert.rejects(running, { code: "ERR_WAIT_ABORTED" });
  const queue = queueOf(t, master);
  let waiting = await queue.list({ state: "waiting" });
  while (waiting.jobs.length === 0) {
    waiting = await queue.list({ state: "waiting" });
  }
  controller.abort();
  await answer;
  const result = await master.waitForJob(waiting.jobs[0]?.jobId as string);
  assert.equal(result.state, "cancelled");
});

test("with the cancellation of a task that waits, is delayed or runs", async (t) => {
  const master = masterFor(t);
  const begun = gate();
  const agentType = agentFor(t, () => {
    begun.open();
    return new Promise(() => {});
  });
  const running = await master.spawn({ agentType });
  await begun.opened;
  const waiting = await master.spawn({ agentType: "nobody" });
  const delayed = await master.spawn({ agentType, delay: 3_600_000 });
  for (const handle of [running, waiting, delayed]) {
    const wait = master.waitForJob(handle);
    assert.equal(await master.cancel(handle, "not wanted"), true);
    const result = await soon("the answer", wait);
    assert.ok(!result.success);
    assert.deepEqual([result.state, result.error.code], ["cancelled", "ERR_TASK_CANCELLED"]);
    assert.match(result.error.message, /cancelled/);
    assert.equal(await master.cancel(handle), false, "it has ended");
  }
});

test("the reason of a cancellation reaches the result and the handler", async (t) => {
  const master = masterFor(t);
  const begun = gate<AbortSignal>();
  const agentType = agentFor(t, (_input, { signal }) => {
    begun.open(signal);
    return new Promise(() => {});
  });
  const waiting = await master.spawn({ agentType: "nobody" });
  await master.cancel(waiting, "not wanted");
  assert.equal((await master.waitForJob(waiting)).error?.message, "the job was cancelled: not wanted");
  const running = await master.spawn({ agentType });
  const signal = await begun.opened;
  await master.cancel(running, "not wanted");
  assert.equal((await master.waitForJob(running)).error?.message, "the job was cancelled: not wanted");
  assert.equal(signal.reason.message, "the job was cancelled: not wanted");
});

for (const [what, take] of [
  ["remove", (queue, jobId) => queue.remove(jobId)],
  ["drain", (queue) => queue.drain({ delayed: true })],
  ["clean", (queue) => queue.clean({ state: "waiting" })],
  ["obliterate", (queue) => queue.obliterate()],
] satisfies [string, (queue: ReturnType<typeof queueOf>, jobId: string) => Promise<unknown>][]) {
  test(`with ERR_JOB_REMOVED after ${what}`, async (t) => {
    const master = masterFor(t, { autostart: false });
    const queue = queueOf(t, master);
    const { jobId } = await master.spawn({ agentType: "nobody" });
    const waits = [master.waitForJob(jobId), master.waitForJobs([jobId, jobId])];
    const answers = Promise.all(
      waits.map((wait) => assert.rejects(soon<unknown>("the answer", wait), { code: "ERR_JOB_REMOVED" })),
    );
    await master.status(jobId);
    await take(queue, jobId);
    await answers;
    await assert.rejects(master.waitForJob(jobId), { code: "ERR_JOB_NOT_FOUND" });
  });
}

test("obliterate by force answers for what runs, too", async (t) => {
  const master = masterFor(t);
  const queue = queueOf(t, master);
  const begun = gate<AbortSignal>();
  const agentType = agentFor(t, (_input, { signal }) => {
    begun.open(signal);
    return new Promise(() => {});
  });
  const { jobId } = await master.spawn({ agentType });
  const signal = await begun.opened;
  const aborted = new Promise((resolve) => signal.addEventListener("abort", resolve));
  const answer = assert.rejects(soon("the answer", master.waitForJob(jobId)), { code: "ERR_JOB_REMOVED" });
  await assert.rejects(queue.obliterate(), { code: "ERR_JOB_STATE" });
  await queue.obliterate({ force: true });
  await answer;
  await soon("the abort", aborted);
  assert.equal(signal.reason.code, "ERR_TASK_LOST");
});

test("with ERR_CLOSED when its master closes, and not when another one does", async (t) => {
  const store = storeFor(t);
  const master = masterFor(t, { store, autostart: false });
  const other = masterFor(t, { store, autostart: false });
  const handle = await master.spawn({ agentType: "nobody" });
  const answer = assert.rejects(soon("the answer", master.waitForJob(handle)), { code: "ERR_CLOSED" });
  const kept = other.waitForJob(handle);
  await master.close();
  await answer;
  await assert.rejects(master.waitForJob(handle), { code: "ERR_CLOSED" });
  await other.cancel(handle);
  assert.equal((await soon("the other answer", kept)).state, "cancelled");
});

test("with ERR_JOB_NOT_FOUND where there is no such job", async (t) => {
  const master = masterFor(t, { autostart: false });
  for (const jobId of ["4711", "some-key", "0", "007", "9".repeat(30), "-1", "💥"]) {
    await assert.rejects(soon("the answer", master.waitForJob(jobId)), { code: "ERR_JOB_NOT_FOUND" }, jobId);
    assert.equal(await master.status(jobId), null, jobId);
  }
});

test("of tasks that leave no trace", async (t) => {
  const master = masterFor(t);
  const agentType = agentFor(t, (input) => input);
  const handles = await master.spawnParallel(
    Array.from({ length: 50 }, (_, input) => ({ agentType, input, removeOnComplete: true, delay: 30 })),
  );
  const results = await soon("all answers", master.waitForJobs(handles));
  assert.deepEqual(
    results.map((result) => result.output),
    Array.from({ length: 50 }, (_, n) => n),
  );
});

test("from another process, with every kind of end", async (t) => {
  const folder = storeFor(t);
  const worker = await workerProcess(t, { folder, agents: { echo: {}, fail: {}, hold: {} } });
  const master = masterFor(t, { store: folder, autostart: false });
  const queue = queueOf(t, master);

  const done = await master.spawn({ agentType: "echo", input: { there: "and back" } });
  assert.deepEqual((await soon("the result", master.waitForJob(done))).output, { there: "and back" });

  const failed = await master.spawn({ agentType: "fail", input: { message: "far away" }, attempts: 1 });
  assert.equal((await soon("the failure", master.waitForJob(failed))).error?.message, "far away");

  const held = await master.spawn({ agentType: "hold" });
  const wait = master.waitForJob(held);
  await worker.next("holding");
  assert.equal(await master.cancel(held), true);
  assert.equal((await soon("the cancellation", wait)).state, "cancelled");
  assert.equal((await worker.next("aborted")).code, "ERR_TASK_CANCELLED");

  const removed = await master.spawn({ agentType: "nobody" });
  const theirs = assert.rejects(worker.call("master", "waitForJob", removed.jobId), { code: "ERR_JOB_REMOVED" });
  await worker.call("master", "status", removed.jobId);
  await queue.remove(removed);
  await soon("the removal", theirs);

  const left = await master.spawn({ agentType: "hold" });
  const closed = assert.rejects(worker.call("master", "waitForJob", left.jobId), { code: "ERR_CLOSED" });
  await worker.next("holding");
  const ours = master.waitForJob(left);
  worker.send({ type: "call", id: -1, target: "master", method: "close", args: [{ timeout: 0 }] });
  await soon("the close", closed);
  assert.equal((await worker.next("aborted")).code, "ERR_CLOSED");
  // It was given back, and another process ends it.
  const second = await workerProcess(t, { folder, agents: { hold: {} } });
  await second.next("holding");
  second.send({ type: "release", jobId: left.jobId, value: "second" });
  assert.equal((await soon("the result", ours)).output, "second");
});

test("when the process that runs the task is killed, by the one that takes it up", async (t) => {
  const folder = storeFor(t);
  const first = await workerProcess(t, { folder, agents: { hold: {} } });
  const master = masterFor(t, { store: folder, autostart: false });
  const handle = await master.spawn({ agentType: "hold" });
  const wait = master.waitForJob(handle);
  await first.next("holding");
  const second = await workerProcess(t, { folder, agents: { hold: {} } });
  await first.kill();
  const held = await second.next("holding");
  assert.deepEqual([held.attempt, held.stalls], [1, 1]);
  second.send({ type: "release", jobId: handle.jobId, value: "second" });
  assert.equal((await soon("the result", wait)).output, "second");
});

test("from another environment of this process", async (t) => {
  const folder = storeFor(t);
  const source = `
    const { parentPort, workerData } = require("node:worker_threads");
    const { MasterAgent } = require(workerData.entry);
    const master = new MasterAgent({ store: workerData.folder, autostart: false });
    parentPort.on("message", async (jobId) => {
      if (jobId === "end") { await master.close(); parentPort.close(); return; }
      try {
        parentPort.postMessage({ jobId, output: (await master.waitForJob(jobId)).output });
      } catch (error) {
        parentPort.postMessage({ jobId, code: error.code });
      }
    });
    master.status("1").then(() => parentPort.postMessage("ready"));
  `;
  const entry = new URL("../../index.js", import.meta.url).pathname;
  const thread = new Worker(source, { eval: true, workerData: { entry, folder } });
  afterwards(t, () => thread.terminate());
  const answers: unknown[] = [];
  const next = () => soon("a message", new Promise((resolve) => thread.once("message", resolve)));
  await next();
  const master = masterFor(t, { store: folder });
  const agentType = agentFor(t, (input) => input);
  const done = await master.spawn({ agentType, input: "hello", delay: 50 });
  const cancelled = await master.spawn({ agentType: "nobody" });
  const removed = await master.spawn({ agentType: "nobody" });
  thread.postMessage(done.jobId);
  answers.push(await next());
  thread.postMessage(cancelled.jobId);
  await master.cancel(cancelled);
  answers.push(await next());
  thread.postMessage("0815");
  answers.push(await next());
  assert.deepEqual(answers, [
    { jobId: done.jobId, output: "hello" },
    { jobId: cancelled.jobId, output: undefined },
    { jobId: "0815", code: "ERR_JOB_NOT_FOUND" },
  ]);
  await queueOf(t, master).remove(removed);
  const ended = new Promise((resolve) => thread.once("exit", resolve));
  thread.postMessage("end");
  assert.equal(await soon("the end of the thread", ended), 0);
});

test("thousands of waits at once, in order", { timeout: 4 * PATIENCE }, async (t) => {
  const master = masterFor(t, { concurrency: 50 });
  const agentType = agentFor(t, (input) => input);
  const inputs = Array.from({ length: 10_000 }, (_, n) => n);
  const handles = await master.spawnParallel(inputs.map((input) => ({ agentType, input })));
  assert.equal(new Set(handles.map(({ jobId }) => jobId)).size, inputs.length);
  const results = await master.waitForJobs(handles);
  assert.deepEqual(
    results.map((result) => result.output),
    inputs,
  );
});

test("waitForJobs answers with the first wait that cannot be answered", async (t) => {
  const master = masterFor(t, { autostart: false });
  const waiting = await master.spawn({ agentType: "nobody" });
  await assert.rejects(soon("the answer", master.waitForJobs([waiting, "4711", waiting])), { code: "ERR_JOB_NOT_FOUND" });
  assert.deepEqual(await master.waitForJobs([]), []);
});

test("a master that was never used closes, and so do its waits", async (t) => {
  const master = new MasterAgent({ store: storeFor(t), autostart: false });
  await master.close();
  await master.close();
  await assert.rejects(master.waitForJob("1"), { code: "ERR_CLOSED" });
  await assert.rejects(master.spawn({ agentType: "a" }), { code: "ERR_CLOSED" });
  await assert.rejects(master.start(), { code: "ERR_CLOSED" });
});

test("of tasks that have ended and left no trace before the wait began", async (t) => {
  const master = masterFor(t);
  const queue = queueOf(t, master);
  const good = agentFor(t, (input) => input);
  const bad = agentFor(t, () => Promise.reject(new Error("no")));
  for (let n = 0; n < 20; n++) {
    assert.equal(await master.run({ agentType: good, input: n, removeOnComplete: true }), n);
  }
  const key = await master.spawn({ agentType: good, input: "by key", jobId: "key", removeOnComplete: true });
  const failed = await master.spawn({ agentType: bad, attempts: 1, removeOnFail: true });
  await until("they have left", async () => {
    const counts = await queue.counts();
    return counts.waiting + counts.active + counts.completed + counts.failed === 0;
  });
  assert.equal((await master.waitForJob(key)).output, "by key");
  assert.equal((await master.waitForJob(failed)).error?.message, "no");
  assert.equal(await master.status(key), null);
});

test("of tasks whose ends made place for those of others before the wait began", async (t) => {
  const master = masterFor(t, { concurrency: 1, defaultJobOptions: { removeOnComplete: 2 } });
  const queue = queueOf(t, master);
  const agentType = agentFor(t, (input) => input);
  const handles = await master.spawnParallel(Array.from({ length: 20 }, (_, input) => ({ agentType, input })));
  await until("all have ended", async () => {
    const { waiting, active } = await queue.counts();
    return waiting + active === 0;
  });
  assert.equal((await queue.counts()).completed, 2);
  const results = await master.waitForJobs(handles);
  assert.deepEqual(
    results.map(({ output }) => output),
    Array.from({ length: 20 }, (_, n) => n),
  );
  // One that is kept and runs again is not answered by its first end.
  const last = handles[19] as (typeof handles)[number];
  await queue.pause();
  await queue.retry(last);
  await assert.rejects(master.waitForJob(last, { timeout: 100 }), { code: "ERR_WAIT_TIMEOUT" });
  await queue.resume();
  assert.equal((await master.waitForJob(last)).output, 19);
});
