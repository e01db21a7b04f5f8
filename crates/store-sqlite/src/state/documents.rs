//! Writing documents and their index entries.

use std::collections::BTreeSet;

use master_agent_core::Millis;
use master_agent_store::StoreError;
use master_agent_store::state::{Check, Delete, Document, Expect, IndexEntry, Put, Refused, Touch, Written, encode};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::commit::{Answer, Work};
use super::is_live;
use crate::tx::{Outcome, Tx};

/// A row without its value.
struct Stored {
    id: i64,
    version: i64,
    expires_at: Option<Millis>,
    indexes: Option<Box<str>>,
}

fn find(connection: &Connection, area: i64, key: &str) -> rusqlite::Result<Option<Stored>> {
    let mut find = connection.prepare_cached(include_str!("../sql/state/find_document.sql"))?;
    find.query_row(params![area, key], |row| {
        Ok(Stored {
            id: row.get(0)?,
            version: row.get(1)?,
            expires_at: row.get(2)?,
            indexes: row.get_ref(3)?.as_str_or_null()?.map(Into::into),
        })
    })
    .optional()
}

/// Reads a document from `key, version, updated_at, expires_at, value`.
pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Document> {
    Ok(Document {
        key: row.get_ref(0)?.as_str()?.into(),
        version: row.get(1)?,
        updated_at: row.get(2)?,
        expires_at: row.get(3)?,
        value_json: row.get_ref(4)?.as_str()?.into(),
    })
}

pub(super) fn read(connection: &Connection, area: i64, key: &str, now: Millis) -> Outcome<Option<Document>> {
    let sql = "SELECT key, version, updated_at, expires_at, value FROM state_documents WHERE area = ?1 AND key = ?2";
    let found = connection.prepare_cached(sql)?.query_row(params![area, key], from_row).optional()?;
    Ok(found.filter(|document| is_live(document.expires_at, now)))
}

/// The row of a key, expired or not, and the version that a live one is at.
struct Looked {
    row: Option<Stored>,
    version: Option<i64>,
}

impl Looked {
    fn live(&self) -> Option<&Stored> {
        self.row.as_ref().filter(|_| self.version.is_some())
    }
}

fn look(work: &mut Work<'_, '_>, area: Option<i64>, key: &str, expect: Expect) -> Outcome<Result<Looked, Refused>> {
    let row = match area {
        Some(area) => find(work.tx.connection, area, key)?,
        None => None,
    };
    let version = row.as_ref().filter(|row| is_live(row.expires_at, work.now)).map(|row| row.version);
    if expect.holds(version) {
        return Ok(Ok(Looked { row, version }));
    }
    Ok(Err(Refused::Version { found: version.unwrap_or(0) }))
}

macro_rules! look {
    ($work:expr, $write:expr) => {{
        let area = $work.find_area(&$write.collection)?;
        match look($work, area, &$write.key, $write.expect)? {
            Ok(looked) => (area, looked),
            Err(refused) => return Ok(Err(refused)),
        }
    }};
}

pub(super) fn put<'w>(work: &mut Work<'w, '_>, put: &'w Put) -> Answer {
    let (_, looked) = look!(work, put);
    let version = work.tx.next_revision()?;
    let expires_at = put.expires.after(looked.live().and_then(|row| row.expires_at));
    let entries: BTreeSet<&IndexEntry> = put.indexes.iter().collect();
    let indexes = if entries.is_empty() { None } else { Some(to_json(work.tx, &entries)?) };
    let connection = work.tx.connection;
    let area = work.area(&put.collection)?;
    let (id, before) = match looked.row {
        Some(row) => {
            let mut update = connection.prepare_cached(include_str!("../sql/state/update_document.sql"))?;
            update.execute(params![row.id, version, work.now, expires_at, indexes, put.value_json])?;
            (row.id, row.indexes)
        }
        None => {
            let mut insert = connection.prepare_cached(include_str!("../sql/state/insert_document.sql"))?;
            insert.execute(params![area, put.key, version, work.now, expires_at, indexes, put.value_json])?;
            (connection.last_insert_rowid(), None)
        }
    };
    if before.as_deref() != indexes.as_deref() {
        let before = from_json(work.tx, before.as_deref())?;
        remove_entries(connection, area, &put.key, before.iter().filter(|entry| !entries.contains(entry)))?;
        let mut insert = connection.prepare_cached("INSERT INTO state_index VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for entry in entries.into_iter().filter(|entry| !before.contains(*entry)) {
            insert.execute(params![area, &*entry.index, encode(&entry.value.0), put.key, id])?;
        }
    }
    Ok(Ok(Written::Version(version)))
}

pub(super) fn delete<'w>(work: &mut Work<'w, '_>, delete: &'w Delete) -> Answer {
    let (area, looked) = look!(work, delete);
    let (Some(area), Some(row)) = (area, looked.live()) else { return Ok(Ok(Written::Existed(false))) };
    remove(work.tx, area, row.id, &delete.key, row.indexes.as_deref())?;
    Ok(Ok(Written::Existed(true)))
}

pub(super) fn touch<'w>(work: &mut Work<'w, '_>, touch: &'w Touch) -> Answer {
    let (_, looked) = look!(work, touch);
    if let Some(row) = looked.live() {
        let mut update = work.tx.connection.prepare_cached("UPDATE state_documents SET expires_at = ?2 WHERE id = ?1")?;
        update.execute(params![row.id, touch.expires.after(row.expires_at)])?;
    }
    Ok(Ok(Written::Version(looked.version.unwrap_or(0))))
}

pub(super) fn check<'w>(work: &mut Work<'w, '_>, check: &'w Check) -> Answer {
    let (_, looked) = look!(work, check);
    Ok(Ok(Written::Version(looked.version.unwrap_or(0))))
}

/// Removes a row and what finds it.
pub(super) fn remove(tx: &Tx<'_>, area: i64, id: i64, key: &str, indexes: Option<&str>) -> Outcome<()> {
    let entries = from_json(tx, indexes)?;
    remove_entries(tx.connection, area, key, &entries)?;
    tx.connection.prepare_cached("DELETE FROM state_documents WHERE id = ?1")?.execute([id])?;
    Ok(())
}

fn remove_entries<'e>(
    connection: &Connection,
    area: i64,
    key: &str,
    entries: impl IntoIterator<Item = &'e IndexEntry>,
) -> rusqlite::Result<()> {
    let sql = "DELETE FROM state_index WHERE area = ?1 AND name = ?2 AND value = ?3 AND key = ?4";
    let mut delete = connection.prepare_cached(sql)?;
    for entry in entries {
        delete.execute(params![area, &*entry.index, encode(&entry.value.0), key])?;
    }
    Ok(())
}

fn to_json(tx: &Tx<'_>, entries: &BTreeSet<&IndexEntry>) -> Outcome<String> {
    serde_json::to_string(entries).map_err(|error| broken(tx, &error).into())
}

fn from_json(tx: &Tx<'_>, text: Option<&str>) -> Outcome<BTreeSet<IndexEntry>> {
    match text {
        None => Ok(BTreeSet::new()),
        Some(text) => serde_json::from_str(text).map_err(|error| broken(tx, &error).into()),
    }
}

fn broken(tx: &Tx<'_>, error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt { place: tx.shared().path().display().to_string(), cause: format!("index entries: {error}") }
}
