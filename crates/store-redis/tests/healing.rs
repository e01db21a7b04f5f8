//! What happens when Redis is restarted, forgets its scripts, drops its clients, is full, or refuses.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Server, open};
use master_agent_core::{ErrorCode, JobPolicy, JobState, WorkerId};
use master_agent_store::{ClaimRequest, ClaimedJob, Disposition, JobStore, NewJob, Settled, Settlement, StoreError, call};
use master_agent_store_redis::{Options, RedisStore};

const QUEUE: &str = "tasks";
const NOW: i64 = 1_700_000_000_000;

fn job(data: &str) -> NewJob {
    NewJob {
        lane: "lane".into(),
        key: None,
        task_id: None,
        parent_id: None,
        data_json: data.into(),
        meta_json: None,
        priority: 0,
        run_at: None,
        policy: Arc::new(JobPolicy::DEFAULT),
    }
}

fn add(store: &RedisStore, data: &str) -> Result<i64, StoreError> {
    call(|reply| store.enqueue(QUEUE.into(), vec![job(data)], NOW, reply)).map(|added| added[0].id.0)
}

fn claim(store: &RedisStore, free: usize) -> Result<Vec<ClaimedJob>, StoreError> {
    let request = ClaimRequest {
        worker: WorkerId(7),
        queue: QUEUE.into(),
        lanes: [Arc::from("lane")].into(),
        limits: Vec::new(),
        free,
        max_bytes: usize::MAX,
        now: NOW,
        lease: 30_000,
    };
    call(|reply| store.claim(request, reply))
}

fn complete(store: &RedisStore, job: &ClaimedJob) -> Result<Settled, StoreError> {
    let keep = JobPolicy::DEFAULT.remove_on_complete;
    let settlement = Settlement { id: job.id, token: job.token, disposition: Disposition::Complete { result_json: None, keep } };
    call(|reply| store.settle(QUEUE.into(), Arc::new(vec![settlement]), NOW, None, reply)).map(|reply| reply.settled[0])
}

fn counts(store: &RedisStore) -> Vec<(JobState, u64)> {
    let counts = call(|reply| store.counts(QUEUE.into(), reply)).expect("counts");
    counts.lanes.into_iter().map(|lane| (lane.state, lane.count)).collect()
}

#[test]
fn what_was_acknowledged_survives_restarts() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = open(&server.url());
    let mut added = Vec::new();
    let mut done = 0;
    for round in 0..5 {
        for _ in 0..10 {
            added.push(add(&store, "1").expect("added"));
        }
        let claimed = claim(&store, 4).expect("claimed");
        server.restart();
        for job in &claimed {
            assert_eq!(complete(&store, job).expect("settled"), Settled::Applied(JobState::Completed), "round {round}");
            done += 1;
        }
    }
    assert!(added.windows(2).all(|pair| pair[0] < pair[1]), "no id is given twice");
    assert_eq!(counts(&store), [(JobState::Waiting, 50 - done), (JobState::Completed, done)]);
}

#[test]
fn an_enqueue_that_a_restart_interrupts_happens_once() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = open(&server.url());
    add(&store, "1").expect("added");
    let (send, receive) = std::sync::mpsc::channel();
    for _ in 0..200 {
        let send = send.clone();
        let reply = Box::new(move |outcome: Result<Vec<master_agent_store::Enqueued>, StoreError>| {
            let _ = send.send(outcome.map(|added| added[0].id));
        });
        store.enqueue(QUEUE.into(), vec![job("2")], NOW, reply);
    }
    server.restart();
    let mut ids: Vec<_> = (0..200).map(|_| receive.recv().expect("an answer").expect("added")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 200, "each has its own number");
    assert_eq!(counts(&store), [(JobState::Waiting, 201)], "and nothing was added twice");
}

#[test]
fn scripts_that_were_forgotten_are_loaded_again() {
    let server = Server::start(&[]);
    let store = open(&server.url());
    for _ in 0..3 {
        add(&store, "1").expect("added");
        server.cli(&["SCRIPT", "FLUSH"]);
    }
    assert_eq!(claim(&store, 9).expect("claimed").len(), 3);
}

#[test]
fn clients_that_were_killed_come_back() {
    let server = Server::start(&[]);
    let store = open(&server.url());
    for _ in 0..5 {
        add(&store, "1").expect("added");
        server.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }
    let claimed = claim(&store, 9).expect("claimed");
    assert_eq!(claimed.len(), 5);
    call(|reply| store.check(Duration::from_secs(5), reply)).expect("connected");
}

#[test]
fn a_server_that_is_away_is_told_in_time() {
    let mut server = Server::start(&[]);
    let options = Options { timeout: Some(Duration::from_millis(300)), on_warning: None };
    let store = RedisStore::new(&server.url(), options).expect("a store");
    add(&store, "1").expect("added");
    server.kill();
    let error = add(&store, "2").expect_err("nobody is there");
    assert_eq!(error.code(), ErrorCode::StoreUnreachable, "{error}");
    assert!(error.code().retryable());
    assert!(call(|reply| store.check(Duration::from_millis(300), reply)).is_err(), "connected");
    call(|reply| store.close(reply)).expect("closing does not wait for a server");
}

#[test]
fn a_full_server_says_what_to_do() {
    let server = Server::start(&[]);
    let store = open(&server.url());
    add(&store, "1").expect("added");
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let error = add(&store, "2").expect_err("there is no room");
    assert_eq!(error.code(), ErrorCode::StoreFull, "{error}");
    assert!(error.to_string().contains("maxmemory"), "{error}");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    add(&store, "3").expect("there is room again");
    assert_eq!(counts(&store), [(JobState::Waiting, 2)]);
}

#[test]
fn refusals_are_coded() {
    let server = Server::start(&[]);
    let refused = |url: String| {
        let store = open(&url);
        add(&store, "1").expect_err("refused").code()
    };
    assert_eq!(refused(format!("{}?db=99", server.url())), ErrorCode::StoreOpen);
    server.cli(&["SET", "ma:{tasks}:j:", "not a hash"]);
    assert_eq!(refused(server.url()), ErrorCode::StoreCorrupt);
    server.cli(&["DEL", "ma:{tasks}:j:"]);
    for other in ["1", "99"] {
        server.cli(&["SET", "ma:v", other]);
        assert_eq!(refused(server.url()), ErrorCode::StoreVersion, "layout {other}");
    }
    server.cli(&["DEL", "ma:v"]);
    server.cli(&["CONFIG", "SET", "requirepass", "secret"]);
    assert_eq!(refused(server.url()), ErrorCode::StoreDenied);
    assert_eq!(refused(format!("{}?pass=wrong", server.url())), ErrorCode::StoreDenied);
    let store = open(&format!("{}?pass=secret", server.url()));
    add(&store, "1").expect("with the password");
}
