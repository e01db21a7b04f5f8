//! Two handles on one place, as two processes have. Passes at once where a place cannot be shared.

use master_agent_core::{JobId, JobPolicy, JobState, Keep};

use super::Fixture;
use super::concurrency::share;
use super::kit::*;
use crate::{Control, Departed, Disposition, NewJob, Settled};

super::cases! {
    what_one_adds_the_other_sees,
    ids_keys_and_tokens_are_shared,
    the_order_of_a_lane_is_shared,
    one_may_settle_what_the_other_claimed,
    a_pause_is_for_both,
    an_obliterated_queue_begins_anew_for_both,
    both_take_each_job_once,
    the_other_hears_of_changes,
    an_end_that_is_not_kept_is_told_to_the_other,
    events_go_to_the_other_that_listens,
    closing_one_leaves_the_other,
}

fn pair(fixture: &Fixture) -> Option<(Kit, Kit)> {
    let one = Kit::new(fixture.store());
    // Both are open before anything happens, so that nothing is learned by opening alone.
    one.counts();
    let other = Kit::new(fixture.second()?);
    other.counts();
    Some((one, other))
}

fn what_one_adds_the_other_sees(fixture: Fixture) {
    let Some((one, other)) = pair(&fixture) else { return };
    for (here, there) in [(&one, &other), (&other, &one), (&one, &other)] {
        let id = here.add_one(job("a"));
        assert_eq!(there.get(id), here.get(id));
        let claimed = there.claim_one(ALICE, "a");
        assert_eq!((claimed.id, here.state(id)), (id, JobState::Active));
        there.end(&claimed, complete(Keep::ALL));
        assert_eq!((here.state(id), here.counts()), (JobState::Completed, there.counts()));
        assert!(here.claim(BOB, &["a"], 9).is_empty());
    }
}

fn ids_keys_and_tokens_are_shared(fixture: Fixture) {
    let Some((one, other)) = pair(&fixture) else { return };
    let mut last = (0, 0);
    for round in 0..6 {
        let (here, there) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let key = format!("key {round}");
        let id = here.add_one(keyed("a", &key));
        assert_eq!(there.add_at(vec![keyed("a", &key)], T0)[0], crate::Enqueued { id, existing: true });
        let claimed = there.claim_one(ALICE, "a");
        assert!(id.0 > last.0 && claimed.token.0 > last.1);
        last = (id.0, claimed.token.0);
    }
}

fn the_order_of_a_lane_is_shared(fixture: Fixture) {
    let Some((one, other)) = pair(&fixture) else { return };
    let added: Vec<_> = (0..12).map(|n| if n % 3 == 0 { &one } else { &other }.add_one(prioritised("a", n % 2))).collect();
    let mut seen = Vec::new();
    for n in 0..6 {
        seen.extend(ids(&if n % 2 == 0 { &one } else { &other }.claim(ALICE, &["a"], 2)));
    }
    let expected: Vec<_> = added.iter().step_by(2).chain(added.iter().skip(1).step_by(2)).copied().collect();
    assert_eq!(seen, expected);
}

fn one_may_settle_what_the_other_claimed(fixture: Fixture) {
    let Some((one, other)) = pair(&fixture) else { return };
    one.add_many("a", 2);
    let claimed = one.claim(ALICE, &["a"], 2);
    assert_eq!(other.end(&claimed[0], complete(Keep::ALL)), JobState::Completed);
    assert_eq!(one.settle_at(vec![settlement(&claimed[0], fail(Keep::ALL))], T0), [Settled::Refused]);
    other.cancel(by_id(claimed[1].id));
    assert_eq!(cancels(&one.beat_at(ALICE, T0, LEASE)), [claimed[1].id], "a cancel reaches the worker of another process");
    assert_eq!(other.maintain(T0 + LEASE + 1).recovered, 1);
    assert_eq!(one.settle_at(vec![settlement(&claimed[1], complete(Keep::ALL))], T0), [Settled::Refused]);
}

