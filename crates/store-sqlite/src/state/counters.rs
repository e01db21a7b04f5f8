//! Writing counters.

use master_agent_core::Millis;
use master_agent_store::state::{Add, Refused, Reset, Written};
use rusqlite::{Connection, OptionalExtension, params};

use super::commit::{Answer, Work};
use super::is_live;

pub(super) struct Counter {
    pub(super) sum: i64,
    expires_at: Option<Millis>,
}

impl Counter {
    pub(super) fn is_live(&self, now: Millis) -> bool {
        is_live(self.expires_at, now)
    }
}

/// The counter, expired or not.
pub(super) fn find(connection: &Connection, area: i64, key: &str) -> rusqlite::Result<Option<Counter>> {
    let mut find = connection.prepare_cached("SELECT sum, expires_at FROM state_counters WHERE area = ?1 AND key = ?2")?;
    find.query_row(params![area, key], |row| Ok(Counter { sum: row.get(0)?, expires_at: row.get(1)? })).optional()
}

pub(super) fn add<'w>(work: &mut Work<'w, '_>, add: &'w Add) -> Answer {
    let before = match work.find_area(&add.collection)? {
        Some(area) => find(work.tx.connection, area, &add.key)?.filter(|found| found.is_live(work.now)),
        None => None,
    };
    let found = before.as_ref().map_or(0, |counter| counter.sum);
    let Some(sum) = add.applied_to(found) else { return Ok(Err(Refused::Sum { found })) };
    let expires_at = add.expires.after(before.and_then(|counter| counter.expires_at));
    let area = work.area(&add.collection)?;
    let mut put = work.tx.connection.prepare_cached(include_str!("../sql/state/put_counter.sql"))?;
    put.execute(params![area, add.key, sum, expires_at])?;
    Ok(Ok(Written::Sum(sum)))
}

pub(super) fn reset<'w>(work: &mut Work<'w, '_>, reset: &'w Reset) -> Answer {
    let area = work.find_area(&reset.collection)?;
    let before = match area {
        Some(area) => find(work.tx.connection, area, &reset.key)?.filter(|found| found.is_live(work.now)),
        None => None,
    };
    let found = before.as_ref().map_or(0, |counter| counter.sum);
    if reset.expect.is_some_and(|expected| expected != found) {
        return Ok(Err(Refused::Sum { found }));
    }
    if before.is_some() {
        let mut delete = work.tx.connection.prepare_cached("DELETE FROM state_counters WHERE area = ?1 AND key = ?2")?;
        delete.execute(params![area, reset.key])?;
    }
    Ok(Ok(Written::Sum(found)))
}
