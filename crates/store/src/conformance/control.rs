//! What users do to jobs and queues.

use master_agent_core::{ErrorCode, JobId, JobPolicy, JobState, Keep, Millis};

use super::Fixture;
use super::kit::*;
use crate::{Control, Controlled, NewJob, Settled, StoreError};

super::cases! {
    pausing_is_remembered_per_queue,
    draining_removes_what_waits,
    draining_may_include_the_delayed,
    draining_goes_on_in_slices,
    cleaning_removes_ended_jobs_of_one_state,
    cleaning_looks_at_the_time_of_the_end,
    cleaning_removes_the_oldest_first,
    cleaning_removes_waiting_and_delayed_jobs_by_their_age,
    cleaning_refuses_active_jobs,
    cleaning_goes_on_in_slices,
    retrying_starts_over,
    retrying_is_for_ended_jobs,
    promoting_is_for_delayed_jobs,
    removing_is_for_jobs_that_do_not_run,
    cancelling_a_waiting_job_ends_it,
    cancelling_keeps_as_the_policy_says,
    cancelling_a_running_job_asks_its_worker,
    cancelling_an_ended_job_changes_nothing,
    obliterating_is_refused_while_jobs_run,
    obliterating_by_force_takes_running_jobs,
    obliterating_goes_on_in_slices_and_spares_others,
    unknown_jobs_are_not_found,
    keys_name_jobs,
}

/// One job in each state, in the order of [`JobState::ALL`].
fn zoo(kit: &Kit) -> [JobId; 7] {
    let ended = [
        complete(Keep::ALL),
        fail(Keep::ALL),
        crate::Disposition::End { state: JobState::Cancelled, error_json: error("cancelled"), failed: false, keep: Keep::ALL },
        crate::Disposition::End { state: JobState::Dead, error_json: error("dead"), failed: false, keep: Keep::ALL },
    ]
    .map(|end| {
        let id = kit.add_one(job("a"));
        kit.end(&kit.claim_one(ALICE, "a"), end);
        id
    });
    let active = kit.add_one(job("a"));
    kit.claim_one(ALICE, "a");
    let waiting = kit.add_one(job("a"));
    let delayed = kit.add_one(delayed("a", T0 + 1_000));
    let zoo = [waiting, delayed, active, ended[0], ended[1], ended[2], ended[3]];
    for (id, state) in zoo.iter().zip(JobState::ALL) {
        assert_eq!(kit.state(*id), state);
    }
    zoo
}

fn refused(outcome: Result<Controlled, StoreError>) -> ErrorCode {
    match outcome {
        Ok(done) => panic!("this should be refused, and not be {done:?}"),
        Err(error) => error.code(),
    }
}

fn pausing_is_remembered_per_queue(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    assert!(!kit.counts().paused);
    kit.control(Control::Pause);
    kit.control(Control::Pause);
    assert!(kit.counts().paused, "a queue may be paused before its first job");
    assert!(!kit.queue("other").counts().paused);
    kit.add_one(job("a"));
    assert!(kit.claim(ALICE, &["a"], 1).is_empty());
    kit.control(Control::Resume);
    kit.control(Control::Resume);
    assert!(!kit.counts().paused);
    assert_eq!(kit.claim(ALICE, &["a"], 1).len(), 1);
    kit.queue("nothing here").control(Control::Resume);
}

fn draining_removes_what_waits(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let zoo = zoo(&kit);
    let more = kit.add(vec![job("b"), prioritised("c", 9)]);
    let there = kit.queue("other").add_one(job("a"));
    let done = kit.control_all(&Control::Drain { delayed: false });
    assert_eq!((done.affected, sorted(done.ended)), (3, vec![zoo[0], more[0], more[1]]));
    assert!(kit.gone(zoo[0]) && kit.gone(more[0]));
    for (id, state) in zoo.iter().zip(JobState::ALL).skip(1) {
        assert_eq!(kit.state(*id), state);
    }
    assert_eq!(kit.queue("other").state(there), JobState::Waiting);
    assert!(kit.claim(BOB, &["a", "b", "c"], 9).is_empty());
    assert_eq!(kit.count(JobState::Waiting), 0);
    assert_eq!(kit.control_all(&Control::Drain { delayed: false }).affected, 0);
}