fn a_pause_is_for_both(fixture: Fixture) {
    let Some((one, other)) = pair(&fixture) else { return };
    one.add_one(job("a"));
    one.control(Control::Pause);
    assert!(other.counts().paused);
    assert!(other.claim(ALICE, &["a"], 9).is_empty());
    other.control(Control::Resume);
    assert_eq!(one.claim(ALICE, &["a"], 9).len(), 1);
}

fn an_obliterated_queue_begins_anew_for_both(fixture: Fixture) {
    let Some((one, other)) = pair(&fixture) else { return };
    one.add(vec![job("a"), job("b")]);
    other.add(vec![job("a"), job("b")]);
    assert_eq!(one.control_all(&Control::Obliterate { force: false }).affected, 4);
    assert!(other.queues().is_empty());
    let there = other.add(vec![job("b"), job("a")]);
    let here = one.add(vec![job("a"), job("b")]);
    assert_eq!(ids(&one.claim(ALICE, &["a"], 9)), [there[1], here[0]]);
    assert_eq!(ids(&other.claim(BOB, &["b"], 9)), [there[0], here[1]]);
}

fn both_take_each_job_once(fixture: Fixture) {
    let Some((one, other)) = pair(&fixture) else { return };
    let added = one.add_many("a", 300);
    share(&one, &other, &added);
}

fn an_end_that_is_not_kept_is_told_to_the_other(fixture: Fixture) {
    let Some((one, other)) = pair(&fixture) else { return };
    let few = Keep { count: Some(1), age: None };
    let brief = |keep, key: &str| {
        let policy = JobPolicy { max_stalls: 0, remove_on_complete: keep, remove_on_fail: keep, ..policy() };
        let names = (Some(key.into()), Some("task".into()), Some("parent".into()));
        NewJob { key: names.0, task_id: names.1, parent_id: names.2, ..with_policy("a", policy) }
    };
    let told = |kit: &Kit, job| {
        let found = ask(|reply| kit.store.departed(kit.queue.clone(), vec![by_id(JobId(-1)), job], reply));
        let mut found = found.expect("the store is asked how jobs ended");
        assert_eq!((found.len(), found.remove(0)), (2, None));
        found.remove(0)
    };
    let run = |keep, key: &str, end: Disposition| {
        let id = other.add_one(brief(keep, key));
        let claimed = one.claim_at(ALICE, &["a"], 1, T0 + 1);
        assert_eq!(told(&other, by_id(id)), None, "it has not ended");
        one.end_at(&claimed[0], end, T0 + 2);
        id
    };
    // Nothing is kept of a result.
    let done = run(Keep::NOTHING, "done", complete(Keep::NOTHING));
    assert!(other.gone(done));
    let expected = Departed {
        id: done,
        key: Some("done".into()),
        lane: "a".into(),
        task_id: Some("task".into()),
        parent_id: Some("parent".into()),
        state: JobState::Completed,
        failures: 0,
        added_at: T0,
        started_at: Some(T0 + 1),
        finished_at: T0 + 2,
        value_json: Some("1".into()),
    };
    assert_eq!(told(&other, by_id(done)), Some(expected.clone()));
    assert_eq!(told(&other, by_key("done")), Some(expected.clone()));
    assert_eq!(told(&other.queue("elsewhere"), by_id(done)), None);
    assert_eq!(told(&other.queue("elsewhere"), by_key("done")), None);
    // Nor of a failure, which is counted all the same.
    let failed = run(Keep::NOTHING, "failed", fail(Keep::NOTHING));
    let told_of = told(&other, by_id(failed)).expect("the failure is remembered");
    assert_eq!((told_of.state, told_of.failures, told_of.value_json), (JobState::Failed, 1, Some(error("failed"))));
    // Few are kept, and make room for the next.
    let first = run(few, "same", complete(few));
    other.control(Control::Remove { job: by_key("same") });
    let second = run(few, "same", complete(few));
    assert_eq!(told(&other, by_id(first)).map(|told| told.id), Some(first));
    assert_eq!(told(&other, by_key("same")).map(|told| told.id), Some(second), "the newest of a key counts");
    // What begins anew has not ended.
    other.control(Control::Retry { job: by_id(second) });
    assert_eq!(told(&one, by_id(second)), None);
    one.leave(ALICE);
    // Whom nobody holds any more.
    other.control(Control::Remove { job: by_id(second) });
    let lost = other.add(vec![brief(Keep::NOTHING, "dead"), brief(Keep::NOTHING, "cancelled")]);
    one.claim(BOB, &["a"], 2);
    other.cancel(by_id(lost[1]));
    other.maintain(T0 + LEASE + 1);
    assert_eq!(told(&other, by_id(lost[0])).map(|told| told.state), Some(JobState::Dead));
    assert_eq!(
        told(&other, by_id(lost[1])).map(|told| (told.state, told.value_json)),
        Some((JobState::Cancelled, Some(error("cancelled"))))
    );
    // What is kept, and what was removed before it ended, is none of this.
    let kept = run(Keep::ALL, "kept", complete(Keep::ALL));
    assert_eq!(told(&other, by_id(kept)), None);
    let removed = other.add_one(brief(Keep::NOTHING, "removed"));
    other.control(Control::Remove { job: by_id(removed) });
    assert_eq!(told(&other, by_id(removed)), None);
}

