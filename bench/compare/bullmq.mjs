// BullMQ, set up as its guide for production says: workers retry their requests for ever, queues do not keep requests while Redis is
// away, and of ended jobs the last 1,000 (failed: 5,000) are kept. Jobs have its defaults, one attempt.
import { setTimeout as sleep } from "node:timers/promises";
import { Queue, QueueEvents, Worker } from "bullmq";
import { AGENT, inFlight, input } from "../lib/kit.mjs";
import { BULK, cost, countdown, samples, slices } from "./side.mjs";

export default function bullmq({ redis }) {
  const { hostname, port } = new URL(redis);
  const server = { host: hostname, port: Number(port) };
  const open = [];
  const opened = async (one) => {
    open.push(one);
    // What fails in the background would otherwise end the process.
    one.on("error", (error) => console.error(error));
    await one.waitUntilReady();
    return one;
  };
  const queues = new Map();
  const queueOf = async (name) => {
    if (!queues.has(name))
      queues.set(name, await opened(new Queue(name, { connection: { ...server, enableOfflineQueue: false } })));
    return queues.get(name);
  };
  const workerOf = async (name, run, concurrency) => {
    const settings = { removeOnComplete: { count: 1_000 }, removeOnFail: { count: 5_000 }, concurrency, autorun: false };
    return opened(new Worker(name, run, { ...settings, connection: { ...server, maxRetriesPerRequest: null } }));
  };
  const bulkOf = (indexes) => indexes.map((index) => ({ name: AGENT, data: input(index) }));
  const bulk = async ({ queue, count, size = BULK }) => {
    const to = await queueOf(queue);
    return cost(() => slices(count, size, (indexes) => to.addBulk(bulkOf(indexes))));
  };
  return {
    fill: bulk,
    bulk,
    async add({ queue, count, width }) {
      const to = await queueOf(queue);
      return cost(() => inFlight(count, width, (index) => to.add(AGENT, input(index))));
    },
    async drain({ queue, count, concurrency, hold }) {
      const { over, tick } = countdown(count);
      const run = hold > 0 ? () => sleep(hold, { ok: true }) : async () => ({ ok: true });
      const worker = await workerOf(queue, run, concurrency);
      // Emitted when Redis has answered.
      worker.on("completed", tick);
      const spent = await cost(() => {
        worker.run();
        return over;
      });
      await worker.close();
      return spent;
    },
    async roundTrips({ queue, ...counts }) {
      const to = await queueOf(queue);
      const events = await opened(new QueueEvents(queue, { connection: { ...server, maxRetriesPerRequest: null } }));
      const worker = await workerOf(queue, async () => ({ ok: true }), 1);
      worker.run();
      return samples(counts, async (index) => {
        const job = await to.add(AGENT, input(index));
        await job.waitUntilFinished(events);
      });
    },
    async pickUps({ queue, ...counts }) {
      const to = await queueOf(queue);
      let begins;
      const worker = await workerOf(queue, async () => begins(performance.now()), 1);
      worker.run();
      return samples(counts, async (index) => {
        const completed = new Promise((resolve) => worker.once("completed", resolve));
        const handled = new Promise((resolve) => {
          begins = resolve;
        });
        const called = performance.now();
        await to.add(AGENT, input(index));
        const time = (await handled) - called;
        await completed;
        return time;
      });
    },
    async rest({ queue }) {
      const worker = await workerOf(queue, async () => null, 5);
      worker.run();
    },
    async close() {
      for (const one of open.reverse()) await one.close();
    },
  };
}
