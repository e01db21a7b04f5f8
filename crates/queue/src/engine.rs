//! One engine per store and process: the timer, the ears on the store, and the waits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use master_agent_core::{Clock, ErrorCode, JobId, JobRef, Millis, Random};
use master_agent_store::state::{StateStore, Swept};
use master_agent_store::{Departed, JobStore, JobView, Maintained, Reply, StoreError, StoreListener};
use parking_lot::Mutex;

use crate::message::{Event, Message, Outbox, WaitOutcome};
use crate::session::{Session, SessionOptions};
use crate::timer::Timer;
use crate::waits::{Waiter, Waits};

/// How often what has expired in the state is removed for good: at the most, at the least, and how much at once.
/// It is absent for everybody already, so that nothing depends on when.
const SWEEP_SOONEST: Millis = 1_000;
const SWEEP_LATEST: Millis = 60_000;
const SWEEP_SLICE: usize = master_agent_store::state::MAX_PAGE;

/// Behind the notices of the store: how late a wait is answered whose notice was lost.
const POLL_WAITS: Millis = 1_000;

/// The queue engine of one store in this process.
pub struct Engine {
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) timer: Arc<Timer>,
    hubs: Mutex<HashMap<Arc<str>, Arc<Hub>>>,
    maintenance: Mutex<Due>,
    poll_waits_at: Mutex<Millis>,
    state: OnceLock<Arc<dyn StateStore>>,
    sweeping: Mutex<Due>,
    next_session: AtomicU64,
    // Sessions that have not been closed; `None` once the last of them was.
    open_sessions: Mutex<Option<usize>>,
}

/// Work of the store that comes again, one at a time.
struct Due {
    at: Millis,
    under_way: bool,
}

impl Due {
    const AT_ONCE: Self = Self { at: Millis::MIN, under_way: false };

    /// Begins the work if it is due, or answers when to look again.
    fn begin(&mut self, now: Millis) -> Result<(), Millis> {
        if self.under_way {
            return Err(Millis::MAX);
        }
        if now < self.at {
            return Err(self.at);
        }
        self.under_way = true;
        Ok(())
    }

    fn no_later(&mut self, than: Millis) {
        self.at = self.at.min(than);
    }

    fn end(&mut self, next: Millis) {
        *self = Self { at: next, under_way: false };
    }
}

/// What the sessions of one queue share.
pub(crate) struct Hub {
    pub(crate) queue: Arc<str>,
    pub(crate) waits: Mutex<Waits>,
    sessions: Mutex<Vec<Weak<Session>>>,
    /// Sessions that want events.
    pub(crate) listening: AtomicUsize,
}

impl Hub {
    pub(crate) fn sessions(&self) -> Vec<Arc<Session>> {
        let mut sessions = self.sessions.lock();
        sessions.retain(|session| session.strong_count() > 0);
        sessions.iter().filter_map(Weak::upgrade).collect()
    }

    fn is_settling(&self) -> bool {
        self.sessions().iter().any(|session| session.is_settling())
    }

    fn is_running(&self, job: JobId) -> bool {
        self.sessions().iter().any(|session| session.is_running(job))
    }
}

