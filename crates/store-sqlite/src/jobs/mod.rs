//! The operations on jobs, a module each. Everything here runs inside a transaction that `writer`
//! opened, or on the reader's connection.

pub(crate) mod claim;
pub(crate) mod control;
pub(crate) mod departed;
pub(crate) mod ends;
pub(crate) mod enqueue;
pub(crate) mod events;
pub(crate) mod inspect;
pub(crate) mod lease;
pub(crate) mod note;
pub(crate) mod settle;

use master_agent_core::JobState;
use rusqlite::{Connection, OptionalExtension, params};

use crate::tx::{LaneNo, Outcome, Tx};

/// How a state is written in the file. Never renumbered.
pub(crate) fn state_code(state: JobState) -> i64 {
    match state {
        JobState::Waiting => 0,
        JobState::Delayed => 1,
        JobState::Active => 2,
        JobState::Completed => 3,
        JobState::Failed => 4,
        JobState::Cancelled => 5,
        JobState::Dead => 6,
    }
}

pub(crate) fn state_from(code: i64) -> JobState {
    JobState::ALL.into_iter().find(|state| state_code(*state) == code).unwrap_or(JobState::Failed)
}

/// Where a job is found in the file.
pub(crate) struct Place {
    pub(crate) lane: LaneNo,
    pub(crate) priority: i64,
    pub(crate) run_at: Option<i64>,
    pub(crate) state: JobState,
}

/// Finds the state of a job of the queue by the table that holds it.
pub(crate) fn place_of(connection: &Connection, queue: i64, id: i64) -> rusqlite::Result<Option<Place>> {
    let mut find = connection.prepare_cached("SELECT lane, priority, run_at FROM jobs WHERE id = ?1 AND queue = ?2")?;
    let row = find.query_row(params![id, queue], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    let Some((lane, priority, run_at)) = row else { return Ok(None) };
    let state = state_of(connection, id, lane, priority)?;
    Ok(Some(Place { lane, priority, run_at, state }))
}

/// The state of a job that exists.
pub(crate) fn state_of(connection: &Connection, id: i64, lane: LaneNo, priority: i64) -> rusqlite::Result<JobState> {
    let mut ended = connection.prepare_cached("SELECT state FROM ended WHERE id = ?1")?;
    if let Some(code) = ended.query_row([id], |row| row.get(0)).optional()? {
        return Ok(state_from(code));
    }
    if connection.prepare_cached("SELECT 1 FROM running WHERE id = ?1")?.exists([id])? {
        return Ok(JobState::Active);
    }
    let mut ready = connection.prepare_cached("SELECT 1 FROM ready WHERE lane = ?1 AND priority = ?2 AND id = ?3")?;
    Ok(if ready.exists(params![lane, priority, id])? { JobState::Waiting } else { JobState::Delayed })
}

/// Puts a job that is in no table of places into the ready one.
pub(crate) fn make_ready(tx: &mut Tx<'_>, lane: LaneNo, priority: i64, id: i64) -> Outcome<()> {
    tx.connection.prepare_cached("INSERT INTO ready VALUES (?1, ?2, ?3)")?.execute(params![lane, priority, id])?;
    tx.count(lane, JobState::Waiting, 1);
    tx.ready(lane);
    Ok(())
}

/// Puts a job that is in no table of places into the delayed one. The job's `run_at` must be set.
pub(crate) fn make_delayed(tx: &mut Tx<'_>, queue: i64, lane: LaneNo, id: i64, run_at: i64) -> Outcome<()> {
    tx.connection.prepare_cached("INSERT INTO delayed VALUES (?1, ?2, ?3)")?.execute(params![run_at, id, queue])?;
    tx.count(lane, JobState::Delayed, 1);
    tx.shared().tell(|listener| listener.due(run_at));
    Ok(())
}

/// Takes a waiting or delayed job out of its table.
pub(crate) fn take_out(tx: &mut Tx<'_>, place: &Place, id: i64) -> Outcome<()> {
    if place.state == JobState::Waiting {
        tx.connection.prepare_cached("DELETE FROM ready WHERE lane = ?1 AND priority = ?2 AND id = ?3")?.execute(params![
            place.lane,
            place.priority,
            id
        ])?;
    } else {
        tx.connection.prepare_cached("DELETE FROM delayed WHERE run_at = ?1 AND id = ?2")?.execute(params![place.run_at, id])?;
    }
    tx.count(place.lane, place.state, -1);
    Ok(())
}

/// Removes the row of a job that is in no table of places, and its log.
pub(crate) fn forget(tx: &mut Tx<'_>, id: i64) -> Outcome<()> {
    tx.connection.prepare_cached("DELETE FROM jobs WHERE id = ?1")?.execute([id])?;
    tx.connection.prepare_cached("DELETE FROM logs WHERE job = ?1")?.execute([id])?;
    Ok(())
}
