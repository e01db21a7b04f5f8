//! What a store remembers, and the hot path: enqueue, claim, settle, note.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use master_agent_core::{JobId, JobRef, JobState, Keep, Millis, Token, WorkerId};

use super::job::{Family, Job, Phase};
use super::lease::Worker;
use crate::{
    ClaimRequest, ClaimedJob, Departed, Disposition, Enqueued, LogLine, MAX_LOG_LINES, NewJob, Note, NoteKind, Settled,
    Settlement,
};

/// How many ends are remembered of jobs that are not kept.
const MOST_DEPARTED: usize = 10_000;

#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(super) jobs: BTreeMap<JobId, Job>,
    /// The queues that hold or held jobs, or were paused.
    pub(super) queues: BTreeMap<Arc<str>, Queue>,
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    /// The newest ends that are hardly kept, with their queues.
    pub(super) departed: VecDeque<(Arc<str>, Departed)>,
    last_id: i64,
    last_token: i64,
    last_end: i64,
    /// Where the next claim begins in its lanes.
    turn: usize,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    pub(super) paused: bool,
    pub(super) had_jobs: bool,
}

/// What an operation has to tell a listener.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) ready: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    pub(crate) due: Option<Millis>,
    pub(crate) ended: BTreeMap<Arc<str>, Vec<JobId>>,
}

impl Effects {
    pub(super) fn ready(&mut self, queue: &Arc<str>, lane: &Arc<str>) {
        self.ready.entry(queue.clone()).or_default().insert(lane.clone());
    }

    pub(super) fn ended(&mut self, queue: &Arc<str>, job: JobId) {
        self.ended.entry(queue.clone()).or_default().push(job);
    }

    fn due(&mut self, due: Millis) {
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }
}

impl State {
    pub(super) fn find(&self, queue: &Arc<str>, job: &JobRef) -> Option<&Job> {
        self.jobs.values().find(|candidate| candidate.queue == *queue && candidate.is(job))
    }

    pub(super) fn in_queue(&self, queue: &Arc<str>) -> impl Iterator<Item = &Job> {
        self.jobs.values().filter(move |job| job.queue == *queue)
    }

    pub(super) fn paused(&self, queue: &Arc<str>) -> bool {
        self.queues.get(queue).is_some_and(|queue| queue.paused)
    }

    pub(crate) fn enqueue(&mut self, queue: &Arc<str>, jobs: Vec<NewJob>, now: Millis, effects: &mut Effects) -> Vec<Enqueued> {
        let mut replies = Vec::with_capacity(jobs.len());
        for new in jobs {
            self.queues.entry(queue.clone()).or_default().had_jobs = true;
            let holder = new.key.clone().and_then(|key| self.find(queue, &JobRef::Key(key)));
            if let Some(holder) = holder {
                replies.push(Enqueued { id: holder.id, existing: true });
                continue;
            }
            self.last_id += 1;
            let id = JobId(self.last_id);
            let run_at = new.run_at;
            let job = Job {
                id,
                queue: queue.clone(),
                new,
                added_at: now,
                phase: Phase::Waiting,
                failures: 0,
                stalls: 0,
                started_at: None,
                result_json: None,
                error_json: None,
                progress_json: None,
                logs: Vec::new(),
                last_line: 0,
                cancel_json: None,
            };
            self.jobs.insert(id, job);
            self.wait_until(id, run_at.unwrap_or(now), now, effects);
            replies.push(Enqueued { id, existing: false });
        }
        replies
    }

