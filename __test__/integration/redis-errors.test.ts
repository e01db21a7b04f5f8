/** A Redis that cannot be used: coded errors that say what to do, nothing accepted is lost, and it heals. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { type TestContext, test } from "node:test";
import { getTaskQueue, MasterAgent, type MasterAgentError } from "master-agent";
import { freePort } from "../../scripts/lib/redis.mjs";
import { script } from "../helpers/child.ts";
import { afterwards } from "../helpers/cleanup.ts";
import { PATIENCE } from "../helpers/long.ts";
import { agentFor, masterFor, queueOf } from "../helpers/masters.ts";
import { redisFor, type Server, withoutRedis } from "../helpers/redis.ts";
import { gate, soon, until } from "../helpers/until.ts";

const options = { skip: withoutRedis, timeout: 4 * PATIENCE };

/** The key that carries the version of the layout. */
const LAYOUT = "ma:v";

/** How long a call may wait for a Redis that is away: `enqueueTimeout`, and something for a busy machine. */
const ENQUEUE_TIMEOUT = 5_000;

interface Expected {
  code: string;
  retryable: boolean;
  /** What the message says. */
  says: RegExp;
}

function fits({ code, retryable, says }: Expected, what: string): (error: MasterAgentError) => boolean {
  return (error) => {
    assert.equal(error.code, code, `${what}: ${error.message}`);
    assert.equal(error.retryable, retryable, `${what}: ${error.code}`);
    assert.match(error.message, says, what);
    assert.doesNotMatch(error.message, /s3cret/, "no message shows a password");
    return true;
  };
}

/** Every kind of call fails as expected; none hangs, and all is closed in time. */
async function allFail(t: TestContext, store: string, expected: Expected): Promise<void> {
  const master = masterFor(t, { store, autostart: false });
  // The master tells its store without the password.
  const queue = getTaskQueue({ store });
  t.after(() => queue.close());
  const calls: Record<string, () => Promise<unknown>> = {
    spawn: () => master.spawn({ agentType: "nobody" }),
    spawnParallel: () => master.spawnParallel([{ agentType: "nobody" }]),
    run: () => master.run({ agentType: "nobody" }),
    cancel: () => master.cancel("some-key"),
    pause: () => queue.pause(),
  };
  await Promise.all(
    Object.entries(calls).map(([name, call]) => assert.rejects(soon(name, call()), fits(expected, name), `${name} succeeded`)),
  );
  await soon("close", master.close({ timeout: 500 }), 15_000);
}

test("a server that asks for a password, and a wrong one", options, async (t) => {
  const server = await redisFor(t, { password: "s3cret" });
  const expected: Expected = { code: "ERR_STORE_DENIED", retryable: false, says: /password/ };
  await allFail(t, `redis://127.0.0.1:${server.port}/0`, expected);
  await allFail(t, `redis://:s3cret-no@127.0.0.1:${server.port}/0`, expected);
  await allFail(t, `redis://nobody:s3cret@127.0.0.1:${server.port}/0`, expected);
  const master = masterFor(t, { store: server.url });
  const agentType = agentFor(t, (input) => input);
  assert.equal(await master.run({ agentType, input: 1 }), 1);
});

test("a database that does not exist", options, async (t) => {
  const server = await redisFor(t);
  const store = `redis://127.0.0.1:${server.port}/99`;
  await allFail(t, store, { code: "ERR_STORE_OPEN", retryable: false, says: /database/ });
});

test("a replica that may not be written", options, async (t) => {
  const primary = await redisFor(t);
  const replica = await redisFor(t, { args: ["--replicaof", "127.0.0.1", primary.port] });
  await until("it follows", async () => (await replica.info("replication")).master_link_status === "up");
  await allFail(t, replica.url, { code: "ERR_STORE_READ_ONLY", retryable: false, says: /primary/ });
});

test("a user who may do nothing", options, async (t) => {
  const server = await redisFor(t);
  await server.call("ACL", "SETUSER", "guest", "on", ">s3cret", "~*", "-@all", "+ping");
  const store = `redis://guest:s3cret@127.0.0.1:${server.port}/0`;
  await allFail(t, store, { code: "ERR_STORE_DENIED", retryable: false, says: /ACL/ });
});

