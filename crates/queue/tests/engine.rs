//! The engine over the in-memory store, with a clock that stands still unless it is moved.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use master_agent_core::{
    Backoff, BackoffKind, Clock, ErrorCode, JobPolicy, JobRef, JobState, Keep, ManualClock, Millis, SystemRandom, WorkerId,
};
use master_agent_queue::{Engine, EventKind, Handle, Lane, Message, Outbox, Outcome, Session, SessionOptions, WorkerOptions};
use master_agent_store::model::MemoryStore;
use master_agent_store::state::model::MemoryState;
use master_agent_store::state::{
    Commit, Committed, DocumentPage, Expiry, Found, Item, LogPage, LogRead, LogTrim, LogWatcher, NamePage, NameQuery, Put, Query,
    StateStore, Trimmed, Watch,
};
use master_agent_store::{
    BeatReply, ClaimRequest, ClaimedJob, Control, Controlled, Departed, Enqueued, JobStore, JobView, ListQuery, LogLine,
    Maintained, NewJob, Note, NoteKind, Page, QueueCounts, Reply, SettleReply, Settled, Settlement, StoreError, StoreListener,
    WorkerBeat, WorkerView, call,
};

/// How long a message may take before the test is lost.
const PATIENCE: Duration = Duration::from_secs(20);

struct Post(Mutex<Sender<Message>>);

impl Outbox for Post {
    fn deliver(&self, message: Message) {
        let _ = self.0.lock().expect("not poisoned").send(message);
    }
}

struct Bench {
    clock: Arc<ManualClock>,
    engine: Arc<Engine>,
    session: Arc<Session>,
    post: Receiver<Message>,
    // What came while something else was looked for.
    kept: RefCell<VecDeque<Message>>,
}

impl Bench {
    fn new() -> Self {
        Self::over(MemoryStore::new())
    }

    fn over(store: Arc<dyn JobStore>) -> Self {
        let clock = Arc::new(ManualClock::at(1_000_000));
        let engine = Engine::start(store, Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(SystemRandom)).expect("starts");
        let (session, post) = open(&engine);
        Self { clock, engine, session, post, kept: RefCell::default() }
    }

    fn start(&self, concurrency: usize, lanes: &[(&str, Option<usize>)]) {
        start(&self.session, concurrency, lanes);
    }

    fn advance(&self, by: Millis) {
        self.clock.advance(by);
        self.engine.wake();
    }

    fn submit(&self, jobs: Vec<NewJob>) -> Vec<String> {
        self.session.submit(1, jobs);
        loop {
            // A job may run before its adding is acknowledged.
            match self.receive() {
                Message::Enqueued { jobs, .. } => return jobs.iter().map(|job| job.id.to_string()).collect(),
                Message::Rejected { error, .. } => panic!("rejected: {error}"),
                other => self.kept.borrow_mut().push_back(other),
            }
        }
    }

    fn receive(&self) -> Message {
        self.post.recv_timeout(PATIENCE).expect("a message comes")
    }

    fn next(&self) -> Message {
        let kept = self.kept.borrow_mut().pop_front();
        kept.unwrap_or_else(|| self.receive())
    }

    fn runs(&self) -> Vec<(Handle, ClaimedJob)> {
        match self.next() {
            Message::Run { jobs } => jobs,
            other => panic!("expected jobs to run, not {other:?}"),
        }
    }

    fn view(&self, id: &str) -> Option<JobView> {
        let jobs = call(|reply| self.engine.store().jobs("tasks".into(), vec![JobRef::parse(id)], reply)).expect("answers");
        jobs.into_iter().next().flatten()
    }

    fn state(&self, id: &str) -> Option<JobState> {
        self.view(id).map(|view| view.state)
    }
}

/// Looks again and again until the engine's thread has done it.
fn until(mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "it does not come about");
        std::thread::yield_now();
    }
}

fn open(engine: &Arc<Engine>) -> (Arc<Session>, Receiver<Message>) {
    let (send, post) = channel();
    let options = SessionOptions { queue: "tasks".into(), name: "test:1".into() };
    (engine.session(options, Arc::new(Post(Mutex::new(send)))).expect("open"), post)
}

