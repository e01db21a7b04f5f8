//! Opening the file: settings, migrations and the version of the layout.

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use master_agent_store::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::error::{LOCK_TIMEOUT_MS, Result, folder_error, from_sql};

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

/// Opens the file for writing, makes it if it is missing and brings it to the current version.
pub(crate) fn open_writer(path: &Path, durability: Durability) -> Result<Connection> {
    let place = || path.display().to_string();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| folder_error(folder, &error))?;
    }
    let existed = path.exists();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(|error| match from_sql(&error, path) {
        StoreError::Open { .. } if existed || folder_is_read_only(path) => {
            StoreError::ReadOnly { place: place(), cause: error.to_string() }
        }
        other => other,
    })?;
    let sql = |error: rusqlite::Error| from_sql(&error, path);
    connection.busy_handler(Some(wait_for_lock)).map_err(sql)?;
    connection.set_prepared_statement_cache_capacity(128);
    keep_plans(&connection).map_err(sql)?;
    let version = check_version(&connection, path)?;
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
        migrate(&mut connection, path)?;
    }
    Ok(connection)
}

/// Opens the file for reading only; it must exist.
pub(crate) fn open_reader(path: &Path) -> Result<Connection> {
    // Not opened read-only: a reader of a WAL file takes part in its shared memory.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sql = |error: rusqlite::Error| from_sql(&error, path);
    let mut connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    connection.busy_handler(Some(wait_for_lock)).map_err(sql)?;
    connection.set_prepared_statement_cache_capacity(64);
    keep_plans(&connection).map_err(sql)?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -8192;").map_err(sql)?;
    Ok(connection)
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
