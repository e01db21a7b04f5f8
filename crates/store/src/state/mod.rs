//! The second half of the port: all state that is not a job.
//!
//! A *namespace* is an area such as `"agents"` or a tenant's part of it, and the unit of atomic change.
//! In it are *documents* (JSON with a version, in named collections, found by key and by the index
//! entries that the writer declares), *counters* (integers that may be held within bounds) and *logs*
//! (append-only, numbered; one with a bound is a channel). [`StateStore::commit`] changes any of them
//! together. What the values mean is for the crates above; this half knows no agent and no workflow.
//!
//! [`model`] is the reference, `conformance` the suite and `random` the operation sequences that
//! adapters are tested with; [`Subscription`] follows a log on any adapter.
//!
//! ```
//! use master_agent_store::call;
//! use master_agent_store::state::model::MemoryState;
//! use master_agent_store::state::{Add, Append, Commit, Committed, Expect, Put, StateStore};
//!
//! let store = MemoryState::new();
//! let hire = Commit::new("agents", 1_700_000_000_000)
//!     .with(Put::new("agent", "ada", r#"{"role":"planner"}"#).expect(Expect::Absent).index("role", "planner"))
//!     .with(Add::new("tokens", "ada", 1_000))
//!     .with(Append::new("runs/ada", r#"{"type":"hired"}"#).keep(1_000));
//! assert!(matches!(call(|reply| store.commit(hire, reply)), Ok(Committed::Done(written)) if written.len() == 3));
//!
//! // 1,200 are more than the balance: nothing of this commit happens.
//! let spend = Commit::new("agents", 1_700_000_000_001)
//!     .with(Append::new("runs/ada", r#"{"type":"called"}"#))
//!     .with(Add::new("tokens", "ada", -1_200).floor(0));
//! assert!(matches!(call(|reply| store.commit(spend, reply)), Ok(Committed::Refused(refusal)) if refusal.write == 1));
//! ```

mod check;
#[cfg(feature = "testing")]
pub mod conformance;
mod index;
pub mod model;
mod page;
#[cfg(feature = "testing")]
pub mod random;
mod subscribe;
mod write;

use std::sync::Arc;

use master_agent_core::Millis;

pub use check::{check_items, check_limit, check_name};
pub use index::{IndexEntry, IndexPart, IndexRange, IndexValue, byte_range, decode, encode, successor};
pub use page::{
    Cursor, Document, DocumentPage, Found, Item, LogEnds, LogEntry, LogPage, LogRead, LogTrim, NameKind, NamePage, NameQuery,
    Order, Query, Select, Swept, TrimTo, Trimmed,
};
pub use subscribe::{Delivery, Start, Subscription};
pub use write::{
    Add, Append, Check, Commit, Committed, Delete, Expect, Expiry, Forget, Put, Refusal, Refused, Reset, Touch, Write, Written,
};

use crate::{Reply, StoreError};

/// The longest namespace, collection, key, index name or log name, in bytes of UTF-8. None may be empty.
pub const MAX_NAME_BYTES: usize = 512;

/// The most writes of one commit, and the most items of one `get`.
pub const MAX_BATCH: usize = 1_000;

/// The most that one page, trim or sweep handles; a higher limit means this one.
pub const MAX_PAGE: usize = 1_000;

/// The most index entries of one document.
pub const MAX_INDEXES: usize = 32;

/// The most bytes of one index value, as [`encode`] writes it.
pub const MAX_INDEX_BYTES: usize = 1_024;

/// Counters, what is added to them and their bounds lie within ± this number, 2^53 − 1: what JavaScript and
/// Lua can compare exactly.
pub const MAX_NUMBER: i64 = (1 << 53) - 1;

/// The longest value or entry of a commit that names no other limit, in bytes.
pub const DEFAULT_VALUE_BYTES: usize = 16 << 20;

/// How many messages a channel keeps, unless told otherwise.
pub const CHANNEL_KEEP: u64 = 1_000;

/// How many entries over its bound an append removes at the most: a log whose bound was lowered reaches it
/// with the appends that follow.
pub const KEEP_SLICE: u64 = 100;

/// Documents, counters and logs. All times are given by the caller, in milliseconds since the Unix epoch.
///
/// What every adapter keeps, and the conformance suite proves:
/// - **A commit happens as a whole or not at all, and commits of a namespace happen one after the other.**
/// - **What was acknowledged survives the death of any process, and the next read of anyone sees it.**
/// - **A version is never given twice to the documents of one key, nor a number to the entries of one log,
///   deletion or not.** Both grow; a log's grow by one.
/// - **A counter never passes a bound that the change was given.**
/// - **What has expired is absent for every operation, swept or not.**
/// - **The cost of an operation depends on its batch and its page, not on what is stored.**
///
/// Strings may hold any Unicode text; keys, names and texts in indexes are ordered by their UTF-8 bytes.
/// Malformed arguments answer [`StoreError::Invalid`] with the path of the field, and change nothing.
/// A commit whose answer was lost (the process died, the connection broke) may have happened: who repeats
/// it guards it with a [`Put`] that expects [`Expect::Absent`].
pub trait StateStore: Send + Sync + 'static {
    /// Changes a namespace: all writes in their order, each seeing those before it, or none of them.
    fn commit(&self, commit: Commit, reply: Reply<Committed>);

    /// Looks up to [`MAX_BATCH`] things up, all as of one moment. Answers one [`Found`] per item, in order.
    fn get(&self, namespace: Arc<str>, items: Vec<Item>, now: Millis, reply: Reply<Vec<Found>>);

    /// One page of the documents of a collection, by their keys or by an index.
    fn query(&self, query: Query, reply: Reply<DocumentPage>);

    /// One page of a log, oldest first.
    fn read_log(&self, read: LogRead, reply: Reply<LogPage>);

    /// Removes the oldest entries of a log; the numbers of the others stay, and so do those to come.
    fn trim_log(&self, trim: LogTrim, reply: Reply<Trimmed>);

    /// One page of names: of namespaces, or of what a namespace holds.
    fn names(&self, query: NameQuery, reply: Reply<NamePage>);

    /// Removes a namespace with everything in it, at once for every reader; [`StateStore::sweep`] frees
    /// the room. Answers whether it was there.
    fn clear(&self, namespace: Arc<str>, reply: Reply<bool>);

    /// Removes for good up to `limit` rows of what expired, was forgotten or cleared, in the whole store.
    fn sweep(&self, now: Millis, limit: usize, reply: Reply<Swept>);

    /// Has `watcher` called whenever a log may have got entries, by whichever process, from before the
    /// answer until the [`Watch`] is dropped. Most callers want a [`Subscription`].
    fn watch(&self, namespace: Arc<str>, log: Arc<str>, watcher: Arc<dyn LogWatcher>, reply: Reply<Watch>);
}

/// Who is told that a log grew.
pub trait LogWatcher: Send + Sync {
    /// The log may have entries that were not there before: a hint, which may come twice or for nothing,
    /// and once more when the store closes. It comes on threads of the store: an implementation may submit
    /// operations and must not wait.
    fn appended(self: Arc<Self>);
}

/// Keeps a watch going; dropped, it ends it.
pub struct Watch(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Watch {
    /// A watch that `end` ends.
    pub fn new(end: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(end)))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end();
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Watch")
    }
}

/// An argument is not as it must be.
fn invalid(field: impl Into<String>, problem: impl Into<String>) -> StoreError {
    StoreError::Invalid { field: field.into(), problem: problem.into() }
}
