/** Attempts, the waits between them, time limits, and what ends a task early. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_JOB_OPTS, MasterAgentError, UnrecoverableError } from "master-agent";
import { agentFor, masterFor, queueOf } from "../helpers/masters.ts";
import { gate, soon, until } from "../helpers/until.ts";

/** An agent that notes when it is run and fails until the `good`-th attempt. */
function failing(t: Parameters<typeof agentFor>[0], good = Number.POSITIVE_INFINITY): { agentType: string; runs: number[] } {
  const runs: number[] = [];
  const agentType = agentFor(t, (_input, { attempt }) => {
    runs.push(Date.now());
    assert.equal(attempt, runs.length);
    if (attempt < good) {
      throw new TypeError(`attempt ${attempt}`);
    }
    return attempt;
  });
  return { agentType, runs };
}

function waits(runs: readonly number[]): number[] {
  return runs.slice(1).map((at, index) => at - (runs[index] as number));
}

test("a task that fails is tried again, and its result tells how often", async (t) => {
  const master = masterFor(t);
  const { agentType } = failing(t, 3);
  const { jobId } = await master.spawn({ agentType });
  const result = await master.waitForJob(jobId);
  assert.equal(result.success, true);
  assert.equal(result.output, 3);
  assert.equal(result.attempts, 3);
});

test("after the last attempt the task has failed, with the last error", async (t) => {
  const master = masterFor(t);
  const { agentType, runs } = failing(t);
  const { jobId } = await master.spawn({ agentType });
  const result = await master.waitForJob(jobId);
  assert.equal(runs.length, DEFAULT_JOB_OPTS.attempts);
  assert.ok(!result.success);
  assert.equal(result.state, "failed");
  assert.equal(result.attempts, 3);
  assert.equal(result.error.name, "TypeError");
  assert.equal(result.error.message, "attempt 3");
  assert.equal(result.error.code, "ERR_TASK_FAILED");
  assert.match(result.error.stack ?? "", /attempts\.test\.ts/);
  const job = await master.status(jobId);
  assert.deepEqual(
    [job?.state, job?.attempts, job?.error?.message, job?.finishedAt],
    ["failed", 3, "attempt 3", result.finishedAt],
  );
});

test("run() throws what the handler threw", async (t) => {
  const master = masterFor(t);
  const { agentType } = failing(t);
  await assert.rejects(master.run({ agentType, attempts: 1 }), (error: MasterAgentError) => {
    assert.ok(error instanceof MasterAgentError);
    assert.equal(error.code, "ERR_TASK_FAILED");
    assert.match(error.message, /attempt 1/);
    assert.equal((error.cause as Error).name, "TypeError");
    assert.match((error.cause as Error).stack ?? "", /attempts\.test\.ts/);
    return true;
  });
});

test("a fixed backoff waits the same every time, and never less", async (t) => {
  const master = masterFor(t);
  const { agentType, runs } = failing(t);
  const { jobId } = await master.spawn({ agentType, attempts: 4, backoff: { type: "fixed", delay: 60 } });
  await master.waitForJob(jobId);
  assert.equal(runs.length, 4);
  assert.ok(
    waits(runs).every((wait) => wait >= 59),
    String(waits(runs)),
  );
});

test("an exponential backoff doubles, up to its limit", async (t) => {
  const master = masterFor(t);
  const { agentType, runs } = failing(t);
  const { jobId } = await master.spawn({ agentType, attempts: 5, backoff: { delay: 40, maxDelay: 130 } });
  await master.waitForJob(jobId);
  const least = [40, 80, 130, 130];
  waits(runs).forEach((wait, index) => {
    assert.ok(wait >= (least[index] as number) - 1, `wait ${index} was ${wait} ms`);
  });
});

test("jitter takes away no more than its share", async (t) => {
  const master = masterFor(t);
  const { agentType, runs } = failing(t);
  const announced: number[] = [];
  master.on("task:retrying", ({ delay }) => announced.push(delay));
  await queueOf(t, master).counts();
  const { jobId } = await master.spawn({ agentType, attempts: 8, backoff: { type: "fixed", delay: 60, jitter: 0.5 } });
  await master.waitForJob(jobId);
  assert.ok(
    waits(runs).every((wait) => wait >= 29),
    String(waits(runs)),
  );
  await until("all retries are announced", () => announced.length === 7);
  assert.ok(
    announced.every((delay) => delay >= 30 && delay <= 60),
    String(announced),
  );
  assert.ok(new Set(announced).size > 1, "jitter is random");
});

