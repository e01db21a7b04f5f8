/** The master over a fake session: spawning, waiting, running, closing. What the engine does with jobs is tested with the engine. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { afterEach, describe, test } from "node:test";
import type { MasterAgentOptions, TaskContext } from "../../ts/index.ts";
import { FakeSession, freshStore, nativeError, useFakeSession } from "../helpers/fake-session.ts";
import { api } from "../helpers/ts.ts";
import { until } from "../helpers/until.ts";

useFakeSession();
const { MasterAgent, registerSubAgent, unregisterSubAgent, getSubAgentRegistry, getTaskQueue, enqueueTask, enqueueTasks } = api;

const open: { close(): Promise<void> }[] = [];
function newMaster(options: MasterAgentOptions = {}) {
  const master = new MasterAgent({ store: freshStore(), ...options });
  open.push({ close: () => master.close({ timeout: 0 }) });
  return master;
}
function register(run: (input: never, context: TaskContext) => unknown, agentType = "work", options = {}) {
  return registerSubAgent({ agentType, run }, options);
}
afterEach(async () => {
  for (const agentType of [...getSubAgentRegistry().keys()]) unregisterSubAgent(agentType);
  FakeSession.failSubmits = undefined;
  FakeSession.failStarts = undefined;
  FakeSession.health = null;
  await Promise.all(open.splice(0).map((one) => one.close()));
});

/** A promise and what resolves it. */
function gate<T = void>() {
  let open!: (value: T) => void;
  const opened = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}
const last = () => FakeSession.opened.at(-1) as FakeSession;
const ops = (session: FakeSession) =>
  session.calls.filter(([name]) => name === "request").map(([, text]) => (JSON.parse(text) as { op: string }).op);

describe("spawn", () => {
  test("gives ids, and the result is found by them", async () => {
    register((input: { query: string }) => ({ answer: input.query.toUpperCase() }));
    const master = newMaster();
    const handle = await master.spawn({ agentType: "work", input: { query: "hello" } });
    assert.deepEqual(handle, { taskId: "1", jobId: "1", agentType: "work" });
    const result = await master.waitForJob(handle.jobId);
    assert.ok(result.success);
    assert.deepEqual(result.output, { answer: "HELLO" });
    assert.equal(result.attempts, 1);
    assert.equal(result.taskId, handle.taskId);
    assert.ok(result.duration >= 0 && result.finishedAt >= result.addedAt);
  });

  test("of one tick is one call", async () => {
    const master = newMaster({ autostart: false });
    const handles = await Promise.all(Array.from({ length: 10 }, () => master.spawn({ agentType: "work" })));
    assert.deepEqual(
      handles.map((handle) => handle.jobId),
      Array.from({ length: 10 }, (_, index) => String(index + 1)),
    );
    assert.equal(last().calls.length, 1);
  });

  test("of many in one tick is several calls in their order", async () => {
    const master = newMaster({ autostart: false });
    const handles = await Promise.all(Array.from({ length: 200 }, () => master.spawn({ agentType: "work" })));
    assert.equal(handles[199]?.jobId, "200");
    assert.ok(last().calls.length > 1 && last().calls.length < 10);
  });

  test("writes nothing for what was not given, and all that was", async () => {
    const master = newMaster({ autostart: false });
    await master.spawn({ agentType: "work", input: [1] });
    assert.deepEqual(last().calls.at(-1), ["submit", '[["work",0,0,0,0,0,0,0,[1]]]']);
    await master.spawn({
      agentType: "work",
      taskId: "t",
      parentTaskId: "p",
      jobId: "k",
      priority: 3,
      delay: 0.5,
      attempts: 5,
      backoff: 250,
      timeout: 1_000,
      removeOnComplete: true,
      removeOnFail: { age: 60_000 },
      metadata: { from: "test" },
    });
    assert.deepEqual(JSON.parse(last().calls.at(-1)?.[1] as string), [
      [
        "work",
        "t",
        "p",
        "k",
        3,
        1,
        {
          attempts: 5,
          backoff: { type: "fixed", delay: 250 },
          timeout: 1_000,
          removeOnComplete: { count: 0 },
          removeOnFail: { age: 60_000 },
        },
        { from: "test" },
        null,
      ],
    ]);
  });

  test("takes the defaults of its master, and its own options over them", async () => {
    const master = newMaster({ autostart: false, defaultJobOptions: { attempts: 7, priority: 9, removeOnFail: false } });
    await master.spawn({ agentType: "work" });
    await master.spawn({ agentType: "work", attempts: 2, priority: undefined });
    assert.deepEqual(
      last().calls.map(([, text]) => (JSON.parse(text) as unknown[][])[0]?.slice(4, 7)),
      [
        [9, 0, { attempts: 7, removeOnFail: {} }],
        [9, 0, { attempts: 2, removeOnFail: {} }],
      ],
    );
  });

  test("with a job id that is taken gives the first job", async () => {
    const master = newMaster({ autostart: false });
    const first = await master.spawn({ agentType: "work", jobId: "once", taskId: "first" });
    assert.deepEqual(first, { taskId: "first", jobId: "once", agentType: "work" });
    const second = await master.spawn({ agentType: "other", jobId: "once", taskId: "second" });
    assert.deepEqual(second, { taskId: "first", jobId: "once", agentType: "work", existing: true });
  });

  test("that the store refuses fails with the code, where the caller is", async () => {
    const master = newMaster({ autostart: false });
    FakeSession.failSubmits = { code: "ERR_STORE_FULL", message: "/data: the disk is full", retryable: true };
    const error = await master.spawn({ agentType: "work" }).then(
      () => assert.fail("it did not fail"),
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof api.MasterAgentError);
    assert.equal(error.code, "ERR_STORE_FULL");
    assert.equal(error.retryable, true);
    assert.equal(error.message, "/data: the disk is full");
    async function caller() {
      await master.spawnParallel([{ agentType: "work" }]);
    }
    await assert.rejects(caller, (thrown: Error) => /at async caller/.test(thrown.stack ?? ""));
  });

  test("spawnParallel adds in order, more than one slice too", async () => {
    const master = newMaster({ autostart: false });
    const handles = await master.spawnParallel(Array.from({ length: 10_001 }, (_, n) => ({ agentType: "work", input: n })));
    assert.equal(handles.length, 10_001);
    assert.equal(handles[10_000]?.jobId, "10001");
    assert.equal(last().calls.length, 2);
    assert.deepEqual(await master.spawnParallel([]), []);
  });
});

