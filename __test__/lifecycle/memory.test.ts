/** Memory stays flat over any number of tasks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { script } from "../helpers/child.ts";
import { PATIENCE, size } from "../helpers/long.ts";
import { folderFor } from "../helpers/place.ts";

const CYCLES = size(30_000, 1_000_000);
/** Megabytes that the process may grow after the first fifth: caches and the pages of the store, but nothing per task. */
const GROWTH = 48;

/** Calls `cycle` for `count` tasks, a batch at a time, and says how large the process was after each tenth. */
const measured = (setup: string, cycle: string, after = ""): string => `
  const [store, count] = args;
  ${setup}
  const sizes = [];
  const BATCH = 100;
  for (let done = 0, next = count / 10; done < count; done += BATCH) {
    ${cycle}
    if (done + BATCH >= next) {
      globalThis.gc();
      sizes.push(Math.round(process.memoryUsage.rss() / 1e6));
      next += count / 10;
    }
  }
  ${after}
  await master.close();
  say(sizes);
`;

const CASES: [string, string][] = [
  [
    "spawn and waitForJob, with every option",
    measured(
      `
      api.registerSubAgent({ agentType: "a", run: async (input, { signal, progress, log }) => { void signal; if (input % 50 === 0) { void progress(input); void log("line"); } return { input }; } });
      const master = new api.MasterAgent({ store, concurrency: 50, defaultJobOptions: { removeOnComplete: 1000 } });
      master.on("task:completed", () => {});
      const controller = new AbortController();
      `,
      `
      await Promise.all(Array.from({ length: BATCH }, async (_, n) => {
        const handle = await master.spawn({ agentType: "a", input: done + n, metadata: { n }, timeout: 60000, ...(n % 10 === 0 ? { jobId: "job-" + done + "-" + n } : {}) });
        const result = await master.waitForJob(handle, { timeout: 60000, signal: controller.signal });
        if (!result.success) throw new Error(result.error.message);
      }));
      `,
    ),
  ],
  [
    "failures, retries, cancellations and waits that end early",
    measured(
      `
      api.registerSubAgent({ agentType: "a", run: (input, { attempt }) => { if (attempt === 1) throw new Error("first"); return input; } });
      const master = new api.MasterAgent({ store, concurrency: 50, defaultJobOptions: { backoff: 0, removeOnComplete: true, removeOnFail: 100 } });
      `,
      `
      await Promise.all(Array.from({ length: BATCH }, async (_, n) => {
        if (n % 4 === 0) return master.run({ agentType: "a", input: n });
        const handle = await master.spawn({ agentType: n % 4 === 1 ? "nobody" : "a", attempts: 1, input: n, delay: n % 4 === 2 ? 3600000 : 0 });
        if (n % 4 === 1) await master.waitForJob(handle, { timeout: 1 }).catch(() => {});
        await master.cancel(handle);
        await master.waitForJob(handle);
      }));
      `,
    ),
  ],
];

for (const [what, source] of CASES) {
  test(`${CYCLES} cycles: ${what}`, { timeout: size(5, 120) * PATIENCE }, async (t) => {
    const end = await script(t, source, [folderFor(t), CYCLES], {
      execArgv: ["--expose-gc", "--max-old-space-size=64"],
      limit: size(5, 120) * PATIENCE,
    });
    assert.equal(end.code, 0, end.stderr);
    const sizes = end.lines[0] as number[];
    t.diagnostic(`MB after each tenth: ${sizes.join(" ")}`);
    assert.equal(sizes.length, 10);
    const settled = sizes[1] as number;
    const most = Math.max(...sizes.slice(2));
    assert.ok(most <= settled + GROWTH, `grew from ${settled} to ${most} MB`);
  });
}

test("a backlog of any size stays in the store", { timeout: size(5, 60) * PATIENCE }, async (t) => {
  const tasks = size(60_000, 2_000_000);
  const source = `
    const [store, count] = args;
    const master = new api.MasterAgent({ store, autostart: false });
    const sizes = [];
    for (let done = 0; done < count; done += 2000) {
      await master.spawnParallel(Array.from({ length: 2000 }, (_, n) => ({ agentType: "nobody", input: done + n })));
      if ((done + 2000) % (count / 10) === 0) { globalThis.gc(); sizes.push(Math.round(process.memoryUsage.rss() / 1e6)); }
    }
    const queue = api.getTaskQueue({ store });
    say([sizes, (await queue.counts()).waiting]);
    await queue.close();
    await master.close();
  `;
  const end = await script(t, source, [folderFor(t), tasks], {
    execArgv: ["--expose-gc", "--max-old-space-size=64"],
    limit: size(5, 60) * PATIENCE,
  });
  assert.equal(end.code, 0, end.stderr);
  const [sizes, waiting] = end.lines[0] as [number[], number];
  t.diagnostic(`MB after each tenth: ${sizes.join(" ")}`);
  assert.equal(waiting, tasks);
  assert.ok(Math.max(...sizes.slice(2)) <= (sizes[1] as number) + GROWTH, sizes.join(" "));
});
