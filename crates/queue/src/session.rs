//! One user of the engine: what it submits, settles and waits for, and its worker.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use master_agent_core::{ErrorCode, JobId, JobRef, JobState, Millis, Token, WorkerId};
use master_agent_store::{
    ClaimedJob, Control, Controlled, Departed, Disposition, Enqueued, JobStore, JobView, NewJob, Note, NoteKind, Reply,
    SettleReply, Settled, Settlement, StoreError,
};
use parking_lot::Mutex;

use crate::decide::{GiveUp, Outcome, decide, give_up};
use crate::engine::{Engine, Hub, gone};
use crate::message::{Event, EventKind, Message, Outbox, WaitOutcome, attempts};
use crate::waits::Waiter;
use crate::worker::{Handle, Lane, Phase, Reservation, Run, Worker, WorkerOptions};

/// After a failure of the store, it is asked again this much later.
const RETRY_AFTER: Millis = 250;

/// What a session is made for.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    pub queue: Arc<str>,
    /// How its worker is shown.
    pub name: Arc<str>,
}

/// How long a claim may take from its reservation to the store: it is a matter of microseconds, unless the thread sleeps.
const HAND_OVER: Duration = Duration::from_millis(100);

/// Counts a thread that is about to claim.
struct Claiming<'a>(&'a AtomicUsize);

impl Drop for Claiming<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What answers a stop: how many jobs were given back unfinished.
type Stopped = Box<dyn FnOnce(Result<u64, StoreError>) + Send>;

/// See the module documentation.
pub struct Session {
    engine: Arc<Engine>,
    hub: Arc<Hub>,
    id: u64,
    name: Arc<str>,
    outbox: Arc<dyn Outbox>,
    me: Weak<Session>,
    // Plain mutexes: held for bookkeeping only, never over a call of the store.
    worker: Mutex<Option<Worker>>,
    stopping: Mutex<Option<Stopping>>,
    unsettled: Mutex<Vec<Batch>>,
    wants_events: AtomicBool,
    unhealthy: AtomicBool,
    /// The last failure of the store.
    trouble: Mutex<Option<StoreError>>,
    closed: AtomicBool,
    released: AtomicBool,
    claiming: AtomicUsize,
}

struct Stopping {
    replies: Vec<Stopped>,
    released: u64,
}

/// Settlements with the runs that they end.
struct Batch {
    settlements: Arc<Vec<Settlement>>,
    runs: Vec<Run>,
}

#[derive(Default)]
struct Building {
    settlements: Vec<Settlement>,
    runs: Vec<Run>,
}

impl Building {
    fn push(&mut self, run: Run, disposition: Disposition) {
        self.settlements.push(Settlement { id: run.job.id, token: run.job.token, disposition });
        self.runs.push(run);
    }

    fn done(self) -> Batch {
        Batch { settlements: Arc::new(self.settlements), runs: self.runs }
    }
}

