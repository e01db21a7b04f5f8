//! The reference of the state half: a [`StateStore`] in memory, simple rather than fast.
//!
//! [`space`] says what every operation does, in plain loops over plain maps, and is what adapters are
//! compared with. This file gives it the face of a store: a lock, replies, watches and handles. Nothing
//! here survives the process; a second [`MemoryState::handle`] stands for a second process on the same place.

mod read;
mod space;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use master_agent_core::Millis;
use parking_lot::Mutex;

use super::{
    Commit, Committed, DocumentPage, Found, Item, LogPage, LogRead, LogTrim, LogWatcher, NamePage, NameQuery, Query, StateStore,
    Swept, Trimmed, Watch, Write, check_items, check_limit, check_name,
};
use crate::{Reply, StoreError};
use space::World;

/// State that lives in memory.
pub struct MemoryState {
    place: Arc<Place>,
    seat: Arc<Seat>,
}

/// What all handles share.
#[derive(Default)]
struct Place {
    world: Mutex<World>,
    watches: Mutex<Watches>,
}

#[derive(Default)]
struct Watches {
    last_id: u64,
    all: Vec<Watching>,
}

struct Watching {
    id: u64,
    seat: Weak<Seat>,
    namespace: Arc<str>,
    log: Arc<str>,
    watcher: Arc<dyn LogWatcher>,
}

/// What one handle has of its own.
#[derive(Default)]
struct Seat {
    closed: AtomicBool,
}

impl MemoryState {
    /// An empty store.
    pub fn new() -> Arc<Self> {
        Self::sit(Arc::default())
    }

    /// Another handle on the same state, as another process would have. It also works when this one is closed.
    pub fn handle(&self) -> Arc<Self> {
        Self::sit(Arc::clone(&self.place))
    }

    fn sit(place: Arc<Place>) -> Arc<Self> {
        Arc::new(Self { place, seat: Arc::default() })
    }

    /// Refuses what comes later through this handle, and wakes who watches through it.
    pub fn close(&self) {
        self.seat.closed.store(true, Ordering::SeqCst);
        let seat = Arc::downgrade(&self.seat);
        self.wake(|watching| watching.seat.ptr_eq(&seat));
    }

    fn is_open(&self) -> Result<(), StoreError> {
        if self.seat.closed.load(Ordering::SeqCst) { Err(StoreError::Closed) } else { Ok(()) }
    }

    fn run<T>(&self, checked: Result<(), StoreError>, reply: Reply<T>, operation: impl FnOnce(&mut World) -> T) {
        let outcome = self.is_open().and(checked).map(|()| operation(&mut self.place.world.lock()));
        reply(outcome);
    }

    fn wake(&self, chosen: impl Fn(&Watching) -> bool) {
        let woken: Vec<_> = {
            let watches = self.place.watches.lock();
            watches.all.iter().filter(|watching| chosen(watching)).map(|watching| Arc::clone(&watching.watcher)).collect()
        };
        for watcher in woken {
            watcher.appended();
        }
    }
}

impl Drop for MemoryState {
    fn drop(&mut self) {
        self.close();
    }
}

impl StateStore for MemoryState {
    fn commit(&self, commit: Commit, reply: Reply<Committed>) {
        let namespace = Arc::clone(&commit.namespace);
        let logs: Vec<Arc<str>> = commit
            .writes
            .iter()
            .filter_map(|write| if let Write::Append(append) = write { Some(Arc::clone(&append.log)) } else { None })
            .collect();
        let mut done = false;
        self.run(commit.check(), reply, |world| {
            let committed = world.commit(&commit);
            done = matches!(committed, Committed::Done(_));
            committed
        });
        if done && !logs.is_empty() {
            self.wake(|watching| watching.namespace == namespace && logs.contains(&watching.log));
        }
    }

    fn get(&self, namespace: Arc<str>, items: Vec<Item>, now: Millis, reply: Reply<Vec<Found>>) {
        self.run(check_items(&namespace, &items), reply, |world| world.get(&namespace, &items, now));
    }

    fn query(&self, query: Query, reply: Reply<DocumentPage>) {
        self.run(query.check(), reply, |world| world.query(&query));
    }

    fn read_log(&self, read: LogRead, reply: Reply<LogPage>) {
        self.run(read.check(), reply, |world| world.read_log(&read));
    }

    fn trim_log(&self, trim: LogTrim, reply: Reply<Trimmed>) {
        self.run(trim.check(), reply, |world| world.trim_log(&trim));
    }

    fn names(&self, query: NameQuery, reply: Reply<NamePage>) {
        self.run(query.check(), reply, |world| world.names(&query));
    }

    fn clear(&self, namespace: Arc<str>, reply: Reply<bool>) {
        self.run(check_name("namespace", &namespace), reply, |world| world.clear(&namespace));
    }

    fn sweep(&self, now: Millis, limit: usize, reply: Reply<Swept>) {
        self.run(check_limit(limit), reply, |world| world.sweep(now, limit));
    }

    fn watch(&self, namespace: Arc<str>, log: Arc<str>, watcher: Arc<dyn LogWatcher>, reply: Reply<Watch>) {
        let checked = check_name("namespace", &namespace).and_then(|()| check_name("log", &log));
        if let Err(error) = self.is_open().and(checked) {
            return reply(Err(error));
        }
        let id = {
            let mut watches = self.place.watches.lock();
            watches.last_id += 1;
            let id = watches.last_id;
            watches.all.push(Watching { id, seat: Arc::downgrade(&self.seat), namespace, log, watcher });
            id
        };
        let place = Arc::downgrade(&self.place);
        reply(Ok(Watch::new(move || {
            if let Some(place) = place.upgrade() {
                // Dropped outside of the lock: a watcher may hold the last of something.
                let ended: Vec<Watching> = place.watches.lock().all.extract_if(.., |watching| watching.id == id).collect();
                drop(ended);
            }
        })));
    }
}
