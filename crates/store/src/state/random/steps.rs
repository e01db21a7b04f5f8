//! The steps of a sequence, and how they are drawn. A step names things by small numbers and expects "the
//! current version": what that is, is looked up when it is played, so that it still means something after
//! the steps before it were shrunk away.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::state::{IndexPart, IndexRange, IndexValue};

pub(super) const NAMESPACES: u8 = 2;
pub(super) const COLLECTIONS: u8 = 2;
pub(super) const KEYS: [&str; 6] = ["a", "a\0", "ab", "b", "é", "\u{10ffff}"];
pub(super) const LOGS: u8 = 3;
pub(super) const INDEXES: u8 = 2;

#[derive(Debug, Clone)]
pub(super) enum Step {
    Commit { handle: u8, namespace: u8, changes: Vec<Change> },
    Query(Ask),
    Read { handle: u8, namespace: u8, log: u8, skip: i64, limit: usize, max_bytes: usize },
    Trim { handle: u8, namespace: u8, log: u8, to: To, limit: usize },
    Clear { handle: u8, namespace: u8 },
    Sweep { handle: u8, limit: usize },
    Advance { by: i64 },
    Reopen { handle: u8 },
}

#[derive(Debug, Clone)]
pub(super) enum Change {
    Put {
        collection: u8,
        key: u8,
        size: usize,
        guess: Guess,
        indexes: Vec<(u8, IndexValue)>,
        life: Life,
    },
    Delete {
        collection: u8,
        key: u8,
        guess: Guess,
    },
    Touch {
        collection: u8,
        key: u8,
        guess: Guess,
        life: Life,
    },
    Check {
        collection: u8,
        key: u8,
        guess: Guess,
    },
    Add {
        collection: u8,
        key: u8,
        by: i64,
        floor: Option<i64>,
        ceiling: Option<i64>,
        life: Life,
    },
    /// `off`: how far beside the counter, or the newest number of the log, the expectation is.
    Reset {
        collection: u8,
        key: u8,
        off: Option<i64>,
    },
    Append {
        log: u8,
        size: usize,
        keep: Option<u64>,
        off: Option<i64>,
        life: Life,
    },
    Forget {
        log: u8,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Guess {
    Any,
    Absent,
    Present,
    Current,
    /// The version before the current one, or the one before the deletion.
    Stale,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Life {
    Keep,
    Never,
    /// From now on; 0 or less has passed.
    For(i64),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum To {
    Newest(u64),
    /// Through the oldest that is kept and so many more.
    Through(i64),
    /// So long ago.
    Before(i64),
}

#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) handle: u8,
    pub(super) namespace: u8,
    pub(super) collection: u8,
    pub(super) select: What,
    pub(super) descending: bool,
    pub(super) limit: usize,
    pub(super) max_bytes: usize,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Keys { prefix: &'static str },
    Index { index: u8, equal: IndexValue, range: IndexRange },
}

fn guess() -> impl Strategy<Value = Guess> {
    prop_oneof![
        8 => Just(Guess::Any),
        1 => Just(Guess::Absent),
        1 => Just(Guess::Present),
        3 => Just(Guess::Current),
        1 => Just(Guess::Stale),
    ]
}

fn life() -> impl Strategy<Value = Life> {
    prop_oneof![6 => Just(Life::Keep), 1 => Just(Life::Never), 2 => (-1_i64..40).prop_map(Life::For)]
}

fn part() -> impl Strategy<Value = IndexPart> {
    let texts = ["", "a", "a\0", "a\0b", "ab", "b", "\u{10ffff}"];
    prop_oneof![
        (-2_i64..3).prop_map(IndexPart::from),
        prop::sample::select(&[i64::MIN, -256, 255, 256, i64::MAX][..]).prop_map(IndexPart::from),
        prop::sample::select(texts.to_vec()).prop_map(IndexPart::from),
    ]
}

fn value(parts: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = IndexValue> {
    vec(part(), parts).prop_map(IndexValue)
}

fn range() -> impl Strategy<Value = IndexRange> {
    prop_oneof![
        2 => Just(IndexRange::All),
        2 => (option::of(part()), option::of(part())).prop_map(|(from, to)| IndexRange::Between { from, to }),
        1 => prop::sample::select(vec!["", "a", "a\0", "\u{10ffff}"]).prop_map(IndexRange::prefix),
    ]
}

fn place() -> impl Strategy<Value = (u8, u8)> {
    (0..COLLECTIONS, 0..KEYS.len() as u8)
}

fn change() -> impl Strategy<Value = Change> {
    let put = (place(), 1_usize..60, guess(), vec((0..INDEXES, value(1..4)), 0..4), life());
    let bound = || option::weighted(0.4, -10_i64..20);
    // Far enough that no log gets there within a sequence.
    let off = || option::weighted(0.4, prop_oneof![3 => Just(0_i64), 1 => Just(1_000_000)]);
    prop_oneof![
        6 => put.prop_map(|((collection, key), size, guess, indexes, life)| Change::Put { collection, key, size, guess, indexes, life }),
        2 => (place(), guess()).prop_map(|((collection, key), guess)| Change::Delete { collection, key, guess }),
        2 => (place(), guess(), life()).prop_map(|((collection, key), guess, life)| Change::Touch { collection, key, guess, life }),
        1 => (place(), guess()).prop_map(|((collection, key), guess)| Change::Check { collection, key, guess }),
        4 => (place(), -12_i64..20, bound(), bound(), life())
            .prop_map(|((collection, key), by, floor, ceiling, life)| Change::Add { collection, key, by, floor, ceiling, life }),
        1 => (place(), off()).prop_map(|((collection, key), off)| Change::Reset { collection, key, off }),
        4 => (0..LOGS, 1_usize..30, option::weighted(0.3, 1_u64..6), off(), life())
            .prop_map(|(log, size, keep, off, life)| Change::Append { log, size, keep, off, life }),
        1 => (0..LOGS).prop_map(|log| Change::Forget { log }),
    ]
}

fn bytes() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(usize::MAX), 1 => 0_usize..200]
}

fn ask() -> impl Strategy<Value = Ask> {
    let what = prop_oneof![
        1 => prop::sample::select(vec!["", "a", "a\0", "é", "\u{10ffff}", "x"]).prop_map(|prefix| What::Keys { prefix }),
        3 => (0..INDEXES, value(0..3), range()).prop_map(|(index, equal, range)| What::Index { index, equal, range }),
    ];
    let place = (0_u8..2, 0..NAMESPACES, 0..COLLECTIONS);
    (place, what, any::<bool>(), 1_usize..6, bytes()).prop_map(
        |((handle, namespace, collection), select, descending, limit, max_bytes)| Ask {
            handle,
            namespace,
            collection,
            select,
            descending,
            limit,
            max_bytes,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let handle = || 0_u8..2;
    let to = prop_oneof![(0_u64..6).prop_map(To::Newest), (-1_i64..6).prop_map(To::Through), (-1_i64..40).prop_map(To::Before),];
    let log = (handle(), 0..NAMESPACES, 0..LOGS);
    let read = (log.clone(), -1_i64..8, 1_usize..6, bytes());
    prop_oneof![
        20 => (handle(), 0..NAMESPACES, vec(change(), 1..5))
            .prop_map(|(handle, namespace, changes)| Step::Commit { handle, namespace, changes }),
        6 => ask().prop_map(Step::Query),
        2 => read.prop_map(|((handle, namespace, log), skip, limit, max_bytes)| {
            Step::Read { handle, namespace, log, skip, limit, max_bytes }
        }),
        2 => (log, to, 1_usize..5).prop_map(|((handle, namespace, log), to, limit)| Step::Trim { handle, namespace, log, to, limit }),
        1 => (handle(), 0..NAMESPACES).prop_map(|(handle, namespace)| Step::Clear { handle, namespace }),
        2 => (handle(), 1_usize..20).prop_map(|(handle, limit)| Step::Sweep { handle, limit }),
        4 => (1_i64..15).prop_map(|by| Step::Advance { by }),
        1 => handle().prop_map(|handle| Step::Reopen { handle }),
    ]
}

pub(super) fn sequences() -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..60)
}