test("something that is not Redis", options, async (t) => {
  const other = createServer((socket) => {
    socket.on("error", () => {});
    socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  other.listen(0, "127.0.0.1");
  await once(other, "listening");
  afterwards(t, () => other.close());
  const { port } = other.address() as { port: number };
  const master = masterFor(t, { store: `redis://127.0.0.1:${port}/0`, autostart: false });
  await assert.rejects(soon("spawn", master.spawn({ agentType: "nobody" })), (error: MasterAgentError) => {
    assert.match(error.code, /^ERR_STORE_/, error.message);
    assert.ok(error.message.includes(String(port)), error.message);
    return true;
  });
});

test("nobody listens: calls wait for a while, and then fail so that they may be tried again", options, async (t) => {
  const port = await freePort();
  const store = `redis://:s3cret@127.0.0.1:${port}/0`;
  const master = masterFor(t, { store, autostart: false });
  const begun = performance.now();
  await assert.rejects(soon("spawn", master.spawn({ agentType: "nobody" })), (error: MasterAgentError) => {
    assert.ok(error.message.includes(`127.0.0.1:${port}`), error.message);
    return fits({ code: "ERR_STORE_UNREACHABLE", retryable: true, says: /again/ }, "spawn")(error);
  });
  const waited = performance.now() - begun;
  t.diagnostic(`failed after ${Math.round(waited)} ms`);
  assert.ok(waited >= ENQUEUE_TIMEOUT - 100 && waited < 3 * ENQUEUE_TIMEOUT, `${waited} ms`);
});

test("a spawn whose Redis comes back in time is accepted once", options, async (t) => {
  const server = await redisFor(t, { persistence: "always" });
  const master = masterFor(t, { store: server.url, autostart: false });
  const health: (string | null)[] = [];
  master.on("health", ({ error }) => health.push(error?.code ?? null));
  await master.spawn({ agentType: "nobody" });
  await server.end();
  const spawning = master.spawn({ agentType: "nobody" });
  await until("it is told", () => health.length > 0);
  await server.begin();
  await soon("the answer", spawning);
  await until("it is told that all is well", () => health.at(-1) === null);
  assert.equal(health[0], "ERR_STORE_UNREACHABLE");
  assert.equal((await queueOf(t, master).counts()).waiting, 2);
});

test("a server that reads its data", options, async (t) => {
  const server = await redisFor(t, { persistence: "none", args: ["--save", 3_600, 1_000_000, "--rdbcompression", "no"] });
  const master = masterFor(t, { store: server.url, autostart: false });
  const { jobId } = await master.spawn({ agentType: "nobody", input: "kept" });
  for (let n = 0; n < 300; n++) {
    // While it reads, it answers once for every 2 MB.
    await server.call("SET", `other-${n}`, "x".repeat(60_000));
  }
  await server.call("SAVE");
  await server.end();
  // About 12 seconds: longer than a call waits.
  server.process.args = [...server.process.args, "--key-load-delay", 40_000];
  await server.begin({ loaded: false });
  await assert.rejects(
    soon("spawn", master.spawn({ agentType: "nobody" })),
    fits({ code: "ERR_STORE_UNREACHABLE", retryable: true, says: /loading/ }, "spawn"),
  );
  const job = await until("it can be used", () => master.status(jobId).catch(() => undefined));
  assert.equal(job?.input, "kept");
});

test("a server without memory: nothing accepted is lost, outcomes are kept, and it heals", options, async (t) => {
  const server = await redisFor(t, { args: ["--maxmemory-policy", "noeviction"] });
  const master = masterFor(t, { store: server.url });
  const queue = queueOf(t, master);
  const [begun, over] = [gate(), gate()];
  const agentType = agentFor(t, async () => {
    begun.open();
    await over.opened;
    return "kept";
  });
  const running = await master.spawn({ agentType });
  await begun.opened;
  const accepted = await master.spawnParallel(
    Array.from({ length: 100 }, () => ({ agentType: "nobody", input: "x".repeat(1_000) })),
  );
  await server.call("CONFIG", "SET", "maxmemory", 1);
  await assert.rejects(
    soon("spawn", master.spawn({ agentType: "nobody" })),
    fits({ code: "ERR_STORE_FULL", retryable: true, says: /memory/ }, "spawn"),
  );
  // What runs ends while there is no room.
  over.open();
  assert.equal((await queue.counts()).waiting, accepted.length, "it can still be read");
  await server.call("CONFIG", "SET", "maxmemory", 0);
  const result = await soon("the result", master.waitForJob(running));
  assert.deepEqual([result.output, result.attempts], ["kept", 1]);
  await until("it takes tasks again", () => master.spawn({ agentType: "nobody" }).catch(() => undefined));
  assert.equal((await queue.getMany(accepted)).filter((job) => job === null).length, 0);
});

/** The keys that a queue with some work in it has. */
async function keysInUse(t: TestContext, server: Server): Promise<string[]> {
  const master = new MasterAgent({ store: server.url, autostart: false });
  await master.spawn({ agentType: "nobody", jobId: "a-name", priority: 3 });
  await master.spawn({ agentType: "nobody", delay: 3_600_000 });
  await master.run({ agentType: agentFor(t, () => 1) }, { signal: AbortSignal.timeout(100) }).catch(() => undefined);
  await master.close();
  const keys = await server.call<string[]>("KEYS", "*");
  assert.ok(keys.length > 0);
  return keys.sort();
}

test("a key of another type in the way", options, async (t) => {
  const server = await redisFor(t);
  let noticed = 0;
  for (const key of await keysInUse(t, server)) {
    const string = (await server.call("TYPE", key)) === "string";
    await server.call("DEL", key);
    await (string ? server.call("RPUSH", key, "garbage") : server.call("SET", key, "garbage"));
    const master = new MasterAgent({ store: server.url, autostart: false });
    for (const call of [
      () => master.spawn({ agentType: "nobody", priority: 3 }),
      () => master.spawn({ agentType: "nobody", jobId: `after-${key}`, delay: 3_600_000 }),
      () => master.cancel("a-name"),
      () => master.status("a-name"),
      () => master.start(),
    ]) {
      try {
        await soon<unknown>(key, call());
      } catch (error) {
        noticed += 1;
        const { code, message } = error as MasterAgentError;
        assert.equal(code, "ERR_STORE_CORRUPT", `${key}: ${message}`);
        assert.match(message, /not write|not as this package writes it/, key);
      }
    }
    await soon("close", master.close({ timeout: 500 }), 15_000);
    await server.call("FLUSHDB");
    await keysInUse(t, server);
  }
  assert.ok(noticed > 0, "it was noticed");
});

test("a layout of a newer version is not written to", options, async (t) => {
  const server = await redisFor(t);
  assert.ok((await keysInUse(t, server)).includes(LAYOUT));
  await server.call("SET", LAYOUT, 9_999);
  const before = await server.call<string[]>("KEYS", "*");
  await allFail(t, server.url, { code: "ERR_STORE_VERSION", retryable: false, says: /9999|newer/ });
  assert.deepEqual((await server.call<string[]>("KEYS", "*")).sort(), before.sort(), "it was not touched");
});

test("a client that comes back to a newer layout refuses to go on", options, async (t) => {
  const server = await redisFor(t);
  const master = masterFor(t, { store: server.url, autostart: false });
  await master.spawn({ agentType: "nobody" });
  await server.call("SET", LAYOUT, 9_999);
  for (const id of await server.clients()) {
    await server.cut(id);
  }
  await assert.rejects(
    soon("spawn", master.spawn({ agentType: "nobody" })),
    fits({ code: "ERR_STORE_VERSION", retryable: false, says: /9999|newer/ }, "spawn"),
  );
});

const USE = `
  const masters = [1, 2].map(() => new api.MasterAgent({ store: args[0], autostart: false }));
  for (const master of masters) {
    await master.spawn({ agentType: "nobody" });
    await master.close();
  }
`;

test("a server that may evict keys, or keeps nothing on disk, is warned of once", options, async (t) => {
  const careful = await redisFor(t, { persistence: "everysec", args: ["--maxmemory-policy", "noeviction"] });
  const calm = await script(t, USE, [careful.url]);
  assert.deepEqual([calm.code, calm.stderr], [0, ""]);
  for (const [args, persistence, says] of [
    [["--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru"], "everysec", /maxmemory-policy/],
    [[], "none", /persist|disk|appendonly/i],
  ] as const) {
    const server = await redisFor(t, { persistence, args });
    const end = await script(t, USE, [server.url]);
    assert.equal(end.code, 0, end.stderr);
    assert.equal(end.stderr.match(new RegExp(says, `g${says.flags}`)) === null, false, end.stderr);
    assert.equal(end.stderr.split("\n").filter((line) => says.test(line)).length, 1, end.stderr);
  }
});
