//! Changes that a user asks for, in slices that keep the writer free for others.

use std::sync::Arc;

use master_agent_core::{JobId, JobRef, JobState, Millis};
use master_agent_store::{Control, Controlled, MAX_PAGE, StoreError};
use rusqlite::{OptionalExtension, params};

use crate::jobs::ends::{End, end_alone};
use crate::jobs::{Place, departed, forget, make_ready, place_of, state_code, state_from, take_out};
use crate::tx::{Outcome, QueueNo, Tx, kind_of};

const SLICE: i64 = MAX_PAGE as i64;

pub(crate) fn control(tx: &mut Tx<'_>, queue_name: &Arc<str>, control: &Control, now: Millis) -> Outcome<Controlled> {
    // A queue can be paused before its first job.
    let queue = match control {
        Control::Pause => Some(tx.queue(queue_name)?),
        _ => tx.find_queue(queue_name)?,
    };
    let Some(queue) = queue else {
        return match control {
            Control::Retry { job } | Control::Promote { job } | Control::Remove { job } | Control::Cancel { job, .. } => {
                Err(not_found(queue_name, job).into())
            }
            Control::Clean { state: JobState::Active, .. } => Err(no_clean_of_active().into()),
            _ => Ok(Controlled::default()),
        };
    };
    let mut one = |job: &JobRef, change: fn(&mut Change<'_, '_>) -> Outcome<Controlled>, error_json: &str| {
        let (id, place) = find(tx, queue, queue_name, job)?;
        change(&mut Change { tx, queue, id, place, now, error_json })
    };
    match control {
        Control::Pause => set_paused(tx, queue, true),
        Control::Resume => set_paused(tx, queue, false),
        Control::Drain { delayed } => drain(tx, queue, *delayed),
        Control::Clean { state, before, limit } => clean(tx, queue, *state, *before, *limit),
        Control::Retry { job } => one(job, retry, ""),
        Control::Promote { job } => one(job, promote, ""),
        Control::Remove { job } => one(job, remove, ""),
        Control::Cancel { job, error_json, .. } => one(job, cancel, error_json),
        Control::Obliterate { force } => obliterate(tx, queue, queue_name, *force),
    }
}

pub(crate) fn not_found(queue: &str, job: &JobRef) -> StoreError {
    let id = match job {
        JobRef::Id(id) => id.to_string(),
        JobRef::Key(key) => key.to_string(),
    };
    StoreError::NotFound { queue: queue.to_owned(), id }
}

fn find(tx: &Tx<'_>, queue: QueueNo, queue_name: &str, job: &JobRef) -> Outcome<(i64, Place)> {
    let id = match job {
        JobRef::Id(id) => Some(id.0),
        JobRef::Key(key) => {
            let mut find = tx.connection.prepare_cached("SELECT id FROM jobs WHERE queue = ?1 AND key = ?2")?;
            find.query_row(params![queue, key], |row| row.get(0)).optional()?
        }
    };
    let place = match id {
        Some(id) => place_of(tx.connection, queue, id)?.map(|place| (id, place)),
        None => None,
    };
    Ok(place.ok_or_else(|| not_found(queue_name, job))?)
}

fn no_clean_of_active() -> StoreError {
    let problem = "active jobs cannot be cleaned; cancel them".to_owned();
    StoreError::Invalid { field: "state".to_owned(), problem }
}

struct Change<'t, 'c> {
    tx: &'t mut Tx<'c>,
    queue: QueueNo,
    id: i64,
    place: Place,
    now: Millis,
    error_json: &'t str,
}

impl Change<'_, '_> {
    fn refuse(&self, problem: &str) -> Outcome<Controlled> {
        let state = self.place.state.as_str().to_owned();
        Err(StoreError::State { id: self.id.to_string(), state, problem: problem.to_owned() }.into())
    }

    fn changed(&self, ended: bool) -> Outcome<Controlled> {
        Ok(Controlled { affected: 1, ended: if ended { vec![JobId(self.id)] } else { Vec::new() }, more: false })
    }

    /// Takes an ended job out of the list of ends.
    fn take_end(&mut self) -> Outcome<()> {
        self.tx.connection.prepare_cached("DELETE FROM ended WHERE id = ?1")?.execute([self.id])?;
        self.tx.count(self.place.lane, self.place.state, -1);
        self.tx.count_ended(self.queue, kind_of(self.place.state), -1);
        Ok(())
    }
}