fn draining_may_include_the_delayed(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let zoo = zoo(&kit);
    let done = kit.control_all(&Control::Drain { delayed: true });
    assert_eq!((done.affected, sorted(done.ended)), (2, vec![zoo[0], zoo[1]]));
    assert_eq!((kit.count(JobState::Waiting), kit.count(JobState::Delayed), kit.count(JobState::Active)), (0, 0, 1));
    assert_eq!(kit.maintain(T0 + 1_000), crate::Maintained::default(), "nothing is due any more");
}

fn draining_goes_on_in_slices(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add_many("a", 2_300);
    let first = kit.control(Control::Drain { delayed: false });
    assert!(first.more && first.affected <= 1_000);
    assert_eq!(first.ended.len() as u64, first.affected);
    let rest = kit.control_all(&Control::Drain { delayed: false });
    assert_eq!(sorted([first.ended, rest.ended].concat()), added);
}

fn cleaning_removes_ended_jobs_of_one_state(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let ids = zoo(&kit);
    for index in 3..7 {
        let state = JobState::ALL[index];
        let done = kit.control_all(&Control::Clean { state, before: T0 + 1, limit: 100 });
        assert_eq!((done.affected, done.ended), (1, vec![ids[index]]), "{state:?}");
        assert!(kit.gone(ids[index]));
        for (later, expected) in ids.iter().zip(JobState::ALL).skip(index + 1) {
            assert_eq!(kit.state(*later), expected, "cleaning {state:?} spares others");
        }
    }
    assert_eq!([0, 1, 2].map(|index: usize| kit.state(ids[index])), JobState::ALL[..3]);
    assert_eq!(kit.counts().lanes.len(), 3);
}

fn cleaning_looks_at_the_time_of_the_end(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let ended = kit.end_many("a", 4, T0 + 10, &complete(Keep::ALL));
    let clean = |before| kit.control_all(&Control::Clean { state: JobState::Completed, before, limit: 100 }).ended;
    assert!(clean(T0 + 10).is_empty(), "what ended at that time stays");
    assert_eq!(sorted(clean(T0 + 12)), ended[..2]);
    assert_eq!(sorted(clean(Millis::MAX)), ended[2..]);
}

fn cleaning_removes_the_oldest_first(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add_many("a", 6);
    let claimed = kit.claim(ALICE, &["a"], 6);
    for (job, now) in claimed.iter().rev().zip(T0..) {
        kit.end_at(job, complete(Keep::ALL), now);
    }
    let done = kit.control(Control::Clean { state: JobState::Completed, before: Millis::MAX, limit: 2 });
    assert_eq!((done.affected, sorted(done.ended)), (2, added[4..].to_vec()), "the last two ended first");
    assert_eq!(kit.listed(JobState::Completed), added[..4]);
}

/// Which of them go first is not defined: finding the oldest would cost a look at the whole backlog.
fn cleaning_removes_waiting_and_delayed_jobs_by_their_age(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let mut waiting = Vec::new();
    let mut late = Vec::new();
    for n in 0..5 {
        let added = kit.add_at(vec![prioritised("a", 4 - n), delayed("a", T0 + 1_000 - i64::from(n))], T0 + i64::from(n));
        waiting.push(added[0].id);
        late.push(added[1].id);
    }
    for (state, ids) in [(JobState::Waiting, waiting), (JobState::Delayed, late)] {
        let clean = |before, limit| kit.control(Control::Clean { state, before, limit });
        assert_eq!(clean(T0, 100), Controlled::default(), "what was added at that time stays");
        let first = clean(T0 + 3, 2);
        assert_eq!((first.affected, first.ended.len()), (2, 2));
        let second = clean(T0 + 3, 100);
        assert_eq!(sorted([first.ended, second.ended].concat()), ids[..3], "{state:?}");
        assert_eq!(sorted(kit.listed(state)), ids[3..]);
    }
}

