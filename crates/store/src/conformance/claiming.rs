//! Claiming: order, lanes, limits, and that nothing starts early or twice.

use std::collections::BTreeSet;

use master_agent_core::{JobState, Keep};

use super::Fixture;
use super::kit::*;
use crate::{ClaimRequest, Control, NewJob};

super::cases! {
    first_in_first_out,
    priority_first_then_age,
    order_holds_while_jobs_are_added,
    a_claimed_job_is_held_and_shown,
    tokens_grow_with_every_claim,
    a_claim_takes_only_its_lanes_and_its_queue,
    a_claim_takes_all_that_fits,
    limits_bound_a_lane,
    no_lane_starves,
    bytes_bound_a_claim,
    nothing_free_takes_nothing,
    a_delayed_job_never_starts_early,
    a_promoted_job_has_its_old_place,
    a_due_job_has_its_old_place,
    a_released_job_has_its_old_place,
    a_retried_job_has_its_old_place,
    a_stalled_job_has_its_old_place,
    a_paused_queue_gives_nothing,
}

fn first_in_first_out(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let mut added = kit.add_many("a", 30);
    added.extend(kit.add_many("a", 30));
    let mut seen = Vec::new();
    for free in [1, 2, 3, 50, 50] {
        seen.extend(ids(&kit.claim(ALICE, &["a"], free)));
    }
    assert_eq!(seen, added);
    assert!(kit.claim(BOB, &["a"], 5).is_empty(), "nothing is given twice");
}

fn priority_first_then_age(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add([5, 0, 2_097_152, 5, 1, 0, 10].map(|priority| prioritised("a", priority)).to_vec());
    let expected = [1, 5, 4, 0, 3, 6, 2].map(|index: usize| added[index]);
    assert_eq!(ids(&kit.claim(ALICE, &["a"], 3)), expected[..3]);
    assert_eq!(ids(&kit.claim(ALICE, &["a"], 9)), expected[3..]);
}

/// Later jobs of a higher priority pass those that wait, in every mixture of batches.
fn order_holds_while_jobs_are_added(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let mut waiting = BTreeSet::new();
    for round in 0..60_u32 {
        let batch: Vec<NewJob> = (0..round % 7).map(|n| prioritised("a", (round * 31 + n * 17) % 4)).collect();
        let priorities: Vec<u32> = batch.iter().map(|job| job.priority).collect();
        waiting.extend(priorities.into_iter().zip(kit.add(batch)));
        for claimed in kit.claim(ALICE, &["a"], (round % 5) as usize) {
            let first = waiting.pop_first().expect("a claimed job was waiting");
            assert_eq!((claimed.priority, claimed.id), first, "round {round}");
        }
    }
    let rest: Vec<_> = kit.claim(ALICE, &["a"], 1_000).iter().map(|job| (job.priority, job.id)).collect();
    assert_eq!(rest, waiting.into_iter().collect::<Vec<_>>());
}

fn a_claimed_job_is_held_and_shown(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let id = kit.add_one(job("a"));
    kit.claim_at(ALICE, &["a"], 1, T0 + 7);
    let view = kit.get(id);
    assert_eq!((view.state, view.worker, view.started_at), (JobState::Active, Some(ALICE), Some(T0 + 7)));
    assert_eq!(view.finished_at, None);
    assert_eq!((kit.count(JobState::Waiting), kit.count(JobState::Active)), (0, 1));
}

fn tokens_grow_with_every_claim(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add_many("a", 3);
    let mut last = 0;
    for _ in 0..4 {
        let mut tokens: Vec<i64> = Vec::new();
        for job in kit.claim(ALICE, &["a"], 3) {
            tokens.push(job.token.0);
            kit.end(&job, crate::Disposition::Release);
        }
        assert_eq!(tokens.len(), 3);
        assert!(tokens.iter().all(|token| *token > last), "{tokens:?} are not above {last}");
        last = tokens.into_iter().max().unwrap_or(last);
    }
}

