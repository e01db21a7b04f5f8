//! Ending claims.

use std::sync::Arc;

use master_agent_core::{JobId, JobState, Keep, Millis};
use master_agent_store::{Disposition, Settled, Settlement};
use rusqlite::params;

use crate::jobs::claim::{Held, held};
use crate::jobs::ends::{End, end, end_alone, trim};
use crate::jobs::{make_delayed, make_ready};
use crate::tx::{Outcome, QueueNo, Tx, kind_of};

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
    let Some(held) = held(tx, *id, *token)? else { return Ok(Settled::Refused) };
    let (lane, claimed_at) = (held.lane, held.claimed_at);
    tx.connection.prepare_cached("DELETE FROM running WHERE id = ?1")?.execute([id.0])?;
    tx.count(lane, JobState::Active, -1);
    let ends = matches!(disposition, Disposition::Complete { .. } | Disposition::End { .. });
    if !ends && end_cancelled(tx, &held, now)? {
        return Ok(Settled::Applied(JobState::Cancelled));
    }
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
            if *failed {
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
        Disposition::Stall { error_json } => Ok(Settled::Applied(stall(tx, &held, now, error_json)?)),
    }
}

fn priority_of(tx: &Tx<'_>, id: JobId) -> Outcome<i64> {
    Ok(tx.connection.prepare_cached("SELECT priority FROM jobs WHERE id = ?1")?.query_row([id.0], |row| row.get(0))?)
}

/// Ends a job that is in no table of places, if somebody asked to cancel it while it ran: such a one never waits again.
pub(crate) fn end_cancelled(tx: &mut Tx<'_>, held: &Held, now: Millis) -> Outcome<bool> {
    let Some(error_json) = &held.cancel else { return Ok(false) };
    let keep = tx.policy_of(held.id)?.remove_on_fail;
    let (started_at, value_json) = (Some(held.claimed_at), Some(&**error_json));
    let Held { id, queue, lane, .. } = *held;
    end_alone(tx, &End { id, queue, lane, state: JobState::Cancelled, started_at, finished_at: now, value_json, keep })?;
    Ok(true)
}

/// A job that is in no table of places lost its worker: it waits again, or ends among the dead letters.
pub(crate) fn stall(tx: &mut Tx<'_>, held: &Held, now: Millis, error_json: &str) -> Outcome<JobState> {
    let Held { id, queue, lane, .. } = *held;
    let (priority, stalls, policy) = {
        let mut read = tx.connection.prepare_cached("SELECT priority, stalls, policy FROM jobs WHERE id = ?1")?;
        let mut rows = read.query([id])?;
        let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        let policy = tx.policy(row.get_ref(2)?.as_str_or_null()?);
        (row.get::<_, i64>(0)?, row.get::<_, u32>(1)? + 1, policy)
    };
    tx.connection
        .prepare_cached("UPDATE jobs SET stalls = ?2, error = ?3 WHERE id = ?1")?
        .execute(params![id, stalls, error_json])?;
    if stalls <= policy.max_stalls {
        make_ready(tx, lane, priority, id)?;
        return Ok(JobState::Waiting);
    }
    let (state, keep) = (JobState::Dead, policy.remove_on_fail);
    let (started_at, value_json) = (Some(held.claimed_at), Some(error_json));
    end_alone(tx, &End { id, queue, lane, state, started_at, finished_at: now, value_json, keep })?;
    Ok(state)
}
