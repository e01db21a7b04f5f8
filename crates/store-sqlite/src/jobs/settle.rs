//! Ending claims.

use std::sync::Arc;

use master_agent_core::{JobId, JobState, Keep, Millis};
use master_agent_store::{Disposition, Settled, Settlement};
use rusqlite::params;

use crate::jobs::claim::held;
use crate::jobs::ends::{End, end, trim};
use crate::jobs::{make_delayed, make_ready};
use crate::tx::{LaneNo, Outcome, QueueNo, Tx, kind_of};

pub(crate) fn settle(tx: &mut Tx<'_>, queue_name: &Arc<str>, batch: &[Settlement], now: Millis) -> Outcome<Vec<Settled>> {
    let Some(queue) = tx.find_queue(queue_name)? else { return Ok(vec![Settled::Refused; batch.len()]) };
    // The last settlement of a kind says how many of the kind are kept.
    let mut keeps: [Option<Keep>; 2] = [None, None];
    let mut answers = Vec::with_capacity(batch.len());
    for settlement in batch {
        answers.push(settle_one(tx, queue, settlement, now, &mut keeps)?);
    }
    let slice = batch.len() * 2 + 100;
    for (kind, keep) in keeps.into_iter().enumerate() {
        if let Some(keep) = keep {
            trim(tx, queue, kind as i64, keep, now, slice)?;
        }
    }
    Ok(answers)
}

fn settle_one(
    tx: &mut Tx<'_>,
    queue: QueueNo,
    Settlement { id, token, disposition }: &Settlement,
    now: Millis,
    keeps: &mut [Option<Keep>; 2],
) -> Outcome<Settled> {
    let Some((lane, claimed_at)) = held(tx, *id, *token)? else { return Ok(Settled::Refused) };
    tx.connection.prepare_cached("DELETE FROM running WHERE id = ?1")?.execute([id.0])?;
    tx.count(lane, JobState::Active, -1);
    let mut finish = |tx: &mut Tx<'_>, state: JobState, value_json: Option<&str>, keep: Keep| -> Outcome<Settled> {
        let started_at = Some(claimed_at);
        end(tx, &End { id: id.0, queue, lane, state, started_at, finished_at: now, value_json, keep })?;
        if !keep.is_nothing() {
            keeps[kind_of(state) as usize] = Some(keep);
        }
        Ok(Settled::Applied(state))
    };
    match disposition {
        Disposition::Complete { result_json, keep } => finish(tx, JobState::Completed, result_json.as_deref(), *keep),
        Disposition::End { state, error_json, failed, keep } => {
            if *failed && !keep.is_nothing() {
                tx.connection.prepare_cached("UPDATE jobs SET failures = failures + 1 WHERE id = ?1")?.execute([id.0])?;
            }
            finish(tx, *state, Some(error_json), *keep)
        }
        Disposition::Retry { run_at, error_json } => {
            tx.connection
                .prepare_cached("UPDATE jobs SET failures = failures + 1, error = ?2, run_at = ?3 WHERE id = ?1")?
                .execute(params![id.0, error_json, run_at])?;
            if *run_at > now {
                make_delayed(tx, queue, lane, id.0, *run_at)?;
                Ok(Settled::Applied(JobState::Delayed))
            } else {
                make_ready(tx, lane, priority_of(tx, *id)?, id.0)?;
                Ok(Settled::Applied(JobState::Waiting))
            }
        }
        Disposition::Release => {
            make_ready(tx, lane, priority_of(tx, *id)?, id.0)?;
            Ok(Settled::Applied(JobState::Waiting))
        }
        Disposition::Stall { error_json } => {
            let state = stall(tx, queue, lane, *id, claimed_at, now, error_json)?;
            Ok(Settled::Applied(state))
        }
    }
}

fn priority_of(tx: &Tx<'_>, id: JobId) -> Outcome<i64> {
    Ok(tx.connection.prepare_cached("SELECT priority FROM jobs WHERE id = ?1")?.query_row([id.0], |row| row.get(0))?)
}

/// A job that is in no table of places lost its worker: it waits again, or ends among the dead letters.
pub(crate) fn stall(
    tx: &mut Tx<'_>,
    queue: QueueNo,
    lane: LaneNo,
    id: JobId,
    claimed_at: Millis,
    now: Millis,
    error_json: &str,
) -> Outcome<JobState> {
    let (priority, stalls, policy) = {
        let mut read = tx.connection.prepare_cached("SELECT priority, stalls, policy FROM jobs WHERE id = ?1")?;
        let mut rows = read.query([id.0])?;
        let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        let policy = tx.policy(row.get_ref(2)?.as_str_or_null()?);
        (row.get::<_, i64>(0)?, row.get::<_, u32>(1)? + 1, policy)
    };
    tx.connection
        .prepare_cached("UPDATE jobs SET stalls = ?2, error = ?3 WHERE id = ?1")?
        .execute(params![id.0, stalls, error_json])?;
    if stalls <= policy.max_stalls {
        make_ready(tx, lane, priority, id.0)?;
        return Ok(JobState::Waiting);
    }
    let (state, keep) = (JobState::Dead, policy.remove_on_fail);
    let value_json = Some(error_json);
    end(tx, &End { id: id.0, queue, lane, state, started_at: Some(claimed_at), finished_at: now, value_json, keep })?;
    trim(tx, queue, kind_of(state), keep, now, 102)?;
    Ok(state)
}