fn a_claim_takes_only_its_lanes_and_its_queue(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let here = kit.add(vec![job("a"), job("b"), job("a b"), job("A")]);
    let other = kit.queue("other");
    let there = other.add_one(job("a"));
    assert!(kit.claim(ALICE, &["c"], 9).is_empty());
    assert!(kit.claim(ALICE, &[], 9).is_empty());
    assert_eq!(ids(&kit.claim(ALICE, &["c", "b"], 9)), [here[1]]);
    assert_eq!(ids(&kit.claim(ALICE, &["a"], 9)), [here[0]]);
    assert!(kit.queue("nothing here").claim(BOB, &["a"], 9).is_empty());
    assert_eq!(ids(&other.claim(BOB, &["a"], 9)), [there]);
}

fn a_claim_takes_all_that_fits(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let mut added = kit.add(vec![job("a"), job("b"), job("b"), job("c"), job("c"), job("c")]);
    let claimed = kit.claim(ALICE, &["a", "b", "c", "empty"], 5);
    assert_eq!(claimed.len(), 5, "five of six jobs fit");
    for lane in ["a", "b", "c"] {
        let given: Vec<_> = claimed.iter().filter(|job| &*job.lane == lane).map(|job| job.id).collect();
        assert!(given.windows(2).all(|pair| pair[0] < pair[1]), "lane {lane} is in order: {given:?}");
    }
    added.retain(|id| claimed.iter().all(|job| job.id != *id));
    assert_eq!(ids(&kit.claim(ALICE, &["a", "b", "c"], 5)), added, "the last one is left");
}

fn limits_bound_a_lane(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add_many("a", 10);
    kit.add_many("b", 10);
    let limited =
        |limits: &[(usize, usize)], free| ClaimRequest { limits: limits.to_vec(), ..kit.request(ALICE, &["a", "b"], free) };
    let lanes = |request| {
        let claimed = kit.ask_claim(request);
        let a = claimed.iter().filter(|job| &*job.lane == "a").count();
        (a, claimed.len() - a)
    };
    assert_eq!(lanes(limited(&[(0, 2)], 6)), (2, 4), "what one lane may not give, the other does");
    assert_eq!(lanes(limited(&[(0, 0), (1, 3)], 6)), (0, 3));
    assert_eq!(lanes(limited(&[(1, 0)], 20)), (8, 0));
}

fn no_lane_starves(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let lanes = ["a", "b", "c"];
    for lane in lanes {
        kit.add_many(lane, 60);
    }
    let served: BTreeSet<_> = (0..60).flat_map(|_| kit.claim(ALICE, &lanes, 1)).map(|job| job.lane).collect();
    assert_eq!(served.len(), 3, "in 60 claims of one job every lane has its turn, not only {served:?}");
}

fn bytes_bound_a_claim(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let data = format!("\"{}\"", "x".repeat(98));
    let added = kit.add((0..10).map(|_| NewJob { data_json: data.as_str().into(), ..job("a") }).collect());
    let bounded = |max_bytes| ids(&kit.ask_claim(ClaimRequest { max_bytes, ..kit.request(ALICE, &["a"], 10) }));
    assert_eq!(bounded(0), added[..1], "at least one job");
    assert_eq!(bounded(250), added[1..4], "the job that crosses the bound is the last one");
    assert_eq!(bounded(1_000_000), added[4..]);
    assert!(bounded(0).is_empty(), "an empty lane is answered too");
}

fn nothing_free_takes_nothing(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add_many("a", 1);
    assert!(kit.claim(ALICE, &["a"], 0).is_empty());
    assert_eq!(kit.count(JobState::Waiting), 1);
}

fn a_delayed_job_never_starts_early(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let id = kit.add_one(delayed("a", T0 + 100));
    assert_eq!(kit.maintain(T0 + 99).promoted, 0);
    assert!(kit.claim_at(ALICE, &["a"], 9, T0 + 99).is_empty());
    assert_eq!(kit.state(id), JobState::Delayed);
    assert_eq!(kit.maintain(T0 + 100).promoted, 1);
    assert_eq!(ids(&kit.claim_at(ALICE, &["a"], 9, T0 + 100)), [id]);
}

