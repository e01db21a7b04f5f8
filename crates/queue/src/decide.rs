//! What becomes of a job when an attempt ends.

use master_agent_core::{ErrorCode, JobError, JobState, Millis};
use master_agent_store::{ClaimedJob, Disposition};

/// How a handler ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It returned: the JSON of its result.
    Completed { result_json: Box<str> },
    /// It could not be run here and goes back to its place, uncounted.
    Released,
    /// It threw: the JSON of a [`JobError`]. `fatal` means that another attempt is useless.
    Failed { error_json: Box<str>, fatal: bool },
}

/// Why a job is taken from a handler that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GiveUp {
    Timeout,
    /// The error that the one who cancelled it gave.
    Cancelled(Box<str>),
    Stalled,
    /// The environment of the handler ends.
    Orphaned,
    /// The store says that another worker holds it.
    Lost,
    /// The worker stops.
    Closed,
}

/// Decides over an attempt that ended by itself. `random` is from 0 to 1.
pub(crate) fn decide(job: &ClaimedJob, outcome: Outcome, now: Millis, random: f64) -> Disposition {
    match outcome {
        Outcome::Completed { result_json } => {
            Disposition::Complete { result_json: Some(result_json), keep: job.policy.remove_on_complete }
        }
        Outcome::Released => Disposition::Release,
        Outcome::Failed { error_json, fatal } => failed(job, error_json, fatal, now, random),
    }
}

fn failed(job: &ClaimedJob, error_json: Box<str>, fatal: bool, now: Millis, random: f64) -> Disposition {
    let failures = job.failures.saturating_add(1);
    if fatal || failures >= job.policy.attempts {
        return Disposition::End { state: JobState::Failed, error_json, failed: true, keep: job.policy.remove_on_fail };
    }
    Disposition::Retry { run_at: now.saturating_add(job.policy.backoff.wait(failures, random)), error_json }
}

/// Decides over an attempt that is given up; `None` where the store has decided already.
pub(crate) fn give_up(job: &ClaimedJob, why: GiveUp, now: Millis, random: f64) -> (JobError, Option<Disposition>) {
    let (name, message, code) = match &why {
        GiveUp::Timeout => (
            "TimeoutError",
            format!("the attempt took longer than its timeout of {} ms", job.policy.timeout.unwrap_or(0)),
            ErrorCode::TaskTimeout,
        ),
        GiveUp::Cancelled(_) => ("CancelledError", "the job was cancelled".to_owned(), ErrorCode::TaskCancelled),
        GiveUp::Stalled => {
            ("StalledError", "the event loop of the worker was silent for too long".to_owned(), ErrorCode::TaskStalled)
        }
        GiveUp::Orphaned => (
            "StalledError",
            "the process or environment of the worker ended while the handler ran".to_owned(),
            ErrorCode::TaskStalled,
        ),
        GiveUp::Lost => {
            ("LostError", "the lease of the job ended and another worker may hold it".to_owned(), ErrorCode::TaskLost)
        }
        GiveUp::Closed => ("ClosedError", "the worker was stopped before the handler ended".to_owned(), ErrorCode::Closed),
    };
    let mut error = JobError { name: name.to_owned(), message, code: Some(code.as_str().to_owned()), stack: None };
    if let GiveUp::Cancelled(given) = &why {
        error = serde_json::from_str(given).unwrap_or(error);
    }
    let error_json = || serde_json::to_string(&error).unwrap_or_default().into_boxed_str();
    let disposition = match why {
        GiveUp::Timeout => Some(failed(job, error_json(), false, now, random)),
        GiveUp::Cancelled(_) => Some(Disposition::End {
            state: JobState::Cancelled,
            error_json: error_json(),
            failed: false,
            keep: job.policy.remove_on_fail,
        }),
        GiveUp::Stalled | GiveUp::Orphaned => Some(Disposition::Stall { error_json: error_json() }),
        GiveUp::Closed => Some(Disposition::Release),
        GiveUp::Lost => None,
    };
    (error, disposition)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use master_agent_core::{Backoff, BackoffKind, JobId, JobPolicy, Keep, Token};

    use super::*;

    fn job(failures: u32, attempts: u32) -> ClaimedJob {
        let backoff = Backoff { kind: BackoffKind::Exponential, delay: 100, max_delay: 10_000, jitter: 0.5 };
        let policy = JobPolicy { attempts, backoff, timeout: Some(50), ..JobPolicy::DEFAULT };
        ClaimedJob {
            id: JobId(1),
            token: Token(1),
            lane: "lane".into(),
            key: None,
            task_id: None,
            parent_id: None,
            data_json: "{}".into(),
            meta_json: None,
            priority: 0,
            added_at: 0,
            policy: Arc::new(policy),
            failures,
            stalls: 0,
        }
    }

    fn failure(fatal: bool) -> Outcome {
        Outcome::Failed { error_json: "{}".into(), fatal }
    }

    #[test]
    fn a_failure_is_retried_after_its_backoff_until_the_attempts_are_used_up() {
        let wait = |failures| match decide(&job(failures, 3), failure(false), 1_000, 0.0) {
            Disposition::Retry { run_at, .. } => Some(run_at - 1_000),
            _ => None,
        };
        assert_eq!([0, 1, 2].map(wait), [Some(100), Some(200), None]);
        let last = decide(&job(2, 3), failure(false), 1_000, 0.0);
        assert!(matches!(last, Disposition::End { state: JobState::Failed, failed: true, .. }), "{last:?}");
    }

    #[test]
    fn jitter_shortens_the_wait() {
        let decided = decide(&job(0, 3), failure(false), 0, 1.0);
        assert!(matches!(decided, Disposition::Retry { run_at: 50, .. }), "{decided:?}");
    }

    #[test]
    fn a_fatal_failure_ends_the_job_at_once() {
        assert!(matches!(decide(&job(0, 3), failure(true), 0, 0.0), Disposition::End { state: JobState::Failed, .. }));
    }

    #[test]
    fn a_timeout_counts_as_a_failure_and_a_cancellation_does_not() {
        let (error, timeout) = give_up(&job(0, 1), GiveUp::Timeout, 0, 0.0);
        assert_eq!(error.code.as_deref(), Some("ERR_TASK_TIMEOUT"));
        assert!(error.message.contains("50 ms"), "{}", error.message);
        assert!(matches!(timeout, Some(Disposition::End { state: JobState::Failed, failed: true, .. })));
        let (error, cancelled) =
            give_up(&job(0, 3), GiveUp::Cancelled(r#"{"name":"CancelledError","message":"why"}"#.into()), 0, 0.0);
        assert!(matches!(cancelled, Some(Disposition::End { state: JobState::Cancelled, failed: false, .. })));
        assert_eq!(error.message, "why");
    }

    #[test]
    fn what_the_store_gave_away_is_not_settled() {
        assert_eq!(give_up(&job(0, 3), GiveUp::Lost, 0, 0.0).1, None);
        assert_eq!(give_up(&job(0, 3), GiveUp::Closed, 0, 0.0).1, Some(Disposition::Release));
    }

    #[test]
    fn the_bounds_of_the_policy_go_with_the_end() {
        let keep = Keep { count: Some(7), age: None };
        let mut kept = job(0, 3);
        kept.policy = Arc::new(JobPolicy { remove_on_complete: keep, ..JobPolicy::DEFAULT });
        let done = decide(&kept, Outcome::Completed { result_json: "1".into() }, 0, 0.0);
        assert_eq!(done, Disposition::Complete { result_json: Some("1".into()), keep });
    }
}
