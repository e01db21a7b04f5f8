//! The embedded store keeps what the port promises of state.

use std::sync::Arc;

use master_agent_store::state::conformance::{Fixture, Opened};
use master_agent_store::{JobStore, call};
use master_agent_store_sqlite::{Durability, SqliteStore};

fn sqlite() -> Fixture {
    let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
    let place = folder.path().to_path_buf();
    let open = move || {
        let store = SqliteStore::new(&place, Durability::Process).expect("the threads of a store start");
        let closing = Arc::clone(&store);
        Opened::new(store, move || call(|reply| closing.close(reply)).expect("the store closes"))
    };
    Fixture::new(open).keep(folder)
}

master_agent_store::state_store_tests!(sqlite);

#[test]
fn random_sequences_agree_with_the_model() {
    master_agent_store::state::random::check(sqlite);
}
