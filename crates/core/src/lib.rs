//! The words of the engine: jobs, policies, identifiers, time and error codes. No I/O.
//!
//! Where state lives is `store`; when a job is retried or given up is `queue`.

mod clock;
mod code;
mod job;
mod policy;
mod random;

pub use clock::{Clock, ManualClock, Millis, SystemClock};
pub use code::ErrorCode;
pub use job::{JobError, JobId, JobRef, JobState, Token, WorkerId};
pub use policy::{Backoff, BackoffKind, JobPolicy, Keep};
pub use random::{Random, SystemRandom};
