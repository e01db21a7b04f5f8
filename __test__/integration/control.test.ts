/** Looking into a queue and changing what is in it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type JobInfo, type JobState, MasterAgent, type TaskQueue } from "master-agent";
import { workerProcess } from "../helpers/child.ts";
import { afterwards } from "../helpers/cleanup.ts";
import { agentFor, masterFor, queueOf } from "../helpers/masters.ts";
import { folderFor, storeFor } from "../helpers/place.ts";
import { gate, soon, until } from "../helpers/until.ts";

const STATES: readonly JobState[] = ["active", "waiting", "delayed", "completed", "failed", "cancelled", "dead"];

async function all(queue: TaskQueue, options: Parameters<TaskQueue["jobs"]>[0] = {}): Promise<JobInfo[]> {
  const jobs: JobInfo[] = [];
  for await (const job of queue.jobs(options)) {
    jobs.push(job);
  }
  return jobs;
}

/** What `counts` says is what the lists hold. */
async function countsFit(queue: TaskQueue): Promise<void> {
  const counts = await queue.counts();
  for (const state of STATES) {
    const jobs = await all(queue, { state, limit: 7 });
    assert.equal(jobs.length, counts[state], `${state}: ${JSON.stringify(counts)}`);
    assert.ok(jobs.every((job) => job.state === state));
    assert.equal(new Set(jobs.map(({ jobId }) => jobId)).size, jobs.length, "no job twice");
  }
}

test("a job tells all that is known of it", async (t) => {
  const master = masterFor(t, { name: "tester" });
  const queue = queueOf(t, master);
  const open = gate();
  const begun = gate();
  const agentType = agentFor(t, async (_input, context) => {
    await context.progress({ done: 1, of: 2 });
    begun.open();
    await open.opened;
    return { answer: 42 };
  });
  const before = Date.now();
  const handle = await master.spawn({
    agentType,
    input: { question: "…" },
    taskId: "my-task",
    parentTaskId: "my-parent",
    metadata: { user: 7 },
    jobId: "my-job",
    priority: 3,
    attempts: 2,
    timeout: 60_000,
  });
  assert.deepEqual(handle, { taskId: "my-task", jobId: "my-job", agentType });
  await begun.opened;
  const active = (await queue.get("my-job")) as JobInfo;
  assert.equal(active.state, "active");
  assert.equal(typeof active.worker, "string");
  assert.deepEqual(active.progress, { done: 1, of: 2 });
  const [worker] = await queue.workers();
  assert.deepEqual([worker?.name, worker?.running, worker?.queue], ["tester", 1, master.queue]);
  assert.equal(worker?.id, active.worker);
  open.open();
  const result = await master.waitForJob(handle);
  const job = (await master.status(handle)) as JobInfo;
  assert.ok(
    before <= job.addedAt && job.addedAt <= (job.startedAt as number) && (job.startedAt as number) <= (job.finishedAt as number),
  );
  const { addedAt, startedAt, finishedAt, options, worker: _worker, ...rest } = job;
  assert.deepEqual(rest, {
    jobId: "my-job",
    taskId: "my-task",
    agentType,
    parentTaskId: "my-parent",
    input: { question: "…" },
    metadata: { user: 7 },
    state: "completed",
    priority: 3,
    attempts: 1,
    stalls: 0,
    runAt: null,
    output: { answer: 42 },
    error: null,
    progress: { done: 1, of: 2 },
  });
  assert.deepEqual([result.addedAt, result.startedAt, result.finishedAt], [addedAt, startedAt, finishedAt]);
  assert.deepEqual([options.attempts, options.timeout], [2, 60_000]);
  assert.deepEqual(await queue.getMany(["my-job", "other", handle]), [job, null, job]);
});

