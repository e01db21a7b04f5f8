//! What the cases are written with: a store that is asked and answers, and builders for its records.

use std::collections::BTreeSet;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use master_agent_core::{JobId, JobPolicy, JobRef, JobState, Keep, Millis, WorkerId};
use parking_lot::{Condvar, Mutex};

use crate::{
    BeatReply, ClaimRequest, ClaimedJob, Control, Controlled, Disposition, Enqueued, JobStore, JobView, ListQuery, LogLine,
    Maintained, NewJob, Note, NoteKind, QueueCounts, Reply, SettleReply, Settled, Settlement, StoreError, StoreListener,
    WorkerBeat, WorkerView,
};

/// How long a case waits for what must come before it gives up: a guard against hanging, not a measure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Calls an operation and waits for its answer.
pub(crate) fn ask<T: Send + 'static>(operation: impl FnOnce(Reply<T>)) -> Result<T, StoreError> {
    let (send, receive) = sync_channel(1);
    operation(Box::new(move |outcome| {
        let _ = send.send(outcome);
    }));
    receive.recv_timeout(PATIENCE).expect("every operation is answered")
}

/// The time at which cases begin.
pub(super) const T0: Millis = 1_700_000_000_000;
/// A lease that does not end by itself within a case.
pub(super) const LEASE: Millis = 30_000;
pub(super) const ALICE: WorkerId = WorkerId(101);
pub(super) const BOB: WorkerId = WorkerId(102);

/// A job of the lane with nothing special about it.
pub(super) fn job(lane: &str) -> NewJob {
    NewJob {
        lane: lane.into(),
        key: None,
        task_id: None,
        parent_id: None,
        data_json: "{}".into(),
        meta_json: None,
        priority: 0,
        run_at: None,
        policy: Arc::new(policy()),
    }
}

/// Jobs whose end is kept for good.
pub(super) fn policy() -> JobPolicy {
    JobPolicy { remove_on_complete: Keep::ALL, remove_on_fail: Keep::ALL, ..JobPolicy::DEFAULT }
}

pub(super) fn keyed(lane: &str, key: &str) -> NewJob {
    NewJob { key: Some(key.into()), ..job(lane) }
}

pub(super) fn prioritised(lane: &str, priority: u32) -> NewJob {
    NewJob { priority, ..job(lane) }
}

pub(super) fn delayed(lane: &str, run_at: Millis) -> NewJob {
    NewJob { run_at: Some(run_at), ..job(lane) }
}

pub(super) fn with_policy(lane: &str, policy: JobPolicy) -> NewJob {
    NewJob { policy: Arc::new(policy), ..job(lane) }
}

pub(super) fn complete(keep: Keep) -> Disposition {
    Disposition::Complete { result_json: Some("1".into()), keep }
}

pub(super) fn fail(keep: Keep) -> Disposition {
    Disposition::End { state: JobState::Failed, error_json: error("failed"), failed: true, keep }
}

pub(super) fn stall() -> Disposition {
    Disposition::Stall { error_json: error("silent") }
}

pub(super) fn retry(run_at: Millis) -> Disposition {
    Disposition::Retry { run_at, error_json: error("once more") }
}

pub(super) fn error(message: &str) -> Box<str> {
    format!(r#"{{"name":"Error","message":"{message}"}}"#).into()
}

pub(super) fn settlement(claimed: &ClaimedJob, disposition: Disposition) -> Settlement {
    Settlement { id: claimed.id, token: claimed.token, disposition }
}

pub(super) fn ids(jobs: &[ClaimedJob]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id).collect()
}

pub(super) fn sorted(mut ids: Vec<JobId>) -> Vec<JobId> {
    ids.sort_unstable();
    ids
}

pub(super) fn by_id(id: JobId) -> JobRef {
    JobRef::Id(id)
}

pub(super) fn by_key(key: &str) -> JobRef {
    JobRef::Key(key.into())
}

/// A store seen from one queue.
#[derive(Clone)]
pub(super) struct Kit {
    pub(super) store: Arc<dyn JobStore>,
    pub(super) queue: Arc<str>,
}

impl Kit {
    pub(super) fn new(store: Arc<dyn JobStore>) -> Self {
        Self { store, queue: "tasks".into() }
    }

    pub(super) fn queue(&self, queue: &str) -> Self {
        Self { store: self.store.clone(), queue: queue.into() }
    }

    pub(super) fn add_at(&self, jobs: Vec<NewJob>, now: Millis) -> Vec<Enqueued> {
        let wanted = jobs.len();
        let added = ask(|reply| self.store.enqueue(self.queue.clone(), jobs, now, reply)).expect("jobs are added");
        assert_eq!(added.len(), wanted, "one answer per job");
        added
    }

