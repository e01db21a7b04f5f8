//! One job of the model, and where it is in its life.

use std::sync::Arc;

use master_agent_core::{JobId, JobRef, JobState, Millis, Token, WorkerId};

use crate::{ClaimedJob, Departed, JobView, LogLine, NewJob};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Job {
    pub(super) id: JobId,
    pub(super) queue: Arc<str>,
    pub(super) new: NewJob,
    pub(super) added_at: Millis,
    pub(super) phase: Phase,
    pub(super) failures: u32,
    pub(super) stalls: u32,
    pub(super) started_at: Option<Millis>,
    pub(super) result_json: Option<Box<str>>,
    pub(super) error_json: Option<Box<str>>,
    pub(super) progress_json: Option<Box<str>>,
    pub(super) logs: Vec<LogLine>,
    pub(super) last_line: i64,
    /// Why the claim that runs should be cancelled.
    pub(super) cancel_json: Option<Box<str>>,
}

/// What a state needs besides its name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Phase {
    Waiting,
    Delayed {
        run_at: Millis,
    },
    Active {
        worker: WorkerId,
        token: Token,
    },
    /// `order` grows with every end in the store.
    Ended {
        state: JobState,
        at: Millis,
        order: i64,
    },
}

/// Ended jobs are kept in two families, each with its own bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Completed,
    Failed,
}

impl Family {
    pub(super) fn of(state: JobState) -> Self {
        if state == JobState::Completed { Self::Completed } else { Self::Failed }
    }
}

impl Job {
    pub(super) fn state(&self) -> JobState {
        match self.phase {
            Phase::Waiting => JobState::Waiting,
            Phase::Delayed { .. } => JobState::Delayed,
            Phase::Active { .. } => JobState::Active,
            Phase::Ended { state, .. } => state,
        }
    }

    pub(super) fn is(&self, job: &JobRef) -> bool {
        match job {
            JobRef::Id(id) => self.id == *id,
            JobRef::Key(key) => self.new.key.as_ref() == Some(key),
        }
    }

    pub(super) fn held_by(&self, worker: WorkerId) -> bool {
        matches!(self.phase, Phase::Active { worker: holder, .. } if holder == worker)
    }

    pub(super) fn held_with(&self, token: Token) -> bool {
        matches!(self.phase, Phase::Active { token: current, .. } if current == token)
    }

    /// The place in a lane: priority first, then age.
    pub(super) fn place(&self) -> (u32, JobId) {
        (self.new.priority, self.id)
    }

    pub(super) fn claimed(&self, token: Token) -> ClaimedJob {
        let NewJob { lane, key, task_id, parent_id, data_json, meta_json, priority, policy, .. } = self.new.clone();
        ClaimedJob {
            id: self.id,
            token,
            lane,
            key,
            task_id,
            parent_id,
            data_json,
            meta_json,
            priority,
            added_at: self.added_at,
            policy,
            failures: self.failures,
            stalls: self.stalls,
        }
    }

    pub(super) fn departed(&self, state: JobState, at: Millis) -> Departed {
        let NewJob { lane, key, task_id, parent_id, .. } = self.new.clone();
        let value = if state == JobState::Completed { &self.result_json } else { &self.error_json };
        Departed {
            id: self.id,
            key,
            lane,
            task_id,
            parent_id,
            state,
            failures: self.failures,
            added_at: self.added_at,
            started_at: self.started_at,
            finished_at: at,
            value_json: value.clone(),
        }
    }

    pub(super) fn view(&self) -> JobView {
        let NewJob { lane, key, task_id, parent_id, data_json, meta_json, priority, policy, .. } = self.new.clone();
        JobView {
            id: self.id,
            key,
            lane,
            task_id,
            parent_id,
            data_json,
            meta_json,
            policy,
            state: self.state(),
            priority,
            failures: self.failures,
            stalls: self.stalls,
            added_at: self.added_at,
            run_at: match self.phase {
                Phase::Delayed { run_at } => Some(run_at),
                _ => None,
            },
            started_at: self.started_at,
            finished_at: match self.phase {
                Phase::Ended { at, .. } => Some(at),
                _ => None,
            },
            result_json: self.result_json.clone(),
            error_json: self.error_json.clone(),
            progress_json: self.progress_json.clone(),
            worker: match self.phase {
                Phase::Active { worker, .. } => Some(worker),
                _ => None,
            },
        }
    }
}
