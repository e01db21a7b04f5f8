/** What the engine tells of jobs, in the words of the public types. */
import { isErrorCode, MasterAgentError } from "./errors";
import type { EndedJob, NativeEvent } from "./native";
import type { JobInfo, JobOptions, JobState, KeepOptions, TaskError, TaskEvents, TaskFailure, TaskResult } from "./types";

/** How a task ended. */
export function taskResult(job: EndedJob): TaskResult {
  const jobId = job[1] ?? String(job[0]);
  const startedAt = job[7];
  const finishedAt = job[8];
  const state = job[4];
  const duration = startedAt === null ? 0 : Math.max(0, finishedAt - startedAt);
  if (state === "completed") {
    return {
      taskId: job[2] ?? jobId,
      jobId,
      agentType: job[3],
      success: true,
      state,
      output: job[10],
      parentTaskId: job[9],
      attempts: job[5],
      addedAt: job[6],
      startedAt,
      finishedAt,
      duration,
    };
  }
  return {
    taskId: job[2] ?? jobId,
    jobId,
    agentType: job[3],
    success: false,
    state,
    error: taskError(job[10]),
    parentTaskId: job[9],
    attempts: job[5],
    addedAt: job[6],
    startedAt,
    finishedAt,
    duration,
  };
}

/** A stored error, complete. */
export function taskError(value: unknown): TaskError {
  const { name, message, code, stack } = (value ?? {}) as Partial<TaskError>;
  return {
    name: name ?? "Error",
    message: message ?? "",
    code: code ?? "ERR_TASK_FAILED",
    ...(stack ? { stack } : {}),
  };
}

/** The error that `run` throws for a task that failed: its cause has the name and the stack of where the handler ran. */
export function taskFailed(result: TaskFailure): MasterAgentError {
  const { error, taskId, jobId, agentType, attempts, state } = result;
  const cause = new Error(error.message);
  Object.defineProperty(cause, "name", { value: error.name, configurable: true, writable: true });
  Object.defineProperty(cause, "code", { value: error.code, configurable: true, writable: true, enumerable: true });
  cause.stack = error.stack ?? `${error.name}: ${error.message}`;
  return new MasterAgentError(
    isErrorCode(error.code) ? error.code : "ERR_TASK_FAILED",
    `Task ${taskId} of ${JSON.stringify(agentType)} ${state === "failed" ? "failed" : `is ${state}`} after ${attempts} ${attempts === 1 ? "attempt" : "attempts"}: ${error.message}`,
    { cause, details: { taskId, jobId, agentType, attempts, state } },
  );
}

/** A job as the engine shows it. */
export interface NativeJob {
  id: string;
  agentType: string;
  taskId: string | null;
  parentTaskId: string | null;
  input: unknown;
  metadata: Record<string, unknown> | null;
  opts: JobOptions;
  state: JobState;
  priority: number;
  attemptsMade: number;
  stalls: number;
  addedAt: number;
  runAt: number | null;
  startedAt: number | null;
  finishedAt: number | null;
  output?: unknown;
  error: unknown;
  progress: unknown;
  worker: string | null;
}

/** A job as it is shown to users. */
export function jobInfo(job: NativeJob): JobInfo {
  return {
    jobId: job.id,
    taskId: job.taskId ?? job.id,
    agentType: job.agentType,
    parentTaskId: job.parentTaskId ?? null,
    input: job.input,
    metadata: job.metadata ?? null,
    options: jobOptions(job.opts),
    state: job.state,
    priority: job.priority,
    attempts: job.attemptsMade,
    stalls: job.stalls,
    addedAt: job.addedAt,
    runAt: job.runAt ?? null,
    startedAt: job.startedAt ?? null,
    finishedAt: job.finishedAt ?? null,
    output: job.output ?? null,
    error: job.error === null || job.error === undefined ? null : taskError(job.error),
    progress: job.progress ?? null,
    worker: job.worker ?? null,
  };
}

/** The engine writes no limit as `null`; here it is left out, so that the options can be passed to `add` again. */
function jobOptions(options: JobOptions): JobOptions {
  const result: JobOptions = { ...options };
  if ((result.timeout ?? null) === null) {
    delete result.timeout;
  }
  for (const key of ["removeOnComplete", "removeOnFail"] as const) {
    const keep = result[key];
    if (typeof keep === "object" && keep !== null) {
      const { count, age } = keep as KeepOptions;
      result[key] = { ...((count ?? null) === null ? {} : { count }), ...((age ?? null) === null ? {} : { age }) };
    }
  }
  return result;
}

/** How an ended job that was looked up ended. */
export function resultOfJob(job: JobInfo): TaskResult | undefined {
  const { state, finishedAt } = job;
  if (finishedAt === null || (state !== "completed" && state !== "failed" && state !== "cancelled" && state !== "dead")) {
    return undefined;
  }
  const value = state === "completed" ? job.output : job.error;
  const ended: EndedJob = [
    0,
    job.jobId,
    job.taskId,
    job.agentType,
    state,
    job.attempts,
    job.addedAt,
    job.startedAt,
    finishedAt,
    job.parentTaskId,
    value,
  ];
  return taskResult(ended);
}

/** An event by its public name. */
export function taskEvent<K extends keyof TaskEvents>(event: NativeEvent): [K, TaskEvents[K]] {
  const [type, id, key, taskId, agentType, attempt, at, value] = event;
  const jobId = key ?? String(id);
  const base = { taskId: taskId ?? jobId, jobId, agentType, attempt, at };
  return [`task:${type}` as K, Object.assign(base, eventValue(type, value)) as TaskEvents[K]];
}

function eventValue(type: NativeEvent[0], value: unknown): object {
  switch (type) {
    case "progress":
      return { progress: value };
    case "completed":
      return { output: value };
    case "failed":
      return { error: taskError(value) };
    case "retrying": {
      const { error, delay } = value as { error: unknown; delay: number };
      return { error: taskError(error), delay };
    }
    case "started":
      return {};
  }
}
