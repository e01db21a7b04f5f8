//! Who waits for which job of a queue.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use master_agent_core::JobId;

use crate::message::Outbox;
use crate::unkept::Unkept;

/// One wait: where its answer goes.
#[derive(Clone)]
pub(crate) struct Waiter {
    pub(crate) outbox: Arc<dyn Outbox>,
    /// Tells the sessions apart, whose request numbers may be the same.
    pub(crate) session: u64,
    pub(crate) request: u32,
    /// The job was there when it was looked up: if it is gone later, it was removed.
    pub(crate) seen: bool,
}

impl Waiter {
    fn is(&self, session: u64, request: u32) -> bool {
        self.session == session && self.request == request
    }
}

/// How many waits one look at the store checks.
pub(crate) const SLICE: usize = 1_000;

#[derive(Default)]
pub(crate) struct Waits {
    /// The store was told that somebody waits.
    pub(crate) announced: bool,
    by_job: HashMap<JobId, Vec<Waiter>>,
    by_request: HashMap<(u64, u32), JobId>,
    /// Jobs whose turn it is to be looked up: the new ones first, then all in turn.
    fresh: VecDeque<JobId>,
    turn: VecDeque<JobId>,
    /// A look at the store is under way, and whether another was asked for meanwhile.
    pub(crate) looking: bool,
    pub(crate) again: bool,
    pub(crate) unkept: Unkept,
}

impl Waits {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_job.is_empty()
    }

    pub(crate) fn add(&mut self, job: JobId, waiter: Waiter) {
        self.by_request.insert((waiter.session, waiter.request), job);
        let waiters = self.by_job.entry(job).or_default();
        if waiters.is_empty() {
            self.turn.push_back(job);
        }
        waiters.push(waiter);
    }

    /// The job is there and has not ended.
    pub(crate) fn saw(&mut self, job: JobId) {
        for waiter in self.by_job.get_mut(&job).into_iter().flatten() {
            waiter.seen = true;
        }
    }

    /// The job should be looked up soon.
    pub(crate) fn look_up(&mut self, job: JobId) {
        self.fresh.push_back(job);
    }

    pub(crate) fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Takes those who wait for the job.
    pub(crate) fn take(&mut self, job: JobId) -> Vec<Waiter> {
        let waiters = self.by_job.remove(&job).unwrap_or_default();
        for waiter in &waiters {
            self.by_request.remove(&(waiter.session, waiter.request));
        }
        self.tidy();
        waiters
    }

    /// Places in the turn outlive their waits; the last one to go clears them.
    fn tidy(&mut self) {
        if self.by_job.is_empty() {
            self.turn.clear();
            self.fresh.clear();
        }
    }

    /// Takes one wait back.
    pub(crate) fn forget(&mut self, session: u64, request: u32) {
        let Some(job) = self.by_request.remove(&(session, request)) else { return };
        if let Some(waiters) = self.by_job.get_mut(&job) {
            waiters.retain(|waiter| !waiter.is(session, request));
            if waiters.is_empty() {
                self.by_job.remove(&job);
                self.tidy();
            }
        }
    }

    /// Takes all waits of a session.
    pub(crate) fn take_session(&mut self, session: u64) -> Vec<Waiter> {
        let mut taken = Vec::new();
        self.by_job.retain(|_, waiters| {
            taken.extend(waiters.extract_if(.., |waiter| waiter.session == session));
            !waiters.is_empty()
        });
        self.by_request.retain(|(of, _), _| *of != session);
        self.tidy();
        taken
    }

    /// The jobs to look up next: the fresh ones, and a slice of the others if `all`.
    pub(crate) fn next_slice(&mut self, all: bool) -> Vec<JobId> {
        let mut jobs: Vec<JobId> = Vec::new();
        while jobs.len() < SLICE
            && let Some(job) = self.fresh.pop_front()
        {
            if self.by_job.contains_key(&job) {
                jobs.push(job);
            }
        }
        if all {
            for _ in 0..self.turn.len() {
                if jobs.len() >= SLICE {
                    break;
                }
                let Some(job) = self.turn.pop_front() else { break };
                if self.by_job.contains_key(&job) {
                    jobs.push(job);
                    self.turn.push_back(job);
                }
            }
        }
        jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    struct Nowhere;

    impl Outbox for Nowhere {
        fn deliver(&self, _: Message) {}
    }

    fn waiter(session: u64, request: u32) -> Waiter {
        Waiter { outbox: Arc::new(Nowhere), session, request, seen: false }
    }

    #[test]
    fn a_forgotten_wait_is_not_answered() {
        let mut waits = Waits::default();
        waits.add(JobId(1), waiter(1, 1));
        waits.add(JobId(1), waiter(2, 1));
        waits.forget(1, 1);
        let left: Vec<_> = waits.take(JobId(1)).iter().map(|waiter| (waiter.session, waiter.request)).collect();
        assert_eq!(left, [(2, 1)]);
        assert!(waits.is_empty());
    }

    #[test]
    fn slices_come_around_to_every_wait() {
        let mut waits = Waits::default();
        for job in 0..(SLICE as i64 * 2 + 10) {
            waits.add(JobId(job), waiter(1, job as u32));
        }
        let mut seen = std::collections::HashSet::new();
        for _ in 0..3 {
            seen.extend(waits.next_slice(true));
        }
        assert_eq!(seen.len(), SLICE * 2 + 10);
        for job in 0..(SLICE as i64 * 2 + 10) {
            waits.take(JobId(job));
        }
        assert_eq!(waits.next_slice(true), []);
        assert!(waits.turn.is_empty(), "what nobody waits for leaves no trace");
    }

    #[test]
    fn a_closed_session_takes_its_waits_with_it() {
        let mut waits = Waits::default();
        waits.add(JobId(1), waiter(1, 1));
        waits.add(JobId(2), waiter(1, 2));
        waits.add(JobId(2), waiter(2, 1));
        assert_eq!(waits.take_session(1).len(), 2);
        assert_eq!(waits.take(JobId(1)).len(), 0);
        assert_eq!(waits.take(JobId(2)).len(), 1);
    }
}
