//! One writer per table among all processes: a lock of the operating system on a file beside the tables,
//! which a process that dies drops.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use master_agent_core::ErrorCode;

use crate::error::{Error, Result};
use crate::table::failure;

/// The folder of lock files, inside of the folder of the tables.
const FOLDER: &str = ".locks";

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file would do; unlocking does it at once where a child process has inherited the file.
        let _ = self.file.unlock();
    }
}

/// Where the lock of `purpose` on `collection` lies.
#[derive(Debug, Clone)]
pub(crate) struct LockFile {
    path: PathBuf,
}

impl LockFile {
    pub(crate) fn new(folder: &Path, collection: &str, purpose: &str) -> Self {
        Self { path: folder.join(FOLDER).join(format!("{collection}.{purpose}")) }
    }

    fn open(&self) -> Result<File> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| failure::of_io(folder, &error))?;
        }
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&self.path)
            .map_err(|error| failure::of_io(&self.path, &error))
    }

    /// Waits for the lock on a thread of its own.
    pub(crate) async fn lock(&self) -> Result<Lock> {
        let own = self.clone();
        let waiting = tokio::task::spawn_blocking(move || {
            let file = own.open()?;
            file.lock().map_err(|error| failure::of_io(&own.path, &error))?;
            Ok(Lock { file })
        });
        waiting.await.map_err(|error| Error::new(ErrorCode::Internal, error.to_string()))?
    }

    /// The lock, unless somebody holds it.
    pub(crate) fn try_lock(&self) -> Result<Option<Lock>> {
        let file = self.open()?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failure::of_io(&self.path, &error)),
        }
    }
}
