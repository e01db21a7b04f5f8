//! Random sequences of operations on state, run against a store and against the model at the same time.
//!
//! Every answer is compared, and from time to time and at the end everything that can be seen. Where the
//! port leaves a choice (versions, where a log begins), the store's choice is checked to be a legal one and
//! remembered. Settings and seeds are those of [`crate::random`].

mod steps;
mod world;

use super::conformance::Fixture;

/// Runs random sequences, each on a fixture of its own.
///
/// # Panics
/// When the store differs from the model, with the shortest sequence found that shows it.
pub fn check(fixture: impl Fn() -> Fixture) {
    crate::random::run(&steps::sequences(), |steps| world::World::new(fixture()).play(&steps));
}