describe("waits", () => {
  test("of many jobs answer in order", async () => {
    register((input: number) => input * 2);
    const master = newMaster({ concurrency: 10 });
    const handles = await master.spawnParallel(Array.from({ length: 100 }, (_, n) => ({ agentType: "work", input: n })));
    const results = await master.waitForJobs([...handles].reverse());
    assert.deepEqual(
      results.map((result) => result.output),
      Array.from({ length: 100 }, (_, n) => (99 - n) * 2),
    );
    assert.deepEqual(await master.waitForJobs([]), []);
  });

  test("end with their timeout, and the task goes on", async () => {
    const master = newMaster({ autostart: false });
    const { jobId } = await master.spawn({ agentType: "work" });
    await assert.rejects(master.waitForJob(jobId, { timeout: 1 }), { code: "ERR_WAIT_TIMEOUT", retryable: true });
    assert.equal(last().openWaits, 0);
    assert.equal((await master.status(jobId))?.state, "waiting");
  });

  test("with a timeout of 0 say what is known now", async () => {
    register(() => "done");
    const master = newMaster({ autostart: false });
    const { jobId } = await master.spawn({ agentType: "work" });
    await assert.rejects(master.waitForJob(jobId, { timeout: 0 }), { code: "ERR_WAIT_TIMEOUT" });
    await assert.rejects(master.waitForJob("none", { timeout: 0 }), { code: "ERR_JOB_NOT_FOUND" });
    await master.start();
    const result = await master.waitForJob(jobId);
    assert.deepEqual(await master.waitForJob(jobId, { timeout: 0 }), result);
  });

  test("end with their signal, whose reason is the cause", async () => {
    const master = newMaster({ autostart: false });
    const handles = await master.spawnParallel([{ agentType: "work" }, { agentType: "work" }]);
    const controller = new AbortController();
    const waiting = master.waitForJobs(handles, { signal: controller.signal, timeout: 60_000 });
    const reason = new Error("enough");
    controller.abort(reason);
    await assert.rejects(waiting, { code: "ERR_WAIT_ABORTED", cause: reason });
    await assert.rejects(master.waitForJob(handles[0], { signal: controller.signal }), {
      code: "ERR_WAIT_ABORTED",
      cause: reason,
    });
    await assert.rejects(master.waitForJob(handles[0], { signal: controller.signal, timeout: 0 }), { code: "ERR_WAIT_ABORTED" });
    assert.equal(last().openWaits, 0);
  });

  test("share one listener on their signal, and leave none behind", async () => {
    const master = newMaster({ autostart: false });
    const handle = await master.spawn({ agentType: "work" });
    const controller = new AbortController();
    const { signal } = controller;
    const waits = Array.from({ length: 20 }, () =>
      assert.rejects(master.waitForJob(handle, { signal }), { code: "ERR_WAIT_ABORTED" }),
    );
    assert.equal(getEventListeners(signal, "abort").length, 1);
    const timed = assert.rejects(master.waitForJob(handle, { signal, timeout: 1 }), { code: "ERR_WAIT_TIMEOUT" });
    await timed;
    assert.equal(getEventListeners(signal, "abort").length, 1);
    controller.abort();
    await Promise.all(waits);
    const other = new AbortController();
    await assert.rejects(master.waitForJob(handle, { signal: other.signal, timeout: 1 }), { code: "ERR_WAIT_TIMEOUT" });
    assert.equal(getEventListeners(other.signal, "abort").length, 0);
  });

  test("of a job that is not there, or is removed, fail", async () => {
    const master = newMaster({ autostart: false });
    await assert.rejects(master.waitForJob("none"), { code: "ERR_JOB_NOT_FOUND", details: { jobId: "none" } });
    const { jobId } = await master.spawn({ agentType: "work" });
    const rejected = assert.rejects(master.waitForJob(jobId), { code: "ERR_JOB_REMOVED" });
    const queue = getTaskQueue({ store: master.store });
    open.push(queue);
    await queue.remove(jobId);
    await rejected;
  });

  test("are answered by close", async () => {
    const master = newMaster({ autostart: false });
    const { jobId } = await master.spawn({ agentType: "work" });
    const waiting = master.waitForJob(jobId);
    const rejected = assert.rejects(waiting, { code: "ERR_CLOSED" });
    await master.close();
    await rejected;
  });
});

