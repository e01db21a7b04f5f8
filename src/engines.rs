//! The engines of this process: one per store, shared by all sessions and JavaScript environments.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use master_agent_core::{SystemClock, SystemRandom};
use master_agent_queue::{Engine, Outbox, Session, SessionOptions};
use master_agent_store::JobStore;
use master_agent_store_sqlite::{Durability, SqliteStore};
use once_cell::sync::Lazy;
use parking_lot::Mutex;

type Place = (PathBuf, bool);

// Weak: an engine lives as long as a session uses it, and a closed one is made anew.
static ENGINES: Lazy<Mutex<HashMap<Place, Weak<Engine>>>> = Lazy::new(Mutex::default);

/// A session on a queue of the embedded store in `folder`, which opens on first use.
pub(crate) fn session(
    folder: &Path,
    durability: Durability,
    options: &SessionOptions,
    outbox: &Arc<dyn Outbox>,
) -> std::io::Result<Arc<Session>> {
    let absolute = std::path::absolute(folder)?;
    let place = (absolute.canonicalize().unwrap_or(absolute), durability == Durability::Power);
    let mut engines = ENGINES.lock();
    let open = engines.get(&place).and_then(Weak::upgrade);
    if let Some(session) = open.and_then(|engine| engine.session(options.clone(), Arc::clone(outbox))) {
        return Ok(session);
    }
    let store = SqliteStore::new(&place.0, durability)?;
    let jobs: Arc<dyn JobStore> = Arc::clone(&store) as Arc<dyn JobStore>;
    let engine = Engine::start(jobs, Arc::new(SystemClock), Arc::new(SystemRandom))?;
    engine.sweep(store);
    engines.retain(|_, engine| engine.strong_count() > 0);
    engines.insert(place, Arc::downgrade(&engine));
    engine.session(options.clone(), Arc::clone(outbox)).ok_or_else(|| std::io::Error::other("a new engine was closed"))
}
