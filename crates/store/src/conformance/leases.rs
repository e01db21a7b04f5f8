//! Workers: beats, leases that end, leaving, and the maintenance of time.

use master_agent_core::{JobPolicy, JobState, Keep, WorkerId};

use super::Fixture;
use super::kit::*;
use crate::{BeatReply, Control, Disposition, Settled};

super::cases! {
    a_beat_registers_a_worker,
    a_beat_extends_the_lease,
    a_claim_registers_an_unknown_worker,
    a_lease_ends_strictly_after_its_time,
    what_an_expired_worker_held_waits_again,
    an_expired_worker_that_beats_in_time_goes_on,
    a_worker_that_was_taken_back_holds_nothing,
    only_the_expired_worker_loses_its_jobs,
    a_lost_job_dies_after_its_stalls,
    dead_jobs_are_bounded_by_their_policy,
    a_lost_job_that_was_cancelled_does_not_run_again,
    a_beat_tells_what_is_held,
    leaving_gives_everything_back_uncounted,
    leaving_ends_what_was_cancelled,
    leaving_is_for_everyone,
    workers_are_shown_per_queue,
    maintenance_promotes_what_is_due,
    maintenance_promotes_in_slices,
    maintenance_tells_when_it_is_due,
    maintenance_of_nothing_is_nothing,
}

fn a_beat_registers_a_worker(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    assert!(kit.workers().is_empty());
    assert_eq!(kit.beat_at(ALICE, T0 + 5, 100), BeatReply::default());
    let view = kit.worker(ALICE).expect("the worker is shown");
    assert_eq!((&*view.queue, &*view.name, view.concurrency, view.running), ("tasks", "host:101", 8, 0));
    assert_eq!((view.started_at, view.beat_at, view.lease_until), (T0, T0 + 5, T0 + 105));
}

fn a_beat_extends_the_lease(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let id = kit.add_one(job("a"));
    kit.beat_at(ALICE, T0, 100);
    kit.claim_one(ALICE, "a");
    kit.beat_at(ALICE, T0 + 80, 100);
    assert_eq!(kit.maintain(T0 + 150).recovered, 0);
    assert_eq!(kit.state(id), JobState::Active);
    assert_eq!(kit.worker(ALICE).map(|view| view.lease_until), Some(T0 + 180));
    assert_eq!(kit.maintain(T0 + 181).recovered, 1);
}

fn a_claim_registers_an_unknown_worker(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let id = kit.add_one(job("a"));
    kit.claim_one(ALICE, "a");
    let view = kit.worker(ALICE).expect("a worker that holds a job is known");
    assert_eq!((view.running, view.lease_until), (1, T0 + LEASE));
    assert_eq!(kit.maintain(T0 + LEASE).recovered, 0);
    assert_eq!(kit.maintain(T0 + LEASE + 1).recovered, 1);
    assert_eq!(kit.state(id), JobState::Waiting);
}

fn a_lease_ends_strictly_after_its_time(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.beat_at(ALICE, T0, 100);
    kit.add_one(job("a"));
    kit.claim_one(ALICE, "a");
    kit.maintain(T0 + 100);
    assert!(kit.worker(ALICE).is_some());
    assert_eq!(kit.count(JobState::Active), 1);
    kit.maintain(T0 + 101);
    assert!(kit.worker(ALICE).is_none());
    assert_eq!(kit.count(JobState::Active), 0);
}

fn what_an_expired_worker_held_waits_again(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add_many("a", 4);
    kit.beat_at(ALICE, T0, 100);
    let claimed = kit.claim(ALICE, &["a"], 3);
    let done = kit.maintain(T0 + 101);
    assert_eq!((done.recovered, done.dead.len()), (3, 0));
    assert_eq!(kit.listed(JobState::Waiting), added);
    let again = kit.claim_at(BOB, &["a"], 9, T0 + 101);
    assert_eq!(again.iter().map(|job| job.stalls).collect::<Vec<_>>(), [1, 1, 1, 0]);
    assert!(again.iter().all(|job| job.failures == 0));
    assert!(again[0].token > claimed[2].token, "a new claim has a new token");
    let late = claimed.iter().map(|job| settlement(job, complete(Keep::ALL))).collect();
    assert_eq!(kit.settle_at(late, T0 + 102), [Settled::Refused; 3]);
    assert_eq!(kit.maintain(T0 + 103).recovered, 0, "a worker is taken back once");
}

