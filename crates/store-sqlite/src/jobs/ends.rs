//! How a job ends, and how long its end is kept.

use master_agent_core::{JobState, Keep, Millis};
use rusqlite::params;

use crate::jobs::{departed, forget, state_code, state_from};
use crate::tx::{Kind, LaneNo, Outcome, QueueNo, Tx, kind_of};

/// The end of a job that is in no table of places.
pub(crate) struct End<'a> {
    pub(crate) id: i64,
    pub(crate) queue: QueueNo,
    pub(crate) lane: LaneNo,
    pub(crate) state: JobState,
    pub(crate) started_at: Option<Millis>,
    pub(crate) finished_at: Millis,
    pub(crate) value_json: Option<&'a str>,
    pub(crate) keep: Keep,
}

/// Writes the end down, or removes the job where nothing is to be kept.
pub(crate) fn end(tx: &mut Tx<'_>, end: &End<'_>) -> Outcome<()> {
    // Of these, no worker may be left that could tell of them.
    let unheld = matches!(end.state, JobState::Cancelled | JobState::Dead);
    if end.keep.is_brief() && (unheld || tx.is_shared()) {
        departed::remember(tx, end)?;
    }
    if end.keep.is_nothing() {
        return forget(tx, end.id);
    }
    let kind = kind_of(end.state);
    let seq = tx.next_ended()?;
    tx.connection.prepare_cached("INSERT INTO ended VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?.execute(params![
        end.id,
        end.queue,
        kind,
        seq,
        state_code(end.state),
        end.lane,
        end.started_at,
        end.finished_at,
        end.value_json
    ])?;
    tx.count(end.lane, end.state, 1);
    tx.count_ended(end.queue, kind, 1);
    Ok(())
}

/// Ends a job whose own policy bounds the others of its kind at once.
pub(crate) fn end_alone(tx: &mut Tx<'_>, one: &End<'_>) -> Outcome<()> {
    end(tx, one)?;
    trim(tx, one.queue, kind_of(one.state), one.keep, one.finished_at, 102)
}

/// Removes ended jobs beyond the bound, oldest first, at most `slice` of them.
pub(crate) fn trim(tx: &mut Tx<'_>, queue: QueueNo, kind: Kind, keep: Keep, now: Millis, slice: usize) -> Outcome<()> {
    // A job that asks for no trace of itself says nothing about the others.
    if keep.is_nothing() {
        return Ok(());
    }
    let excess = match keep.count {
        Some(count) => (tx.ended_count(queue, kind)? - i64::try_from(count).unwrap_or(i64::MAX)).max(0),
        None => 0,
    };
    let too_old = keep.age.map(|age| now.saturating_sub(age));
    if excess == 0 && too_old.is_none() {
        return Ok(());
    }
    let connection = tx.connection;
    let mut oldest = connection.prepare_cached(
        "SELECT id, seq, lane, state, finished_at FROM ended WHERE queue = ?1 AND kind = ?2 ORDER BY seq LIMIT ?3",
    )?;
    let mut rows = oldest.query(params![queue, kind, slice as i64])?;
    let mut last_seq = None;
    let mut removed = 0;
    while let Some(row) = rows.next()? {
        let finished_at: i64 = row.get(4)?;
        if removed >= excess && too_old.is_none_or(|limit| finished_at >= limit) {
            break;
        }
        forget(tx, row.get(0)?)?;
        tx.count(row.get(2)?, state_from(row.get(3)?), -1);
        last_seq = Some(row.get::<_, i64>(1)?);
        removed += 1;
    }
    drop(rows);
    if let Some(seq) = last_seq {
        connection
            .prepare_cached("DELETE FROM ended WHERE queue = ?1 AND kind = ?2 AND seq <= ?3")?
            .execute(params![queue, kind, seq])?;
        tx.count_ended(queue, kind, -removed);
    }
    Ok(())
}
