// The whole test run: sets up, builds, lints, runs the Rust and the TypeScript tests, and closes with `N passed, N failed`.
//
//   npm test                                  everything
//   npm test -- --only lint|rust|ts           one part (ts builds first)
//   npm test -- --only ts queue               only test files whose path contains "queue"
//   npm test -- --only rust backoff           only Rust tests whose name contains "backoff"
//   npm test -- --release                     with the addon in the profile of benchmarks
//   npm test -- --dist                        with the addon in the profile that is published
//
// Each lint, the build and each file of type tests count as one check beside the tests.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build, generated, profileOf } from "./build.mjs";
import { filesOf, read } from "./lib/digest.mjs";
import { ci, colour, fail, isMain, node, run, tool } from "./lib/env.mjs";
import { installRedis, redisAdvice, redisProgram } from "./lib/redis.mjs";
import { setup } from "./setup.mjs";

// A test that hangs is ended and reported after this long; long suites have a longer one of their own.
const testTimeout = Number(process.env.MASTER_AGENT_TEST_TIMEOUT ?? 600_000);
const concurrency = 2;

const total = { passed: 0, failed: 0 };
const failures = [];

function section(title) {
  process.stdout.write(colour ? `\n\u001b[1m── ${title}\u001b[0m\n` : `\n── ${title}\n`);
}

function add(title, { passed = 0, failed = 0, skipped = 0 }, started) {
  total.passed += passed;
  total.failed += failed;
  if (failed > 0) failures.push(title);
  const left = skipped > 0 ? `, ${skipped} left out` : "";
  process.stdout.write(
    `${title}: ${passed} ok, ${failed} not ok${left} (${((performance.now() - started) / 1000).toFixed(1)} s)\n`,
  );
}

/** One check: `work` resolves with whether it went well. */
async function check(title, work) {
  section(title);
  const started = performance.now();
  let ok = false;
  try {
    ok = await work();
  } catch (error) {
    process.stdout.write(`${error.stack ?? error}\n`);
  }
  add(title, ok ? { passed: 1 } : { failed: 1 }, started);
  return ok;
}

const locked = ci ? ["--locked"] : [];
const succeeds = async (running) => (await running).code === 0;

async function buildPackage(profile) {
  const before = new Map(generated.map((path) => [path, read(path)]));
  const built = await check("build", () => build({ profile }));
  if (!built) return false;
  await check("generated files are up to date", () => {
    const drifted = generated.filter((path) => read(path) !== before.get(path));
    for (const path of drifted) process.stdout.write(`${path} was out of date. It is written anew: commit it.\n`);
    return drifted.length === 0;
  });
  return true;
}

async function lint() {
  await check("rustfmt", () => succeeds(run("cargo", ["fmt", "--all", "--check"])));
  await check("clippy", () =>
    succeeds(run("cargo", ["clippy", "--workspace", "--all-targets", ...locked, "--", "--deny", "warnings"])),
  );
  const biome = tool("@biomejs", "biome", "bin", "biome");
  await check("biome", () => succeeds(node([biome, "check", "--error-on-warnings", colour ? "--colors=force" : "--colors=off"])));
  const tsc = tool("typescript", "bin", "tsc");
  await check("tsc", () => succeeds(node([tsc, "--project", "tsconfig.json", "--pretty", String(colour)])));
}

async function rustTests(filters, long) {
  section("Rust tests");
  const started = performance.now();
  const { code, output } = await run("cargo", [
    "test",
    "--workspace",
    "--no-fail-fast",
    ...locked,
    ...filters,
    ...(long ? ["--", "--include-ignored"] : []),
  ]);
  const count = { passed: 0, failed: 0, skipped: 0 };
  for (const [, passed, failed, ignored] of output.matchAll(/^test result: .*?(\d+) passed; (\d+) failed; (\d+) ignored/gm)) {
    count.passed += Number(passed);
    count.failed += Number(failed);
    count.skipped += Number(ignored);
  }
  // It did not compile, or a test ended its process.
  if (code !== 0 && count.failed === 0) count.failed = 1;
  add("Rust tests", count, started);
}

const matching = (files, filters) => files.filter((file) => filters.length === 0 || filters.some((text) => file.includes(text)));

