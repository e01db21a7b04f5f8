/** `health()` and the event, on whatever store there is. */
import assert from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { script } from "../helpers/child.ts";
import { PATIENCE } from "../helpers/long.ts";
import { masterFor, queueOf } from "../helpers/masters.ts";
import { folderFor, onRedis, storeFor } from "../helpers/place.ts";
import { redisFor, withoutRedis } from "../helpers/redis.ts";
import { proxyFor } from "../helpers/redis-proxy.ts";
import { soon, until } from "../helpers/until.ts";

const options = { skip: withoutRedis || (onRedis && "done in the other run"), timeout: 4 * PATIENCE };

test("a store that works, whoever asks", async (t) => {
  const master = masterFor(t, { autostart: false });
  const queue = queueOf(t, master);
  for (const one of [master, queue]) {
    const { status, store, latencyMs, error, server } = await one.health();
    assert.deepEqual([status, store, error], ["ok", onRedis ? "redis" : "embedded", null]);
    assert.ok(latencyMs > 0 && latencyMs < 1_000, String(latencyMs));
    assert.equal(server === null, !onRedis);
  }
  assert.deepEqual(await queue.queues(), [], "nothing was written");
});

test("a folder that cannot be one", { skip: onRedis }, async (t) => {
  const file = join(folderFor(t), "file");
  writeFileSync(file, "");
  const { status, store, error, server } = await masterFor(t, { store: join(file, "data"), autostart: false }).health();
  assert.deepEqual([status, store, error?.code, server], ["failing", "embedded", "ERR_STORE_OPEN", null]);
});

test("a folder that may not be written", {
  skip: onRedis || process.platform === "win32" || process.getuid?.() === 0,
}, async (t) => {
  const store = folderFor(t);
  chmodSync(store, 0o500);
  t.after(() => chmodSync(store, 0o700));
  const { status, error } = await masterFor(t, { store, autostart: false }).health();
  assert.deepEqual([status, error?.code], ["failing", "ERR_STORE_READ_ONLY"]);
});

test("a question keeps the process until it is answered", async (t) => {
  const end = await script(
    t,
    `
      const master = new api.MasterAgent({ store: args[0], autostart: false });
      say((await master.health()).status);
      await master.close();
    `,
    [storeFor(t)],
  );
  assert.equal(end.code, 0, end.stderr);
  assert.match(end.stdout, /"ok"/);
});

test("a Redis that works says which it is, and two commands are all that it gets", options, async (t) => {
  const server = await redisFor(t, { password: "s3cret" });
  const master = masterFor(t, { store: server.url, autostart: false });
  const { redis_version: version } = await server.info("server");
  await master.health();
  const keys = await server.call<string[]>("KEYS", "*");
  await server.call("CONFIG", "RESETSTAT");
  const { status, server: found } = await master.health();
  assert.deepEqual([status, found], ["ok", { name: "redis", version, mode: "standalone" }]);
  const stats = await server.info("commandstats");
  const calls = (name: string) => /calls=(\d+)/.exec(String(stats[`cmdstat_${name}`]))?.[1];
  assert.deepEqual([calls("hello"), calls("set")], ["1", "1"]);
  assert.deepEqual((await server.call<string[]>("KEYS", "*")).sort(), keys.sort());
});

test("a Redis that goes and comes back: health() says so, and the event once each", options, async (t) => {
  const server = await redisFor(t, { persistence: "always" });
  const master = masterFor(t, { store: server.url, autostart: false });
  const told: (string | null)[] = [];
  master.on("health", ({ error }) => told.push(error?.code ?? null));
  assert.equal((await master.health()).status, "ok");
  for (const round of [1, 2]) {
    await server.end();
    // It is tried again and again meanwhile.
    for (let asked = 0; asked < 3; asked++) {
      const { status, error, latencyMs } = await master.health({ timeout: 500 });
      assert.deepEqual([status, error?.code, error?.retryable], ["unreachable", "ERR_STORE_UNREACHABLE", true]);
      assert.match(String(error?.message), new RegExp(`127.0.0.1:${server.port}`));
      assert.ok(latencyMs < 2_000, String(latencyMs));
    }
    assert.equal(told.length, 2 * round - 1, told.join());
    await server.begin();
    await until("it is well", async () => (await master.health()).status === "ok");
    await until("it is told", () => told.length >= 2 * round);
    assert.equal(told.length, 2 * round, told.join());
  }
  assert.deepEqual(told, ["ERR_STORE_UNREACHABLE", null, "ERR_STORE_UNREACHABLE", null]);
});

test("a Redis that is away when a question waits for it, and comes in time", options, async (t) => {
  const server = await redisFor(t, { persistence: "always" });
  const queue = queueOf(t, masterFor(t, { store: server.url, autostart: false }));
  await server.end();
  const asked = queue.health({ timeout: PATIENCE });
  await server.begin();
  assert.equal((await soon("the answer", asked)).status, "ok");
});

test("a connection that stalls is answered in time", options, async (t) => {
  const server = await redisFor(t);
  const proxy = await proxyFor(t, server.port);
  const master = masterFor(t, { store: proxy.url, autostart: false });
  assert.equal((await master.health()).status, "ok");
  proxy.set({ kind: "stall" });
  const { status, error, latencyMs } = await master.health({ timeout: 300 });
  assert.deepEqual([status, error?.code], ["unreachable", "ERR_STORE_UNREACHABLE"]);
  assert.ok(latencyMs >= 299 && latencyMs < 2_000, String(latencyMs));
});

test("a Redis that takes no writes, or not ours, is failing, and no password is shown", options, async (t) => {
  const server = await redisFor(t, { password: "s3cret", args: ["--maxmemory-policy", "noeviction"] });
  const master = masterFor(t, { store: server.url, autostart: false });
  assert.equal((await master.health()).status, "ok");
  const fails = async (of: typeof master, code: string) => {
    const found = await of.health({ timeout: 3_000 });
    assert.deepEqual([found.status, found.error?.code], ["failing", code]);
    assert.doesNotMatch(inspect(found, { depth: 9, showHidden: true }), /s3cret/);
  };
  await server.call("CONFIG", "SET", "maxmemory", 1);
  await fails(master, "ERR_STORE_FULL");
  await server.call("CONFIG", "SET", "maxmemory", 0);
  assert.equal((await master.health()).status, "ok");
  await fails(masterFor(t, { store: server.url.replace("s3cret", "s3cret-no"), autostart: false }), "ERR_STORE_DENIED");
  const replica = await redisFor(t, { password: "s3cret", args: ["--replicaof", "127.0.0.1", server.port] });
  await until("it follows", async () => (await replica.info("replication")).master_link_status === "up");
  await fails(masterFor(t, { store: replica.url, autostart: false }), "ERR_STORE_READ_ONLY");
});