fn an_expired_worker_that_beats_in_time_goes_on(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add_one(job("a"));
    kit.beat_at(ALICE, T0, 100);
    let claimed = kit.claim_one(ALICE, "a");
    let reply = kit.beat_at(ALICE, T0 + 500, 100);
    assert_eq!(reply.held, [(claimed.id, claimed.token)], "nobody took the job, so it is still held");
    assert_eq!(kit.maintain(T0 + 501).recovered, 0);
    assert_eq!(kit.end(&claimed, complete(Keep::ALL)), JobState::Completed);
}

fn a_worker_that_was_taken_back_holds_nothing(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add_one(job("a"));
    kit.beat_at(ALICE, T0, 100);
    let claimed = kit.claim_one(ALICE, "a");
    kit.maintain(T0 + 101);
    assert_eq!(kit.beat_at(ALICE, T0 + 102, 100), BeatReply::default());
    assert_eq!(kit.settle_at(vec![settlement(&claimed, complete(Keep::ALL))], T0 + 103), [Settled::Refused]);
    assert_eq!(kit.note(&claimed, progress("1")), Settled::Refused);
    let again = kit.claim_at(ALICE, &["a"], 1, T0 + 104);
    assert_eq!(kit.beat_at(ALICE, T0 + 105, 100).held, [(again[0].id, again[0].token)]);
}

fn only_the_expired_worker_loses_its_jobs(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let other = kit.queue("other");
    let carol = WorkerId(103);
    kit.add_many("a", 2);
    other.add_one(job("a"));
    kit.beat_at(ALICE, T0, 100);
    kit.beat_at(BOB, T0, 200);
    other.beat_at(carol, T0, 100);
    let lost = kit.claim_one(ALICE, "a");
    let kept = kit.claim_one(BOB, "a");
    let elsewhere = other.claim_one(carol, "a");
    assert_eq!(kit.maintain(T0 + 150).recovered, 2, "maintenance looks at all queues");
    assert_eq!(kit.state(lost.id), JobState::Waiting);
    assert_eq!(kit.state(kept.id), JobState::Active);
    assert_eq!(other.state(elsewhere.id), JobState::Waiting);
    assert_eq!(kit.beat_at(BOB, T0 + 151, 200).held, [(kept.id, kept.token)]);
}

fn a_lost_job_dies_after_its_stalls(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let id = kit.add_one(with_policy("a", JobPolicy { max_stalls: 1, ..policy() }));
    kit.claim_one(ALICE, "a");
    let first = kit.maintain(T0 + LEASE + 1);
    assert_eq!((first.recovered, first.dead.len()), (1, 0));
    let later = T0 + LEASE + 2;
    kit.claim_at(BOB, &["a"], 1, later);
    let second = kit.maintain(later + LEASE + 1);
    assert_eq!((second.recovered, second.dead), (1, vec![("tasks".into(), id)]));
    let view = kit.get(id);
    assert_eq!((view.state, view.stalls, view.worker), (JobState::Dead, 2, None));
    assert_eq!(view.finished_at, Some(later + LEASE + 1));
    let error: serde_json::Value = serde_json::from_str(view.error_json.as_deref().unwrap_or("null")).expect("the error is JSON");
    assert_eq!((error["name"].as_str(), error["code"].as_str()), (Some("StalledError"), Some("ERR_TASK_STALLED")));
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
}

