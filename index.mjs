// Generated from ts/index.ts by `npm run build`: do not edit.
// Passes on the names of the CommonJS entry, so that both ways of loading share one copy of the state.
import entry from "./index.js";

export const {
  DEFAULT_JOB_OPTS,
  ERROR_CODES,
  EchoSubAgent,
  MasterAgent,
  MasterAgentError,
  QUEUE_NAME,
  TaskQueue,
  UnrecoverableError,
  enqueueTask,
  enqueueTasks,
  getSubAgentRegistry,
  getTaskQueue,
  registerSubAgent,
  unregisterSubAgent,
} = entry;
