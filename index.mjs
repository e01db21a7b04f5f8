// Generated from ts/index.ts by `npm run build`: do not edit.
// Passes on the names of the CommonJS entry, so that both ways of loading share one copy of the state.
import entry from "./index.js";

export const {
  DEFAULT_JOB_OPTS,
  ERROR_CODES,
  EchoSubAgent,
  MasterAgent,
  MasterAgentError,
  Memory,
  QUEUE_NAME,
  TaskQueue,
  UnrecoverableError,
  addDocument,
  addDocuments,
  addRAGDocument,
  addRAGDocuments,
  createEmbeddingFunction,
  embedBatch,
  embedOne,
  enqueueTask,
  enqueueTasks,
  getConnection,
  getSubAgentRegistry,
  getTaskQueue,
  ragRetrieve,
  registerSubAgent,
  search,
  unregisterSubAgent,
} = entry;
