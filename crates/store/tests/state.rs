//! The model of the state half passes the suite that it is the measure of.

use std::sync::Arc;

use master_agent_store::state::conformance::{Fixture, Opened};
use master_agent_store::state::model::MemoryState;

fn memory() -> Fixture {
    let place = MemoryState::new();
    Fixture::new(move || {
        let store = place.handle();
        let closing = Arc::clone(&store);
        Opened::new(store, move || closing.close())
    })
}

master_agent_store::state_store_tests!(memory);

#[test]
fn random_sequences_agree_with_the_model() {
    master_agent_store::state::random::check(memory);
}
