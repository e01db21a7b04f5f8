//! What a commit is made of, and what it answers.

use std::fmt;
use std::sync::Arc;

use master_agent_core::Millis;

use super::{CHANNEL_KEEP, DEFAULT_VALUE_BYTES, IndexEntry, IndexValue};

/// Writes that happen together or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    pub namespace: Arc<str>,
    /// 1 to [`super::MAX_BATCH`] writes.
    pub writes: Vec<Write>,
    /// Dates what is written, and decides what has expired.
    pub now: Millis,
    /// The longest value or entry that is accepted, in bytes.
    pub max_value_bytes: usize,
}

impl Commit {
    /// A commit without writes yet.
    pub fn new(namespace: impl Into<Arc<str>>, now: Millis) -> Self {
        Self { namespace: namespace.into(), writes: Vec::new(), now, max_value_bytes: DEFAULT_VALUE_BYTES }
    }

    /// Adds a write.
    #[must_use]
    pub fn with(mut self, write: impl Into<Write>) -> Self {
        self.writes.push(write.into());
        self
    }

    /// The longest value or entry that is accepted, in bytes.
    #[must_use]
    pub fn limit(mut self, max_value_bytes: usize) -> Self {
        self.max_value_bytes = max_value_bytes;
        self
    }
}

/// One change or condition of a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    Put(Put),
    Delete(Delete),
    Touch(Touch),
    Check(Check),
    Add(Add),
    Reset(Reset),
    Append(Append),
    Forget(Forget),
}

macro_rules! writes {
    ($($name:ident)*) => {
        $(impl From<$name> for Write {
            fn from(write: $name) -> Self {
                Self::$name(write)
            }
        })*
    };
}
writes!(Put Delete Touch Check Add Reset Append Forget);

/// What a write expects of the document that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expect {
    #[default]
    Any,
    Absent,
    Present,
    /// Present, and at this version.
    Version(i64),
}

impl Expect {
    /// Whether a document at this version is as expected; `None` means that there is none.
    pub fn holds(self, version: Option<i64>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => version.is_none(),
            Self::Present => version.is_some(),
            Self::Version(expected) => version == Some(expected),
        }
    }
}

/// How long what is written lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expiry {
    /// As before; something new does not expire.
    #[default]
    Keep,
    Never,
    /// Absent from this time on. 0 to [`super::MAX_NUMBER`].
    At(Millis),
}

impl Expiry {
    /// The time to write down, after `before`.
    pub fn after(self, before: Option<Millis>) -> Option<Millis> {
        match self {
            Self::Keep => before,
            Self::Never => None,
            Self::At(time) => Some(time),
        }
    }
}

/// Writes a document, with all of its index entries.
#[derive(Debug, Clone, PartialEq)]
pub struct Put {
    pub collection: Arc<str>,
    pub key: Box<str>,
    /// One JSON value; the store keeps the text and does not look inside.
    pub value_json: Box<str>,
    pub expect: Expect,
    /// Where queries find the document; entries that it had before and that are not here are gone.
    pub indexes: Vec<IndexEntry>,
    pub expires: Expiry,
}

impl Put {
    pub fn new(collection: impl Into<Arc<str>>, key: impl Into<Box<str>>, value_json: impl Into<Box<str>>) -> Self {
        Self {
            collection: collection.into(),
            key: key.into(),
            value_json: value_json.into(),
            expect: Expect::Any,
            indexes: Vec::new(),
            expires: Expiry::Keep,
        }
    }

    #[must_use]
    pub fn expect(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }

    /// Adds an index entry: `.index("state", "idle")`, or of several parts `.index("state", ("idle", 17))`.
    #[must_use]
    pub fn index(mut self, index: impl Into<Arc<str>>, value: impl Into<IndexValue>) -> Self {
        self.indexes.push(IndexEntry { index: index.into(), value: value.into() });
        self
    }

    #[must_use]
    pub fn expires(mut self, expires: Expiry) -> Self {
        self.expires = expires;
        self
    }
}

/// Removes a document. To remove what is not there is no failure, unless it was expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    pub collection: Arc<str>,
    pub key: Box<str>,
    pub expect: Expect,
}

impl Delete {
    pub fn new(collection: impl Into<Arc<str>>, key: impl Into<Box<str>>) -> Self {
        Self { collection: collection.into(), key: key.into(), expect: Expect::Any }
    }

    #[must_use]
    pub fn expect(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }
}

/// Changes when a document expires, and nothing else: its version stays. Nothing happens where there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Touch {
    pub collection: Arc<str>,
    pub key: Box<str>,
    pub expect: Expect,
    pub expires: Expiry,
}

impl Touch {
    pub fn new(collection: impl Into<Arc<str>>, key: impl Into<Box<str>>, expires: Expiry) -> Self {
        Self { collection: collection.into(), key: key.into(), expect: Expect::Any, expires }
    }

    #[must_use]
    pub fn expect(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }
}

/// Changes nothing: the commit happens only if the document is as expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    pub collection: Arc<str>,
    pub key: Box<str>,
    pub expect: Expect,
}

impl Check {
    pub fn new(collection: impl Into<Arc<str>>, key: impl Into<Box<str>>, expect: Expect) -> Self {
        Self { collection: collection.into(), key: key.into(), expect }
    }
}

