/**
 * Gives work to the worker processes of agents.js and waits for it. It runs none of it: no sub-agent is registered here.
 * Workers may be started before or after it, and may be stopped and killed meanwhile.
 */
import { MasterAgent } from "master-agent";

await using master = new MasterAgent({ autostart: false });

const handles = await master.spawnParallel(
  Array.from({ length: 200 }, (_, index) => ({
    agentType: index % 2 === 0 ? "hash" : "reverse",
    input: { text: `text number ${index}` },
  })),
);
console.log(`${handles.length} tasks are in ${master.store}; waiting for workers`);

const results = await master.waitForJobs(handles);
const byWorker = new Map<unknown, number>();
for (const result of results) {
  const { worker } = (result.output ?? { worker: "nobody" }) as { worker: unknown };
  byWorker.set(worker, (byWorker.get(worker) ?? 0) + 1);
}
for (const [worker, count] of byWorker) {
  console.log(`process ${worker} did ${count}`);
}
