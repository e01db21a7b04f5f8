//! What a store leaves in its folder.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::sync::mpsc::channel;

use master_agent_store::{Control, JobStore, call};
use master_agent_store_sqlite::{Durability, SqliteStore};

#[test]
fn a_closed_store_has_let_go_of_its_files_also_those_of_a_read_under_way() {
    // The first read opens a connection: sooner or later the store is closed in the middle of that.
    for delay in 0..120 {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path(), Durability::Process).unwrap();
        let (answer, answered) = channel();
        store.queues(Box::new(move |outcome| answer.send(outcome).unwrap()));
        (0..delay * 130).for_each(|_| std::hint::spin_loop());
        call(|reply| store.close(reply)).unwrap();
        let left: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with("-shm") || name.ends_with("-wal"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        // Read, or refused because the store was closed.
        let _ = answered.recv().unwrap();
    }
}

#[test]
fn stores_that_come_and_go_on_one_file_do_not_shut_each_other_out() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let place = folder.path().join("store");
            scope.spawn(move || {
                for round in 0..40 {
                    let store = SqliteStore::open(&place, Durability::Process).unwrap();
                    call(|reply| store.control("queue".into(), Control::Pause, 1, reply))
                        .unwrap_or_else(|error| panic!("store {number}, round {round}: {error}"));
                    call(|reply| store.close(reply)).unwrap();
                }
            });
        }
    });
}
