//! What is asked of a store without changing it, and what it answers. Trims and sweeps are here too.

use std::sync::Arc;

use master_agent_core::Millis;
use serde::{Deserialize, Serialize};

use super::{IndexPart, IndexRange, IndexValue, MAX_PAGE};

/// Something to look up in a namespace.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    Document { collection: Arc<str>, key: Box<str> },
    Counter { collection: Arc<str>, key: Box<str> },
    Log { log: Arc<str> },
}

impl Item {
    pub fn document(collection: impl Into<Arc<str>>, key: impl Into<Box<str>>) -> Self {
        Self::Document { collection: collection.into(), key: key.into() }
    }

    pub fn counter(collection: impl Into<Arc<str>>, key: impl Into<Box<str>>) -> Self {
        Self::Counter { collection: collection.into(), key: key.into() }
    }

    pub fn log(log: impl Into<Arc<str>>) -> Self {
        Self::Log { log: log.into() }
    }
}

/// What an [`Item`] looked up; `None` where there is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    Document(Option<Document>),
    Sum(Option<i64>),
    Log(Option<LogEnds>),
}

/// A document as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub key: Box<str>,
    /// Above 0; grows with every [`super::Put`] of the key.
    pub version: i64,
    /// The `now` of the commit that put it.
    pub updated_at: Millis,
    pub expires_at: Option<Millis>,
    pub value_json: Box<str>,
}

/// The numbers of a log's entries: `first..=last` are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnds {
    /// The number that the log began with, above 0 and not in general 1.
    pub begin: i64,
    /// The oldest that is kept; `last + 1` when none is.
    pub first: i64,
    /// The newest that was appended.
    pub last: i64,
}

/// Which documents of a collection, in what order and how many at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub namespace: Arc<str>,
    pub collection: Arc<str>,
    pub select: Select,
    pub order: Order,
    /// At most so many, 1 to [`MAX_PAGE`].
    pub limit: usize,
    /// The page ends early with the document whose value reaches so many bytes in all.
    pub max_bytes: usize,
    /// [`DocumentPage::next`] of the page before.
    pub cursor: Option<Cursor>,
    /// Decides what has expired.
    pub now: Millis,
}

impl Query {
    /// All documents of a collection by their keys, as many as a page may hold.
    pub fn new(namespace: impl Into<Arc<str>>, collection: impl Into<Arc<str>>, now: Millis) -> Self {
        Self {
            namespace: namespace.into(),
            collection: collection.into(),
            select: Select::Keys { prefix: "".into() },
            order: Order::Ascending,
            limit: MAX_PAGE,
            max_bytes: usize::MAX,
            cursor: None,
            now,
        }
    }

    #[must_use]
    pub fn keys(mut self, prefix: impl Into<Box<str>>) -> Self {
        self.select = Select::Keys { prefix: prefix.into() };
        self
    }

    /// The documents with an entry in the index that begins with these parts.
    #[must_use]
    pub fn index(mut self, index: impl Into<Arc<str>>, equal: impl Into<IndexValue>) -> Self {
        self.select = Select::Index { index: index.into(), equal: equal.into(), range: IndexRange::All };
        self
    }

    /// The same, the part after them within a range.
    #[must_use]
    pub fn range(mut self, index: impl Into<Arc<str>>, equal: impl Into<IndexValue>, range: IndexRange) -> Self {
        self.select = Select::Index { index: index.into(), equal: equal.into(), range };
        self
    }

    #[must_use]
    pub fn descending(mut self) -> Self {
        self.order = Order::Descending;
        self
    }

    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }
}

/// What a query goes through.
#[derive(Debug, Clone, PartialEq)]
pub enum Select {
    /// Documents whose key begins with `prefix`, in the order of their keys; `""` means all.
    Keys { prefix: Box<str> },
    /// The entries of an index that begin with the parts `equal` and whose next part is in `range`, in the order
    /// `(value, key)`. A document that has several such entries comes once for each.
    Index { index: Arc<str>, equal: IndexValue, range: IndexRange },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    #[default]
    Ascending,
    Descending,
}

