//! What a job asks of the queue: attempts, backoff, time limit, and how long its end is kept.

use serde::{Deserialize, Serialize};

use crate::Millis;

/// The shape of the wait between attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackoffKind {
    /// `delay` every time.
    Fixed,
    /// `delay · 2^(n-1)` after the n-th failure.
    Exponential,
}

/// The wait before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Backoff {
    #[serde(rename = "type")]
    pub kind: BackoffKind,
    /// Milliseconds, 0 or more.
    pub delay: Millis,
    /// The longest wait, in milliseconds.
    #[serde(default = "Backoff::default_max")]
    pub max_delay: Millis,
    /// The share of the wait that is drawn at random, 0 (none) to 1 (anything from 0 to the wait).
    #[serde(default)]
    pub jitter: f64,
}

impl Backoff {
    /// One hour.
    pub const MAX_DELAY: Millis = 3_600_000;

    fn default_max() -> Millis {
        Self::MAX_DELAY
    }

    /// The wait after the `failures`-th failure (1 is the first), in milliseconds.
    ///
    /// `random` is a number from 0 to 1: with jitter `j`, the wait is `w · (1 - j · random)`.
    pub fn wait(&self, failures: u32, random: f64) -> Millis {
        let doublings = match self.kind {
            BackoffKind::Fixed => 0,
            BackoffKind::Exponential => failures.saturating_sub(1).min(62),
        };
        let wait = self.delay.saturating_mul(1_i64 << doublings).clamp(0, self.max_delay.max(0));
        let jitter = self.jitter.clamp(0.0, 1.0) * random.clamp(0.0, 1.0);
        (wait as f64 * (1.0 - jitter)).round() as Millis
    }
}

/// How many ended jobs of a queue, and for how long, are kept. Both bounds hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Keep {
    /// At most so many; `None` is no limit, 0 keeps nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// At most so long after the end, in milliseconds; `None` is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Millis>,
}

impl Keep {
    pub const ALL: Self = Self { count: None, age: None };
    pub const NOTHING: Self = Self { count: Some(0), age: None };
    pub const DEFAULT: Self = Self { count: Some(100_000), age: Some(7 * 24 * 3_600_000) };

    /// Whether an ended job leaves nothing behind.
    pub fn is_nothing(&self) -> bool {
        self.count == Some(0) || self.age == Some(0)
    }

    /// Whether an ended job may be gone before a wait for it begins: little or nothing is kept.
    pub fn is_brief(&self) -> bool {
        const FEW: u64 = 1_000;
        const SOON: Millis = 10_000;
        self.count.is_some_and(|count| count < FEW) || self.age.is_some_and(|age| age < SOON)
    }
}

/// The settings of one job, complete: the defaults are filled in where it was added.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct JobPolicy {
    /// How often the job is run before it fails, 1 or more.
    pub attempts: u32,
    pub backoff: Backoff,
    /// Milliseconds that one attempt may take; `None` is no limit.
    pub timeout: Option<Millis>,
    /// How often the job may lose its worker before it goes to the dead letters.
    pub max_stalls: u32,
    pub remove_on_complete: Keep,
    pub remove_on_fail: Keep,
}

impl JobPolicy {
    /// The defaults that `DEFAULT_JOB_OPTS` shows.
    pub const DEFAULT: Self = Self {
        attempts: 3,
        backoff: Backoff { kind: BackoffKind::Exponential, delay: 1_000, max_delay: Backoff::MAX_DELAY, jitter: 0.0 },
        timeout: None,
        max_stalls: 3,
        remove_on_complete: Keep::DEFAULT,
        remove_on_fail: Keep::DEFAULT,
    };
}

impl Default for JobPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(kind: BackoffKind, delay: Millis, jitter: f64) -> Backoff {
        Backoff { kind, delay, max_delay: 60_000, jitter }
    }

    #[test]
    fn fixed_waits_the_same_every_time() {
        let fixed = backoff(BackoffKind::Fixed, 500, 0.0);
        assert_eq!([1, 2, 9].map(|failures| fixed.wait(failures, 0.5)), [500, 500, 500]);
    }

    #[test]
    fn exponential_doubles_up_to_the_limit() {
        let doubling = backoff(BackoffKind::Exponential, 1_000, 0.0);
        assert_eq!(
            [1, 2, 3, 4, 7, 200].map(|failures| doubling.wait(failures, 0.5)),
            [1_000, 2_000, 4_000, 8_000, 60_000, 60_000]
        );
    }

    #[test]
    fn jitter_takes_away_its_share_and_no_more() {
        let jittered = backoff(BackoffKind::Fixed, 1_000, 0.25);
        assert_eq!(jittered.wait(1, 0.0), 1_000);
        assert_eq!(jittered.wait(1, 1.0), 750);
    }

    #[test]
    fn a_policy_reads_back_as_it_was_written() {
        let text = serde_json::to_string(&JobPolicy::DEFAULT).expect("serialises");
        assert_eq!(serde_json::from_str::<JobPolicy>(&text).expect("parses"), JobPolicy::DEFAULT);
        assert_eq!(serde_json::from_str::<JobPolicy>("{}").expect("parses"), JobPolicy::DEFAULT);
    }
}
