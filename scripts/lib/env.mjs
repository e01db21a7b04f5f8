// Where things are, and how the scripts here start a program. No dependencies: this runs before `npm ci`.
import { spawn } from "node:child_process";
import { realpathSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the repository. */
export const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

/** Whether this runs on a build server. */
export const ci = Boolean(process.env.CI) && process.env.CI !== "false";

/** What is fetched or built once and outlives the clone. */
export const cache = join(homedir(), ".cache", "master-agent");

// A build server clones anew each time: outside the clone, what cargo built is found again.
if (ci && !process.env.CARGO_TARGET_DIR) process.env.CARGO_TARGET_DIR = join(cache, "target");

/** Whether colours are wanted. */
export const colour = process.stdout.isTTY === true && !process.env.NO_COLOR;

const windows = process.platform === "win32";

/** The environment for programs whose output passes through a pipe to our own standard output. */
export function childEnv(extra = {}) {
  const env = { ...process.env, CARGO_TERM_COLOR: colour ? "always" : "never", ...extra };
  if (colour) env.FORCE_COLOR = "1";
  // Set by `node --test` for its children; a test run started from inside a test would otherwise report to the outer one.
  delete env.NODE_TEST_CONTEXT;
  return env;
}

/** The path of a JavaScript tool that package.json names, to be run with this very Node. */
export function tool(...path) {
  return join(root, "node_modules", ...path);
}

/**
 * Runs a program, passes its output on as it comes and resolves with `{ code, output }`, `output` being both streams without colours.
 * `quiet` keeps the output back unless the program fails, `silent` in that case too. A program that is not installed gives code 127.
 */
export function run(command, args, { cwd = root, env = {}, quiet = false, silent = false } = {}) {
  return new Promise((resolve) => {
    // npm and npx are command files on Windows, which only a shell can start.
    const child = spawn(command, args, {
      cwd,
      env: childEnv(env),
      stdio: ["ignore", "pipe", "pipe"],
      shell: windows && command === "npm",
    });
    const kept = [];
    const take = (stream) => (chunk) => {
      kept.push(chunk);
      if (!quiet) stream.write(chunk);
    };
    child.stdout.on("data", take(process.stdout));
    // One stream for both keeps the order of what is printed, and the closing line of the tests last.
    child.stderr.on("data", take(process.stdout));
    const done = (code, note = "") => {
      if (quiet && !silent && code !== 0) process.stdout.write(Buffer.concat(kept));
      if (note && !silent) process.stdout.write(`${note}\n`);
      resolve({
        code,
        output:
          Buffer.concat(kept)
            .toString("utf8")
            .replace(/\u001b\[[0-9;]*m/g, "") + note,
      });
    };
    child.on("error", (error) => done(127, `${command} could not be started: ${error.message}`));
    child.on("close", (code, signal) => done(code ?? 1, signal ? `${command} was ended by ${signal}` : ""));
  });
}

/** Runs a JavaScript tool with this Node. */
export function node(args, options) {
  return run(process.execPath, args, options);
}

/** Ends the script with a message that says what to do. */
export function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

/** Whether `url` is the module that Node was started with. */
export function isMain(url) {
  return process.argv[1] !== undefined && realpathSync(process.argv[1]) === realpathSync(fileURLToPath(url));
}
