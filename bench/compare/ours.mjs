// The package, with its defaults: 3 attempts, and the last 100,000 results kept.
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import { AGENT, inFlight, input, instant } from "../lib/kit.mjs";
import { BULK, cost, countdown, samples, slices } from "./side.mjs";

export default function ours({ redis: store, directory }) {
  const { MasterAgent, TaskQueue, registerSubAgent } = createRequire(import.meta.url)(directory);
  const done = { ok: true };
  let run = () => done;
  registerSubAgent(instant((given) => run(given)));
  const open = new Set();
  const masterOf = (queue, concurrency) => {
    const master = new MasterAgent({ store, queue, autostart: false, ...(concurrency && { concurrency }) });
    open.add(master);
    return master;
  };
  const queues = new Map();
  const queueOf = async (name) => {
    if (!queues.has(name)) {
      const queue = new TaskQueue({ store, queue: name });
      open.add(queue);
      queues.set(name, queue);
      // Connected before anything is timed.
      await queue.counts();
    }
    return queues.get(name);
  };
  const bulk = async ({ queue, count, size = BULK }) => {
    const to = await queueOf(queue);
    return cost(() =>
      slices(count, size, (indexes) => to.addBulk(indexes.map((index) => ({ name: AGENT, payload: input(index) })))),
    );
  };
  return {
    fill: bulk,
    bulk,
    async add({ queue, count, width }) {
      await queueOf(queue);
      const master = masterOf(queue);
      await master.status("1");
      return cost(() => inFlight(count, width, (index) => master.spawn({ agentType: AGENT, input: input(index) })));
    },
    async drain({ queue, count, concurrency, hold }) {
      await queueOf(queue);
      const { over, tick } = countdown(count);
      run = () => {
        if (hold > 0) return sleep(hold, done).finally(tick);
        tick();
        return done;
      };
      const master = masterOf(queue, concurrency);
      const spent = await cost(async () => {
        await master.start();
        await over;
        // Answered when the last outcome is stored.
        await master.stop();
      });
      open.delete(master);
      await master.close();
      return spent;
    },
    async roundTrips({ queue, ...counts }) {
      const master = masterOf(queue, 1);
      await master.start();
      return samples(counts, async (index) => {
        const { success } = await master.waitForJob(await master.spawn({ agentType: AGENT, input: input(index) }));
        if (!success) throw new Error("a task failed");
      });
    },
    async pickUps({ queue, ...counts }) {
      const master = masterOf(queue, 1);
      await master.start();
      let begins;
      run = () => {
        begins(performance.now());
        return done;
      };
      return samples(counts, async (index) => {
        const handled = new Promise((resolve) => {
          begins = resolve;
        });
        const called = performance.now();
        const handle = await master.spawn({ agentType: AGENT, input: input(index) });
        const time = (await handled) - called;
        await master.waitForJob(handle);
        return time;
      });
    },
    rest: ({ queue }) => masterOf(queue).start(),
    async close() {
      for (const one of [...open].reverse()) await one.close();
    },
  };
}
