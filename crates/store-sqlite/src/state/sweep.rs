//! Clearing namespaces, and freeing what is gone for every reader already.

use master_agent_core::Millis;
use master_agent_store::state::{MAX_PAGE, Swept};
use rusqlite::{OptionalExtension, params};

use super::{documents, logs};
use crate::tx::{Outcome, Tx};

/// Takes a namespace's name from it; sweeps remove it.
pub(super) fn clear(tx: &mut Tx<'_>, namespace: &str) -> Outcome<bool> {
    let mut clear = tx.connection.prepare_cached("UPDATE state_spaces SET name = NULL WHERE name = ?1")?;
    Ok(clear.execute([namespace])? > 0)
}

pub(super) fn sweep(tx: &mut Tx<'_>, now: Millis, limit: usize) -> Outcome<Swept> {
    let limit = limit.min(MAX_PAGE) as i64;
    let mut left = limit;
    loop {
        let before = left;
        // In turn: a cleared namespace gives its logs to the first of these.
        left -= expired_logs(tx, now, left)?;
        left -= expired_documents(tx, now, left)?;
        left -= expired_counters(tx, now, left)?;
        left -= cleared(tx, left)?;
        if left <= 0 || left == before {
            break;
        }
    }
    let more = left <= 0;
    let next = if more { None } else { next_expiry(tx)? };
    Ok(Swept { removed: (limit - left) as u64, more, next })
}

fn next_expiry(tx: &Tx<'_>) -> Outcome<Option<Millis>> {
    let mut next: Option<Millis> = None;
    for table in ["state_documents", "state_counters", "state_logs"] {
        let sql = format!("SELECT expires_at FROM {table} WHERE expires_at IS NOT NULL ORDER BY expires_at LIMIT 1");
        let found: Option<Millis> = tx.connection.prepare_cached(&sql)?.query_row([], |row| row.get(0)).optional()?;
        next = next.into_iter().chain(found).min();
    }
    Ok(next)
}

fn expired_logs(tx: &Tx<'_>, now: Millis, limit: i64) -> Outcome<i64> {
    let mut removed = 0;
    while removed < limit {
        let mut find = tx.connection.prepare_cached(include_str!("../sql/state/expired_log.sql"))?;
        let found = find.query_row([now], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
        let Some((id, first, last)) = found else { break };
        removed += logs::sweep(tx.connection, id, first, last, limit - removed)?;
    }
    Ok(removed)
}

/// What is needed to remove a document: its id, area, key and index entries.
type Doomed = (i64, i64, Box<str>, Option<Box<str>>);

fn remove_documents(tx: &Tx<'_>, sql: &str, of: i64, limit: i64) -> Outcome<i64> {
    let doomed: Vec<Doomed> = {
        let mut find = tx.connection.prepare_cached(sql)?;
        let rows = find.query_map(params![of, limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    for (id, area, key, indexes) in &doomed {
        documents::remove(tx, *area, *id, key, indexes.as_deref())?;
    }
    Ok(doomed.len() as i64)
}

fn expired_documents(tx: &Tx<'_>, now: Millis, limit: i64) -> Outcome<i64> {
    remove_documents(tx, include_str!("../sql/state/expired_documents.sql"), now, limit)
}

fn expired_counters(tx: &Tx<'_>, now: Millis, limit: i64) -> Outcome<i64> {
    let mut delete = tx.connection.prepare_cached(include_str!("../sql/state/expired_counters.sql"))?;
    Ok(delete.execute(params![now, limit])? as i64)
}

fn cleared(tx: &Tx<'_>, limit: i64) -> Outcome<i64> {
    let mut removed = 0;
    while removed < limit {
        let mut find = tx.connection.prepare_cached("SELECT id FROM state_spaces WHERE name IS NULL LIMIT 1")?;
        let Some(space) = find.query_row([], |row| row.get::<_, i64>(0)).optional()? else { break };
        removed += contents(tx, space, limit - removed)?;
    }
    Ok(removed)
}

/// Removes up to `limit` rows of a cleared namespace, itself with the last of them.
fn contents(tx: &Tx<'_>, space: i64, limit: i64) -> Outcome<i64> {
    let mut orphan = tx.connection.prepare_cached(include_str!("../sql/state/orphan_logs.sql"))?;
    let mut removed = orphan.execute(params![space, limit])? as i64;
    while removed < limit {
        let mut find = tx.connection.prepare_cached("SELECT id FROM state_areas WHERE space = ?1 LIMIT 1")?;
        let Some(area) = find.query_row([space], |row| row.get::<_, i64>(0)).optional()? else {
            tx.connection.prepare_cached("DELETE FROM state_spaces WHERE id = ?1")?.execute([space])?;
            return Ok(removed + 1);
        };
        removed += remove_documents(tx, include_str!("../sql/state/area_documents.sql"), area, limit - removed)?;
        let mut counters = tx.connection.prepare_cached(include_str!("../sql/state/area_counters.sql"))?;
        removed += counters.execute(params![area, limit - removed])? as i64;
        if removed < limit {
            tx.connection.prepare_cached("DELETE FROM state_areas WHERE id = ?1")?.execute([area])?;
            removed += 1;
        }
    }
    Ok(removed)
}
