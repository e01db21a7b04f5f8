// How fast a worker empties a queue.
import { fill, instant, stopwatch, writes } from "../lib/kit.mjs";

const BACKLOG = 200_000;

const metrics = (least) => ({
  tasks: { label: "processed", unit: "tasks/s", ...(least ? { least } : {}) },
  cpu: { label: "CPU", unit: "µs/task" },
  written: { label: "written", unit: "bytes/task" },
});

const measure = (name, title, least, durability, handler) => ({
  name,
  title: `${title}, concurrency 50, backlog 200,000`,
  metrics: metrics(least),
  async run({ load, folder }) {
    const { MasterAgent, TaskQueue, registerSubAgent } = load();
    let handled = 0;
    let allHandled;
    const last = new Promise((resolve) => {
      allHandled = resolve;
    });
    const count = () => {
      if (++handled === BACKLOG) allHandled();
    };
    registerSubAgent(instant(handler(count)));
    const queue = new TaskQueue({ store: folder, durability });
    await fill(queue, BACKLOG);
    const master = new MasterAgent({ store: folder, durability, autostart: false, concurrency: 50 });
    const wrote = writes();
    const elapsed = stopwatch();
    await master.start();
    await last;
    // Answered after the commit of the last result.
    await master.stop();
    const { wall, cpu } = elapsed();
    const written = wrote();
    const counts = await queue.counts();
    if (counts.waiting !== 0 || counts.active !== 0 || counts.failed !== 0 || handled !== BACKLOG) {
      throw new Error(`not everything was processed once: ${handled} handled, ${JSON.stringify(counts)}`);
    }
    await master.close();
    await queue.close();
    return { tasks: BACKLOG / wall, cpu: (cpu / BACKLOG) * 1e6, written: written && written.bytes / BACKLOG };
  },
});

const plain = (count) => () => {
  count();
  return { ok: true };
};
const asynchronous = (count) => async () => {
  count();
  return { ok: true };
};

export default [
  measure("process", "processing", 100_000, "process", plain),
  measure("process-power", 'processing, durability "power"', 50_000, "power", plain),
  measure("process-async", "processing with async handlers", undefined, "process", asynchronous),
];
