//! Ends of jobs that are not kept, remembered for those who wait in other processes.
//!
//! Written only where another process uses the file: who waits in this one is told by the engine.

use master_agent_core::{JobId, JobRef, Millis};
use master_agent_store::Departed;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::jobs::ends::End;
use crate::jobs::{state_code, state_from};
use crate::tx::{Outcome, Tx};

/// How long an end is remembered at the most, and how many of them, with how many bytes of results.
const KEPT_FOR: Millis = 60_000;
const KEPT: i64 = 10_000;
const KEPT_BYTES: i64 = 16 << 20;

/// After how many ends the oldest are looked at.
const TRIM_EVERY: i64 = 256;

/// Remembers how a job ends whose row is still there.
pub(crate) fn remember(tx: &Tx<'_>, end: &End<'_>) -> Outcome<()> {
    let mut insert = tx.connection.prepare_cached(include_str!("../sql/depart.sql"))?;
    let seq: Option<i64> = insert
        .query_row(params![end.id, state_code(end.state), end.started_at, end.finished_at, end.value_json], |row| row.get(0))
        .optional()?;
    if seq.is_some_and(|seq| seq % TRIM_EVERY == 0) {
        trim(tx, end.finished_at)?;
    }
    Ok(())
}

/// Forgets what is too old or too much.
pub(crate) fn trim(tx: &Tx<'_>, now: Millis) -> Outcome<()> {
    let mut trim = tx.connection.prepare_cached(include_str!("../sql/departed_trim.sql"))?;
    trim.execute(params![now.saturating_sub(KEPT_FOR), KEPT, KEPT_BYTES])?;
    Ok(())
}

/// Forgets the end of a job that begins anew.
pub(crate) fn forget(tx: &Tx<'_>, id: i64) -> Outcome<()> {
    tx.connection.prepare_cached("DELETE FROM departed WHERE id = ?1")?.execute([id])?;
    Ok(())
}

pub(crate) fn find(connection: &Connection, queue: &str, jobs: &[JobRef]) -> Outcome<Vec<Option<Departed>>> {
    let mut by_id = connection.prepare_cached(concat!(
        include_str!("../sql/departed.sql"),
        " WHERE q.name = ?1 AND d.id = ?2 ORDER BY d.seq DESC LIMIT 1"
    ))?;
    let mut by_key = connection.prepare_cached(concat!(
        include_str!("../sql/departed.sql"),
        " WHERE q.name = ?1 AND d.queue = q.id AND d.key = ?2 ORDER BY d.seq DESC LIMIT 1"
    ))?;
    let mut found = Vec::with_capacity(jobs.len());
    for job in jobs {
        found.push(match job {
            JobRef::Id(id) => by_id.query_row(params![queue, id.0], departed).optional()?,
            JobRef::Key(key) => by_key.query_row(params![queue, key], departed).optional()?,
        });
    }
    Ok(found)
}

fn departed(row: &Row<'_>) -> rusqlite::Result<Departed> {
    let text =
        |column: usize| -> rusqlite::Result<Option<Box<str>>> { Ok(row.get_ref(column)?.as_str_or_null()?.map(Into::into)) };
    Ok(Departed {
        id: JobId(row.get(0)?),
        lane: row.get_ref(1)?.as_str()?.into(),
        state: state_from(row.get(2)?),
        failures: row.get(3)?,
        added_at: row.get(4)?,
        started_at: row.get(5)?,
        finished_at: row.get(6)?,
        key: text(7)?,
        task_id: text(8)?,
        parent_id: text(9)?,
        value_json: text(10)?,
    })
}
