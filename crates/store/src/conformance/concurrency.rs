//! Many threads at one store: nothing twice, nothing lost, every answer its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use master_agent_core::{JobId, JobState, Keep, WorkerId};

use super::kit::*;
use super::{Fixture, PATIENCE};
use crate::{Control, Disposition, Settled, StoreError};

super::cases! {
    many_workers_take_each_job_once,
    adding_and_working_go_on_together,
    many_may_add_one_key,
    one_of_many_settlements_counts,
    cancelling_and_completing_agree,
    operations_in_flight_keep_their_order,
    thousands_in_flight_keep_their_order,
    a_refused_operation_spoils_no_other,
    looking_sees_what_was_acknowledged,
}

const THREADS: usize = 6;

fn many_workers_take_each_job_once(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add_many("a", 600);
    share(&kit, &kit, &added);
}

/// Lets workers at both kits take and settle all of these jobs, in steps of several sizes, and looks at the result.
pub(super) fn share(one: &Kit, other: &Kit, added: &[JobId]) {
    let left = AtomicUsize::new(added.len());
    let deadline = Instant::now() + PATIENCE;
    let seen: Vec<Vec<JobId>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|index| {
                let (kit, left) = (if index % 2 == 0 { one } else { other }, &left);
                scope.spawn(move || {
                    let worker = WorkerId(1_000 + index as i64);
                    let mut completed = Vec::new();
                    let mut held = Vec::new();
                    while left.load(Ordering::SeqCst) > 0 {
                        assert!(Instant::now() < deadline, "{left:?} jobs are never given to a worker");
                        let mut batch: Vec<_> = held
                            .drain(..)
                            .map(|job: crate::ClaimedJob| {
                                // Some are given back once, so that jobs change hands.
                                let first = job.stalls == 0 && job.id.0 % 5 == 0;
                                settlement(&job, if first { stall() } else { complete(Keep::ALL) })
                            })
                            .collect();
                        batch.sort_by_key(|settlement| settlement.id);
                        let request = kit.request(worker, &["a"], 1 + index * 3);
                        let reply = kit.settle_and_claim(batch.clone(), T0, Some(request));
                        for (settlement, settled) in batch.iter().zip(reply.settled) {
                            match settled {
                                Settled::Applied(JobState::Completed) => {
                                    completed.push(settlement.id);
                                    left.fetch_sub(1, Ordering::SeqCst);
                                }
                                Settled::Applied(state) => assert_eq!(state, JobState::Waiting),
                                Settled::Refused => panic!("job {} was taken from its holder", settlement.id),
                            }
                        }
                        held = reply.claimed;
                    }
                    assert!(held.is_empty(), "all is done, so nothing can be held");
                    completed
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("the worker ends well")).collect()
    });
    let all: Vec<JobId> = seen.into_iter().flatten().collect();
    assert_eq!(all.len(), added.len(), "each job is completed once");
    assert_eq!(sorted(all), added);
    assert_eq!(sorted(one.listed(JobState::Completed)), added);
    assert_eq!(one.counts().lanes.len(), 1);
}

