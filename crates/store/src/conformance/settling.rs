//! Settling: dispositions, fencing, and how long an end is kept.

use master_agent_core::{JobId, JobPolicy, JobState, Keep, Token};

use super::Fixture;
use super::kit::*;
use crate::{Control, Disposition, Settled, Settlement};

super::cases! {
    completing_keeps_the_result,
    completing_may_have_no_result,
    ending_keeps_the_error_and_counts_if_asked,
    a_retry_waits_for_its_time,
    failures_add_up_and_survive_completion,
    a_stall_is_counted_apart,
    a_job_that_stalls_too_often_is_dead,
    a_cancelled_job_never_waits_again,
    an_old_token_is_refused,
    a_token_is_good_for_one_settlement,
    a_settlement_after_the_lease_counts_if_nobody_took_the_job,
    unknown_jobs_are_refused,
    a_batch_is_settled_in_order_and_each_by_itself,
    settling_and_claiming_are_one,
    a_released_job_can_be_claimed_in_the_same_call,
    keeping_nothing_removes_at_once,
    keeping_nothing_leaves_the_others,
    the_newest_ends_are_kept_by_count,
    ends_are_kept_by_age,
    the_last_settlement_of_a_batch_bounds,
    completed_and_failed_are_bounded_apart,
    the_failed_family_is_bounded_together,
    queues_are_bounded_apart,
    retention_catches_up_over_several_calls,
    retention_leaves_running_and_waiting_jobs,
    the_bound_counts_what_is_there,
}

fn count(count: u64) -> Keep {
    Keep { count: Some(count), age: None }
}

