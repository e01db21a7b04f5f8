//! Workers and time: beats, leaving, and what maintenance does.

use std::sync::Arc;

use master_agent_core::{ErrorCode, JobId, JobState, Millis, WorkerId};

use super::job::Phase;
use super::state::{Effects, State};
use crate::{BeatReply, Cancelled, ClaimRequest, Maintained, WorkerBeat};

/// How many delayed jobs one call of `maintain` promotes.
const PROMOTED_AT_ONCE: usize = 1_000;

#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) queue: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) concurrency: u32,
    pub(super) started_at: Millis,
    pub(super) beat_at: Millis,
    pub(super) lease_until: Millis,
}

impl State {
    pub(super) fn held(&self, worker: WorkerId) -> Vec<JobId> {
        self.jobs.values().filter(|job| job.held_by(worker)).map(|job| job.id).collect()
    }

    /// Gives a lease to a worker that claims without one.
    pub(super) fn register(&mut self, request: &ClaimRequest) {
        let lease_until = request.now.saturating_add(request.lease);
        let worker = self.workers.entry(request.worker).or_insert_with(|| Worker {
            queue: request.queue.clone(),
            name: "".into(),
            concurrency: 0,
            started_at: request.now,
            beat_at: request.now,
            lease_until,
        });
        if worker.lease_until < request.now {
            worker.lease_until = lease_until;
            worker.beat_at = request.now;
        }
    }

    pub(crate) fn beat(&mut self, beat: WorkerBeat) -> BeatReply {
        let WorkerBeat { worker, queue, name, concurrency, started_at, now, lease } = beat;
        let lease_until = now.saturating_add(lease);
        self.workers.insert(worker, Worker { queue, name, concurrency, started_at, beat_at: now, lease_until });
        let mut reply = BeatReply::default();
        for job in self.jobs.values() {
            let Phase::Active { worker: holder, token } = job.phase else { continue };
            if holder == worker {
                reply.held.push((job.id, token));
                reply.cancelled.extend(job.cancel_json.clone().map(|error_json| Cancelled { id: job.id, error_json }));
            }
        }
        reply
    }

    pub(crate) fn leave(&mut self, worker: WorkerId, now: Millis, effects: &mut Effects) {
        self.workers.remove(&worker);
        for id in self.held(worker) {
            if !self.end_cancelled(id, now) {
                self.wait(id, effects);
            }
        }
    }

    /// Lost jobs end in the order of `dead`, as far as it names them, and then in that of their ids.
    pub(crate) fn maintain(&mut self, now: Millis, dead: &[JobId], effects: &mut Effects) -> Maintained {
        let mut done = Maintained::default();
        for id in self.due(now) {
            self.wait(id, effects);
            done.promoted += 1;
        }
        self.recover(now, dead, &mut done, effects);
        done.next_due = self.next_due();
        done
    }

    fn due(&self, now: Millis) -> Vec<JobId> {
        let mut due: Vec<(Millis, JobId)> = self
            .jobs
            .values()
            .filter_map(|job| match job.phase {
                Phase::Delayed { run_at } if run_at <= now => Some((run_at, job.id)),
                _ => None,
            })
            .collect();
        due.sort_unstable();
        due.into_iter().take(PROMOTED_AT_ONCE).map(|(_, id)| id).collect()
    }

    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.jobs
            .values()
            .filter_map(|job| match job.phase {
                Phase::Delayed { run_at } => Some(run_at),
                _ => None,
            })
            .min()
    }

    /// The jobs of workers whose lease has ended, in the order of their ids.
    pub(crate) fn lost(&self, now: Millis) -> Vec<JobId> {
        let expired = |worker: WorkerId| self.workers.get(&worker).is_none_or(|worker| worker.lease_until < now);
        let held = self.jobs.values().filter(|job| matches!(job.phase, Phase::Active { worker, .. } if expired(worker)));
        held.map(|job| job.id).collect()
    }

    fn recover(&mut self, now: Millis, dead: &[JobId], done: &mut Maintained, effects: &mut Effects) {
        let mut lost = self.lost(now);
        lost.sort_by_key(|id| dead.iter().position(|named| named == id).unwrap_or(usize::MAX));
        self.workers.retain(|_, worker| worker.lease_until >= now);
        for id in lost {
            done.recovered += 1;
            let Some(queue) = self.jobs.get(&id).map(|job| job.queue.clone()) else { continue };
            if self.end_cancelled(id, now) || self.stall(id, stalled_error(), now, effects) == JobState::Dead {
                effects.ended(&queue, id);
                done.dead.push((queue, id));
            }
        }
    }
}

/// The error of a job that lost its last worker without a word.
fn stalled_error() -> Box<str> {
    let code = ErrorCode::TaskStalled.as_str();
    format!(r#"{{"name":"StalledError","message":"the job lost its worker too often","code":"{code}"}}"#).into()
}
