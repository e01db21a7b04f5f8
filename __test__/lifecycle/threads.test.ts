/** Worker threads that come and go at random, each with the package on the same folder. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { script } from "../helpers/child.ts";
import { PATIENCE, size } from "../helpers/long.ts";
import { storeFor } from "../helpers/place.ts";

const entry = new URL("../../index.js", import.meta.url).pathname;

const THREAD = `
  const { parentPort, workerData } = require("node:worker_threads");
  const { MasterAgent, registerSubAgent, getTaskQueue } = require(workerData.entry);
  registerSubAgent({ agentType: "work", run: async (input, { progress, log }) => { void progress(input); void log("line"); await new Promise((resolve) => setTimeout(resolve, input % 7)); return input; } });
  const master = new MasterAgent({ store: workerData.store, concurrency: 4, name: workerData.name });
  master.on("task:completed", () => {});
  const queue = getTaskQueue({ store: workerData.store });
  (async () => {
    if (workerData.kind === "start") await master.start();
    for (let n = 0; ; n++) {
      const { jobId } = await master.spawn({ agentType: "work", input: n, maxStalls: 1000 });
      parentPort.postMessage(jobId);
      if (workerData.kind === "run") await master.waitForJob(jobId);
      if (workerData.kind === "ask") await queue.counts();
      if (workerData.kind === "exit" && n === 3) process.exit(0);
      if (workerData.kind === "throw" && n === 3) throw new Error("on purpose");
      if (workerData.kind === "close" && n === 3) { await master.close(); await queue.close(); return; }
      if (n > 200) await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })().catch((error) => { if (error.message !== "on purpose") parentPort.postMessage({ error: String(error.stack) }); throw error; });
`;

test("threads are started and terminated at random: nothing accepted is lost, nothing hangs", {
  timeout: 10 * PATIENCE,
}, async (t) => {
  const source = `
    import { Worker } from "node:worker_threads";
    const [store, entry, code, rounds, seed] = args;
    const kinds = ["start", "run", "ask", "exit", "throw", "close", "spawn"];
    let state = seed;
    const random = () => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648;
    const accepted = new Set();
    const errors = [];
    let ended = 0;
    const begin = (n) => {
      const thread = new Worker(code, { eval: true, execArgv: [], workerData: { store, entry, kind: kinds[n % kinds.length], name: "thread-" + n }, stdout: true, stderr: true });
      thread.on("message", (message) => { if (typeof message === "string") accepted.add(message); else errors.push(message.error); });
      thread.on("error", (error) => { if (error.message !== "on purpose") errors.push(String(error.stack)); });
      const over = new Promise((resolve) => thread.on("exit", () => { ended += 1; resolve(); }));
      return { thread, over };
    };
    const running = [];
    for (let n = 0; n < rounds; n++) {
      running.push(begin(n));
      await new Promise((resolve) => setTimeout(resolve, random() * 60));
      if (running.length > 3) {
        const [victim] = running.splice(Math.floor(random() * running.length), 1);
        // At any moment: also while it starts.
        await victim.thread.terminate();
        await victim.over;
      }
    }
    await Promise.all(running.map(({ thread, over }) => Promise.all([thread.terminate(), over])));
    api.registerSubAgent({ agentType: "work", run: (input) => input });
    const master = new api.MasterAgent({ store, concurrency: 50 });
    const queue = api.getTaskQueue({ store });
    const results = await master.waitForJobs([...accepted], { timeout: 120_000 });
    const { waiting, active, delayed, dead } = await queue.counts();
    const workers = (await queue.workers()).map(({ name }) => name);
    await master.close();
    await queue.close();
    say({ errors: errors.slice(0, 3), started: rounds, ended, all: results.every(({ success }) => success), accepted: accepted.size > 0, dead, workers: workers.filter((name) => name.startsWith("thread-")) });
  `;
  const rounds = size(14, 400);
  const seed = Math.floor(Math.random() * 2 ** 30);
  const end = await script(t, source, [storeFor(t), entry, THREAD, rounds, seed], { limit: 8 * PATIENCE });
  assert.deepEqual(
    [end.code, end.signal, end.lines],
    [0, null, [{ errors: [], started: rounds, ended: rounds, all: true, accepted: true, dead: 0, workers: [] }]],
    `seed ${seed}: ${end.stderr}`,
  );
  assert.doesNotMatch(end.stderr, /panicked/);
});

test("a thread whose work is done ends by itself, and so does the process", async (t) => {
  const source = `
    import { Worker } from "node:worker_threads";
    const code = \`
      const { parentPort, workerData } = require("node:worker_threads");
      const { MasterAgent, registerSubAgent } = require(workerData.entry);
      registerSubAgent({ agentType: "a", run: (input) => input + 1 });
      const master = new MasterAgent({ store: workerData.store });
      master.run({ agentType: "a", input: 1 }).then((value) => parentPort.postMessage(value));
    \`;
    const thread = new Worker(code, { eval: true, execArgv: [], workerData: { store: args[0], entry: args[1] } });
    thread.on("message", say);
    thread.on("exit", say);
  `;
  const end = await script(t, source, [storeFor(t), entry]);
  assert.deepEqual([end.code, end.lines, end.stderr], [0, [2, 0], ""]);
});

test("a terminated thread gives its jobs back at once", async (t) => {
  const source = `
    import { Worker } from "node:worker_threads";
    const code = \`
      const { parentPort, workerData } = require("node:worker_threads");
      const { MasterAgent, registerSubAgent } = require(workerData.entry);
      registerSubAgent({ agentType: "a", run: () => { parentPort.postMessage("runs"); return new Promise(() => {}); } });
      new MasterAgent({ store: workerData.store, lease: 86400000, autostart: false }).start();
    \`;
    const thread = new Worker(code, { eval: true, execArgv: [], workerData: { store: args[0], entry: args[1] } });
    const runs = new Promise((resolve) => thread.once("message", resolve));
    const master = new api.MasterAgent({ store: args[0] });
    const handle = await master.spawn({ agentType: "a" });
    await runs;
    await thread.terminate();
    api.registerSubAgent({ agentType: "a", run: () => "in the main thread" });
    say((await master.waitForJob(handle)).output);
  `;
  const end = await script(t, source, [storeFor(t), entry]);
  assert.deepEqual([end.code, end.lines, end.stderr], [0, ["in the main thread"], ""]);
});