    /// Adds jobs that are all new.
    pub(super) fn add(&self, jobs: Vec<NewJob>) -> Vec<JobId> {
        let added = self.add_at(jobs, T0);
        assert!(added.iter().all(|added| !added.existing), "the jobs are new");
        added.into_iter().map(|added| added.id).collect()
    }

    pub(super) fn add_one(&self, job: NewJob) -> JobId {
        self.add(vec![job])[0]
    }

    pub(super) fn add_many(&self, lane: &str, n: usize) -> Vec<JobId> {
        self.add((0..n).map(|_| job(lane)).collect())
    }

    pub(super) fn request(&self, worker: WorkerId, lanes: &[&str], free: usize) -> ClaimRequest {
        ClaimRequest {
            worker,
            queue: self.queue.clone(),
            lanes: lanes.iter().map(|lane| Arc::from(*lane)).collect(),
            limits: Vec::new(),
            free,
            max_bytes: usize::MAX,
            now: T0,
            lease: LEASE,
        }
    }

    pub(super) fn ask_claim(&self, request: ClaimRequest) -> Vec<ClaimedJob> {
        let (free, lanes, limits) = (request.free, request.lanes.clone(), request.limits.clone());
        let claimed = ask(|reply| self.store.claim(request, reply)).expect("a claim is answered");
        assert!(claimed.len() <= free, "a claim gives {} jobs where {free} were free", claimed.len());
        assert!(claimed.iter().all(|job| lanes.contains(&job.lane)), "a claim gives only jobs of its lanes");
        for (lane, limit) in limits {
            let given = claimed.iter().filter(|job| job.lane == lanes[lane]).count();
            assert!(given <= limit, "lane {lane} gives {given} jobs where {limit} were allowed");
        }
        claimed
    }

    pub(super) fn claim(&self, worker: WorkerId, lanes: &[&str], free: usize) -> Vec<ClaimedJob> {
        self.ask_claim(self.request(worker, lanes, free))
    }

    pub(super) fn claim_at(&self, worker: WorkerId, lanes: &[&str], free: usize, now: Millis) -> Vec<ClaimedJob> {
        self.ask_claim(ClaimRequest { now, ..self.request(worker, lanes, free) })
    }

    pub(super) fn claim_one(&self, worker: WorkerId, lane: &str) -> ClaimedJob {
        self.claim(worker, &[lane], 1).pop().expect("a job waits in the lane")
    }

    pub(super) fn settle_and_claim(&self, batch: Vec<Settlement>, now: Millis, claim: Option<ClaimRequest>) -> SettleReply {
        let wanted = batch.len();
        let reply =
            ask(|reply| self.store.settle(self.queue.clone(), Arc::new(batch), now, claim, reply)).expect("a settle is answered");
        assert_eq!(reply.settled.len(), wanted, "one answer per settlement");
        reply
    }

    pub(super) fn settle_at(&self, batch: Vec<Settlement>, now: Millis) -> Vec<Settled> {
        self.settle_and_claim(batch, now, None).settled
    }

    /// Settles one claim and expects that it counts.
    pub(super) fn end(&self, claimed: &ClaimedJob, disposition: Disposition) -> JobState {
        self.end_at(claimed, disposition, T0)
    }

    pub(super) fn end_at(&self, claimed: &ClaimedJob, disposition: Disposition, now: Millis) -> JobState {
        match self.settle_at(vec![settlement(claimed, disposition)], now)[..] {
            [Settled::Applied(state)] => state,
            ref other => panic!("the settlement of job {} is {other:?}", claimed.id),
        }
    }

    /// Adds, claims and ends `n` jobs one after the other, a millisecond apart from `now` on.
    pub(super) fn end_many(&self, lane: &str, n: usize, now: Millis, disposition: &Disposition) -> Vec<JobId> {
        let added = self.add_many(lane, n);
        let claimed = self.claim(ALICE, &[lane], n);
        assert_eq!(ids(&claimed), added, "all that was added is claimed");
        for (job, now) in claimed.iter().zip(now..) {
            self.end_at(job, disposition.clone(), now);
        }
        added
    }

    pub(super) fn beat_at(&self, worker: WorkerId, now: Millis, lease: Millis) -> BeatReply {
        let beat = WorkerBeat {
            worker,
            queue: self.queue.clone(),
            name: format!("host:{}", worker.0).into(),
            concurrency: 8,
            started_at: T0,
            now,
            lease,
        };
        ask(|reply| self.store.beat(beat, reply)).expect("a beat is answered")
    }

