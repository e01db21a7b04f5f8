//! Adding: ids, keys, everything that a job carries.

use std::sync::Arc;

use master_agent_core::{Backoff, BackoffKind, JobId, JobPolicy, JobState, Keep};

use super::Fixture;
use super::kit::*;
use crate::{Control, Enqueued, NewJob};

super::cases! {
    ids_grow_by_one_in_the_order_of_adding,
    ids_are_never_given_again,
    an_empty_batch_adds_nothing,
    a_key_is_given_once,
    two_of_a_batch_with_one_key_are_one_job,
    a_key_belongs_to_its_queue,
    a_key_stays_taken_after_the_end,
    a_key_is_free_again_after_removal,
    a_key_is_free_again_after_retention,
    a_key_may_look_like_a_number,
    what_is_added_is_shown,
    what_is_added_is_claimed,
    a_time_that_has_passed_means_at_once,
    a_large_batch_is_added_in_order,
    a_large_payload_comes_back,
}

fn full() -> NewJob {
    NewJob {
        lane: "lane: ü/\u{1F980}".into(),
        key: Some("key 'with' \"quotes\" \u{0}and\u{7f}".into()),
        task_id: Some("task-1".into()),
        parent_id: Some("task-0".into()),
        data_json: r#"{"text":"é\n\u0000 \ud83e\udd80","n":[1,2.5e300,null,true]}"#.into(),
        meta_json: Some(r#"{"trace":"00-ab"}"#.into()),
        priority: 2_097_152,
        run_at: None,
        policy: Arc::new(JobPolicy {
            attempts: 7,
            backoff: Backoff { kind: BackoffKind::Fixed, delay: 12, max_delay: 345, jitter: 0.25 },
            timeout: Some(6_789),
            max_stalls: 2,
            remove_on_complete: Keep { count: Some(5), age: None },
            remove_on_fail: Keep { count: None, age: Some(99) },
        }),
    }
}

fn ids_grow_by_one_in_the_order_of_adding(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let first = kit.add_many("a", 3);
    assert!(first[0].0 > 0, "ids are positive");
    assert_eq!(first, (0..3).map(|n| JobId(first[0].0 + n)).collect::<Vec<_>>());
    let second = kit.add_many("b", 2);
    assert!(second[0] > first[2], "a later batch has later ids");
    assert_eq!(second[1].0, second[0].0 + 1);
}

fn ids_are_never_given_again(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let newest = *kit.add_many("a", 3).last().expect("three were added");
    kit.control(Control::Remove { job: by_id(newest) });
    assert!(kit.add_one(job("a")) > newest);
    let emptied = kit.control_all(&Control::Obliterate { force: false });
    let last = emptied.ended.iter().max().copied().expect("jobs were removed");
    assert!(kit.add_one(job("a")) > last);
}

fn an_empty_batch_adds_nothing(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    assert!(kit.add(Vec::new()).is_empty());
    assert!(kit.counts().lanes.is_empty());
}

fn a_key_is_given_once(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let first = kit.add_one(keyed("a", "k"));
    let again = kit.add_at(vec![keyed("b", "k"), keyed("b", "other")], T0 + 5);
    assert_eq!(again[0], Enqueued { id: first, existing: true });
    assert!(!again[1].existing);
    let view = kit.view(by_key("k")).expect("the key names the job");
    assert_eq!((view.id, &*view.lane, view.added_at), (first, "a", T0), "the first job is left as it was");
    assert_eq!(kit.count(JobState::Waiting), 2);
}

fn two_of_a_batch_with_one_key_are_one_job(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add_at(vec![job("a"), keyed("a", "k"), keyed("a", "k"), job("a")], T0);
    assert_eq!(added.iter().map(|added| added.existing).collect::<Vec<_>>(), [false, false, true, false]);
    assert_eq!(added[1].id, added[2].id);
    assert_eq!(kit.listed(JobState::Waiting), [added[0].id, added[1].id, added[3].id]);
}

fn a_key_belongs_to_its_queue(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let here = kit.add_one(keyed("a", "k"));
    let other = kit.queue("other");
    // Queues may number their jobs each by itself.
    other.add_one(job("a"));
    let there = other.add_one(keyed("a", "k"));
    assert_ne!(here, there);
    assert_eq!(kit.view(by_key("k")).map(|view| view.id), Some(here));
    assert_eq!(other.view(by_key("k")).map(|view| view.id), Some(there));
}

fn a_key_stays_taken_after_the_end(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let id = kit.add_one(keyed("a", "k"));
    assert_eq!(kit.add_at(vec![keyed("a", "k")], T0)[0].id, id);
    let claimed = kit.claim_one(ALICE, "a");
    assert_eq!(kit.add_at(vec![keyed("a", "k")], T0)[0], Enqueued { id, existing: true }, "while it runs");
    kit.end(&claimed, complete(Keep::ALL));
    assert_eq!(kit.add_at(vec![keyed("a", "k")], T0)[0], Enqueued { id, existing: true }, "after it ended");
    assert_eq!(kit.count(JobState::Waiting), 0);
}

fn a_key_is_free_again_after_removal(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let id = kit.add_one(keyed("a", "k"));
    kit.control(Control::Remove { job: by_key("k") });
    let next = kit.add_one(keyed("a", "k"));
    assert_ne!(id, next);
    let claimed = kit.claim_one(ALICE, "a");
    kit.end(&claimed, complete(Keep::NOTHING));
    kit.add_one(keyed("a", "k"));
    kit.control_all(&Control::Drain { delayed: true });
    kit.add_one(keyed("a", "k"));
    kit.control_all(&Control::Obliterate { force: true });
    kit.add_one(keyed("a", "k"));
}

fn a_key_is_free_again_after_retention(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let keep = Keep { count: Some(1), age: None };
    let old = kit.add_one(keyed("a", "old"));
    kit.end(&kit.claim_one(ALICE, "a"), complete(keep));
    kit.add_one(keyed("a", "new"));
    kit.end(&kit.claim_one(ALICE, "a"), complete(keep));
    assert!(kit.view(by_key("old")).is_none(), "the older of two ended jobs gave way");
    assert!(kit.view(by_key("new")).is_some());
    assert!(kit.add_one(keyed("a", "old")) > old);
}

fn a_key_may_look_like_a_number(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let plain = kit.add_one(job("a"));
    let named = kit.add_one(keyed("a", &plain.to_string()));
    assert_eq!(kit.view(by_key(&plain.to_string())).map(|view| view.id), Some(named));
    assert_eq!(kit.view(by_id(plain)).map(|view| view.id), Some(plain));
}

fn what_is_added_is_shown(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let new = full();
    let id = kit.add_one(new.clone());
    let view = kit.get(id);
    assert_eq!(view.id, id);
    assert_eq!(view.key, new.key);
    assert_eq!(view.lane, new.lane);
    assert_eq!(view.task_id, new.task_id);
    assert_eq!(view.parent_id, new.parent_id);
    assert_eq!(view.data_json, new.data_json, "the text is kept as it was given");
    assert_eq!(view.meta_json, new.meta_json);
    assert_eq!(view.policy, new.policy);
    assert_eq!(view.state, JobState::Waiting);
    assert_eq!(view.priority, new.priority);
    assert_eq!((view.failures, view.stalls, view.added_at), (0, 0, T0));
    assert_eq!((view.started_at, view.finished_at, view.worker), (None, None, None));
    assert_eq!((view.result_json, view.error_json, view.progress_json), (None, None, None));
    let plain = kit.get(kit.add_one(job("a")));
    assert_eq!((plain.key, plain.task_id, plain.parent_id, plain.meta_json), (None, None, None, None));
    let due = kit.get(kit.add_one(delayed("a", T0 + 70)));
    assert_eq!((due.state, due.run_at), (JobState::Delayed, Some(T0 + 70)));
}

fn what_is_added_is_claimed(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let new = full();
    let id = kit.add_one(new.clone());
    let claimed = kit.claim_one(ALICE, &new.lane);
    assert_eq!(claimed.id, id);
    assert_eq!(claimed.lane, new.lane);
    assert_eq!(claimed.key, new.key);
    assert_eq!(claimed.task_id, new.task_id);
    assert_eq!(claimed.parent_id, new.parent_id);
    assert_eq!(claimed.data_json, new.data_json);
    assert_eq!(claimed.meta_json, new.meta_json);
    assert_eq!(claimed.priority, new.priority);
    assert_eq!(claimed.policy, new.policy);
    assert_eq!((claimed.added_at, claimed.failures, claimed.stalls), (T0, 0, 0));
}

fn a_time_that_has_passed_means_at_once(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add(vec![delayed("a", T0 - 1), delayed("a", T0), delayed("a", T0 + 1), delayed("a", i64::MIN / 2)]);
    assert_eq!(kit.listed(JobState::Waiting), [added[0], added[1], added[3]]);
    assert_eq!(kit.listed(JobState::Delayed), [added[2]]);
    assert_eq!(ids(&kit.claim(ALICE, &["a"], 9)), [added[0], added[1], added[3]], "the order is that of adding");
}

fn a_large_batch_is_added_in_order(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let added = kit.add_many("a", 2_500);
    assert!(added.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1));
    assert_eq!(kit.count(JobState::Waiting), 2_500);
    assert_eq!(ids(&kit.claim(ALICE, &["a"], 2_500)), added);
}

fn a_large_payload_comes_back(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let text: Box<str> = format!("\"{}\"", "0123456789abcdef".repeat(1 << 18)).into();
    let id = kit.add_one(NewJob { data_json: text.clone(), ..job("a") });
    let claimed = kit.claim_one(ALICE, "a");
    assert!(claimed.data_json == text, "4 MiB come back as they went");
    kit.end(&claimed, crate::Disposition::Complete { result_json: Some(text.clone()), keep: Keep::ALL });
    assert!(kit.get(id).result_json == Some(text), "and so does a result");
}
