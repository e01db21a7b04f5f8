// Whether a process that goes on and on grows.
import { AGENT, inFlight, input, instant, settledRss, stopwatch } from "../lib/kit.mjs";
import { slope } from "../lib/stats.mjs";

const CYCLES = 1_000_000;
const STEP = 100_000;

export default [
  {
    name: "cycles",
    title: "1,000,000 tasks spawned and awaited, 100 in flight",
    flags: ["--expose-gc"],
    slow: true,
    metrics: {
      // A leak of the smallest object, 16 bytes a task, would be 14 MiB.
      growth: { label: "memory, from 100,000 tasks to the end (fitted line)", unit: "MiB", most: 8 },
      first: { label: "memory after 100,000 tasks", unit: "MiB" },
      last: { label: "memory after 1,000,000 tasks", unit: "MiB" },
      heap: { label: "growth of the JavaScript heap after 100,000 tasks", unit: "MiB" },
      tasks: { label: "spawned and awaited", unit: "tasks/s" },
    },
    async run({ load, folder, note }) {
      const { MasterAgent, registerSubAgent } = load();
      registerSubAgent(instant(() => ({ ok: true })));
      const master = new MasterAgent({ store: folder, concurrency: 50 });
      const points = [];
      const heaps = [];
      let wall = 0;
      for (let done = 0; done < CYCLES; done += STEP) {
        const elapsed = stopwatch();
        await inFlight(STEP, 100, async (index) => {
          const { jobId } = await master.spawn({ agentType: AGENT, input: input(index) });
          await master.waitForJob(jobId);
        });
        wall += elapsed().wall;
        points.push([done + STEP, settledRss()]);
        heaps.push(process.memoryUsage().heapUsed / 2 ** 20);
      }
      await master.close();
      note({ rss: points.map(([, mib]) => Math.round(mib * 10) / 10) });
      return {
        growth: slope(points) * (CYCLES - STEP),
        first: points[0][1],
        last: points[points.length - 1][1],
        heap: heaps[heaps.length - 1] - heaps[0],
        tasks: CYCLES / wall,
      };
    },
  },
];
