//! Who watches logs, and how they learn of appends: by this store at the commit, by other processes at the
//! wake-up that their commits give, when the logs that grew since the last look are read.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

use master_agent_store::state::{LogWatcher, MAX_PAGE, Watch};
use parking_lot::Mutex;
use rusqlite::{Connection, params};

use crate::reader::Reader;
use crate::shared::Shared;
use crate::tx::Outcome;

type LogName = (Arc<str>, Arc<str>);
type Watching = (u64, Arc<dyn LogWatcher>);

/// The watches of one store.
#[derive(Default)]
pub(crate) struct Watchers {
    // Never held while a watcher is called.
    inner: Mutex<Inner>,
    // Through which logs are looked at; set once, when the store is made.
    reader: OnceLock<Weak<Reader>>,
}

#[derive(Default)]
struct Inner {
    last_id: u64,
    by_log: HashMap<LogName, Vec<Watching>>,
    /// The newest stamp that was seen; `None` until the first watch has found it.
    seen: Option<i64>,
    /// A look is on its way to the reader and will see what happened until now.
    looking: bool,
}

impl Watchers {
    pub(crate) fn set_reader(&self, reader: &Arc<Reader>) {
        let _ = self.reader.set(Arc::downgrade(reader));
    }

    /// Tells who watches these logs.
    pub(crate) fn wake(&self, namespace: &Arc<str>, logs: &[Arc<str>]) {
        let woken: Vec<_> = {
            let inner = self.inner.lock();
            if inner.by_log.is_empty() {
                return;
            }
            let watched = logs.iter().filter_map(|log| inner.by_log.get(&(Arc::clone(namespace), Arc::clone(log))));
            watched.flatten().map(|(_, watcher)| Arc::clone(watcher)).collect()
        };
        for watcher in woken {
            watcher.appended();
        }
    }

    /// The store closes: everyone looks once more and is told so.
    pub(crate) fn close(&self) {
        let woken: Vec<_> = self.inner.lock().by_log.values().flatten().map(|(_, watcher)| Arc::clone(watcher)).collect();
        for watcher in woken {
            watcher.appended();
        }
    }

    fn remove(&self, log: &LogName, id: u64) {
        // Dropped outside of the lock: a watcher may hold the last of something.
        let _ended = {
            let mut inner = self.inner.lock();
            let Some(watching) = inner.by_log.get_mut(log) else { return };
            let ended: Vec<_> = watching.extract_if(.., |(of, _)| *of == id).collect();
            if watching.is_empty() {
                inner.by_log.remove(log);
            }
            if inner.by_log.is_empty() {
                // Nobody follows what happens from here on: the next watch begins anew.
                inner.seen = None;
            }
            ended
        };
    }
}

pub(super) fn add(shared: &Arc<Shared>, namespace: Arc<str>, log: Arc<str>, watcher: Arc<dyn LogWatcher>) -> Watch {
    let name = (namespace, log);
    let id = {
        let mut inner = shared.watchers().inner.lock();
        inner.last_id += 1;
        let id = inner.last_id;
        inner.by_log.entry(name.clone()).or_default().push((id, watcher));
        id
    };
    let shared = Arc::downgrade(shared);
    Watch::new(move || {
        if let Some(shared) = shared.upgrade() {
            shared.watchers().remove(&name, id);
        }
    })
}

/// Where looking begins, if it has not.
pub(super) fn find_newest(connection: &Connection, watchers: &Watchers) -> Outcome<()> {
    let newest: i64 =
        connection.prepare_cached("SELECT coalesce(max(stamp), 0) FROM state_logs")?.query_row([], |row| row.get(0))?;
    watchers.inner.lock().seen.get_or_insert(newest);
    Ok(())
}

/// Another process committed something: finds the logs that grew, on the reader's thread.
pub(crate) fn look(shared: &Arc<Shared>) {
    let watchers = shared.watchers();
    let Some(reader) = watchers.reader.get().and_then(Weak::upgrade) else { return };
    {
        let mut inner = watchers.inner.lock();
        if inner.seen.is_none() || inner.by_log.is_empty() || inner.looking {
            return;
        }
        inner.looking = true;
    }
    let (work, done) = (Arc::clone(shared), Arc::clone(shared));
    reader.submit(
        shared,
        move |connection| {
            work.watchers().inner.lock().looking = false;
            while read_grown(connection, work.watchers())? {}
            Ok(())
        },
        Box::new(move |_| done.watchers().inner.lock().looking = false),
    );
}

/// Wakes who watches the logs that grew since the last look; answers whether there may be more.
fn read_grown(connection: &Connection, watchers: &Watchers) -> Outcome<bool> {
    let Some(seen) = watchers.inner.lock().seen else { return Ok(false) };
    let mut newest = seen;
    let mut grown: HashMap<Arc<str>, Vec<Arc<str>>> = HashMap::new();
    let mut rows = 0;
    {
        let mut find = connection.prepare_cached(include_str!("../sql/state/grown.sql"))?;
        let mut found = find.query(params![seen, MAX_PAGE as i64])?;
        while let Some(row) = found.next()? {
            rows += 1;
            newest = row.get(0)?;
            // A log without a namespace was forgotten or cleared.
            if let Some(namespace) = row.get_ref(1)?.as_str_or_null()? {
                grown.entry(namespace.into()).or_default().push(row.get_ref(2)?.as_str()?.into());
            }
        }
    }
    if let Some(seen) = watchers.inner.lock().seen.as_mut() {
        *seen = newest.max(*seen);
    }
    for (namespace, logs) in &grown {
        watchers.wake(namespace, logs);
    }
    Ok(rows == MAX_PAGE)
}
