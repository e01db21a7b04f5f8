/** Every bad input is a coded error that names the field. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import fc from "fast-check";
import { FakeSession, freshStore, useFakeSession } from "../helpers/fake-session.ts";
import { api, errors } from "../helpers/ts.ts";

useFakeSession();
const { MasterAgent, TaskQueue, getTaskQueue, registerSubAgent, unregisterSubAgent, enqueueTask } = api;
const store = freshStore();
const master = new MasterAgent({ store, autostart: false });
const queue = new TaskQueue({ store });
after(() => Promise.all([master.close(), queue.close()]));

/** A call with arguments that the types would refuse. */
const loose = (value: unknown): never => value as never;

async function refused(call: () => unknown, field: string, message?: RegExp): Promise<void> {
  let error: unknown;
  try {
    await call();
  } catch (thrown) {
    error = thrown;
  }
  assert.ok(error instanceof errors.MasterAgentError, `${field}: ${String(error)}`);
  assert.equal(error.code, "ERR_INPUT_INVALID");
  assert.equal(error.details?.["field"], field);
  assert.ok(error.message.startsWith(`${field} `), error.message);
  if (message) assert.match(error.message, message);
}

describe("spawn", () => {
  const task = { agentType: "a", input: 1 };
  const cases: [string, unknown, string, RegExp?][] = [
    ["no task", undefined, "task", /must be an object/],
    ["null", null, "task"],
    ["no agent type", {}, "agentType", /non-empty string, not undefined/],
    ["an empty agent type", { agentType: "" }, "agentType", /empty/],
    ["an agent type that is a number", { agentType: 1 }, "agentType"],
    ["an agent type that is too long", { agentType: "x".repeat(256) }, "agentType", /255/],
    ["an agent type that is not Unicode", { agentType: "\ud800" }, "agentType", /surrogate/],
    ["an unknown option", { ...task, inptu: 1 }, "inptu", /did you mean input\?/],
    ["an unknown option that is like none", { ...task, zzzzzzzzz: 1 }, "zzzzzzzzz", /known are agentType, input/],
    ["a priority below 0", { ...task, priority: -1 }, "priority"],
    ["a priority that is too high", { ...task, priority: 2_097_153 }, "priority"],
    ["a priority that is a string", { ...task, priority: "1" }, "priority"],
    ["a negative delay", { ...task, delay: -1 }, "delay"],
    ["an endless delay", { ...task, delay: Number.POSITIVE_INFINITY }, "delay"],
    ["a delay that is no number", { ...task, delay: Number.NaN }, "delay"],
    ["no attempts", { ...task, attempts: 0 }, "attempts"],
    ["half an attempt", { ...task, attempts: 1.5 }, "attempts"],
    ["a timeout of 0", { ...task, timeout: 0 }, "timeout"],
    ["negative stalls", { ...task, maxStalls: -1 }, "maxStalls"],
    ["a negative backoff", { ...task, backoff: -1 }, "backoff"],
    ["an unknown backoff", { ...task, backoff: { type: "linear" } }, "backoff.type", /"fixed" or "exponential"/],
    ["a misspelled backoff", { ...task, backoff: { dealy: 1 } }, "backoff.dealy", /did you mean delay\?/],
    ["too much jitter", { ...task, backoff: { jitter: 1.1 } }, "backoff.jitter"],
    ["a negative count", { ...task, removeOnComplete: -1 }, "removeOnComplete"],
    ["an age that is a string", { ...task, removeOnFail: { age: "1d" } }, "removeOnFail.age"],
    ["a keep that is a string", { ...task, removeOnFail: "never" }, "removeOnFail"],
    ["an empty task id", { ...task, taskId: "" }, "taskId"],
    ["a job id of digits", { ...task, jobId: "17" }, "jobId", /digits/],
    ["a parent that is a number", { ...task, parentTaskId: 1 }, "parentTaskId"],
    ["metadata that is a list", { ...task, metadata: [] }, "metadata"],
  ];
  for (const [name, value, field, message] of cases) {
    test(`${name} names ${field}`, () => refused(() => master.spawn(loose(value)), field, message));
    if (name !== "no task" && name !== "null") {
      test(`${name} names its place in spawnParallel`, () =>
        refused(() => master.spawnParallel(loose([task, value])), `tasks[1].${field}`, message));
    }
  }
  test("options beside a task", () => refused(() => master.spawn(loose(task), loose({ priority: 1 })), "task"));
  test("options of a named sub-agent", () =>
    refused(() => master.spawn("a", 1, loose({ prioritty: 1 })), "options.prioritty", /priority/));
  test("tasks that are no list", () => refused(() => master.spawnParallel(loose("x")), "tasks"));
  test("the path of a fault in the input", async () => {
    await assert.rejects(master.spawn({ agentType: "a", input: { items: [1, 2, 3, { fn() {} }] } }), {
      code: "ERR_INPUT_NOT_SERIALIZABLE",
      details: { field: "input.items[3].fn" },
    });
    await assert.rejects(master.spawn({ agentType: "a", metadata: { id: 1n } }), { details: { field: "metadata.id" } });
    await assert.rejects(master.spawnParallel([{ agentType: "a", input: Number.NaN }]), { details: { field: "tasks[0].input" } });
    await assert.rejects(queue.addBulk([{ name: "a", payload: () => {} }]), { details: { field: "jobs[0].payload" } });
    await assert.rejects(enqueueTask({ agentType: "a", input: 1n }), { details: { field: "payload.input" } });
  });
  test("a payload over the limit", async () => {
    const small = new MasterAgent({ store, autostart: false, payloadLimit: 10 });
    await assert.rejects(small.spawn({ agentType: "a", input: "x".repeat(9) }), { code: "ERR_INPUT_TOO_LARGE" });
    assert.ok((await small.spawn({ agentType: "a", input: "x".repeat(8) })).jobId);
    await small.close();
  });
});