fn a_promoted_job_has_its_old_place(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added =
        kit.add(vec![job("a"), delayed("a", T0 + 100), job("a"), NewJob { priority: 1, ..delayed("a", T0 + 1) }, job("a")]);
    kit.control(Control::Promote { job: by_id(added[3]) });
    kit.control(Control::Promote { job: by_id(added[1]) });
    assert_eq!(ids(&kit.claim(ALICE, &["a"], 9)), [0, 1, 2, 4, 3].map(|index: usize| added[index]));
}

fn a_due_job_has_its_old_place(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add(vec![delayed("a", T0 + 20), job("a"), NewJob { priority: 1, ..delayed("a", T0 + 5) }, job("a")]);
    assert_eq!(kit.maintain(T0 + 20).promoted, 2);
    assert_eq!(ids(&kit.claim(ALICE, &["a"], 9)), [0, 1, 3, 2].map(|index: usize| added[index]));
}

fn a_released_job_has_its_old_place(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add_many("a", 4);
    let claimed = kit.claim(ALICE, &["a"], 3);
    kit.settle_at(claimed.iter().rev().map(|job| settlement(job, crate::Disposition::Release)).collect(), T0);
    let again = kit.claim(BOB, &["a"], 9);
    assert_eq!(ids(&again), added);
    assert!(again.iter().all(|job| job.failures == 0 && job.stalls == 0), "a release counts nothing");
}

fn a_retried_job_has_its_old_place(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add_many("a", 4);
    let claimed = kit.claim(ALICE, &["a"], 3);
    assert_eq!(kit.end(&claimed[1], retry(T0)), JobState::Waiting, "a retry that is due waits");
    assert_eq!(kit.end(&claimed[0], fail(Keep::ALL)), JobState::Failed);
    assert_eq!(kit.end(&claimed[2], retry(T0 + 1)), JobState::Delayed);
    kit.control(Control::Retry { job: by_id(added[0]) });
    kit.maintain(T0 + 1);
    let again = kit.claim(BOB, &["a"], 9);
    assert_eq!(ids(&again), added);
    assert_eq!(again.iter().map(|job| job.failures).collect::<Vec<_>>(), [0, 1, 1, 0]);
}

fn a_stalled_job_has_its_old_place(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add_many("a", 3);
    let claimed = kit.claim(ALICE, &["a"], 2);
    kit.end(&claimed[1], stall());
    kit.maintain(T0 + LEASE + 1);
    let again = kit.claim(BOB, &["a"], 9);
    assert_eq!(ids(&again), added);
    assert_eq!(again.iter().map(|job| job.stalls).collect::<Vec<_>>(), [1, 1, 0]);
}

fn a_paused_queue_gives_nothing(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let other = kit.queue("other");
    let added = kit.add_many("a", 3);
    let there = other.add_one(job("a"));
    let running = kit.claim_one(ALICE, "a");
    kit.control(Control::Pause);
    assert!(kit.counts().paused);
    assert!(kit.claim(ALICE, &["a"], 9).is_empty());
    let late = kit.add_one(job("a"));
    let reply = kit.settle_and_claim(vec![settlement(&running, complete(Keep::ALL))], T0, Some(kit.request(ALICE, &["a"], 9)));
    assert_eq!(reply.settled, [crate::Settled::Applied(JobState::Completed)], "what runs may end");
    assert!(reply.claimed.is_empty());
    assert_eq!(ids(&other.claim(BOB, &["a"], 9)), [there], "another queue goes on");
    kit.control(Control::Resume);
    assert!(!kit.counts().paused);
    assert_eq!(ids(&kit.claim(ALICE, &["a"], 9)), [added[1], added[2], late]);
}