describe("run", () => {
  test("gives the output, by task, by sub-agent and by name", async () => {
    const agent = register((input: number) => input + 1);
    const master = newMaster();
    assert.equal(await master.run({ agentType: "work", input: 1 }), 2);
    assert.equal(await master.run(agent, 2 as never), 3);
    assert.equal(await master.run("work", 3, { timeout: 60_000, task: { priority: 1 } }), 4);
  });

  test("throws what the handler threw", async () => {
    register(() => {
      throw Object.assign(new RangeError("too far"), { code: "EFAR" });
    });
    const master = newMaster();
    const error = await master.run({ agentType: "work", attempts: 2 }).then(
      () => assert.fail("it did not fail"),
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof api.MasterAgentError);
    assert.equal(error.code, "ERR_TASK_FAILED");
    assert.deepEqual(error.details, { taskId: "1", jobId: "1", agentType: "work", attempts: 2, state: "failed" });
    const cause = error.cause as Error & { code: string };
    assert.equal(cause.name, "RangeError");
    assert.equal(cause.message, "too far");
    assert.equal(cause.code, "EFAR");
    assert.match(cause.stack ?? "", /^RangeError: too far\n\s+at .*master\.test/);
  });

  test("that is aborted cancels its task", async () => {
    const master = newMaster({ autostart: false });
    const controller = new AbortController();
    const running = master.run("work", 1, { signal: controller.signal });
    const aborted = assert.rejects(running, { code: "ERR_WAIT_ABORTED" });
    await master.status("1");
    controller.abort();
    await aborted;
    assert.equal((await master.status("1"))?.state, "cancelled");
    await assert.rejects(master.run("work", 1, { signal: controller.signal }), { code: "ERR_WAIT_ABORTED" });
    assert.equal(await master.status("2"), null);
  });
});

