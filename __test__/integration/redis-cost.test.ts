/** What the package asks of a Redis: little where nothing happens, and nothing that grows with what is over. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { PATIENCE, size } from "../helpers/long.ts";
import { agentFor, masterFor, queueOf } from "../helpers/masters.ts";
import { RedisClient, redisFor, type Server, withoutRedis } from "../helpers/redis.ts";
import { soon } from "../helpers/until.ts";

const options = { skip: withoutRedis, timeout: 4 * PATIENCE };

/** The commands that clients send while `work` goes on, without those of scripts. */
async function commandsOf(server: Server, work: () => Promise<unknown>): Promise<string[]> {
  const monitor = await RedisClient.connect(server.port);
  const lines: string[] = [];
  monitor.onPush = (line) => lines.push(String(line));
  await monitor.call("MONITOR");
  await work();
  // What was sent before this has arrived when this has.
  const mark = `mark-${Math.random()}`;
  await server.call("ECHO", mark);
  while (!lines.at(-1)?.includes(mark)) {
    await pause(5);
  }
  monitor.close();
  return lines.slice(0, -1).filter((line) => !/^[\d.]+ \[\d+ lua\]/.test(line));
}

test("an idle worker sends at most one command a second", options, async (t) => {
  const server = await redisFor(t);
  const master = masterFor(t, { store: server.url, autostart: false });
  agentFor(t, () => 1);
  await master.start();
  // What starting has left to do.
  await pause(2_000);
  const seconds = size(6, 60);
  const commands = await commandsOf(server, () => pause(seconds * 1_000));
  t.diagnostic(`${commands.length} commands in ${seconds} s`);
  // Two more, where a pair falls on the ends.
  assert.ok(commands.length <= seconds + 2, commands.join("\n"));
});

test("a backlog is emptied with commands for batches, not for jobs", options, async (t) => {
  const server = await redisFor(t);
  const jobs = 5_000;
  const agentType = agentFor(t, () => 1);
  const master = masterFor(t, { store: server.url, autostart: false, concurrency: 50 });
  const handles = await master.spawnParallel(Array.from({ length: jobs }, () => ({ agentType })));
  const commands = await commandsOf(server, async () => {
    await master.start();
    await soon("all results", master.waitForJobs(handles));
  });
  t.diagnostic(`${commands.length} commands for ${jobs} jobs`);
  assert.ok(commands.length < jobs / 5, `${commands.length} commands`);
});

test("outcomes that come at once go out together", options, async (t) => {
  const server = await redisFor(t);
  const jobs = 400;
  const agentType = agentFor(t, () => pause(300));
  const master = masterFor(t, { store: server.url, autostart: false, concurrency: jobs });
  const handles = await master.spawnParallel(Array.from({ length: jobs }, () => ({ agentType })));
  const commands = await commandsOf(server, async () => {
    await master.start();
    await soon("all results", master.waitForJobs(handles));
  });
  t.diagnostic(`${commands.length} commands for ${jobs} jobs`);
  assert.ok(commands.length < jobs / 4, `${commands.length} commands`);
});

test("what is over leaves nothing behind", options, async (t) => {
  const server = await redisFor(t);
  const agentType = agentFor(t, (input) => input);
  const master = masterFor(t, { store: server.url, concurrency: 50, defaultJobOptions: { removeOnComplete: true } });
  const queue = queueOf(t, master);
  const round = async (): Promise<[keys: number, bytes: number]> => {
    const input = "x".repeat(500);
    const handles = await master.spawnParallel(Array.from({ length: 2_000 }, () => ({ agentType, input })));
    await soon("all results", master.waitForJobs(handles));
    assert.equal((await queue.counts()).completed, 0);
    // Of all keys, without what connections have in their buffers.
    let bytes = 0;
    const keys = await server.call<string[]>("KEYS", "*");
    for (const key of keys) {
      bytes += (await server.call<number | null>("MEMORY", "USAGE", key, "SAMPLES", 0)) ?? 0;
    }
    return [keys.length, bytes];
  };
  const [firstKeys, firstBytes] = await round();
  let last: [number, number] = [0, 0];
  for (let n = 0; n < size(3, 50); n++) {
    last = await round();
  }
  t.diagnostic(`${firstKeys} keys and ${firstBytes} bytes after the first round, ${last.join(" and ")} after the last`);
  assert.ok(last[0] <= firstKeys + 3, `${last[0]} keys`);
  assert.ok(last[1] <= firstBytes + 20_000, `${last[1]} bytes`);
});

test("nothing that it sends reads all keys, or blocks for long", options, async (t) => {
  const server = await redisFor(t);
  await server.call("CONFIG", "SET", "slowlog-log-slower-than", 150_000);
  await server.call("CONFIG", "RESETSTAT");
  const master = masterFor(t, { store: server.url, autostart: false });
  const queue = queueOf(t, master);
  // One command for all of them would take twice as long as is allowed here.
  const count = size(100_000, 1_000_000);
  for (let added = 0; added < count; added += 5_000) {
    await queue.addBulk(Array.from({ length: 5_000 }, () => ({ name: "nobody", payload: { some: "input" } })));
  }
  await queue.counts();
  await queue.list({ limit: 1_000 });
  await soon("drain", queue.drain(), 4 * PATIENCE);
  assert.equal((await queue.counts()).waiting, 0);
  const stats = await server.call<string>("INFO", "commandstats");
  assert.doesNotMatch(stats, /cmdstat_(keys|scan|flushdb|flushall)\b/);
  const slow = await server.call<[number, number, number, string[]][]>("SLOWLOG", "GET", 10);
  assert.deepEqual(
    slow.map(([, , micros, args]) => `${micros} µs: ${args.slice(0, 2).join(" ")}`),
    [],
  );
});
