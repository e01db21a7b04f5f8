//! The native half of `master-agent`: bindings, and the one place that puts the parts together.
//!
//! `session` is the only class that JavaScript sees; `wire` the texts that cross the boundary;
//! `requests` what can be asked; `engines` the engines of this process. No policy, no SQL.

mod engines;
mod mailbox;
mod requests;
mod session;
mod wire;
