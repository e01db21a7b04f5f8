/** `status` and `jobs …` on a store with something in every state. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import {
  type JobCounts,
  type JobInfo,
  type LogLine,
  MasterAgent,
  registerSubAgent,
  unregisterSubAgent,
  type WorkerInfo,
} from "master-agent";
import { Bench } from "../helpers/program.ts";

const bench = new Bench();
const QUEUE = "inspected";

before(async () => {
  registerSubAgent({
    agentType: "logs",
    async run(_input: unknown, { log, progress }) {
      await log("first line");
      await log("second\u001b[2J line");
      await progress({ half: true });
      return { fine: true };
    },
  });
  registerSubAgent({
    agentType: "fails",
    run() {
      throw new TypeError("bad\u001b[31m\nthing");
    },
  });
  const master = new MasterAgent({ store: bench.store, queue: QUEUE });
  await master.waitForJob(await master.spawn({ agentType: "logs", jobId: "logged", input: { a: 1 }, metadata: { b: 2 } }));
  await master.waitForJob(await master.spawn({ agentType: "fails", jobId: "failed", attempts: 1 }));
  await master.spawn({ agentType: "later", jobId: "later", delay: 86_400_000 });
  await master.spawn({ agentType: "nobody", jobId: "waits" });
  await master.cancel(await master.spawn({ agentType: "nobody", jobId: "cancelled" }));
  await master.close();
  unregisterSubAgent("logs");
  unregisterSubAgent("fails");
});
after(() => bench.remove());

const inQueue = (args: string[]): string[] => [...args, "--queue", QUEUE];

async function json<T>(args: string[]): Promise<T> {
  const { code, stdout, stderr } = await bench.run([...inQueue(args), "--json"]);
  assert.equal(code, 0, stderr);
  assert.equal(stderr, "");
  // One document on one line, where the output is no terminal.
  assert.equal(stdout.indexOf("\n"), stdout.length - 1);
  return JSON.parse(stdout) as T;
}

describe("status", () => {
  interface Status {
    store: string;
    queue: string;
    paused: boolean;
    agents: Record<string, JobCounts>;
    total: JobCounts;
    workers: WorkerInfo[];
    queues: string[];
  }

  test("counts by agent type and state", async () => {
    const status = await json<Status>(["status"]);
    const { store, queue, paused, agents, total, workers, queues } = status;
    assert.deepEqual(Object.keys(status), ["store", "queue", "paused", "agents", "total", "workers", "queues"]);
    assert.deepEqual([store, queue, paused, workers, queues], [bench.store, QUEUE, false, [], [QUEUE]]);
    const none = { waiting: 0, delayed: 0, active: 0, completed: 0, failed: 0, cancelled: 0, dead: 0 };
    assert.deepEqual(agents.logs, { ...none, completed: 1 });
    assert.deepEqual(agents.nobody, { ...none, waiting: 1, cancelled: 1 });
    assert.deepEqual(total, { ...none, waiting: 1, delayed: 1, completed: 1, failed: 1, cancelled: 1 });
  });

  test("prints a record on each line where there is no terminal", async () => {
    const { code, stdout, stderr } = await bench.run(inQueue(["status"]));
    assert.equal(code, 0, stderr);
    const records = stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.split("\t"));
    assert.deepEqual(records[0], ["store", bench.store]);
    assert.deepEqual(records.find(([kind, name]) => kind === "agent" && name === "fails")?.slice(2), [
      "waiting=0",
      "delayed=0",
      "active=0",
      "completed=0",
      "failed=1",
      "cancelled=0",
      "dead=0",
    ]);
    assert.doesNotMatch(stdout, /\u001b/);
  });

  test("a store that is not there is an error, and is not made", async () => {
    const elsewhere = `${bench.folder}/nothing`;
    const { code, stdout, stderr } = await bench.run(["status", "--store", elsewhere]);
    assert.equal(code, 1);
    assert.equal(stdout, "");
    assert.match(stderr, /ERR_STORE_OPEN/);
    assert.ok(stderr.includes(elsewhere));
    assert.equal(existsSync(elsewhere), false);
  });

  test("errors are JSON with --json, and have a stack with --verbose", async () => {
    const args = ["status", "--store", `${bench.folder}/nothing`];
    const { stdout, stderr } = await bench.run([...args, "--json"]);
    assert.equal(stdout, "");
    const { error } = JSON.parse(stderr) as { error: { code: string; retryable: boolean; details: { path: string } } };
    assert.deepEqual([error.code, error.retryable, error.details.path], ["ERR_STORE_OPEN", false, `${bench.folder}/nothing`]);
    assert.doesNotMatch((await bench.run(args)).stderr, /\n\s+at /);
    assert.match((await bench.run([...args, "--verbose"])).stderr, /\n\s+at /);
  });
});

describe("jobs", () => {
  interface Page {
    jobs: JobInfo[];
    cursor: string | null;
  }

  test("list goes through all pages", async () => {
    const ids: string[] = [];
    let cursor: string | null = null;
    do {
      const page: Page = await json<Page>(["jobs", "list", "--limit", "2", ...(cursor === null ? [] : ["--cursor", cursor])]);
      assert.deepEqual(Object.keys(page), ["jobs", "cursor"]);
      ids.push(...page.jobs.map(({ jobId }) => jobId));
      cursor = page.cursor;
    } while (cursor !== null);
    assert.deepEqual(ids.sort(), ["cancelled", "failed", "later", "logged", "waits"]);
  });

  test("list takes states and an agent type", async () => {
    const ids = async (args: string[]): Promise<string[]> =>
      (await json<Page>(["jobs", "list", ...args])).jobs.map(({ jobId }) => jobId);
    assert.deepEqual(await ids(["--state", "failed"]), ["failed"]);
    assert.deepEqual((await ids(["--state", "waiting, delayed"])).sort(), ["later", "waits"]);
    assert.deepEqual(await ids(["--agent", "logs"]), ["logged"]);
    assert.deepEqual(await ids(["--agent", "unknown"]), []);
    const { code, stderr } = await bench.run(inQueue(["jobs", "list", "--state", "faild"]));
    assert.equal(code, 2);
    assert.match(stderr, /Did you mean failed\?/);
  });

  test("list prints a job on each line", async () => {
    const { stdout } = await bench.run(inQueue(["jobs", "list", "--state", "failed"]));
    const [id, state, agentType, attempts, added, finished, reason] = stdout.trimEnd().split("\t");
    assert.deepEqual([id, state, agentType, attempts], ["failed", "failed", "fails", "1"]);
    for (const time of [added, finished]) {
      assert.equal(new Date(time ?? "").toISOString(), time);
    }
    assert.equal(reason, "ERR_TASK_FAILED: bad\ufffd[31m thing");
  });

  test("the cursor is not among the jobs", async () => {
    const { stdout, stderr } = await bench.run(inQueue(["jobs", "list", "--limit", "2"]));
    assert.equal(stdout.trimEnd().split("\n").length, 2);
    assert.match(stderr, /^more: --cursor \S+\n$/);
  });

  test("a wrong cursor is an error", async () => {
    const { code, stderr } = await bench.run(inQueue(["jobs", "list", "--cursor", "nonsense"]));
    assert.equal(code, 1);
    assert.match(stderr, /cursor.*ERR_INPUT_INVALID/);
  });

  test("show has everything, with the log", async () => {
    const { job, logs } = await json<{ job: JobInfo; logs: LogLine[] }>(["jobs", "show", "logged"]);
    assert.deepEqual(
      [job.state, job.input, job.metadata, job.output, job.progress],
      ["completed", { a: 1 }, { b: 2 }, { fine: true }, { half: true }],
    );
    assert.deepEqual(
      logs.map(({ line }) => line),
      ["first line", "second\u001b[2J line"],
    );
    const { stdout } = await bench.run(inQueue(["jobs", "show", "logged"]));
    for (const part of [/^state +completed$/m, /^input +\{"a":1\}$/m, /^log .*first line$/m, /^log .*second\ufffd\[2J line$/m]) {
      assert.match(stdout, part);
    }
    assert.match((await bench.run(inQueue(["jobs", "show", "failed"]))).stdout, /^error +TypeError: bad\ufffd\[31m\nthing$/m);
  });

  test("a job that is not there is an error", async () => {
    const { code, stderr } = await bench.run(inQueue(["jobs", "show", "unknown"]));
    assert.equal(code, 1);
    assert.match(stderr, /unknown.*ERR_JOB_NOT_FOUND/);
  });

  interface Results {
    results: { jobId: string; done: boolean; error: { code: string; message: string } | null }[];
  }

  test("retry, cancel and remove change jobs, and say which they could not change", async () => {
    assert.deepEqual(await json<Results>(["jobs", "retry", "failed"]), {
      results: [{ jobId: "failed", done: true, error: null }],
    });
    assert.equal((await json<{ job: JobInfo }>(["jobs", "show", "failed"])).job.state, "waiting");

    const { code, stdout } = await bench.run([
      ...inQueue(["jobs", "cancel", "failed", "logged", "unknown", "--reason", "no need"]),
      "--json",
    ]);
    assert.equal(code, 1);
    const { results } = JSON.parse(stdout) as Results;
    assert.deepEqual(
      results.map(({ jobId, done, error }) => [jobId, done, error?.code ?? null]),
      [
        ["failed", true, null],
        ["logged", false, "ERR_JOB_STATE"],
        ["unknown", false, "ERR_JOB_NOT_FOUND"],
      ],
    );
    const { job } = await json<{ job: JobInfo }>(["jobs", "show", "failed"]);
    assert.equal(job.state, "cancelled");
    assert.match(job.error?.message ?? "", /no need/);

    const removed = await bench.run(inQueue(["jobs", "remove", "failed", "unknown"]));
    assert.equal(removed.code, 1);
    assert.equal(removed.stdout, "failed is removed\n");
    assert.match(removed.stderr, /unknown.*ERR_JOB_NOT_FOUND/);
    assert.equal((await bench.run(inQueue(["jobs", "show", "failed"]))).code, 1);
  });

  test("a reader that goes away is no failure", async () => {
    const master = new MasterAgent({ store: bench.store, queue: "long", autostart: false });
    await master.spawnParallel(
      Array.from({ length: 1_000 }, (_, index) => ({ agentType: "nobody", input: "x".repeat(1_000), taskId: `t${index}` })),
    );
    await master.close();
    for (const args of [
      ["jobs", "list", "--limit", "1000", "--json"],
      ["jobs", "list", "--limit", "1000"],
    ]) {
      const program = bench.command([...args, "--queue", "long"]);
      program.child.stdout?.once("data", () => program.child.stdout?.destroy());
      const { code, signal, stderr } = await program.ended;
      assert.deepEqual([code, signal], [0, null]);
      assert.doesNotMatch(stderr, /EPIPE|error/i);
    }
  });
});