fn start(session: &Session, concurrency: usize, lanes: &[(&str, Option<usize>)]) {
    let lanes = lanes.iter().map(|(name, limit)| Lane { name: (*name).into(), limit: *limit }).collect();
    let options = WorkerOptions { concurrency, lease: 3_000, stall_timeout: 60_000, lanes };
    call(|reply| session.start(options, reply)).expect("starts");
}

fn job(lane: &str, policy: JobPolicy) -> NewJob {
    NewJob {
        lane: lane.into(),
        key: None,
        task_id: Some("task".into()),
        parent_id: None,
        data_json: r#"{"n":1}"#.into(),
        meta_json: None,
        priority: 0,
        run_at: None,
        policy: Arc::new(policy),
    }
}

fn plain(lane: &str) -> NewJob {
    job(lane, JobPolicy::DEFAULT)
}

fn done(json: &str) -> Outcome {
    Outcome::Completed { result_json: json.into() }
}

fn failed() -> Outcome {
    Outcome::Failed { error_json: r#"{"name":"Error","message":"no"}"#.into(), fatal: false }
}

#[test]
fn a_job_is_run_settled_and_waited_for() {
    let bench = Bench::new();
    let id = bench.submit(vec![plain("a")]).remove(0);
    bench.session.wait(7, &id);
    bench.start(2, &[("a", None)]);
    let (handle, job) = bench.runs().remove(0);
    assert_eq!((&*job.data_json, job.task_id.as_deref()), (r#"{"n":1}"#, Some("task")));
    bench.session.settle(vec![(handle, done("42"))]);
    let Message::Done { request: 7, outcome } = bench.next() else { panic!("the wait is answered") };
    assert_eq!((outcome.state, &*outcome.value_json, outcome.attempts), (JobState::Completed, "42", 1));
    // A wait that comes after the end is answered from the store.
    bench.session.wait(8, &id);
    let Message::Done { request: 8, outcome } = bench.next() else { panic!("the wait is answered") };
    assert_eq!((&*outcome.value_json, outcome.attempts), ("42", 1));
}

#[test]
fn a_failure_waits_for_its_backoff_and_the_last_one_ends_the_job() {
    let bench = Bench::new();
    bench.start(1, &[("a", None)]);
    let backoff = Backoff { kind: BackoffKind::Fixed, delay: 5_000, max_delay: 60_000, jitter: 0.0 };
    let id = bench.submit(vec![job("a", JobPolicy { attempts: 2, backoff, ..JobPolicy::DEFAULT })]).remove(0);
    bench.session.wait(7, &id);
    let (handle, _) = bench.runs().remove(0);
    bench.session.settle(vec![(handle, failed())]);
    assert_eq!(bench.state(&id), Some(JobState::Delayed));
    bench.advance(5_000);
    let (handle, second) = bench.runs().remove(0);
    assert_eq!(second.failures, 1);
    bench.session.settle(vec![(handle, failed())]);
    let Message::Done { outcome, .. } = bench.next() else { panic!("the wait is answered") };
    assert_eq!((outcome.state, outcome.attempts), (JobState::Failed, 2));
}

#[test]
fn a_timeout_aborts_the_handler_and_its_late_outcome_is_ignored() {
    let bench = Bench::new();
    bench.start(1, &[("a", None)]);
    let id = bench.submit(vec![job("a", JobPolicy { attempts: 1, timeout: Some(500), ..JobPolicy::DEFAULT })]).remove(0);
    let (handle, _) = bench.runs().remove(0);
    bench.advance(500);
    let Message::Abort { handle: aborted, error } = bench.next() else { panic!("aborted") };
    assert_eq!((aborted, error.code.as_deref()), (handle, Some("ERR_TASK_TIMEOUT")));
    bench.session.settle(vec![(handle, done("1"))]);
    bench.session.wait(7, &id);
    let Message::Done { outcome, .. } = bench.next() else { panic!("the wait is answered") };
    assert_eq!(outcome.state, JobState::Failed);
}

#[test]
fn a_running_job_can_be_cancelled() {
    let bench = Bench::new();
    bench.start(1, &[("a", None)]);
    let id = bench.submit(vec![plain("a")]).remove(0);
    let (handle, _) = bench.runs().remove(0);
    bench.advance(200);
    let cancel = Control::Cancel { job: JobRef::parse(&id), error_json: "{}".into(), now: bench.clock.now() };
    assert_eq!(call(|reply| bench.session.control(cancel, reply)).expect("cancels").affected, 1);
    let Message::Abort { handle: aborted, error } = bench.next() else { panic!("aborted") };
    assert_eq!((aborted, error.code.as_deref()), (handle, Some("ERR_TASK_CANCELLED")));
    until(|| bench.state(&id) == Some(JobState::Cancelled));
}

/// Two engines over one store, as two processes have: the clock is shared.
fn two() -> (Bench, Bench) {
    let store = MemoryStore::new();
    let other = Bench::over(store.handle());
    let here = Bench::over(store);
    (here, other)
}

fn cancel(bench: &Bench, id: &str) {
    let error_json = r#"{"name":"CancelledError","message":"not needed","code":"ERR_TASK_CANCELLED"}"#.into();
    let cancel = Control::Cancel { job: JobRef::parse(id), error_json, now: bench.clock.now() };
    assert_eq!(call(|reply| bench.session.control(cancel, reply)).expect("cancels").affected, 1);
}

fn cancelled(message: Message) -> bool {
    let Message::Done { outcome, .. } = message else { panic!("expected the end of the job, not {message:?}") };
    outcome.state == JobState::Cancelled && outcome.value_json.contains("not needed")
}

#[test]
fn a_cancelled_job_whose_worker_dies_does_not_run_again() {
    for keep in [Keep::DEFAULT, Keep::NOTHING] {
        let (here, lost) = two();
        // A worker that the engine does not know of, and that says nothing more.
        let id = here.submit(vec![job("a", JobPolicy { remove_on_fail: keep, ..JobPolicy::DEFAULT })]).remove(0);
        let claim = ClaimRequest {
            worker: WorkerId(9),
            queue: "tasks".into(),
            lanes: Arc::new(["a".into()]),
            limits: Vec::new(),
            free: 1,
            max_bytes: usize::MAX,
            now: here.clock.now(),
            lease: 3_000,
        };
        assert_eq!(call(|reply| lost.engine.store().claim(claim, reply)).map(|jobs| jobs.len()), Ok(1));
        here.session.wait(7, &id);
        cancel(&here, &id);
        here.start(1, &[("a", None)]);
        here.advance(3_001);
        assert!(cancelled(here.next()), "{keep:?}");
    }
}

#[test]
fn an_attempt_that_fails_once_the_job_was_cancelled_is_the_last() {
    for keep in [Keep::DEFAULT, Keep::NOTHING] {
        let (here, other) = two();
        call(|reply| here.session.events(true, reply)).expect("listens");
        here.start(1, &[("a", None)]);
        let id = here.submit(vec![job("a", JobPolicy { remove_on_fail: keep, ..JobPolicy::DEFAULT })]).remove(0);
        let (handle, _) = loop {
            if let Message::Run { mut jobs } = here.next() {
                break jobs.remove(0);
            }
        };
        here.session.wait(7, &id);
        // By a process whose wish has not reached the worker yet.
        let error_json = r#"{"name":"CancelledError","message":"not needed"}"#.into();
        let wish = Control::Cancel { job: JobRef::parse(&id), error_json, now: here.clock.now() };
        let settled = Arc::clone(&here.session);
        call(|reply| other.engine.store().control("tasks".into(), wish, other.clock.now(), reply)).expect("cancels");
        settled.settle(vec![(handle, failed())]);
        let mut ended = false;
        let mut told = keep.is_nothing();
        while !(ended && told) {
            match here.next() {
                Message::Events { events } => {
                    for event in events.iter() {
                        assert_ne!(event.kind, EventKind::Retrying);
                        told |= event.kind == EventKind::Failed
                            && event.value_json.as_deref().is_some_and(|why| why.contains("not needed"));
                    }
                }
                // The wish may have come first.
                Message::Abort { .. } => {}
                message => ended |= cancelled(message),
            }
        }
        assert!(here.state(&id).is_none_or(|state| state == JobState::Cancelled));
    }
}

#[test]
fn an_end_that_is_not_kept_is_told_to_those_who_wait_elsewhere() {
    let (here, elsewhere) = two();
    let policy = JobPolicy { remove_on_complete: Keep::NOTHING, ..JobPolicy::DEFAULT };
    here.start(1, &[("a", None)]);
    let keyed = NewJob { key: Some("key".into()), ..job("a", policy) };
    let id = elsewhere.submit(vec![keyed]).remove(0);
    elsewhere.session.wait(7, &id);
    let (handle, _) = here.runs().remove(0);
    here.session.settle(vec![(handle, done("42"))]);
    elsewhere.session.wait(8, &id);
    until(|| here.state(&id).is_none());
    elsewhere.session.wait(9, &id);
    elsewhere.session.wait(10, "key");
    for _ in 0..4 {
        let Message::Done { outcome, .. } = elsewhere.next() else { panic!("the wait is answered with the result") };
        assert_eq!((outcome.state, &*outcome.value_json, outcome.attempts), (JobState::Completed, "42", 1));
    }
}

/// Counts what sweeps remove, and passes everything on.
struct Swept {
    inner: Arc<MemoryState>,
    removed: AtomicU64,
}

impl StateStore for Swept {
    fn sweep(&self, now: Millis, limit: usize, reply: Reply<master_agent_store::state::Swept>) {
        let swept = call(|reply| self.inner.sweep(now, limit, reply));
        self.removed.fetch_add(swept.as_ref().map_or(0, |swept| swept.removed), Ordering::SeqCst);
        reply(swept);
    }

    fn commit(&self, commit: Commit, reply: Reply<Committed>) {
        self.inner.commit(commit, reply);
    }
    fn get(&self, namespace: Arc<str>, items: Vec<Item>, now: Millis, reply: Reply<Vec<Found>>) {
        self.inner.get(namespace, items, now, reply);
    }
    fn query(&self, query: Query, reply: Reply<DocumentPage>) {
        self.inner.query(query, reply);
    }
    fn read_log(&self, read: LogRead, reply: Reply<LogPage>) {
        self.inner.read_log(read, reply);
    }
    fn trim_log(&self, trim: LogTrim, reply: Reply<Trimmed>) {
        self.inner.trim_log(trim, reply);
    }
    fn names(&self, query: NameQuery, reply: Reply<NamePage>) {
        self.inner.names(query, reply);
    }
    fn clear(&self, namespace: Arc<str>, reply: Reply<bool>) {
        self.inner.clear(namespace, reply);
    }
    fn watch(&self, namespace: Arc<str>, log: Arc<str>, watcher: Arc<dyn LogWatcher>, reply: Reply<Watch>) {
        self.inner.watch(namespace, log, watcher, reply);
    }
}

#[test]
fn the_state_is_swept_beside_the_jobs() {
    let bench = Bench::new();
    let state = Arc::new(Swept { inner: MemoryState::new(), removed: AtomicU64::new(0) });
    let now = bench.clock.now();
    // More than one slice at once, and one that expires later.
    for (from, expiry) in [(0, now + 10), (1_000, now + 10), (2_000, now + 10), (3_000, now + 30_000)] {
        let puts = (from..from + if from < 3_000 { 1_000 } else { 1 })
            .map(|n| Put::new("things", &*n.to_string(), "1").expires(Expiry::At(expiry)));
        let commit = puts.fold(Commit::new("area", now), Commit::with);
        assert!(matches!(call(|reply| state.commit(commit, reply)), Ok(Committed::Done(_))));
    }
    let removed = |count| until(|| state.removed.load(Ordering::SeqCst) == count);
    bench.engine.sweep(Arc::clone(&state) as Arc<dyn StateStore>);
    bench.start(1, &[("a", None)]);
    bench.advance(1_000);
    removed(3_000);
    bench.advance(29_000);
    removed(3_001);
}

#[test]
fn a_silent_loop_loses_its_jobs_and_gets_them_again_when_it_speaks() {
    let bench = Bench::new();
    bench.start(1, &[("a", None)]);
    let id = bench.submit(vec![plain("a")]).remove(0);
    bench.runs();
    bench.advance(60_001);
    let Message::Abort { error, .. } = bench.next() else { panic!("aborted") };
    assert_eq!(error.code.as_deref(), Some("ERR_TASK_STALLED"));
    until(|| bench.state(&id) == Some(JobState::Waiting));
    bench.session.alive();
    assert_eq!(bench.runs()[0].1.stalls, 1);
}

#[test]
fn draining_waits_for_what_runs_and_takes_nothing_new() {
    let bench = Bench::new();
    bench.start(1, &[("a", None)]);
    bench.submit(vec![plain("a")]);
    let (handle, _) = bench.runs().remove(0);
    let (send, stopped) = channel();
    bench.session.stop(10_000, move |outcome| send.send(outcome).expect("is heard"));
    let later = bench.submit(vec![plain("a")]).remove(0);
    assert!(stopped.try_recv().is_err(), "a handler still runs");
    bench.session.settle(vec![(handle, done("1"))]);
    assert_eq!(stopped.recv_timeout(PATIENCE).expect("stops"), Ok(0));
    assert_eq!(bench.state(&later), Some(JobState::Waiting));
}

#[test]
fn a_drain_that_takes_too_long_gives_the_rest_back() {
    let bench = Bench::new();
    bench.start(1, &[("a", None)]);
    let id = bench.submit(vec![plain("a")]).remove(0);
    bench.runs();
    let (send, stopped) = channel();
    bench.session.stop(1_000, move |outcome| send.send(outcome).expect("is heard"));
    bench.advance(1_000);
    let Message::Abort { error, .. } = bench.next() else { panic!("aborted") };
    assert_eq!(error.code.as_deref(), Some("ERR_CLOSED"));
    assert_eq!(stopped.recv_timeout(PATIENCE).expect("stops"), Ok(1));
    let view = bench.view(&id).expect("is there");
    assert_eq!((view.state, view.failures, view.stalls), (JobState::Waiting, 0, 0));
}

#[test]
fn limits_of_a_lane_hold_beside_the_total() {
    let bench = Bench::new();
    bench.submit((0..6).map(|n| plain(if n % 2 == 0 { "a" } else { "b" })).collect());
    bench.start(5, &[("a", Some(1)), ("b", None)]);
    let mut running = bench.runs();
    while running.len() < 4 {
        running.extend(bench.runs());
    }
    let of_a = running.iter().filter(|(_, job)| &*job.lane == "a").count();
    assert_eq!((of_a, running.len()), (1, 4));
}

#[test]
fn a_job_taken_back_by_the_store_aborts_its_handler() {
    let bench = Bench::new();
    bench.start(1, &[("a", None)]);
    bench.submit(vec![plain("a")]);
    let (handle, _) = bench.runs().remove(0);
    let obliterate = Control::Obliterate { force: true };
    call(|reply| bench.session.control(obliterate, reply)).expect("obliterates");
    bench.advance(1_000);
    let Message::Abort { handle: aborted, error } = bench.next() else { panic!("aborted") };
    assert_eq!((aborted, error.code.as_deref()), (handle, Some("ERR_TASK_LOST")));
}

/// A server that fails may forget the end of a job that it had acknowledged, and remember that a worker holds it.
#[test]
fn what_only_the_store_takes_for_held_waits_again() {
    let bench = Bench::new();
    bench.start(1, &[("a", None)]);
    let ids = bench.submit(vec![plain("a"), plain("a")]);
    let (handle, _) = bench.runs().remove(0);
    let store = Arc::clone(bench.engine.store());
    let workers = call(|reply| store.workers("tasks".into(), reply)).expect("answers");
    let request = ClaimRequest {
        worker: workers[0].worker,
        queue: "tasks".into(),
        lanes: Arc::new(["a".into()]),
        limits: Vec::new(),
        free: 1,
        max_bytes: 1,
        now: bench.clock.now(),
        lease: 3_000,
    };
    let claimed = call(|reply| store.claim(request, reply)).expect("claims");
    assert_eq!(claimed[0].id.to_string(), ids[1], "behind the back of the engine");
    let state = |job: usize| bench.state(&ids[job]);
    bench.advance(1_000);
    until(|| call(|reply| store.workers("tasks".into(), reply)).is_ok_and(|workers| workers[0].beat_at == bench.clock.now()));
    assert_eq!(state(1), Some(JobState::Active), "after one beat its outcome may still be on its way");
    bench.advance(1_000);
    until(|| state(1) == Some(JobState::Waiting));
    assert_eq!(state(0), Some(JobState::Active), "what it runs stays with it");
    bench.session.settle(vec![(handle, done("1"))]);
    let (_, again) = bench.runs().remove(0);
    assert_eq!((again.id.to_string(), again.failures, again.stalls), (ids[1].clone(), 0, 0));
}

#[test]
fn waits_for_what_is_gone_removed_or_closed_are_answered() {
    let bench = Bench::new();
    bench.session.wait(1, "999");
    assert!(matches!(bench.next(), Message::WaitFailed { request: 1, code: ErrorCode::JobNotFound, .. }));
    bench.session.wait(2, "no such key");
    assert!(matches!(bench.next(), Message::WaitFailed { request: 2, code: ErrorCode::JobNotFound, .. }));
    let ids = bench.submit(vec![plain("a"), plain("a")]);
    bench.session.wait(3, &ids[0]);
    call(|reply| bench.session.control(Control::Remove { job: JobRef::parse(&ids[0]) }, reply)).expect("removes");
    assert!(matches!(bench.next(), Message::WaitFailed { request: 3, code: ErrorCode::JobRemoved, .. }));
    bench.session.wait(4, &ids[1]);
    bench.session.wait(5, &ids[1]);
    bench.session.forget(5);
    let (send, closed) = channel();
    bench.session.close(0, move |outcome| send.send(outcome).expect("is heard"));
    assert!(matches!(bench.next(), Message::WaitFailed { request: 4, code: ErrorCode::Closed, .. }));
    assert!(closed.recv_timeout(PATIENCE).expect("closes").is_ok());
    bench.session.wait(6, &ids[1]);
    assert!(matches!(bench.next(), Message::WaitFailed { request: 6, code: ErrorCode::Closed, .. }));
    bench.session.submit(7, vec![plain("a")]);
    assert!(matches!(bench.next(), Message::Rejected { request: 7, error: StoreError::Closed }));
}

#[test]
fn events_tell_the_life_of_a_job() {
    let bench = Bench::new();
    call(|reply| bench.session.events(true, reply)).expect("listens");
    bench.start(1, &[("a", None)]);
    bench.submit(vec![job("a", JobPolicy { backoff: Backoff { delay: 0, ..JobPolicy::DEFAULT.backoff }, ..JobPolicy::DEFAULT })]);
    let mut kinds = Vec::new();
    let mut outcomes = vec![done("1"), failed()];
    while kinds.last() != Some(&EventKind::Completed) {
        match bench.next() {
            Message::Events { events } => kinds.extend(events.iter().map(|event| event.kind)),
            Message::Run { jobs } => {
                let handle = jobs[0].0;
                let note = NoteKind::Progress { value_json: "50".into() };
                assert_eq!(call(|reply| bench.session.note(handle, note, reply)), Ok(true));
                bench.session.settle(vec![(handle, outcomes.pop().expect("two attempts"))]);
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    use EventKind::{Completed, Progress, Retrying, Started};
    kinds.sort_by_key(|kind| kind.as_str());
    assert_eq!(kinds, [Completed, Progress, Progress, Retrying, Started, Started]);
}

#[test]
fn outcomes_survive_a_store_that_fails_for_a_while() {
    let store = Arc::new(Flaky::over(MemoryStore::new()));
    let bench = Bench::over(Arc::clone(&store) as Arc<dyn JobStore>);
    bench.start(1, &[("a", None)]);
    let id = bench.submit(vec![plain("a")]).remove(0);
    let (handle, _) = bench.runs().remove(0);
    store.failures.store(3, Ordering::SeqCst);
    bench.session.settle(vec![(handle, done("42"))]);
    assert!(matches!(bench.next(), Message::Health { error: Some(StoreError::Full { .. }) }));
    assert_eq!(bench.state(&id), Some(JobState::Active));
    for left in [1, 0] {
        bench.advance(250);
        until(|| store.failures.load(Ordering::SeqCst) == left);
    }
    bench.advance(250);
    until(|| bench.state(&id) == Some(JobState::Completed));
    assert_eq!(bench.view(&id).and_then(|view| view.result_json).as_deref(), Some("42"));
}

#[test]
fn an_environment_that_ends_counts_only_what_had_begun() {
    let bench = Bench::new();
    let (other, _post) = open(&bench.engine);
    let ids = bench.submit(vec![plain("a"), plain("a")]);
    bench.start(2, &[("a", None)]);
    let mut runs = bench.runs();
    if runs.len() < 2 {
        runs.extend(bench.runs());
    }
    bench.session.begun(runs[0].0);
    call(|reply| bench.session.abandon(reply)).expect("is given back");
    let stalls = |id: &str| bench.view(id).map(|view| (view.state, view.stalls));
    assert_eq!(stalls(&ids[0]), Some((JobState::Waiting, 1)));
    assert_eq!(stalls(&ids[1]), Some((JobState::Waiting, 0)));
    drop(other);
}

#[test]
fn the_last_session_closes_the_store() {
    let bench = Bench::new();
    let (second, _post) = open(&bench.engine);
    for session in [&bench.session, &second] {
        assert!(call(|reply| bench.engine.store().queues(reply)).is_ok());
        let (send, closed) = channel();
        session.close(0, move |outcome| send.send(outcome).expect("is heard"));
        assert!(closed.recv_timeout(PATIENCE).expect("closes").is_ok());
    }
    assert_eq!(call(|reply| bench.engine.store().queues(reply)), Err(StoreError::Closed));
}

#[test]
fn a_job_added_elsewhere_before_a_claim_is_answered_is_run() {
    let inner = MemoryStore::new();
    let elsewhere = inner.handle();
    let add = move || {
        let added = call(|reply| elsewhere.enqueue("tasks".into(), vec![plain("a")], 1_000_000, reply));
        assert!(added.is_ok(), "{added:?}");
    };
    let store = Arc::new(Flaky::over(inner));
    let bench = Bench::over(Arc::clone(&store) as Arc<dyn JobStore>);
    bench.start(2, &[("a", None)]);
    *store.before_reply.lock().expect("not poisoned") = Some(Box::new(add.clone()));
    add();
    assert_eq!([bench.runs().len(), bench.runs().len()], [1, 1]);
}

#[test]
fn a_wait_that_begins_during_a_settle_is_answered_after_it() {
    let store = Arc::new(Flaky::over(MemoryStore::new()));
    let bench = Bench::over(Arc::clone(&store) as Arc<dyn JobStore>);
    bench.start(1, &[("a", None)]);
    let ended = bench.submit(vec![plain("a")]).remove(0);
    let (handle, _) = bench.runs().remove(0);
    bench.session.settle(vec![(handle, done("1"))]);
    bench.submit(vec![plain("a")]);
    let (handle, _) = bench.runs().remove(0);
    let session = Arc::clone(&bench.session);
    *store.before_reply.lock().expect("not poisoned") = Some(Box::new(move || session.wait(7, &ended)));
    bench.session.settle(vec![(handle, done("2"))]);
    match bench.next() {
        Message::Done { request: 7, outcome } => assert_eq!(&*outcome.value_json, "1"),
        other => panic!("expected the end of the first job, not {other:?}"),
    }
}

/// Fails the next so many settles as a full disk does, and does something between the next claim or settle and its reply.
struct Flaky {
    inner: Arc<MemoryStore>,
    failures: AtomicUsize,
    before_reply: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Flaky {
    fn over(inner: Arc<MemoryStore>) -> Self {
        Self { inner, failures: AtomicUsize::new(0), before_reply: Mutex::new(None) }
    }

    fn late<T: 'static>(&self, reply: Reply<T>) -> Reply<T> {
        let before_reply = self.before_reply.lock().expect("not poisoned").take();
        Box::new(move |outcome| {
            if let Some(before_reply) = before_reply {
                before_reply();
            }
            reply(outcome);
        })
    }
}

impl JobStore for Flaky {
    fn settle(
        &self,
        queue: Arc<str>,
        batch: Arc<Vec<Settlement>>,
        now: Millis,
        claim: Option<ClaimRequest>,
        reply: Reply<SettleReply>,
    ) {
        let fails = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails {
            return reply(Err(StoreError::Full { place: "memory".to_owned() }));
        }
        self.inner.settle(queue, batch, now, claim, self.late(reply));
    }

    fn enqueue(&self, queue: Arc<str>, jobs: Vec<NewJob>, now: Millis, reply: Reply<Vec<Enqueued>>) {
        self.inner.enqueue(queue, jobs, now, reply);
    }
    fn claim(&self, request: ClaimRequest, reply: Reply<Vec<ClaimedJob>>) {
        let late = self.late(reply);
        self.inner.claim(request, late);
    }
    fn beat(&self, beat: WorkerBeat, reply: Reply<BeatReply>) {
        self.inner.beat(beat, reply);
    }
    fn leave(&self, worker: WorkerId, now: Millis, reply: Reply<()>) {
        self.inner.leave(worker, now, reply);
    }
    fn maintain(&self, now: Millis, reply: Reply<Maintained>) {
        self.inner.maintain(now, reply);
    }
    fn note(&self, notes: Vec<Note>, reply: Reply<Vec<Settled>>) {
        self.inner.note(notes, reply);
    }
    fn control(&self, queue: Arc<str>, control: Control, now: Millis, reply: Reply<Controlled>) {
        self.inner.control(queue, control, now, reply);
    }
    fn jobs(&self, queue: Arc<str>, jobs: Vec<JobRef>, reply: Reply<Vec<Option<JobView>>>) {
        self.inner.jobs(queue, jobs, reply);
    }
    fn departed(&self, queue: Arc<str>, jobs: Vec<JobRef>, reply: Reply<Vec<Option<Departed>>>) {
        self.inner.departed(queue, jobs, reply);
    }
    fn list(&self, query: ListQuery, reply: Reply<Page>) {
        self.inner.list(query, reply);
    }
    fn counts(&self, queue: Arc<str>, reply: Reply<QueueCounts>) {
        self.inner.counts(queue, reply);
    }
    fn queues(&self, reply: Reply<Vec<Arc<str>>>) {
        self.inner.queues(reply);
    }
    fn logs(&self, queue: Arc<str>, job: JobRef, after: i64, limit: usize, reply: Reply<Vec<LogLine>>) {
        self.inner.logs(queue, job, after, limit, reply);
    }
    fn workers(&self, queue: Arc<str>, reply: Reply<Vec<WorkerView>>) {
        self.inner.workers(queue, reply);
    }
    fn publish(&self, queue: Arc<str>, events_json: Box<str>) {
        self.inner.publish(queue, events_json);
    }
    fn listen(&self, queue: Arc<str>, on: bool, reply: Reply<()>) {
        self.inner.listen(queue, on, reply);
    }
    fn set_listener(&self, listener: Weak<dyn StoreListener>) {
        self.inner.set_listener(listener);
    }
    fn close(&self, reply: Reply<()>) {
        self.inner.close(reply);
    }
}
