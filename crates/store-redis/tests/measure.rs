//! What Redis pays for a job. Run it alone: `cargo test --release -p master-agent-store-redis --test measure -- --ignored --nocapture`.

#![expect(clippy::print_stdout, reason = "it is there to print")]

mod common;

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use common::{Server, open};
use master_agent_core::{JobPolicy, WorkerId};
use master_agent_store::{
    ClaimRequest, ClaimedJob, Disposition, JobStore, NewJob, SettleReply, Settlement, StoreError, WorkerBeat, call,
};
use master_agent_store_redis::RedisStore;

const QUEUE: &str = "master-agent-tasks";
const LANE: &str = "researcher";
const NOW: i64 = 1_763_000_000_000;

fn jobs(n: usize) -> Vec<NewJob> {
    let policy = Arc::new(JobPolicy::DEFAULT);
    let lane: Arc<str> = LANE.into();
    let job = NewJob {
        lane,
        key: None,
        task_id: None,
        parent_id: None,
        data_json: format!("\"{}\"", "x".repeat(98)).into(),
        meta_json: None,
        priority: 0,
        run_at: None,
        policy,
    };
    vec![job; n]
}

fn request(free: usize) -> ClaimRequest {
    ClaimRequest {
        worker: WorkerId(7),
        queue: QUEUE.into(),
        lanes: [Arc::from(LANE)].into(),
        limits: Vec::new(),
        free,
        max_bytes: 8 << 20,
        now: NOW,
        lease: 30_000,
    }
}

/// Seconds of CPU that the server has used, and the bytes that it holds.
fn usage(server: &Server) -> (f64, u64) {
    let field = |section: &str, name: &str| {
        let text = server.cli(&["INFO", section]);
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")).map(str::to_owned));
        line.and_then(|value| value.trim().parse::<f64>().ok()).unwrap_or(0.0)
    };
    (field("cpu", "used_cpu_user") + field("cpu", "used_cpu_sys"), field("memory", "used_memory") as u64)
}

/// Runs a phase over `n` jobs and prints what it cost.
fn phase(server: &Server, name: &str, n: usize, work: impl FnOnce()) {
    server.cli(&["CONFIG", "RESETSTAT"]);
    let (cpu, memory) = usage(server);
    let begun = Instant::now();
    work();
    let seconds = begun.elapsed().as_secs_f64();
    let (cpu_after, memory_after) = usage(server);
    let scripts: f64 = server
        .cli(&["INFO", "commandstats"])
        .lines()
        .filter(|line| line.starts_with("cmdstat_evalsha"))
        .filter_map(|line| line.split("usec=").nth(1)?.split(',').next()?.parse::<f64>().ok())
        .sum();
    let per = |total: f64| total / n as f64;
    if std::env::var_os("COMMANDS").is_some() {
        println!("{}", server.cli(&["INFO", "commandstats"]));
    }
    println!(
        "{name:<44} {:>9.0} jobs/s  Redis CPU {:>6.2} us/job  scripts {:>6.2} us/job  memory {:>+7.1} B/job",
        n as f64 / seconds,
        per((cpu_after - cpu) * 1e6),
        per(scripts),
        (memory_after as f64 - memory as f64) / n as f64,
    );
}

fn enqueue(store: &RedisStore, n: usize, batch: usize) {
    let (send, receive) = channel();
    let mut flying = 0;
    for _ in 0..n / batch {
        let send = send.clone();
        store.enqueue(
            QUEUE.into(),
            jobs(batch),
            NOW,
            Box::new(move |outcome| {
                let _ = send.send(outcome.is_ok());
            }),
        );
        flying += 1;
        if flying == 8 {
            assert!(receive.recv().expect("an answer"));
            flying -= 1;
        }
    }
    for _ in 0..flying {
        assert!(receive.recv().expect("an answer"));
    }
}

fn done(jobs: &[ClaimedJob]) -> Arc<Vec<Settlement>> {
    let keep = JobPolicy::DEFAULT.remove_on_complete;
    let disposition = Disposition::Complete { result_json: Some("{\"ok\":true}".into()), keep };
    Arc::new(jobs.iter().map(|job| Settlement { id: job.id, token: job.token, disposition: disposition.clone() }).collect())
}

fn work(store: &Arc<RedisStore>, n: usize, batch: usize) {
    // Two batches in flight, as a worker has whose handlers return at once.
    let left = Arc::new(Mutex::new(n));
    let (send, receive) = channel();
    fn next(
        store: &Arc<RedisStore>,
        left: &Arc<Mutex<usize>>,
        batch: usize,
        held: &[ClaimedJob],
        send: std::sync::mpsc::Sender<()>,
    ) {
        let more = {
            let mut left = left.lock().expect("a lock");
            // Behind a backlog the batch in flight takes more than is left.
            *left = left.saturating_sub(held.len());
            *left > 0
        };
        let (again, of) = (Arc::clone(store), Arc::clone(left));
        let claim = more.then(|| request(batch));
        store.settle(
            QUEUE.into(),
            done(held),
            NOW,
            claim,
            Box::new(move |outcome: Result<SettleReply, StoreError>| {
                let claimed = outcome.expect("settled").claimed;
                if claimed.is_empty() { drop(send) } else { next(&again, &of, batch, &claimed, send) }
            }),
        );
    }
    for _ in 0..2 {
        next(store, &left, batch, &[], send.clone());
    }
    drop(send);
    assert!(receive.recv().is_err());
}

#[test]
#[ignore = "a measurement, to be run alone"]
fn cost_per_job() {
    let n = std::env::var("JOBS").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let server = Server::start(&[]);
    let store = open(&server.url());
    call(|reply| store.queues(reply)).expect("it answers");
    for batch in [1, 50] {
        let n = if batch == 1 { n / 10 } else { n };
        phase(&server, &format!("enqueue, batches of {batch}"), n, || enqueue(&store, n, batch));
        phase(&server, &format!("settle and claim, batches of {batch}"), n, || work(&store, n, batch));
    }
    phase(&server, "enqueue, batches of 1000", n, || enqueue(&store, n, 1_000));
    phase(&server, "settle and claim, batches of 200", n, || work(&store, n, 200));
    let beat = || WorkerBeat {
        worker: WorkerId(7),
        queue: QUEUE.into(),
        name: "host:1".into(),
        concurrency: 10_000,
        started_at: NOW,
        now: NOW,
        lease: 30_000,
    };
    phase(&server, "10,000 at a time: enqueue, claim, beat, settle", 100_000, || {
        for _ in 0..10 {
            enqueue(&store, 10_000, 50);
            let mut held = Vec::new();
            for _ in 0..200 {
                held.extend(call(|reply| store.claim(request(50), reply)).expect("claimed"));
            }
            call(|reply| store.beat(beat(), reply)).expect("a beat");
            for some in held.chunks(50) {
                call(|reply| store.settle(QUEUE.into(), done(some), NOW, None, reply)).expect("settled");
            }
        }
    });
    if let Some(backlog) = std::env::var("BACKLOG").ok().and_then(|n| n.parse::<usize>().ok()) {
        phase(&server, &format!("a backlog of {backlog}"), backlog, || enqueue(&store, backlog, 1_000));
        phase(&server, "enqueue, batches of 50, behind the backlog", n, || enqueue(&store, n, 50));
        phase(&server, "settle and claim, batches of 50, of it", n, || work(&store, n, 50));
    }
}
