// What both sides are measured by. A measure has a `name`, a `title`, `metrics` and `run({ side, redis, scaled, closed })`, which answers
// with a number for each metric. `side` is one of the sides (side.mjs) on an empty Redis, `redis` that Redis (server.mjs); `scaled(n)` is
// a count for this run, `closed()` ends the side. A target is for our own figure (`least`, `most`) or for the ratio of ours to theirs
// (`times` at least, `share` at most). `everywhere`: measured with each persistence and load, the others in the first of each.
import { setTimeout as sleep } from "node:timers/promises";
import { input } from "../lib/kit.mjs";
import { median, quantile, sorted } from "../lib/stats.mjs";

const QUEUE = "bench";
const PAYLOAD = JSON.stringify(input(0)).length;

const perSecond = (label, times) => ({ label, unit: "jobs/s", times });
const costs = ({ redis, node } = {}) => ({
  redisCpu: { label: "CPU of Redis", unit: "µs/job", share: redis },
  nodeCpu: { label: "CPU of Node", unit: "µs/job", share: node },
  network: { label: "network", unit: "bytes/job" },
});

/** What `work` costs for each of `count` jobs; it answers with the wall time and CPU of Node. */
async function perJob(redis, count, work) {
  const spent = await redis.meter();
  const { wall, cpu } = await work();
  const { cpu: redisCpu, bytes } = await spent();
  return { jobs: count / wall, redisCpu: (redisCpu / count) * 1e6, nodeCpu: (cpu / count) * 1e6, network: bytes / count };
}

const processing = (concurrency, count, times, shares) => ({
  name: `process-${concurrency}`,
  title: `a worker empties a queue, concurrency ${concurrency}`,
  everywhere: true,
  metrics: { jobs: perSecond("processed", times), ...costs(shares) },
  async run({ side, redis, scaled }) {
    const jobs = scaled(count);
    await side.call("fill", { queue: QUEUE, count: jobs });
    return perJob(redis, jobs, () => side.call("drain", { queue: QUEUE, count: jobs, concurrency, hold: 0 }));
  },
});

const adding = (name, title, count, times, call, argument, everywhere) => ({
  name,
  title,
  everywhere,
  metrics: { jobs: perSecond("added", times), ...costs() },
  async run({ side, redis, scaled }) {
    const jobs = scaled(count);
    // Connections and scripts are there before.
    await side.call(call, { queue: "warm", count: 200, ...argument });
    return perJob(redis, jobs, () => side.call(call, { queue: QUEUE, count: jobs, ...argument }));
  },
});

const waiting = (name, title, call, targets, everywhere) => ({
  name,
  title,
  everywhere,
  metrics: {
    p50: { label: "p50", unit: "ms", most: targets.p50 },
    p99: { label: "p99", unit: "ms", most: targets.p99 },
  },
  async run({ side, scaled }) {
    const ms = sorted(await side.call(call, { queue: QUEUE, warm: scaled(1_000), count: scaled(5_000) }));
    return { p50: quantile(ms, 0.5), p99: quantile(ms, 0.99) };
  },
});

export const measures = [
  processing(1, 20_000, 2),
  processing(50, 100_000, 4, { redis: 1 / 5, node: 1 / 4 }),
  processing(200, 100_000, 4, { redis: 1 / 5, node: 1 / 4 }),
  adding("add", "added one by one, 100 calls in flight", 100_000, 3, "add", { width: 100 }, true),
  adding("add-1", "added one after the other", 20_000, 2, "add", { width: 1 }),
  adding("add-bulk", "added in bulk, 1,000 with a call", 200_000, 4, "bulk", { size: 1_000 }),
  waiting("latency", "spawn → waitForJob, one in flight, one process", "roundTrips", { p50: 0.25, p99: 1.5 }, true),
  waiting("pick-up", "add → handler, one in flight, one process", "pickUps", { p50: 0.1 }),
  {
    name: "memory",
    title: "memory of Redis for a job that waits, over its payload of 100 bytes",
    metrics: { bytes: { label: "over the payload", unit: "bytes/job", most: 300 } },
    async run({ side, redis, scaled, closed }) {
      const jobs = scaled(200_000);
      const before = await redis.memory();
      await side.call("fill", { queue: QUEUE, count: jobs });
      // Buffers of connections are not the jobs'.
      await closed();
      return { bytes: ((await redis.memory()) - before) / jobs - PAYLOAD };
    },
  },
  {
    name: "backlog",
    title: "cost per job, added and processed, with 2,000,000 waiting over that with 10,000",
    rounds: 1,
    minutes: 30,
    metrics: {
      redisCpu: { label: "CPU of Redis", unit: "×", most: 1.2 },
      nodeCpu: { label: "CPU of Node", unit: "×", most: 1.2 },
      wall: { label: "wall time", unit: "×", most: 1.2 },
    },
    async run({ side, redis, scaled }) {
      const turn = scaled(25_000);
      await side.call("fill", { queue: "small", count: scaled(10_000) });
      await side.call("fill", { queue: "large", count: scaled(2_000_000) });
      const pairs = [];
      for (let index = 0; index < 6; index++) {
        const pair = {};
        // Which goes first changes, so that neither always finds the caches as the other left them.
        for (const queue of index % 2 === 0 ? ["small", "large"] : ["large", "small"])
          pair[queue] = await perJob(redis, turn, async () => {
            const added = await side.call("bulk", { queue, count: turn });
            const run = await side.call("drain", { queue, count: turn, concurrency: 50, hold: 0 });
            return { wall: added.wall + run.wall, cpu: added.cpu + run.cpu };
          });
        // The first pair warms up.
        if (index > 0) pairs.push(pair);
      }
      const ratio = (of) => median(pairs.map(({ small, large }) => of(large) / of(small)));
      return {
        redisCpu: ratio(({ redisCpu }) => redisCpu),
        nodeCpu: ratio(({ nodeCpu }) => nodeCpu),
        wall: ratio(({ jobs }) => 1 / jobs),
      };
    },
  },
  {
    name: "handlers",
    title: "handlers that take a second each, 10,000 at once, 30,000 jobs",
    metrics: {
      jobs: perSecond("processed"),
      redisCpu: { label: "CPU of Redis", unit: "µs/job", most: 15 },
      nodeCpu: { label: "CPU of Node", unit: "µs/job" },
      network: { label: "network", unit: "bytes/job" },
    },
    async run({ side, redis, scaled }) {
      const jobs = scaled(30_000);
      await side.call("fill", { queue: QUEUE, count: jobs });
      const concurrency = scaled(10_000);
      return perJob(redis, jobs, () => side.call("drain", { queue: QUEUE, count: jobs, concurrency, hold: 1_000 }));
    },
  },
  {
    name: "idle",
    title: "a worker with nothing to do",
    metrics: { commands: { label: "commands sent", unit: "/s", most: 1 } },
    async run({ side, redis, scaled }) {
      await side.call("rest", { queue: QUEUE });
      // What starting has left to do.
      await sleep(3_000);
      const seconds = Math.max(2, scaled(20));
      return { commands: (await redis.watch(seconds * 1000)) / seconds };
    },
  },
];
