//! Following a log, on any adapter: entries in their order, none twice, and a notice where some were missed.
//!
//! The reader asks for the next entries when it is ready for them, so nothing piles up in between: what
//! waits is in the log, which keeps as many as its bound says.

use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};

use master_agent_core::Clock;
use parking_lot::Mutex;

use super::{Found, Item, LogEntry, LogPage, LogRead, LogWatcher, StateStore, Watch, invalid};
use crate::{Reply, StoreError};

/// Where a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest entry that is kept.
    Oldest,
    /// With the entry behind this number: the last one that was seen before.
    After(i64),
    /// With what is appended from now on.
    Now,
}

/// What came next.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Numbers before `entries` that can no longer be read: they were trimmed, or the log was forgotten and
    /// begun again.
    pub missed: Option<RangeInclusive<i64>>,
    /// One or more entries, or none where all that was new is missed.
    pub entries: Vec<LogEntry>,
}

/// A place in a log, and the wish to know what follows. Dropped, it ends; it does not keep the store open.
#[derive(Debug)]
pub struct Subscription {
    inner: Arc<Inner>,
    _watch: Watch,
}

struct Inner {
    store: Weak<dyn StateStore>,
    clock: Arc<dyn Clock>,
    namespace: Arc<str>,
    log: Arc<str>,
    // Never held over a call of the store or a reply.
    follow: Mutex<Follow>,
}

struct Follow {
    place: Place,
    waiting: Option<Waiting>,
    /// A page was asked for and has not come.
    reading: bool,
    /// The log grew since that page was asked for.
    grew: bool,
    closed: bool,
}

#[derive(Clone, Copy)]
enum Place {
    Oldest,
    /// With the first entry of a log that is yet to begin.
    Begin,
    After(i64),
}

struct Waiting {
    limit: usize,
    max_bytes: usize,
    reply: Reply<Delivery>,
}

impl Subscription {
    /// Begins to follow a log, which need not be there yet. The clock tells whether it has expired.
    pub fn open(
        store: &Arc<dyn StateStore>,
        clock: Arc<dyn Clock>,
        namespace: impl Into<Arc<str>>,
        log: impl Into<Arc<str>>,
        start: Start,
        reply: Reply<Self>,
    ) {
        let place = match start {
            Start::Oldest => Place::Oldest,
            Start::After(number) => Place::After(number),
            Start::Now => Place::Begin,
        };
        let follow = Follow { place, waiting: None, reading: false, grew: false, closed: false };
        let (namespace, log) = (namespace.into(), log.into());
        let inner = Arc::new(Inner {
            store: Arc::downgrade(store),
            clock,
            namespace: Arc::clone(&namespace),
            log: Arc::clone(&log),
            follow: Mutex::new(follow),
        });
        let watcher = Arc::clone(&inner) as Arc<dyn LogWatcher>;
        let opened = move |watch: Result<Watch, StoreError>| match watch {
            Ok(watch) if start == Start::Now => inner.find_now(watch, reply),
            Ok(watch) => reply(Ok(Self { inner, _watch: watch })),
            Err(error) => reply(Err(error)),
        };
        store.watch(namespace, log, watcher, Box::new(opened));
    }

    /// Answers with the next entries, as soon as there are any: up to `limit`, and up to the one that reaches
    /// `max_bytes` in all. One call at a time. After an error the same call may be made again; `Closed` is
    /// answered when the store closes or the subscription is dropped.
    pub fn next(&self, limit: usize, max_bytes: usize, reply: Reply<Delivery>) {
        let refused = {
            let mut follow = self.inner.follow.lock();
            if follow.waiting.is_some() {
                Some((reply, invalid("next", "is still waiting for an answer")))
            } else {
                follow.waiting = Some(Waiting { limit, max_bytes, reply });
                follow.reading = true;
                follow.grew = false;
                None
            }
        };
        match refused {
            Some((reply, error)) => reply(Err(error)),
            None => self.inner.read(),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let waiting = {
            let mut follow = self.inner.follow.lock();
            follow.closed = true;
            follow.waiting.take()
        };
        if let Some(waiting) = waiting {
            (waiting.reply)(Err(StoreError::Closed));
        }
    }
}

impl Inner {
    /// What is in the log already is not wanted.
    fn find_now(self: Arc<Self>, watch: Watch, reply: Reply<Subscription>) {
        let Some(store) = self.store.upgrade() else { return reply(Err(StoreError::Closed)) };
        let (namespace, now) = (Arc::clone(&self.namespace), self.clock.now());
        let item = Item::Log { log: Arc::clone(&self.log) };
        let found = move |found: Result<Vec<Found>, StoreError>| match found {
            Ok(found) => {
                if let [Found::Log(Some(ends))] = found[..] {
                    self.follow.lock().place = Place::After(ends.last);
                }
                reply(Ok(Subscription { inner: self, _watch: watch }));
            }
            Err(error) => reply(Err(error)),
        };
        store.get(namespace, vec![item], now, Box::new(found));
    }

    /// Asks for the page after the place. `reading` is set.
    fn read(self: &Arc<Self>) {
        let Some(store) = self.store.upgrade() else { return self.answer(Err(StoreError::Closed)) };
        let read = {
            let mut follow = self.follow.lock();
            let after = if let Place::After(number) = follow.place { number } else { 0 };
            let Some(waiting) = &follow.waiting else {
                follow.reading = false;
                return;
            };
            LogRead {
                namespace: Arc::clone(&self.namespace),
                log: Arc::clone(&self.log),
                after,
                limit: waiting.limit,
                max_bytes: waiting.max_bytes,
                now: self.clock.now(),
            }
        };
        let this = Arc::clone(self);
        store.read_log(read, Box::new(move |page| this.answer(page)));
    }

    fn answer(self: &Arc<Self>, page: Result<LogPage, StoreError>) {
        let (waiting, outcome) = {
            let mut follow = self.follow.lock();
            follow.reading = false;
            let outcome = match page {
                Ok(page) => follow.place.advance(page).map(Ok),
                Err(error) => Some(Err(error)),
            };
            match outcome {
                Some(outcome) => (follow.waiting.take(), Some(outcome)),
                None if follow.grew && !follow.closed => {
                    follow.grew = false;
                    follow.reading = true;
                    (None, None)
                }
                None => return,
            }
        };
        match (waiting, outcome) {
            (Some(waiting), Some(outcome)) => (waiting.reply)(outcome),
            (None, None) => self.read(),
            _ => {}
        }
    }
}

impl Place {
    /// Moves behind the page; `None` where it has nothing new.
    fn advance(&mut self, page: LogPage) -> Option<Delivery> {
        let ends = page.ends?;
        let expected = match *self {
            Self::Oldest => ends.first,
            Self::Begin => ends.begin,
            Self::After(number) => number.saturating_add(1),
        };
        let missed = (ends.first > expected).then(|| expected..=ends.first - 1);
        if page.entries.is_empty() && missed.is_none() {
            return None;
        }
        *self = Self::After(page.entries.last().map_or(ends.first - 1, |entry| entry.number));
        Some(Delivery { missed, entries: page.entries })
    }
}

impl LogWatcher for Inner {
    fn appended(self: Arc<Self>) {
        {
            let mut follow = self.follow.lock();
            follow.grew = true;
            if follow.reading || follow.waiting.is_none() {
                return;
            }
            follow.reading = true;
            follow.grew = false;
        }
        self.read();
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.log)
    }
}