fn adding_and_working_go_on_together(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let (rounds, batch) = (40, 5);
    let total = THREADS * rounds * batch;
    let deadline = Instant::now() + PATIENCE;
    let completed = thread::scope(|scope| {
        let adders: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let added: Vec<JobId> = (0..rounds).flat_map(|_| kit.add_many("a", batch)).collect();
                    assert!(added.is_sorted(), "the ids of one adder grow");
                    assert!(added.chunks(batch).all(|chunk| chunk.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1)));
                    added
                })
            })
            .collect();
        let worker = scope.spawn(|| {
            let mut completed: Vec<JobId> = Vec::new();
            while completed.len() < total {
                assert!(Instant::now() < deadline, "{} of {total} jobs are ever given to a worker", completed.len());
                let claimed = kit.claim(ALICE, &["a"], 16);
                assert!(ids(&claimed).is_sorted(), "each claim is in order");
                let batch = claimed.iter().map(|job| settlement(job, complete(Keep::NOTHING))).collect();
                let settled = kit.settle_at(batch, T0);
                assert!(settled.iter().all(|settled| *settled == Settled::Applied(JobState::Completed)));
                completed.extend(ids(&claimed));
                thread::yield_now();
            }
            completed
        });
        let added: BTreeSet<JobId> = adders.into_iter().flat_map(|adder| adder.join().expect("the adder ends well")).collect();
        assert_eq!(added.len(), total, "no id is given twice");
        let completed = worker.join().expect("the worker ends well");
        assert_eq!(completed.iter().copied().collect::<BTreeSet<_>>(), added);
        completed
    });
    assert_eq!(completed.len(), total);
    assert!(kit.counts().lanes.is_empty());
}

fn many_may_add_one_key(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    for round in 0..20 {
        let key = format!("key {round}");
        let added: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| kit.add_at(vec![keyed("a", &key)], T0)[0])).collect();
            threads.into_iter().map(|thread| thread.join().expect("the adder ends well")).collect()
        });
        assert_eq!(added.iter().filter(|added| !added.existing).count(), 1, "{added:?}");
        assert_eq!(added.iter().map(|added| added.id).collect::<BTreeSet<_>>().len(), 1, "{added:?}");
    }
    assert_eq!(kit.count(JobState::Waiting), 20);
}

fn one_of_many_settlements_counts(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    for _ in 0..20 {
        kit.add_one(job("a"));
        let claimed = kit.claim_one(ALICE, "a");
        let ends = [complete(Keep::ALL), fail(Keep::ALL), complete(Keep::NOTHING), retry(T0 + 1), fail(Keep::NOTHING)];
        let settled: Vec<Settled> = thread::scope(|scope| {
            let threads: Vec<_> =
                ends.into_iter().map(|end| scope.spawn(|| kit.settle_at(vec![settlement(&claimed, end)], T0)[0])).collect();
            threads.into_iter().map(|thread| thread.join().expect("the settler ends well")).collect()
        });
        let applied: Vec<_> = settled.iter().filter(|settled| **settled != Settled::Refused).collect();
        assert_eq!(applied.len(), 1, "{settled:?}");
    }
}

fn cancelling_and_completing_agree(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    for round in 0..30 {
        let id = kit.add_one(job("a"));
        let (cancelled, claimed) = thread::scope(|scope| {
            let cancelled = scope.spawn(|| kit.cancel(by_id(id)));
            let claimed = scope.spawn(|| kit.claim(ALICE, &["a"], 1));
            (cancelled.join().expect("cancel ends well"), claimed.join().expect("claim ends well"))
        });
        match (&cancelled.ended[..], &claimed[..]) {
            ([ended], []) => assert_eq!((*ended, kit.state(id)), (id, JobState::Cancelled)),
            ([], [claimed]) => {
                assert_eq!(cancels(&kit.beat_at(ALICE, T0, LEASE)), [id], "round {round}: the holder is asked");
                kit.end(claimed, complete(Keep::ALL));
            }
            other => panic!("round {round}: the job is {other:?}"),
        }
    }
}

