// The long forms of the tests: the same suites with MASTER_AGENT_LONG set (more rounds, larger counts), in the profile that is
// published, and the Rust tests that are marked as ignored for their length. Takes hours on a small machine.
import { isMain } from "./lib/env.mjs";

if (isMain(import.meta.url)) {
  process.env.MASTER_AGENT_LONG ??= "1";
  process.env.MASTER_AGENT_TEST_TIMEOUT ??= String(6 * 3_600_000);
  process.env.PROPTEST_CASES ??= "20000";
  const { test } = await import("./test.mjs");
  process.exitCode = (await test({ profile: "release", long: true })) ? 0 : 1;
}
