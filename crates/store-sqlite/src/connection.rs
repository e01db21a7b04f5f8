//! Opening the file: settings, migrations and the version of the layout.

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use master_agent_store::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::error::{LOCK_TIMEOUT_MS, Result, folder_error, from_sql};

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// The death of any process.
    #[default]
    Process,
    /// The loss of power as well: every commit is flushed to the disk.
    Power,
}

/// Numbered migrations; the position in the list plus one is the version that each one makes.
const MIGRATIONS: &[&str] =
    &[include_str!("sql/0001_jobs.sql"), include_str!("sql/0002_state.sql"), include_str!("sql/0003_departed.sql")];

/// "MAgt": marks the file as one of ours.
const APPLICATION_ID: i32 = 0x4d41_6774;

/// Pages of WAL after which a commit moves them into the file, and how large the WAL file may stay.
const CHECKPOINT_PAGES: i64 = 4_000;
const WAL_LIMIT_BYTES: i64 = 64 << 20;

/// KiB of page cache of the writer: the head and the tail of every hot table fit many times over.
const CACHE_KIB: i64 = 32_768;

/// How often a file that is replaced while it is being opened is opened again.
const OPEN_TRIES: u32 = 10;

/// A connection, and which file it leads to.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    identity: FileIdentity,
}

impl Opened {
    /// Whether the path still leads to the file that was opened.
    pub(crate) fn is_in_place(&self, path: &Path) -> bool {
        FileIdentity::of(path).is_some_and(|now| now == self.identity)
    }
}

/// Opens the file for writing, makes it if it is missing and brings it to the current version.
pub(crate) fn open_writer(path: &Path, durability: Durability) -> Result<Opened> {
    let place = || path.display().to_string();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| folder_error(folder, &error))?;
    }
    let existed = path.exists();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || {
        Connection::open_with_flags(path, flags).map_err(|error| match from_sql(&error, path) {
            StoreError::Open { .. } if existed || folder_is_read_only(path) => {
                StoreError::ReadOnly { place: place(), cause: error.to_string() }
            }
            other => other,
        })
    };
    identified(path, connect, |connection| set_up_writer(connection, path, durability))
}

/// Opens the file for reading only; it must exist.
pub(crate) fn open_reader(path: &Path) -> Result<Opened> {
    // Not opened read-only: a reader of a WAL file takes part in its shared memory.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || Connection::open_with_flags(path, flags).map_err(|error| from_sql(&error, path));
    identified(path, connect, |connection| set_up_reader(connection, path))
}

/// SQLite does not tell which file it opened: it is the one of the path where the path led to it before and after.
fn identified(
    path: &Path,
    connect: impl Fn() -> Result<Connection>,
    set_up: impl Fn(&mut Connection) -> Result<()>,
) -> Result<Opened> {
    for _ in 0..OPEN_TRIES {
        if !path.exists() {
            // Makes an empty file: until it is set up, nothing is locked or written.
            drop(connect()?);
        }
        let before = FileIdentity::of(path);
        let mut connection = connect()?;
        set_up(&mut connection)?;
        if let (Some(identity), Some(after)) = (before, FileIdentity::of(path))
            && identity == after
        {
            return Ok(Opened { connection, identity });
        }
    }
    Err(StoreError::Open { place: path.display().to_string(), cause: "it is replaced again and again by another program".into() })
}

fn set_up_writer(connection: &mut Connection, path: &Path, durability: Durability) -> Result<()> {
    let place = || path.display().to_string();
    let sql = |error: rusqlite::Error| from_sql(&error, path);
    connection.busy_handler(Some(wait_for_lock)).map_err(sql)?;
    connection.set_prepared_statement_cache_capacity(128);
    keep_plans(connection).map_err(sql)?;
    let version = check_version(connection, path)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(sql)?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(StoreError::ReadOnly { place: place(), cause: format!("journal mode is {mode}, not WAL") });
    }
    let synchronous = match durability {
        Durability::Process => "NORMAL",
        Durability::Power => "FULL",
    };
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = {synchronous};
             PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
             PRAGMA journal_size_limit = {WAL_LIMIT_BYTES};
             PRAGMA cache_size = -{CACHE_KIB};
             PRAGMA temp_store = MEMORY;
             PRAGMA cell_size_check = ON;"
        ))
        .map_err(sql)?;
    if version < supported() {
        migrate(connection, path)?;
    }
    Ok(())
}

