// How long one task takes from spawn to its result, when nothing else is going on.
import { AGENT, input, instant } from "../lib/kit.mjs";
import { quantile, sorted } from "../lib/stats.mjs";

const percentiles = (samples) => {
  const ms = sorted(samples);
  return { p50: quantile(ms, 0.5), p99: quantile(ms, 0.99), p999: quantile(ms, 0.999), max: ms[ms.length - 1] };
};

async function sample(count, step) {
  const samples = new Float64Array(count);
  for (let index = 0; index < count; index++) {
    const begun = performance.now();
    await step(index);
    samples[index] = performance.now() - begun;
  }
  return samples;
}

async function roundTrips(master, warmUp, count) {
  const step = async (index) => {
    const { jobId } = await master.spawn({ agentType: AGENT, input: input(index) });
    const result = await master.waitForJob(jobId);
    if (!result.success) throw new Error(`a task failed: ${JSON.stringify(result)}`);
  };
  await sample(warmUp, step);
  return percentiles(await sample(count, step));
}

const metrics = (p50, p99) => ({
  p50: { label: "p50", unit: "ms", ...(p50 ? { most: p50 } : {}) },
  p99: { label: "p99", unit: "ms", ...(p99 ? { most: p99 } : {}) },
  p999: { label: "p99.9", unit: "ms" },
  max: { label: "longest", unit: "ms" },
});

const within = (name, title, durability, p50, p99) => ({
  name,
  title,
  metrics: metrics(p50, p99),
  async run({ load, folder }) {
    const { MasterAgent, registerSubAgent } = load();
    registerSubAgent(instant(() => ({ ok: true })));
    const master = new MasterAgent({ store: folder, durability });
    const result = await roundTrips(master, 3_000, 10_000);
    await master.close();
    return result;
  },
});

export default [
  within("latency", "spawn → waitForJob, one in flight, one process", "process", 0.15, 1),
  within("latency-power", 'the same, durability "power"', "power"),
  {
    name: "latency-spawn",
    title: "spawn alone, one in flight",
    metrics: metrics(),
    async run({ load, folder }) {
      const { MasterAgent } = load();
      const master = new MasterAgent({ store: folder, autostart: false });
      const step = (index) => master.spawn({ agentType: AGENT, input: input(index) });
      await sample(3_000, step);
      const result = percentiles(await sample(10_000, step));
      await master.close();
      return result;
    },
  },
  {
    name: "latency-across",
    title: "spawn → waitForJob, one in flight, the worker in another process",
    metrics: metrics(5),
    async run({ load, folder, helper }) {
      const { MasterAgent } = load();
      const stop = await helper("latency-across");
      const master = new MasterAgent({ store: folder, autostart: false });
      const result = await roundTrips(master, 200, 2_000);
      await master.close();
      await stop();
      return result;
    },
    /** The worker process. Answers with what ends it. */
    async help({ load, folder }) {
      const { MasterAgent, registerSubAgent } = load();
      registerSubAgent(instant(() => ({ ok: true })));
      const master = new MasterAgent({ store: folder, autostart: false });
      await master.start();
      return () => master.close();
    },
  },
];