test("lists go page by page through every state and agent type, and counts equal them", async (t) => {
  const master = masterFor(t, { concurrency: 3 });
  const queue = queueOf(t, master);
  const open = gate();
  afterwards(t, () => open.open());
  const good = agentFor(t, (input) => input);
  const bad = agentFor(t, () => Promise.reject(new Error("no")));
  const held = agentFor(t, () => open.opened);
  const completed = await master.spawnParallel(Array.from({ length: 25 }, (_, input) => ({ agentType: good, input })));
  const failed = await master.spawnParallel(Array.from({ length: 15 }, (_, input) => ({ agentType: bad, input, attempts: 1 })));
  await master.waitForJobs([...completed, ...failed]);
  const active = await master.spawnParallel(Array.from({ length: 3 }, () => ({ agentType: held })));
  await until("three run", () => master.running === 3);
  await master.spawnParallel(
    Array.from({ length: 40 }, (_, input) => ({ agentType: input % 2 ? good : "other", input, priority: input % 5 })),
  );
  await master.spawnParallel(Array.from({ length: 12 }, (_, input) => ({ agentType: good, delay: 3_600_000 + input })));
  const cancelled = await master.spawnParallel(Array.from({ length: 9 }, () => ({ agentType: good, delay: 60_000 })));
  for (const job of cancelled) {
    await master.cancel(job);
  }
  await countsFit(queue);
  assert.deepEqual(await queue.counts(), {
    active: 3,
    waiting: 40,
    delayed: 12,
    completed: 25,
    failed: 15,
    cancelled: 9,
    dead: 0,
  });
  assert.equal((await queue.counts(good)).waiting, 20);
  assert.equal((await queue.countsByAgent()).other?.waiting, 20);
  assert.deepEqual(await queue.counts("never heard of"), { ...(await queue.counts("x")), waiting: 0 });

  const inOrder = await all(queue, { state: "waiting", agentType: good, limit: 3 });
  assert.equal(inOrder.length, 20);
  assert.deepEqual(
    inOrder.map(({ priority, jobId }) => [priority, Number(jobId)]),
    [...inOrder].map(({ priority, jobId }) => [priority, Number(jobId)] as const).sort(([a, b], [c, d]) => a - c || b - d),
    "waiting jobs come in the order in which they run",
  );
  const newestFirst = await all(queue, { state: "completed", limit: 4 });
  assert.deepEqual(
    newestFirst.map(({ finishedAt }) => finishedAt),
    newestFirst.map(({ finishedAt }) => finishedAt).sort((a, b) => Number(b) - Number(a)),
  );
  const soonest = await all(queue, { state: "delayed", limit: 5 });
  assert.deepEqual(
    soonest.map(({ runAt }) => runAt),
    soonest.map(({ runAt }) => runAt).sort((a, b) => Number(a) - Number(b)),
  );
  const several = await all(queue, { state: ["failed", "cancelled"], limit: 10 });
  assert.equal(several.length, 24);
  const everything = await all(queue, { limit: 11 });
  assert.equal(everything.length, 104);
  assert.equal(new Set(everything.map(({ jobId }) => jobId)).size, 104);
  assert.equal((await queue.list({ limit: 1_000 })).cursor, undefined);
  open.open();
  await master.waitForJobs(active);
});

test("removeOnComplete and removeOnFail bound what is kept", async (t) => {
  const master = masterFor(t, { concurrency: 1 });
  const queue = queueOf(t, master);
  const good = agentFor(t, (input) => input);
  const bad = agentFor(t, () => Promise.reject(new Error("no")));
  const run = async (agentType: string, count: number, options: object) => {
    await master.spawnParallel(Array.from({ length: count }, (_, input) => ({ agentType, input, attempts: 1, ...options })));
    await until("all have ended", async () => {
      const { waiting, active } = await queue.counts();
      return waiting + active === 0;
    });
  };

  await run(good, 10, { removeOnComplete: true });
  assert.equal((await queue.counts()).completed, 0);
  await run(good, 10, { removeOnComplete: false });
  assert.equal((await queue.counts()).completed, 10);
  await run(good, 30, { removeOnComplete: 4 });
  assert.equal((await queue.counts()).completed, 4);
  assert.deepEqual(
    (await all(queue, { state: "completed" })).map(({ input }) => input),
    [29, 28, 27, 26],
    "the newest are kept",
  );
  await run(bad, 12, { removeOnFail: { count: 5 } });
  assert.equal((await queue.counts()).failed, 5);
  assert.equal((await queue.counts()).completed, 4, "the one bound says nothing about the other");
  await run(bad, 3, { removeOnFail: true });
  assert.equal((await queue.counts()).failed, 5);

  await run(good, 1, { removeOnComplete: false });
  const [old] = await all(queue, { state: "completed" });
  await until("it is older than the age", () => Date.now() > (old?.finishedAt ?? 0) + 60);
  await run(good, 1, { removeOnComplete: { age: 50 } });
  const left = await all(queue, { state: "completed" });
  assert.equal(left.length, 1);
  assert.notEqual(left[0]?.jobId, old?.jobId);
  await countsFit(queue);
});

