//! The closed list of error codes. `ts/errors.ts` and docs/errors.md carry the same list; a test compares them.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $retryable:literal;)*) => {
        /// A code of the public API: `ERR_<AREA>_<CAUSE>`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The text of the code.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Whether the same call can succeed later without a change to it.
            pub fn retryable(self) -> bool {
                match self { $(Self::$name => $retryable,)* }
            }
        }
    };
}

codes! {
    /// An argument or option has the wrong type, range or name.
    InvalidArgument = "ERR_INPUT_INVALID", false;
    /// A value cannot be written as JSON.
    NotSerializable = "ERR_INPUT_NOT_SERIALIZABLE", false;
    /// A payload is over the limit.
    PayloadTooLarge = "ERR_INPUT_TOO_LARGE", false;
    /// A sub-agent's own schema refused the input.
    SchemaMismatch = "ERR_INPUT_SCHEMA", false;
    /// The disk or quota that the store is on is full.
    StoreFull = "ERR_STORE_FULL", true;
    /// The store cannot be written to.
    StoreReadOnly = "ERR_STORE_READ_ONLY", false;
    /// The store file is damaged or is not one of ours.
    StoreCorrupt = "ERR_STORE_CORRUPT", false;
    /// Another program holds the store.
    StoreLocked = "ERR_STORE_LOCKED", true;
    /// The store cannot be opened.
    StoreOpen = "ERR_STORE_OPEN", false;
    /// The store was written by another version.
    StoreVersion = "ERR_STORE_VERSION", false;
    /// The server of the store does not answer, or not yet.
    StoreUnreachable = "ERR_STORE_UNREACHABLE", true;
    /// The server of the store refuses the user, the password or a command.
    StoreDenied = "ERR_STORE_DENIED", false;
    /// The store failed in another way.
    StoreFailed = "ERR_STORE_FAILED", true;
    /// A document was changed since it was read.
    StoreConflict = "ERR_STORE_CONFLICT", true;
    /// The job is not (or no longer) in the store.
    JobNotFound = "ERR_JOB_NOT_FOUND", false;
    /// The job's state does not allow this.
    JobState = "ERR_JOB_STATE", false;
    /// The job was removed while somebody waited for it.
    JobRemoved = "ERR_JOB_REMOVED", false;
    /// The job was cancelled.
    TaskCancelled = "ERR_TASK_CANCELLED", false;
    /// An attempt took longer than its `timeout`.
    TaskTimeout = "ERR_TASK_TIMEOUT", true;
    /// The job lost its worker: the process died or its event loop was silent for too long.
    TaskStalled = "ERR_TASK_STALLED", true;
    /// A handler threw or rejected.
    TaskFailed = "ERR_TASK_FAILED", true;
    /// A handler returned what cannot be written as JSON.
    TaskResult = "ERR_TASK_RESULT", false;
    /// The handler no longer holds its job.
    TaskLost = "ERR_TASK_LOST", false;
    /// A sub-agent is registered for the agent type already.
    AgentExists = "ERR_AGENT_EXISTS", false;
    /// The document is not (or no longer) in the collection.
    MemoryNotFound = "ERR_MEMORY_NOT_FOUND", false;
    /// A document with this id is in the collection already.
    MemoryExists = "ERR_MEMORY_EXISTS", false;
    /// The collection was made with another model.
    MemoryModel = "ERR_MEMORY_MODEL", false;
    /// A model's files are missing, damaged or not understood.
    ModelLoad = "ERR_MODEL_LOAD", false;
    /// A model could not be fetched from the model hub.
    ModelDownload = "ERR_MODEL_DOWNLOAD", true;
    /// The library that runs models could not be loaded.
    RuntimeLoad = "ERR_RUNTIME_LOAD", false;
    /// Texts could not be turned into vectors.
    EmbeddingFailed = "ERR_EMBEDDING_FAILED", false;
    /// A wait ran out of time.
    WaitTimeout = "ERR_WAIT_TIMEOUT", true;
    /// A wait was aborted by its signal.
    WaitAborted = "ERR_WAIT_ABORTED", false;
    /// The object was closed.
    Closed = "ERR_CLOSED", false;
    /// The addon for this platform could not be loaded.
    AddonMissing = "ERR_ADDON_LOAD", false;
    /// A module given on the command line could not be loaded.
    CliModule = "ERR_CLI_MODULE", false;
    /// A defect in this package.
    Internal = "ERR_INTERNAL", false;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_well_formed() {
        let mut seen = std::collections::HashSet::new();
        for code in ErrorCode::ALL {
            assert!(seen.insert(code.as_str()), "{} twice", code.as_str());
            assert!(code.as_str().starts_with("ERR_"));
        }
    }
}
