//! Logs: appending, reading, trimming, forgetting.

use master_agent_core::Millis;
use master_agent_store::state::{
    Append, Forget, KEEP_SLICE, LogEnds, LogEntry, LogPage, LogRead, LogTrim, MAX_PAGE, Refused, TrimTo, Trimmed, Written,
};
use rusqlite::{Connection, OptionalExtension, params};

use super::commit::{Answer, Work};
use super::{find_space, is_live};
use crate::tx::{Outcome, Tx};

pub(super) struct Log {
    id: i64,
    pub(super) ends: LogEnds,
    expires_at: Option<Millis>,
}

impl Log {
    pub(super) fn is_live(&self, now: Millis) -> bool {
        is_live(self.expires_at, now)
    }
}

/// The log, expired or not.
pub(super) fn find(connection: &Connection, space: i64, name: &str) -> rusqlite::Result<Option<Log>> {
    let mut find = connection.prepare_cached(include_str!("../sql/state/find_log.sql"))?;
    find.query_row(params![space, name], |row| {
        let ends = LogEnds { begin: row.get(1)?, first: row.get(2)?, last: row.get(3)? };
        Ok(Log { id: row.get(0)?, ends, expires_at: row.get(4)? })
    })
    .optional()
}

pub(super) fn append<'w>(work: &mut Work<'w, '_>, append: &'w Append) -> Answer {
    let stored = match work.find_space()? {
        Some(space) => find(work.tx.connection, space, &append.log)?,
        None => None,
    };
    let (live, expired) = match stored {
        Some(log) if log.is_live(work.now) => (Some(log), None),
        other => (None, other),
    };
    let found = live.as_ref().map_or(0, |log| log.ends.last);
    if append.expect.is_some_and(|expected| expected != found) {
        return Ok(Err(Refused::Number { found }));
    }
    if let Some(expired) = expired {
        orphan(work.tx.connection, expired.id)?;
    }
    let space = work.space()?;
    let revision = work.tx.next_revision()?;
    let connection = work.tx.connection;
    let (id, number) = match live {
        Some(mut log) => {
            log.ends.last += 1;
            if let Some(keep) = append.keep {
                let keep = i64::try_from(keep).unwrap_or(i64::MAX);
                let surplus = log.ends.last.saturating_sub(log.ends.first - 1).saturating_sub(keep);
                remove_oldest(connection, &mut log, surplus.clamp(0, KEEP_SLICE as i64))?;
            }
            let mut update = connection.prepare_cached(include_str!("../sql/state/update_log.sql"))?;
            let expires_at = append.expires.after(log.expires_at);
            update.execute(params![log.id, log.ends.first, log.ends.last, revision, expires_at])?;
            (log.id, log.ends.last)
        }
        None => {
            let mut insert = connection.prepare_cached(include_str!("../sql/state/insert_log.sql"))?;
            insert.execute(params![space, &*append.log, revision, append.expires.after(None)])?;
            (connection.last_insert_rowid(), revision)
        }
    };
    let mut insert = connection.prepare_cached("INSERT INTO state_entries (log, number, at, entry) VALUES (?1, ?2, ?3, ?4)")?;
    insert.execute(params![id, number, work.now, append.entry_json])?;
    Ok(Ok(Written::Number(number)))
}

pub(super) fn forget<'w>(work: &mut Work<'w, '_>, forget: &'w Forget) -> Answer {
    let stored = match work.find_space()? {
        Some(space) => find(work.tx.connection, space, &forget.log)?,
        None => None,
    };
    let Some(log) = stored.filter(|log| log.is_live(work.now)) else { return Ok(Ok(Written::Existed(false))) };
    orphan(work.tx.connection, log.id)?;
    Ok(Ok(Written::Existed(true)))
}

