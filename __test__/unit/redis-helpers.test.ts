/** What the tests of Redis stand on: servers that can be ended and begun again, groups of them, and a wire that fails. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { clusterFor, RedisClient, RedisReplyError, redisFor, sentinelFor, withoutRedis } from "../helpers/redis.ts";
import { proxyFor } from "../helpers/redis-proxy.ts";
import { gate, soon, until } from "../helpers/until.ts";

const skip = withoutRedis;

test("a server keeps what it acknowledged when it is killed, with an AOF that is written always", { skip }, async (t) => {
  const server = await redisFor(t, { persistence: "always" });
  await server.call("SET", "kept", "yes ü");
  const { port } = server;
  await server.restart();
  assert.equal(server.port, port);
  assert.equal(await server.call("GET", "kept"), "yes ü");
  await assert.rejects(server.call("NONSENSE"), RedisReplyError);
  assert.equal((await server.info("server")).tcp_port, port);
});

test("connections of others can be found and cut", { skip }, async (t) => {
  const server = await redisFor(t, { password: "secret" });
  const other = await RedisClient.connect(server.port);
  await assert.rejects(other.call("GET", "a"), { code: "NOAUTH" });
  await other.call("AUTH", "secret");
  const [id, ...more] = await server.clients();
  assert.deepEqual(more, []);
  assert.equal(await server.cut(id as string), true);
  await assert.rejects(soon("the cut", other.call("PING")), /closed/);
});

test("a wire stalls, delays, halves, drops and refuses", { skip }, async (t) => {
  const server = await redisFor(t);
  const proxy = await proxyFor(t, server.port);
  const client = await RedisClient.connect(proxy.port);
  assert.equal(await client.call("PING"), "PONG");

  proxy.set({ kind: "stall" });
  let answered = false;
  const stalled = client.call("PING").then((reply) => {
    answered = true;
    return reply;
  });
  await server.call("PING");
  assert.equal(answered, false);
  proxy.set({ kind: "pass" });
  assert.equal(await soon("what was kept back", stalled), "PONG");

  proxy.set({ kind: "delay", ms: 30 });
  const begun = performance.now();
  await client.call("PING");
  assert.ok(performance.now() - begun >= 59, "late in both directions");

  proxy.set({ kind: "halve", from: "client" });
  await assert.rejects(soon("the cut", client.call("SET", "half", "x".repeat(100))), /closed/);
  assert.equal(await server.call("EXISTS", "half"), 0);

  const second = await RedisClient.connect(proxy.port);
  proxy.set({ kind: "halve", from: "server" });
  await assert.rejects(soon("the cut", second.call("SET", "half", "x".repeat(100))), /closed/);
  assert.equal(await server.call("EXISTS", "half"), 1, "it was done and nobody was told");

  const third = await RedisClient.connect(proxy.port);
  await third.call("PING");
  proxy.drop();
  await assert.rejects(third.call("PING"), /closed/);
  await until("all are gone", () => proxy.connections === 0);

  proxy.set({ kind: "refuse" });
  const fourth = await RedisClient.connect(proxy.port);
  await assert.rejects(soon("the refusal", fourth.call("PING")), /closed/);
});

test("sentinels make the replica the primary when the primary dies", { skip }, async (t) => {
  const group = await sentinelFor(t, { persistence: "everysec" });
  const [first, second] = group.servers;
  assert.equal(await group.primary(), first);
  await first.call("SET", "kept", "yes");
  await first.call("WAIT", 1, 1_000);
  assert.equal(await group.failOver(), second);
  assert.equal(await second.call("GET", "kept"), "yes");
});

test("a slot moves with its keys while the cluster serves", { skip }, async (t) => {
  const cluster = await clusterFor(t);
  const slot = await cluster.slotOf("{tag}");
  const from = await cluster.ownerOf(slot);
  const to = cluster.nodes.find((node) => node !== from);
  assert.ok(to !== undefined);
  for (let n = 0; n < 20; n++) {
    await from.call("SET", `key-${n}{tag}`, n);
  }
  const halfWay = gate();
  await cluster.move(slot, to, async () => {
    halfWay.open();
    const replies = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => from.call("GET", `key-${n}{tag}`)));
    assert.equal(replies.filter(({ status }) => status === "rejected").length, 1, "the one that has moved");
  });
  await halfWay.opened;
  assert.equal(await cluster.ownerOf(slot), to);
  assert.equal(await to.call("GET", "key-7{tag}"), "7");
  await assert.rejects(from.call("GET", "key-7{tag}"), { code: "MOVED" });
});
