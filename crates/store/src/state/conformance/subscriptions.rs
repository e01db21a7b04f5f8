//! Following logs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::kit::{T0, ask, open, strings, texts, wait};
use super::{Fixture, cases};
use crate::StoreError;
use crate::state::{Append, Check, Delivery, Expect, Expiry, Forget, LogWatcher, Put, Start, Subscription, TrimTo};

cases! {
    the_oldest_come_first,
    one_may_begin_after_a_number,
    one_may_begin_now,
    what_is_appended_later_is_delivered,
    a_log_may_begin_later,
    a_change_and_its_notice_are_one,
    a_delivery_is_bounded,
    every_subscription_gets_everything,
    what_was_trimmed_is_told,
    what_outran_the_bound_is_told,
    a_log_that_began_anew_is_told,
    waiting_twice_is_refused,
    dropping_answers,
    a_watch_that_ended_is_silent,
    other_logs_are_not_told_of,
    nothing_is_lost_or_repeated_under_load,
}

fn the_oldest_come_first(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let numbers = kit.append_many("news", 3);
    let delivery = kit.subscribe("news", Start::Oldest).next();
    assert_eq!(delivery.missed, None);
    let entries: Vec<_> = delivery.entries.iter().map(|entry| (entry.number, entry.at, &*entry.entry_json)).collect();
    assert_eq!(entries, [(numbers[0], T0, "0"), (numbers[1], T0, "1"), (numbers[2], T0, "2")]);
}

fn one_may_begin_after_a_number(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let numbers = kit.append_many("news", 4);
    assert_eq!(kit.subscribe("news", Start::After(numbers[1])).texts(), ["2", "3"]);
    let waiting = kit.subscribe("news", Start::After(numbers[3]));
    let answer = waiting.submit();
    kit.append(Append::new("news", "4"));
    assert_eq!(texts(wait(&answer).expect("what follows is delivered")), ["4"]);
}

fn one_may_begin_now(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    kit.append_many("news", 3);
    let (old, new) = (kit.subscribe("news", Start::Now), kit.subscribe("fresh", Start::Now));
    kit.append(Append::new("news", "3"));
    kit.append(Append::new("fresh", "0"));
    assert_eq!((old.texts(), new.texts()), (strings(&["3"]), strings(&["0"])));
}

fn what_is_appended_later_is_delivered(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    kit.append(Append::new("news", "0"));
    let follower = kit.subscribe("news", Start::Oldest);
    assert_eq!(follower.texts(), ["0"]);
    for n in 1..20 {
        let answer = follower.submit();
        kit.append(Append::new("news", n.to_string()));
        assert_eq!(texts(wait(&answer).expect("what follows is delivered")), [n.to_string()]);
    }
}

fn a_log_may_begin_later(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    for start in [Start::Oldest, Start::After(0), Start::Now] {
        let follower = kit.subscribe("news", start);
        let answer = follower.submit();
        kit.append(Append::new("news", "0"));
        let delivery = wait(&answer).expect("what follows is delivered");
        assert_eq!(delivery.entries.len(), 1, "{start:?}");
        if start != Start::After(0) {
            assert_eq!(delivery.missed, None, "{start:?}");
        }
        kit.write(Forget::new("news"));
    }
}

fn a_change_and_its_notice_are_one(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let follower = kit.subscribe("news", Start::Oldest);
    let answer = follower.submit();
    let change = |n: i64, expect| {
        vec![
            Append::publish("news", n.to_string()).into(),
            Put::new("agent", "ada", n.to_string()).into(),
            Check::new("agent", "none", expect).into(),
        ]
    };
    kit.refused(change(1, Expect::Present));
    kit.done(change(2, Expect::Absent));
    assert_eq!(texts(wait(&answer).expect("what follows is delivered")), ["2"], "a refused change has no notice");
    assert_eq!(kit.value("agent", "ada").as_deref(), Some("2"), "who hears of a change sees it");
}

fn a_delivery_is_bounded(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    kit.append_many("news", 7);
    let follower = kit.subscribe("news", Start::Oldest);
    let next = |limit, bytes| texts(ask(|reply| follower.0.next(limit, bytes, reply)).expect("what follows is delivered"));
    assert_eq!(next(3, usize::MAX), ["0", "1", "2"]);
    assert_eq!(next(1_000, 2), ["3", "4"]);
    assert_eq!(next(1_000, 0), ["5"]);
    assert_eq!(next(1_000, usize::MAX), ["6"]);
}

fn every_subscription_gets_everything(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let followers: Vec<_> = (0..8).map(|_| kit.subscribe("news", Start::Now)).collect();
    let answers: Vec<_> = followers.iter().map(|follower| follower.submit()).collect();
    kit.append(Append::publish("news", "1"));
    for answer in answers {
        assert_eq!(texts(wait(&answer).expect("what follows is delivered")), ["1"]);
    }
}

fn what_was_trimmed_is_told(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let numbers = kit.append_many("news", 6);
    let (first, resumed) = (kit.subscribe("news", Start::Oldest), kit.subscribe("news", Start::After(numbers[0])));
    kit.trim("news", TrimTo::Through(numbers[3]), 100);
    assert_eq!(first.texts(), ["4", "5"], "who has seen nothing misses nothing");
    let delivery = resumed.next();
    assert_eq!(delivery.missed, Some(numbers[1]..=numbers[3]));
    assert_eq!(delivery.entries.len(), 2);
    kit.append(Append::new("news", "6"));
    kit.trim("news", TrimTo::Newest(0), 100);
    let all = Delivery { missed: Some(numbers[5] + 1..=numbers[5] + 1), entries: Vec::new() };
    assert_eq!(resumed.next(), all, "all that was new is missed");
    kit.append(Append::new("news", "7"));
    assert_eq!(resumed.texts(), ["7"], "what was missed is told once");
}

