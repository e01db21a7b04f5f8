//! The store of several machines: Redis (6.2 and later) or Valkey, one server, a Sentinel's or a Cluster.
//!
//! `link` is the one thread that talks to the server; `jobs` and `state` are the operations, each of which is one Lua script
//! of `lua/`, carried out by Redis as a whole. docs/redis.md describes the keys. No policy lives here.

mod address;
mod blob;
mod check;
mod error;
mod inspect;
mod jobs;
mod link;
mod names;
mod script;
mod shared;
mod state;
mod value;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use master_agent_store::{Reply, StoreError};
use redis::Value;

use link::Link;
use names::{Names, Queue};
use script::Call;
use shared::Shared;

/// Called with what the server's settings may lose.
pub type OnWarning = Box<dyn Fn(&str) + Send + Sync>;

/// How a store is opened.
#[derive(Default)]
pub struct Options {
    /// How long an operation waits for a server that is away; 5 seconds if none is given.
    pub timeout: Option<Duration>,
    pub on_warning: Option<OnWarning>,
}

/// A store on a Redis server. Dropped, it finishes what was submitted and lets go of the connection.
pub struct RedisStore {
    shared: Arc<Shared>,
}

impl RedisStore {
    /// A store at `url`, which connects by itself and as often as it must.
    pub fn new(url: &str, options: Options) -> Result<Arc<Self>, StoreError> {
        let invalid = |problem: String| StoreError::Invalid { field: "store".into(), problem };
        let (address, place) = address::parse(url.trim()).map_err(invalid)?;
        let cluster = matches!(address, address::Address::Cluster { .. });
        let timeout = options.timeout.unwrap_or(Duration::from_secs(5));
        let failed = |error: std::io::Error| StoreError::Open { place: place.clone(), cause: error.to_string() };
        let shared = Shared::start(cluster, address, place.clone(), timeout, options.on_warning).map_err(failed)?;
        Ok(Arc::new(Self { shared }))
    }

    fn link(&self) -> &Link {
        self.shared.link()
    }

    fn names(&self) -> &Names {
        &self.shared.names
    }

    fn queue(&self, name: &Arc<str>) -> Arc<Queue> {
        self.shared.queue(name)
    }

    /// Submits a call and answers with what `read` makes of its answer.
    fn run<T: 'static>(&self, call: Call, reply: Reply<T>, read: impl FnOnce(Value) -> Result<T, StoreError> + Send + 'static) {
        self.shared.run(call, reply, read);
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.link().close(Box::new(|| {}));
    }
}