fn set_paused(tx: &mut Tx<'_>, queue: QueueNo, paused: bool) -> Outcome<Controlled> {
    let changed = tx
        .connection
        .prepare_cached("UPDATE queues SET paused = ?2 WHERE id = ?1 AND paused != ?2")?
        .execute(params![queue, paused])?;
    if changed > 0 && !paused {
        let lanes: Vec<i64> = {
            let mut lanes = tx.connection.prepare_cached("SELECT id FROM lanes WHERE queue = ?1")?;
            lanes.query_map([queue], |row| row.get(0))?.collect::<Result<_, _>>()?
        };
        for lane in lanes {
            tx.ready(lane);
        }
    }
    Ok(Controlled { affected: changed as u64, ..Controlled::default() })
}

fn retry(change: &mut Change<'_, '_>) -> Outcome<Controlled> {
    if !change.place.state.is_final() {
        return change.refuse("only a job that has ended can be retried");
    }
    change.take_end()?;
    change
        .tx
        .connection
        .prepare_cached("UPDATE jobs SET failures = 0, stalls = 0, error = NULL, run_at = NULL WHERE id = ?1")?
        .execute([change.id])?;
    departed::forget(change.tx, change.id)?;
    make_ready(change.tx, change.place.lane, change.place.priority, change.id)?;
    change.changed(false)
}

fn promote(change: &mut Change<'_, '_>) -> Outcome<Controlled> {
    if change.place.state != JobState::Delayed {
        return change.refuse("only a delayed job can be promoted");
    }
    take_out(change.tx, &change.place, change.id)?;
    make_ready(change.tx, change.place.lane, change.place.priority, change.id)?;
    change.changed(false)
}

fn remove(change: &mut Change<'_, '_>) -> Outcome<Controlled> {
    match change.place.state {
        JobState::Active => return change.refuse("cancel it first, or wait until it has ended"),
        JobState::Waiting | JobState::Delayed => take_out(change.tx, &change.place, change.id)?,
        _ => change.take_end()?,
    }
    forget(change.tx, change.id)?;
    change.changed(true)
}

fn cancel(change: &mut Change<'_, '_>) -> Outcome<Controlled> {
    match change.place.state {
        JobState::Active => {
            change
                .tx
                .connection
                .prepare_cached("UPDATE running SET cancel = coalesce(cancel, ?2) WHERE id = ?1")?
                .execute(params![change.id, change.error_json])?;
            change.changed(false)
        }
        JobState::Waiting | JobState::Delayed => {
            take_out(change.tx, &change.place, change.id)?;
            let (state, keep) = (JobState::Cancelled, change.tx.policy_of(change.id)?.remove_on_fail);
            let (id, queue, lane, finished_at) = (change.id, change.queue, change.place.lane, change.now);
            let value_json = Some(change.error_json);
            end_alone(change.tx, &End { id, queue, lane, state, started_at: None, finished_at, value_json, keep })?;
            change.changed(true)
        }
        _ => Ok(Controlled::default()),
    }
}

/// Jobs of the queue that a query names, in the columns id, lane, priority, run_at.
fn select(tx: &Tx<'_>, sql: &str, params: impl rusqlite::Params, state: JobState) -> Outcome<Vec<(i64, Place)>> {
    let mut query = tx.connection.prepare_cached(sql)?;
    let jobs = query
        .query_map(params, |row| {
            Ok((row.get(0)?, Place { lane: row.get(1)?, priority: row.get(2)?, run_at: row.get(3)?, state }))
        })?
        .collect::<Result<_, _>>()?;
    Ok(jobs)
}

const WAITING: &str =
    "SELECT r.id, r.lane, r.priority, NULL FROM lanes l CROSS JOIN ready r ON r.lane = l.id WHERE l.queue = ?1 LIMIT ?2";
const DELAYED: &str =
    "SELECT d.id, j.lane, j.priority, d.run_at FROM delayed d CROSS JOIN jobs j ON j.id = d.id WHERE d.queue = ?1 LIMIT ?2";

fn drain(tx: &mut Tx<'_>, queue: QueueNo, delayed: bool) -> Outcome<Controlled> {
    let mut jobs = select(tx, WAITING, params![queue, SLICE], JobState::Waiting)?;
    if jobs.is_empty() && delayed {
        jobs = select(tx, DELAYED, params![queue, SLICE], JobState::Delayed)?;
        return remove_pending(tx, jobs, |n| n == SLICE as u64);
    }
    // After the waiting ones come the delayed ones, in a slice of their own.
    remove_pending(tx, jobs, |n| n == SLICE as u64 || (delayed && n > 0))
}

