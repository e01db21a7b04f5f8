//! The reference of the port: a [`JobStore`] in memory, simple rather than fast.
//!
//! [`state`] says what every operation does, in plain loops over plain maps, and is what adapters are
//! compared with. This file gives it the face of a store: a lock, replies, listeners and handles. Nothing
//! here survives the process; a second [`MemoryStore::handle`] stands for a second process on the same place.

mod control;
mod job;
mod lease;
mod state;
mod view;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use master_agent_core::{JobRef, Millis, WorkerId};
use parking_lot::Mutex;

pub(crate) use state::{Effects, State};

use crate::{
    BeatReply, ClaimRequest, ClaimedJob, Control, Controlled, Departed, Enqueued, JobStore, JobView, ListQuery, LogLine,
    Maintained, NewJob, Note, Page, QueueCounts, Reply, SettleReply, Settled, Settlement, StoreError, StoreListener, WorkerBeat,
    WorkerView,
};

/// A store that lives in memory.
///
/// ```
/// use master_agent_store::model::MemoryStore;
/// use master_agent_store::{JobStore, call};
///
/// let store = MemoryStore::new();
/// let counts = call(|reply| store.counts("tasks".into(), reply));
/// assert!(counts.is_ok_and(|counts| counts.lanes.is_empty()));
/// ```
pub struct MemoryStore {
    place: Arc<Place>,
    seat: Arc<Seat>,
}

/// What all handles share.
#[derive(Default)]
struct Place {
    state: Mutex<State>,
    seats: Mutex<Vec<Weak<Seat>>>,
}

/// What one handle has of its own.
#[derive(Default)]
struct Seat {
    closed: AtomicBool,
    listener: Mutex<Option<Weak<dyn StoreListener>>>,
    listens: Mutex<BTreeSet<Arc<str>>>,
}

impl Seat {
    fn listener(&self) -> Option<Arc<dyn StoreListener>> {
        self.listener.lock().as_ref().and_then(Weak::upgrade)
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Arc<Self> {
        Self::sit(Arc::default())
    }

    /// Another handle on the same jobs, as another process would have. It also works when this one is closed.
    pub fn handle(&self) -> Arc<Self> {
        Self::sit(self.place.clone())
    }

    fn sit(place: Arc<Place>) -> Arc<Self> {
        let seat = Arc::new(Seat::default());
        place.seats.lock().push(Arc::downgrade(&seat));
        Arc::new(Self { place, seat })
    }

    /// Carries out a change and then, with no lock held, tells the listeners and answers.
    fn change<T>(&self, reply: Reply<T>, operation: impl FnOnce(&mut State, &mut Effects) -> Result<T, StoreError>) {
        if self.seat.closed.load(Ordering::SeqCst) {
            return reply(Err(StoreError::Closed));
        }
        let mut effects = Effects::default();
        let outcome = operation(&mut self.place.state.lock(), &mut effects);
        self.tell(&effects);
        if outcome.is_ok() {
            self.others(|_, listener| listener.foreign());
        }
        reply(outcome);
    }

    fn look<T>(&self, reply: Reply<T>, operation: impl FnOnce(&State) -> Result<T, StoreError>) {
        if self.seat.closed.load(Ordering::SeqCst) {
            return reply(Err(StoreError::Closed));
        }
        let outcome = operation(&self.place.state.lock());
        reply(outcome);
    }

    fn tell(&self, effects: &Effects) {
        let Some(listener) = self.seat.listener() else { return };
        for (queue, lanes) in &effects.ready {
            listener.lanes_ready(queue, &lanes.iter().cloned().collect::<Vec<_>>());
        }
        if let Some(due) = effects.due {
            listener.due(due);
        }
        for (queue, jobs) in &effects.ended {
            listener.ended(queue, jobs);
        }
    }

    fn others(&self, tell: impl Fn(&Seat, &dyn StoreListener)) {
        let seats: Vec<Arc<Seat>> = {
            let mut seats = self.place.seats.lock();
            seats.retain(|seat| seat.strong_count() > 0);
            seats.iter().filter_map(Weak::upgrade).collect()
        };
        for seat in seats.iter().filter(|seat| !Arc::ptr_eq(seat, &self.seat) && !seat.closed.load(Ordering::SeqCst)) {
            if let Some(listener) = seat.listener() {
                tell(seat, &*listener);
            }
        }
    }
}

impl JobStore for MemoryStore {
    fn enqueue(&self, queue: Arc<str>, jobs: Vec<NewJob>, now: Millis, reply: Reply<Vec<Enqueued>>) {
        self.change(reply, |state, effects| Ok(state.enqueue(&queue, jobs, now, effects)));
    }

