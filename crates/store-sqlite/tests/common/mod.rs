//! A store in a folder of its own, for the suites.

use std::sync::Arc;

use master_agent_store::JobStore;
use master_agent_store::conformance::Fixture;
use master_agent_store_sqlite::{Durability, SqliteStore};

pub(crate) fn fixture() -> Fixture {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().to_owned();
    let open = move || -> Arc<dyn JobStore> { SqliteStore::open(&path, Durability::Process).expect("the store opens") };
    Fixture::new(open()).reopen(open).shared().keep(folder)
}