fn set_up_reader(connection: &mut Connection, path: &Path) -> Result<()> {
    let sql = |error: rusqlite::Error| from_sql(&error, path);
    connection.busy_handler(Some(wait_for_lock)).map_err(sql)?;
    connection.set_prepared_statement_cache_capacity(64);
    keep_plans(connection).map_err(sql)?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -8192;").map_err(sql)
}

/// Plans do not depend on bound values. Without this, SQLite prepares a statement anew whenever its LIMIT is another number.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(|_| ())
}

fn supported() -> i64 {
    MIGRATIONS.len() as i64
}

fn check_version(connection: &Connection, path: &Path) -> Result<i64> {
    let sql = |error: rusqlite::Error| from_sql(&error, path);
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sql)?;
    let application: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(sql)?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sql)?;
    if tables > 0 && application != APPLICATION_ID {
        let cause = "it is a SQLite file of another program".into();
        return Err(StoreError::Corrupt { place: path.display().to_string(), cause });
    }
    if version > supported() {
        return Err(StoreError::Version { place: path.display().to_string(), found: version, supported: supported() });
    }
    Ok(version)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let sql = |error: rusqlite::Error| from_sql(&error, path);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
    // Another process may have migrated while this one waited for the lock.
    let version = check_version(&transaction, path)?;
    for (index, script) in MIGRATIONS.iter().enumerate().skip(usize::try_from(version).unwrap_or(0)) {
        transaction.execute_batch(script).map_err(sql)?;
        transaction.pragma_update(None, "user_version", index as i64 + 1).map_err(sql)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(sql)?;
    transaction.commit().map_err(sql)
}

fn folder_is_read_only(path: &Path) -> bool {
    path.parent().and_then(|folder| std::fs::metadata(folder).ok()).is_some_and(|meta| meta.permissions().readonly())
}

thread_local! {
    /// When the wait for a lock that is under way began.
    static WAITING_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Short waits first: the writers of other processes hold the lock for a few milliseconds.
fn wait_for_lock(tries: i32) -> bool {
    const FIRST: i32 = 20;
    if tries == 0 {
        WAITING_SINCE.set(Some(Instant::now()));
    }
    if WAITING_SINCE.get().is_some_and(|since| since.elapsed() > Duration::from_millis(LOCK_TIMEOUT_MS)) {
        return false;
    }
    std::thread::sleep(Duration::from_micros(if tries < FIRST { 50 } else { 500 }));
    true
}

#[derive(PartialEq, Eq)]
struct FileIdentity(u64, u64);

impl FileIdentity {
    #[cfg(unix)]
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(path).ok().map(|meta| Self(meta.dev(), meta.ino()))
    }

    /// Windows does not let an open file be removed.
    #[cfg(not(unix))]
    fn of(path: &Path) -> Option<Self> {
        path.exists().then_some(Self(0, 0))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn connect(path: &Path) -> Result<Connection> {
        Connection::open(path).map_err(|error| from_sql(&error, path))
    }

    #[test]
    fn a_file_that_is_replaced_while_it_is_opened_is_opened_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("state.db");
        let opened = Cell::new(0);
        let set_up = |connection: &mut Connection| {
            set_up_writer(connection, &path, Durability::Process)?;
            opened.set(opened.get() + 1);
            if opened.get() == 1 {
                std::fs::rename(&path, folder.path().join("away")).expect("renamed");
                connect(&path)?;
            }
            Ok(())
        };
        let file = identified(&path, || connect(&path), set_up).expect("it opens");
        assert_eq!(opened.get(), 2);
        assert!(file.is_in_place(&path));
        std::fs::remove_file(&path).expect("removed");
        assert!(!file.is_in_place(&path));
    }

    #[test]
    fn a_file_that_is_always_replaced_is_told() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("state.db");
        let refused = identified(
            &path,
            || connect(&path),
            |_| {
                std::fs::remove_file(&path).expect("removed");
                Ok(())
            },
        );
        assert!(matches!(refused, Err(StoreError::Open { .. })));
    }
}
