//! What can go wrong in a store, independent of which one it is.

use master_agent_core::ErrorCode;

/// The error of every store operation. `place` is the path or address of the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error("{place}: the disk or quota is full; free some space and call again, nothing was written")]
    Full { place: String },
    #[error("{place}: cannot be written to ({cause}); check the permissions of the file and its folder")]
    ReadOnly { place: String, cause: String },
    #[error("{place}: is damaged or not a master-agent store ({cause}); move it away or restore it from a backup")]
    Corrupt { place: String, cause: String },
    #[error("{place}: is locked by another program for more than {waited_ms} ms; close that program and call again")]
    Locked { place: String, waited_ms: u64 },
    #[error("{place}: cannot be opened ({cause})")]
    Open { place: String, cause: String },
    #[error(
        "{place}: has layout version {found}, this package writes version {supported}; use a version of the package that writes {found}"
    )]
    Version { place: String, found: i64, supported: i64 },
    #[error("{place}: {cause}")]
    Failed { place: String, cause: String },
    /// What a server answered; `problem` says what to do.
    #[error("{place}: {problem}")]
    Server { code: ErrorCode, place: String, problem: String },
    #[error("document {collection}/{key} is at version {found}, expected {expected}; read it again and retry")]
    Conflict { collection: String, key: String, expected: i64, found: i64 },
    #[error("{field}: {problem}")]
    Invalid { field: String, problem: String },
    #[error("job {id} is not in queue {queue}")]
    NotFound { queue: String, id: String },
    #[error("job {id} is {state}; {problem}")]
    State { id: String, state: String, problem: String },
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// The public code of this error.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Full { .. } => ErrorCode::StoreFull,
            Self::ReadOnly { .. } => ErrorCode::StoreReadOnly,
            Self::Corrupt { .. } => ErrorCode::StoreCorrupt,
            Self::Locked { .. } => ErrorCode::StoreLocked,
            Self::Open { .. } => ErrorCode::StoreOpen,
            Self::Version { .. } => ErrorCode::StoreVersion,
            Self::Failed { .. } => ErrorCode::StoreFailed,
            Self::Server { code, .. } => *code,
            Self::Conflict { .. } => ErrorCode::StoreConflict,
            Self::Invalid { .. } => ErrorCode::InvalidArgument,
            Self::NotFound { .. } => ErrorCode::JobNotFound,
            Self::State { .. } => ErrorCode::JobState,
            Self::Closed => ErrorCode::Closed,
        }
    }
}
