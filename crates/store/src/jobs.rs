//! The hot half of the port.

use std::sync::Arc;
use std::time::Duration;

use master_agent_core::{JobId, JobRef, Millis, WorkerId};

use crate::{
    BeatReply, ClaimRequest, ClaimedJob, Control, Controlled, Departed, Enqueued, JobView, ListQuery, LogLine, Maintained,
    NewJob, Note, Page, QueueCounts, ServerInfo, SettleReply, Settled, Settlement, StoreError, WorkerBeat, WorkerView,
};

/// Where the outcome of an operation goes, once it is durable.
///
/// It may be called inside the operation or later on a thread of the store, so a caller holds no lock
/// over an operation and does nothing long in a reply. A future per operation would cost two more
/// changes of thread on the path of a single task.
pub type Reply<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send + 'static>;

/// Durable jobs in lanes. All times are given by the caller, in milliseconds since the Unix epoch.
///
/// What every adapter keeps, and the conformance suite proves:
/// - **What was acknowledged survives the death of any process.**
/// - **Within a lane: priority first, then first in, first out. A delayed job never starts early.**
/// - **A claimed job is settled, released or taken back when its worker's lease ends; it is in one state at a time.**
/// - **A settle with an old token changes nothing.**
/// - **The cost of an operation depends on its batch, not on the backlog.**
///
/// What one thread submits through one handle takes effect in that order, and a look-up sees everything
/// that was acknowledged before it. An operation that is refused changes nothing, and nothing of others.
pub trait JobStore: Send + Sync + 'static {
    /// Adds jobs, in order, all or none. Answers one [`Enqueued`] per job.
    ///
    /// Ids grow by one within a call and are never given again. A key is taken in its queue as long as the
    /// job that has it is there, in whatever state, also within one batch.
    fn enqueue(&self, queue: Arc<str>, jobs: Vec<NewJob>, now: Millis, reply: Reply<Vec<Enqueued>>);

    /// Takes up to `free` jobs and answers at once, also when there are none.
    ///
    /// What it takes of a lane is the head, `(priority, id)` ascending. In which order lanes are served is not
    /// defined, but none starves, and it takes as many jobs as `free`, the limits and the bytes allow; none of a
    /// paused queue. Only maintenance makes a delayed job claimable. Tokens grow from claim to claim. A worker that
    /// is given jobs while it has no running lease gets one.
    fn claim(&self, request: ClaimRequest, reply: Reply<Vec<ClaimedJob>>);

    /// Ends claims in the order of the batch, and takes new jobs after it in the same commit. A job that waits again
    /// has its old place in its lane. The batch is shared, so that the caller still has it when the store fails.
    ///
    /// A job that keeps nothing is gone at once and bounds no other. Otherwise the ended jobs of its queue and kind
    /// (completed; or failed, cancelled and dead together) are bounded by the last settlement of the batch that ended
    /// one, and by the policy of each job that died of its stalls or ended as cancelled instead of waiting again: the oldest over the count go, and those that ended
    /// before `now - age`. One call removes at most twice its batch and 100.
    fn settle(
        &self,
        queue: Arc<str>,
        batch: Arc<Vec<Settlement>>,
        now: Millis,
        claim: Option<ClaimRequest>,
        reply: Reply<SettleReply>,
    );

    /// Registers the worker or extends its lease, also one that has ended but was not taken back yet.
    fn beat(&self, beat: WorkerBeat, reply: Reply<BeatReply>);

    /// Forgets the worker; what it still holds waits again, uncounted, or ends as cancelled where that was asked for,
    /// in the order of the ids.
    fn leave(&self, worker: WorkerId, now: Millis, reply: Reply<()>);

    /// Makes due jobs claimable, at most 1000 at once, and takes back what expired, over all queues.
    ///
    /// A lease has ended when its time is before `now`. Its worker is forgotten, and what it held is treated as by
    /// [`crate::Disposition::Stall`], with an error `StalledError` of code `ERR_TASK_STALLED`. What somebody asked to
    /// cancel ends as cancelled instead.
    fn maintain(&self, now: Millis, reply: Reply<Maintained>);

    /// Writes progress and log lines; notes with an old token answer [`Settled::Refused`], the others
    /// `Applied(Active)`.
    fn note(&self, notes: Vec<Note>, reply: Reply<Vec<Settled>>);

    /// Carries out one change. `now` orders and dates what it ends. A job that is not there is
    /// [`StoreError::NotFound`], one whose state does not allow the change is [`StoreError::State`].
    fn control(&self, queue: Arc<str>, control: Control, now: Millis, reply: Reply<Controlled>);

    /// Looks jobs up; `None` where there is none.
    fn jobs(&self, queue: Arc<str>, jobs: Vec<JobRef>, reply: Reply<Vec<Option<JobView>>>);

    /// How jobs ended whose policy keeps little or nothing of it ([`master_agent_core::Keep::is_brief`]): for those who
    /// wait for them in another process, and find them gone. An adapter remembers the newest thousands of such ends for some
    /// seconds at least, and may leave it where no other process is. The newest end of a key counts.
    /// A job that begins anew has none, nor has what was removed before it ended.
    fn departed(&self, _queue: Arc<str>, jobs: Vec<JobRef>, reply: Reply<Vec<Option<Departed>>>) {
        reply(Ok(vec![None; jobs.len()]));
    }

    /// One page of the jobs in a state.
    fn list(&self, query: ListQuery, reply: Reply<Page>);

    /// How many jobs are in which lane and state.
    fn counts(&self, queue: Arc<str>, reply: Reply<QueueCounts>);

    /// The queues that hold or held jobs.
    fn queues(&self, reply: Reply<Vec<Arc<str>>>);

    /// Up to `limit` log lines of a job after number `after`, oldest first; `NotFound` if there is no such job.
    fn logs(&self, queue: Arc<str>, job: JobRef, after: i64, limit: usize, reply: Reply<Vec<LogLine>>);

    /// The workers whose lease has not been ended.
    fn workers(&self, queue: Arc<str>, reply: Reply<Vec<WorkerView>>);

    /// Sends a packed batch of events to the other processes that listen to the queue, if there are any.
    fn publish(&self, queue: Arc<str>, events_json: Box<str>);

    /// Whether another process listens to the events of the queue, as far as is known: at most a second old.
    fn is_heard(&self, _queue: &str) -> bool {
        false
    }

    /// Tells the store whether anybody in this process waits for the ends of jobs of the queue, so that those of other
    /// processes are told to [`StoreListener::ended`]. A hint that may come late.
    fn await_ends(&self, _queue: &Arc<str>, _on: bool) {}

    /// How often the store wants to be maintained while a worker runs, in milliseconds: lost workers are noticed this fast.
    fn maintain_every(&self) -> Millis {
        500
    }

    /// Asks the store whether it takes writes, and which server it is on, if it is on one: one cheap round trip that changes
    /// nothing. Answers within about `within` where the store knows by then that it cannot.
    fn check(&self, _within: Duration, reply: Reply<Option<ServerInfo>>) {
        self.note(Vec::new(), Box::new(move |outcome| reply(outcome.map(|_| None))));
    }

    /// Tells the store whether this process listens to the events of the queue.
    fn listen(&self, queue: Arc<str>, on: bool, reply: Reply<()>);

    /// Sets who is told of changes. Held weakly; there is one at a time.
    fn set_listener(&self, listener: std::sync::Weak<dyn StoreListener>);

    /// Finishes what was submitted, then lets go of all files or connections. Later calls answer `Closed`.
    fn close(&self, reply: Reply<()>);
}

