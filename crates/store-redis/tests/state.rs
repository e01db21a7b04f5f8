//! The store on Redis keeps what the port promises of state.

mod common;

master_agent_store::state_store_tests!(common::state_fixture);

#[test]
fn random_sequences_agree_with_the_model() {
    master_agent_store::state::random::check(common::state_fixture);
}
