//! Adding jobs.

use std::sync::Arc;

use master_agent_core::{JobId, JobPolicy, JobState, Millis};
use master_agent_store::{Enqueued, NewJob};
use rusqlite::{OptionalExtension, params};

use crate::jobs::make_delayed;
use crate::tx::{Outcome, QueueNo, Tx};

pub(crate) fn enqueue(tx: &mut Tx<'_>, queue_name: &Arc<str>, jobs: &[NewJob], now: Millis) -> Outcome<Vec<Enqueued>> {
    let queue = tx.queue(queue_name)?;
    let connection = tx.connection;
    let mut insert = connection.prepare_cached(include_str!("../sql/enqueue.sql"))?;
    let mut make_ready = connection.prepare_cached("INSERT INTO ready VALUES (?1, ?2, ?3)")?;
    let mut answers = Vec::with_capacity(jobs.len());
    let mut policy = PolicyText::default();
    // Neighbours are mostly of one lane: it is counted and announced once per run of them.
    let mut run: Option<(&Arc<str>, i64, i64)> = None;
    for job in jobs {
        if let Some(id) = existing(tx, queue, job)? {
            answers.push(Enqueued { id: JobId(id), existing: true });
            continue;
        }
        let lane = match run {
            Some((name, lane, _)) if *name == job.lane => lane,
            _ => {
                count_run(tx, run.take());
                let lane = tx.lane(queue, queue_name, &job.lane)?;
                run = Some((&job.lane, lane, 0));
                lane
            }
        };
        let id = tx.next_jobs(1)?;
        insert.execute(params![
            id,
            queue,
            lane,
            job.priority,
            now,
            job.run_at,
            job.key.as_deref(),
            job.task_id.as_deref(),
            job.parent_id.as_deref(),
            policy.of(&job.policy),
            job.meta_json.as_deref(),
            &*job.data_json,
        ])?;
        match job.run_at.filter(|run_at| *run_at > now) {
            Some(run_at) => make_delayed(tx, queue, lane, id, run_at)?,
            None => {
                make_ready.execute(params![lane, job.priority, id])?;
                if let Some((_, _, added)) = run.as_mut() {
                    *added += 1;
                }
            }
        }
        answers.push(Enqueued { id: JobId(id), existing: false });
    }
    count_run(tx, run);
    Ok(answers)
}

fn count_run(tx: &mut Tx<'_>, run: Option<(&Arc<str>, i64, i64)>) {
    if let Some((_, lane, added)) = run
        && added > 0
    {
        tx.count(lane, JobState::Waiting, added);
        tx.ready(lane);
    }
}

fn existing(tx: &Tx<'_>, queue: QueueNo, job: &NewJob) -> Outcome<Option<i64>> {
    let Some(key) = job.key.as_deref() else { return Ok(None) };
    let mut find = tx.connection.prepare_cached("SELECT id FROM jobs WHERE queue = ?1 AND key = ?2")?;
    Ok(find.query_row(params![queue, key], |row| row.get(0)).optional()?)
}

/// The text of a policy, written once for jobs that share it; the default is no text.
#[derive(Default)]
struct PolicyText {
    last: Option<(Arc<JobPolicy>, Option<String>)>,
}

impl PolicyText {
    fn of(&mut self, policy: &Arc<JobPolicy>) -> Option<&str> {
        if !self.last.as_ref().is_some_and(|(last, _)| Arc::ptr_eq(last, policy)) {
            let text = if **policy == JobPolicy::DEFAULT { None } else { serde_json::to_string(&**policy).ok() };
            self.last = Some((Arc::clone(policy), text));
        }
        self.last.as_ref().and_then(|(_, text)| text.as_deref())
    }
}