describe("handlers", () => {
  test("know their task", async () => {
    const seen = gate<object>();
    register((_input, context) => {
      const { taskId, jobId, agentType, attempt, maxAttempts, stalls, parentTaskId, metadata, priority } = context;
      seen.open({ taskId, jobId, agentType, attempt, maxAttempts, stalls, parentTaskId, metadata, priority });
    });
    const master = newMaster();
    await master.spawn({ agentType: "work", jobId: "k", taskId: "t", parentTaskId: "p", metadata: { a: 1 }, priority: 4 });
    assert.deepEqual(await seen.opened, {
      taskId: "t",
      jobId: "k",
      agentType: "work",
      attempt: 1,
      maxAttempts: 3,
      stalls: 0,
      parentTaskId: "p",
      metadata: { a: 1 },
      priority: 4,
    });
  });

  test("report progress, log and spawn with functions taken apart from the context", async () => {
    register(async (_input, { progress, log, heartbeat, spawn }) => {
      await progress({ done: 0.5 });
      await log("a line\ud800");
      await heartbeat();
      return spawn({ agentType: "child", input: 1 });
    });
    register(() => "grown", "child");
    const master = newMaster();
    const { jobId } = await master.spawn({ agentType: "work" });
    const result = await master.waitForJob(jobId);
    assert.ok(result.success, JSON.stringify(result));
    const child = await master.waitForJob((result.output as { jobId: string }).jobId);
    assert.equal(child.parentTaskId, jobId);
    assert.deepEqual((await master.status(jobId))?.progress, { done: 0.5 });
    const queue = getTaskQueue({ store: master.store });
    open.push(queue);
    assert.deepEqual(
      (await queue.logs(jobId)).map(({ line }) => line),
      ["a line\ufffd"],
    );
  });

  test("that report too late do no harm", async () => {
    const context = gate<TaskContext>();
    register((_input, given) => context.open(given));
    const master = newMaster();
    await master.waitForJob(await master.spawn({ agentType: "work" }));
    const { progress } = await context.opened;
    void progress(1);
    await assert.rejects(progress(1), { code: "ERR_TASK_LOST" });
    assert.throws(() => progress(1n), { code: "ERR_INPUT_NOT_SERIALIZABLE", details: { field: "progress" } });
  });

  const outcomes: [string, () => unknown, Record<string, unknown>][] = [
    ["returns a function", () => () => {}, { code: "ERR_TASK_RESULT" }],
    ["returns a BigInt later", async () => ({ big: 1n }), { code: "ERR_TASK_RESULT" }],
    // biome-ignore lint/suspicious/noThenProperty: that is what is tested
    ["returns an odd thenable", () => ({ then: (_: unknown, no: (reason: unknown) => void) => no("then") }), { message: "then" }],
    ["throws null", () => Promise.reject(null), { message: "null was thrown", code: "ERR_TASK_FAILED" }],
    [
      "throws a frozen error",
      () => {
        throw Object.freeze(new SyntaxError("cold"));
      },
      { name: "SyntaxError", message: "cold" },
    ],
  ];
  for (const [name, run, expected] of outcomes) {
    test(`whose task ${name} fail it`, async () => {
      register(run);
      const master = newMaster();
      const result = await master.waitForJob(await master.spawn({ agentType: "work" }));
      assert.equal(result.success, false);
      for (const [key, value] of Object.entries(expected)) assert.equal(result.error?.[key as "name"], value);
      assert.equal(result.attempts, expected["code"] === "ERR_TASK_RESULT" ? 1 : 3);
    });
  }

  test("an UnrecoverableError ends the task at once", async () => {
    register(() => {
      throw new api.UnrecoverableError("never");
    });
    const master = newMaster();
    assert.equal((await master.waitForJob(await master.spawn({ agentType: "work" }))).attempts, 1);
  });

  test("see their signal aborted by cancel, and their outcome is ignored", async () => {
    const started = gate<TaskContext>();
    const finish = gate();
    register(async (_input, context) => {
      started.open(context);
      await finish.opened;
      return "too late";
    });
    const master = newMaster();
    const { jobId } = await master.spawn({ agentType: "work" });
    const context = await started.opened;
    assert.equal(await master.cancel(jobId, "not wanted"), true);
    const result = await master.waitForJob(jobId);
    assert.equal(result.success, false);
    assert.equal(result.state, "cancelled");
    assert.equal(result.error?.message, "not wanted");
    // The signal was never asked for before: it is aborted all the same.
    assert.equal(context.signal.aborted, true);
    assert.equal((context.signal.reason as Error & { code: string }).code, "ERR_TASK_CANCELLED");
    assert.equal(master.running, 0);
    finish.open();
    assert.equal(await master.cancel(jobId), false);
  });

  test("that were unregistered give their claimed tasks another chance", async () => {
    const started = gate();
    const finish = gate();
    register(async () => {
      started.open();
      await finish.opened;
    });
    const master = newMaster({ concurrency: 1 });
    const first = await master.spawn({ agentType: "work" });
    await started.opened;
    unregisterSubAgent("work");
    const second = await master.spawn({ agentType: "work" });
    finish.open();
    assert.ok((await master.waitForJob(first)).success);
    assert.notEqual((await master.status(second))?.state, "completed");
    register(() => "again");
    assert.ok((await master.waitForJob(second)).success);
  });
});