/// A notice may get lost, as long as notices keep coming: who hears nothing at first hears of a later change.
fn the_other_hears_of_changes(fixture: Fixture) {
    let Some((one, other)) = pair(&fixture) else { return };
    for (here, there) in [(&one, &other), (&other, &one)] {
        let heard = there.listen();
        heard.wait_doing(
            "that another process changed the store",
            |sounds| sounds.foreign > 0,
            || {
                here.add_one(job("a"));
            },
        );
    }
}

fn events_go_to_the_other_that_listens(fixture: Fixture) {
    let Some((one, other)) = pair(&fixture) else { return };
    let (here, there) = (one.listen(), other.listen());
    let listen = |kit: &Kit, queue: &str, on| ask(|reply| kit.store.listen(queue.into(), on, reply)).expect("a listener is set");
    listen(&other, "tasks", true);
    listen(&one, "other", true);
    let mut n = 0;
    there.wait_doing(
        "batches of events",
        |sounds| sounds.events.len() >= 3,
        || {
            one.store.publish("other".into(), r#"["nobody listens there"]"#.into());
            for _ in 0..3 {
                n += 1;
                one.store.publish("tasks".into(), n.to_string().into());
            }
            // Where events travel with the maintenance, it has to come by.
            other.maintain(T0);
        },
    );
    let events = there.heard().events;
    let numbers: Vec<i64> = events
        .iter()
        .map(|(queue, body)| {
            assert_eq!(&**queue, "tasks", "only queues that are listened to are heard");
            body.parse().expect("the batch comes as it went")
        })
        .collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "in order, and each once: {numbers:?}");
    assert!(here.heard().events.is_empty(), "nobody hears its own events");
    here.wait_doing(
        "the events of the other side",
        |sounds| !sounds.events.is_empty(),
        || {
            other.store.publish("other".into(), "7".into());
            one.maintain(T0);
        },
    );
    assert!(here.heard().events.iter().all(|(queue, body)| &**queue == "other" && &**body == "7"));
    assert!(!one.store.is_heard("nobody listens there"));
}

fn closing_one_leaves_the_other(fixture: Fixture) {
    let Some((one, other)) = pair(&fixture) else { return };
    let id = one.add_one(job("a"));
    let claimed = one.claim_one(ALICE, "a");
    ask(|reply| one.store.close(reply)).expect("the store closes");
    assert_eq!(other.end(&claimed, complete(Keep::ALL)), JobState::Completed);
    assert_eq!(other.state(id), JobState::Completed);
    other.add_one(job("a"));
    assert_eq!(other.claim(BOB, &["a"], 9).len(), 1);
}
