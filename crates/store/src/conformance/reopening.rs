//! Closing and opening again: what was acknowledged is there. Passes at once where a place cannot be reopened.

use std::sync::mpsc::channel;
use std::time::Duration;

use master_agent_core::{JobId, JobRef, JobState, Keep};

use super::kit::*;
use super::{Fixture, PATIENCE};
use crate::{Control, JobView, SettleReply, Settled, StoreError};

super::cases! {
    a_closed_store_says_so,
    closing_finishes_what_was_submitted,
    everything_is_there_again,
    claims_and_leases_go_on,
    ids_and_tokens_go_on,
    the_order_of_lanes_and_ends_goes_on,
    pauses_go_on,
    many_reopenings_lose_nothing,
}

/// Closes the kit's store and opens its place again.
fn reopen(fixture: &mut Fixture, kit: Kit) -> Option<Kit> {
    let queue = kit.queue.clone();
    drop(kit);
    fixture.reopened().map(|store| Kit { store, queue })
}

fn a_closed_store_says_so(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add_one(job("a"));
    ask(|reply| kit.store.close(reply)).expect("the store closes");
    let queue = || kit.queue.clone();
    let closed: Vec<(&str, Option<StoreError>)> = vec![
        ("enqueue", ask(|reply| kit.store.enqueue(queue(), vec![job("a")], T0, reply)).err()),
        ("claim", ask(|reply| kit.store.claim(kit.request(ALICE, &["a"], 1), reply)).err()),
        ("settle", ask(|reply| kit.store.settle(queue(), Vec::new().into(), T0, None, reply)).err()),
        ("leave", ask(|reply| kit.store.leave(ALICE, T0, reply)).err()),
        ("maintain", ask(|reply| kit.store.maintain(T0, reply)).err()),
        ("note", ask(|reply| kit.store.note(Vec::new(), reply)).err()),
        ("control", ask(|reply| kit.store.control(queue(), Control::Pause, T0, reply)).err()),
        ("jobs", ask(|reply| kit.store.jobs(queue(), vec![by_id(JobId(1))], reply)).err()),
        ("list", ask(|reply| kit.store.list(kit.query(JobState::Waiting), reply)).err()),
        ("counts", ask(|reply| kit.store.counts(queue(), reply)).err()),
        ("queues", ask(|reply| kit.store.queues(reply)).err()),
        ("logs", ask(|reply| kit.store.logs(queue(), by_id(JobId(1)), 0, 1, reply)).err()),
        ("workers", ask(|reply| kit.store.workers(queue(), reply)).err()),
        ("check", ask(|reply| kit.store.check(Duration::from_secs(5), reply)).err()),
        ("listen", ask(|reply| kit.store.listen(queue(), true, reply)).err()),
    ];
    for (operation, error) in closed {
        assert_eq!(error, Some(StoreError::Closed), "{operation}");
    }
    kit.store.publish(queue(), "[]".into());
    ask(|reply| kit.store.close(reply)).expect("closing twice is closing");
}

fn closing_finishes_what_was_submitted(mut fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let (send, receive) = channel();
    for _ in 0..50 {
        let send = send.clone();
        let reply = Box::new(move |outcome| {
            let _ = send.send(outcome);
        });
        kit.store.enqueue(kit.queue.clone(), vec![job("a")], T0, reply);
    }
    let reopened = reopen(&mut fixture, kit);
    let mut added = Vec::new();
    for _ in 0..50 {
        let outcome: Result<Vec<crate::Enqueued>, _> = receive.recv_timeout(PATIENCE).expect("every operation is answered");
        added.push(outcome.expect("what was submitted before the close is done")[0].id);
    }
    if let Some(kit) = reopened {
        assert_eq!(kit.listed(JobState::Waiting), sorted(added));
    }
}

