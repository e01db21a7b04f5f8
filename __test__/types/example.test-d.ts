// The names of the reference system and the example of the documentation have the types that they promise.
import {
  DEFAULT_JOB_OPTS,
  EchoSubAgent,
  enqueueTask,
  enqueueTasks,
  getSubAgentRegistry,
  getTaskQueue,
  type ISubAgent,
  MasterAgent,
  QUEUE_NAME,
  registerSubAgent,
  type SpawnTaskInput,
  type TaskPayload,
  type TaskResult,
  unregisterSubAgent,
} from "master-agent";

class MySubAgent implements ISubAgent {
  agentType = "my-agent";
  async run(input: { query: string }): Promise<{ answer: string }> {
    return { answer: input.query.toUpperCase() };
  }
}

export async function example(): Promise<void> {
  registerSubAgent(new MySubAgent());
  registerSubAgent(new EchoSubAgent());
  const master = new MasterAgent();
  const input: SpawnTaskInput = { agentType: "my-agent", input: { query: "hello" } };
  const { taskId, jobId } = await master.spawn(input);
  const ids: string[] = [taskId, jobId];
  const result: TaskResult = await master.waitForJob(jobId);
  const success: boolean = result.success;
  const results: TaskResult[] = await master.waitForJobs(ids, { timeout: 1000, signal: AbortSignal.abort() });
  unregisterSubAgent("my-agent");
  await master.close();
  export_(success, results, getSubAgentRegistry(), getTaskQueue(), enqueueTask, enqueueTasks, DEFAULT_JOB_OPTS, QUEUE_NAME);

  // @ts-expect-error: a task names its agent type
  await master.spawn({ input: {} });
  // @ts-expect-error: an agent type is a string
  await master.spawn({ agentType: 1, input: {} });
  // @ts-expect-error: a sub-agent has a run method
  registerSubAgent({ agentType: "none" });
  // @ts-expect-error: there is no such option
  new MasterAgent({ concurency: 3 });
  // @ts-expect-error: times are numbers
  await master.waitForJob(jobId, { timeout: "1s" });
}

declare function export_(...values: unknown[]): void;
declare const payload: TaskPayload;
export const agentType: string = payload.agentType;