    /// Puts a job into its lane, at the place that its priority and age give it.
    pub(super) fn wait(&mut self, id: JobId, effects: &mut Effects) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.phase = Phase::Waiting;
        job.started_at = None;
        effects.ready(&job.queue, &job.new.lane);
    }

    fn wait_until(&mut self, id: JobId, run_at: Millis, now: Millis, effects: &mut Effects) {
        if run_at <= now {
            return self.wait(id, effects);
        }
        if let Some(job) = self.jobs.get_mut(&id) {
            job.phase = Phase::Delayed { run_at };
            job.started_at = None;
            effects.due(run_at);
        }
    }

    /// The jobs of a lane that can be claimed, in the order in which they must be.
    pub(crate) fn lane(&self, queue: &Arc<str>, lane: &Arc<str>) -> Vec<JobId> {
        if self.paused(queue) {
            return Vec::new();
        }
        let mut jobs: Vec<&Job> =
            self.in_queue(queue).filter(|job| job.phase == Phase::Waiting && job.new.lane == *lane).collect();
        jobs.sort_by_key(|job| job.place());
        jobs.into_iter().map(|job| job.id).collect()
    }

    pub(crate) fn claim(&mut self, request: &ClaimRequest) -> Vec<ClaimedJob> {
        let picked = self.pick(request);
        self.take(request, &picked)
    }

    /// One legal choice among those that [`State::take`] may be given: one job of each lane in turn.
    fn pick(&mut self, request: &ClaimRequest) -> Vec<JobId> {
        let limit = |index: usize| request.limits.iter().find(|(lane, _)| *lane == index).map_or(usize::MAX, |(_, limit)| *limit);
        let mut heads: Vec<_> = request
            .lanes
            .iter()
            .enumerate()
            .map(|(index, lane)| self.lane(&request.queue, lane).into_iter().take(limit(index)))
            .collect();
        if heads.is_empty() {
            return Vec::new();
        }
        self.turn += 1;
        let mut picked = Vec::new();
        let mut bytes = 0;
        let mut idle = 0;
        let mut lane = self.turn % heads.len();
        while picked.len() < request.free && idle < heads.len() {
            match heads[lane].next() {
                Some(id) => {
                    idle = 0;
                    picked.push(id);
                    bytes += self.bytes(id);
                    if bytes >= request.max_bytes {
                        break;
                    }
                }
                None => idle += 1,
            }
            lane = (lane + 1) % heads.len();
        }
        picked
    }

    #[cfg(feature = "testing")]
    pub(crate) fn holds(&self, id: JobId, token: Token) -> bool {
        self.jobs.get(&id).is_some_and(|job| job.held_with(token))
    }

    /// The bytes of data that count against `max_bytes`.
    pub(crate) fn bytes(&self, id: JobId) -> usize {
        self.jobs.get(&id).map_or(0, |job| job.new.data_json.len())
    }

    /// Gives these waiting jobs to the worker, which is registered if its lease is not running.
    pub(crate) fn take(&mut self, request: &ClaimRequest, picked: &[JobId]) -> Vec<ClaimedJob> {
        self.register(request);
        let mut claimed = Vec::with_capacity(picked.len());
        for id in picked {
            let Some(job) = self.jobs.get_mut(id) else { continue };
            self.last_token += 1;
            let token = Token(self.last_token);
            job.phase = Phase::Active { worker: request.worker, token };
            job.cancel_json = None;
            job.started_at = Some(request.now);
            claimed.push(job.claimed(token));
        }
        claimed
    }

    pub(crate) fn settle(&mut self, queue: &Arc<str>, batch: &[Settlement], now: Millis, effects: &mut Effects) -> Vec<Settled> {
        let size = batch.len();
        let mut keeps = BTreeMap::new();
        let settled = batch
            .iter()
            .map(|settlement| {
                let current = self.jobs.get(&settlement.id).filter(|job| job.queue == *queue && job.held_with(settlement.token));
                let Some(job) = current else { return Settled::Refused };
                let id = job.id;
                Settled::Applied(self.settle_one(id, settlement.disposition.clone(), now, &mut keeps, effects))
            })
            .collect();
        for (family, keep) in keeps {
            self.retain(queue, family, keep, size, now);
        }
        settled
    }

    fn settle_one(
        &mut self,
        id: JobId,
        disposition: Disposition,
        now: Millis,
        keeps: &mut BTreeMap<Family, Keep>,
        effects: &mut Effects,
    ) -> JobState {
        let ends = matches!(disposition, Disposition::Complete { .. } | Disposition::End { .. });
        if !ends && self.end_cancelled(id, now) {
            return JobState::Cancelled;
        }
        let Some(job) = self.jobs.get_mut(&id) else { return JobState::Active };
        let (state, keep) = match disposition {
            Disposition::Release => {
                self.wait(id, effects);
                return JobState::Waiting;
            }
            Disposition::Retry { run_at, error_json } => {
                job.failures += 1;
                job.error_json = Some(error_json);
                self.wait_until(id, run_at, now, effects);
                return if run_at <= now { JobState::Waiting } else { JobState::Delayed };
            }
            Disposition::Stall { error_json } => return self.stall(id, error_json, now, effects),
            Disposition::Complete { result_json, keep } => {
                job.result_json = result_json;
                (JobState::Completed, keep)
            }
            Disposition::End { state, error_json, failed, keep } => {
                job.failures += u32::from(failed);
                job.error_json = Some(error_json);
                (state, keep)
            }
        };
        if self.end(id, state, keep, now) {
            keeps.insert(Family::of(state), keep);
        }
        state
    }

    /// Ends a running job that somebody asked to cancel: such a one never waits again.
    pub(super) fn end_cancelled(&mut self, id: JobId, now: Millis) -> bool {
        let Some(job) = self.jobs.get_mut(&id) else { return false };
        let Some(error_json) = job.cancel_json.take() else { return false };
        job.error_json = Some(error_json);
        let keep = job.new.policy.remove_on_fail;
        self.end_alone(id, JobState::Cancelled, keep, now);
        true
    }

    /// The job lost its worker: it waits again, or goes to the dead letters.
    pub(super) fn stall(&mut self, id: JobId, error_json: Box<str>, now: Millis, effects: &mut Effects) -> JobState {
        let Some(job) = self.jobs.get_mut(&id) else { return JobState::Dead };
        job.stalls += 1;
        job.error_json = Some(error_json);
        if job.stalls > job.new.policy.max_stalls {
            let keep = job.new.policy.remove_on_fail;
            self.end_alone(id, JobState::Dead, keep, now);
            return JobState::Dead;
        }
        self.wait(id, effects);
        JobState::Waiting
    }

    /// Ends a job whose own policy bounds the others of its family at once.
    pub(super) fn end_alone(&mut self, id: JobId, state: JobState, keep: Keep, now: Millis) {
        let Some(queue) = self.jobs.get(&id).map(|job| job.queue.clone()) else { return };
        if self.end(id, state, keep, now) {
            self.retain(&queue, Family::of(state), keep, 1, now);
        }
    }

    /// Ends a job. One that is to leave nothing behind is gone at once and bounds no other: tells whether it stays.
    fn end(&mut self, id: JobId, state: JobState, keep: Keep, now: Millis) -> bool {
        if keep.is_brief()
            && let Some(job) = self.jobs.get(&id)
        {
            self.departed.push_back((job.queue.clone(), job.departed(state, now)));
            let surplus = self.departed.len().saturating_sub(MOST_DEPARTED);
            self.departed.drain(..surplus);
        }
        if keep.is_nothing() {
            self.jobs.remove(&id);
            return false;
        }
        self.last_end += 1;
        if let Some(job) = self.jobs.get_mut(&id) {
            job.phase = Phase::Ended { state, at: now, order: self.last_end };
        }
        true
    }

    /// Removes the oldest ended jobs of a family that are over the bound, as many as one call may.
    fn retain(&mut self, queue: &Arc<str>, family: Family, keep: Keep, batch: usize, now: Millis) {
        let mut ended: Vec<(i64, Millis, JobId)> = self
            .in_queue(queue)
            .filter_map(|job| match job.phase {
                Phase::Ended { state, at, order } if Family::of(state) == family => Some((order, at, job.id)),
                _ => None,
            })
            .collect();
        ended.sort_unstable();
        let over = keep.count.map_or(0, |count| ended.len().saturating_sub(usize::try_from(count).unwrap_or(usize::MAX)));
        let oldest = keep.age.map_or(Millis::MIN, |age| now.saturating_sub(age));
        let excess = ended.iter().enumerate().take_while(|(index, (_, at, _))| *index < over || *at < oldest);
        for (_, (_, _, id)) in excess.take(batch * 2 + 100) {
            self.jobs.remove(id);
        }
    }

    pub(crate) fn note(&mut self, notes: Vec<Note>) -> Vec<Settled> {
        notes
            .into_iter()
            .map(|note| {
                let Some(job) = self.jobs.get_mut(&note.id).filter(|job| job.held_with(note.token)) else {
                    return Settled::Refused;
                };
                match note.note {
                    NoteKind::Progress { value_json } => job.progress_json = Some(value_json),
                    NoteKind::Log { at, line } => {
                        job.last_line += 1;
                        job.logs.push(LogLine { seq: job.last_line, at, line });
                        let surplus = job.logs.len().saturating_sub(MAX_LOG_LINES);
                        job.logs.drain(..surplus);
                    }
                }
                Settled::Applied(JobState::Active)
            })
            .collect()
    }
}
