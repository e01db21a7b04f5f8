// The long forms of the tests: the same suites with more rounds and larger counts, in the profile that is published, and the
// Rust tests that are marked as ignored for their length. Takes hours on a small machine. What is set already is kept.
import { isMain } from "./lib/env.mjs";

const longForms = {
  // Rounds of kill -9, cycles of spawn and finish, and what else has a long form in __test__/.
  MASTER_AGENT_LONG: "1",
  // Random sequences of operations, compared with the model of the store.
  MASTER_AGENT_RANDOM_CASES: "20000",
  // Random calls of the public API.
  FUZZ_RUNS: "1000000",
  PROPTEST_CASES: "20000",
  // Six hours, in milliseconds.
  MASTER_AGENT_TEST_TIMEOUT: "21600000",
};

if (isMain(import.meta.url)) {
  for (const [name, value] of Object.entries(longForms)) process.env[name] ??= value;
  const { test } = await import("./test.mjs");
  process.exitCode = (await test({ profile: "release", long: true })) ? 0 : 1;
}