    fn claim(&self, request: ClaimRequest, reply: Reply<Vec<ClaimedJob>>) {
        self.change(reply, |state, _| Ok(state.claim(&request)));
    }

    fn settle(
        &self,
        queue: Arc<str>,
        batch: Arc<Vec<Settlement>>,
        now: Millis,
        claim: Option<ClaimRequest>,
        reply: Reply<SettleReply>,
    ) {
        self.change(reply, |state, effects| {
            let settled = state.settle(&queue, &batch, now, effects);
            let claimed = claim.map_or_else(Vec::new, |request| state.claim(&request));
            Ok(SettleReply { settled, claimed })
        });
    }

    fn beat(&self, beat: WorkerBeat, reply: Reply<BeatReply>) {
        self.change(reply, |state, _| Ok(state.beat(beat)));
    }

    fn leave(&self, worker: WorkerId, now: Millis, reply: Reply<()>) {
        self.change(reply, |state, effects| {
            state.leave(worker, now, effects);
            Ok(())
        });
    }

    fn maintain(&self, now: Millis, reply: Reply<Maintained>) {
        self.change(reply, |state, effects| Ok(state.maintain(now, &[], effects)));
    }

    fn note(&self, notes: Vec<Note>, reply: Reply<Vec<Settled>>) {
        self.change(reply, |state, _| Ok(state.note(notes)));
    }

    fn control(&self, queue: Arc<str>, control: Control, now: Millis, reply: Reply<Controlled>) {
        self.change(reply, |state, effects| state.control(&queue, control, now, effects));
    }

    fn jobs(&self, queue: Arc<str>, jobs: Vec<JobRef>, reply: Reply<Vec<Option<JobView>>>) {
        self.look(reply, |state| Ok(jobs.iter().map(|job| state.view(&queue, job)).collect()));
    }

    fn departed(&self, queue: Arc<str>, jobs: Vec<JobRef>, reply: Reply<Vec<Option<Departed>>>) {
        self.look(reply, |state| Ok(jobs.iter().map(|job| state.departed(&queue, job)).collect()));
    }

    fn list(&self, query: ListQuery, reply: Reply<Page>) {
        self.look(reply, |state| Ok(state.list(&query)));
    }

    fn counts(&self, queue: Arc<str>, reply: Reply<QueueCounts>) {
        self.look(reply, |state| Ok(state.counts(&queue)));
    }

    fn queues(&self, reply: Reply<Vec<Arc<str>>>) {
        self.look(reply, |state| Ok(state.queues()));
    }

    fn logs(&self, queue: Arc<str>, job: JobRef, after: i64, limit: usize, reply: Reply<Vec<LogLine>>) {
        self.look(reply, |state| state.logs(&queue, &job, after, limit));
    }

    fn workers(&self, queue: Arc<str>, reply: Reply<Vec<WorkerView>>) {
        self.look(reply, |state| Ok(state.workers(&queue)));
    }

    fn publish(&self, queue: Arc<str>, events_json: Box<str>) {
        if self.seat.closed.load(Ordering::SeqCst) {
            return;
        }
        self.others(|seat, listener| {
            let listens = seat.listens.lock().contains(&queue);
            if listens {
                listener.events(&queue, &events_json);
            }
        });
    }

    fn is_heard(&self, queue: &str) -> bool {
        let seats = self.place.seats.lock();
        let mut others = seats.iter().filter_map(Weak::upgrade).filter(|seat| !Arc::ptr_eq(seat, &self.seat));
        others.any(|seat| !seat.closed.load(Ordering::SeqCst) && seat.listens.lock().contains(queue))
    }

    fn listen(&self, queue: Arc<str>, on: bool, reply: Reply<()>) {
        self.look(reply, |_| {
            let mut listens = self.seat.listens.lock();
            if on {
                listens.insert(queue);
            } else {
                listens.remove(&queue);
            }
            Ok(())
        });
    }

    fn set_listener(&self, listener: Weak<dyn StoreListener>) {
        *self.seat.listener.lock() = Some(listener);
    }

    fn close(&self, reply: Reply<()>) {
        self.seat.closed.store(true, Ordering::SeqCst);
        reply(Ok(()));
    }
}
