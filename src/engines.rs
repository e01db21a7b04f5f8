//! The engines of this process: one per store, shared by all sessions and JavaScript environments.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use master_agent_core::{SystemClock, SystemRandom};
use master_agent_queue::{Engine, Outbox, Session, SessionOptions};
use master_agent_store::state::StateStore;
use master_agent_store::{JobStore, StoreError};
use master_agent_store_redis::{Options, RedisStore};
use master_agent_store_sqlite::{Durability, SqliteStore};
use once_cell::sync::Lazy;
use parking_lot::Mutex;

/// Where a session's store is.
pub(crate) enum Target<'t> {
    /// The embedded store in a folder, which opens on first use.
    Folder(&'t Path, Durability),
    /// A Redis server, and how long an operation waits for it.
    Redis(&'t str, Duration),
}

#[derive(PartialEq, Eq, Hash)]
enum Place {
    Folder(PathBuf, Durability),
    Redis(String, Duration),
}

// Weak: an engine lives as long as a session uses it, and a closed one is made anew.
static ENGINES: Lazy<Mutex<HashMap<Place, Weak<Engine>>>> = Lazy::new(Mutex::default);

static WARNED: Lazy<Mutex<HashSet<String>>> = Lazy::new(Mutex::default);

/// A session on a queue of a store.
pub(crate) fn session(
    target: &Target<'_>,
    options: &SessionOptions,
    outbox: &Arc<dyn Outbox>,
    warn: impl Fn(&str) + Send + Sync + 'static,
) -> Result<Arc<Session>, StoreError> {
    let failed = |error: std::io::Error| StoreError::Open { place: target.shown(), cause: error.to_string() };
    let place = target.place().map_err(failed)?;
    let mut engines = ENGINES.lock();
    let open = engines.get(&place).and_then(Weak::upgrade);
    if let Some(session) = open.and_then(|engine| engine.session(options.clone(), Arc::clone(outbox))) {
        return Ok(session);
    }
    let (store, state): (Arc<dyn JobStore>, Arc<dyn StateStore>) = match &place {
        Place::Folder(folder, durability) => {
            let store = SqliteStore::new(folder, *durability).map_err(failed)?;
            (Arc::clone(&store) as Arc<dyn JobStore>, store)
        }
        Place::Redis(url, timeout) => {
            let on_warning = Box::new(move |text: &str| {
                // A process is told once of a server, however often it connects.
                if WARNED.lock().insert(text.to_owned()) {
                    warn(text);
                }
            });
            let store = RedisStore::new(url, Options { timeout: Some(*timeout), on_warning: Some(on_warning) })?;
            (Arc::clone(&store) as Arc<dyn JobStore>, store)
        }
    };
    let engine = Engine::start(store, Arc::new(SystemClock), Arc::new(SystemRandom)).map_err(failed)?;
    engine.sweep(state);
    engines.retain(|_, engine| engine.strong_count() > 0);
    engines.insert(place, Arc::downgrade(&engine));
    engine.session(options.clone(), Arc::clone(outbox)).ok_or(StoreError::Closed)
}

impl Target<'_> {
    fn place(&self) -> std::io::Result<Place> {
        Ok(match self {
            Self::Folder(folder, durability) => {
                let absolute = std::path::absolute(folder)?;
                Place::Folder(absolute.canonicalize().unwrap_or(absolute), *durability)
            }
            Self::Redis(url, timeout) => Place::Redis((*url).to_owned(), *timeout),
        })
    }

    fn shown(&self) -> String {
        match self {
            Self::Folder(folder, _) => folder.display().to_string(),
            // Its password stays where it is.
            Self::Redis(..) => "Redis".to_owned(),
        }
    }
}