fn remove_pending(tx: &mut Tx<'_>, jobs: Vec<(i64, Place)>, more: impl Fn(u64) -> bool) -> Outcome<Controlled> {
    let mut done = Controlled::default();
    for (id, place) in jobs {
        take_out(tx, &place, id)?;
        forget(tx, id)?;
        done.affected += 1;
        done.ended.push(JobId(id));
    }
    done.more = more(done.affected);
    Ok(done)
}

fn clean(tx: &mut Tx<'_>, queue: QueueNo, state: JobState, before: Millis, limit: u64) -> Outcome<Controlled> {
    let slice = i64::try_from(limit).unwrap_or(i64::MAX).min(SLICE);
    let more = |n: u64| n == slice as u64 && limit > n;
    match state {
        JobState::Active => Err(no_clean_of_active().into()),
        JobState::Waiting => {
            let jobs = select(tx, include_str!("../sql/clean_waiting.sql"), params![queue, before, slice], state)?;
            remove_pending(tx, jobs, more)
        }
        JobState::Delayed => {
            let jobs = select(tx, include_str!("../sql/clean_delayed.sql"), params![queue, before, slice], state)?;
            remove_pending(tx, jobs, more)
        }
        _ => {
            let ended: Vec<(i64, i64)> = {
                let mut query = tx.connection.prepare_cached(include_str!("../sql/clean_ended.sql"))?;
                query
                    .query_map(params![queue, kind_of(state), state_code(state), before, slice], |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })?
                    .collect::<Result<_, _>>()?
            };
            let done = remove_ended(tx, queue, &ended.iter().map(|(id, lane)| (*id, *lane, state)).collect::<Vec<_>>())?;
            Ok(Controlled { more: more(done.affected), ..done })
        }
    }
}

fn remove_ended(tx: &mut Tx<'_>, queue: QueueNo, jobs: &[(i64, i64, JobState)]) -> Outcome<Controlled> {
    let mut done = Controlled::default();
    for (id, lane, state) in jobs {
        tx.connection.prepare_cached("DELETE FROM ended WHERE id = ?1")?.execute([id])?;
        forget(tx, *id)?;
        tx.count(*lane, *state, -1);
        tx.count_ended(queue, kind_of(*state), -1);
        done.affected += 1;
        done.ended.push(JobId(*id));
    }
    Ok(done)
}

fn obliterate(tx: &mut Tx<'_>, queue: QueueNo, queue_name: &Arc<str>, force: bool) -> Outcome<Controlled> {
    let running: Vec<(i64, i64)> = {
        let mut query = tx.connection.prepare_cached("SELECT id, lane FROM running WHERE queue = ?1 LIMIT ?2")?;
        query.query_map(params![queue, SLICE], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?
    };
    if !running.is_empty() && !force {
        let problem = "it has active jobs; wait for them, or obliterate with force".to_owned();
        return Err(StoreError::State { id: queue_name.to_string(), state: "active".to_owned(), problem }.into());
    }
    let mut done = Controlled::default();
    for (id, lane) in running {
        tx.connection.prepare_cached("DELETE FROM running WHERE id = ?1")?.execute([id])?;
        forget(tx, id)?;
        tx.count(lane, JobState::Active, -1);
        done.affected += 1;
        done.ended.push(JobId(id));
    }
    if done.affected == 0 {
        done = drain(tx, queue, true)?;
    }
    if done.affected == 0 {
        let ended: Vec<(i64, i64, JobState)> = {
            let mut query = tx.connection.prepare_cached("SELECT id, lane, state FROM ended WHERE queue = ?1 LIMIT ?2")?;
            query
                .query_map(params![queue, SLICE], |row| Ok((row.get(0)?, row.get(1)?, state_from(row.get(2)?))))?
                .collect::<Result<_, _>>()?
        };
        done = remove_ended(tx, queue, &ended)?;
    }
    done.more = done.affected > 0;
    if !done.more {
        // What was counted in this transaction is written before the rows go.
        tx.flush()?;
        for sql in [
            "DELETE FROM counts WHERE lane IN (SELECT id FROM lanes WHERE queue = ?1)",
            "DELETE FROM ended_counts WHERE queue = ?1",
            "DELETE FROM departed WHERE queue = ?1",
            "DELETE FROM lanes WHERE queue = ?1",
            "DELETE FROM queues WHERE id = ?1",
        ] {
            tx.connection.prepare_cached(sql)?.execute([queue])?;
        }
        tx.cache.clear();
    }
    Ok(done)
}
