/** Watching a task while it runs, and ending one that is no longer wanted. Run it with `npx tsx examples/cancel-and-progress.ts`. */
import { setTimeout as wait } from "node:timers/promises";
import { MasterAgent, registerSubAgent } from "master-agent";

registerSubAgent({
  agentType: "count",
  async run({ to }: { to: number }, { signal, progress, log }) {
    for (let step = 1; step <= to; step++) {
      // Whatever takes long should listen to the signal: it aborts when the task is cancelled, times out or is taken away.
      await wait(20, undefined, { signal });
      await progress({ step, of: to });
    }
    await log(`counted to ${to}`);
    return to;
  },
});

await using master = new MasterAgent();
master.on("task:progress", ({ jobId, progress }) => console.log(`${jobId} is at ${JSON.stringify(progress)}`));

const short = await master.spawn({ agentType: "count", input: { to: 3 }, jobId: `short-${process.pid}` });
const result = await master.waitForJob(short);
console.log(`${short.jobId} ${result.state}: ${JSON.stringify(result.output)}`);

const long = await master.spawn({ agentType: "count", input: { to: 1_000_000 }, jobId: `long-${process.pid}` });
const running = new Promise<void>((resolve) => {
  master.on("task:progress", ({ jobId }) => {
    if (jobId === long.jobId) {
      resolve();
    }
  });
});
await running;
await master.cancel(long, "nobody needs it any more");
const cancelled = await master.waitForJob(long);
if (!cancelled.success) {
  console.log(`${long.jobId} ${cancelled.state}: ${cancelled.error.code}: ${cancelled.error.message}`);
}
