//! The store on Redis does what the model does, whatever the sequence.

mod common;

#[test]
fn random_sequences_agree_with_the_model() {
    master_agent_store::random::check(common::fixture);
}
