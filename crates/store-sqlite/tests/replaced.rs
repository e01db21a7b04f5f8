//! A folder that is removed while its store is in use.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use master_agent_store::{Control, JobStore, call};
use master_agent_store_sqlite::{Durability, SqliteStore};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn reads_follow_when_the_file_was_made_anew_between_them() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("store");
    let store = SqliteStore::open(&place, Durability::Process).unwrap();
    let queue: Arc<str> = "queue".into();
    let pause = |queue: &str| call(|reply| store.control(queue.into(), Control::Pause, 1, reply));
    let is_paused = || call(|reply| store.counts(Arc::clone(&queue), reply)).unwrap().paused;
    pause(&queue).unwrap();
    assert!(is_paused());
    std::fs::remove_dir_all(&place).unwrap();
    // The writer alone finds out, and makes the file anew.
    let since = Instant::now();
    while pause("another").is_err() || !place.join("state.db").exists() {
        assert!(since.elapsed() < PATIENCE, "the file was not made anew");
    }
    assert!(!is_paused());
    call(|reply| store.close(reply)).unwrap();
}
