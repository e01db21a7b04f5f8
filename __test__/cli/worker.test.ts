/** `worker` at work: what it says, how it ends, and that nothing is lost however it ends. */
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { type JobInfo, MasterAgent } from "master-agent";
import { Bench, type Program } from "../helpers/program.ts";

// Windows has no signals that a program can answer.
const skip = process.platform === "win32";

let bench: Bench;
let master: MasterAgent;
let agents: string;

/** Waits for a file, or until its signal aborts: `run` ends when the test says so. */
const AGENTS = `
  import { existsSync } from "node:fs";
  const gate = (file, signal) => new Promise((resolve, reject) => {
    const timer = setInterval(() => { if (existsSync(file)) { clearInterval(timer); resolve("through"); } }, 5);
    signal.addEventListener("abort", () => { clearInterval(timer); reject(signal.reason); });
  });
  export const upper = { agentType: "upper", run: ({ text }) => text.toUpperCase() };
  export const who = { agentType: "who", run: () => process.pid };
  export const gated = { agentType: "gated", run: ({ file }, { signal }) => gate(file, signal) };
  export const flaky = { agentType: "flaky", run: (_, { attempt }) => { if (attempt === 1) throw new Error("not yet"); return attempt; } };
  export const bad = { agentType: "bad", run: () => { throw new TypeError("never"); } };
  export const late = { agentType: "late", run: () => { setImmediate(() => { throw new Error("thrown late"); }); return new Promise(() => {}); } };
  export const lost = { agentType: "lost", run: () => { Promise.reject(new Error("rejected alone")); return new Promise(() => {}); } };
  export const exits = { agentType: "exits", run: () => process.exit(0) };
`;

beforeEach(() => {
  bench = new Bench();
  master = new MasterAgent({ store: bench.store, autostart: false });
  agents = bench.file("agents.mjs", AGENTS);
});
afterEach(async () => {
  await master.close();
  await bench.remove();
});

const lines = (program: Program): Record<string, unknown>[] =>
  program.stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

async function ready(args: string[] = [], env?: Record<string, string>): Promise<Program> {
  const worker = bench.command(["worker", agents, ...args], env);
  await worker.says(/serving bad|"event":"ready"/);
  return worker;
}

const jobOf = async (jobId: string): Promise<JobInfo> => {
  const job = await master.status(jobId);
  assert.ok(job);
  return job;
};