impl Session {
    pub(crate) fn new(
        engine: Arc<Engine>,
        hub: Arc<Hub>,
        id: u64,
        options: SessionOptions,
        outbox: Arc<dyn Outbox>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            engine,
            hub,
            id,
            name: options.name,
            outbox,
            me: Weak::clone(me),
            worker: Mutex::new(None),
            stopping: Mutex::new(None),
            unsettled: Mutex::default(),
            wants_events: AtomicBool::new(false),
            unhealthy: AtomicBool::new(false),
            trouble: Mutex::default(),
            closed: AtomicBool::new(false),
            released: AtomicBool::new(false),
            claiming: AtomicUsize::new(0),
        })
    }

    /// The queue of the session.
    pub fn queue(&self) -> &Arc<str> {
        &self.hub.queue
    }

    /// The store, for what needs no engine.
    pub fn store(&self) -> &Arc<dyn JobStore> {
        &self.engine.store
    }

    /// The time now, as the engine sees it.
    pub fn now(&self) -> Millis {
        self.engine.clock.now()
    }

    fn arc(&self) -> Option<Arc<Self>> {
        self.me.upgrade()
    }

    pub(crate) fn deliver(&self, message: Message) {
        self.outbox.deliver(message);
    }

    /// Adds jobs, all or none; answered by [`Message::Enqueued`] or [`Message::Rejected`].
    pub fn submit(&self, request: u32, jobs: Vec<NewJob>) {
        if self.closed.load(Ordering::Acquire) {
            return self.deliver(Message::Rejected { request, error: StoreError::Closed });
        }
        let outbox = Arc::clone(&self.outbox);
        let reply: Reply<Vec<Enqueued>> = Box::new(move |outcome| {
            outbox.deliver(match outcome {
                Ok(jobs) => Message::Enqueued { request, jobs },
                Err(error) => Message::Rejected { request, error },
            });
        });
        self.engine.store.enqueue(Arc::clone(&self.hub.queue), jobs, self.now(), reply);
    }

    /// Ends runs. Handles that were given up meanwhile are passed over.
    pub fn settle(&self, outcomes: Vec<(Handle, Outcome)>) {
        let now = self.now();
        let mut batch = Building::default();
        let claim = {
            let mut worker = self.worker.lock();
            let Some(worker) = worker.as_mut() else { return };
            worker.alive(now);
            for (handle, outcome) in outcomes {
                let Some(run) = worker.end(handle) else { continue };
                let random = if run.job.policy.backoff.jitter > 0.0 { self.engine.random.unit() } else { 0.0 };
                let disposition = decide(&run.job, outcome, now, random);
                batch.push(run, disposition);
            }
            worker.settling += batch.settlements.len();
            worker.reserve(now)
        };
        self.send(batch.done(), claim, now);
    }

    fn send(&self, batch: Batch, claim: Option<(master_agent_store::ClaimRequest, Reservation)>, now: Millis) {
        let Some(session) = self.arc() else { return };
        let (request, reservation) = claim.map_or((None, None), |(request, reservation)| (Some(request), Some(reservation)));
        if batch.settlements.is_empty() {
            if let (Some(request), Some(reservation)) = (request, reservation) {
                self.engine.store.claim(request, Box::new(move |outcome| session.claimed(&reservation, outcome)));
            }
            return;
        }
        let settlements = Arc::clone(&batch.settlements);
        let reply: Reply<SettleReply> =
            Box::new(move |outcome| session.settled(batch, reservation.unwrap_or_default(), now, outcome));
        self.engine.store.settle(Arc::clone(&self.hub.queue), settlements, now, request, reply);
    }

    fn settled(&self, batch: Batch, reservation: Reservation, now: Millis, outcome: Result<SettleReply, StoreError>) {
        let reply = match outcome {
            Ok(reply) => reply,
            Err(error) => return self.not_settled(batch, &reservation, now, error),
        };
        self.healthy();
        let count = batch.runs.len();
        self.tell(batch, &reply.settled, now);
        if let Some(worker) = self.worker.lock().as_mut() {
            worker.settling = worker.settling.saturating_sub(count);
        }
        if self.hub.waits.lock().has_fresh() {
            self.engine.check_waits(&self.hub, false);
        }
        self.took(&reservation, reply.claimed);
    }

    /// Outcomes are kept and offered again until the store takes them.
    fn not_settled(&self, batch: Batch, reservation: &Reservation, now: Millis, error: StoreError) {
        let closed = error == StoreError::Closed;
        self.sick(error);
        {
            let mut worker = self.worker.lock();
            let Some(worker) = worker.as_mut() else { return };
            worker.release(reservation);
            if closed {
                worker.settling = worker.settling.saturating_sub(batch.runs.len());
            } else {
                self.unsettled.lock().push(batch);
                worker.retry_at = Some(now + RETRY_AFTER);
            }
        }
        self.engine.timer.poke();
    }

    /// Answers waits and publishes events for what was settled.
    fn tell(&self, batch: Batch, settled: &[Settled], now: Millis) {
        let waited = !self.hub.waits.lock().is_empty();
        let heard = self.engine.is_heard(&self.hub);
        if !waited && !heard && !batch.settlements.iter().any(is_unkept) {
            return;
        }
        let mut events = Vec::new();
        let mut overruled = Vec::new();
        for ((settlement, run), settled) in batch.settlements.iter().zip(&batch.runs).zip(settled) {
            let Settled::Applied(state) = *settled else { continue };
            if is_overruled(settlement, state) {
                overruled.push(settlement.id);
                continue;
            }
            let unkept = is_unkept(settlement);
            if state.is_final() && (waited || unkept) {
                let mut waits = self.hub.waits.lock();
                let waiters = waits.take(settlement.id);
                if unkept || !waiters.is_empty() {
                    let outcome = outcome_of(settlement, run, state, now);
                    if unkept {
                        waits.unkept.remember(outcome.clone());
                    }
                    drop(waits);
                    for waiter in waiters {
                        waiter.outbox.deliver(Message::Done { request: waiter.request, outcome: outcome.clone() });
                    }
                }
            }
            if heard {
                events.extend(event_of(settlement, run, state, now));
            }
        }
        self.engine.publish(&self.hub, events);
        self.tell_of_overruled(&overruled);
    }

    /// Tells of jobs that the store ended otherwise than it was asked to: it knows with which error.
    fn tell_of_overruled(&self, jobs: &[JobId]) {
        jobs.iter().for_each(|job| self.hub.waits.lock().look_up(*job));
        self.engine.tell_of_ends(&self.hub, jobs);
    }

    fn claimed(&self, reservation: &Reservation, outcome: Result<Vec<ClaimedJob>, StoreError>) {
        match outcome {
            Ok(jobs) => {
                self.healthy();
                self.took(reservation, jobs);
            }
            Err(error) => {
                let now = self.now();
                if let Some(worker) = self.worker.lock().as_mut() {
                    worker.release(reservation);
                    worker.retry_at = Some(now + RETRY_AFTER);
                }
                self.sick(error);
                self.engine.timer.poke();
            }
        }
    }

    /// Hands claimed jobs to their handlers, or back where the worker stops.
    fn took(&self, reservation: &Reservation, jobs: Vec<ClaimedJob>) {
        let now = self.now();
        let mut back = Vec::new();
        let (started, again, next) = {
            let mut worker = self.worker.lock();
            match worker.as_mut() {
                Some(worker) if worker.phase == Phase::Running => {
                    let (started, again) = worker.claimed(reservation, jobs, now);
                    (started, again, worker.next_tick())
                }
                Some(worker) => {
                    worker.release(reservation);
                    back = jobs;
                    (Vec::new(), false, now)
                }
                None => {
                    back = jobs;
                    (Vec::new(), false, now)
                }
            }
        };
        if !back.is_empty() {
            self.give_back(&back, now);
        }
        if !started.is_empty() {
            if self.engine.is_heard(&self.hub) {
                let events = started.iter().map(|(_, job)| started_event(job, now)).collect();
                self.engine.publish(&self.hub, events);
            }
            self.deliver(Message::Run { jobs: started });
            self.engine.timer.at(next);
        }
        if again {
            self.claim();
        }
        self.finish_stop();
    }

    fn give_back(&self, jobs: &[ClaimedJob], now: Millis) {
        let release = |job: &ClaimedJob| Settlement { id: job.id, token: job.token, disposition: Disposition::Release };
        let settlements = Arc::new(jobs.iter().map(release).collect());
        self.engine.store.settle(Arc::clone(&self.hub.queue), settlements, now, None, Box::new(|_| {}));
    }

    /// Held from the reservation of slots until the store has the claim.
    fn enter(&self) -> Claiming<'_> {
        self.claiming.fetch_add(1, Ordering::AcqRel);
        Claiming(&self.claiming)
    }

    /// Claims into the free slots, if there are any.
    fn claim(&self) {
        let _claiming = self.enter();
        let now = self.now();
        let claim = self.worker.lock().as_mut().and_then(|worker| worker.reserve(now));
        if claim.is_some() {
            self.send(Building::default().done(), claim, now);
        }
    }

    /// The store has jobs in these lanes.
    pub(crate) fn hint(&self, lanes: &[Arc<str>]) {
        let sensible = self.worker.lock().as_mut().is_some_and(|worker| worker.hint(lanes));
        if sensible {
            self.claim();
        }
    }

    /// Another process changed the store.
    pub(crate) fn foreign(&self, now: Millis) {
        let is_worker = match self.worker.lock().as_mut() {
            Some(worker) => {
                worker.hint_any();
                if worker.running() > 0 {
                    worker.beat_soon(now);
                }
                true
            }
            None => false,
        };
        if is_worker {
            self.claim();
        }
    }

    /// Waits for the end of a job; answered exactly once, unless forgotten first.
    pub fn wait(&self, request: u32, job: &str) {
        if self.closed.load(Ordering::Acquire) {
            return self.deliver(closed(request));
        }
        match JobRef::parse(job) {
            JobRef::Id(id) => self.wait_for(request, id, false),
            key @ JobRef::Key(_) => self.wait_for_key(request, key, job.to_owned()),
        }
    }

    fn wait_for(&self, request: u32, id: JobId, seen: bool) {
        let waiter = Waiter { outbox: Arc::clone(&self.outbox), session: self.id, request, seen };
        self.engine.wait(&self.hub, id, waiter);
        if self.closed.load(Ordering::Acquire) {
            self.answer_all_closed();
        }
    }

    fn wait_for_key(&self, request: u32, key: JobRef, name: String) {
        let Some(session) = self.arc() else { return };
        let reply: Reply<Vec<Option<JobView>>> = Box::new(move |found| match found {
            Ok(found) => match found.into_iter().next().flatten() {
                Some(view) => {
                    let id = view.id;
                    match WaitOutcome::of(view) {
                        Some(outcome) => session.deliver(Message::Done { request, outcome }),
                        None => session.wait_for(request, id, true),
                    }
                }
                None => {
                    let engine = Arc::clone(&session.engine);
                    engine.after_outcomes(move || session.answer_missing_key(request, name));
                }
            },
            Err(error) => {
                session.deliver(Message::WaitFailed { request, code: error.code(), message: error.to_string() });
            }
        });
        self.engine.store.jobs(Arc::clone(&self.hub.queue), vec![key], reply);
    }

    /// Answers a wait for a key that no job in the store has: this process may know how it ended, or else the store.
    fn answer_missing_key(self: Arc<Self>, request: u32, name: String) {
        let unkept = self.hub.waits.lock().unkept.find_key(&name).cloned();
        if let Some(outcome) = unkept {
            return self.deliver(Message::Done { request, outcome });
        }
        let (store, queue) = (Arc::clone(&self.engine.store), Arc::clone(&self.hub.queue));
        let key = JobRef::Key(name.as_str().into());
        let reply: Reply<Vec<Option<Departed>>> = Box::new(move |found| {
            self.deliver(match found.map(|found| found.into_iter().next().flatten()) {
                Ok(Some(departed)) => Message::Done { request, outcome: departed.into() },
                Ok(None) => gone(request, &name, &self.hub.queue),
                Err(error) => Message::WaitFailed { request, code: error.code(), message: error.to_string() },
            });
        });
        store.departed(queue, vec![key], reply);
    }

    /// Takes a wait back.
    pub fn forget(&self, request: u32) {
        self.hub.waits.lock().forget(self.id, request);
    }

    fn answer_all_closed(&self) {
        let waiters = self.hub.waits.lock().take_session(self.id);
        for waiter in waiters {
            self.deliver(closed(waiter.request));
        }
    }

    /// Starts the worker of the session; answers when the store knows it. Started twice, the second
    /// call changes the lanes only.
    pub fn start(&self, options: WorkerOptions, reply: Reply<()>) {
        let now = self.now();
        if self.closed.load(Ordering::Acquire) {
            return reply(Err(StoreError::Closed));
        }
        let first = {
            let mut worker = self.worker.lock();
            match worker.as_mut() {
                Some(worker) => {
                    worker.serve(options.lanes);
                    None
                }
                None => {
                    let id = WorkerId(self.engine.random.id());
                    let fresh = Worker::new(id, Arc::clone(&self.hub.queue), Arc::clone(&self.name), options, now);
                    worker.insert(fresh).beat(now)
                }
            }
        };
        match (first, self.arc()) {
            (Some((number, beat)), Some(session)) => {
                let reply: Reply<master_agent_store::BeatReply> = Box::new(move |outcome| {
                    reply(outcome.as_ref().map(|_| ()).map_err(Clone::clone));
                    session.beaten(number, outcome);
                    session.claim();
                });
                self.engine.store.beat(beat, reply);
            }
            _ => reply(Ok(())),
        }
        self.claim();
        self.engine.timer.poke();
    }

    /// Changes what the worker serves.
    pub fn serve(&self, lanes: Vec<Lane>) {
        if let Some(worker) = self.worker.lock().as_mut() {
            worker.serve(lanes);
        }
        self.claim();
    }

    /// Drains the worker: no new claims, running handlers may end until `timeout` ms from now, the
    /// others are aborted and their jobs given back. Answers with how many were given back.
    pub fn stop(&self, timeout: Millis, reply: impl FnOnce(Result<u64, StoreError>) + Send + 'static) {
        let until = self.now().saturating_add(timeout.max(0));
        let is_worker = match self.worker.lock().as_mut() {
            Some(worker) => {
                let until = match worker.phase {
                    Phase::Draining { until: earlier } => until.min(earlier),
                    Phase::Running => until,
                };
                worker.phase = Phase::Draining { until };
                let mut stopping = self.stopping.lock();
                let stopping = stopping.get_or_insert_with(|| Stopping { replies: Vec::new(), released: 0 });
                stopping.replies.push(Box::new(reply));
                None
            }
            None => Some(reply),
        };
        if let Some(reply) = is_worker {
            return reply(Ok(0));
        }
        self.finish_stop();
        self.engine.timer.poke();
    }

    /// Ends a drain once nothing runs and everything is settled.
    ///
    /// A store that fails for too long ends it, too: what is not settled then is given back with the worker's lease.
    fn finish_stop(&self) {
        let (id, drained) = {
            let mut worker = self.worker.lock();
            let Some(draining) = worker.as_ref() else { return };
            let (id, drained) = (draining.id, draining.is_drained());
            if draining.phase == Phase::Running || !(drained || draining.is_overdue(self.now())) {
                return;
            }
            *worker = None;
            (id, drained)
        };
        let Some(Stopping { replies, released }) = self.stopping.lock().take() else { return };
        if !drained {
            self.unsettled.lock().clear();
            let error = self.trouble.lock().clone().unwrap_or(StoreError::Closed);
            for reply in replies {
                reply(Err(error.clone()));
            }
            return self.engine.store.leave(id, self.now(), Box::new(|_| {}));
        }
        let reply: Reply<()> = Box::new(move |outcome| {
            for reply in replies {
                reply(outcome.as_ref().map(|()| released).map_err(Clone::clone));
            }
        });
        self.engine.store.leave(id, self.now(), reply);
    }

    /// Notes progress or a log line of a running job; `false` if the handler no longer holds it.
    pub fn note(&self, handle: Handle, note: NoteKind, reply: Reply<bool>) {
        let now = self.now();
        let noted = {
            let mut worker = self.worker.lock();
            worker.as_mut().and_then(|worker| {
                let run = worker.run(handle)?;
                Some((run.job.id, run.job.token, progress_event(&run.job, &note, now)))
            })
        };
        let Some((id, token, event)) = noted else { return reply(Ok(false)) };
        let Some(session) = self.arc() else { return };
        let reply: Reply<Vec<Settled>> = Box::new(move |outcome| {
            let held = outcome.map(|settled| matches!(settled.first(), Some(Settled::Applied(_))));
            if let (Ok(true), Some(event)) = (&held, event)
                && session.engine.is_heard(&session.hub)
            {
                session.engine.publish(&session.hub, vec![event]);
            }
            reply(held);
        });
        self.engine.store.note(vec![Note { id, token, note }], reply);
    }

    /// Restarts the time limit of a running job; `false` if the handler no longer holds it.
    pub fn heartbeat(&self, handle: Handle) -> bool {
        let now = self.now();
        self.worker.lock().as_mut().is_some_and(|worker| worker.heartbeat(handle, now))
    }

    /// The event loop lives.
    pub fn alive(&self) {
        let now = self.now();
        let was_silent = self.worker.lock().as_mut().is_some_and(|worker| worker.alive(now));
        if was_silent {
            self.claim();
        }
    }

    /// Turns events of the queue on or off for this session.
    pub fn events(&self, on: bool, reply: Reply<()>) {
        if self.wants_events.swap(on, Ordering::AcqRel) == on {
            return reply(Ok(()));
        }
        let listening = &self.hub.listening;
        let changed =
            if on { listening.fetch_add(1, Ordering::AcqRel) == 0 } else { listening.fetch_sub(1, Ordering::AcqRel) == 1 };
        if changed {
            self.engine.store.listen(Arc::clone(&self.hub.queue), on, reply);
            self.engine.timer.poke();
        } else {
            reply(Ok(()));
        }
    }

    pub(crate) fn wants_events(&self) -> bool {
        self.wants_events.load(Ordering::Acquire)
    }

    pub(crate) fn is_settling(&self) -> bool {
        self.worker.lock().as_ref().is_some_and(|worker| worker.settling > 0)
    }

    pub(crate) fn is_running(&self, job: JobId) -> bool {
        self.worker.lock().as_ref().is_some_and(|worker| worker.is_running(job))
    }

    /// Carries out a change of the queue.
    pub fn control(&self, control: Control, reply: Reply<Controlled>) {
        let Some(session) = self.arc() else { return };
        let (cancels, takes) =
            (matches!(control, Control::Cancel { .. }), matches!(control, Control::Obliterate { force: true }));
        let reply: Reply<Controlled> = Box::new(move |outcome| {
            if outcome.as_ref().is_ok_and(|done| (takes || cancels && done.ended.is_empty()) && done.affected > 0) {
                // A job that runs here need not wait for the next beat.
                for session in session.hub.sessions() {
                    session.beat_now();
                }
            }
            if cancels && let Ok(done) = &outcome {
                session.engine.tell_of_ends(&session.hub, &done.ended);
            }
            reply(outcome);
        });
        self.engine.store.control(Arc::clone(&self.hub.queue), control, self.now(), reply);
    }

    fn beat_now(&self) {
        let now = self.now();
        if let Some(worker) = self.worker.lock().as_mut() {
            worker.beat_soon(now);
        }
        self.engine.timer.poke();
    }

    /// Does what is due; answers when it wants to be called again, `None` without a worker.
    pub(crate) fn tick(&self, now: Millis) -> Option<Millis> {
        let (overdue, beat, retry) = {
            let mut worker = self.worker.lock();
            let worker = worker.as_mut()?;
            let retry = worker.retry_at.is_some_and(|at| at <= now);
            if retry {
                worker.retry_at = None;
            }
            (worker.overdue(now), worker.beat(now), retry)
        };
        self.give_up(overdue, now);
        if let (Some((number, beat)), Some(session)) = (beat, self.arc()) {
            self.engine.store.beat(beat, Box::new(move |outcome| session.beaten(number, outcome)));
        }
        if retry {
            let unsettled = std::mem::take(&mut *self.unsettled.lock());
            for batch in unsettled {
                self.send(batch, None, now);
            }
            self.claim();
        }
        self.finish_stop();
        self.worker.lock().as_ref().map(Worker::next_tick)
    }

    fn beaten(&self, number: u64, outcome: Result<master_agent_store::BeatReply, StoreError>) {
        match outcome {
            Ok(reply) => {
                self.healthy();
                let now = self.now();
                let (lost, astray) = {
                    let mut worker = self.worker.lock();
                    let Some(worker) = worker.as_mut() else { return };
                    let unsettled = self.unsettled.lock();
                    let ids: HashSet<JobId> = unsettled.iter().flat_map(|batch| &batch.runs).map(|run| run.job.id).collect();
                    (worker.beaten(number, &reply), worker.astray(&reply, |job| ids.contains(&job), now))
                };
                self.give_up(lost, now);
                self.release_strays(astray, now);
            }
            Err(error) => self.sick(error),
        }
    }

    /// Lets the store have again what only it takes for held.
    fn release_strays(&self, strays: Vec<(JobId, Token)>, now: Millis) {
        let Some(session) = self.arc().filter(|_| !strays.is_empty()) else { return };
        let release = |(id, token)| Settlement { id, token, disposition: Disposition::Release };
        let settlements = Arc::new(strays.into_iter().map(release).collect::<Vec<_>>());
        let of = Arc::clone(&settlements);
        // Where it fails, a later beat finds them again.
        let reply: Reply<SettleReply> = Box::new(move |outcome| {
            let settled = outcome.map(|reply| reply.settled).unwrap_or_default();
            let ended =
                of.iter().zip(settled).filter(|(_, settled)| matches!(settled, Settled::Applied(state) if state.is_final()));
            session.tell_of_overruled(&ended.map(|(settlement, _)| settlement.id).collect::<Vec<_>>());
        });
        self.engine.store.settle(Arc::clone(&self.hub.queue), settlements, now, None, reply);
    }

    /// Takes jobs from handlers that have not ended.
    fn give_up(&self, handles: Vec<(Handle, GiveUp)>, now: Millis) {
        if handles.is_empty() {
            return;
        }
        let _claiming = self.enter();
        let mut batch = Building::default();
        let mut aborted = Vec::new();
        let claim = {
            let mut worker = self.worker.lock();
            let Some(worker) = worker.as_mut() else { return };
            for (handle, why) in handles {
                let Some(run) = worker.end(handle) else { continue };
                let closed = why == GiveUp::Closed;
                let (error, disposition) = give_up(&run.job, why, now, self.engine.random.unit());
                aborted.push((handle, error));
                if let Some(disposition) = disposition {
                    if closed && let Some(stopping) = self.stopping.lock().as_mut() {
                        stopping.released += 1;
                    }
                    batch.push(run, disposition);
                }
            }
            worker.settling += batch.settlements.len();
            worker.reserve(now)
        };
        for (handle, error) in aborted {
            self.deliver(Message::Abort { handle, error });
        }
        self.send(batch.done(), claim, now);
    }

    /// Answers every open wait, stops the worker and refuses what comes later. The last session of a store
    /// closes it. Answers with how many jobs were given back.
    pub fn close(&self, timeout: Millis, reply: impl FnOnce(Result<u64, StoreError>) + Send + 'static) {
        self.closed.store(true, Ordering::Release);
        self.answer_all_closed();
        self.events(false, Box::new(|_| {}));
        let session = self.arc();
        self.stop(timeout, move |stopped| match session {
            Some(session) => session.release(Box::new(move |closed| reply(closed.and(stopped)))),
            None => reply(stopped),
        });
    }

    /// Lets go of the engine, once.
    fn release(&self, reply: Reply<()>) {
        if self.released.swap(true, Ordering::AcqRel) {
            reply(Ok(()));
        } else {
            self.engine.session_closed(reply);
        }
    }

    /// JavaScript has taken every run up to this handle out of the mailbox.
    pub fn begun(&self, handle: Handle) {
        if let Some(worker) = self.worker.lock().as_mut() {
            worker.begun = handle;
        }
    }

    /// Gives everything back at once, for an environment that ends. What had begun counts as stalled: a job
    /// whose handler ends its process would else be run for ever. Answers when the store has it.
    pub fn abandon(&self, reply: Reply<()>) {
        self.closed.store(true, Ordering::Release);
        self.events(false, Box::new(|_| {}));
        let now = self.now();
        let mut batch = Building::default();
        let id = {
            let mut worker = self.worker.lock();
            worker.as_mut().map(|worker| {
                worker.phase = Phase::Draining { until: now };
                for handle in worker.all() {
                    let Some(run) = worker.end(handle).filter(|_| handle <= worker.begun) else { continue };
                    let (_, disposition) = give_up(&run.job, GiveUp::Orphaned, now, 0.0);
                    if let Some(disposition) = disposition {
                        batch.push(run, disposition);
                    }
                }
                worker.settling += batch.settlements.len();
                worker.id
            })
        };
        // A claim that another thread has reserved and not handed over yet must not come after the worker has left.
        let begun = Instant::now();
        while self.claiming.load(Ordering::Acquire) > 0 && begun.elapsed() < HAND_OVER {
            std::thread::yield_now();
        }
        let Some(session) = self.arc() else { return reply(Ok(())) };
        let batch = batch.done();
        if !batch.settlements.is_empty() {
            self.send(batch, None, now);
        }
        match id {
            Some(id) => self.engine.store.leave(id, now, Box::new(move |_| session.release(reply))),
            None => session.release(reply),
        }
    }

    /// The store says itself how it is doing.
    pub(crate) fn told_health(&self, error: Option<&StoreError>) {
        match error {
            Some(error) => self.unhealthy(error.clone()),
            None => {
                self.healthy();
                let now = self.now();
                if let Some(worker) = self.worker.lock().as_mut() {
                    worker.back(now);
                }
                self.engine.timer.poke();
            }
        }
    }

    fn sick(&self, error: StoreError) {
        *self.trouble.lock() = Some(error.clone());
        self.unhealthy(error);
    }

    fn unhealthy(&self, error: StoreError) {
        if !self.unhealthy.swap(true, Ordering::AcqRel) {
            self.deliver(Message::Health { error: Some(error) });
        }
    }

    fn healthy(&self) {
        if self.unhealthy.load(Ordering::Acquire) && self.unhealthy.swap(false, Ordering::AcqRel) {
            self.deliver(Message::Health { error: None });
        }
    }
}

