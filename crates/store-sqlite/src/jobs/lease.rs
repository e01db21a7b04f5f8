//! Workers, their leases, and what time brings: due jobs and lost workers.

use std::collections::HashSet;

use master_agent_core::{JobId, JobState, Millis, Token, WorkerId};
use master_agent_store::{BeatReply, Cancelled, ClaimRequest, Maintained, WorkerBeat};
use rusqlite::{OptionalExtension, params};

use crate::jobs::claim::Held;
use crate::jobs::settle::{end_cancelled, stall};
use crate::jobs::{departed, events, make_ready};
use crate::tx::{Outcome, Tx};

/// How many delayed jobs one maintenance makes claimable at the most.
const PROMOTE_SLICE: usize = 1_000;

const LOST_WORKER: &str =
    r#"{"name":"StalledError","message":"the worker that ran this job died or lost its lease","code":"ERR_TASK_STALLED"}"#;

/// Gives a worker that the store does not know, or whose lease ended, a new lease.
pub(crate) fn ensure(tx: &mut Tx<'_>, request: &ClaimRequest) -> Outcome<()> {
    let mut find = tx.connection.prepare_cached("SELECT lease_until FROM workers WHERE id = ?1")?;
    let until: Option<i64> = find.query_row([request.worker.0], |row| row.get(0)).optional()?;
    if until.is_none_or(|until| until < request.now) {
        write(tx, request.worker, &request.queue, "", 0, request.now, request.now, request.lease)?;
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the columns of a row, named at the call")]
fn write(
    tx: &Tx<'_>,
    worker: WorkerId,
    queue: &str,
    name: &str,
    concurrency: u32,
    started_at: Millis,
    now: Millis,
    lease: Millis,
) -> Outcome<()> {
    tx.connection.prepare_cached(include_str!("../sql/beat.sql"))?.execute(params![
        worker.0,
        queue,
        name,
        tx.shared().own_peer(),
        concurrency,
        started_at,
        now,
        now.saturating_add(lease)
    ])?;
    Ok(())
}

pub(crate) fn beat(tx: &mut Tx<'_>, beat: &WorkerBeat) -> Outcome<BeatReply> {
    tx.quietly(|tx| write(tx, beat.worker, &beat.queue, &beat.name, beat.concurrency, beat.started_at, beat.now, beat.lease))?;
    let mut reply = BeatReply::default();
    let mut held = tx.connection.prepare_cached("SELECT id, token, cancel FROM running WHERE worker = ?1")?;
    let mut rows = held.query([beat.worker.0])?;
    while let Some(row) = rows.next()? {
        let id = JobId(row.get(0)?);
        reply.held.push((id, Token(row.get(1)?)));
        if let Some(error) = row.get_ref(2)?.as_str_or_null()? {
            reply.cancelled.push(Cancelled { id, error_json: error.into() });
        }
    }
    Ok(reply)
}

/// Takes everything that a worker holds out of the running table.
fn take_from(tx: &mut Tx<'_>, worker: i64) -> Outcome<Vec<Held>> {
    let jobs: Vec<Held> = {
        let sql = "SELECT id, queue, lane, claimed_at, cancel FROM running WHERE worker = ?1 ORDER BY id";
        tx.connection.prepare_cached(sql)?.query_map([worker], Held::read)?.collect::<Result<_, _>>()?
    };
    tx.connection.prepare_cached("DELETE FROM running WHERE worker = ?1")?.execute([worker])?;
    tx.connection.prepare_cached("DELETE FROM workers WHERE id = ?1")?.execute([worker])?;
    tx.cache.turns.remove(&WorkerId(worker));
    for job in &jobs {
        tx.count(job.lane, JobState::Active, -1);
    }
    Ok(jobs)
}

pub(crate) fn leave(tx: &mut Tx<'_>, worker: WorkerId, now: Millis) -> Outcome<()> {
    for job in take_from(tx, worker.0)? {
        if end_cancelled(tx, &job, now)? {
            continue;
        }
        let mut read = tx.connection.prepare_cached("SELECT priority FROM jobs WHERE id = ?1")?;
        let priority = read.query_row([job.id], |row| row.get(0))?;
        make_ready(tx, job.lane, priority, job.id)?;
    }
    Ok(())
}

pub(crate) fn maintain(tx: &mut Tx<'_>, now: Millis, dead_peers: &[String]) -> Outcome<Maintained> {
    let mut done = Maintained::default();
    promote_due(tx, now, &mut done)?;
    for peer in dead_peers {
        // Its lease ends with it.
        tx.connection.prepare_cached("UPDATE workers SET lease_until = 0 WHERE peer = ?1")?.execute([peer])?;
        tx.connection.prepare_cached("DELETE FROM listeners WHERE peer = ?1")?.execute([peer])?;
    }
    recover(tx, now, &mut done)?;
    tx.quietly(|tx| departed::trim(tx, now))?;
    let heard = if tx.shared().has_peers() { events::heard(tx.connection, &tx.shared().own_peer())? } else { HashSet::new() };
    tx.shared().set_heard(heard);
    let mut next = tx.connection.prepare_cached("SELECT run_at FROM delayed ORDER BY run_at LIMIT 1")?;
    done.next_due = next.query_row([], |row| row.get(0)).optional()?;
    Ok(done)
}

fn promote_due(tx: &mut Tx<'_>, now: Millis, done: &mut Maintained) -> Outcome<()> {
    let due: Vec<(i64, i64, i64, i64)> = {
        let mut due = tx.connection.prepare_cached(include_str!("../sql/due.sql"))?;
        due.query_map(params![now, PROMOTE_SLICE as i64], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<Result<_, _>>()?
    };
    for (run_at, id, lane, priority) in due {
        tx.connection.prepare_cached("DELETE FROM delayed WHERE run_at = ?1 AND id = ?2")?.execute(params![run_at, id])?;
        tx.count(lane, JobState::Delayed, -1);
        make_ready(tx, lane, priority, id)?;
        done.promoted += 1;
    }
    Ok(())
}

fn recover(tx: &mut Tx<'_>, now: Millis, done: &mut Maintained) -> Outcome<()> {
    let lost: Vec<i64> = {
        let mut lost = tx.connection.prepare_cached("SELECT id FROM workers WHERE lease_until < ?1")?;
        lost.query_map([now], |row| row.get(0))?.collect::<Result<_, _>>()?
    };
    for worker in lost {
        for job in take_from(tx, worker)? {
            done.recovered += 1;
            if end_cancelled(tx, &job, now)? || stall(tx, &job, now, LOST_WORKER)? == JobState::Dead {
                let (queue, _) = tx.lane_names(job.lane)?;
                done.dead.push((queue, JobId(job.id)));
            }
        }
    }
    Ok(())
}
