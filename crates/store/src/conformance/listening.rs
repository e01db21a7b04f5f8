//! What a store tells on its own account: lanes that are ready, due times, ends. Hints may come for nothing,
//! but never fail to come.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Weak};

use master_agent_core::{JobId, JobPolicy, JobState, Keep, Millis};
use parking_lot::Mutex;

use super::kit::*;
use super::{Fixture, PATIENCE};
use crate::{ClaimedJob, Control, Disposition, JobStore, StoreListener};

super::cases! {
    adding_to_an_empty_lane_makes_it_ready,
    every_lane_of_a_batch_is_ready,
    giving_back_makes_a_lane_ready,
    leaving_makes_lanes_ready,
    losing_a_worker_makes_lanes_ready,
    what_is_due_makes_a_lane_ready,
    promoting_and_retrying_make_a_lane_ready,
    resuming_makes_lanes_ready,
    delaying_tells_when_it_is_due,
    what_ends_without_a_settle_is_told,
    what_is_removed_is_told,
    a_listener_may_claim_at_once,
    a_reply_may_go_on_at_once,
    the_last_listener_counts,
    a_listener_that_is_gone_is_no_harm,
}

fn adding_to_an_empty_lane_makes_it_ready(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let heard = kit.listen();
    for _ in 0..3 {
        heard.forget();
        kit.add_one(job("a"));
        heard.wait_ready("tasks", "a");
        assert_eq!(kit.claim(ALICE, &["a"], 9).len(), 1);
        assert!(kit.claim(ALICE, &["a"], 9).is_empty(), "the lane has been seen empty");
    }
}

fn every_lane_of_a_batch_is_ready(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let heard = kit.listen();
    kit.add(vec![job("a"), job("b"), job("a"), job("c")]);
    kit.queue("other").add_one(job("a"));
    for (queue, lane) in [("tasks", "a"), ("tasks", "b"), ("tasks", "c"), ("other", "a")] {
        heard.wait_ready(queue, lane);
    }
}

/// A lane of one job that is claimed, and a listener that has heard nothing yet.
fn claimed(kit: &Kit, lane: &str) -> (Arc<Heard>, ClaimedJob) {
    kit.add_one(job(lane));
    let claimed = kit.claim_one(ALICE, lane);
    assert!(kit.claim(ALICE, &[lane], 9).is_empty());
    (kit.listen(), claimed)
}

fn giving_back_makes_a_lane_ready(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    for (lane, end) in [("released", Disposition::Release), ("retried", retry(T0)), ("stalled", stall())] {
        let (heard, claimed) = claimed(&kit, lane);
        kit.end(&claimed, end);
        heard.wait_ready("tasks", lane);
    }
}

fn leaving_makes_lanes_ready(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let (heard, _) = claimed(&kit, "a");
    kit.leave(ALICE);
    heard.wait_ready("tasks", "a");
}

fn losing_a_worker_makes_lanes_ready(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let (heard, _) = claimed(&kit, "a");
    kit.maintain(T0 + LEASE + 1);
    heard.wait_ready("tasks", "a");
}

fn what_is_due_makes_a_lane_ready(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add_one(delayed("a", T0 + 5));
    assert!(kit.claim(ALICE, &["a"], 9).is_empty());
    let heard = kit.listen();
    kit.maintain(T0 + 5);
    heard.wait_ready("tasks", "a");
}

fn promoting_and_retrying_make_a_lane_ready(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let late = kit.add_one(delayed("late", T0 + 5));
    let heard = kit.listen();
    kit.control(Control::Promote { job: by_id(late) });
    heard.wait_ready("tasks", "late");
    let (heard, claimed) = claimed(&kit, "a");
    kit.end(&claimed, fail(Keep::ALL));
    kit.control(Control::Retry { job: by_id(claimed.id) });
    heard.wait_ready("tasks", "a");
}

fn resuming_makes_lanes_ready(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    kit.add(vec![job("a"), job("b")]);
    kit.control(Control::Pause);
    assert!(kit.claim(ALICE, &["a", "b"], 9).is_empty());
    let heard = kit.listen();
    kit.control(Control::Resume);
    heard.wait_ready("tasks", "a");
    heard.wait_ready("tasks", "b");
}

fn delaying_tells_when_it_is_due(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let heard = kit.listen();
    let wait = |due: Millis| heard.wait(&format!("that something is due at {due}"), |sounds| sounds.due.contains(&due));
    kit.add(vec![delayed("a", T0 + 50), delayed("a", T0 + 30), delayed("a", T0 + 40)]);
    wait(T0 + 30);
    kit.add_one(delayed("b", T0 + 20));
    wait(T0 + 20);
    kit.add_one(job("c"));
    kit.end(&kit.claim_one(ALICE, "c"), retry(T0 + 10));
    wait(T0 + 10);
}

