// What a worker costs while its handlers wait, or while there is nothing to do.
import { setTimeout as sleep } from "node:timers/promises";
import { AGENT, fill, stopwatch, writes } from "../lib/kit.mjs";

const HANDLERS = 10_000;
const WATCHED = 30_000;

const metrics = (most) => ({
  cpu: { label: "CPU", unit: "% of a core", ...(most ? { most } : {}) },
  calls: { label: "writing calls", unit: "/s" },
  bytes: { label: "written", unit: "bytes/s" },
});

async function watch() {
  // What starting has left to do.
  await sleep(3_000);
  const wrote = writes();
  const elapsed = stopwatch();
  await sleep(WATCHED);
  const { wall, cpu } = elapsed();
  const written = wrote();
  return { cpu: (cpu / wall) * 100, calls: written && written.calls / wall, bytes: written && written.bytes / wall };
}

export default [
  {
    name: "leases",
    title: "10,000 handlers that wait on timers: the whole process over 30 s",
    slow: true,
    metrics: metrics(1),
    async run({ load, folder }) {
      const { MasterAgent, TaskQueue, registerSubAgent } = load();
      let running = 0;
      let allRun;
      const started = new Promise((resolve) => {
        allRun = resolve;
      });
      const run = (_, { signal }) => {
        if (++running === HANDLERS) allRun();
        return sleep(3_600_000, { ok: true }, { signal });
      };
      registerSubAgent({ agentType: AGENT, run });
      const queue = new TaskQueue({ store: folder });
      await fill(queue, HANDLERS);
      const master = new MasterAgent({ store: folder, autostart: false, concurrency: HANDLERS });
      await master.start();
      await started;
      const result = await watch();
      const { active } = await queue.counts();
      if (active !== HANDLERS) throw new Error(`${active} tasks are active, not ${HANDLERS}`);
      await master.close({ timeout: 0 });
      await queue.close();
      return result;
    },
  },
  {
    name: "idle",
    title: "a worker with nothing to do, over 30 s",
    slow: true,
    metrics: metrics(),
    async run({ load, folder }) {
      const { MasterAgent, registerSubAgent } = load();
      registerSubAgent({ agentType: AGENT, run: () => null });
      const master = new MasterAgent({ store: folder, autostart: false });
      await master.start();
      const result = await watch();
      await master.close();
      return result;
    },
  },
];
