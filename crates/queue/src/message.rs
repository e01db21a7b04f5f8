//! What the engine has to say to a session.

use std::sync::Arc;

use master_agent_core::{ErrorCode, JobError, JobId, JobState, Millis};
use master_agent_store::{ClaimedJob, Departed, Enqueued, JobView, StoreError};

use crate::worker::Handle;

/// One thing that the other side of a session must hear.
#[derive(Debug)]
pub enum Message {
    /// Jobs of a submit are durable.
    Enqueued {
        request: u32,
        jobs: Vec<Enqueued>,
    },
    /// A submit failed; nothing of it was added.
    Rejected {
        request: u32,
        error: StoreError,
    },
    /// Jobs to run.
    Run {
        jobs: Vec<(Handle, ClaimedJob)>,
    },
    /// The job was taken from its handler.
    Abort {
        handle: Handle,
        error: JobError,
    },
    /// A wait is answered.
    Done {
        request: u32,
        outcome: WaitOutcome,
    },
    /// A wait is answered without an outcome.
    WaitFailed {
        request: u32,
        code: ErrorCode,
        message: String,
    },
    /// Events of jobs, of this process (typed) or of others (packed JSON array).
    Events {
        events: Arc<Vec<Event>>,
    },
    PackedEvents {
        events_json: Arc<str>,
    },
    /// The store failed, or works again.
    Health {
        error: Option<StoreError>,
    },
}

/// Where messages go. Called on any thread; must not block and must not call back into the engine.
pub trait Outbox: Send + Sync + 'static {
    fn deliver(&self, message: Message);
}

/// How a job ended, for those who wait for it.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitOutcome {
    pub id: JobId,
    pub key: Option<Box<str>>,
    pub task_id: Option<Box<str>>,
    pub parent_id: Option<Box<str>>,
    pub lane: Arc<str>,
    pub state: JobState,
    /// Attempts that were made, the last included.
    pub attempts: u32,
    pub added_at: Millis,
    pub started_at: Option<Millis>,
    pub finished_at: Millis,
    /// The result of a completed job, the error of any other.
    pub value_json: Box<str>,
}

impl WaitOutcome {
    /// The outcome of a job that the store shows as ended.
    pub(crate) fn of(view: JobView) -> Option<Self> {
        if !view.state.is_final() {
            return None;
        }
        let completed = view.state == JobState::Completed;
        let value = if completed { view.result_json } else { view.error_json };
        Some(Self {
            id: view.id,
            key: view.key,
            task_id: view.task_id,
            parent_id: view.parent_id,
            lane: view.lane,
            state: view.state,
            attempts: attempts(view.state, view.failures),
            added_at: view.added_at,
            started_at: view.started_at,
            finished_at: view.finished_at.unwrap_or(view.added_at),
            value_json: value.unwrap_or_else(|| "null".into()),
        })
    }
}

impl From<Departed> for WaitOutcome {
    fn from(departed: Departed) -> Self {
        let Departed { id, key, lane, task_id, parent_id, state, failures, added_at, started_at, finished_at, value_json } =
            departed;
        let value_json = value_json.unwrap_or_else(|| "null".into());
        let attempts = attempts(state, failures);
        Self { id, key, task_id, parent_id, lane, state, attempts, added_at, started_at, finished_at, value_json }
    }
}

/// The attempts that were made of an ended job: a success is one more than the failures before it.
pub(crate) fn attempts(state: JobState, failures: u32) -> u32 {
    failures + u32::from(state == JobState::Completed)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Started,
    Progress,
    Completed,
    Failed,
    Retrying,
}

impl EventKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Progress => "progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Retrying => "retrying",
        }
    }
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub kind: EventKind,
    pub id: JobId,
    pub key: Option<Box<str>>,
    pub task_id: Option<Box<str>>,
    pub lane: Arc<str>,
    pub attempt: u32,
    pub at: Millis,
    pub value_json: Option<Box<str>>,
}

impl Event {
    /// The end of a job that ended without a result.
    pub(crate) fn of_end(view: JobView) -> Option<Self> {
        if !view.state.is_final() || view.state == JobState::Completed {
            return None;
        }
        Some(Self {
            kind: EventKind::Failed,
            id: view.id,
            key: view.key,
            task_id: view.task_id,
            lane: view.lane,
            attempt: view.failures + u32::from(view.started_at.is_some()),
            at: view.finished_at.unwrap_or(view.added_at),
            value_json: view.error_json,
        })
    }

    /// Appends the packed form: `[type, id, key|null, taskId|null, agentType, attempt, at, value]`.
    pub fn write_json(&self, out: &mut String) {
        use std::fmt::Write;
        let text = |out: &mut String, text: Option<&str>| match text.map(serde_json::to_string) {
            Some(Ok(quoted)) => out.push_str(&quoted),
            _ => out.push_str("null"),
        };
        let _ = write!(out, "[\"{}\",{},", self.kind.as_str(), self.id);
        text(out, self.key.as_deref());
        out.push(',');
        text(out, self.task_id.as_deref());
        out.push(',');
        text(out, Some(&self.lane));
        let _ = write!(out, ",{},{},", self.attempt, self.at);
        out.push_str(self.value_json.as_deref().unwrap_or("null"));
        out.push(']');
    }
}