describe("other calls", () => {
  const cases: [string, () => unknown, string, RegExp?][] = [
    [
      "MasterAgent with a misspelled option",
      () => new MasterAgent(loose({ concurency: 3 })),
      "options.concurency",
      /concurrency/,
    ],
    ["MasterAgent with a string", () => new MasterAgent(loose("redis")), "options"],
    ["MasterAgent with no concurrency", () => new MasterAgent({ concurrency: 0 }), "options.concurrency"],
    ["MasterAgent with a short lease", () => new MasterAgent({ lease: 1 }), "options.lease"],
    ["MasterAgent with an odd stallTimeout", () => new MasterAgent({ stallTimeout: Number.NaN }), "options.stallTimeout"],
    [
      "MasterAgent with another store",
      () => new MasterAgent({ store: "http://:s3cret@localhost" }),
      "options.store",
      /http:\/\/localhost.*not supported/,
    ],
    ["MasterAgent with an empty store", () => new MasterAgent({ store: "" }), "options.store"],
    ["MasterAgent with a zero byte in the path", () => new MasterAgent({ store: "a\0b" }), "options.store"],
    ["MasterAgent with an empty queue", () => new MasterAgent({ queue: "" }), "options.queue"],
    ["MasterAgent with an unknown durability", () => new MasterAgent(loose({ durability: "none" })), "options.durability"],
    ["MasterAgent with autostart 1", () => new MasterAgent(loose({ autostart: 1 })), "options.autostart"],
    ["MasterAgent with a payload limit of 0", () => new MasterAgent({ payloadLimit: 0 }), "options.payloadLimit"],
    [
      "MasterAgent with wrong defaults",
      () => new MasterAgent({ defaultJobOptions: { attempts: 0 } }),
      "options.defaultJobOptions.attempts",
    ],
    [
      "MasterAgent with an id for all jobs",
      () => new MasterAgent({ defaultJobOptions: loose({ jobId: "a" }) }),
      "options.defaultJobOptions.jobId",
    ],
    ["getTaskQueue with a worker's option", () => getTaskQueue(loose({ concurrency: 3 })), "options.concurrency"],
    ["registerSubAgent without anything", () => registerSubAgent(loose(undefined)), "agent"],
    ["registerSubAgent with a class", () => registerSubAgent(loose(class {})), "agent", /new MySubAgent/],
    ["registerSubAgent without a type", () => registerSubAgent(loose({ run() {} })), "agent.agentType"],
    ["registerSubAgent without run", () => registerSubAgent(loose({ agentType: "a" })), "agent.run"],
    [
      "registerSubAgent with an odd schema",
      () => registerSubAgent(loose({ agentType: "a", run() {}, inputSchema: {} })),
      "agent.inputSchema",
    ],
    [
      "registerSubAgent with no concurrency",
      () => registerSubAgent({ agentType: "a", run() {} }, { concurrency: 0 }),
      "options.concurrency",
    ],
    [
      "registerSubAgent with half a slot",
      () => registerSubAgent({ agentType: "a", run() {} }, { concurrency: 0.5 }),
      "options.concurrency",
    ],
    [
      "registerSubAgent with a misspelled option",
      () => registerSubAgent({ agentType: "a", run() {} }, loose({ replce: true })),
      "options.replce",
    ],
    ["unregisterSubAgent without a name", () => unregisterSubAgent(""), "agentType"],
    ["unregisterSubAgent with null", () => unregisterSubAgent(loose(null)), "agentType"],
    ["waitForJob without an id", () => master.waitForJob(loose(undefined)), "jobId"],
    ["waitForJob with a number", () => master.waitForJob(loose(1)), "jobId"],
    ["waitForJob with an odd handle", () => master.waitForJob(loose({})), "jobId.jobId"],
    ["waitForJob with a negative timeout", () => master.waitForJob("1", { timeout: -1 }), "options.timeout"],
    [
      "waitForJob with an endless timeout",
      () => master.waitForJob("1", { timeout: Number.POSITIVE_INFINITY }),
      "options.timeout",
    ],
    ["waitForJob with an odd signal", () => master.waitForJob("1", { signal: loose({}) }), "options.signal"],
    ["waitForJob with a misspelled option", () => master.waitForJob("1", loose({ timeOut: 1 })), "options.timeOut", /timeout/],
    ["waitForJobs without a list", () => master.waitForJobs(loose("1")), "jobs"],
    ["waitForJobs with an empty id", () => master.waitForJobs(["1", ""]), "jobs[1]"],
    ["run with an odd timeout", () => master.run("a", 1, { timeout: Number.NaN }), "options.timeout"],
    ["run with job options beside the wait", () => master.run("a", 1, loose({ priority: 1 })), "options.priority"],
    ["status without an id", () => master.status(""), "jobId"],
    ["cancel with an odd reason", () => master.cancel("1", loose(1)), "reason"],
    ["stop with an odd timeout", () => master.stop({ timeout: -1 }), "options.timeout"],
    ["close with a misspelled option", () => master.close(loose({ tmeout: 1 })), "options.tmeout"],
    ["on with an unknown event", () => master.on(loose("task:done"), () => {}), "event"],
    ["on without a listener", () => master.on("task:failed", loose(undefined)), "listener"],
    ["events without room", () => master.events({ buffer: 0 }), "options.buffer"],
    ["add without a name", () => queue.add("", 1), "name"],
    ["add with an odd option", () => queue.add("a", 1, { delay: -1 }), "options.delay"],
    ["addBulk without a list", () => queue.addBulk(loose({})), "jobs"],
    ["addBulk with an odd option", () => queue.addBulk([{ name: "a", opts: { delay: -1 } }]), "jobs[0].opts.delay"],
    ["addBulk with options that are none", () => queue.addBulk([{ name: "a", opts: loose("x") }]), "jobs[0].opts"],
    ["list with an unknown state", () => queue.list({ state: loose("done") }), "options.state"],
    ["list with no state at all", () => queue.list({ state: [] }), "options.state"],
    ["list with too large a page", () => queue.list({ limit: 1_001 }), "options.limit"],
    ["list with an odd cursor", () => queue.list({ cursor: "x:y" }), "options.cursor"],
    ["clean of what runs", () => queue.clean({ state: loose("active") }), "options.state"],
    ["drain with a string", () => queue.drain({ delayed: loose("yes") }), "options.delayed"],
    ["obliterate with a number", () => queue.obliterate({ force: loose(1) }), "options.force"],
    ["logs with an odd limit", () => queue.logs("1", { limit: 0 }), "options.limit"],
    ["enqueueTask with a misspelled member", () => enqueueTask(loose({ agentType: "a", inputs: 1 })), "payload.inputs", /input/],
    [
      "enqueueTask with a misspelled option",
      () => enqueueTask({ agentType: "a" }, loose({ atempts: 1 })),
      "options.atempts",
      /attempts/,
    ],
  ];
  for (const [name, call, field, message] of cases) test(`${name} names ${field}`, () => refused(call, field, message));

  test("WORKER_CONCURRENCY is checked like the option", async (context) => {
    const before = process.env["WORKER_CONCURRENCY"];
    context.after(() => {
      if (before === undefined) delete process.env["WORKER_CONCURRENCY"];
      else process.env["WORKER_CONCURRENCY"] = before;
    });
    process.env["WORKER_CONCURRENCY"] = "many";
    await refused(() => new MasterAgent({ store, autostart: false }), "environment variable WORKER_CONCURRENCY");
    new MasterAgent({ store, autostart: false, concurrency: 2 });
  });
});