fn completing_keeps_the_result(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let id = kit.add_one(job("a"));
    let claimed = kit.claim_at(ALICE, &["a"], 1, T0 + 3);
    let result = Disposition::Complete { result_json: Some(r#"{"answer":"é"}"#.into()), keep: Keep::ALL };
    assert_eq!(kit.end_at(&claimed[0], result, T0 + 8), JobState::Completed);
    let view = kit.get(id);
    assert_eq!(view.state, JobState::Completed);
    assert_eq!(view.result_json.as_deref(), Some(r#"{"answer":"é"}"#));
    assert_eq!((view.started_at, view.finished_at), (Some(T0 + 3), Some(T0 + 8)));
    assert_eq!((view.failures, view.stalls, view.worker, view.error_json), (0, 0, None, None));
    assert_eq!((kit.count(JobState::Active), kit.count(JobState::Completed)), (0, 1));
    assert!(kit.claim(BOB, &["a"], 9).is_empty(), "what has ended is not given again");
}

fn completing_may_have_no_result(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let id = kit.add_one(job("a"));
    kit.end(&kit.claim_one(ALICE, "a"), Disposition::Complete { result_json: None, keep: Keep::ALL });
    assert_eq!((kit.state(id), kit.get(id).result_json), (JobState::Completed, None));
}

fn ending_keeps_the_error_and_counts_if_asked(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    for (state, failed) in
        [(JobState::Failed, true), (JobState::Cancelled, false), (JobState::Dead, false), (JobState::Failed, false)]
    {
        let id = kit.add_one(job("a"));
        let claimed = kit.claim_one(ALICE, "a");
        let error_json = error(state.as_str());
        let end = Disposition::End { state, error_json: error_json.clone(), failed, keep: Keep::ALL };
        assert_eq!(kit.end_at(&claimed, end, T0 + 4), state);
        let view = kit.get(id);
        assert_eq!((view.state, view.failures, view.finished_at), (state, u32::from(failed), Some(T0 + 4)));
        assert_eq!((view.error_json, view.result_json, view.worker), (Some(error_json), None, None));
    }
}

fn a_retry_waits_for_its_time(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let id = kit.add_one(job("a"));
    assert_eq!(kit.end(&kit.claim_one(ALICE, "a"), retry(T0 + 50)), JobState::Delayed);
    let view = kit.get(id);
    assert_eq!((view.state, view.failures, view.run_at, view.worker), (JobState::Delayed, 1, Some(T0 + 50), None));
    assert_eq!(view.error_json, Some(error("once more")), "the error of the failed attempt is kept");
    assert_eq!(view.finished_at, None);
    kit.maintain(T0 + 49);
    assert!(kit.claim_at(ALICE, &["a"], 1, T0 + 49).is_empty());
    kit.maintain(T0 + 50);
    let again = kit.claim_at(ALICE, &["a"], 1, T0 + 50);
    assert_eq!((again[0].id, again[0].failures, again[0].stalls), (id, 1, 0));
}

fn failures_add_up_and_survive_completion(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let id = kit.add_one(job("a"));
    for failures in 0..3 {
        let claimed = kit.claim_one(ALICE, "a");
        assert_eq!(claimed.failures, failures);
        assert_eq!(kit.end(&claimed, retry(T0)), JobState::Waiting);
    }
    kit.end(&kit.claim_one(ALICE, "a"), complete(Keep::ALL));
    assert_eq!(kit.get(id).failures, 3);
}

fn a_stall_is_counted_apart(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let id = kit.add_one(job("a"));
    assert_eq!(kit.end(&kit.claim_one(ALICE, "a"), stall()), JobState::Waiting);
    let again = kit.claim_one(BOB, "a");
    assert_eq!((again.id, again.failures, again.stalls), (id, 0, 1));
    kit.end(&again, complete(Keep::ALL));
    assert_eq!(kit.get(id).stalls, 1);
}

fn a_job_that_stalls_too_often_is_dead(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let id = kit.add_one(with_policy("a", JobPolicy { max_stalls: 2, ..policy() }));
    for _ in 0..2 {
        assert_eq!(kit.end(&kit.claim_one(ALICE, "a"), stall()), JobState::Waiting);
    }
    assert_eq!(kit.end_at(&kit.claim_one(ALICE, "a"), stall(), T0 + 6), JobState::Dead);
    let view = kit.get(id);
    assert_eq!((view.state, view.stalls, view.failures, view.finished_at), (JobState::Dead, 3, 0, Some(T0 + 6)));
    assert_eq!(view.error_json, Some(error("silent")));
    assert!(kit.claim(ALICE, &["a"], 1).is_empty());
    let gone = kit.add_one(with_policy("a", JobPolicy { max_stalls: 0, remove_on_fail: Keep::NOTHING, ..policy() }));
    assert_eq!(kit.end(&kit.claim_one(ALICE, "a"), stall()), JobState::Dead);
    assert!(kit.gone(gone), "the job's own policy says how long its death is kept");
}

fn a_cancelled_job_never_waits_again(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let again = [retry(T0), retry(T0 + 50), Disposition::Release, stall()];
    let bounded = with_policy("a", JobPolicy { remove_on_fail: count(3), ..policy() });
    let added = kit.add(vec![bounded; again.len()]);
    for (id, disposition) in added.iter().zip(again) {
        let claimed = kit.claim_at(ALICE, &["a"], 1, T0 + 1);
        kit.cancel(by_id(*id));
        assert_eq!(kit.end_at(&claimed[0], disposition.clone(), T0 + 9), JobState::Cancelled, "{disposition:?}");
        let view = kit.get(*id);
        assert_eq!((view.state, view.failures, view.stalls), (JobState::Cancelled, 0, 0));
        assert_eq!(view.error_json, Some(error("cancelled")));
        assert_eq!((view.started_at, view.finished_at), (Some(T0 + 1), Some(T0 + 9)));
    }
    assert_eq!(sorted(kit.listed(JobState::Cancelled)), added[1..], "each is bounded by its own policy");
    assert_eq!(kit.maintain(T0 + 50), crate::Maintained::default());
    assert!(kit.claim(BOB, &["a"], 9).is_empty());
    // Ends that its worker reached before it heard of the cancel stand.
    for (end, state) in [(complete(Keep::ALL), JobState::Completed), (fail(Keep::ALL), JobState::Failed)] {
        let id = kit.add_one(job("a"));
        let claimed = kit.claim_one(ALICE, "a");
        kit.cancel(by_id(id));
        assert_eq!((kit.end(&claimed, end), kit.state(id)), (state, state));
    }
}

fn an_old_token_is_refused(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    for old_end in [complete(Keep::ALL), fail(Keep::NOTHING), retry(T0), stall(), Disposition::Release] {
        let id = kit.add_one(job("a"));
        let old = kit.claim_one(ALICE, "a");
        kit.end(&old, Disposition::Release);
        let new = kit.claim_one(BOB, "a");
        assert_eq!(new.id, id);
        assert_eq!(kit.settle_at(vec![settlement(&old, old_end.clone())], T0), [Settled::Refused], "{old_end:?}");
        let view = kit.get(id);
        assert_eq!((view.state, view.worker), (JobState::Active, Some(BOB)), "{old_end:?} changes nothing");
        assert_eq!((view.failures, view.stalls, view.result_json, view.error_json), (0, 0, None, None));
        assert_eq!(kit.end(&new, complete(Keep::ALL)), JobState::Completed, "the one who holds it ends it");
    }
    assert_eq!(kit.count(JobState::Completed), 5);
}

fn a_token_is_good_for_one_settlement(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add_many("a", 2);
    let claimed = kit.claim(ALICE, &["a"], 2);
    let twice = vec![settlement(&claimed[0], complete(Keep::ALL)), settlement(&claimed[0], fail(Keep::ALL))];
    assert_eq!(kit.settle_at(twice, T0), [Settled::Applied(JobState::Completed), Settled::Refused]);
    kit.end(&claimed[1], Disposition::Release);
    assert_eq!(kit.settle_at(vec![settlement(&claimed[1], complete(Keep::ALL))], T0), [Settled::Refused]);
    assert_eq!((kit.count(JobState::Completed), kit.count(JobState::Waiting)), (1, 1));
}

fn a_settlement_after_the_lease_counts_if_nobody_took_the_job(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add_many("a", 2);
    let claimed = kit.claim(ALICE, &["a"], 2);
    let late = T0 + LEASE + 1;
    assert_eq!(kit.end_at(&claimed[0], complete(Keep::ALL), late), JobState::Completed);
    kit.maintain(late);
    assert_eq!(kit.settle_at(vec![settlement(&claimed[1], complete(Keep::ALL))], late), [Settled::Refused]);
    assert_eq!(kit.state(claimed[1].id), JobState::Waiting);
}

fn unknown_jobs_are_refused(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let unknown = |id, token| Settlement { id: JobId(id), token: Token(token), disposition: complete(Keep::ALL) };
    assert_eq!(kit.settle_at(vec![unknown(999, 1)], T0), [Settled::Refused], "in a queue that has never been");
    let id = kit.add_one(job("a"));
    assert_eq!(kit.settle_at(vec![unknown(id.0, 0), unknown(id.0, 1), unknown(id.0 + 1, 1)], T0), [Settled::Refused; 3]);
    assert_eq!(kit.state(id), JobState::Waiting);
    assert!(kit.settle_at(Vec::new(), T0).is_empty());
}

fn a_batch_is_settled_in_order_and_each_by_itself(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add_many("a", 6);
    let claimed = kit.claim(ALICE, &["a"], 6);
    let mut stale = settlement(&claimed[2], complete(Keep::ALL));
    stale.token = Token(claimed[2].token.0 + 1_000_000);
    let batch = vec![
        settlement(&claimed[5], complete(Keep::ALL)),
        settlement(&claimed[1], fail(Keep::ALL)),
        stale,
        settlement(&claimed[3], retry(T0 + 9)),
        settlement(&claimed[0], Disposition::Release),
        settlement(&claimed[4], complete(Keep::NOTHING)),
    ];
    let states = [
        Settled::Applied(JobState::Completed),
        Settled::Applied(JobState::Failed),
        Settled::Refused,
        Settled::Applied(JobState::Delayed),
        Settled::Applied(JobState::Waiting),
        Settled::Applied(JobState::Completed),
    ];
    assert_eq!(kit.settle_at(batch, T0), states);
    assert_eq!(kit.state(claimed[2].id), JobState::Active);
    assert!(kit.gone(claimed[4].id));
    assert_eq!(kit.listed(JobState::Completed), [claimed[5].id]);
    assert_eq!(kit.listed(JobState::Failed), [claimed[1].id]);
}

fn settling_and_claiming_are_one(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add_many("a", 4);
    let first = kit.claim(ALICE, &["a"], 2);
    let batch = first.iter().map(|job| settlement(job, complete(Keep::ALL))).collect();
    let reply = kit.settle_and_claim(batch, T0, Some(kit.request(ALICE, &["a"], 9)));
    assert_eq!(reply.settled, [Settled::Applied(JobState::Completed); 2]);
    assert_eq!(ids(&reply.claimed), added[2..]);
    let nothing = kit.settle_and_claim(Vec::new(), T0, Some(kit.request(ALICE, &["a"], 9)));
    assert!(nothing.settled.is_empty() && nothing.claimed.is_empty());
}

fn a_released_job_can_be_claimed_in_the_same_call(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add_many("a", 2);
    let old = kit.claim_one(ALICE, "a");
    let batch = vec![settlement(&old, Disposition::Release)];
    let reply = kit.settle_and_claim(batch, T0, Some(kit.request(BOB, &["a"], 1)));
    assert_eq!(ids(&reply.claimed), added[..1], "settlements come before the claim");
    assert!(reply.claimed[0].token > old.token);
    assert_eq!(kit.get(added[0]).worker, Some(BOB));
}

fn keeping_nothing_removes_at_once(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    for keep in [Keep::NOTHING, Keep { count: None, age: Some(0) }, Keep { count: Some(5), age: Some(0) }] {
        for end in [complete(keep), fail(keep)] {
            let id = kit.add_one(job("a"));
            kit.end(&kit.claim_one(ALICE, "a"), end);
            assert!(kit.gone(id), "{keep:?} keeps nothing");
        }
    }
    assert!(kit.counts().lanes.is_empty(), "nothing is counted: {:?}", kit.counts());
}

/// A job that asks for no trace of itself says nothing about the others.
fn keeping_nothing_leaves_the_others(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let kept = kit.end_many("a", 5, T0, &complete(Keep::ALL));
    kit.end_many("a", 2, T0 + 10, &complete(Keep::NOTHING));
    assert_eq!(sorted(kit.listed(JobState::Completed)), kept);
    kit.add_many("a", 2);
    let claimed = kit.claim(ALICE, &["a"], 2);
    let batch = vec![settlement(&claimed[0], complete(count(3))), settlement(&claimed[1], complete(Keep::NOTHING))];
    kit.settle_at(batch, T0 + 20);
    assert_eq!(
        kit.listed(JobState::Completed),
        [claimed[0].id, kept[4], kept[3]],
        "the bound of the batch is that of the one that stays"
    );
}

fn the_newest_ends_are_kept_by_count(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let ended = kit.end_many("a", 9, T0, &complete(count(4)));
    assert_eq!(sorted(kit.listed(JobState::Completed)), ended[5..]);
    assert_eq!(kit.count(JobState::Completed), 4);
    let other_lane = kit.end_many("b", 1, T0 + 50, &complete(count(2)));
    assert_eq!(kit.listed(JobState::Completed), [other_lane[0], ended[8]], "lanes of a queue share the bound");
}

fn ends_are_kept_by_age(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let ended = kit.end_many("a", 5, T0, &complete(Keep::ALL));
    let keep = Keep { count: None, age: Some(100) };
    let at_bound = kit.end_many("a", 1, T0 + 102, &complete(keep));
    assert_eq!(
        sorted(kit.listed(JobState::Completed)),
        [&ended[2..], &at_bound[..]].concat(),
        "ended at T0 + 2 is exactly 100 ms old"
    );
    let later = kit.end_many("a", 1, T0 + 1_000, &complete(keep));
    assert_eq!(kit.listed(JobState::Completed), later);
}

fn the_last_settlement_of_a_batch_bounds(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add_many("a", 6);
    let claimed = kit.claim(ALICE, &["a"], 6);
    let batch = claimed.iter().zip([1, 1, 1, 1, 1, 4]).map(|(job, n)| settlement(job, complete(count(n)))).collect();
    kit.settle_at(batch, T0);
    assert_eq!(sorted(kit.listed(JobState::Completed)), added[2..]);
}

fn completed_and_failed_are_bounded_apart(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let completed = kit.end_many("a", 5, T0, &complete(count(3)));
    let failed = kit.end_many("a", 5, T0 + 10, &fail(count(2)));
    assert_eq!(sorted(kit.listed(JobState::Completed)), completed[2..]);
    assert_eq!(sorted(kit.listed(JobState::Failed)), failed[3..]);
}

fn the_failed_family_is_bounded_together(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let failed = kit.end_many("a", 3, T0, &fail(Keep::ALL));
    let bounded = JobPolicy { remove_on_fail: count(3), ..policy() };
    let cancelled = kit.add_one(with_policy("a", bounded));
    kit.cancel(by_id(cancelled));
    assert_eq!(sorted(kit.listed(JobState::Failed)), failed[1..], "a cancelled job counts with the failed ones");
    let dead = kit.add_one(with_policy("a", JobPolicy { max_stalls: 0, ..bounded }));
    assert_eq!(kit.end(&kit.claim_one(ALICE, "a"), stall()), JobState::Dead);
    assert_eq!(kit.listed(JobState::Failed), failed[2..], "and so does a dead one");
    assert_eq!((kit.listed(JobState::Cancelled), kit.listed(JobState::Dead)), (vec![cancelled], vec![dead]));
}

fn queues_are_bounded_apart(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let other = kit.queue("other");
    let here = kit.end_many("a", 4, T0, &complete(Keep::ALL));
    other.end_many("a", 4, T0, &complete(count(1)));
    assert_eq!(sorted(kit.listed(JobState::Completed)), here);
    assert_eq!(other.count(JobState::Completed), 1);
}

/// A smaller bound may be reached step by step, so that no single call pays for a whole history.
fn retention_catches_up_over_several_calls(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add_many("a", 1_000);
    let claimed = kit.claim(ALICE, &["a"], 1_000);
    kit.settle_at(claimed.iter().map(|job| settlement(job, complete(Keep::ALL))).collect(), T0);
    assert_eq!(kit.count(JobState::Completed), 1_000);
    let mut newest = added;
    for round in 0..20 {
        newest.extend(kit.end_many("a", 1, T0 + round, &complete(count(10))));
        let left = sorted(kit.listed(JobState::Completed));
        assert_eq!(left, newest[newest.len() - left.len()..], "only the oldest are removed");
    }
    assert_eq!(kit.count(JobState::Completed), 10);
    assert_eq!(kit.counts().lanes.len(), 1);
}

fn retention_leaves_running_and_waiting_jobs(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add(vec![job("a"), job("a"), job("a"), delayed("a", T0 + 500)]);
    let claimed = kit.claim(ALICE, &["a"], 2);
    kit.end_at(&claimed[0], complete(Keep { count: Some(1), age: Some(1) }), T0 + 100);
    assert_eq!(kit.state(added[1]), JobState::Active);
    assert_eq!(kit.state(added[2]), JobState::Waiting);
    assert_eq!(kit.state(added[3]), JobState::Delayed);
}

/// Ended jobs that were cleaned, removed or retried by hand are not there any more, and count for nothing.
fn the_bound_counts_what_is_there(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let ended = kit.end_many("a", 6, T0, &complete(Keep::ALL));
    kit.control_all(&Control::Clean { state: JobState::Completed, before: T0 + 2, limit: 100 });
    kit.control(Control::Remove { job: by_id(ended[2]) });
    kit.control(Control::Retry { job: by_id(ended[3]) });
    kit.control(Control::Remove { job: by_id(ended[3]) });
    let last = kit.end_many("a", 1, T0 + 10, &complete(count(3)));
    assert_eq!(kit.listed(JobState::Completed), [last[0], ended[5], ended[4]], "three are there, three may be");
    let over = kit.end_many("a", 1, T0 + 11, &complete(count(3)));
    assert_eq!(kit.listed(JobState::Completed), [over[0], last[0], ended[5]]);
}
