//! Random sequences against the model behind its own port: what the comparison itself must stand.

use master_agent_store::conformance::Fixture;
use master_agent_store::model::MemoryStore;

#[test]
fn random_sequences_agree_with_the_model() {
    master_agent_store::random::check(|| {
        let store = MemoryStore::new();
        let place = store.handle();
        Fixture::new(store).reopen(move || place.handle()).shared()
    });
}
