/** The public face of `master-agent`. */
export { EchoSubAgent } from "./echo";
export { ERROR_CODES, type ErrorCode, MasterAgentError, type MasterAgentErrorOptions, UnrecoverableError } from "./errors";
export type { EventStreamOptions, Listener, TaskEventStream } from "./events";
export { type AgentTypeName, MasterAgent, type ResultsOf, type RunOptions } from "./master-agent";
export { DEFAULT_JOB_OPTS, QUEUE_NAME } from "./options";
export { getSubAgentRegistry, registerSubAgent, type SubAgentRegistry, unregisterSubAgent } from "./registry";
export type { StandardSchema, StandardSchemaIssue, StandardSchemaResult } from "./schema";
export {
  type BulkJob,
  type CleanOptions,
  enqueueTask,
  enqueueTasks,
  getTaskQueue,
  type JobPage,
  type ListOptions,
  TaskQueue,
  type TaskQueueOptions,
} from "./task-queue";
export type {
  AnySubAgent,
  BackoffOptions,
  ConnectionOptions,
  InputFor,
  InputOf,
  ISubAgent,
  JobCounts,
  JobHandle,
  JobInfo,
  JobOptions,
  JobState,
  KeepOptions,
  LogLine,
  MasterAgentEvents,
  MasterAgentOptions,
  OutputFor,
  OutputOf,
  RegisterOptions,
  Serialized,
  Spawn,
  SpawnTaskInput,
  SubAgentTypes,
  TaskContext,
  TaskError,
  TaskEvent,
  TaskEventBase,
  TaskEvents,
  TaskFailure,
  TaskOptions,
  TaskPayload,
  TaskResult,
  TaskSuccess,
  WaitOptions,
  WorkerInfo,
  WorkerOptions,
} from "./types";
