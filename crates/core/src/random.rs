//! Randomness as the engine sees it, so that tests can fix it. None of it is secret.

/// Where the engine draws random numbers from.
pub trait Random: Send + Sync + 'static {
    /// A number from 0 up to, not including, 1.
    fn unit(&self) -> f64;

    /// A number from 1 to 2^53 - 1: one that JavaScript holds exactly.
    fn id(&self) -> i64;
}

/// The generator of the running thread, seeded by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn unit(&self) -> f64 {
        fastrand::f64()
    }

    fn id(&self) -> i64 {
        fastrand::i64(1..1 << 53)
    }
}