/// What a store tells on its own account. Called on threads of the store, perhaps inside a
/// transaction: an implementation may submit operations and must not wait.
pub trait StoreListener: Send + Sync {
    /// Lanes of the queue have jobs to claim that were not there before. A hint: it may come twice or for
    /// nothing, and a claim submitted inside this call may join the same commit.
    fn lanes_ready(&self, queue: &Arc<str>, lanes: &[Arc<str>]);

    /// A delayed job was added or moved that is due at `due`.
    fn due(&self, due: Millis);

    /// Jobs were cancelled or removed through this handle by [`JobStore::control`], or ended in another process while
    /// [`JobStore::await_ends`] was on. What maintenance ends is in its answer alone.
    fn ended(&self, queue: &Arc<str>, jobs: &[JobId]);

    /// The store cannot be used (why), or can again (`None`), as far as it knows of itself.
    fn health(&self, _error: Option<&StoreError>) {}

    /// Another process changed the store: what one waits for should be looked up again. A hint that may get lost.
    fn foreign(&self);

    /// Events published by another process.
    fn events(&self, queue: &Arc<str>, events_json: &str);
}

/// Runs one operation and waits for its outcome: for tests and start-up code, never on a thread of the store.
pub fn call<T: Send + 'static>(operation: impl FnOnce(Reply<T>)) -> Result<T, StoreError> {
    let (send, receive) = std::sync::mpsc::sync_channel(1);
    operation(Box::new(move |outcome| {
        let _ = send.send(outcome);
    }));
    receive.recv().unwrap_or(Err(StoreError::Closed))
}
