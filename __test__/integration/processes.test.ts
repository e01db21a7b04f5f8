/** Several processes on one folder: sharing the work, cancelling over there, and tasks that kill their workers. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { script, workerProcess } from "../helpers/child.ts";
import { Ledger } from "../helpers/ledger.ts";
import { PATIENCE } from "../helpers/long.ts";
import { masterFor, queueOf } from "../helpers/masters.ts";
import { folderFor, storeFor } from "../helpers/place.ts";
import { soon, until } from "../helpers/until.ts";

test("two processes share the work, each task runs once", async (t) => {
  const folder = storeFor(t);
  const ledger = new Ledger(join(folderFor(t), "ledger"));
  const workers = await Promise.all(
    [1, 2].map(() => workerProcess(t, { folder, ledger: ledger.path, agents: { work: {} }, master: { concurrency: 4 } })),
  );
  const master = masterFor(t, { store: folder, autostart: false });
  const handles = await master.spawnParallel(Array.from({ length: 400 }, (_, n) => ({ agentType: "work", input: { ms: 1, n } })));
  const results = await soon("all results", master.waitForJobs(handles));
  const shares = workers.map(({ pid }) => results.filter(({ output }) => output === pid).length);
  assert.equal(
    shares.reduce((a, b) => a + b),
    400,
  );
  assert.ok(
    shares.every((share) => share > 20),
    String(shares),
  );
  const began = ledger.byJob("began");
  assert.equal(began.size, 400);
  assert.ok([...began.values()].every((runs) => runs.length === 1));
  const names = (await queueOf(t, master).workers()).map(({ name }) => name);
  assert.ok(workers.every(({ pid }) => names.some((name) => name.endsWith(`:${pid}`))));
});

test("a task spawned in one process is answered fast by another one that was idle", async (t) => {
  const folder = storeFor(t);
  await workerProcess(t, { folder, agents: { echo: {} } });
  const master = masterFor(t, { store: folder, autostart: false });
  await master.run({ agentType: "echo", input: 0 });
  const times: number[] = [];
  for (let n = 0; n < 30; n++) {
    const begun = performance.now();
    await master.run({ agentType: "echo", input: n });
    times.push(performance.now() - begun);
  }
  times.sort((a, b) => a - b);
  t.diagnostic(`across processes: median ${times[15]?.toFixed(1)} ms, slowest ${times[29]?.toFixed(1)} ms`);
  assert.ok((times[15] as number) < 1_000, "it did not wait for a poll");
});

test("cancel reaches a handler in another process, and its outcome is ignored", async (t) => {
  const folder = storeFor(t);
  const worker = await workerProcess(t, { folder, agents: { hold: {}, echo: {} } });
  const master = masterFor(t, { store: folder, autostart: false });
  const handle = await master.spawn({ agentType: "hold", input: { deaf: true } });
  await worker.next("holding");
  const begun = performance.now();
  assert.equal(await master.cancel(handle), true);
  assert.deepEqual((await worker.next("aborted")).code, "ERR_TASK_CANCELLED");
  t.diagnostic(`aborted after ${Math.round(performance.now() - begun)} ms`);
  worker.send({ type: "release", jobId: handle.jobId, value: "too late" });
  await master.run({ agentType: "echo" });
  const job = await master.status(handle);
  assert.deepEqual([job?.state, job?.output], ["cancelled", null]);
});

test("a task that is cancelled while nobody acts on it does not run again when its worker dies", async (t) => {
  const folder = folderFor(t);
  const ledger = new Ledger(join(folder, "ledger"));
  const worker = await workerProcess(t, { folder, ledger: ledger.path, agents: { hold: {} } });
  const master = masterFor(t, { store: folder, autostart: false });
  for (const removeOnFail of [false, true]) {
    const first = removeOnFail ? await workerProcess(t, { folder, ledger: ledger.path, agents: { hold: {} } }) : worker;
    const handle = await master.spawn({ agentType: "hold", removeOnFail });
    await first.next("holding");
    // It hears of nothing any more.
    process.kill(first.pid, "SIGSTOP");
    assert.equal(await master.cancel(handle, "not needed"), true);
    const ended = master.waitForJob(handle);
    await first.kill();
    const second = await workerProcess(t, { folder, ledger: ledger.path, agents: { hold: {} } });
    const result = await soon("the answer", ended);
    assert.ok(!result.success);
    assert.deepEqual([result.state, result.error.code], ["cancelled", "ERR_TASK_CANCELLED"]);
    assert.match(result.error.message, /not needed/);
    assert.equal(ledger.byJob("began").get(handle.jobId)?.length, 1);
    assert.equal((await master.status(handle))?.state, removeOnFail ? undefined : "cancelled");
    await second.end();
  }
});

test("a result that is not kept reaches those who wait in another process, whenever they begin", async (t) => {
  const folder = folderFor(t);
  await workerProcess(t, { folder, agents: { echo: {}, fail: {} }, master: { concurrency: 10 } });
  const master = masterFor(t, { store: folder, autostart: false });
  const gone = { removeOnComplete: true, removeOnFail: true, attempts: 1 };
  for (let n = 0; n < 30; n++) {
    const handle = await master.spawn({ agentType: "echo", input: n, ...gone });
    assert.equal((await soon("the result", master.waitForJob(handle))).output, n);
  }
  const handles = await master.spawnParallel(Array.from({ length: 200 }, (_, n) => ({ agentType: "echo", input: n, ...gone })));
  await master.spawn({ agentType: "fail", input: { message: "no" }, jobId: "my key", ...gone });
  await until(
    "they have ended",
    async () => (await master.status("my key")) === null && (await master.status(handles[199]?.jobId ?? "")) === null,
  );
  // They were over before this began.
  const results = await soon("all results", master.waitForJobs(handles));
  assert.deepEqual(
    results.map(({ output }) => output),
    handles.map((_, n) => n),
  );
  const failed = await master.waitForJob("my key");
  assert.deepEqual([failed.success, failed.attempts, !failed.success && failed.error.message], [false, 1, "no"]);
  // A process that comes, asks and goes is told as well, though the worker has hardly heard of it.
  const source = `
    const master = new api.MasterAgent({ store: args[0], autostart: false });
    const handle = await master.spawn({ agentType: "echo", input: "hello", removeOnComplete: true });
    say((await master.waitForJob(handle)).output);
    await master.close();
  `;
  for (let n = 0; n < 3; n++) {
    const end = await script(t, source, [folder]);
    assert.deepEqual(end.lines, ["hello"], end.stderr);
  }
});

test("a task that kills its worker again and again goes to the dead letters, and comes back from there", async (t) => {
  const folder = storeFor(t);
  const ledger = new Ledger(join(folderFor(t), "ledger"));
  const master = masterFor(t, { store: folder, autostart: false });
  const queue = queueOf(t, master);
  const deadly = await master.spawn({ agentType: "die", maxStalls: 2, attempts: 1 });
  const ended = master.waitForJob(deadly);
  let deaths = 0;
  await until(
    "it is dead",
    async () => {
      if ((await master.status(deadly))?.state === "dead") {
        return true;
      }
      const worker = await workerProcess(t, { folder, ledger: ledger.path, agents: { die: {} } }).catch(() => undefined);
      if (worker !== undefined && (await Promise.race([worker.exited, isDead(master, deadly.jobId)]))) {
        deaths += worker.alive ? 0 : 1;
        await worker.kill();
      }
      return false;
    },
    2 * PATIENCE,
  );
  const result = await soon("the answer", ended);
  assert.ok(!result.success);
  assert.deepEqual([result.state, result.error.code, result.attempts], ["dead", "ERR_TASK_STALLED", 0]);
  assert.equal(ledger.byJob("began").get(deadly.jobId)?.length, 3, `${deaths} deaths seen`);
  const job = await queue.get(deadly);
  assert.deepEqual([job?.state, job?.stalls], ["dead", 3]);
  assert.equal((await queue.counts()).dead, 1);
  assert.deepEqual(
    (await queue.list({ state: "dead" })).jobs.map(({ jobId }) => jobId),
    [deadly.jobId],
  );
  await queue.retry(deadly);
  assert.deepEqual([(await queue.get(deadly))?.state, (await queue.get(deadly))?.stalls], ["waiting", 0]);
  await queue.remove(deadly);
});

async function isDead(master: ReturnType<typeof masterFor>, jobId: string): Promise<true> {
  return until("dead", async () => (await master.status(jobId))?.state === "dead", 4 * PATIENCE);
}

test("process.exit in a handler gives the other jobs back at once", async (t) => {
  const folder = storeFor(t);
  const ledger = new Ledger(join(folderFor(t), "ledger"));
  const first = await workerProcess(t, {
    folder,
    ledger: ledger.path,
    agents: { hold: {}, exit: {} },
    master: { lease: 86_400_000 },
  });
  const master = masterFor(t, { store: folder, autostart: false });
  const held = await master.spawn({ agentType: "hold" });
  await first.next("holding");
  const exiting = await master.spawn({ agentType: "exit", input: { code: 7 } });
  assert.deepEqual(await first.exited, { code: 7, signal: null });
  // Its lease would last for a day: they are free because it gave them back.
  const job = await until("it waits again", async () => {
    const found = await master.status(held);
    return found?.state === "waiting" && found;
  });
  assert.equal(job.stalls, 1);
  assert.deepEqual([(await master.status(exiting))?.state, (await master.status(exiting))?.stalls], ["waiting", 1]);
  const second = await workerProcess(t, { folder, agents: { hold: {} } });
  await second.next("holding");
  second.send({ type: "release", jobId: held.jobId, value: "second" });
  assert.equal((await master.waitForJob(held)).output, "second");
});

test("a worker that is suspended for longer than its lease loses its jobs, and its late outcome is refused", async (t) => {
  const folder = storeFor(t);
  const ledger = new Ledger(join(folderFor(t), "ledger"));
  const setup = { folder, ledger: ledger.path, agents: { hold: {}, echo: {} }, master: { lease: 500 } };
  const first = await workerProcess(t, setup);
  const master = masterFor(t, { store: folder, autostart: false });
  const handle = await master.spawn({ agentType: "hold" });
  await first.next("holding");
  process.kill(first.pid, "SIGSTOP");
  const second = await workerProcess(t, setup);
  await second.next("holding");
  process.kill(first.pid, "SIGCONT");
  assert.equal((await first.next("aborted")).code, "ERR_TASK_LOST");
  first.send({ type: "release", jobId: handle.jobId, value: "first" });
  await until("the first one has said it", async () => (await first.call("queue", "counts")) !== undefined);
  assert.equal((await master.status(handle))?.state, "active");
  second.send({ type: "release", jobId: handle.jobId, value: "second" });
  const result = await master.waitForJob(handle);
  assert.deepEqual([result.output, result.attempts], ["second", 1]);
  assert.equal((await master.status(handle))?.stalls, 1);
});

test("a closing process hands its work over without waiting for leases", async (t) => {
  const folder = storeFor(t);
  const first = await workerProcess(t, { folder, agents: { hold: {} }, master: { lease: 86_400_000 } });
  const master = masterFor(t, { store: folder, autostart: false });
  const handle = await master.spawn({ agentType: "hold", input: { deaf: true } });
  await first.next("holding");
  const second = await workerProcess(t, { folder, agents: { hold: {} } });
  await first.call("master", "stop", { timeout: 50 }).then((stopped) => assert.deepEqual(stopped, { released: 1 }));
  assert.equal((await second.next("holding")).stalls, 0);
  second.send({ type: "release", jobId: handle.jobId });
  assert.equal((await master.waitForJob(handle)).success, true);
  assert.deepEqual(await first.end(), { code: 0, signal: null });
});
