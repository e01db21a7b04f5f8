//! Closing a place and opening it again.

use std::sync::Arc;

use super::kit::{T0, open, submit, wait};
use super::{Fixture, cases};
use crate::StoreError;
use crate::state::{
    Add, Append, Commit, Committed, Expect, Expiry, Item, LogWatcher, NameKind, NameQuery, Put, Refused, Start, TrimTo,
};

cases! {
    everything_is_there_again,
    versions_and_numbers_go_on,
    a_follower_resumes_where_it_was,
    closing_finishes_what_was_submitted,
    a_closed_store_says_so,
    many_reopenings_lose_nothing,
}

fn everything_is_there_again(fixture: Fixture) {
    let (kit, opened) = open(&fixture);
    let expiring = Put::new("session", "s", "1").expires(Expiry::At(T0 + 100));
    kit.done(vec![
        Put::new("agent", "ada", "1").index("state", ("idle", 3)).into(),
        expiring.into(),
        Add::new("tokens", "ada", 7).into(),
    ]);
    kit.append_many("run", 5);
    kit.trim("run", TrimTo::Newest(2), 100);
    kit.within("cleared").put(Put::new("agent", "ada", "1"));
    kit.within("cleared").clear();
    let look = |kit: &super::kit::Kit| {
        let documents = [kit.document("agent", "ada"), kit.document("session", "s"), kit.at(T0 + 100).document("session", "s")];
        let found = kit.keys(&kit.new_query("agent").index("state", "idle"));
        (documents, found, kit.sum("tokens", "ada"), kit.ends("run"), kit.entries("run"), kit.namespaces())
    };
    let before = look(&kit);
    opened.close();
    let (kit, _opened) = open(&fixture);
    assert_eq!(look(&kit), before);
    assert_eq!(kit.sweep_all().next, Some(T0 + 100));
}

fn versions_and_numbers_go_on(fixture: Fixture) {
    let (mut version, mut number, mut other) = (0, 0, 0);
    for _ in 0..3 {
        let (kit, opened) = open(&fixture);
        let expect = if version == 0 { Expect::Absent } else { Expect::Version(version) };
        let newer = kit.put(Put::new("agent", "ada", "1").expect(expect));
        assert!(newer > version);
        version = newer;
        number = kit.append(Append::new("run", "1").expect(number));
        let begin = kit.append(Append::new("other", "1"));
        assert!(begin > other, "a log that was forgotten begins higher");
        other = begin;
        kit.write(crate::state::Forget::new("other"));
        opened.close();
    }
}

fn a_follower_resumes_where_it_was(fixture: Fixture) {
    let (kit, opened) = open(&fixture);
    let numbers = kit.append_many("news", 3);
    opened.close();
    let (kit, _opened) = open(&fixture);
    let follower = kit.subscribe("news", Start::After(numbers[0]));
    assert_eq!(follower.texts(), ["1", "2"]);
    let answer = follower.submit();
    kit.append(Append::new("news", "3"));
    assert_eq!(super::kit::texts(wait(&answer).expect("what follows is delivered")), ["3"]);
}

fn closing_finishes_what_was_submitted(fixture: Fixture) {
    let (kit, opened) = open(&fixture);
    let answers: Vec<_> = (0..50)
        .map(|n| {
            let commit = Commit::new("agents", T0).with(Put::new("agent", format!("{n:02}"), "1"));
            submit(|reply| kit.store.commit(commit, reply))
        })
        .collect();
    opened.close();
    for answer in answers {
        assert!(matches!(wait(&answer), Ok(Committed::Done(_))));
    }
    let (kit, _opened) = open(&fixture);
    assert_eq!(kit.keys(&kit.new_query("agent")).len(), 50);
}

struct Nobody;

impl LogWatcher for Nobody {
    fn appended(self: Arc<Self>) {}
}

fn a_closed_store_says_so(fixture: Fixture) {
    let (kit, opened) = open(&fixture);
    kit.append(Append::new("news", "0"));
    let follower = kit.subscribe("news", Start::Now);
    let waiting = follower.submit();
    opened.close();
    assert_eq!(wait(&waiting), Err(StoreError::Closed), "who waits is answered");
    assert_eq!(wait(&follower.submit()), Err(StoreError::Closed));
    let (store, namespace) = (&kit.store, || Arc::<str>::from("agents"));
    let is_closed = [
        wait(&submit(|reply| store.commit(kit.new_commit().with(Put::new("agent", "a", "1")), reply))).err(),
        wait(&submit(|reply| store.get(namespace(), vec![Item::log("news")], T0, reply))).err(),
        wait(&submit(|reply| store.query(kit.new_query("agent"), reply))).err(),
        wait(&submit(|reply| store.read_log(kit.new_read("news", 0), reply))).err(),
        wait(&submit(|reply| store.names(NameQuery::new(NameKind::Namespaces, T0), reply))).err(),
        wait(&submit(|reply| store.clear(namespace(), reply))).err(),
        wait(&submit(|reply| store.sweep(T0, 1, reply))).err(),
        wait(&submit(|reply| store.watch(namespace(), "news".into(), Arc::new(Nobody), reply))).err(),
    ];
    assert_eq!(is_closed, [const { Some(StoreError::Closed) }; 8]);
}

fn many_reopenings_lose_nothing(fixture: Fixture) {
    let mut last = 0;
    for round in 0..8_i64 {
        let (kit, opened) = open(&fixture);
        assert_eq!(kit.sum("rounds", "all").unwrap_or(0), round);
        assert_eq!(kit.keys(&kit.new_query("round").index("n", ())).len(), round as usize);
        last = kit.append(Append::new("run", round.to_string()).expect(last));
        kit.done(vec![
            Add::new("rounds", "all", 1).ceiling(round + 1).into(),
            Put::new("round", round.to_string(), "1").index("n", round).expect(Expect::Absent).into(),
        ]);
        assert_eq!(kit.refusal(Add::new("rounds", "all", 1).ceiling(round + 1)), Refused::Sum { found: round + 1 });
        opened.close();
    }
}