describe("a worker", () => {
  test("runs what is there and what comes", async () => {
    const before = await master.spawn({ agentType: "upper", input: { text: "before" } });
    const worker = await ready();
    const after = await master.spawn({ agentType: "upper", input: { text: "after" } });
    const results = await master.waitForJobs([before, after]);
    assert.deepEqual(
      results.map(({ output }) => output),
      ["BEFORE", "AFTER"],
    );
    assert.match(worker.stdout, /master-agent \d+\.\d+\.\d+.*, worker \S+, store .*store, queue master-agent-tasks\n/);
    assert.match(worker.stdout, /serving .*flaky.*gated/);
    assert.equal(worker.stderr, "");
  });

  test("says what begins, ends, fails and is tried again", async () => {
    const worker = await ready(["--json"]);
    const flaky = await master.spawn({ agentType: "flaky", attempts: 2, backoff: 1 });
    const bad = await master.spawn({ agentType: "bad", attempts: 1 });
    await master.waitForJobs([flaky, bad]);
    await worker.says(/"event":"failed"/);
    await worker.says(/"event":"completed"/);
    const told = lines(worker).map(({ event, jobId, attempt }) => [event, jobId, attempt].join(" "));
    for (const line of [
      `started ${flaky.jobId} 1`,
      `retrying ${flaky.jobId} 1`,
      `started ${flaky.jobId} 2`,
      `completed ${flaky.jobId} 2`,
      `started ${bad.jobId} 1`,
      `failed ${bad.jobId} 1`,
    ]) {
      assert.equal(told.filter((one) => one === line).length, 1, `${line} in ${told.join(", ")}`);
    }
    const failed = lines(worker).find(({ event }) => event === "failed");
    assert.deepEqual(failed?.error, { code: "ERR_TASK_FAILED", message: "never" });
  });

  test("says it in a line each, where there is no --json", async () => {
    const worker = await ready();
    const { jobId } = await master.spawn({ agentType: "flaky", attempts: 2, backoff: 1 });
    await worker.says(/completed flaky/);
    const iso = String.raw`^\d{4}-\d\d-\d\dT[\d:.]+Z`;
    for (const line of [
      `started flaky ${jobId}`,
      `retrying flaky ${jobId} attempt 1 failed, again in 1 ms: .*not yet`,
      `started flaky ${jobId} attempt 2 of 2`,
      `completed flaky ${jobId} \\d+ m?s`,
    ]) {
      assert.match(worker.stdout, new RegExp(`${iso} ${line}$`, "m"));
    }
  });

  test("says nothing of tasks with --quiet", { skip }, async () => {
    const worker = await ready(["--quiet"]);
    await master.waitForJob(await master.spawn({ agentType: "upper", input: { text: "a" } }));
    worker.kill("SIGTERM");
    const { stdout } = await worker.ended;
    assert.doesNotMatch(stdout, /started|completed/);
  });

  test("has the settings that it was given", async () => {
    await ready(["--concurrency", "3", "--name", "my worker"]);
    const { stdout } = await bench.run(["status", "--json"]);
    const { workers } = JSON.parse(stdout) as { workers: { name: string; concurrency: number }[] };
    assert.deepEqual(
      workers.map(({ name, concurrency }) => [name, concurrency]),
      [["my worker", 3]],
    );
  });

  test("runs five tasks at once, or WORKER_CONCURRENCY", async () => {
    await ready(["--name", "five"]);
    await ready(["--name", "two"], { WORKER_CONCURRENCY: "2" });
    const { stdout } = await bench.run(["status", "--json"]);
    const { workers } = JSON.parse(stdout) as { workers: { name: string; concurrency: number }[] };
    assert.deepEqual(Object.fromEntries(workers.map(({ name, concurrency }) => [name, concurrency])), { five: 5, two: 2 });
  });

  test("serves the queue that it was given, and no other", async () => {
    const other = new MasterAgent({ store: bench.store, queue: "other", autostart: false });
    const elsewhere = await master.spawn({ agentType: "upper", input: { text: "elsewhere" } });
    await ready(["--queue", "other"]);
    const result = await other.waitForJob(await other.spawn({ agentType: "upper", input: { text: "here" } }));
    assert.equal(result.output, "HERE");
    assert.equal((await jobOf(elsewhere.jobId)).state, "waiting");
    await other.close();
  });

  test("works on when nobody reads what it says", async () => {
    const worker = await ready();
    worker.child.stdout?.destroy();
    for (let index = 0; index < 3; index++) {
      const result = await master.waitForJob(await master.spawn({ agentType: "upper", input: { text: "deaf" } }));
      assert.equal(result.output, "DEAF");
    }
    assert.equal(worker.child.exitCode, null);
  });

  test("shares the work with another one", async () => {
    const workers = [await ready(["--concurrency", "1", "--json"]), await ready(["--concurrency", "1", "--json"])];
    const go = join(bench.folder, "go");
    // Each of them holds one; so the rest cannot have been done by one alone before the other came.
    const gates = await master.spawnParallel([1, 2].map(() => ({ agentType: "gated", input: { file: go } })));
    await Promise.all(workers.map((worker) => worker.says(/"event":"started"/)));
    const handles = await master.spawnParallel(Array.from({ length: 200 }, () => ({ agentType: "who" })));
    writeFileSync(go, "");
    const results = await master.waitForJobs([...gates, ...handles]);
    assert.ok(results.every(({ success, attempts }) => success && attempts === 1));
    const pids = new Set(workers.map(({ child }) => child.pid));
    for (const { output, agentType } of results) {
      assert.ok(agentType === "gated" || pids.has(output as number));
    }
  });
});