    pub(super) fn leave(&self, worker: WorkerId) {
        ask(|reply| self.store.leave(worker, T0, reply)).expect("a worker may leave");
    }

    pub(super) fn maintain(&self, now: Millis) -> Maintained {
        ask(|reply| self.store.maintain(now, reply)).expect("maintenance is answered")
    }

    pub(super) fn note(&self, claimed: &ClaimedJob, note: NoteKind) -> Settled {
        let notes = vec![Note { id: claimed.id, token: claimed.token, note }];
        ask(|reply| self.store.note(notes, reply)).expect("a note is answered")[0]
    }

    pub(super) fn try_control_at(&self, control: Control, now: Millis) -> Result<Controlled, StoreError> {
        ask(|reply| self.store.control(self.queue.clone(), control, now, reply))
    }

    pub(super) fn try_control(&self, control: Control) -> Result<Controlled, StoreError> {
        self.try_control_at(control, T0)
    }

    pub(super) fn control(&self, control: Control) -> Controlled {
        self.try_control(control).expect("the change is possible")
    }

    /// Repeats a sliced change until it is done, and sums it up.
    pub(super) fn control_all(&self, control: &Control) -> Controlled {
        let mut sum = Controlled::default();
        loop {
            let slice = self.control(control.clone());
            assert!(slice.affected <= 1_000, "a slice holds at most 1000 jobs, not {}", slice.affected);
            assert!(slice.affected > 0 || !slice.more, "a slice that has more to do does something");
            sum.affected += slice.affected;
            sum.ended.extend(slice.ended);
            if !slice.more {
                return sum;
            }
        }
    }

    pub(super) fn cancel(&self, job: JobRef) -> Controlled {
        self.control(cancel(job))
    }

    pub(super) fn view(&self, job: JobRef) -> Option<JobView> {
        let mut views = ask(|reply| self.store.jobs(self.queue.clone(), vec![job], reply)).expect("a look-up is answered");
        assert_eq!(views.len(), 1, "one answer per look-up");
        views.pop().flatten()
    }

    pub(super) fn get(&self, id: JobId) -> JobView {
        self.view(by_id(id)).unwrap_or_else(|| panic!("job {id} is there"))
    }

    pub(super) fn gone(&self, id: JobId) -> bool {
        self.view(by_id(id)).is_none()
    }

    pub(super) fn state(&self, id: JobId) -> JobState {
        self.get(id).state
    }

    pub(super) fn query(&self, state: JobState) -> ListQuery {
        ListQuery { queue: self.queue.clone(), state, lane: None, limit: 1_000, cursor: None }
    }

    /// All pages of a list.
    pub(super) fn list_all(&self, query: ListQuery) -> Vec<JobView> {
        let limit = query.limit.clamp(1, crate::MAX_PAGE);
        let mut query = query;
        let mut jobs = Vec::new();
        loop {
            let page = ask(|reply| self.store.list(query.clone(), reply)).expect("a list is answered");
            assert!(page.jobs.len() <= limit, "a page holds at most {limit} jobs, not {}", page.jobs.len());
            assert!(page.jobs.len() == limit || page.next.is_none(), "only the last page is short");
            jobs.extend(page.jobs);
            query.cursor = page.next;
            if query.cursor.is_none() {
                return jobs;
            }
        }
    }

    pub(super) fn listed(&self, state: JobState) -> Vec<JobId> {
        self.list_all(self.query(state)).into_iter().map(|job| job.id).collect()
    }

    pub(super) fn counts(&self) -> QueueCounts {
        ask(|reply| self.store.counts(self.queue.clone(), reply)).expect("counts are answered")
    }

    pub(super) fn count(&self, state: JobState) -> u64 {
        self.counts().lanes.iter().filter(|lane| lane.state == state).map(|lane| lane.count).sum()
    }

    pub(super) fn queues(&self) -> Vec<Arc<str>> {
        ask(|reply| self.store.queues(reply)).expect("queues are answered")
    }

    pub(super) fn logs(&self, id: JobId, after: i64, limit: usize) -> Vec<LogLine> {
        ask(|reply| self.store.logs(self.queue.clone(), by_id(id), after, limit, reply)).expect("logs are answered")
    }

    pub(super) fn workers(&self) -> Vec<WorkerView> {
        ask(|reply| self.store.workers(self.queue.clone(), reply)).expect("workers are answered")
    }

    pub(super) fn worker(&self, worker: WorkerId) -> Option<WorkerView> {
        self.workers().into_iter().find(|view| view.worker == worker)
    }

    /// Listens to the store from now on; the store holds the listener weakly, so keep what this returns.
    pub(super) fn listen(&self) -> Arc<Heard> {
        Heard::at(&self.store)
    }
}