fn cleaning_refuses_active_jobs(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let clean = Control::Clean { state: JobState::Active, before: Millis::MAX, limit: 100 };
    assert_eq!(refused(kit.try_control(clean.clone())), ErrorCode::InvalidArgument, "in a queue that has never been");
    let zoo = zoo(&kit);
    assert_eq!(refused(kit.try_control(clean)), ErrorCode::InvalidArgument);
    assert_eq!(kit.state(zoo[2]), JobState::Active);
}

fn cleaning_goes_on_in_slices(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add_many("a", 2_300);
    let claimed = kit.claim(ALICE, &["a"], 2_300);
    kit.settle_at(claimed.iter().map(|job| settlement(job, complete(Keep::ALL))).collect(), T0);
    let done = kit.control_all(&Control::Clean { state: JobState::Completed, before: T0 + 1, limit: u64::MAX });
    assert_eq!((done.affected, sorted(done.ended)), (2_300, added));
    assert!(kit.counts().lanes.is_empty());
}

fn retrying_starts_over(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    for end in [fail(Keep::ALL), complete(Keep::ALL)] {
        let id = kit.add_one(job("a"));
        kit.end(&kit.claim_one(ALICE, "a"), retry(T0));
        kit.end(&kit.claim_one(ALICE, "a"), stall());
        kit.end(&kit.claim_one(ALICE, "a"), end);
        let done = kit.control(Control::Retry { job: by_id(id) });
        assert_eq!((done.affected, done.ended.len()), (1, 0));
        let view = kit.get(id);
        assert_eq!((view.state, view.failures, view.stalls), (JobState::Waiting, 0, 0));
        assert_eq!((view.result_json, view.error_json, view.finished_at, view.worker), (None, None, None, None));
        let again = kit.claim_one(BOB, "a");
        assert_eq!((again.id, again.failures, again.stalls), (id, 0, 0));
        assert_eq!(kit.end(&again, complete(Keep::ALL)), JobState::Completed);
        assert_eq!(kit.listed(JobState::Failed), []);
    }
    let dead = kit.add_one(with_policy("a", JobPolicy { max_stalls: 0, ..policy() }));
    kit.end(&kit.claim_one(ALICE, "a"), stall());
    kit.control(Control::Retry { job: by_id(dead) });
    assert_eq!((kit.state(dead), kit.count(JobState::Dead)), (JobState::Waiting, 0));
}

fn retrying_is_for_ended_jobs(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let zoo = zoo(&kit);
    for (index, state) in JobState::ALL.into_iter().enumerate() {
        let outcome = kit.try_control(Control::Retry { job: by_id(zoo[index]) });
        if state.is_final() {
            assert_eq!((outcome.map(|done| done.affected), kit.state(zoo[index])), (Ok(1), JobState::Waiting));
        } else {
            assert_eq!((refused(outcome), kit.state(zoo[index])), (ErrorCode::JobState, state));
        }
    }
    assert_eq!(kit.count(JobState::Waiting), 5);
}

fn promoting_is_for_delayed_jobs(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let zoo = zoo(&kit);
    for (index, state) in JobState::ALL.into_iter().enumerate() {
        let outcome = kit.try_control(Control::Promote { job: by_id(zoo[index]) });
        if state == JobState::Delayed {
            assert_eq!((outcome.map(|done| done.affected), kit.state(zoo[index])), (Ok(1), JobState::Waiting));
        } else {
            assert_eq!((refused(outcome), kit.state(zoo[index])), (ErrorCode::JobState, state));
        }
    }
    assert_eq!(kit.maintain(T0 + 1_000), crate::Maintained::default(), "a promoted job is not due once more");
    assert_eq!(ids(&kit.claim(BOB, &["a"], 9)), [zoo[0], zoo[1]]);
}