describe("the end of a worker", { skip }, () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    test(`${signal}: what runs ends, what waits stays, and the code is 0`, async () => {
      const worker = await ready(["--concurrency", "1"]);
      const go = join(bench.folder, "go");
      const running = await master.spawn({ agentType: "gated", input: { file: go } });
      await worker.says(/started gated/);
      const waiting = await master.spawn({ agentType: "upper", input: { text: "a" } });
      worker.kill(signal);
      await worker.says(new RegExp(`Stopping, by ${signal}: waiting for 1 task`));
      writeFileSync(go, "");
      const { code, stdout } = await worker.ended;
      assert.equal(code, 0);
      assert.match(stdout, /Stopped\n$/);
      assert.equal((await master.waitForJob(running)).state, "completed");
      assert.equal((await jobOf(waiting.jobId)).state, "waiting");
    });
  }

  test("a worker without tasks ends at once", async () => {
    const worker = await ready();
    worker.kill("SIGTERM");
    assert.equal((await worker.ended).code, 0);
  });

  test("after --drain-timeout tasks are aborted and given back, and the code is 0", async () => {
    const worker = await ready(["--drain-timeout", "20"]);
    const { jobId } = await master.spawn({ agentType: "gated", input: { file: join(bench.folder, "never") } });
    await worker.says(/started gated/);
    worker.kill("SIGTERM");
    const { code, stdout } = await worker.ended;
    assert.equal(code, 0);
    assert.match(stdout, /Stopped, 1 task was given back/);
    const job = await jobOf(jobId);
    assert.deepEqual([job.state, job.attempts, job.stalls], ["waiting", 0, 0]);
  });

  for (const [signal, expected] of [
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const) {
    test(`a second ${signal} ends it at once, with ${expected}, and gives the tasks back`, async () => {
      const worker = await ready();
      const { jobId } = await master.spawn({ agentType: "gated", input: { file: join(bench.folder, "never") } });
      await worker.says(/started gated/);
      worker.kill(signal);
      await worker.says(/Stopping/);
      const { code } = await worker.killUntilEnd(signal);
      assert.equal(code, expected);
      const job = await jobOf(jobId);
      assert.deepEqual([job.state, job.attempts, job.stalls], ["waiting", 0, 0]);
    });
  }

  test("signals of one key press count as one", async () => {
    const worker = await ready();
    const go = join(bench.folder, "go");
    await master.spawn({ agentType: "gated", input: { file: go } });
    await worker.says(/started gated/);
    worker.kill("SIGINT");
    worker.kill("SIGINT");
    await worker.says(/Stopping/);
    worker.kill("SIGINT");
    writeFileSync(go, "");
    assert.equal((await worker.ended).code, 0);
  });

  test("kill -9: what ran is run again by another one", async () => {
    const first = await ready();
    const go = join(bench.folder, "go");
    const handle = await master.spawn({ agentType: "gated", input: { file: go } });
    await first.says(/started gated/);
    first.kill("SIGKILL");
    await first.ended;
    const second = await ready();
    await second.says(/started gated/);
    writeFileSync(go, "");
    const result = await master.waitForJob(handle);
    assert.equal(result.output, "through");
    assert.equal((await jobOf(handle.jobId)).stalls, 1);
  });

  for (const [agentType, says] of [
    ["late", /Error: thrown late/],
    ["lost", /Error: rejected alone/],
    ["exits", /because process\.exit\(\) was called/],
  ] as const) {
    test(`a task that ends its process (${agentType}) is counted, ends among the dead, and takes no other with it`, async () => {
      const go = join(bench.folder, "go");
      const poison = await master.spawn({ agentType, maxStalls: 1 });
      const other = await master.spawn({ agentType: "gated", input: { file: go }, maxStalls: 10 });
      for (let round = 0; round < 2; round++) {
        const { code, stderr } = await bench.run(["worker", agents]);
        assert.equal(code, 1);
        assert.match(stderr, says);
        assert.match(stderr, /What did not end is run again/);
      }
      await ready();
      assert.equal((await master.waitForJob(poison)).state, "dead");
      writeFileSync(go, "");
      assert.equal((await master.waitForJob(other)).state, "completed");
    });
  }
});

describe("--watch", { skip }, () => {
  const version = (number: number | string): string => `export const version = ${number};`;

  test("starts again with what changed, also after a mistake, and ends with 0", async () => {
    const file = bench.file(
      "watched/agents.mjs",
      `import { version } from "./lib/version.mjs"; export const a = { agentType: "version-" + version, run() {} };`,
    );
    bench.file("watched/lib/version.mjs", version(1));
    const worker = bench.command(["worker", file, "--watch", "--store", join(bench.folder, "watched", "data")]);
    await worker.says(/serving version-1\n/);
    bench.file("watched/lib/version.mjs", version(2));
    await worker.says(/serving version-2\n/);
    bench.file("watched/lib/version.mjs", version(""));
    await worker.says(/starts again with the next change/);
    bench.file("watched/lib/version.mjs", version("3"));
    await worker.says(/serving version-3\n/);
    // A folder that is new is watched too.
    bench.file("watched/new/empty.mjs", "");
    await worker.says(/(serving version-3\n[\s\S]*){2}/);
    bench.file("watched/new/empty.mjs", "export {};");
    await worker.says(/(serving version-3\n[\s\S]*){3}/);
    worker.kill("SIGTERM");
    assert.equal((await worker.ended).code, 0);
  });

  test("what runs ends before the new one begins", async () => {
    const go = join(bench.folder, "go");
    const worker = bench.command(["worker", agents, "--watch"]);
    await worker.says(/serving bad/);
    const handle = await master.spawn({ agentType: "gated", input: { file: go } });
    await worker.says(/started gated/);
    writeFileSync(agents, `${AGENTS}\nexport const added = { agentType: "added", run: () => 1 };`);
    await worker.says(/Stopping, by the watcher: waiting for 1 task/);
    writeFileSync(go, "");
    await worker.says(/serving added/);
    const result = await master.waitForJob(handle);
    assert.deepEqual([result.state, result.attempts], ["completed", 1]);
    worker.kill("SIGINT");
    assert.equal((await worker.ended).code, 0);
  });

  test("the worker does not outlive the one that watches", async () => {
    const worker = bench.command(["worker", agents, "--watch"]);
    await worker.says(/serving bad/);
    worker.kill("SIGKILL");
    // Both write to the same pipe: it is closed when both are gone.
    assert.match((await worker.ended).stdout, /Stopping, by the end of the watcher[\s\S]*Stopped/);
  });

  test("a module that is removed and comes back is served again", async () => {
    const worker = bench.command(["worker", agents, "--watch"]);
    await worker.says(/serving bad/);
    rmSync(agents);
    await worker.says(/starts again with the next change/);
    bench.file("agents.mjs", AGENTS);
    await worker.says(/(serving bad[\s\S]*){2}/);
    worker.kill("SIGTERM");
    assert.equal((await worker.ended).code, 0);
  });
});