fn what_ends_without_a_settle_is_told(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let heard = kit.listen();
    for keep in [Keep::ALL, Keep::NOTHING] {
        let cancelled = kit.add_one(with_policy("a", JobPolicy { remove_on_fail: keep, ..policy() }));
        kit.cancel(by_id(cancelled));
        heard.wait_ended("tasks", cancelled);
    }
}

fn what_is_removed_is_told(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let heard = kit.listen();
    let removed = kit.add_one(job("a"));
    kit.control(Control::Remove { job: by_id(removed) });
    heard.wait_ended("tasks", removed);
    let drained = kit.add(vec![job("a"), delayed("a", T0 + 9)]);
    kit.control_all(&Control::Drain { delayed: true });
    drained.into_iter().for_each(|id| heard.wait_ended("tasks", id));
    let cleaned = kit.add_one(job("a"));
    kit.control(Control::Clean { state: JobState::Waiting, before: T0 + 1, limit: 9 });
    heard.wait_ended("tasks", cleaned);
    let running = kit.add_one(job("a"));
    kit.claim_one(ALICE, "a");
    kit.control_all(&Control::Obliterate { force: true });
    heard.wait_ended("tasks", running);
}

/// Claims what is announced from inside the announcement, as the engine does.
struct Eager {
    store: Weak<dyn JobStore>,
    claimed: Mutex<Sender<JobId>>,
}

impl StoreListener for Eager {
    fn lanes_ready(&self, queue: &Arc<str>, lanes: &[Arc<str>]) {
        let Some(store) = self.store.upgrade() else { return };
        let claimed = self.claimed.lock().clone();
        let lanes: Vec<&str> = lanes.iter().map(|lane| &**lane).collect();
        let request = Kit { store: store.clone(), queue: queue.clone() }.request(ALICE, &lanes, 100);
        let reply = Box::new(move |outcome: Result<Vec<ClaimedJob>, _>| {
            for job in outcome.into_iter().flatten() {
                let _ = claimed.send(job.id);
            }
        });
        store.claim(request, reply);
    }

    fn due(&self, _due: Millis) {}
    fn ended(&self, _queue: &Arc<str>, _jobs: &[JobId]) {}
    fn foreign(&self) {}
    fn events(&self, _queue: &Arc<str>, _events_json: &str) {}
}

fn a_listener_may_claim_at_once(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let (send, receive) = channel();
    let eager = Arc::new(Eager { store: Arc::downgrade(&kit.store), claimed: Mutex::new(send) });
    let weak: Weak<Eager> = Arc::downgrade(&eager);
    kit.store.set_listener(weak);
    let mut added = Vec::new();
    for n in 0..40 {
        added.extend(kit.add_many(["a", "b", "c"][n % 3], 1 + n % 4));
    }
    let claimed: Vec<JobId> = added.iter().map(|_| receive.recv_timeout(PATIENCE).expect("every job is announced")).collect();
    assert_eq!(sorted(claimed), added);
    assert_eq!((kit.count(JobState::Waiting), kit.count(JobState::Active)), (0, added.len() as u64));
}

/// A chain in which each step is submitted from the answer of the one before.
fn a_reply_may_go_on_at_once(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let (send, receive) = channel();
    let (store, queue) = (kit.store.clone(), kit.queue.clone());
    let request = kit.request(ALICE, &["a"], 1);
    let add = Box::new(move |added: Result<Vec<crate::Enqueued>, _>| {
        assert!(added.is_ok());
        let (again, settle_queue) = (store.clone(), queue.clone());
        let claim = Box::new(move |claimed: Result<Vec<ClaimedJob>, _>| {
            let batch: Vec<_> = claimed.into_iter().flatten().map(|job| settlement(&job, complete(Keep::ALL))).collect();
            let done = Box::new(move |settled: Result<crate::SettleReply, _>| {
                let _ = send.send(settled);
            });
            again.settle(settle_queue, batch.into(), T0, None, done);
        });
        store.claim(request, claim);
    });
    kit.store.enqueue(kit.queue.clone(), vec![job("a")], T0, add);
    let settled = receive.recv_timeout(PATIENCE).expect("the chain comes to its end").expect("and well");
    assert_eq!(settled.settled, [crate::Settled::Applied(JobState::Completed)]);
}

fn the_last_listener_counts(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    let first = kit.listen();
    let second = kit.listen();
    kit.add_one(job("a"));
    second.wait_ready("tasks", "a");
    first.wait("nothing", |sounds| sounds.ready.is_empty());
}

fn a_listener_that_is_gone_is_no_harm(fixture: Fixture) {
    let kit = Kit::new(fixture.store());
    drop(kit.listen());
    let id = kit.add_one(job("a"));
    kit.cancel(by_id(id));
    assert_eq!(kit.state(id), JobState::Cancelled);
}