async function typeTests(filters) {
  const files = matching(filesOf("__test__/types"), filters).filter((file) => file.endsWith(".ts"));
  if (files.length === 0) return;
  section("type tests");
  const started = performance.now();
  const { code, output } = await node([tool("typescript", "bin", "tsc"), "--project", "__test__/types", "--pretty", "false"]);
  const wrong = new Set([...output.matchAll(/^([^\s(]+)\(\d+,\d+\): error TS/gm)].map(([, file]) => file));
  const failed = files.filter((file) => wrong.has(file)).length;
  // An error outside of the files that were asked for still is one.
  const elsewhere = code !== 0 && failed === 0 ? 1 : 0;
  add("type tests", { passed: files.length - failed, failed: failed + elsewhere }, started);
}

/** Runs files with the test runner of Node, and adds their counts. */
async function runFiles(title, files, env = {}) {
  section(title);
  const started = performance.now();
  const scratch = mkdtempSync(join(tmpdir(), "master-agent-test-"));
  const counts = join(scratch, "counts.json");
  const flags = ["--import", "tsx", "--test", `--test-concurrency=${concurrency}`, `--test-timeout=${testTimeout}`];
  const reporters = [
    ["spec", "stdout"],
    ["./scripts/lib/counter.mjs", counts],
  ].flatMap(([reporter, to]) => [`--test-reporter=${reporter}`, `--test-reporter-destination=${to}`]);
  const { code } = await node([...flags, ...reporters, ...files], { env });
  let count = { failed: 1 };
  try {
    count = JSON.parse(readFileSync(counts, "utf8"));
    for (const note of count.notes) process.stdout.write(`${note}\n`);
  } catch (error) {
    process.stdout.write(`The test runner ended without counts: ${error.message}\n`);
  }
  rmSync(scratch, { recursive: true, force: true });
  // Something failed outside of a test, such as a rejection that nobody handled.
  if (code !== 0 && count.failed === 0) count.failed = 1;
  add(title, count, started);
}

/** Files whose tests take whatever store they are given (`storeFor` of helpers/place.ts): they run on Redis too. */
const ofAnyStore = [
  ...["control", "events", "health", "order", "payloads", "processes", "waits", "attempts"].map((name) => `integration/${name}`),
  ...["blocked", "handlers", "kill", "life", "properties", "threads"].map((name) => `lifecycle/${name}`),
].map((path) => `__test__/${path}.test.ts`);

async function typescriptTests(filters) {
  await typeTests(filters);
  const files = matching(filesOf("__test__"), filters).filter((file) => file.endsWith(".test.ts"));
  for (const folder of [...new Set(files.map((file) => file.split("/")[1]))]) {
    const own = files.filter((file) => file.split("/")[1] === folder);
    await runFiles(`TypeScript tests: ${folder}`, own);
    const again = redisProgram() === undefined ? [] : own.filter((file) => ofAnyStore.includes(file));
    if (again.length > 0) await runFiles(`TypeScript tests: ${folder}, on Redis`, again, { MASTER_AGENT_TEST_STORE: "redis" });
  }
}

/** Runs the parts in `only` (all of them when it is undefined) and says whether nothing failed. */
export async function test({ only, filters = [], profile = "dev", long = false } = {}) {
  const wants = (part) => only === undefined || only === part;
  section("setup");
  await setup();
  // There is none for Windows: its tests are left out there.
  if (only !== "lint" && !(await installRedis()) && process.platform !== "win32") fail(redisAdvice);
  const built = wants("ts") ? await buildPackage(profile) : true;
  if (wants("lint")) await lint();
  if (wants("rust")) await rustTests(filters, long);
  if (wants("ts") && built) await typescriptTests(filters);
  // Nothing ran: a filter that matches nothing is a mistake.
  if (total.passed + total.failed === 0) total.failed = 1;
  process.stdout.write(failures.length > 0 ? `\nnot ok: ${failures.join(", ")}\n` : "\n");
  process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
  return total.failed === 0;
}

if (isMain(import.meta.url)) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      only: { type: "string" },
      release: { type: "boolean", default: false },
      dist: { type: "boolean", default: false },
    },
  });
  const { only } = values;
  if (only !== undefined && !["lint", "rust", "ts"].includes(only)) fail(`--only takes lint, rust or ts, not ${only}.`);
  if (positionals.length > 0 && (only === undefined || only === "lint")) fail("A filter needs --only rust or --only ts.");
  const ok = await test({ only, filters: positionals, profile: profileOf(values) });
  process.exitCode = ok ? 0 : 1;
}
