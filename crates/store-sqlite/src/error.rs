//! SQLite's result codes as errors of the port.

use std::io::ErrorKind;
use std::path::Path;

use master_agent_store::StoreError;
use rusqlite::ErrorCode as Code;
use rusqlite::ffi;

pub(crate) type Result<T, E = StoreError> = std::result::Result<T, E>;

/// How long a writer waits for another program's lock.
pub(crate) const LOCK_TIMEOUT_MS: u64 = 5_000;

/// An error inside an operation, before the path of the store is known to it.
#[derive(Debug)]
pub(crate) enum Failure {
    Sql(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<rusqlite::types::FromSqlError> for Failure {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        Self::Sql(error.into())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Failure {
    pub(crate) fn into_store(self, path: &Path) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Sql(error) => from_sql(&error, path),
        }
    }
}

pub(crate) fn from_sql(error: &rusqlite::Error, path: &Path) -> StoreError {
    let place = path.display().to_string();
    let cause = error.to_string();
    let rusqlite::Error::SqliteFailure(inner, _) = error else {
        return StoreError::Failed { place, cause };
    };
    match inner.code {
        Code::DiskFull => StoreError::Full { place },
        Code::ReadOnly | Code::PermissionDenied => StoreError::ReadOnly { place, cause },
        Code::DatabaseCorrupt | Code::NotADatabase => StoreError::Corrupt { place, cause },
        Code::DatabaseBusy | Code::DatabaseLocked | Code::FileLockingProtocolFailed => {
            StoreError::Locked { place, waited_ms: LOCK_TIMEOUT_MS }
        }
        Code::CannotOpen => StoreError::Open { place, cause },
        Code::SystemIoFailure => match inner.extended_code {
            ffi::SQLITE_IOERR_SHMSIZE => StoreError::Full { place },
            ffi::SQLITE_IOERR_WRITE if quota_is_used_up(path) => StoreError::Full { place },
            _ => StoreError::Failed { place, cause },
        },
        _ => StoreError::Failed { place, cause },
    }
}

/// A folder of the store could not be made or written to.
pub(crate) fn folder_error(folder: &Path, error: &std::io::Error) -> StoreError {
    let (place, cause) = (folder.display().to_string(), error.to_string());
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { place, cause },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full { place },
        _ => StoreError::Open { place, cause },
    }
}

/// SQLite reports a used-up quota as a plain write error: a write of our own tells them apart.
fn quota_is_used_up(path: &Path) -> bool {
    let probe = path.with_extension("probe");
    let outcome = std::fs::write(&probe, [0_u8; 65_536]);
    let _ = std::fs::remove_file(&probe);
    outcome.is_err_and(|error| matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
}
