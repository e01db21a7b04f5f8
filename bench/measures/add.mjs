// How fast tasks are added.
import { AGENT, inFlight, input, stopwatch, writes } from "../lib/kit.mjs";

const TASKS = 200_000;

const measure = (name, title, least, durability, add) => ({
  name,
  title,
  metrics: {
    tasks: { label: "added", unit: "tasks/s", ...(least ? { least } : {}) },
    cpu: { label: "CPU", unit: "µs/task" },
    written: { label: "written", unit: "bytes/task" },
  },
  async run({ load, folder }) {
    const { MasterAgent, TaskQueue } = load();
    const master = new MasterAgent({ store: folder, durability, autostart: false });
    const queue = new TaskQueue({ store: folder, durability });
    await master.spawn({ agentType: AGENT, input: input(0) });
    await queue.add(AGENT, input(0));
    const wrote = writes();
    const elapsed = stopwatch();
    await add(master, queue);
    const { wall, cpu } = elapsed();
    const written = wrote();
    const { waiting } = await queue.counts();
    if (waiting !== TASKS + 2) throw new Error(`${waiting} tasks are waiting, not ${TASKS + 2}`);
    await master.close();
    await queue.close();
    return { tasks: TASKS / wall, cpu: (cpu / TASKS) * 1e6, written: written && written.bytes / TASKS };
  },
});

const spawns = (master) => inFlight(TASKS, 100, (index) => master.spawn({ agentType: AGENT, input: input(index) }));

const inBatches = (size, add) => async (master, queue) => {
  for (let done = 0; done < TASKS; done += size) {
    await add(
      Array.from({ length: size }, (_, index) => input(done + index)),
      master,
      queue,
    );
  }
};
const parallel = inBatches(1_000, (inputs, master) => master.spawnParallel(inputs.map((input) => ({ agentType: AGENT, input }))));
const bulk = inBatches(10_000, (inputs, _, queue) => queue.addBulk(inputs.map((payload) => ({ name: AGENT, payload }))));

export default [
  measure("add", "spawn, 100 calls in flight", 150_000, "process", spawns),
  measure("add-power", 'spawn, 100 calls in flight, durability "power"', 75_000, "power", spawns),
  measure("add-parallel", "spawnParallel of 1,000 tasks, one call after the other", undefined, "process", parallel),
  measure("add-bulk", "addBulk of 10,000 jobs, one call after the other", undefined, "process", bulk),
];