impl Engine {
    /// An engine over `store`. Its thread ends when the engine is dropped.
    pub fn start(store: Arc<dyn JobStore>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> std::io::Result<Arc<Self>> {
        let engine = Arc::new(Self {
            store,
            clock,
            random,
            timer: Timer::new(),
            hubs: Mutex::default(),
            maintenance: Mutex::new(Due::AT_ONCE),
            poll_waits_at: Mutex::new(Millis::MIN),
            state: OnceLock::new(),
            sweeping: Mutex::new(Due::AT_ONCE),
            next_session: AtomicU64::new(1),
            open_sessions: Mutex::new(Some(0)),
        });
        engine.listen();
        engine.timer.start(Arc::downgrade(&engine), Arc::clone(&engine.clock))?;
        Ok(engine)
    }

    fn listen(self: &Arc<Self>) {
        let listener: Weak<dyn StoreListener> = Arc::downgrade(self) as Weak<dyn StoreListener>;
        self.store.set_listener(listener);
    }

    /// Sweeps this state beside the maintenance of the jobs, from now on.
    pub fn sweep(&self, state: Arc<dyn StateStore>) {
        let _ = self.state.set(state);
        self.timer.poke();
    }

    /// A new session on a queue of the store; `None` if the engine has been closed with its last session.
    pub fn session(self: &Arc<Self>, options: SessionOptions, outbox: Arc<dyn Outbox>) -> Option<Arc<Session>> {
        *self.open_sessions.lock().as_mut()? += 1;
        let hub = self.hub(&options.queue);
        let id = self.next_session.fetch_add(1, Ordering::Relaxed);
        let session = Session::new(Arc::clone(self), Arc::clone(&hub), id, options, outbox);
        hub.sessions.lock().push(Arc::downgrade(&session));
        Some(session)
    }

    /// A session is closed. The last one closes the store, so that its files are left tidy.
    pub(crate) fn session_closed(&self, reply: Reply<()>) {
        let last = {
            let mut open = self.open_sessions.lock();
            match open.as_mut() {
                Some(1) => {
                    *open = None;
                    true
                }
                Some(more) => {
                    *more = more.saturating_sub(1);
                    false
                }
                None => false,
            }
        };
        if last {
            self.store.close(reply);
        } else {
            reply(Ok(()));
        }
    }

    /// Looks at what is due now, for a clock that was moved by hand.
    pub fn wake(&self) {
        self.timer.poke();
    }

    /// The store, for what needs no engine.
    pub fn store(&self) -> &Arc<dyn JobStore> {
        &self.store
    }

    fn hub(&self, queue: &Arc<str>) -> Arc<Hub> {
        let mut hubs = self.hubs.lock();
        let hub = hubs.entry(Arc::clone(queue)).or_insert_with(|| {
            Arc::new(Hub {
                queue: Arc::clone(queue),
                waits: Mutex::default(),
                sessions: Mutex::default(),
                listening: AtomicUsize::new(0),
            })
        });
        Arc::clone(hub)
    }

    fn hubs(&self) -> Vec<Arc<Hub>> {
        self.hubs.lock().values().cloned().collect()
    }

    fn find_hub(&self, queue: &str) -> Option<Arc<Hub>> {
        self.hubs.lock().get(queue).cloned()
    }

    /// Does what is due and answers when it wants to be called again.
    pub(crate) fn tick(self: &Arc<Self>, now: Millis) -> Millis {
        let mut next = Millis::MAX;
        let mut workers = false;
        let hubs = self.hubs();
        for hub in &hubs {
            for session in hub.sessions() {
                if let Some(at) = session.tick(now) {
                    workers = true;
                    next = next.min(at);
                }
            }
        }
        // With a maintenance come the events of other processes.
        if workers || hubs.iter().any(|hub| hub.listening.load(Ordering::Acquire) > 0) {
            next = next.min(self.maintain(now)).min(self.sweep_state(now));
        }
        let waited: Vec<&Arc<Hub>> = hubs.iter().filter(|hub| !hub.waits.lock().is_empty()).collect();
        if !waited.is_empty() {
            let due = {
                let mut at = self.poll_waits_at.lock();
                let due = now >= *at;
                if due {
                    *at = now + POLL_WAITS;
                }
                next = next.min(*at);
                due
            };
            if due {
                for hub in waited {
                    self.check_waits(hub, true);
                }
            }
        }
        for hub in &hubs {
            let mut waits = hub.waits.lock();
            if waits.is_empty() && std::mem::take(&mut waits.announced) {
                self.store.await_ends(&hub.queue, false);
            }
        }
        next
    }

    /// Starts a maintenance if one is due and answers when the next is.
    fn maintain(self: &Arc<Self>, now: Millis) -> Millis {
        if let Err(later) = self.maintenance.lock().begin(now) {
            return later;
        }
        let engine = Arc::clone(self);
        self.store.maintain(now, Box::new(move |outcome| engine.maintained(now, outcome)));
        Millis::MAX
    }

    fn maintained(self: &Arc<Self>, now: Millis, outcome: Result<Maintained, StoreError>) {
        let done = outcome.unwrap_or_default();
        let next = now + self.store.maintain_every();
        self.maintenance.lock().end(done.next_due.map_or(next, |due| due.clamp(now + 1, next)));
        for (queue, job) in done.dead {
            self.ended(&queue, &[job]);
            if let Some(hub) = self.find_hub(&queue) {
                self.tell_of_ends(&hub, &[job]);
            }
        }
        self.timer.poke();
    }

    /// Starts a sweep if one is due and answers when the next is.
    fn sweep_state(self: &Arc<Self>, now: Millis) -> Millis {
        let Some(state) = self.state.get() else { return Millis::MAX };
        if let Err(later) = self.sweeping.lock().begin(now) {
            return later;
        }
        let engine = Arc::clone(self);
        let reply: Reply<Swept> = Box::new(move |outcome| {
            // A store that fails is asked again like one that has nothing to sweep.
            let swept = outcome.unwrap_or_default();
            let latest = now + SWEEP_LATEST;
            let next = swept.next.map_or(latest, |next| next.clamp(now + SWEEP_SOONEST, latest));
            engine.sweeping.lock().end(if swept.more { now } else { next });
            engine.timer.poke();
        });
        state.sweep(now, SWEEP_SLICE, reply);
        Millis::MAX
    }

    /// Publishes the ends of jobs that ended while no handler held them.
    pub(crate) fn tell_of_ends(self: &Arc<Self>, hub: &Arc<Hub>, jobs: &[JobId]) {
        if jobs.is_empty() || !self.is_heard(hub) {
            return;
        }
        let (engine, of) = (Arc::clone(self), Arc::clone(hub));
        let refs = jobs.iter().map(|job| JobRef::Id(*job)).collect();
        let reply: Reply<Vec<Option<JobView>>> = Box::new(move |found| {
            let events = found.unwrap_or_default().into_iter().flatten().filter_map(Event::of_end).collect();
            engine.publish(&of, events);
        });
        self.store.jobs(Arc::clone(&hub.queue), refs, reply);
    }

    /// Registers a wait. It is answered when the job ends or is found to have ended or gone.
    pub(crate) fn wait(self: &Arc<Self>, hub: &Arc<Hub>, job: JobId, mut waiter: Waiter) {
        waiter.seen |= hub.is_running(job);
        {
            let mut waits = hub.waits.lock();
            if !std::mem::replace(&mut waits.announced, true) {
                self.store.await_ends(&hub.queue, true);
            }
            waits.add(job, waiter);
            self.timer.at(self.clock.now() + POLL_WAITS);
        }
        // A job that runs in this process is answered when it is settled.
        if !hub.is_running(job) {
            hub.waits.lock().look_up(job);
            // Most likely it is among what is being settled, which answers it. If not, it is looked up right after.
            if !hub.is_settling() {
                self.check_waits(hub, false);
            }
        }
    }

    /// Looks jobs up that somebody waits for: the new ones, and a slice of all others if `all`.
    pub(crate) fn check_waits(self: &Arc<Self>, hub: &Arc<Hub>, all: bool) {
        let slice = {
            let mut waits = hub.waits.lock();
            if waits.looking {
                waits.again |= all;
                return;
            }
            let slice = waits.next_slice(all);
            waits.looking = !slice.is_empty();
            slice
        };
        if slice.is_empty() {
            return;
        }
        let (engine, of) = (Arc::clone(self), Arc::clone(hub));
        let refs = slice.iter().map(|job| JobRef::Id(*job)).collect();
        self.store.jobs(Arc::clone(&hub.queue), refs, Box::new(move |found| engine.looked_up(&of, &slice, found)));
    }

    fn looked_up(self: &Arc<Self>, hub: &Arc<Hub>, jobs: &[JobId], found: Result<Vec<Option<JobView>>, StoreError>) {
        let mut missing = Vec::new();
        // A store that fails now is asked again by the poll.
        for (job, view) in jobs.iter().zip(found.unwrap_or_default()) {
            match view {
                Some(view) => match WaitOutcome::of(view) {
                    Some(outcome) => answer(hub, *job, &outcome),
                    None => hub.waits.lock().saw(*job),
                },
                None => missing.push(*job),
            }
        }
        if !missing.is_empty() {
            let (engine, of) = (Arc::clone(self), Arc::clone(hub));
            self.after_outcomes(move || engine.answer_missing(&of, missing));
        }
        let again = {
            let mut waits = hub.waits.lock();
            waits.looking = false;
            let again = std::mem::take(&mut waits.again);
            if !again && !waits.has_fresh() {
                return;
            }
            again
        };
        self.check_waits(hub, again);
    }

    /// Answers waits for jobs that are not in the store: this process may know how they ended, or else the store.
    fn answer_missing(&self, hub: &Arc<Hub>, mut jobs: Vec<JobId>) {
        jobs.retain(|job| {
            let unkept = hub.waits.lock().unkept.find(*job).cloned();
            if let Some(outcome) = &unkept {
                answer(hub, *job, outcome);
            }
            unkept.is_none()
        });
        if jobs.is_empty() {
            return;
        }
        let of = Arc::clone(hub);
        let refs = jobs.iter().map(|job| JobRef::Id(*job)).collect();
        let reply: Reply<Vec<Option<Departed>>> = Box::new(move |found| {
            // A store that fails now is asked again by the poll.
            for (job, departed) in jobs.iter().zip(found.unwrap_or_default()) {
                match departed {
                    Some(departed) => answer(&of, *job, &departed.into()),
                    None => answer_gone(&of, *job),
                }
            }
        });
        self.store.departed(Arc::clone(&hub.queue), refs, reply);
    }

    /// Calls `then` when the outcomes of everything that this process has written so far are known here: a look at the
    /// store can be ahead of them, and miss a job whose end is not kept.
    pub(crate) fn after_outcomes(&self, then: impl FnOnce() + Send + 'static) {
        self.store.note(Vec::new(), Box::new(move |_| then()));
    }

    /// Hands events to the sessions of this process that want them, and to other processes.
    pub(crate) fn publish(&self, hub: &Arc<Hub>, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let events = Arc::new(events);
        for session in hub.sessions() {
            if session.wants_events() {
                session.deliver(Message::Events { events: Arc::clone(&events) });
            }
        }
        if self.store.is_heard(&hub.queue) {
            let mut packed = String::from("[");
            for event in events.iter() {
                if packed.len() > 1 {
                    packed.push(',');
                }
                event.write_json(&mut packed);
            }
            packed.push(']');
            self.store.publish(Arc::clone(&hub.queue), packed.into());
        }
    }

    /// Whether anybody wants to hear of what happens in the queue.
    pub(crate) fn is_heard(&self, hub: &Hub) -> bool {
        hub.listening.load(Ordering::Acquire) > 0 || self.store.is_heard(&hub.queue)
    }
}

/// Answers all waits for a job that ended.
pub(crate) fn answer(hub: &Hub, job: JobId, outcome: &WaitOutcome) {
    let waiters = hub.waits.lock().take(job);
    for waiter in waiters {
        waiter.outbox.deliver(Message::Done { request: waiter.request, outcome: outcome.clone() });
    }
}

fn answer_gone(hub: &Hub, job: JobId) {
    let waiters = hub.waits.lock().take(job);
    for waiter in waiters {
        let name = job.to_string();
        let tell = if waiter.seen { removed } else { gone };
        waiter.outbox.deliver(tell(waiter.request, &name, &hub.queue));
    }
}

fn removed(request: u32, job: &str, queue: &str) -> Message {
    let message = format!(
        "job {job} was removed from queue {queue} before the wait was answered, or its end was not kept (see removeOnComplete and removeOnFail)"
    );
    Message::WaitFailed { request, code: ErrorCode::JobRemoved, message }
}

pub(crate) fn gone(request: u32, job: &str, queue: &str) -> Message {
    let message = format!(
        "job {job} is not in queue {queue}: it never was, it was removed, or its end was not kept (see removeOnComplete and removeOnFail)"
    );
    Message::WaitFailed { request, code: ErrorCode::JobNotFound, message }
}

impl StoreListener for Engine {
    fn lanes_ready(&self, queue: &Arc<str>, lanes: &[Arc<str>]) {
        let Some(hub) = self.find_hub(queue) else { return };
        for session in hub.sessions() {
            session.hint(lanes);
        }
    }

