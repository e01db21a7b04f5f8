//! The store on Redis keeps what the port promises of state.

mod common;

use std::sync::Arc;

use master_agent_store::state::conformance::{Fixture, Opened};
use master_agent_store::{JobStore, call};

fn redis() -> Fixture {
    let server = common::Server::start(&[]);
    let url = server.url();
    let open = move || {
        let store = common::open(&url);
        let closing = Arc::clone(&store);
        Opened::new(store, move || call(|reply| closing.close(reply)).expect("the store closes"))
    };
    Fixture::new(open).keep(server)
}

master_agent_store::state_store_tests!(redis);

#[test]
fn random_sequences_agree_with_the_model() {
    master_agent_store::state::random::check(redis);
}
