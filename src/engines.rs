//! The engines of this process: one per store, shared by all sessions and JavaScript environments.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use master_agent_core::{SystemClock, SystemRandom};
use master_agent_queue::Engine;
use master_agent_store::JobStore;
use master_agent_store_sqlite::{Durability, SqliteStore};
use once_cell::sync::Lazy;
use parking_lot::Mutex;

type Place = (PathBuf, bool);

// Weak: an engine lives as long as a session uses it, and a closed one is made anew.
static ENGINES: Lazy<Mutex<HashMap<Place, Weak<Engine>>>> = Lazy::new(Mutex::default);

/// The engine over the embedded store in `folder`. The store itself opens on first use.
pub(crate) fn embedded(folder: &Path, durability: Durability) -> std::io::Result<Arc<Engine>> {
    let absolute = std::path::absolute(folder)?;
    let place = (absolute.canonicalize().unwrap_or(absolute), durability == Durability::Power);
    let mut engines = ENGINES.lock();
    if let Some(engine) = engines.get(&place).and_then(Weak::upgrade) {
        return Ok(engine);
    }
    let store: Arc<dyn JobStore> = SqliteStore::new(&place.0, durability)?;
    let engine = Engine::start(store, Arc::new(SystemClock), Arc::new(SystemRandom))?;
    engines.retain(|_, engine| engine.strong_count() > 0);
    engines.insert(place, Arc::downgrade(&engine));
    Ok(engine)
}
