//! The steps of a sequence, and how they are drawn. A step names things by small numbers that are looked up
//! when it is played, so that it still means something after the steps before it were shrunk away.

use master_agent_core::{JobState, Keep};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(super) const QUEUES: u8 = 2;
pub(super) const LANES: u8 = 3;
pub(super) const WORKERS: u8 = 3;
const KEYS: u8 = 5;

/// Operations that are submitted through one handle before the first answer is awaited.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) handle: u8,
    pub(super) ops: Vec<Op>,
}

#[derive(Debug, Clone)]
pub(super) enum Op {
    Enqueue { queue: u8, jobs: Vec<Add> },
    Claim { queue: u8, take: Take },
    Settle { queue: u8, ends: Vec<End>, take: Option<Take> },
    Beat { queue: u8, worker: u8, lease: i64 },
    Leave { queue: u8, worker: u8 },
    Maintain,
    Note { queue: u8, notes: Vec<(Pick, Line)> },
    Control { queue: u8, what: What },
    Advance { by: i64 },
    Reopen,
}

#[derive(Debug, Clone)]
pub(super) struct Add {
    pub(super) lane: u8,
    pub(super) key: Option<u8>,
    pub(super) priority: u32,
    pub(super) delay: Option<i64>,
    pub(super) size: usize,
    pub(super) max_stalls: u32,
    pub(super) keep: Keep,
}

#[derive(Debug, Clone)]
pub(super) struct Take {
    pub(super) worker: u8,
    pub(super) lanes: Vec<u8>,
    pub(super) limit: Option<(usize, usize)>,
    pub(super) free: usize,
    pub(super) max_bytes: usize,
}

/// A claim of the past: mostly one that is still held.
#[derive(Debug, Clone)]
pub(super) struct Pick {
    pub(super) held: bool,
    pub(super) index: usize,
}

#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) pick: Pick,
    pub(super) how: How,
    pub(super) keep: Keep,
}

#[derive(Debug, Clone)]
pub(super) enum How {
    Complete,
    Fail { state: JobState, failed: bool },
    Retry { delay: i64 },
    Release,
    Stall,
}

#[derive(Debug, Clone)]
pub(super) enum Line {
    Progress(u8),
    Log(u8),
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Pause,
    Resume,
    Drain { delayed: bool },
    Clean { state: JobState, age: i64, limit: u64 },
    Retry(Which),
    Promote(Which),
    Remove(Which),
    Cancel(Which),
    Obliterate { force: bool },
}

/// A job by its number or key: mostly one that is there.
#[derive(Debug, Clone)]
pub(super) enum Which {
    Job { index: usize, by_key: bool },
    In { state: JobState, index: usize },
    Gone { index: usize },
}

pub(super) fn sequences() -> impl Strategy<Value = Vec<Step>> {
    vec((any::<u8>(), vec(op(), 1..5)).prop_map(|(handle, ops)| Step { handle, ops }), 1..100)
}

fn op() -> impl Strategy<Value = Op> {
    let queue = || 0..QUEUES;
    prop_oneof![
        8 => (queue(), vec(add(), 1..7)).prop_map(|(queue, jobs)| Op::Enqueue { queue, jobs }),
        8 => (queue(), take()).prop_map(|(queue, take)| Op::Claim { queue, take }),
        18 => (queue(), vec(end(), 0..8), option::of(take())).prop_map(|(queue, ends, take)| Op::Settle { queue, ends, take }),
        3 => (queue(), 0..WORKERS, 10..150_i64).prop_map(|(queue, worker, lease)| Op::Beat { queue, worker, lease }),
        1 => (queue(), 0..WORKERS).prop_map(|(queue, worker)| Op::Leave { queue, worker }),
        4 => Just(Op::Maintain),
        2 => (queue(), vec((pick(), line()), 1..4)).prop_map(|(queue, notes)| Op::Note { queue, notes }),
        8 => (queue(), what()).prop_map(|(queue, what)| Op::Control { queue, what }),
        5 => (0..30_i64).prop_map(|by| Op::Advance { by }),
        1 => Just(Op::Reopen),
    ]
}

