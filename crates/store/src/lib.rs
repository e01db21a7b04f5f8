//! The store port: what the engine needs of a place that keeps state.
//!
//! Two halves: [`JobStore`] is the hot path of the queue, [`state::StateStore`] is everything else. Adapters
//! implement both; [`model`] is the reference that tests compare them with, [`conformance`] the suite
//! that every adapter passes. No adapter and no policy lives here.

#[cfg(feature = "testing")]
pub mod conformance;
mod error;
mod jobs;
pub mod model;
#[cfg(feature = "testing")]
pub mod random;
pub mod state;
mod types;

pub use error::StoreError;
pub use jobs::{JobStore, Reply, StoreListener, call};
pub use types::*;