/// Takes a log's name from it; sweeps remove it.
pub(super) fn orphan(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE state_logs SET space = NULL, expires_at = 0 WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Removes the oldest `n` entries, and counts them off in `log` only.
fn remove_oldest(connection: &Connection, log: &mut Log, n: i64) -> rusqlite::Result<()> {
    if n > 0 {
        log.ends.first += n;
        let mut delete = connection.prepare_cached("DELETE FROM state_entries WHERE log = ?1 AND number < ?2")?;
        delete.execute(params![log.id, log.ends.first])?;
    }
    Ok(())
}

pub(super) fn read(connection: &Connection, read: &LogRead) -> Outcome<LogPage> {
    let Some(space) = find_space(connection, &read.namespace)? else { return Ok(LogPage::default()) };
    let found = find(connection, space, &read.log)?.filter(|log| log.is_live(read.now));
    let Some(log) = found else { return Ok(LogPage::default()) };
    let mut page = LogPage { ends: Some(log.ends), entries: Vec::new() };
    let limit = read.limit.min(MAX_PAGE) as i64;
    let mut entries = connection.prepare_cached(include_str!("../sql/state/read_log.sql"))?;
    let mut rows = entries.query(params![log.id, read.after, limit])?;
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let entry_json: Box<str> = row.get_ref(2)?.as_str()?.into();
        bytes += entry_json.len();
        page.entries.push(LogEntry { number: row.get(0)?, at: row.get(1)?, entry_json });
        if bytes >= read.max_bytes {
            break;
        }
    }
    Ok(page)
}

pub(super) fn trim(tx: &mut Tx<'_>, trim: &LogTrim) -> Outcome<Trimmed> {
    let connection = tx.connection;
    let stored = match find_space(connection, &trim.namespace)? {
        Some(space) => find(connection, space, &trim.log)?,
        None => None,
    };
    let Some(mut log) = stored.filter(|log| log.is_live(trim.now)) else { return Ok(Trimmed::default()) };
    let LogEnds { first, last, .. } = log.ends;
    let limit = trim.limit.min(MAX_PAGE) as i64;
    let stays_from = match trim.to {
        TrimTo::Newest(keep) => last.saturating_add(1).saturating_sub(i64::try_from(keep).unwrap_or(i64::MAX)),
        TrimTo::Through(number) => number.saturating_add(1),
        TrimTo::Before(time) => {
            // One more than may be removed tells whether there is more to do.
            let mut find = connection.prepare_cached(include_str!("../sql/state/trim_before.sql"))?;
            let found = find.query_row(params![log.id, first, limit + 1, time], |row| row.get(0)).optional()?;
            found.unwrap_or(first + limit + 1)
        }
    };
    let surplus = stays_from.clamp(first, last + 1) - first;
    let removed = surplus.min(limit);
    remove_oldest(connection, &mut log, removed)?;
    if removed > 0 {
        let mut update = connection.prepare_cached("UPDATE state_logs SET first_no = ?2 WHERE id = ?1")?;
        update.execute(params![log.id, log.ends.first])?;
    }
    Ok(Trimmed { removed: removed as u64, more: removed < surplus })
}

/// Removes up to `limit` entries of a log that is gone, and the log with the last of them. Answers how many
/// rows that were.
pub(super) fn sweep(connection: &Connection, id: i64, first: i64, last: i64, limit: i64) -> rusqlite::Result<i64> {
    let mut log = Log { id, ends: LogEnds { begin: first, first, last }, expires_at: None };
    let entries = last - first + 1;
    let removed = entries.min(limit);
    remove_oldest(connection, &mut log, removed)?;
    if removed == entries && removed < limit {
        connection.prepare_cached("DELETE FROM state_logs WHERE id = ?1")?.execute([id])?;
        return Ok(removed + 1);
    }
    let mut update = connection.prepare_cached("UPDATE state_logs SET first_no = ?2 WHERE id = ?1")?;
    update.execute(params![id, log.ends.first])?;
    Ok(removed)
}