test("a job whose end is not kept can be added again under its id", async (t) => {
  const master = masterFor(t);
  const agentType = agentFor(t, (input) => input);
  for (let round = 0; round < 3; round++) {
    const handle = await master.spawn({ agentType, input: round, jobId: "same", removeOnComplete: true, delay: 20 });
    assert.equal(handle.existing, undefined);
    assert.equal((await master.waitForJob(handle)).output, round);
  }
});

test("a second job with the same id gives the first one, from every process and at the same time", async (t) => {
  const folder = storeFor(t);
  const worker = await workerProcess(t, { folder, start: false });
  const master = masterFor(t, { store: folder });
  let runs = 0;
  const agentType = agentFor(t, () => {
    runs += 1;
    return runs;
  });
  const task = { agentType, jobId: "once", taskId: "the-task" };
  const handles = await Promise.all([
    ...Array.from({ length: 20 }, () => master.spawn(task)),
    ...Array.from({ length: 5 }, () => worker.call<{ jobId: string; existing?: true; taskId: string }>("master", "spawn", task)),
  ]);
  assert.equal(handles.filter(({ existing }) => existing === undefined).length, 1);
  assert.ok(handles.every(({ jobId, taskId }) => jobId === "once" && taskId === "the-task"));
  assert.equal((await master.waitForJob("once")).output, 1);
  const again = await master.spawn({ ...task, taskId: "another" });
  assert.deepEqual([again.existing, again.taskId], [true, "the-task"]);
  const bulk = await master.spawnParallel([task, { agentType, jobId: "twice" }, { agentType, jobId: "twice" }]);
  assert.deepEqual(
    bulk.map(({ jobId, existing }) => [jobId, existing]),
    [
      ["once", true],
      ["twice", undefined],
      ["twice", true],
    ],
  );
  await master.waitForJob("twice");
  assert.equal(runs, 2);
  assert.equal((await queueOf(t, master).counts()).completed, 2);
});

test("retry lets an ended job wait again, with its attempts counted from zero", async (t) => {
  const master = masterFor(t);
  const queue = queueOf(t, master);
  let good = false;
  const attempts: number[] = [];
  const agentType = agentFor(t, (_input, { attempt }) => {
    attempts.push(attempt);
    if (!good) {
      throw new Error("not yet");
    }
    return "now";
  });
  const handle = await master.spawn({ agentType, attempts: 2 });
  assert.equal((await master.waitForJob(handle)).success, false);
  good = true;
  await queue.retry(handle);
  const result = await master.waitForJob(handle);
  assert.deepEqual([result.output, result.attempts, result.error], ["now", 1, undefined]);
  assert.deepEqual(attempts, [1, 2, 1]);
  assert.equal((await queue.get(handle))?.error, null);
  await countsFit(queue);
});

test("promote, remove, retry and cancel refuse what the state does not allow", async (t) => {
  const master = masterFor(t);
  const queue = queueOf(t, master);
  const open = gate();
  const begun = gate();
  const agentType = agentFor(t, () => {
    begun.open();
    return open.opened;
  });
  const active = await master.spawn({ agentType });
  await begun.opened;
  const waiting = await master.spawn({ agentType: "nobody" });
  const delayed = await master.spawn({ agentType: "nobody", delay: 60_000 });
  const refused = async (call: Promise<unknown>, code = "ERR_JOB_STATE") => assert.rejects(call, { code });
  await refused(queue.promote(active));
  await refused(queue.promote(waiting));
  await refused(queue.remove(active));
  await refused(queue.retry(active));
  await refused(queue.retry(waiting));
  await refused(queue.retry(delayed));
  for (const change of ["promote", "remove", "retry", "cancel"] as const) {
    await refused(queue[change]("4711"), "ERR_JOB_NOT_FOUND");
    await refused(queue[change]("no-such-key"), "ERR_JOB_NOT_FOUND");
  }
  await queue.promote(delayed);
  await queue.remove(delayed);
  await queue.remove(waiting);
  open.open();
  await master.waitForJob(active);
  await queue.remove(active);
  assert.equal(await queue.get(active), null);
  await countsFit(queue);
});