/// One job in each state, with all that a job can carry.
fn fill(kit: &Kit) -> Vec<JobRef> {
    for (name, end) in [
        ("completed", complete(Keep::ALL)),
        ("failed", fail(Keep::ALL)),
        ("retried", retry(T0 + 500)),
        ("dead", crate::Disposition::End { state: JobState::Dead, error_json: error("dead"), failed: false, keep: Keep::ALL }),
    ] {
        kit.add_one(crate::NewJob { meta_json: Some(r#"{"m":1}"#.into()), ..keyed("ends", name) });
        let claimed = kit.claim_one(ALICE, "ends");
        kit.note(&claimed, progress(r#""half""#));
        kit.note(&claimed, log(T0 + 1, name));
        kit.end_at(&claimed, end, T0 + 3);
    }
    kit.add(vec![keyed("a", "cancelled"), keyed("a", "waiting"), prioritised("a", 7)]);
    kit.cancel(by_key("cancelled"));
    kit.add_one(crate::NewJob { key: Some("delayed".into()), ..delayed("a", T0 + 77) });
    kit.add_one(keyed("b", "active"));
    kit.claim_one(BOB, "b");
    ["completed", "failed", "retried", "dead", "cancelled", "waiting", "delayed", "active"].map(by_key).to_vec()
}

fn views(kit: &Kit, jobs: &[JobRef]) -> Vec<Option<JobView>> {
    ask(|reply| kit.store.jobs(kit.queue.clone(), jobs.to_vec(), reply)).expect("look-ups are answered")
}

fn everything_is_there_again(mut fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let jobs = fill(&kit);
    let seen = |kit: &Kit| {
        let mut counts = kit.counts();
        counts.lanes.sort_by(|a, b| (&a.lane, a.state).cmp(&(&b.lane, b.state)));
        let lists = JobState::ALL.map(|state| kit.list_all(kit.query(state)));
        let logs: Vec<_> = lists.iter().flatten().map(|job| kit.logs(job.id, 0, 100)).collect();
        (views(kit, &jobs), counts, lists, logs, kit.queues(), sorted_workers(kit))
    };
    let before = seen(&kit);
    assert!(before.0.iter().all(Option::is_some));
    let Some(kit) = reopen(&mut fixture, kit) else { return };
    assert_eq!(seen(&kit), before);
}

fn sorted_workers(kit: &Kit) -> Vec<crate::WorkerView> {
    let mut workers = kit.workers();
    workers.sort_by_key(|view| view.worker);
    workers
}

fn claims_and_leases_go_on(mut fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.beat_at(ALICE, T0, 100);
    kit.beat_at(BOB, T0, 500);
    kit.add_many("a", 2);
    let lost = kit.claim_one(ALICE, "a");
    let kept = kit.claim_one(BOB, "a");
    kit.cancel(by_id(kept.id));
    let Some(kit) = reopen(&mut fixture, kit) else { return };
    let reply = kit.beat_at(BOB, T0 + 50, 500);
    assert_eq!((cancels(&reply), reply.held), (vec![kept.id], vec![(kept.id, kept.token)]));
    assert_eq!(kit.maintain(T0 + 101).recovered, 1);
    assert_eq!(kit.settle_at(vec![settlement(&lost, complete(Keep::ALL))], T0 + 102), [Settled::Refused]);
    assert_eq!(kit.end(&kept, complete(Keep::ALL)), JobState::Completed);
}

fn ids_and_tokens_go_on(mut fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let last = *kit.add_many("a", 5).last().expect("five were added");
    let claimed = kit.claim(ALICE, &["a"], 5);
    let token = claimed.iter().map(|job| job.token).max().expect("five were claimed");
    kit.leave(ALICE);
    kit.control_all(&Control::Obliterate { force: true });
    let Some(kit) = reopen(&mut fixture, kit) else { return };
    let next = kit.add_one(job("a"));
    assert!(next > last, "{next} was given before");
    assert!(kit.claim_one(BOB, "a").token > token, "an old token must not be good again");
}

fn the_order_of_lanes_and_ends_goes_on(mut fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let keep = Keep { count: Some(4), age: None };
    let mut ended = kit.end_many("a", 4, T0, &complete(keep));
    let mut waiting = kit.add_many("b", 3);
    let Some(kit) = reopen(&mut fixture, kit) else { return };
    ended.extend(kit.end_many("a", 2, T0, &complete(keep)));
    waiting.extend(kit.add_many("b", 3));
    ended.reverse();
    assert_eq!(kit.listed(JobState::Completed), ended[..4], "the newest four, over the reopening");
    assert_eq!(ids(&kit.claim(ALICE, &["b"], 9)), waiting);
}

fn pauses_go_on(mut fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add_one(job("a"));
    kit.control(Control::Pause);
    let Some(kit) = reopen(&mut fixture, kit) else { return };
    assert!(kit.counts().paused);
    assert!(kit.claim(ALICE, &["a"], 9).is_empty());
    kit.control(Control::Resume);
    let Some(kit) = reopen(&mut fixture, kit) else { return };
    assert_eq!(kit.claim(ALICE, &["a"], 9).len(), 1);
}

fn many_reopenings_lose_nothing(mut fixture: Fixture) {
    let mut kit = Kit::new(fixture.store());
    let mut running: Vec<crate::ClaimedJob> = Vec::new();
    let mut completed = Vec::new();
    let mut added = Vec::new();
    for _ in 0..8 {
        added.extend(kit.add_many("a", 6));
        let batch: Vec<_> = running.iter().map(|job| settlement(job, complete(Keep::ALL))).collect();
        let SettleReply { settled, claimed } = kit.settle_and_claim(batch, T0, Some(kit.request(ALICE, &["a"], 4)));
        assert!(settled.iter().all(|settled| *settled == Settled::Applied(JobState::Completed)));
        completed.extend(ids(&running));
        running = claimed;
        let Some(next) = reopen(&mut fixture, kit) else { return };
        kit = next;
        assert_eq!(sorted(kit.listed(JobState::Completed)), completed);
        assert_eq!(kit.listed(JobState::Active), ids(&running));
        assert_eq!(kit.listed(JobState::Waiting), added[completed.len() + running.len()..]);
    }
}
