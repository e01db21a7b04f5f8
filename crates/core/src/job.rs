//! Identifiers and states of jobs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a job: grows with every job that a store accepts and is never given twice; in a Cluster of Redis, per queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a caller names a job: by its number, or by the key that it was added with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum JobRef {
    Id(JobId),
    Key(Box<str>),
}

impl JobRef {
    /// Reads the public form: digits are a number, everything else is a key.
    pub fn parse(text: &str) -> Self {
        if !text.is_empty()
            && text.len() <= 18
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && let Ok(id) = text.parse()
        {
            return Self::Id(JobId(id));
        }
        Self::Key(text.into())
    }
}

/// The fencing token of a claim: grows with every claim of a store, so that a settle that comes
/// from an earlier claim of the same job is recognised and refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub i64);

/// The number under which a worker holds its leases; random, 53 bits, never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub i64);

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Can be claimed.
    Waiting,
    /// Becomes `Waiting` at its due time.
    Delayed,
    /// Held by a worker under a lease.
    Active,
    /// Ended with a result.
    Completed,
    /// Ended without one: its attempts are used up, or the error was final.
    Failed,
    /// Ended by `cancel`.
    Cancelled,
    /// Ended because it lost its worker too often (the dead letters).
    Dead,
}

impl JobState {
    pub const ALL: [Self; 7] =
        [Self::Waiting, Self::Delayed, Self::Active, Self::Completed, Self::Failed, Self::Cancelled, Self::Dead];

    /// The word used in the public API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delayed => "delayed",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }

    /// Whether the job has ended for good.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Dead)
    }
}

/// Why an attempt failed: the JSON that crosses to JavaScript and back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    pub name: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_ids_and_the_rest_are_keys() {
        assert_eq!(JobRef::parse("42"), JobRef::Id(JobId(42)));
        assert_eq!(JobRef::parse("a42"), JobRef::Key("a42".into()));
        assert_eq!(JobRef::parse(""), JobRef::Key("".into()));
        assert_eq!(JobRef::parse("9999999999999999999"), JobRef::Key("9999999999999999999".into()));
    }
}