fn dead_jobs_are_bounded_by_their_policy(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let bounded = |keep| JobPolicy { max_stalls: 0, remove_on_fail: keep, ..policy() };
    let failed = kit.end_many("a", 2, T0, &fail(Keep::ALL));
    let dead = kit.add_one(with_policy("a", bounded(Keep { count: Some(2), age: None })));
    kit.claim_one(ALICE, "a");
    kit.maintain(T0 + LEASE + 1);
    assert_eq!((kit.listed(JobState::Failed), kit.listed(JobState::Dead)), (vec![failed[1]], vec![dead]));
    let gone = kit.add_one(with_policy("a", bounded(Keep::NOTHING)));
    kit.claim_at(BOB, &["a"], 1, T0 + LEASE + 2);
    let done = kit.maintain(T0 + 2 * LEASE + 3);
    assert_eq!(done.dead, [("tasks".into(), gone)], "who waits for it must hear of it");
    assert!(kit.gone(gone));
}

fn a_lost_job_that_was_cancelled_does_not_run_again(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added =
        kit.add(vec![job("a"), keyed("a", "k"), with_policy("a", JobPolicy { remove_on_fail: Keep::NOTHING, ..policy() })]);
    kit.claim(ALICE, &["a"], 3);
    kit.control(Control::Cancel { job: by_id(added[1]), error_json: error("why"), now: T0 });
    kit.cancel(by_id(added[1]));
    kit.cancel(by_id(added[2]));
    let done = kit.maintain(T0 + LEASE + 1);
    assert_eq!((done.recovered, done.dead.len()), (3, 2));
    assert!(added[1..].iter().all(|id| done.dead.contains(&("tasks".into(), *id))), "who waits for them must hear of it");
    assert_eq!((kit.listed(JobState::Waiting), kit.listed(JobState::Cancelled)), (vec![added[0]], vec![added[1]]));
    assert!(kit.gone(added[2]), "it is kept as its policy says of failures");
    let view = kit.view(by_key("k")).expect("the cancelled job is kept");
    assert_eq!((view.failures, view.stalls, view.worker), (0, 0, None));
    assert_eq!((view.error_json, view.finished_at), (Some(error("why")), Some(T0 + LEASE + 1)), "the first reason counts");
    assert_eq!(ids(&kit.claim_at(BOB, &["a"], 9, T0 + LEASE + 2)), [added[0]]);
    // Started over, it is a job like any other: the old cancel is forgotten.
    kit.control(Control::Retry { job: by_id(added[1]) });
    kit.claim_at(BOB, &["a"], 9, T0 + LEASE + 2);
    assert_eq!(cancels(&kit.beat_at(BOB, T0 + LEASE + 3, LEASE)), []);
    assert_eq!(kit.maintain(T0 + 3 * LEASE).dead, []);
    assert_eq!(kit.state(added[1]), JobState::Waiting);
}

fn a_beat_tells_what_is_held(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add_many("a", 5);
    let mine = kit.claim(ALICE, &["a"], 3);
    let theirs = kit.claim(BOB, &["a"], 2);
    let held = |worker| {
        let mut held = kit.beat_at(worker, T0 + 1, LEASE).held;
        held.sort_unstable();
        held
    };
    assert_eq!(held(ALICE), mine.iter().map(|job| (job.id, job.token)).collect::<Vec<_>>());
    assert_eq!(held(BOB), theirs.iter().map(|job| (job.id, job.token)).collect::<Vec<_>>());
    kit.end(&mine[0], complete(Keep::ALL));
    kit.end(&mine[1], Disposition::Release);
    assert_eq!(held(ALICE), [(mine[2].id, mine[2].token)]);
    let running = |worker| kit.worker(worker).map(|view| view.running);
    assert_eq!((running(ALICE), running(BOB)), (Some(1), Some(2)));
}