fn removing_is_for_jobs_that_do_not_run(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let zoo = zoo(&kit);
    for (index, state) in JobState::ALL.into_iter().enumerate() {
        let outcome = kit.try_control(Control::Remove { job: by_id(zoo[index]) });
        if state == JobState::Active {
            assert_eq!((refused(outcome), kit.state(zoo[index])), (ErrorCode::JobState, state));
        } else {
            let done = outcome.expect("what does not run can be removed");
            assert_eq!((done.affected, done.ended, kit.gone(zoo[index])), (1, vec![zoo[index]], true));
            assert_eq!(kit.listed(state), []);
        }
    }
    assert!(kit.claim(BOB, &["a"], 9).is_empty());
    assert_eq!(kit.maintain(T0 + 1_000), crate::Maintained::default());
    assert_eq!(kit.counts().lanes.len(), 1);
    assert_eq!(refused(kit.try_control(Control::Remove { job: by_id(zoo[0]) })), ErrorCode::JobNotFound);
}

fn cancelling_a_waiting_job_ends_it(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    for id in kit.add(vec![job("a"), delayed("a", T0 + 9)]) {
        let done = kit.try_control_at(cancel(by_id(id)), T0 + 2).expect("a job that waits can be cancelled");
        assert_eq!((done.affected, done.ended), (1, vec![id]));
        let view = kit.get(id);
        assert_eq!((view.state, view.failures), (JobState::Cancelled, 0));
        assert_eq!((view.error_json, view.finished_at), (Some(error("cancelled")), Some(T0 + 2)));
    }
    assert_eq!(kit.maintain(T0 + 9), crate::Maintained::default());
    assert!(kit.claim(ALICE, &["a"], 9).is_empty());
}

fn cancelling_keeps_as_the_policy_says(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let kept = |keep| with_policy("a", JobPolicy { remove_on_fail: keep, ..policy() });
    let bounded = kit.add((0..4).map(|_| kept(Keep { count: Some(2), age: None })).collect());
    for id in &bounded {
        kit.cancel(by_id(*id));
    }
    assert_eq!(sorted(kit.listed(JobState::Cancelled)), bounded[2..]);
    let gone = kit.add_one(kept(Keep::NOTHING));
    let done = kit.cancel(by_id(gone));
    assert_eq!((done.affected, done.ended, kit.gone(gone)), (1, vec![gone], true));
    assert_eq!(sorted(kit.listed(JobState::Cancelled)), bounded[2..], "a job that keeps nothing says nothing about others");
}

fn cancelling_a_running_job_asks_its_worker(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add_many("a", 3);
    let mine = kit.claim(ALICE, &["a"], 2);
    let theirs = kit.claim_one(BOB, "a");
    let done = kit.cancel(by_id(mine[1].id));
    assert_eq!((done.affected, done.ended.len()), (1, 0));
    assert_eq!(kit.state(mine[1].id), JobState::Active, "its worker decides how it ends");
    for _ in 0..2 {
        assert_eq!(cancels(&kit.beat_at(ALICE, T0 + 1, LEASE)), [mine[1].id], "the worker is asked until it settles");
    }
    assert!(kit.beat_at(BOB, T0 + 1, LEASE).cancelled.is_empty());
    kit.cancel(by_id(theirs.id));
    kit.end(&mine[1], complete(Keep::ALL));
    assert!(kit.beat_at(ALICE, T0 + 2, LEASE).cancelled.is_empty());
    let [cancelled] = &*kit.beat_at(BOB, T0 + 2, LEASE).cancelled else { panic!("one is cancelled") };
    assert_eq!((cancelled.id, &cancelled.error_json), (theirs.id, &error("cancelled")), "the reason reaches the worker");
}

fn cancelling_an_ended_job_changes_nothing(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let zoo = zoo(&kit);
    for ended in zoo.into_iter().skip(3) {
        let before = kit.get(ended);
        assert_eq!(kit.cancel(by_id(ended)), Controlled::default());
        assert_eq!(kit.get(ended), before);
    }
}

fn obliterating_is_refused_while_jobs_run(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let zoo = zoo(&kit);
    assert_eq!(refused(kit.try_control(Control::Obliterate { force: false })), ErrorCode::JobState);
    for (id, state) in zoo.iter().zip(JobState::ALL) {
        assert_eq!(kit.state(*id), state, "nothing is touched");
    }
}