describe("any call at all", () => {
  const anything = fc.anything({ withBigInt: true, withNullPrototype: true, withSparseArray: true, maxDepth: 2 });
  const nearly = fc.oneof(
    anything,
    fc.record({ agentType: fc.oneof(fc.constant("fuzz"), anything), input: anything, priority: anything }, { requiredKeys: [] }),
    fc.record({ timeout: fc.oneof(fc.constant(0), anything), signal: anything, concurrency: anything }, { requiredKeys: [] }),
    fc.constantFrom<unknown>("fuzz", "1", "completed", "task:failed"),
  );
  const calls: Record<string, (args: unknown[]) => unknown> = {
    construct: (args) => new MasterAgent(loose({ store, autostart: false, ...(args[0] as object) })),
    spawn: (args) => master.spawn(...(args as [never])),
    spawnParallel: (args) => master.spawnParallel(...(args as [never])),
    status: (args) => master.status(...(args as [never])),
    cancel: (args) => master.cancel(...(args as [never])),
    on: (args) => master.on(...(args as [never, never])),
    off: (args) => master.off(...(args as [never, never])),
    wait: (args) => master.waitForJob(args[0] as never, { timeout: 0, ...(args[1] as object) }),
    waits: (args) => master.waitForJobs(args[0] as never, { timeout: 0, ...(args[1] as object) }),
    register: (args) => registerSubAgent(...(args as [never])),
    unregister: (args) => unregisterSubAgent(...(args as [never])),
    add: (args) => queue.add(...(args as [never])),
    addBulk: (args) => queue.addBulk(...(args as [never])),
    enqueue: (args) => queue.enqueue(...(args as [never])),
    list: (args) => queue.list(...(args as [])),
    clean: (args) => queue.clean(...(args as [])),
    counts: (args) => queue.counts(...(args as [])),
    logs: (args) => queue.logs(...(args as [never])),
    retry: (args) => queue.retry(...(args as [never])),
    remove: (args) => queue.remove(...(args as [never])),
  };
  test("answers, or fails with a coded error", async () => {
    const runs = Number(process.env["FUZZ_RUNS"] ?? 20_000);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...Object.keys(calls)), fc.array(nearly, { maxLength: 3 }), async (name, args) => {
        try {
          await calls[name]?.(args);
        } catch (error) {
          assert.ok(error instanceof errors.MasterAgentError, `${name}: ${String(error)}`);
          assert.notEqual(error.code, "ERR_INTERNAL");
          assert.ok(error.message.length > 10);
        }
      }),
      { numRuns: runs },
    );
    assert.ok(FakeSession.opened.length > 0);
  });
});
