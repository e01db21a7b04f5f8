//! The engine of the queue: decides what a store only records.
//!
//! [`Engine`] is one per store and process: it owns the timer thread, hears what the store tells and
//! knows who waits for which job. [`Session`] is one per user of it (a JavaScript environment): it
//! submits, settles, waits, and runs at most one worker, whose bookkeeping is the state machine in
//! `worker`. `decide` turns the end of an attempt into what becomes of the job.
//!
//! **No lock is held over a call of the store**, because a store may answer inside the call.

mod decide;
mod engine;
mod message;
mod session;
mod timer;
mod unkept;
mod waits;
mod worker;

pub use decide::Outcome;
pub use engine::Engine;
pub use message::{Event, EventKind, Message, Outbox, WaitOutcome};
pub use session::{Session, SessionOptions};
pub use worker::{Handle, Lane, WorkerOptions};
