//! The native half of `master-agent`: bindings, and the one place that puts the parts together.
//!
//! `session` and `memory` are the classes that JavaScript sees; `wire` the texts that cross the boundary;
//! `requests` what can be asked; `engines` the engines of this process. No policy, no SQL.

mod engines;
mod mailbox;
mod memory;
mod requests;
mod session;
mod wire;
