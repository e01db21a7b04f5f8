/** What happens to a Redis and to the way there: nothing acknowledged is lost, no worker is wedged, no wait hangs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { MasterAgent } from "master-agent";
import { PATIENCE, size } from "../helpers/long.ts";
import { agentFor, allDone, masterFor, queueOf } from "../helpers/masters.ts";
import { clusterFor, redisFor, type Server, sentinelFor, withoutRedis } from "../helpers/redis.ts";
import { loadOn, told } from "../helpers/redis-load.ts";
import { proxyFor, type Wire } from "../helpers/redis-proxy.ts";
import { gate, soon, until } from "../helpers/until.ts";

const options = { skip: withoutRedis, timeout: size(4, 60) * PATIENCE };
const RESTARTS = size(4, 50);
const CUTS = size(30, 1_000);
const FAULTS = size(8, 200);
const FLUSHES = size(30, 1_000);
const FAILOVERS = size(1, 6);
const MOVES = size(2, 20);

const anyOf = <T>(values: readonly T[]): T => values[Math.floor(Math.random() * values.length)] as T;

test(`Redis is restarted ${RESTARTS} times under load`, options, async (t) => {
  const server = await redisFor(t, { persistence: "always" });
  const load = await loadOn(t, server.url);
  for (let round = 0; round < RESTARTS; round++) {
    await pause(Math.random() * 100);
    await server.end(anyOf(["SIGKILL", "SIGTERM"] as const));
    await pause(Math.random() * 500);
    await server.begin();
    await load.progress();
  }
  t.diagnostic(told(await load.settle()));
});

test(`${CUTS} connections are cut at random`, options, async (t) => {
  const server = await redisFor(t, { persistence: "everysec" });
  const load = await loadOn(t, server.url);
  let cut = 0;
  while (cut < CUTS) {
    await pause(Math.random() * 40);
    const clients = await server.clients();
    if (clients.length > 0 && (await server.cut(anyOf(clients)))) {
      cut += 1;
    }
  }
  await load.progress();
  t.diagnostic(told(await load.settle()));
});

test(`a wire that stalls, is dropped, halved or slow, ${FAULTS} times`, options, async (t) => {
  const server = await redisFor(t, { persistence: "everysec" });
  const proxy = await proxyFor(t, server.port);
  const load = await loadOn(t, server.url, { through: proxy.url });
  const wires: (Wire | "drop")[] = [
    "drop",
    { kind: "stall" },
    { kind: "halve", from: "client" },
    { kind: "halve", from: "server" },
    { kind: "delay", ms: 40 },
    { kind: "refuse" },
  ];
  for (let round = 0; round < FAULTS; round++) {
    const wire = wires[round % wires.length] as Wire | "drop";
    if (wire === "drop") {
      proxy.drop();
    } else {
      if (wire.kind === "refuse") {
        proxy.drop();
      }
      proxy.set(wire);
      await pause(100 + Math.random() * 1_000);
      proxy.set({ kind: "pass" });
    }
    await load.progress();
  }
  t.diagnostic(told(await load.settle()));
});

test("a wire that stalls for ever: connections are given up, and new ones made", options, async (t) => {
  const server = await redisFor(t, { persistence: "everysec" });
  const proxy = await proxyFor(t, server.port);
  const load = await loadOn(t, server.url, { through: proxy.url });
  // What is open now stays silent; what comes later gets through, as after a firewall forgot its connections.
  const before = proxy.accepted;
  proxy.set({ kind: "stall" });
  await until("it is noticed", () => proxy.accepted > before, 2 * PATIENCE);
  proxy.drop();
  proxy.set({ kind: "pass" });
  await load.progress();
  t.diagnostic(told(await load.settle()));
});

test(`scripts are flushed ${FLUSHES} times`, options, async (t) => {
  const server = await redisFor(t, { persistence: "everysec" });
  const load = await loadOn(t, server.url);
  for (let round = 0; round < FLUSHES; round++) {
    await pause(Math.random() * 20);
    await server.call("SCRIPT", "FLUSH");
  }
  const { refused, broken, ...rest } = await load.settle();
  t.diagnostic(told({ refused, broken, ...rest }));
  assert.deepEqual([refused, broken], [0, 0], "nobody notices");
});

test(`a failover to the replica, ${FAILOVERS} times`, options, async (t) => {
  const group = await sentinelFor(t, { persistence: "everysec" });
  const load = await loadOn(t, group.url);
  for (let round = 0; round < FAILOVERS; round++) {
    // Redis copies to its replica after it has answered: what is accepted must be there before the primary dies.
    await load.stopProducing();
    const primary = await group.primary();
    await primary.call("WAIT", 1, PATIENCE);
    await group.failOver();
    load.produce();
    await load.progress();
    await primary.begin();
    await group.followed(primary);
  }
  // What ends between WAIT and the end of the primary may not have been copied.
  t.diagnostic(told(await load.settle({ forgets: true })));
});

test("what Redis forgot to have ended is run again by the worker that it takes for busy with it", options, async (t) => {
  const server = await redisFor(t);
  const begun = gate();
  const go = gate();
  const runs: string[] = [];
  const agentType = agentFor(t, async (_input, { jobId }) => {
    runs.push(jobId);
    if (runs.length === 4) {
      begun.open();
    }
    await go.opened;
    return runs.length;
  });
  const master = masterFor(t, { store: server.url, concurrency: 4 });
  const handles = await Promise.all([1, 2, 3, 4].map(() => master.spawn({ agentType })));
  await soon("the handlers", begun.opened);
  await server.call("SAVE");
  go.open();
  await Promise.all(handles.map((handle) => soon("a result", master.waitForJob(handle))));
  await server.restart();
  await allDone(queueOf(t, master));
  const ids = handles.map(({ jobId }) => jobId).sort();
  assert.deepEqual([...runs].sort(), [...ids, ...ids].sort(), "each once more");
  for (const id of ids) {
    assert.equal((await master.status(id))?.attempts, 1, "an attempt for what was not its fault");
  }
});

/** The slot that a queue has its keys in. */
async function slotInUse(nodes: readonly Server[]): Promise<number> {
  const sizes = new Map<number, number>();
  for (const node of nodes) {
    for (const key of await node.call<string[]>("KEYS", "*")) {
      const slot = await node.call<number>("CLUSTER", "KEYSLOT", key);
      sizes.set(slot, (sizes.get(slot) ?? 0) + 1);
    }
  }
  const [first] = [...sizes].sort(([, a], [, b]) => b - a);
  assert.ok(first !== undefined, "there are keys");
  return first[0];
}

