/** Masters, queues and sub-agents for one test each. */
import type { TestContext } from "node:test";
import {
  getTaskQueue,
  type JobCounts,
  MasterAgent,
  type MasterAgentOptions,
  type RegisterOptions,
  registerSubAgent,
  type TaskContext,
  type TaskQueue,
  unregisterSubAgent,
} from "master-agent";
import { afterwards } from "./cleanup.ts";
import { PATIENCE } from "./long.ts";
import { storeFor } from "./place.ts";
import { until } from "./until.ts";

let agents = 0;

/** Registers a handler under a type of its own, for the time of the test, and answers with the type. */
export function agentFor<I = unknown>(
  t: TestContext,
  run: (input: I, context: TaskContext) => unknown,
  options?: RegisterOptions,
): string {
  agents += 1;
  const agentType = `agent-${agents}`;
  registerSubAgent({ agentType, run }, options);
  afterwards(t, () => unregisterSubAgent(agentType));
  return agentType;
}

/** A master on a store of its own, closed with the test. Retries come at once unless told otherwise. */
export function masterFor(t: TestContext, options: MasterAgentOptions = {}): MasterAgent {
  const { defaultJobOptions, ...rest } = options;
  const master = new MasterAgent({
    store: options.store ?? storeFor(t),
    ...rest,
    defaultJobOptions: { backoff: 0, ...defaultJobOptions },
  });
  // A worker that started by itself does not keep the process alive, and a test may wait for what only a handler does.
  const alive = setInterval(() => {}, 60_000);
  afterwards(t, () => {
    clearInterval(alive);
    return master.close({ timeout: 0 });
  });
  return master;
}

/** The queue of a master, closed with the test. */
export function queueOf(t: TestContext, master: MasterAgent): TaskQueue {
  const queue = getTaskQueue({ store: master.store, queue: master.queue });
  afterwards(t, () => queue.close());
  return queue;
}

/** The counts of a queue once nothing waits or runs in it. */
export function allDone(queue: TaskQueue): Promise<JobCounts> {
  return until(
    "everything is done",
    async () => {
      const now = await queue.counts();
      return now.waiting + now.active + now.delayed === 0 && now;
    },
    5 * PATIENCE,
  );
}
