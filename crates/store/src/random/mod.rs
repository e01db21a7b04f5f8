//! Random sequences of operations, run against a store and against the model at the same time.
//!
//! Every answer is compared, and from time to time and at the end everything that can be seen: jobs, the
//! list of every state page by page, counts, queues, logs, workers, and what the listener must have heard.
//! Where the port leaves a choice (which lane a claim takes from, ids, tokens), the store's choice is checked
//! to be a legal one and the model follows it. A sequence that fails is shrunk and printed.
//!
//! Without settings the sequences are the same in every run. `MASTER_AGENT_RANDOM_CASES` asks for so many
//! new ones, and `MASTER_AGENT_RANDOM_SEED` repeats those of a run that failed.

mod call;
mod look;
mod ops;
mod world;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::conformance::Fixture;

const CASES: u32 = 64;
const SEED: u64 = 0x6d61_7374_6572;

/// Runs random sequences, each on a fixture of its own.
///
/// # Panics
/// When the store differs from the model, with the shortest sequence found that shows it.
pub fn check(fixture: impl Fn() -> Fixture) {
    run(&ops::sequences(), |steps| world::World::new(fixture()).play(&steps));
}

/// Plays sequences of steps, and panics with the shortest found that fails.
pub(crate) fn run<S, T>(sequences: &S, play: impl Fn(Vec<T>) -> Result<(), String>)
where
    S: Strategy<Value = Vec<T>>,
    T: std::fmt::Debug,
{
    let cases = number("MASTER_AGENT_RANDOM_CASES");
    let fresh = || SEED.wrapping_add(std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64));
    let seed = number("MASTER_AGENT_RANDOM_SEED").unwrap_or_else(|| if cases.is_some() { fresh() } else { SEED });
    let cases = cases.map_or(CASES, |cases| u32::try_from(cases).unwrap_or(u32::MAX));
    let mut seed_bytes = [0; 32];
    seed_bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_time: 300_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed_bytes));
    match runner.run(sequences, |steps| play(steps).map_err(TestCaseError::fail)) {
        Ok(()) => {}
        Err(TestError::Fail(reason, steps)) => {
            let steps: String = steps.iter().map(|step| format!("  {step:?}\n")).collect();
            panic!("{reason}\nafter these steps (MASTER_AGENT_RANDOM_SEED={seed}, MASTER_AGENT_RANDOM_CASES={cases}):\n{steps}");
        }
        Err(TestError::Abort(reason)) => panic!("the random sequences were given up: {reason}"),
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.trim().parse().unwrap_or_else(|_| panic!("{variable}={text} is not a whole number")))
}