fn closed(request: u32) -> Message {
    let message = "the queue was closed before the job ended; the job itself goes on".to_owned();
    Message::WaitFailed { request, code: ErrorCode::Closed, message }
}

/// Whether the store keeps nothing of the end, or so few that it may be gone before a wait for it begins.
fn is_unkept(settlement: &Settlement) -> bool {
    match &settlement.disposition {
        Disposition::Complete { keep, .. } | Disposition::End { keep, .. } => keep.is_brief(),
        _ => false,
    }
}

/// Whether the store ended the job otherwise than it was asked to: somebody had cancelled it.
fn is_overruled(settlement: &Settlement, state: JobState) -> bool {
    state == JobState::Cancelled && !matches!(settlement.disposition, Disposition::Complete { .. } | Disposition::End { .. })
}

fn outcome_of(settlement: &Settlement, run: &Run, state: JobState, now: Millis) -> WaitOutcome {
    let (value, failures) = match &settlement.disposition {
        Disposition::Complete { result_json, .. } => (result_json.clone(), run.job.failures),
        Disposition::End { error_json, failed, .. } => (Some(error_json.clone()), run.job.failures + u32::from(*failed)),
        Disposition::Retry { error_json, .. } | Disposition::Stall { error_json } => (Some(error_json.clone()), run.job.failures),
        Disposition::Release => (None, run.job.failures),
    };
    WaitOutcome {
        id: run.job.id,
        key: run.job.key.clone(),
        task_id: run.job.task_id.clone(),
        parent_id: run.job.parent_id.clone(),
        lane: Arc::clone(&run.job.lane),
        state,
        attempts: attempts(state, failures),
        added_at: run.job.added_at,
        started_at: Some(run.started_at),
        finished_at: now,
        value_json: value.unwrap_or_else(|| "null".into()),
    }
}

