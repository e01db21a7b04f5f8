//! What can be seen: jobs, lists, counts, logs, workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use master_agent_core::{JobRef, JobState};

use super::job::{Job, Phase};
use super::state::State;
use crate::{Cursor, Departed, JobView, LaneCount, ListQuery, LogLine, MAX_PAGE, Page, QueueCounts, StoreError, WorkerView};

impl State {
    pub(crate) fn view(&self, queue: &Arc<str>, job: &JobRef) -> Option<JobView> {
        self.find(queue, job).map(Job::view)
    }

    pub(crate) fn departed(&self, queue: &Arc<str>, job: &JobRef) -> Option<Departed> {
        let is = |departed: &Departed| match job {
            JobRef::Id(id) => departed.id == *id,
            JobRef::Key(key) => departed.key.as_ref() == Some(key),
        };
        let newest = self.departed.iter().rev().find(|(of, departed)| of == queue && is(departed));
        newest.map(|(_, departed)| departed.clone())
    }

    pub(crate) fn list(&self, query: &ListQuery) -> Page {
        let mut found: Vec<(Cursor, &Job)> = self
            .in_queue(&query.queue)
            .filter(|job| job.state() == query.state && query.lane.as_ref().is_none_or(|lane| job.new.lane == *lane))
            .map(|job| (rank(job), job))
            .filter(|(rank, _)| query.cursor.is_none_or(|after| *rank > after))
            .collect();
        found.sort_by_key(|(rank, _)| *rank);
        let limit = query.limit.clamp(1, MAX_PAGE);
        let next = if found.len() > limit { Some(found[limit - 1].0) } else { None };
        Page { jobs: found.into_iter().take(limit).map(|(_, job)| job.view()).collect(), next }
    }

    pub(crate) fn counts(&self, queue: &Arc<str>) -> QueueCounts {
        let mut counts: BTreeMap<(Arc<str>, JobState), u64> = BTreeMap::new();
        for job in self.in_queue(queue) {
            *counts.entry((job.new.lane.clone(), job.state())).or_default() += 1;
        }
        let lanes = counts.into_iter().map(|((lane, state), count)| LaneCount { lane, state, count }).collect();
        QueueCounts { paused: self.paused(queue), lanes }
    }

    pub(crate) fn queues(&self) -> Vec<Arc<str>> {
        self.queues.iter().filter(|(_, queue)| queue.had_jobs).map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn logs(&self, queue: &Arc<str>, job: &JobRef, after: i64, limit: usize) -> Result<Vec<LogLine>, StoreError> {
        let lines = &self.expect(queue, job)?.logs;
        Ok(lines.iter().filter(|line| line.seq > after).take(limit).cloned().collect())
    }

    pub(crate) fn workers(&self, queue: &Arc<str>) -> Vec<WorkerView> {
        let here = self.workers.iter().filter(|(_, worker)| worker.queue == *queue);
        here.map(|(id, worker)| WorkerView {
            worker: *id,
            queue: worker.queue.clone(),
            name: worker.name.clone(),
            concurrency: worker.concurrency,
            running: self.held(*id).len() as u64,
            started_at: worker.started_at,
            beat_at: worker.beat_at,
            lease_until: worker.lease_until,
        })
        .collect()
    }
}

/// The place in the list of the job's state, smallest first.
fn rank(job: &Job) -> Cursor {
    match job.phase {
        Phase::Waiting => Cursor(i64::from(job.new.priority), job.id.0),
        Phase::Delayed { run_at } => Cursor(run_at, job.id.0),
        Phase::Active { .. } => Cursor(0, job.id.0),
        Phase::Ended { order, .. } => Cursor(-order, job.id.0),
    }
}