fn add() -> impl Strategy<Value = Add> {
    (0..LANES, option::weighted(0.25, 0..KEYS), 0..3_u32, option::weighted(0.3, -5..60_i64), 2..120_usize, 0..3_u32, keep())
        .prop_map(|(lane, key, priority, delay, size, max_stalls, keep)| Add {
            lane,
            key,
            priority,
            delay,
            size,
            max_stalls,
            keep,
        })
}

fn keep() -> impl Strategy<Value = Keep> {
    prop_oneof![
        3 => Just(Keep::ALL),
        3 => (1..5_u64).prop_map(|count| Keep { count: Some(count), age: None }),
        1 => (0..50_i64).prop_map(|age| Keep { count: None, age: Some(age) }),
        1 => Just(Keep::NOTHING),
        1 => (1..6_u64, 1..50_i64).prop_map(|(count, age)| Keep { count: Some(count), age: Some(age) }),
    ]
}

fn take() -> impl Strategy<Value = Take> {
    let lanes = prop_oneof![
        2 => (0..LANES).prop_map(|lane| vec![lane]),
        3 => Just((0..LANES).collect()),
        1 => Just(vec![LANES, 1, 0]),
    ];
    let limit = option::weighted(0.3, (0..usize::from(LANES), 0..3_usize));
    let max_bytes = prop_oneof![4 => Just(usize::MAX), 1 => 0..200_usize];
    (0..WORKERS, lanes, limit, 0..9_usize, max_bytes).prop_map(|(worker, lanes, limit, free, max_bytes)| Take {
        worker,
        limit: limit.filter(|(lane, _)| *lane < lanes.len()),
        lanes,
        free,
        max_bytes,
    })
}

fn pick() -> impl Strategy<Value = Pick> {
    (prop::bool::weighted(0.85), 0..16_usize).prop_map(|(held, index)| Pick { held, index })
}

fn end() -> impl Strategy<Value = End> {
    let how = prop_oneof![
        5 => Just(How::Complete),
        2 => (prop::sample::select(vec![JobState::Failed, JobState::Failed, JobState::Cancelled, JobState::Dead]), any::<bool>())
            .prop_map(|(state, failed)| How::Fail { state, failed }),
        2 => (-3..50_i64).prop_map(|delay| How::Retry { delay }),
        1 => Just(How::Release),
        1 => Just(How::Stall),
    ];
    (pick(), how, keep()).prop_map(|(pick, how, keep)| End { pick, how, keep })
}

fn line() -> impl Strategy<Value = Line> {
    prop_oneof![any::<u8>().prop_map(Line::Progress), any::<u8>().prop_map(Line::Log)]
}

fn state() -> impl Strategy<Value = JobState> {
    prop::sample::select(JobState::ALL.to_vec())
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        3 => (0..64_usize, any::<bool>()).prop_map(|(index, by_key)| Which::Job { index, by_key }),
        5 => (state(), 0..16_usize).prop_map(|(state, index)| Which::In { state, index }),
        1 => (0..64_usize).prop_map(|index| Which::Gone { index }),
    ]
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        2 => Just(What::Pause),
        8 => Just(What::Resume),
        1 => any::<bool>().prop_map(|delayed| What::Drain { delayed }),
        2 => (state(), 0..60_i64, 1..6_u64).prop_map(|(state, age, limit)| What::Clean { state, age, limit }),
        4 => which().prop_map(What::Retry),
        4 => which().prop_map(What::Promote),
        4 => which().prop_map(What::Remove),
        6 => which().prop_map(What::Cancel),
        1 => any::<bool>().prop_map(|force| What::Obliterate { force }),
    ]
}