test(`the slot of a queue is moved ${MOVES} times in a cluster of three`, options, async (t) => {
  const cluster = await clusterFor(t, { persistence: "everysec" });
  const load = await loadOn(t, cluster.url);
  const slot = await slotInUse(cluster.nodes);
  for (let round = 0; round < MOVES; round++) {
    const from = await cluster.ownerOf(slot);
    const to = anyOf(cluster.nodes.filter((node) => node !== from));
    await cluster.move(slot, to, () => pause(Math.random() * 50));
    assert.equal(await cluster.ownerOf(slot), to);
    await load.progress();
  }
  t.diagnostic(told(await load.settle()));
});

test("a wait whose notice is lost is answered all the same", options, async (t) => {
  const server = await redisFor(t, { persistence: "everysec" });
  const proxy = await proxyFor(t, server.port);
  const master = masterFor(t, { store: proxy.url, autostart: false });
  const handle = await master.spawn({ agentType: agentFor(t, () => "done") });
  const waiting = master.waitForJob(handle);
  // It ends while nothing reaches the one who waits, and what was sent meanwhile is gone.
  await master.status(handle);
  proxy.set({ kind: "stall" });
  const other = masterFor(t, { store: server.url, autostart: false });
  await other.start();
  assert.equal((await soon("the result elsewhere", other.waitForJob(handle))).output, "done");
  proxy.drop();
  proxy.set({ kind: "pass" });
  assert.equal((await soon("the result", waiting)).output, "done");
});

test("stop and close end in time, whatever became of Redis", options, async (t) => {
  for (const fate of ["SIGKILL", "SIGSTOP"] as const) {
    const server = await redisFor(t, { persistence: "always" });
    const begun = gate();
    const agentType = agentFor(t, (_input, { signal }) => {
      begun.open();
      return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
    });
    const master = new MasterAgent({ store: server.url, autostart: false });
    await master.start();
    const { jobId } = await master.spawn({ agentType });
    await begun.opened;
    if (fate === "SIGKILL") {
      await server.end();
    } else {
      server.process.signal(fate);
    }
    const waiting = assert.rejects(soon("the wait", master.waitForJob(jobId)));
    const from = performance.now();
    await soon("the end of close", master.close({ timeout: 500 }), 4_000);
    t.diagnostic(`${fate}: closed after ${Math.round(performance.now() - from)} ms`);
    await waiting;
    // It was not given back: its lease ends, and it runs elsewhere.
    if (fate === "SIGSTOP") {
      server.process.signal("SIGCONT");
    } else {
      await server.begin();
    }
    const other = masterFor(t, { store: server.url });
    const state = await until("it can be asked", () => other.status(jobId).catch(() => undefined));
    assert.ok(["active", "waiting"].includes(state?.state ?? ""), state?.state);
    await other.cancel(jobId);
    await other.close({ timeout: 0 });
  }
});