fn what_outran_the_bound_is_told(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let (old, fresh) = (kit.subscribe("news", Start::Oldest), kit.subscribe("fresh", Start::Now));
    let first = kit.append(Append::new("news", "0").keep(3));
    assert_eq!(old.texts(), ["0"]);
    for n in 1..10 {
        kit.append(Append::new("news", n.to_string()).keep(3));
        kit.append(Append::new("fresh", n.to_string()).keep(3));
    }
    let delivery = old.next();
    assert_eq!(delivery.missed, Some(first + 1..=first + 6));
    assert_eq!(delivery.entries.iter().map(|entry| &*entry.entry_json).collect::<Vec<_>>(), ["7", "8", "9"]);
    let begin = kit.ends("fresh").expect("the log is there").begin;
    assert_eq!(fresh.next().missed, Some(begin..=begin + 5), "also of a log that began while it was followed");
}

fn a_log_that_began_anew_is_told(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let numbers = kit.append_many("news", 3);
    let follower = kit.subscribe("news", Start::Oldest);
    assert_eq!(follower.next().entries.len(), 3);
    kit.append(Append::new("news", "lost"));
    kit.write(Forget::new("news"));
    let begin = kit.append(Append::new("news", "new"));
    let delivery = follower.next();
    assert_eq!(delivery.missed, Some(numbers[2] + 1..=begin - 1));
    assert_eq!(delivery.entries.len(), 1);
    kit.append(Append::new("news", "last").expires(Expiry::At(T0)));
    let answer = follower.submit();
    kit.append(Append::new("news", "after"));
    let delivery = wait(&answer).expect("what follows is delivered");
    assert_eq!(delivery.entries.iter().map(|entry| &*entry.entry_json).collect::<Vec<_>>(), ["after"]);
    assert!(delivery.missed.is_some(), "an expired log's entries are missed too");
}

fn waiting_twice_is_refused(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let follower = kit.subscribe("news", Start::Oldest);
    let first = follower.submit();
    assert!(matches!(wait(&follower.submit()), Err(StoreError::Invalid { field, .. }) if field == "next"));
    kit.append(Append::new("news", "0"));
    assert_eq!(texts(wait(&first).expect("what follows is delivered")), ["0"]);
}

fn dropping_answers(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let follower = kit.subscribe("news", Start::Oldest);
    let answer = follower.submit();
    drop(follower);
    assert_eq!(wait(&answer), Err(StoreError::Closed));
    kit.append(Append::new("news", "0"));
}

struct Count(AtomicUsize);

impl LogWatcher for Count {
    fn appended(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn a_watch_that_ended_is_silent(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let watch = ask(|reply| kit.store.watch(kit.namespace.clone(), "news".into(), count.clone(), reply)).expect("a watch");
    let other = kit.subscribe("news", Start::Now);
    kit.append(Append::new("news", "0"));
    assert_eq!(other.texts(), ["0"]);
    drop(watch);
    assert_eq!(Arc::strong_count(&count), 1, "the store lets go of who watched");
    let told = count.0.load(Ordering::SeqCst);
    kit.append(Append::new("news", "1"));
    assert_eq!(other.texts(), ["1"], "the others go on");
    assert_eq!(count.0.load(Ordering::SeqCst), told);
}

fn other_logs_are_not_told_of(fixture: Fixture) {
    let (kit, _opened) = open(&fixture);
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let _watch = ask(|reply| kit.store.watch(kit.namespace.clone(), "news".into(), count.clone(), reply)).expect("a watch");
    let told = count.0.load(Ordering::SeqCst);
    let (here, elsewhere) = (kit.subscribe("news/2", Start::Now), kit.within("elsewhere").subscribe("news", Start::Now));
    kit.append(Append::new("news/2", "0"));
    kit.within("elsewhere").append(Append::new("news", "0"));
    kit.put(Put::new("agent", "ada", "1"));
    assert_eq!((here.texts(), elsewhere.texts()), (strings(&["0"]), strings(&["0"])));
    assert_eq!(count.0.load(Ordering::SeqCst), told);
}

fn nothing_is_lost_or_repeated_under_load(fixture: Fixture) {
    const WRITERS: usize = 4;
    const EACH: usize = 100;
    let (kit, _opened) = open(&fixture);
    let follow = |follower: &super::kit::Follower| {
        let mut seen: Vec<String> = Vec::new();
        let mut last = None;
        while seen.len() < WRITERS * EACH {
            let delivery = follower.next();
            assert_eq!(delivery.missed, None);
            for entry in delivery.entries {
                assert!(last.is_none_or(|last| entry.number == last + 1), "entries come in their order, none twice");
                last = Some(entry.number);
                seen.push(entry.entry_json.into());
            }
        }
        seen
    };
    let followers: Vec<_> = (0..3).map(|_| kit.subscribe("news", Start::Now)).collect();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let kit = &kit;
            scope.spawn(move || {
                for n in 0..EACH {
                    kit.append(Append::new("news", format!("\"{writer}/{n}\"")));
                }
            });
        }
        let seen: Vec<_> = followers.iter().map(|follower| scope.spawn(|| follow(follower))).collect();
        let seen: Vec<Vec<String>> = seen.into_iter().map(|seen| seen.join().expect("a follower ends")).collect();
        assert!(seen.iter().all(|all| *all == seen[0]), "everyone sees the same");
        let mut all = seen[0].clone();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), WRITERS * EACH, "everything is seen");
    });
}

/// A subscription is a handle that may go to another thread.
const _: fn() = || {
    fn sendable<T: Send + Sync>() {}
    sendable::<Subscription>();
};
