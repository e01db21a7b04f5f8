//! The records that cross the port. Texts named `…_json` hold one JSON value each.

use std::sync::Arc;

use master_agent_core::{JobId, JobPolicy, JobRef, JobState, Keep, Millis, Token, WorkerId};
use serde::{Deserialize, Serialize};

/// A job as it is added.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// The agent type; with the queue it names the lane.
    pub lane: Arc<str>,
    /// The caller's own name for the job, unique in its queue; a second add returns the first job.
    pub key: Option<Box<str>>,
    /// The id of the task, where the job is one.
    pub task_id: Option<Box<str>>,
    /// The id of the task that spawned this one.
    pub parent_id: Option<Box<str>>,
    pub data_json: Box<str>,
    pub meta_json: Option<Box<str>>,
    /// Lower runs first, 0 to 2 097 152.
    pub priority: u32,
    /// Not before this time; a time that has passed means at once.
    pub run_at: Option<Millis>,
    pub policy: Arc<JobPolicy>,
}

/// What became of one added job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    pub id: JobId,
    /// The key was taken: `id` is the job that has it, nothing was added.
    pub existing: bool,
}

/// What a worker can take right now.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimRequest {
    pub worker: WorkerId,
    pub queue: Arc<str>,
    /// The lanes that the worker serves. Lanes take turns; within one, priority and then age decide.
    pub lanes: Arc<[Arc<str>]>,
    /// Lanes (index into `lanes`) that may give fewer than `free` jobs.
    pub limits: Vec<(usize, usize)>,
    /// At most so many jobs.
    pub free: usize,
    /// The bytes of data at which the claim stops: the job that reaches them is the last, the first is always given.
    pub max_bytes: usize,
    pub now: Millis,
    /// The lease that a worker unknown to the store is given, in milliseconds.
    pub lease: Millis,
}

/// A job that a worker now holds.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedJob {
    pub id: JobId,
    pub token: Token,
    pub lane: Arc<str>,
    pub key: Option<Box<str>>,
    pub task_id: Option<Box<str>>,
    pub parent_id: Option<Box<str>>,
    pub data_json: Box<str>,
    pub meta_json: Option<Box<str>>,
    pub priority: u32,
    pub added_at: Millis,
    pub policy: Arc<JobPolicy>,
    /// Attempts that failed before this one.
    pub failures: u32,
    /// How often the job lost its worker.
    pub stalls: u32,
}

/// How an attempt ended, decided by `queue`.
#[derive(Debug, Clone, PartialEq)]
pub enum Disposition {
    /// The job is done.
    Complete { result_json: Option<Box<str>>, keep: Keep },
    /// The job ends without a result in `state` (failed, cancelled or dead). `failed` tells whether
    /// this attempt counts as a failure.
    End { state: JobState, error_json: Box<str>, failed: bool, keep: Keep },
    /// The attempt failed and is counted, the job waits until `run_at` for the next.
    Retry { run_at: Millis, error_json: Box<str> },
    /// The worker gives the job back unfinished: it waits again in its old place, nothing is counted.
    Release,
    /// The worker lost the job (its loop was silent): as when its lease ends. The stall is counted; with more of them
    /// than its policy allows the job is dead, else it waits again.
    Stall { error_json: Box<str> },
}

/// The end of one claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    pub id: JobId,
    pub token: Token,
    pub disposition: Disposition,
}

/// What became of one settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Applied; the job is in this state now.
    Applied(JobState),
    /// The token is not the job's current one: nothing was changed.
    Refused,
}

/// The answer to [`crate::JobStore::settle`]: one [`Settled`] per settlement, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SettleReply {
    pub settled: Vec<Settled>,
    pub claimed: Vec<ClaimedJob>,
}

/// A worker's sign of life, which extends the lease of every job that it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerBeat {
    pub worker: WorkerId,
    pub queue: Arc<str>,
    /// How the worker is shown: `host:pid`, say.
    pub name: Arc<str>,
    pub concurrency: u32,
    pub started_at: Millis,
    pub now: Millis,
    /// The lease runs until `now + lease`, in milliseconds.
    pub lease: Millis,
}

/// A running job that somebody asked to cancel, until it is settled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cancelled {
    pub id: JobId,
    /// The error of the first [`Control::Cancel`].
    pub error_json: Box<str>,
}

/// The answer to a beat.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BeatReply {
    /// The jobs of this worker that somebody asked to cancel.
    pub cancelled: Vec<Cancelled>,
    /// What the worker holds in the eyes of the store: a running job that is not in it was taken back.
    pub held: Vec<(JobId, Token)>,
}

/// What maintenance did, and when it is due again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Maintained {
    /// Delayed jobs that can be claimed now.
    pub promoted: u64,
    /// Jobs taken back from workers whose lease ended.
    pub recovered: u64,
    /// Jobs among them that ended, in the dead letters or as cancelled: queue and id, in the order in which they ended.
    pub dead: Vec<(Arc<str>, JobId)>,
    /// The due time of the next delayed job; one that has passed tells that more is due now.
    pub next_due: Option<Millis>,
}