test("drain removes what waits, clean what is old enough, and both leave what runs", async (t) => {
  const master = masterFor(t);
  const queue = queueOf(t, master);
  const open = gate();
  const begun = gate();
  const held = agentFor(t, () => {
    begun.open();
    return open.opened;
  });
  const good = agentFor(t, (input) => input);
  const active = await master.spawn({ agentType: held });
  await begun.opened;
  await master.waitForJobs(await master.spawnParallel(Array.from({ length: 20 }, () => ({ agentType: good }))));
  await queue.addBulk(Array.from({ length: 2_500 }, () => ({ name: "nobody" })));
  await queue.addBulk(Array.from({ length: 1_200 }, () => ({ name: "nobody", opts: { delay: 60_000 } })));
  assert.equal(await queue.drain(), 2_500);
  assert.equal((await queue.counts()).delayed, 1_200);
  await queue.addBulk(Array.from({ length: 30 }, () => ({ name: "nobody" })));
  assert.equal(await queue.drain({ delayed: true }), 1_230);
  assert.equal(await queue.clean({ age: 3_600_000 }), 0);
  assert.equal(await queue.clean({ limit: 5 }), 5);
  assert.equal(await queue.clean(), 15);
  assert.deepEqual(await queue.counts(), { ...(await queue.counts("none")), active: 1 });
  open.open();
  assert.equal((await master.waitForJob(active)).success, true);
  await countsFit(queue);
});

test("an obliterated queue is empty, and good for new work", async (t) => {
  const master = masterFor(t);
  const queue = queueOf(t, master);
  const good = agentFor(t, (input) => input);
  await master.waitForJobs(await master.spawnParallel(Array.from({ length: 1_500 }, (_, input) => ({ agentType: good, input }))));
  await queue.addBulk(Array.from({ length: 1_500 }, () => ({ name: "nobody" })));
  await queue.addBulk(Array.from({ length: 1_500 }, () => ({ name: "nobody", opts: { delay: 60_000 } })));
  await queue.obliterate();
  assert.deepEqual(await queue.counts(), await queue.counts("none"));
  assert.deepEqual(await all(queue), []);
  assert.deepEqual(await queue.queues(), []);
  assert.equal(await master.run({ agentType: good, input: "again" }), "again");
  await queue.obliterate();
  await queue.obliterate();
  await countsFit(queue);
});

test("log lines are kept with their job, the newest thousand of them", async (t) => {
  const master = masterFor(t);
  const queue = queueOf(t, master);
  const agentType = agentFor<number>(t, async (lines, { log }) => {
    for (let n = 1; n < lines; n++) {
      void log(`line ${n}`);
    }
    await log(`line ${lines}`);
  });
  const handle = await master.spawn({ agentType, input: 1_200 });
  await master.waitForJob(handle);
  const lines = await queue.logs(handle);
  assert.equal(lines.length, 1_000);
  assert.deepEqual([lines[0]?.seq, lines[0]?.line, lines.at(-1)?.line], [201, "line 201", "line 1200"]);
  const later = await queue.logs(handle, { after: 1_190, limit: 3 });
  assert.deepEqual(
    later.map(({ seq }) => seq),
    [1_191, 1_192, 1_193],
  );
  assert.ok(later.every(({ at }) => Math.abs(at - Date.now()) < 600_000));
  await queue.remove(handle);
  await assert.rejects(queue.logs(handle), { code: "ERR_JOB_NOT_FOUND" });
});