describe("schemas", () => {
  const schema = (check: (value: unknown) => unknown) =>
    ({ "~standard": { version: 1, vendor: "test", validate: check } }) as import("../../ts/index.ts").StandardSchema<
      unknown,
      never
    >;
  const number = (value: unknown) =>
    typeof value === "object" && typeof (value as { n?: unknown } | null)?.n === "number"
      ? { value: { n: (value as { n: number }).n + 0.5 } }
      : { issues: [{ message: "expected a number", path: ["n", { key: 0 }] }] };

  for (const [name, check] of [
    ["at once", number],
    ["later", async (value: unknown) => number(value)],
  ] as const) {
    test(`that answer ${name} refuse an input at spawn`, async () => {
      registerSubAgent({ agentType: "work", run: () => 1, inputSchema: schema(check) });
      const master = newMaster();
      await assert.rejects(
        master.spawn({ agentType: "work", input: { n: "1" } }),
        (error: InstanceType<typeof api.MasterAgentError>) => {
          assert.equal(error.code, "ERR_INPUT_SCHEMA");
          assert.match(error.message, /input\.n\[0\]: expected a number/);
          assert.deepEqual(error.details?.["issues"], [{ path: "input.n[0]", message: "expected a number" }]);
          return true;
        },
      );
      await assert.rejects(master.spawnParallel([{ agentType: "work", input: {} }]), { code: "ERR_INPUT_SCHEMA" });
    });

    test(`that answer ${name} give run what they make of the input`, async () => {
      registerSubAgent({ agentType: "work", run: (input: { n: number }) => input.n, inputSchema: schema(check) });
      const master = newMaster();
      assert.equal(await master.run({ agentType: "work", input: { n: 1 } }), 1.5);
    });
  }

  test("are asked again before run, and their refusal is final", async () => {
    const master = newMaster();
    const handle = await master.spawn({ agentType: "work", input: { n: "1" } });
    registerSubAgent({ agentType: "work", run: () => 1, inputSchema: schema(number) });
    const result = await master.waitForJob(handle);
    assert.equal(result.error?.code, "ERR_INPUT_SCHEMA");
    assert.equal(result.attempts, 1);
  });

  test("that break are coded too", async () => {
    for (const check of [() => assert.fail(), () => null, async () => assert.fail()]) {
      registerSubAgent({ agentType: "work", run: () => 1, inputSchema: schema(check) }, { replace: true });
      await assert.rejects(newMaster().spawn({ agentType: "work" }), { code: "ERR_INPUT_SCHEMA" });
    }
  });
});

