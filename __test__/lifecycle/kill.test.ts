/** Workers that are killed at random moments: nothing accepted is lost, and nothing is finished twice. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { getTaskQueue, MasterAgent } from "master-agent";
import { WorkerProcess, type WorkerSetup } from "../helpers/child.ts";
import { afterwards } from "../helpers/cleanup.ts";
import { type Entry, Ledger } from "../helpers/ledger.ts";
import { PATIENCE, size } from "../helpers/long.ts";
import { allDone } from "../helpers/masters.ts";
import { folderFor, storeFor } from "../helpers/place.ts";
import { until } from "../helpers/until.ts";

const WORKERS = 3;
const ROUNDS = size(6, 200);
/** With the default settings work is taken up again within 5 s; a machine that others use may be late. */
const TAKEN_UP_WITHIN = 15_000;

test(`${ROUNDS} kills with several processes on one file`, { timeout: 60 * PATIENCE }, async (t) => {
  const folder = storeFor(t);
  const ledger = new Ledger(join(folderFor(t), "ledger"));
  const setup: WorkerSetup = { folder, ledger: ledger.path, agents: { work: {} } };
  const running = new Set<WorkerProcess>();
  const all: WorkerProcess[] = [];
  afterwards(t, () => Promise.all([...running].map((process) => process.kill())));
  const begin = async (more: Partial<WorkerSetup> = {}): Promise<WorkerProcess> => {
    const process = new WorkerProcess({ ...setup, ...more });
    running.add(process);
    all.push(process);
    await process.next("ready");
    return process;
  };

  await using master = new MasterAgent({ store: folder, autostart: false });
  const completed = new Map<string, number>();
  master.on("task:completed", ({ jobId }) => completed.set(jobId, (completed.get(jobId) ?? 0) + 1));

  const producing = {
    type: "produce",
    agentType: "work",
    input: { ms: 20 },
    batch: 8,
    options: { maxStalls: 1_000, removeOnComplete: false },
  };
  let producer = await begin({ start: false });
  producer.send(producing);
  const workers: WorkerProcess[] = [];
  for (let i = 0; i < WORKERS; i++) {
    workers.push(await begin());
  }

  const killed = new Set<number>();
  const delays: number[] = [];
  let kills = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const place = Math.floor(Math.random() * WORKERS);
    const victim = workers[place] as WorkerProcess;
    const others = workers.filter((worker) => worker !== victim).map((worker) => worker.pid);
    // It has work, and is at any point of it.
    await until("the worker works", () => ledger.entries().some(({ e, pid }) => e === "began" && pid === victim.pid));
    await pause(Math.random() * 200);
    const killsProducer = round % 5 === 4;
    const at = Date.now();
    killed.add(victim.pid);
    kills += 1;
    const dying = [victim.kill()];
    running.delete(victim);
    if (killsProducer) {
      running.delete(producer);
      dying.push(producer.kill());
    }
    await Promise.all(dying);
    if (killsProducer) {
      producer = await begin({ start: false });
      producer.send(producing);
    }
    // What it was running goes to one of the others: they alone are there to take it.
    const orphans = unfinished(ledger.entries(), victim.pid);
    const taken = await until(
      "what ran is taken up again",
      () => {
        const later = ledger.entries().filter(({ e, pid }) => e === "began" && others.includes(pid));
        const times = orphans.map((jobId) => later.find((entry) => entry.jobId === jobId && entry.at >= at)?.at);
        return times.every((time) => time !== undefined) && times;
      },
      2 * PATIENCE,
    );
    delays.push(...taken.map((time) => time - at));
    workers[place] = await begin();
  }

  producer.send({ type: "stop-producing" });
  await producer.next("produced");
  await using queue = getTaskQueue({ store: folder });
  const counts = await allDone(queue);
  assert.deepEqual(
    { ...counts, completed: 0 },
    { waiting: 0, delayed: 0, active: 0, completed: 0, failed: 0, cancelled: 0, dead: 0 },
  );

  const accepted = [...ledger.byJob("accepted").keys()];
  const began = ledger.byJob("began");
  assert.ok(accepted.length > 0);
  assert.equal(counts.completed, began.size, "every job that ran is completed, and no other");
  for (let start = 0; start < accepted.length; start += 1_000) {
    const ids = accepted.slice(start, start + 1_000);
    const jobs = await queue.getMany(ids);
    jobs.forEach((job, index) => {
      assert.equal(job?.state, "completed", `job ${ids[index]} was accepted`);
    });
  }
  let again = 0;
  for await (const job of queue.jobs({ state: "completed", limit: 1_000 })) {
    const runs = began.get(job.jobId) ?? [];
    assert.equal(job.attempts, 1, "a killed worker uses no attempt");
    // A claim can be lost before its handler began.
    assert.ok(
      runs.length >= 1 && runs.length <= 1 + job.stalls,
      `job ${job.jobId} ran ${runs.length} times with ${job.stalls} stalls`,
    );
    const before = runs.slice(0, -1);
    again += before.length;
    assert.ok(
      before.every(({ pid }) => killed.has(pid)),
      `job ${job.jobId} was run again though its worker lives`,
    );
  }
  const twice = [...completed].filter(([, times]) => times > 1);
  assert.deepEqual(twice, [], "no outcome was accepted twice");
  assert.deepEqual(
    all.map(({ errors }) => errors).filter((errors) => errors !== ""),
    [],
    "no process complained",
  );
  const slowest = Math.max(0, ...delays);
  t.diagnostic(
    `${kills} kills, ${accepted.length} tasks accepted, ${counts.completed} completed, ${again} run again; taken up after ` +
      `${median(delays)} ms (median), ${slowest} ms (slowest)`,
  );
  assert.ok(slowest < TAKEN_UP_WITHIN, `taken up after ${slowest} ms`);
});

/** The jobs that a process had begun and not ended. */
function unfinished(entries: readonly Entry[], pid: number): string[] {
  const open = new Set<string>();
  for (const entry of entries) {
    if (entry.pid === pid && entry.e === "began") {
      open.add(entry.jobId);
    } else if (entry.pid === pid && entry.e === "ended") {
      open.delete(entry.jobId);
    }
  }
  return [...open];
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}
