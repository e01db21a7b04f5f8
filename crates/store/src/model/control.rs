//! What users do to jobs and queues.

use std::sync::Arc;

use master_agent_core::{JobId, JobRef, JobState, Millis};

use super::job::{Job, Phase};
use super::state::{Effects, State};
use crate::{Control, Controlled, MAX_PAGE, StoreError};

impl State {
    pub(crate) fn control(
        &mut self,
        queue: &Arc<str>,
        control: Control,
        now: Millis,
        effects: &mut Effects,
    ) -> Result<Controlled, StoreError> {
        match control {
            Control::Pause => Ok(self.set_paused(queue, true, effects)),
            Control::Resume => Ok(self.set_paused(queue, false, effects)),
            Control::Drain { delayed } => {
                let gone = self.oldest(queue, |job| match job.phase {
                    Phase::Waiting => Some(0),
                    Phase::Delayed { .. } if delayed => Some(0),
                    _ => None,
                });
                Ok(self.remove_slice(queue, &gone, u64::MAX, effects))
            }
            Control::Clean { state, before, limit } => self.clean(queue, state, before, limit, effects),
            Control::Retry { job } => self.retry(queue, &job, effects),
            Control::Promote { job } => {
                let found = self.expect(queue, &job)?;
                if !matches!(found.phase, Phase::Delayed { .. }) {
                    return Err(wrong_state(found, "only a delayed job can be promoted"));
                }
                let id = found.id;
                self.wait(id, effects);
                Ok(Controlled { affected: 1, ..Controlled::default() })
            }
            Control::Remove { job } => {
                let found = self.expect(queue, &job)?;
                if matches!(found.phase, Phase::Active { .. }) {
                    return Err(wrong_state(found, "cancel it first"));
                }
                let id = found.id;
                Ok(self.remove_slice(queue, &[id], 1, effects))
            }
            Control::Cancel { job, error_json, .. } => self.cancel(queue, &job, error_json, now, effects),
            Control::Obliterate { force } => self.obliterate(queue, force, effects),
        }
    }

    pub(super) fn expect(&self, queue: &Arc<str>, job: &JobRef) -> Result<&Job, StoreError> {
        self.find(queue, job).ok_or_else(|| {
            let id = match job {
                JobRef::Id(id) => id.to_string(),
                JobRef::Key(key) => key.to_string(),
            };
            StoreError::NotFound { queue: queue.to_string(), id }
        })
    }

    fn set_paused(&mut self, queue: &Arc<str>, paused: bool, effects: &mut Effects) -> Controlled {
        self.queues.entry(queue.clone()).or_default().paused = paused;
        if !paused {
            for job in self.in_queue(queue).filter(|job| job.phase == Phase::Waiting) {
                effects.ready(queue, &job.new.lane);
            }
        }
        Controlled::default()
    }

    /// The jobs of the queue that `age` gives a number for, the smallest first, then in the order of their ids.
    fn oldest(&self, queue: &Arc<str>, age: impl Fn(&Job) -> Option<i64>) -> Vec<JobId> {
        let mut chosen: Vec<(i64, JobId)> = self.in_queue(queue).filter_map(|job| Some((age(job)?, job.id))).collect();
        chosen.sort_unstable();
        chosen.into_iter().map(|(_, id)| id).collect()
    }

    /// Removes the first of these jobs: `limit` of them, and no more than one slice holds.
    fn remove_slice(&mut self, queue: &Arc<str>, jobs: &[JobId], limit: u64, effects: &mut Effects) -> Controlled {
        let wanted = jobs.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        let slice = &jobs[..wanted.min(MAX_PAGE)];
        for id in slice {
            self.jobs.remove(id);
            effects.ended(queue, *id);
        }
        Controlled { affected: slice.len() as u64, ended: slice.to_vec(), more: wanted > slice.len() }
    }

    fn clean(
        &mut self,
        queue: &Arc<str>,
        state: JobState,
        before: Millis,
        limit: u64,
        effects: &mut Effects,
    ) -> Result<Controlled, StoreError> {
        if state == JobState::Active {
            return Err(StoreError::Invalid { field: "state".into(), problem: "active jobs cannot be cleaned".into() });
        }
        let gone = self.oldest(queue, |job| match job.phase {
            Phase::Ended { state: end, at, order } if end == state && at < before => Some(order),
            Phase::Waiting | Phase::Delayed { .. } if job.state() == state && job.added_at < before => Some(job.added_at),
            _ => None,
        });
        Ok(self.remove_slice(queue, &gone, limit, effects))
    }

    fn retry(&mut self, queue: &Arc<str>, job: &JobRef, effects: &mut Effects) -> Result<Controlled, StoreError> {
        let found = self.expect(queue, job)?;
        if !matches!(found.phase, Phase::Ended { .. }) {
            return Err(wrong_state(found, "only an ended job can be retried"));
        }
        let id = found.id;
        if let Some(job) = self.jobs.get_mut(&id) {
            job.failures = 0;
            job.stalls = 0;
            job.result_json = None;
            job.error_json = None;
        }
        self.departed.retain(|(_, departed)| departed.id != id);
        self.wait(id, effects);
        Ok(Controlled { affected: 1, ..Controlled::default() })
    }

    fn cancel(
        &mut self,
        queue: &Arc<str>,
        job: &JobRef,
        error_json: Box<str>,
        now: Millis,
        effects: &mut Effects,
    ) -> Result<Controlled, StoreError> {
        let id = self.expect(queue, job)?.id;
        let Some(found) = self.jobs.get_mut(&id) else { return Ok(Controlled::default()) };
        match &mut found.phase {
            Phase::Ended { .. } => Ok(Controlled::default()),
            Phase::Active { .. } => {
                found.cancel_json.get_or_insert(error_json);
                Ok(Controlled { affected: 1, ..Controlled::default() })
            }
            Phase::Waiting | Phase::Delayed { .. } => {
                found.error_json = Some(error_json);
                let keep = found.new.policy.remove_on_fail;
                self.end_alone(id, JobState::Cancelled, keep, now);
                effects.ended(queue, id);
                Ok(Controlled { affected: 1, ended: vec![id], more: false })
            }
        }
    }

    fn obliterate(&mut self, queue: &Arc<str>, force: bool, effects: &mut Effects) -> Result<Controlled, StoreError> {
        let active = self.in_queue(queue).filter(|job| job.state() == JobState::Active).count();
        if active > 0 && !force {
            let problem = "wait for it to end, or force".into();
            return Err(StoreError::State { id: queue.to_string(), state: "active".into(), problem });
        }
        let gone = self.oldest(queue, |_| Some(0));
        let done = self.remove_slice(queue, &gone, u64::MAX, effects);
        if !done.more {
            self.queues.remove(queue);
            self.departed.retain(|(of, _)| of != queue);
        }
        Ok(done)
    }
}

fn wrong_state(job: &Job, problem: &str) -> StoreError {
    StoreError::State { id: job.id.to_string(), state: job.state().as_str().into(), problem: problem.into() }
}