    fn due(&self, due: Millis) {
        self.maintenance.lock().no_later(due);
        self.timer.at(due);
    }

    fn ended(&self, queue: &Arc<str>, jobs: &[JobId]) {
        let Some(hub) = self.find_hub(queue) else { return };
        let waited = {
            let mut waits = hub.waits.lock();
            if waits.is_empty() {
                return;
            }
            for job in jobs {
                waits.look_up(*job);
            }
            true
        };
        if waited {
            // The timer thread has the engine in an `Arc`, which looking up needs.
            *self.poll_waits_at.lock() = Millis::MIN;
            self.timer.poke();
        }
    }

    fn health(&self, error: Option<&StoreError>) {
        for hub in self.hubs() {
            for session in hub.sessions() {
                session.told_health(error);
            }
        }
    }

    fn foreign(&self) {
        let now = self.clock.now();
        let mut waited = false;
        for hub in self.hubs() {
            waited |= !hub.waits.lock().is_empty();
            for session in hub.sessions() {
                session.foreign(now);
            }
        }
        // Another process may have added a delayed job, or died.
        self.maintenance.lock().no_later(now);
        if waited {
            *self.poll_waits_at.lock() = Millis::MIN;
        }
        self.timer.poke();
    }

    fn events(&self, queue: &Arc<str>, events_json: &str) {
        let Some(hub) = self.find_hub(queue) else { return };
        let events_json: Arc<str> = events_json.into();
        for session in hub.sessions() {
            if session.wants_events() {
                session.deliver(Message::PackedEvents { events_json: Arc::clone(&events_json) });
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.timer.stop();
    }
}
