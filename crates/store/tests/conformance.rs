//! The model passes the suite that it is the measure of.

use master_agent_store::conformance::Fixture;
use master_agent_store::model::MemoryStore;

fn memory() -> Fixture {
    let store = MemoryStore::new();
    let place = store.handle();
    Fixture::new(store).reopen(move || place.handle()).shared()
}

master_agent_store::job_store_tests!(memory);