describe("starting and stopping", () => {
  test("one master of a place works, and another takes over", async () => {
    const store = freshStore();
    const first = newMaster({ store });
    const second = newMaster({ store });
    assert.equal(first.working, false);
    register(() => 1);
    await second.waitForJob(await second.spawn({ agentType: "work" }));
    assert.equal(first.working, true);
    assert.equal(second.working, false);
    await first.close();
    await first.close();
    await second.waitForJob(await second.spawn({ agentType: "work" }));
    assert.equal(second.working, true);
  });

  test("without autostart nothing runs before start", async () => {
    register(() => 1);
    const master = newMaster({ autostart: false });
    const handle = await master.spawn({ agentType: "work" });
    assert.equal((await master.status(handle))?.state, "waiting");
    await Promise.all([master.start(), master.start()]);
    assert.ok((await master.waitForJob(handle)).success);
    assert.deepEqual(await master.stop(), { released: 0 });
    assert.deepEqual(await master.stop(), { released: 0 });
    const later = await master.spawn({ agentType: "work" });
    assert.equal((await master.status(later))?.state, "waiting");
    await master.start();
    assert.ok((await master.waitForJob(later)).success);
  });

  test("stop gives back what does not end in time, and aborts it", async () => {
    const started = gate<TaskContext>();
    register((_input, context) => {
      started.open(context);
      return new Promise(() => {});
    });
    const master = newMaster();
    const handle = await master.spawn({ agentType: "work" });
    const { signal } = await started.opened;
    assert.deepEqual(await master.stop({ timeout: 1 }), { released: 1 });
    assert.equal(signal.aborted, true);
    assert.equal((signal.reason as { code: string }).code, "ERR_CLOSED");
    assert.equal((await master.status(handle))?.state, "waiting");
  });

  test("agents that come later are served", async () => {
    register(() => 1);
    const master = newMaster();
    await master.waitForJob(await master.spawn({ agentType: "work" }));
    const handle = await master.spawn({ agentType: "late" });
    register(() => 2, "late", { concurrency: 2 });
    assert.equal((await master.waitForJob(handle)).output, 2);
    const told = last().calls.findLast(([name, text]) => name === "request" && text.includes('"agents"'));
    assert.deepEqual(JSON.parse(told?.[1] as string), {
      op: "agents",
      agents: [
        ["work", null],
        ["late", 2],
      ],
    });
  });

  test("a store that fails fails start, and is told by health when it starts by itself", async () => {
    FakeSession.failStarts = nativeError("ERR_STORE_READ_ONLY", "/data: cannot be written to");
    register(() => 1);
    const master = newMaster();
    const health = gate<{ error: Error | null }>();
    master.on("health", health.open);
    assert.equal(((await health.opened).error as { code?: string } | null)?.code, "ERR_STORE_READ_ONLY");
    await assert.rejects(newMaster({ autostart: false }).start(), { code: "ERR_STORE_READ_ONLY" });
    FakeSession.failStarts = undefined;
    await master.start();
    assert.ok((await master.waitForJob(await master.spawn({ agentType: "work" }))).success);
  });

  test("a store that fails again and again is told of once, and once that it works", async () => {
    FakeSession.failStarts = nativeError("ERR_STORE_READ_ONLY", "/data: cannot be written to");
    register(() => 1);
    const master = newMaster();
    const told: (string | null)[] = [];
    master.on("health", ({ error }) => told.push(error?.code ?? null));
    // The first start and a second one, which comes by itself.
    const starts = () => FakeSession.opened.at(-1)?.calls.filter(([, text]) => text.includes('"start"')).length ?? 0;
    await until("it has tried again", () => starts() >= 2);
    FakeSession.failStarts = undefined;
    await master.start();
    assert.deepEqual(told, ["ERR_STORE_READ_ONLY", null]);
  });

  test("health tells how the store is", async () => {
    const master = newMaster();
    const { latencyMs, ...well } = await master.health();
    assert.deepEqual(well, { status: "ok", store: "embedded", error: null, server: null });
    assert.ok(latencyMs >= 0 && latencyMs < 1_000, String(latencyMs));
    const server = { name: "redis", version: "7.4.1", mode: "standalone" };
    FakeSession.health = server;
    const remote = newMaster({ store: "redis://:s3cret@somewhere:6379" });
    assert.deepEqual({ ...(await remote.health()), latencyMs }, { status: "ok", store: "redis", latencyMs, error: null, server });
    for (const [code, status] of [
      ["ERR_STORE_UNREACHABLE", "unreachable"],
      ["ERR_STORE_FULL", "failing"],
      ["ERR_STORE_DENIED", "failing"],
    ] as const) {
      FakeSession.health = nativeError(code);
      const found = await remote.health();
      assert.deepEqual([found.status, found.error?.code, found.server], [status, code, null]);
    }
  });

  test("health is answered in time by a store that says nothing", async () => {
    FakeSession.health = undefined;
    const master = newMaster({ store: "redis://:s3cret@somewhere:6379" });
    const found = await master.health({ timeout: 100 });
    assert.equal(found.status, "unreachable");
    assert.ok(found.latencyMs >= 99, String(found.latencyMs));
    assert.equal(found.error?.message, "redis://somewhere:6379: the store did not answer within 100 ms");
    assert.equal(found.error?.retryable, true);
  });

  test("an answer that came while the event loop was blocked counts", async () => {
    const master = newMaster();
    const asked = master.health({ timeout: 100 });
    for (const end = performance.now() + 200; performance.now() < end; );
    assert.equal((await asked).status, "ok");
  });

  test("health throws what is wrong with the call", async () => {
    const master = newMaster();
    for (const options of [{ timeout: 99 }, { timeout: "1" }, { limit: 1 }, 5]) {
      await assert.rejects(master.health(options as never), { code: "ERR_INPUT_INVALID" });
    }
    FakeSession.health = undefined;
    const asked = master.health();
    await Promise.all([assert.rejects(asked, { code: "ERR_CLOSED" }), master.close()]);
  });

  test("everything after close is ERR_CLOSED", async () => {
    const master = newMaster();
    await master.spawn({ agentType: "work" });
    await Promise.all([master.close(), master.close()]);
    for (const call of [
      () => master.spawn({ agentType: "work" }),
      () => master.spawnParallel([{ agentType: "work" }]),
      () => master.waitForJob("1"),
      () => master.run("work", 1),
      () => master.status("1"),
      () => master.health(),
      () => master.cancel("1"),
      () => master.start(),
      async () => master.on("task:failed", () => {}),
      async () => master.events(),
    ]) {
      await assert.rejects(call, { code: "ERR_CLOSED" });
    }
    assert.deepEqual(await master.stop(), { released: 0 });
  });

  test("await using closes", async () => {
    let kept: InstanceType<typeof MasterAgent>;
    {
      await using master = newMaster({ autostart: false });
      kept = master;
    }
    await assert.rejects(kept.spawn({ agentType: "work" }), { code: "ERR_CLOSED" });
  });

  test("a master that does nothing opens nothing", async () => {
    const before = FakeSession.opened.length;
    await newMaster().close();
    assert.equal(FakeSession.opened.length, before);
  });
});