/// Adds to a counter, which begins at 0. Counters have keys of their own, apart from those of documents.
#[derive(Debug, Clone, PartialEq)]
pub struct Add {
    pub collection: Arc<str>,
    pub key: Box<str>,
    /// Within ± [`super::MAX_NUMBER`]; money as an integer of its smallest unit.
    pub by: i64,
    /// Refused if the sum were lower. A positive `by` is never refused by it, so that a counter that is below
    /// can be filled up again.
    pub floor: Option<i64>,
    /// Refused if the sum were higher. A negative `by` is never refused by it.
    pub ceiling: Option<i64>,
    pub expires: Expiry,
}

impl Add {
    pub fn new(collection: impl Into<Arc<str>>, key: impl Into<Box<str>>, by: i64) -> Self {
        Self { collection: collection.into(), key: key.into(), by, floor: None, ceiling: None, expires: Expiry::Keep }
    }

    #[must_use]
    pub fn floor(mut self, floor: i64) -> Self {
        self.floor = Some(floor);
        self
    }

    #[must_use]
    pub fn ceiling(mut self, ceiling: i64) -> Self {
        self.ceiling = Some(ceiling);
        self
    }

    #[must_use]
    pub fn expires(mut self, expires: Expiry) -> Self {
        self.expires = expires;
        self
    }

    /// The counter after this, or `None` if a bound forbids it.
    pub fn applied_to(&self, sum: i64) -> Option<i64> {
        let next = sum.checked_add(self.by).filter(|next| next.abs() <= super::MAX_NUMBER)?;
        let too_low = self.by <= 0 && self.floor.is_some_and(|floor| next < floor);
        let too_high = self.by >= 0 && self.ceiling.is_some_and(|ceiling| next > ceiling);
        (!too_low && !too_high).then_some(next)
    }
}

/// Removes a counter. Refused if it does not stand at `expect`; one that is not there stands at 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Reset {
    pub collection: Arc<str>,
    pub key: Box<str>,
    pub expect: Option<i64>,
}

impl Reset {
    pub fn new(collection: impl Into<Arc<str>>, key: impl Into<Box<str>>) -> Self {
        Self { collection: collection.into(), key: key.into(), expect: None }
    }

    #[must_use]
    pub fn expect(mut self, sum: i64) -> Self {
        self.expect = Some(sum);
        self
    }
}

/// Adds an entry to a log, which is begun if it is not there.
///
/// Who follows the log is told of it after the commit: a change and its notice are one.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    pub log: Arc<str>,
    pub entry_json: Box<str>,
    /// Only so many of the newest entries are kept from here on; at least 1.
    pub keep: Option<u64>,
    /// Refused if the number of the newest entry is another; it is 0 where there is no log.
    pub expect: Option<i64>,
    /// When the log as a whole expires.
    pub expires: Expiry,
}

impl Append {
    pub fn new(log: impl Into<Arc<str>>, entry_json: impl Into<Box<str>>) -> Self {
        Self { log: log.into(), entry_json: entry_json.into(), keep: None, expect: None, expires: Expiry::Keep }
    }

    /// A message to a channel: a log that keeps the newest [`CHANNEL_KEEP`].
    pub fn publish(channel: impl Into<Arc<str>>, message_json: impl Into<Box<str>>) -> Self {
        Self::new(channel, message_json).keep(CHANNEL_KEEP)
    }

    #[must_use]
    pub fn keep(mut self, newest: u64) -> Self {
        self.keep = Some(newest);
        self
    }

    #[must_use]
    pub fn expect(mut self, last: i64) -> Self {
        self.expect = Some(last);
        self
    }

    #[must_use]
    pub fn expires(mut self, expires: Expiry) -> Self {
        self.expires = expires;
        self
    }
}

/// Removes a log. One begun later under its name goes on at higher numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Forget {
    pub log: Arc<str>,
}

impl Forget {
    pub fn new(log: impl Into<Arc<str>>) -> Self {
        Self { log: log.into() }
    }
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Committed {
    /// It is durable. One [`Written`] per write, in order.
    Done(Vec<Written>),
    /// Nothing was changed.
    Refused(Refusal),
}

/// The answer to one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Of a [`Put`]: the version that it made. Of a [`Touch`] or [`Check`]: the one found, 0 for none.
    Version(i64),
    /// Of an [`Add`]: the sum after it. Of a [`Reset`]: the sum that was removed, 0 for none.
    Sum(i64),
    /// Of an [`Append`]: the number of the entry.
    Number(i64),
    /// Of a [`Delete`] or [`Forget`]: whether there was something to remove.
    Existed(bool),
}

/// The first write of a commit that could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its place in [`Commit::writes`].
    pub write: usize,
    pub reason: Refused,
}

/// What was found instead of what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The document is at this version; 0: there is none.
    Version { found: i64 },
    /// The counter stands at this number, from which a bound or [`super::MAX_NUMBER`] forbids the change.
    Sum { found: i64 },
    /// The newest entry of the log has this number; 0: there is no log.
    Number { found: i64 },
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write = self.write;
        match self.reason {
            Refused::Version { found: 0 } => write!(formatter, "writes[{write}]: there is no such document"),
            Refused::Version { found } => write!(formatter, "writes[{write}]: the document is at version {found}"),
            Refused::Sum { found } => write!(formatter, "writes[{write}]: the counter stands at {found}"),
            Refused::Number { found: 0 } => write!(formatter, "writes[{write}]: there is no such log"),
            Refused::Number { found } => write!(formatter, "writes[{write}]: the log's newest entry is {found}"),
        }
    }
}
