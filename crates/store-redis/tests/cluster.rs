//! The store on a Cluster keeps what the port promises: its keys go together, and what is in flight keeps its order.

mod common;

mod jobs {
    master_agent_store::job_store_tests!(super::common::cluster_fixture);
}

mod state {
    master_agent_store::state_store_tests!(super::common::state_cluster_fixture);
}

#[test]
fn random_sequences_of_state_agree_with_the_model() {
    master_agent_store::state::random::check(common::state_cluster_fixture);
}