pub(super) fn cancel(job: JobRef) -> Control {
    Control::Cancel { job, error_json: error("cancelled"), now: T0 }
}

pub(super) fn log(at: Millis, line: &str) -> NoteKind {
    NoteKind::Log { at, line: line.into() }
}

pub(super) fn progress(value: &str) -> NoteKind {
    NoteKind::Progress { value_json: value.into() }
}

/// What a listener heard.
#[derive(Debug, Default, Clone)]
pub(crate) struct Sounds {
    pub(crate) ready: BTreeSet<(Arc<str>, Arc<str>)>,
    pub(crate) due: BTreeSet<Millis>,
    pub(crate) ended: BTreeSet<(Arc<str>, JobId)>,
    pub(crate) foreign: u64,
    pub(crate) events: Vec<(Arc<str>, Box<str>)>,
}

/// A listener that writes down what it hears.
#[derive(Default)]
pub(crate) struct Heard {
    sounds: Mutex<Sounds>,
    changed: Condvar,
}

impl Heard {
    pub(crate) fn at(store: &Arc<dyn JobStore>) -> Arc<Self> {
        let heard = Arc::new(Self::default());
        let weak: Weak<Self> = Arc::downgrade(&heard);
        store.set_listener(weak);
        heard
    }

    pub(crate) fn forget(&self) {
        *self.sounds.lock() = Sounds::default();
    }

    /// Waits until `enough` has been heard.
    pub(crate) fn wait(&self, what: &str, enough: impl Fn(&Sounds) -> bool) {
        if let Err(sounds) = self.try_wait(PATIENCE, enough) {
            panic!("the listener never hears {what}; it heard {sounds:?}");
        }
    }

    /// Waits until `enough` has been heard; when that does not come, tells what was.
    pub(crate) fn try_wait(&self, patience: Duration, enough: impl Fn(&Sounds) -> bool) -> Result<(), Sounds> {
        let deadline = Instant::now() + patience;
        let mut sounds = self.sounds.lock();
        while !enough(&sounds) {
            if self.changed.wait_until(&mut sounds, deadline).timed_out() && !enough(&sounds) {
                return Err(sounds.clone());
            }
        }
        Ok(())
    }

    /// Repeats `action` until `enough` has been heard: for notices that may get lost.
    pub(super) fn wait_doing(&self, what: &str, enough: impl Fn(&Sounds) -> bool, mut action: impl FnMut()) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            action();
            let mut sounds = self.sounds.lock();
            let next = Instant::now() + Duration::from_millis(20);
            while !enough(&sounds) && !self.changed.wait_until(&mut sounds, next).timed_out() {}
            if enough(&sounds) {
                return;
            }
            assert!(Instant::now() < deadline, "the listener never hears {what}; it heard {:?}", *sounds);
        }
    }

    pub(super) fn heard(&self) -> Sounds {
        self.sounds.lock().clone()
    }

    pub(super) fn wait_ready(&self, queue: &str, lane: &str) {
        let pair = (Arc::from(queue), Arc::from(lane));
        self.wait(&format!("that lane {lane} of {queue} is ready"), |sounds| sounds.ready.contains(&pair));
    }

    pub(super) fn wait_ended(&self, queue: &str, id: JobId) {
        let pair = (Arc::from(queue), id);
        self.wait(&format!("that job {id} of {queue} ended"), |sounds| sounds.ended.contains(&pair));
    }

    fn hear(&self, change: impl FnOnce(&mut Sounds)) {
        change(&mut self.sounds.lock());
        self.changed.notify_all();
    }
}

impl StoreListener for Heard {
    fn lanes_ready(&self, queue: &Arc<str>, lanes: &[Arc<str>]) {
        self.hear(|sounds| sounds.ready.extend(lanes.iter().map(|lane| (queue.clone(), lane.clone()))));
    }

    fn due(&self, due: Millis) {
        self.hear(|sounds| {
            sounds.due.insert(due);
        });
    }

    fn ended(&self, queue: &Arc<str>, jobs: &[JobId]) {
        self.hear(|sounds| sounds.ended.extend(jobs.iter().map(|job| (queue.clone(), *job))));
    }

    fn foreign(&self) {
        self.hear(|sounds| sounds.foreign += 1);
    }

    fn events(&self, queue: &Arc<str>, events_json: &str) {
        self.hear(|sounds| sounds.events.push((queue.clone(), events_json.into())));
    }
}

/// The jobs that a beat asks to cancel.
pub(super) fn cancels(reply: &BeatReply) -> Vec<JobId> {
    reply.cancelled.iter().map(|cancelled| cancelled.id).collect()
}
