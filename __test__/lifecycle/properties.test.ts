/** Random calls with random arguments: each answers or fails with a coded error, and the process lives. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { afterwards } from "../helpers/cleanup.ts";
import { PATIENCE, size } from "../helpers/long.ts";
import { storeFor } from "../helpers/place.ts";

const CALLS = size(20_000, 1_000_000);
const fixture = fileURLToPath(new URL("../helpers/fixtures/random-calls.mjs", import.meta.url));

test(`${CALLS} random calls crash nothing`, { timeout: size(5, 300) * PATIENCE }, async (t) => {
  const seed = Number(process.env.MASTER_AGENT_SEED ?? Math.floor(Math.random() * 2 ** 30));
  const args = [fixture, storeFor(t), String(CALLS), String(seed)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  afterwards(t, () => child.kill("SIGKILL"));
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.on("close", (...end) => resolve(end));
  });
  t.diagnostic(`seed ${seed}: ${stdout.slice(0, 600)}`);
  assert.deepEqual([code, signal], [0, null], `MASTER_AGENT_SEED=${seed}\n${stdout}\n${stderr}`);
  assert.doesNotMatch(stderr, /panicked|uncaught/);
});
