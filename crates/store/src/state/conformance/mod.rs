//! What every store must do with state, as tests that an adapter runs against itself.
//!
//! ```ignore
//! master_agent_store::state_store_tests!(|| Fixture::new(|| Opened::new(store, close)));
//! ```
//!
//! makes one `#[test]` of every case; each gets a [`Fixture`] of its own. A case talks to the port alone,
//! so a failure names a promise of [`StateStore`] that is broken, and not a way of doing it. Random
//! sequences of operations are in [`crate::state::random`].

mod commits;
mod concurrency;
mod counters;
mod documents;
mod expiry;
mod handles;
mod indexes;
mod kit;
mod limits;
mod logs;
mod names;
mod reopening;
mod subscriptions;
mod tests;

use std::any::Any;
use std::sync::Arc;

use super::StateStore;
pub(crate) use kit::ask;

/// A store that is open, and how it is closed.
pub struct Opened {
    pub store: Arc<dyn StateStore>,
    close: Box<dyn FnOnce() + Send>,
}

impl Opened {
    pub fn new(store: Arc<dyn StateStore>, close: impl FnOnce() + Send + 'static) -> Self {
        Self { store, close: Box::new(close) }
    }

    /// Closes the store, and returns when it let go of its place.
    pub fn close(self) {
        (self.close)();
    }
}

/// An empty place for one case, which can be opened any number of times, also while it is open.
pub struct Fixture {
    open: Box<dyn Fn() -> Opened + Send + Sync>,
    _keep: Option<Box<dyn Any + Send + Sync>>,
}

impl Fixture {
    /// A place that `open` opens.
    pub fn new(open: impl Fn() -> Opened + Send + Sync + 'static) -> Self {
        Self { open: Box::new(open), _keep: None }
    }

    /// Keeps something (a temporary folder) until the case is over.
    #[must_use]
    pub fn keep(mut self, thing: impl Any + Send + Sync) -> Self {
        self._keep = Some(Box::new(thing));
        self
    }

    pub fn open(&self) -> Opened {
        (self.open)()
    }
}

/// A named case.
type Case = (&'static str, fn(Fixture));

/// Names the cases of a module; a case that is not named is dead code and does not compile cleanly.
macro_rules! cases {
    ($($case:ident,)*) => {
        pub(super) const CASES: &[super::Case] = &[$((concat!(module_path!(), "::", stringify!($case)), $case)),*];
    };
}
use cases;

fn modules() -> [&'static [Case]; 12] {
    [
        commits::CASES,
        concurrency::CASES,
        counters::CASES,
        documents::CASES,
        expiry::CASES,
        handles::CASES,
        indexes::CASES,
        limits::CASES,
        logs::CASES,
        names::CASES,
        reopening::CASES,
        subscriptions::CASES,
    ]
}

/// The names of all cases: `module::case`.
pub fn names() -> Vec<&'static str> {
    modules().iter().flat_map(|cases| cases.iter().map(|(path, _)| short(path))).collect()
}

/// Runs one case by its name.
///
/// # Panics
/// When the store breaks the promise that the case is about, or there is no such case.
pub fn run(name: &str, fixture: Fixture) {
    let case = modules().iter().flat_map(|cases| cases.iter()).find(|(path, _)| short(path) == name);
    let (_, case) = case.unwrap_or_else(|| panic!("there is no case {name}"));
    case(fixture);
}

fn short(path: &'static str) -> &'static str {
    path.rsplit_once("conformance::").map_or(path, |(_, name)| name)
}