/// A place in a query: the last document that was looked at. Where keys are gone through, `value` is
/// empty and not looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    pub value: Vec<IndexPart>,
    pub key: Box<str>,
}

/// One page of a query.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DocumentPage {
    /// Perhaps fewer than asked for, even none, where documents expired that were not swept yet.
    pub documents: Vec<Document>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<Cursor>,
}

/// Which entries of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRead {
    pub namespace: Arc<str>,
    pub log: Arc<str>,
    /// Entries with higher numbers than this; 0 for all.
    pub after: i64,
    /// At most so many, 1 to [`MAX_PAGE`].
    pub limit: usize,
    /// The page ends early with the entry that reaches so many bytes in all.
    pub max_bytes: usize,
    pub now: Millis,
}

impl LogRead {
    /// As much as a page may hold from behind `after` on.
    pub fn new(namespace: impl Into<Arc<str>>, log: impl Into<Arc<str>>, after: i64, now: Millis) -> Self {
        Self { namespace: namespace.into(), log: log.into(), after, limit: MAX_PAGE, max_bytes: usize::MAX, now }
    }
}

/// One page of a log.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogPage {
    /// `None` where there is no such log.
    pub ends: Option<LogEnds>,
    /// Their numbers follow each other without a gap; the first is `max(after + 1, ends.first)`.
    pub entries: Vec<LogEntry>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// Grows by one with every entry of the log.
    pub number: i64,
    /// The `now` of the commit that appended it.
    pub at: Millis,
    pub entry_json: Box<str>,
}

/// How far a log is trimmed, oldest entries first.
#[derive(Debug, Clone, PartialEq)]
pub struct LogTrim {
    pub namespace: Arc<str>,
    pub log: Arc<str>,
    pub to: TrimTo,
    /// At most so many entries are removed, 1 to [`MAX_PAGE`].
    pub limit: usize,
    pub now: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrimTo {
    /// Removes all but the newest so many.
    Newest(u64),
    /// Removes entries up to and with this number.
    Through(i64),
    /// Removes entries from the oldest on, up to the first that was appended at this time or later.
    Before(Millis),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trimmed {
    pub removed: u64,
    /// The limit was reached before the end: call again.
    pub more: bool,
}

/// Which names to list.
#[derive(Debug, Clone, PartialEq)]
pub struct NameQuery {
    pub of: NameKind,
    /// Only names that begin with this; `""` for all.
    pub prefix: Box<str>,
    /// [`NamePage::next`] of the page before.
    pub after: Option<Box<str>>,
    /// At most so many, 1 to [`MAX_PAGE`].
    pub limit: usize,
    pub now: Millis,
}

impl NameQuery {
    pub fn new(of: NameKind, now: Millis) -> Self {
        Self { of, prefix: "".into(), after: None, limit: MAX_PAGE, now }
    }
}

/// Whose names.
#[derive(Debug, Clone, PartialEq)]
pub enum NameKind {
    /// Namespaces that hold or held something since they were last cleared.
    Namespaces,
    /// Collections that hold or held documents or counters.
    Collections {
        namespace: Arc<str>,
    },
    /// Keys of counters.
    Counters {
        namespace: Arc<str>,
        collection: Arc<str>,
    },
    Logs {
        namespace: Arc<str>,
    },
}

/// One page of names, in the order of their bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamePage {
    /// Perhaps fewer than asked for, even none, where some expired that were not swept yet.
    pub names: Vec<Box<str>>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<Box<str>>,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Rows of the adapter that were removed: documents, counters, log entries.
    pub removed: u64,
    /// The limit was reached before the end: call again.
    pub more: bool,
    /// When the next thing expires, once nothing more is to be swept now.
    pub next: Option<Millis>,
}