test("what a handler says after its task was taken from it is refused", async (t) => {
  const master = masterFor(t);
  const said = gate<unknown[]>();
  const agentType = agentFor(t, async (_input, context) => {
    await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
    const sayings = await Promise.allSettled([context.progress(1), context.log("late"), context.heartbeat()]);
    said.open(sayings.map((saying) => (saying.status === "rejected" ? saying.reason.code : saying.status)));
  });
  const handle = await master.spawn({ agentType, timeout: 50, attempts: 1 });
  await master.waitForJob(handle);
  assert.deepEqual(await soon("its sayings", said.opened), ["ERR_TASK_LOST", "ERR_TASK_LOST", "ERR_TASK_LOST"]);
});

test("child tasks know their parent", async (t) => {
  const master = masterFor(t);
  const child = agentFor(t, (_input, { parentTaskId }) => parentTaskId);
  const parent = agentFor(t, async (_input, { spawn }) => [
    (await spawn({ agentType: child })).jobId,
    (await spawn({ agentType: child, parentTaskId: "adopted" })).jobId,
  ]);
  const handle = await master.spawn({ agentType: parent, taskId: "mother" });
  const ids = (await master.waitForJob(handle)).output as string[];
  const results = await master.waitForJobs(ids);
  assert.deepEqual(
    results.map(({ output, parentTaskId }) => [output, parentTaskId]),
    [
      ["mother", "mother"],
      ["adopted", "adopted"],
    ],
  );
});

test("stop waits for what runs, gives back what takes too long, and starts again", async (t) => {
  const master = masterFor(t, { autostart: false, concurrency: 2 });
  const queue = queueOf(t, master);
  const signals: AbortSignal[] = [];
  const open = gate();
  const patient = agentFor(t, () => open.opened.then(() => "in time"));
  let deafRuns = 0;
  const deaf = agentFor(t, (_input, { signal }) => {
    deafRuns += 1;
    signals.push(signal);
    return deafRuns === 1 ? new Promise(() => {}) : "second run";
  });
  const first = await master.spawn({ agentType: patient });
  const second = await master.spawn({ agentType: deaf });
  const third = await master.spawn({ agentType: patient });
  await master.start();
  await until("two run", () => master.running === 2);
  const stopped = master.stop({ timeout: 300 });
  open.open();
  assert.equal((await master.waitForJob(first)).output, "in time");
  assert.deepEqual(await stopped, { released: 1 });
  assert.equal(signals[0]?.reason.code, "ERR_CLOSED");
  assert.equal(master.working, false);
  assert.deepEqual([(await master.status(second))?.state, (await master.status(third))?.state], ["waiting", "waiting"]);
  assert.equal((await master.status(second))?.stalls, 0, "a job that is given back did not stall");
  assert.deepEqual(await queue.workers(), []);
  await master.start();
  assert.deepEqual(
    (await master.waitForJobs([second, third])).map(({ output, attempts }) => [output, attempts]),
    [
      ["second run", 1],
      ["in time", 1],
    ],
  );
});

test("enqueueTask, enqueueTasks and add put tasks into the same queue", async (t) => {
  const store = folderFor(t);
  const { enqueueTask, enqueueTasks, getTaskQueue, QUEUE_NAME } = await import("master-agent");
  const before = process.env.APP_DATA_DIR;
  process.env.APP_DATA_DIR = store;
  afterwards(t, () => {
    if (before === undefined) {
      delete process.env.APP_DATA_DIR;
    } else {
      process.env.APP_DATA_DIR = before;
    }
  });
  const agentType = agentFor(t, (input) => input);
  const queue = getTaskQueue();
  await using master = new MasterAgent();
  assert.equal(queue.name, QUEUE_NAME);
  assert.equal(queue.store, master.store);
  const handles = [
    await enqueueTask({ agentType, input: 1, taskId: "one" }),
    ...(await enqueueTasks([
      { agentType, input: 2, taskId: "two" },
      { agentType, input: 3, taskId: "three" },
    ])),
    await queue.add(agentType, 4),
    await queue.enqueue({ agentType, input: 5 }, { priority: 1 }),
  ];
  const results = await master.waitForJobs(handles);
  assert.deepEqual(
    results.map(({ output }) => output),
    [1, 2, 3, 4, 5],
  );
  assert.deepEqual(
    results.slice(0, 3).map(({ taskId }) => taskId),
    ["one", "two", "three"],
  );
  await queue.close();
});
