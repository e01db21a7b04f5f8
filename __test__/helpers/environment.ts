/** The environment of programs that tests start. */

/** What the machine or the test runner sets, and a user of the package does not have. */
const NOT_A_USERS = [
  "APP_DATA_DIR",
  "FORCE_COLOR",
  "LANCEDB_PATH",
  "NODE_OPTIONS",
  "NODE_PATH",
  "NODE_TEST_CONTEXT",
  "ORT_DYLIB_PATH",
  "REDIS_HOST",
  "REDIS_PASSWORD",
  "REDIS_PORT",
  "REDIS_URL",
  "WORKER_CONCURRENCY",
  "WORKER_LEASE_MS",
];

/** That of this process without what sets the package up otherwise, and with `extra`. */
export function userEnvironment(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const inherited = { ...process.env };
  for (const name of NOT_A_USERS) {
    delete inherited[name];
  }
  return { ...inherited, ...extra };
}