fn obliterating_by_force_takes_running_jobs(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add_many("a", 2);
    let claimed = kit.claim(ALICE, &["a"], 2);
    kit.note(&claimed[0], log(T0, "line"));
    let rest = zoo(&kit);
    let done = kit.control_all(&Control::Obliterate { force: true });
    let all = sorted([ids(&claimed), rest.to_vec()].concat());
    assert_eq!((done.affected, sorted(done.ended)), (9, all));
    assert!(kit.counts().lanes.is_empty());
    let late = claimed.iter().map(|job| settlement(job, complete(Keep::ALL))).collect();
    assert_eq!(kit.settle_at(late, T0), [Settled::Refused; 2]);
    assert_eq!(kit.note(&claimed[0], progress("1")), Settled::Refused);
    assert!(kit.beat_at(ALICE, T0 + 1, LEASE).held.is_empty());
    let logs = ask(|reply| kit.store.logs(kit.queue.clone(), by_id(claimed[0].id), 0, 10, reply));
    assert!(matches!(logs, Err(StoreError::NotFound { .. })), "{logs:?}");
    assert_eq!(kit.maintain(T0 + 3 * LEASE), crate::Maintained::default());
    assert!(kit.queues().is_empty());
    let again = kit.add_one(job("a"));
    assert_eq!(ids(&kit.claim(BOB, &["a"], 9)), [again], "the queue may begin anew");
}

fn obliterating_goes_on_in_slices_and_spares_others(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let other = kit.queue("other");
    let there = zoo(&other);
    kit.control(Control::Pause);
    let mut added = kit.add_many("a", 1_400);
    added.extend(kit.add((0..1_100).map(|n| delayed("b", T0 + 1 + n)).collect()));
    let done = kit.control_all(&Control::Obliterate { force: false });
    assert_eq!((done.affected, sorted(done.ended)), (2_500, added));
    assert!(!kit.counts().paused, "nothing of the queue is left, its pause neither");
    for (id, state) in there.iter().zip(JobState::ALL) {
        assert_eq!(other.state(*id), state);
    }
    assert_eq!(kit.queues().iter().map(|name| &**name).collect::<Vec<_>>(), ["other"]);
    assert_eq!(kit.queue("nothing here").control_all(&Control::Obliterate { force: false }).affected, 0);
}

fn unknown_jobs_are_not_found(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let other = kit.queue("other");
    // Queues may number their jobs each by itself: this one gets a number that is not in the first.
    other.add(vec![job("a"), job("a")]);
    let there = other.add_one(keyed("a", "k"));
    for round in 0..2 {
        for job in [by_id(there), by_id(JobId(there.0 + 1_000)), by_id(JobId(-1)), by_key("k"), by_key("")] {
            for control in [
                Control::Retry { job: job.clone() },
                Control::Promote { job: job.clone() },
                Control::Remove { job: job.clone() },
                cancel(job.clone()),
            ] {
                let outcome = kit.try_control(control.clone());
                assert_eq!(refused(outcome), ErrorCode::JobNotFound, "round {round}: {control:?}");
            }
        }
        kit.add_one(job("a"));
    }
    assert_eq!(kit.queue("other").state(there), JobState::Waiting, "ids of another queue are not reached");
}

fn keys_name_jobs(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add(vec![keyed("a", "wait"), NewJob { key: Some("late".into()), ..delayed("a", T0 + 500) }, keyed("b", "run")]);
    assert_eq!(kit.control(Control::Promote { job: by_key("late") }).affected, 1);
    let running = kit.claim_one(ALICE, "b");
    assert_eq!(kit.cancel(by_key("run")).affected, 1);
    assert_eq!(cancels(&kit.beat_at(ALICE, T0, LEASE)), [running.id]);
    assert_eq!(kit.cancel(by_key("wait")).affected, 1);
    assert_eq!(kit.control(Control::Retry { job: by_key("wait") }).affected, 1);
    assert_eq!(kit.control(Control::Remove { job: by_key("wait") }).affected, 1);
    assert!(kit.view(by_key("wait")).is_none());
    assert_eq!(kit.view(by_key("late")).map(|view| view.state), Some(JobState::Waiting));
}