/// What one thread submits without waiting takes effect in that order.
fn operations_in_flight_keep_their_order(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let (send, receive) = channel();
    for round in 0..50 {
        let (added, claimed) = (send.clone(), send.clone());
        let jobs = vec![keyed("a", &format!("{round}")), job("a")];
        let add = Box::new(move |outcome: Result<Vec<crate::Enqueued>, StoreError>| {
            let ids = outcome.map(|added| added.iter().map(|added| added.id).collect::<Vec<_>>());
            let _ = added.send((round, "added", ids));
        });
        let claim = Box::new(move |outcome: Result<Vec<crate::ClaimedJob>, StoreError>| {
            let _ = claimed.send((round, "claimed", outcome.map(|claimed| ids(&claimed))));
        });
        kit.store.enqueue(kit.queue.clone(), jobs, T0, add);
        kit.store.claim(kit.request(ALICE, &["a"], 2), claim);
    }
    let mut answers = BTreeMap::new();
    for _ in 0..100 {
        let (round, what, ids) = receive.recv_timeout(PATIENCE).expect("every operation is answered");
        answers.insert((round, what), ids.expect("every operation succeeds"));
    }
    for round in 0..50 {
        assert_eq!(answers[&(round, "claimed")], answers[&(round, "added")], "round {round}");
    }
}

/// More at once than buffers on the way hold.
fn thousands_in_flight_keep_their_order(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let (answer, answers) = channel();
    for number in 0..5_000_usize {
        let answer = answer.clone();
        let reply = Box::new(move |added: Result<Vec<crate::Enqueued>, StoreError>| {
            let _ = answer.send((number, added.expect("added")[0].id));
        });
        kit.store.enqueue(kit.queue.clone(), vec![job("a")], T0, reply);
    }
    let mut added: Vec<_> = (0..5_000).map(|_| answers.recv_timeout(PATIENCE).expect("every operation is answered")).collect();
    added.sort_unstable();
    let ids: Vec<JobId> = added.into_iter().map(|(_, id)| id).collect();
    assert!(ids.is_sorted(), "jobs that were added later come first");
}

/// Operations that share a commit fail each for itself.
fn a_refused_operation_spoils_no_other(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let (send, receive) = channel();
    for n in 0..60 {
        let send = send.clone();
        if n % 3 == 1 {
            let control = Control::Remove { job: by_key("nobody") };
            let reply = Box::new(move |outcome: Result<crate::Controlled, StoreError>| {
                assert!(outcome.is_err(), "there is no such job");
                let _ = send.send(None);
            });
            kit.store.control(kit.queue.clone(), control, T0, reply);
        } else {
            let reply = Box::new(move |outcome: Result<Vec<crate::Enqueued>, StoreError>| {
                let _ = send.send(outcome.ok().map(|added| added[0].id));
            });
            kit.store.enqueue(kit.queue.clone(), vec![job("a")], T0, reply);
        }
    }
    let answers: Vec<_> = (0..60).map(|_| receive.recv_timeout(PATIENCE).expect("every operation is answered")).collect();
    let added = sorted(answers.into_iter().flatten().collect());
    assert_eq!(added.len(), 40);
    assert_eq!(kit.listed(JobState::Waiting), added);
    assert_eq!(ids(&kit.claim(ALICE, &["a"], 100)), added);
}

fn looking_sees_what_was_acknowledged(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    thread::scope(|scope| {
        for index in 0..THREADS {
            let kit = &kit;
            scope.spawn(move || {
                let lane = format!("lane {index}");
                for round in 1..=15 {
                    let id = kit.add_one(job(&lane));
                    assert_eq!(kit.state(id), JobState::Waiting);
                    let claimed = kit.claim_one(WorkerId(500 + index as i64), &lane);
                    assert_eq!((claimed.id, kit.state(id)), (id, JobState::Active));
                    kit.end(&claimed, if round % 2 == 0 { complete(Keep::ALL) } else { Disposition::Release });
                    let lanes = kit.counts().lanes;
                    let mine: u64 = lanes.iter().filter(|count| *count.lane == *lane).map(|count| count.count).sum();
                    assert!(mine >= 1);
                    if round % 2 == 0 {
                        assert_eq!(kit.state(id), JobState::Completed);
                    } else {
                        kit.control(Control::Remove { job: by_id(id) });
                        assert!(kit.gone(id));
                    }
                }
            });
        }
    });
    assert_eq!(kit.count(JobState::Completed), (THREADS * 7) as u64);
}