fn leaving_gives_everything_back_uncounted(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add_many("a", 4);
    let old = kit.claim(ALICE, &["a"], 3);
    let theirs = kit.claim_one(BOB, "a");
    kit.leave(ALICE);
    assert!(kit.worker(ALICE).is_none());
    assert_eq!(kit.listed(JobState::Waiting), added[..3]);
    assert_eq!(kit.listed(JobState::Active), [theirs.id]);
    assert_eq!(kit.settle_at(vec![settlement(&old[0], complete(Keep::ALL))], T0), [Settled::Refused]);
    let again = kit.claim(BOB, &["a"], 9);
    assert_eq!(ids(&again), added[..3]);
    assert!(again.iter().all(|job| job.stalls == 0 && job.failures == 0));
}

fn leaving_ends_what_was_cancelled(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add_many("a", 2);
    kit.claim(ALICE, &["a"], 2);
    kit.cancel(by_id(added[0]));
    kit.leave(ALICE);
    assert_eq!((kit.listed(JobState::Waiting), kit.listed(JobState::Cancelled)), (vec![added[1]], vec![added[0]]));
    assert_eq!(kit.get(added[0]).error_json, Some(error("cancelled")));
    assert_eq!((kit.count(JobState::Active), kit.count(JobState::Cancelled)), (0, 1));
}

fn leaving_is_for_everyone(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.leave(ALICE);
    kit.beat_at(ALICE, T0, 100);
    kit.leave(ALICE);
    kit.leave(ALICE);
    assert!(kit.workers().is_empty());
    kit.add_one(job("a"));
    assert_eq!(kit.claim(ALICE, &["a"], 1).len(), 1, "who left may come back");
}

fn workers_are_shown_per_queue(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let other = kit.queue("other");
    kit.beat_at(ALICE, T0, 100);
    other.beat_at(BOB, T0, 100);
    assert_eq!(kit.workers().iter().map(|view| view.worker).collect::<Vec<_>>(), [ALICE]);
    assert_eq!(other.workers().iter().map(|view| view.worker).collect::<Vec<_>>(), [BOB]);
    assert!(kit.queue("nothing here").workers().is_empty());
}

fn maintenance_promotes_what_is_due(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let other = kit.queue("other");
    let added = kit.add([30, 10, 20, 40].map(|after| delayed("a", T0 + after)).to_vec());
    let there = other.add_one(delayed("b", T0 + 15));
    let done = kit.maintain(T0 + 20);
    assert_eq!((done.promoted, done.recovered), (3, 0), "over all queues");
    assert_eq!(kit.listed(JobState::Waiting), [added[1], added[2]]);
    assert_eq!(kit.listed(JobState::Delayed), [added[0], added[3]]);
    assert_eq!(other.listed(JobState::Waiting), [there]);
}

fn maintenance_promotes_in_slices(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add((0..2_300).map(|n| delayed("a", T0 + 1 + n % 7)).collect());
    let now = T0 + 10;
    let mut left = 2_300;
    while left > 0 {
        let done = kit.maintain(now);
        assert!((1..=1_000).contains(&done.promoted), "{} were promoted at once", done.promoted);
        left -= done.promoted;
        assert_eq!(done.next_due.is_some_and(|due| due <= now), left > 0, "{left} are left");
        assert_eq!(kit.count(JobState::Delayed), left);
    }
    assert_eq!(kit.count(JobState::Waiting), 2_300);
}

fn maintenance_tells_when_it_is_due(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add_one(delayed("a", T0 + 300));
    kit.queue("other").add_one(delayed("a", T0 + 200));
    assert_eq!(kit.maintain(T0).next_due, Some(T0 + 200));
    assert_eq!(kit.maintain(T0 + 200).next_due, Some(T0 + 300));
    assert_eq!(kit.maintain(T0 + 300).next_due, None);
}

fn maintenance_of_nothing_is_nothing(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    assert_eq!(kit.maintain(T0), crate::Maintained::default());
    kit.add_one(job("a"));
    kit.claim_one(ALICE, "a");
    assert_eq!(kit.maintain(T0 + 1), crate::Maintained::default());
}