describe("the registry", () => {
  test("knows who is registered", () => {
    const agent = register(() => 1);
    const registry = getSubAgentRegistry();
    assert.equal(registry.get("work"), agent);
    assert.equal(registry.has("work"), true);
    assert.deepEqual([...registry], [["work", agent]]);
    assert.deepEqual([[...registry.keys()], [...registry.values()], registry.size], [["work"], [agent], 1]);
    assert.equal(unregisterSubAgent({ agentType: "work", run: () => 1 }), false, "another sub-agent of the type");
    assert.equal(unregisterSubAgent(agent), true);
    assert.equal(unregisterSubAgent("work"), false);
    assert.equal(registry.size, 0);
  });

  test("refuses a second one, unless it replaces or is the same", () => {
    const agent = register(() => 1);
    assert.equal(registerSubAgent(agent, { concurrency: 2 }), agent);
    assert.throws(() => register(() => 2), { code: "ERR_AGENT_EXISTS", details: { agentType: "work" } });
    const other = register(() => 2, "work", { replace: true });
    assert.equal(getSubAgentRegistry().get("work"), other);
  });

  test("EchoSubAgent returns its input", async () => {
    const echo = registerSubAgent(new api.EchoSubAgent());
    assert.deepEqual(await newMaster().run(echo, { a: [1] }), { echo: { a: [1] } });
  });
});