test("while it waits for its next attempt a task is delayed and shows its error", async (t) => {
  const master = masterFor(t);
  const { agentType } = failing(t, 2);
  const { jobId } = await master.spawn({ agentType, backoff: 3_600_000 });
  const job = await until("it is delayed", async () => {
    const found = await master.status(jobId);
    return found?.state === "delayed" && found;
  });
  assert.equal(job.attempts, 1);
  assert.equal(job.error?.message, "attempt 1");
  assert.ok(job.runAt !== null && job.runAt > Date.now() + 3_000_000);
  await queueOf(t, master).promote(jobId);
  assert.equal((await master.waitForJob(jobId)).output, 2);
});

test("an UnrecoverableError ends a task at once", async (t) => {
  const master = masterFor(t);
  const agentType = agentFor(t, () => {
    throw new UnrecoverableError("no such customer");
  });
  const { jobId } = await master.spawn({ agentType, attempts: 5 });
  const result = await master.waitForJob(jobId);
  assert.deepEqual([result.success, result.attempts, result.error?.name], [false, 1, "UnrecoverableError"]);
});

test("a delayed task never starts early, and one without a delay passes it by", async (t) => {
  const master = masterFor(t);
  const starts = new Map<string, number>();
  const agentType = agentFor(t, (_input, { jobId }) => void starts.set(jobId, Date.now()));
  const before = Date.now();
  const delayed = await master.spawn({ agentType, delay: 150 });
  assert.equal((await master.status(delayed))?.state, "delayed");
  const plain = await master.spawn({ agentType });
  await master.waitForJobs([delayed, plain]);
  assert.ok((starts.get(delayed.jobId) as number) >= before + 150);
  assert.ok((starts.get(plain.jobId) as number) <= (starts.get(delayed.jobId) as number));
});

test("a task delayed while the queue is idle starts when it is due, not at the next look", async (t) => {
  const master = masterFor(t);
  const agentType = agentFor(t, () => Date.now());
  await master.run({ agentType });
  const lateness: number[] = [];
  for (let i = 0; i < 10; i++) {
    const before = Date.now();
    const at = (await master.run({ agentType, delay: 20 + i })) as number;
    lateness.push(at - before - 20 - i);
  }
  assert.ok(
    lateness.every((late) => late >= 0),
    String(lateness),
  );
  t.diagnostic(`started ${lateness.join(", ")} ms after the due time`);
});

test("an attempt that takes longer than its timeout is given up: its signal aborts and its outcome is not taken", async (t) => {
  const master = masterFor(t);
  const late = gate<string>();
  const reasons: unknown[] = [];
  const agentType = agentFor(t, (_input, { attempt, signal }) => {
    signal.addEventListener("abort", () => reasons.push(signal.reason));
    return attempt === 1 ? late.opened : `attempt ${attempt}`;
  });
  const { jobId } = await master.spawn({ agentType, timeout: 100 });
  const result = await master.waitForJob(jobId);
  late.open("too late");
  assert.equal(result.output, "attempt 2");
  assert.equal(result.attempts, 2);
  assert.equal(reasons.length, 1);
  assert.equal((reasons[0] as MasterAgentError).code, "ERR_TASK_TIMEOUT");
  await late.opened;
  assert.equal((await master.status(jobId))?.output, "attempt 2");
});

test("a handler that never settles fails with its timeout on every attempt", async (t) => {
  const master = masterFor(t, { concurrency: 1 });
  const agentType = agentFor(t, () => new Promise(() => {}));
  const { jobId } = await master.spawn({ agentType, timeout: 50 });
  const result = await soon("the answer", master.waitForJob(jobId));
  assert.ok(!result.success);
  assert.deepEqual([result.state, result.attempts, result.error.code], ["failed", 3, "ERR_TASK_TIMEOUT"]);
  // The slot is free again.
  const other = agentFor(t, () => "next");
  assert.equal(await master.run({ agentType: other }), "next");
});

test("heartbeat() begins the timeout anew", async (t) => {
  const master = masterFor(t);
  const agentType = agentFor(t, async (_input, { heartbeat, signal }) => {
    for (const begun = Date.now(); Date.now() < begun + 900; ) {
      await heartbeat();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return signal.aborted;
  });
  const { jobId } = await master.spawn({ agentType, timeout: 600, attempts: 1 });
  const result = await master.waitForJob(jobId);
  assert.equal(result.error?.message, undefined);
  assert.equal(result.output, false);
});

test("a task of a type that nobody registered waits, and uses no attempt", async (t) => {
  const master = masterFor(t, { autostart: false });
  const first = agentFor(t, () => "done");
  const { jobId } = await master.spawn({ agentType: "not-here-yet" });
  await master.start();
  await master.run({ agentType: first });
  assert.equal((await master.status(jobId))?.state, "waiting");
});