fn event(job: &ClaimedJob, kind: EventKind, at: Millis, value_json: Option<Box<str>>) -> Event {
    Event {
        kind,
        id: job.id,
        key: job.key.clone(),
        task_id: job.task_id.clone(),
        lane: Arc::clone(&job.lane),
        attempt: job.failures + 1,
        at,
        value_json,
    }
}

fn started_event(job: &ClaimedJob, now: Millis) -> Event {
    event(job, EventKind::Started, now, None)
}

fn progress_event(job: &ClaimedJob, note: &NoteKind, now: Millis) -> Option<Event> {
    match note {
        NoteKind::Progress { value_json } => Some(event(job, EventKind::Progress, now, Some(value_json.clone()))),
        NoteKind::Log { .. } => None,
    }
}

fn event_of(settlement: &Settlement, run: &Run, state: JobState, now: Millis) -> Option<Event> {
    let (kind, value) = match &settlement.disposition {
        Disposition::Complete { result_json, .. } => (EventKind::Completed, result_json.clone()),
        Disposition::End { error_json, .. } => (EventKind::Failed, Some(error_json.clone())),
        Disposition::Stall { error_json } if state.is_final() => (EventKind::Failed, Some(error_json.clone())),
        Disposition::Stall { error_json } => (EventKind::Retrying, Some(retrying(error_json, 0))),
        Disposition::Retry { run_at, error_json } => (EventKind::Retrying, Some(retrying(error_json, run_at - now))),
        Disposition::Release => return None,
    };
    Some(event(&run.job, kind, now, value))
}

fn retrying(error_json: &str, delay: Millis) -> Box<str> {
    format!(r#"{{"error":{error_json},"delay":{}}}"#, delay.max(0)).into()
}