describe("events", () => {
  test("come while somebody listens, with what belongs to them", async () => {
    const seen: [string, unknown][] = [];
    let attempts = 0;
    register(async (_input, { progress }) => {
      await progress(0.5);
      if (attempts++ === 0) throw new TypeError("once");
      return "done";
    });
    const master = newMaster();
    const note = (name: string, key: string) => (event: object) => seen.push([name, (event as Record<string, unknown>)[key]]);
    const onStarted = note("started", "attempt");
    master.on("task:started", onStarted).on("task:progress", note("progress", "progress"));
    master.on("task:retrying", (event) => seen.push(["retrying", [event.error.name, event.delay]]));
    master.once("task:completed", note("completed", "output"));
    await master.waitForJob(await master.spawn({ agentType: "work" }));
    assert.deepEqual(seen, [
      ["started", 1],
      ["progress", 0.5],
      ["retrying", ["TypeError", 0]],
      ["started", 2],
      ["progress", 0.5],
      ["completed", "done"],
    ]);
    seen.length = 0;
    master.off("task:started", onStarted);
    await master.waitForJob(await master.spawn({ agentType: "work" }));
    assert.deepEqual(seen, [["progress", 0.5]]);
  });

  test("are turned on with the first listener and off with the last", async () => {
    const master = newMaster({ autostart: false });
    const listener = () => {};
    const other = () => {};
    master.on("task:started", listener).on("task:failed", other).on("health", other);
    master.off("task:started", other).off("task:started", listener);
    const stream = master.events();
    master.off("task:failed", other);
    await stream.return();
    await master.status("1");
    assert.deepEqual(ops(last()), ["events", "events", "get"]);
  });

  test("can be read with for await, and are dropped when nobody reads", async () => {
    register((input) => input);
    const master = newMaster();
    const all = master.events();
    const few = master.events({ buffer: 1 });
    await master.waitForJob(await master.spawn({ agentType: "work", input: 7 }));
    const seen: string[] = [];
    for await (const event of all) {
      seen.push(event.type);
      if (event.type === "task:completed") {
        assert.equal(event.output, 7);
        break;
      }
    }
    assert.deepEqual(seen, ["task:started", "task:completed"]);
    assert.equal((await few.next()).value?.type, "task:completed");
    assert.equal(few.dropped, 1);
    const controller = new AbortController();
    const waiting = master.events({ signal: controller.signal }).next();
    controller.abort();
    assert.deepEqual(await waiting, { done: true, value: undefined });
    const closing = few.next();
    await master.close();
    assert.equal((await closing).done, true);
  });
});

describe("enqueueTask and enqueueTasks", () => {
  test("add to the default queue", async (context) => {
    const before = process.env["APP_DATA_DIR"];
    const store = freshStore();
    process.env["APP_DATA_DIR"] = store;
    context.after(() => {
      if (before === undefined) delete process.env["APP_DATA_DIR"];
      else process.env["APP_DATA_DIR"] = before;
    });
    const queue = getTaskQueue();
    open.push(queue);
    assert.equal(getTaskQueue(), queue);
    assert.equal(queue.store, store);
    assert.equal(queue.name, api.QUEUE_NAME);
    const one = await enqueueTask({ agentType: "work", input: 1, taskId: "t" }, { priority: 5 });
    assert.deepEqual(one, { taskId: "t", jobId: "1", agentType: "work" });
    const more = await enqueueTasks([{ agentType: "work" }, { agentType: "other" }], { attempts: 1 });
    assert.deepEqual(
      more.map(({ jobId }) => jobId),
      ["2", "3"],
    );
    assert.equal((await queue.get("1"))?.priority, 5);
    await assert.rejects(enqueueTasks([{ agentType: "work" }], { jobId: "x" } as never), { details: { field: "options.jobId" } });
    await queue.close();
    assert.notEqual(getTaskQueue(), queue);
  });
});