/// Something noted about a running job.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    pub id: JobId,
    pub token: Token,
    pub note: NoteKind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum NoteKind {
    Progress {
        value_json: Box<str>,
    },
    /// The store keeps the newest [`MAX_LOG_LINES`] lines of a job.
    Log {
        at: Millis,
        line: Box<str>,
    },
}

/// How many log lines of a job are kept.
pub const MAX_LOG_LINES: usize = 1_000;

/// How often `limit` elements are handed out by one call at the most.
pub const MAX_PAGE: usize = 1_000;

/// A change that a user asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Control {
    Pause,
    Resume,
    /// Removes what waits (and what is delayed, if asked), in slices; answers with how many.
    Drain {
        delayed: bool,
    },
    /// Removes jobs, in slices: in a final state those that ended before `before`, oldest first; waiting or delayed
    /// ones that were added before it, in no defined order. Active ones cannot be cleaned.
    Clean {
        state: JobState,
        before: Millis,
        limit: u64,
    },
    /// An ended job waits again in its old place, without result and error, its attempts and stalls counted from zero.
    Retry {
        job: JobRef,
    },
    /// A delayed job waits now.
    Promote {
        job: JobRef,
    },
    /// Removes a job that is not active.
    Remove {
        job: JobRef,
    },
    /// Ends a waiting or delayed job as cancelled, kept as its policy says of failures. The worker of an active one
    /// is asked to end it with every beat until it settles; **it never waits again**: whatever would have made it wait
    /// (a retry, a release, a stall, the worker's leaving, the end of its lease) ends it as cancelled in the same way, with the
    /// error of the first cancel, and counts nothing. Nothing happens to an ended one.
    Cancel {
        job: JobRef,
        error_json: Box<str>,
        now: Millis,
    },
    /// Removes the queue with everything in it, its pause too, in slices. Refused while jobs are active, unless forced.
    Obliterate {
        force: bool,
    },
}

/// The answer to a [`Control`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Controlled {
    /// How many jobs were changed or removed.
    pub affected: u64,
    /// Jobs that ended or are gone by this, so that those who wait for them are told.
    /// At most [`MAX_PAGE`] of them: who waits for others polls.
    pub ended: Vec<JobId>,
    /// Slices are bounded: there is more to do, call again.
    pub more: bool,
}

/// One job as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct JobView {
    pub id: JobId,
    pub key: Option<Box<str>>,
    pub lane: Arc<str>,
    pub task_id: Option<Box<str>>,
    pub parent_id: Option<Box<str>>,
    pub data_json: Box<str>,
    pub meta_json: Option<Box<str>>,
    pub policy: Arc<JobPolicy>,
    pub state: JobState,
    pub priority: u32,
    pub failures: u32,
    pub stalls: u32,
    pub added_at: Millis,
    /// When a delayed job becomes claimable; without meaning in other states.
    pub run_at: Option<Millis>,
    /// When the attempt was claimed that runs, or that ended the job; `None` while it waits.
    pub started_at: Option<Millis>,
    pub finished_at: Option<Millis>,
    pub result_json: Option<Box<str>>,
    /// The error of the last attempt that failed or was lost, or of the end.
    pub error_json: Option<Box<str>>,
    pub progress_json: Option<Box<str>>,
    pub worker: Option<WorkerId>,
}

/// How a job ended that is not there any more.
#[derive(Debug, Clone, PartialEq)]
pub struct Departed {
    pub id: JobId,
    pub key: Option<Box<str>>,
    pub lane: Arc<str>,
    pub task_id: Option<Box<str>>,
    pub parent_id: Option<Box<str>>,
    pub state: JobState,
    pub failures: u32,
    pub added_at: Millis,
    pub started_at: Option<Millis>,
    pub finished_at: Millis,
    /// The result of a completed job, the error of any other.
    pub value_json: Option<Box<str>>,
}

/// Which jobs to list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListQuery {
    pub queue: Arc<str>,
    pub state: JobState,
    /// Only this lane.
    pub lane: Option<Arc<str>>,
    /// At most so many, up to [`MAX_PAGE`].
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
}

/// A place in a list. Waiting jobs are in the order `(priority, id)`, delayed ones `(due time, id)`, active
/// ones `(0, id)`, ended ones newest first by a number that grows with every end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor(pub i64, pub i64);

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    pub jobs: Vec<JobView>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

/// How many jobs of a lane are in a state; zero counts are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneCount {
    pub lane: Arc<str>,
    pub state: JobState,
    pub count: u64,
}

/// What a queue holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueCounts {
    pub paused: bool,
    pub lanes: Vec<LaneCount>,
}

/// One worker as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerView {
    pub worker: WorkerId,
    pub queue: Arc<str>,
    pub name: Arc<str>,
    pub concurrency: u32,
    pub running: u64,
    pub started_at: Millis,
    pub beat_at: Millis,
    pub lease_until: Millis,
}

/// The server that a store is on, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// "redis", "valkey".
    pub name: Box<str>,
    pub version: Box<str>,
    /// "standalone", "cluster".
    pub mode: Box<str>,
}

/// One log line of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Grows by one with every line of the job, from 1.
    pub seq: i64,
    pub at: Millis,
    pub line: Box<str>,
}
