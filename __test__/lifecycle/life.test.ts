/** Beginning and ending: in every order, twice, while tasks run; and processes that end by themselves when their work is done. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { getTaskQueue, MasterAgent } from "master-agent";
import { script, workerProcess } from "../helpers/child.ts";
import { PATIENCE, size } from "../helpers/long.ts";
import { masterFor } from "../helpers/masters.ts";
import { folderFor, storeFor } from "../helpers/place.ts";
import { until } from "../helpers/until.ts";

const QUICKSTART = `
  class MySubAgent { agentType = "my-agent"; async run(input) { return { answer: input.query.toUpperCase() }; } }
  api.registerSubAgent(new MySubAgent());
  const master = new api.MasterAgent();
  const { taskId, jobId } = await master.spawn({ agentType: "my-agent", input: { query: "hello" } });
  const result = await master.waitForJob(jobId);
  say([result.success, result.output, taskId === result.taskId]);
`;

test("the script of the reference runs as it stands and ends by itself", async (t) => {
  const folder = folderFor(t);
  const end = await script(t, QUICKSTART, [], { cwd: folder });
  assert.deepEqual([end.code, end.signal, end.lines, end.stderr], [0, null, [[true, { answer: "HELLO" }, true]], ""]);
  const again = await script(t, QUICKSTART, [], { env: { APP_DATA_DIR: folder } });
  assert.deepEqual([again.code, again.lines], [0, [[true, { answer: "HELLO" }, true]]], again.stderr);
});

test("scripts end by themselves whatever they leave open", async (t) => {
  const open: [string, string][] = [
    ["nothing used", "new api.MasterAgent({ store: args[0] }); api.getTaskQueue({ store: args[0] });"],
    ["a queue that was asked", "const q = api.getTaskQueue({ store: args[0] }); say((await q.counts()).waiting);"],
    ["a task that nobody runs", "await new api.MasterAgent({ store: args[0] }).spawn({ agentType: 'nobody' });"],
    [
      "a delayed task and a worker that started by itself",
      "api.registerSubAgent({ agentType: 'a', run: () => 1 }); await new api.MasterAgent({ store: args[0] }).spawn({ agentType: 'a', delay: 3600000 });",
    ],
    ["a listener", "new api.MasterAgent({ store: args[0] }).on('task:started', () => {}); "],
    [
      "a wait that timed out",
      "const m = new api.MasterAgent({ store: args[0] }); const h = await m.spawn({ agentType: 'n' }); await m.waitForJob(h, { timeout: 50 }).catch((error) => say(error.code));",
    ],
    ["a worker that was stopped", "const m = new api.MasterAgent({ store: args[0] }); await m.start(); await m.stop();"],
    [
      "masters on many folders",
      "for (let n = 0; n < 20; n++) await new api.MasterAgent({ store: args[0] + '/' + n }).spawn({ agentType: 'n' });",
    ],
    [
      "a handler that runs ends first",
      "api.registerSubAgent({ agentType: 'a', run: () => new Promise((r) => setTimeout(r, 200, say('ran'))) }); const m = new api.MasterAgent({ store: args[0] }); const h = await m.spawn({ agentType: 'a' }); while (m.running === 0) await new Promise((r) => setTimeout(r, 5));",
    ],
    [
      "a master that was disposed of",
      "const m = new api.MasterAgent({ store: args[0] }); await m.start(); await m[Symbol.asyncDispose]();",
    ],
  ];
  const ends = async ([what, source]: [string, string]) => {
    const end = await script(t, source, [folderFor(t)], { limit: PATIENCE });
    assert.deepEqual([end.code, end.signal, end.stderr], [0, null, ""], what);
  };
  await Promise.all(
    [0, 1, 2].map(async (lane) => {
      for (const script of open.filter((_, index) => index % 3 === lane)) {
        await ends(script);
      }
    }),
  );
});

test("await using closes what it holds", async (t) => {
  const folder = storeFor(t);
  let kept: MasterAgent;
  {
    await using master = new MasterAgent({ store: folder, autostart: false });
    await using queue = getTaskQueue({ store: folder });
    await master.start();
    assert.equal((await queue.workers()).length, 1);
    kept = master;
  }
  await assert.rejects(kept.start(), { code: "ERR_CLOSED" });
  await using queue = getTaskQueue({ store: folder });
  assert.deepEqual(await queue.workers(), []);
});

test("a process that started a worker stays until close, also while nothing is to be done", async (t) => {
  const source = `
    api.registerSubAgent({ agentType: "end", run: () => { setImmediate(async () => { say("closing"); await master.close(); say("closed"); }); } });
    const master = new api.MasterAgent({ store: args[0], autostart: false });
    await master.start();
    say("started");
    process.on("exit", () => say("exit"));
  `;
  const store = storeFor(t);
  const master = masterFor(t, { store, autostart: false });
  let spawned = false;
  const end = await script(t, source, [store], {
    onLine: (line) => {
      if (line.includes("started")) {
        // It stays although its event loop has nothing left but the worker.
        setTimeout(() => {
          spawned = true;
          void master.spawn({ agentType: "end" });
        }, 300);
      }
    },
  });
  assert.ok(spawned);
  assert.deepEqual([end.code, end.lines], [0, ["started", "closing", "closed", "exit"]], end.stderr);
});

test("register, unregister, start, stop and close in any order, while tasks run", { timeout: 10 * PATIENCE }, async (t) => {
  const source = `
    const [store, orders] = args;
    process.on("unhandledRejection", (error) => { say({ unhandled: String(error?.stack ?? error) }); process.exit(2); });
    const allowed = new Set(["ERR_CLOSED", "ERR_AGENT_EXISTS", "ERR_WAIT_TIMEOUT", "ERR_JOB_REMOVED"]);
    for (const order of orders) {
      const master = new api.MasterAgent({ store, concurrency: 3, autostart: order[0] % 2 === 0, defaultJobOptions: { removeOnComplete: 10, removeOnFail: 10, backoff: 1 } });
      const agent = (n) => ({ agentType: "agent-" + n, run: (input, { signal }) => n === 0 ? input : new Promise((resolve) => { const timer = setTimeout(resolve, n * 10); signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }); }) });
      const steps = [
        () => api.registerSubAgent(agent(0)),
        () => api.registerSubAgent(agent(1), { replace: true }),
        () => api.unregisterSubAgent("agent-0"),
        () => api.unregisterSubAgent("agent-1"),
        () => master.start(),
        () => master.stop({ timeout: 5 }),
        () => master.spawn({ agentType: "agent-0", input: 1 }),
        () => master.spawnParallel(Array.from({ length: 10 }, (_, n) => ({ agentType: "agent-" + (n % 2), input: n }))),
        () => master.run({ agentType: "agent-1" }, { timeout: 30 }),
        () => master.close({ timeout: 5 }),
        () => new Promise((resolve) => setTimeout(resolve, 3)),
      ];
      const pending = [];
      for (const step of order) {
        const done = (async () => steps[step % steps.length]())().catch((error) => {
          if (!allowed.has(error.code)) { say({ step, order, error: String(error?.stack ?? error) }); process.exitCode = 1; }
        });
        if (step >= steps.length) pending.push(done); else await done;
      }
      await Promise.all(pending);
      await master.close({ timeout: 5 });
      await master.close();
      api.unregisterSubAgent("agent-0");
      api.unregisterSubAgent("agent-1");
    }
    // What is left can be done by a fresh one.
    api.registerSubAgent({ agentType: "agent-0", run: (input) => input });
    api.registerSubAgent({ agentType: "agent-1", run: (input) => input });
    const master = new api.MasterAgent({ store, concurrency: 50 });
    const queue = api.getTaskQueue({ store });
    await master.run({ agentType: "agent-0", input: 1, priority: 2000000, removeOnComplete: 10 });
    for (;;) {
      const { waiting, active, delayed } = await queue.counts();
      if (waiting + active + delayed === 0) break;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await master.close();
    await queue.close();
    say({ orders: orders.length });
  `;
  // A step of 11 or more is not waited for before the next one.
  const orders = fc.sample(fc.array(fc.nat(21), { minLength: 3, maxLength: 14 }), size(60, 3_000));
  const end = await script(t, source, [storeFor(t), orders], { limit: 8 * PATIENCE });
  assert.deepEqual([end.code, end.lines], [0, [{ orders: orders.length }]], end.stderr);
  assert.equal(end.stderr, "");
});

test("many masters, opened and closed, leave no file or thread behind", {
  skip: process.platform === "linux" ? false : "counts what /proc shows",
}, async (t) => {
  const source = `
    import { readdirSync } from "node:fs";
    const held = () => [readdirSync("/proc/self/fd").length, readdirSync("/proc/self/task").length];
    api.registerSubAgent({ agentType: "a", run: (input) => input });
    const once = async (n) => {
      const master = new api.MasterAgent({ store: args[0] + "/" + (n % 3), queue: "q" + (n % 2) });
      master.on("task:completed", () => {});
      await master.run({ agentType: "a", input: n });
      const queue = api.getTaskQueue({ store: args[0] + "/" + (n % 3) });
      await queue.counts();
      await Promise.all([master.close(), queue.close()]);
    };
    for (let n = 0; n < 10; n++) await once(n);
    const before = held();
    for (let n = 0; n < args[1]; n++) await once(n);
    // A thread that ends does so a moment after it was told.
    let after = held();
    for (const end = Date.now() + 30_000; after.some((count, index) => count > before[index] + 2) && Date.now() < end; after = held()) await new Promise((resolve) => setTimeout(resolve, 20));
    say({ before, after });
  `;
  const end = await script(t, source, [folderFor(t), size(60, 3_000)], { limit: 8 * PATIENCE });
  assert.equal(end.code, 0, end.stderr);
  const { before, after } = end.lines[0] as { before: number[]; after: number[] };
  after.forEach((count, index) => {
    assert.ok(count <= (before[index] as number) + 2, `open files and threads: ${JSON.stringify(end.lines[0])}`);
  });
});

test("masters that nobody closes are let go when they are collected", {
  skip: process.platform === "linux" ? false : "counts what /proc shows",
}, async (t) => {
  const source = `
    import { readdirSync } from "node:fs";
    const threads = () => readdirSync("/proc/self/task").length;
    for (let n = 0; n < 30; n++) await new api.MasterAgent({ store: args[0] + "/" + n, autostart: false }).spawn({ agentType: "a" });
    const most = threads();
    let least = most;
    for (const end = Date.now() + 60_000; least > most / 2 && Date.now() < end; least = Math.min(least, threads())) { globalThis.gc(); await new Promise((resolve) => setTimeout(resolve, 20)); }
    say({ most, least });
  `;
  const end = await script(t, source, [folderFor(t)], { execArgv: ["--expose-gc"] });
  assert.equal(end.code, 0, end.stderr);
  const { most, least } = end.lines[0] as { most: number; least: number };
  assert.ok(least <= most / 2, JSON.stringify(end.lines[0]));
});

for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  test(`${signal} ends a process that does not listen for it, and its work is taken up`, async (t) => {
    const folder = storeFor(t);
    const first = await workerProcess(t, { folder, agents: { hold: {} } });
    const master = masterFor(t, { store: folder, autostart: false });
    const handle = await master.spawn({ agentType: "hold" });
    await first.next("holding");
    assert.deepEqual(await first.kill(signal), { code: null, signal });
    const second = await workerProcess(t, { folder, agents: { hold: {} } });
    await second.next("holding");
    second.send({ type: "release", jobId: handle.jobId, value: "taken up" });
    assert.equal((await master.waitForJob(handle)).output, "taken up");
    await until("the dead one is gone from the list", async () => {
      const names = (await second.call<{ name: string }[]>("queue", "workers")).map(({ name }) => name);
      return names.length === 1;
    });
  });
}
