//! What every store must do, as tests that an adapter runs against itself.
//!
//! ```ignore
//! master_agent_store::job_store_tests!(|| Fixture::new(MyStore::open_fresh()));
//! ```
//!
//! makes one `#[test]` of every case; each gets a [`Fixture`] of its own. A case talks to the port alone,
//! so a failure names a promise of [`crate::JobStore`] that is broken, and not a way of doing it. Random
//! sequences of operations are in [`crate::random`].

/// Names the cases of a module; a case that is not named is dead code and does not compile cleanly.
macro_rules! cases {
    ($($case:ident,)*) => {
        pub(super) const CASES: &[super::Case] = &[$((concat!(module_path!(), "::", stringify!($case)), $case)),*];
    };
}
use cases;

mod claiming;
mod concurrency;
mod control;
mod enqueue;
mod handles;
mod kit;
mod leases;
mod listening;
mod reopening;
mod settling;
mod tests;
mod views;

use std::any::Any;
use std::sync::Arc;

use crate::JobStore;

pub(crate) use kit::{Heard, PATIENCE, ask};

/// Opens the place of a fixture once more.
pub type Again = Box<dyn Fn() -> Arc<dyn JobStore> + Send + Sync>;

/// An empty store for one case, and what the adapter can do with its place.
pub struct Fixture {
    store: Arc<dyn JobStore>,
    again: Option<Again>,
    shared: bool,
    _keep: Option<Box<dyn Any + Send + Sync>>,
}

impl Fixture {
    /// A store that is gone when it is closed.
    pub fn new(store: Arc<dyn JobStore>) -> Self {
        Self { store, again: None, shared: false, _keep: None }
    }

    /// Tells how the place is opened again after the store was closed. Switches the cases of `reopening` on.
    #[must_use]
    pub fn reopen(mut self, again: impl Fn() -> Arc<dyn JobStore> + Send + Sync + 'static) -> Self {
        self.again = Some(Box::new(again));
        self
    }

    /// The place may be opened while it is open, as by another process. Switches the cases of `handles` on.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// Keeps something (a temporary folder) until the case is over and the store is dropped.
    #[must_use]
    pub fn keep(mut self, thing: impl Any + Send + Sync) -> Self {
        self._keep = Some(Box::new(thing));
        self
    }

    pub(crate) fn store(&self) -> Arc<dyn JobStore> {
        self.store.clone()
    }

    /// A second handle, where the place can be shared.
    pub(crate) fn second(&self) -> Option<Arc<dyn JobStore>> {
        if self.shared { self.again.as_ref().map(|again| again()) } else { None }
    }

    /// Closes the store and opens its place again, where that is possible.
    pub(crate) fn reopened(&mut self) -> Option<Arc<dyn JobStore>> {
        let again = self.again.as_ref()?;
        ask(|reply| self.store.close(reply)).expect("the store closes");
        self.store = again();
        Some(self.store.clone())
    }
}

/// A named case.
pub type Case = (&'static str, fn(Fixture));

fn modules() -> [&'static [Case]; 10] {
    [
        claiming::CASES,
        concurrency::CASES,
        control::CASES,
        enqueue::CASES,
        handles::CASES,
        leases::CASES,
        listening::CASES,
        reopening::CASES,
        settling::CASES,
        views::CASES,
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
