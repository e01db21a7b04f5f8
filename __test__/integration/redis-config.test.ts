/** Which store a program uses: the option, then the environment, then a folder. The same code on either. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { script } from "../helpers/child.ts";
import { PATIENCE } from "../helpers/long.ts";
import { masterFor } from "../helpers/masters.ts";
import { folderFor } from "../helpers/place.ts";
import { Bench } from "../helpers/program.ts";
import { redisFor, type Server, withoutRedis } from "../helpers/redis.ts";
import { soon } from "../helpers/until.ts";

const options = { skip: withoutRedis, timeout: 4 * PATIENCE };

/** Runs a task on what the options and the environment say. */
const RUN = `
  api.registerSubAgent({ agentType: "upper", run: (text) => text.toUpperCase() });
  const master = new api.MasterAgent(args[0]);
  const queue = api.getTaskQueue(args[0]);
  say({ output: await master.run({ agentType: "upper", input: "hello" }), completed: (await queue.counts()).completed, store: master.store });
  await master.close();
  await queue.close();
`;

const usedKeys = (server: Server) => server.call<number>("DBSIZE");

for (const [what, environmentOf] of [
  ["REDIS_URL", (server: Server) => ({ REDIS_URL: server.url })],
  [
    "REDIS_HOST, REDIS_PORT and REDIS_PASSWORD",
    (server: Server) => ({ REDIS_HOST: "127.0.0.1", REDIS_PORT: String(server.port), REDIS_PASSWORD: "s3cret" }),
  ],
] as const) {
  test(`${what} alone makes a program use Redis`, options, async (t) => {
    const server = await redisFor(t, { persistence: "everysec", password: "s3cret" });
    const cwd = folderFor(t);
    const end = await script(t, RUN, [{}], { env: environmentOf(server), cwd });
    assert.deepEqual([end.code, end.stderr], [0, ""]);
    const [{ store, ...rest }] = end.lines as [{ store: string }];
    assert.deepEqual(rest, { output: "HELLO", completed: 1 });
    assert.ok(!store.includes("s3cret"), "the password is shown nowhere");
    assert.ok((await usedKeys(server)) > 0);
    assert.ok(!existsSync(join(cwd, "data")), "no folder was made");
  });
}

test("an option goes before the environment", options, async (t) => {
  const server = await redisFor(t, { persistence: "everysec" });
  const other = await redisFor(t, { persistence: "everysec" });
  const cwd = folderFor(t);
  const env = { REDIS_URL: server.url };
  for (const store of [other.url, "embedded", join(cwd, "folder")]) {
    const end = await script(t, RUN, [{ store }], { env, cwd });
    assert.deepEqual([end.code, end.stderr], [0, ""], store);
  }
  assert.equal(await usedKeys(server), 0);
  assert.ok((await usedKeys(other)) > 0);
  assert.ok(existsSync(join(cwd, "data", "state.db")) && existsSync(join(cwd, "folder", "state.db")));
});

test("databases of one server do not see each other", options, async (t) => {
  const server = await redisFor(t, { persistence: "everysec" });
  const [zero, five] = [0, 5].map((database) =>
    masterFor(t, { store: server.url.replace(/0$/, String(database)), autostart: false }),
  );
  const handle = await zero?.spawn({ agentType: "nobody", jobId: "mine" });
  assert.equal(handle?.jobId, "mine");
  assert.equal(await five?.status("mine"), null);
});

test("addresses that are none are refused", options, async (t) => {
  const none = ["redis://", "redis://host:port/0", "http://127.0.0.1:6379", "redis+sentinel://host:26379", "redis+cluster://"];
  for (const store of none) {
    const use = async () => masterFor(t, { store, autostart: false }).spawn({ agentType: "nobody" });
    await assert.rejects(soon(store, use()), { code: "ERR_INPUT_INVALID" }, store);
  }
});

test("the command line works on Redis", options, async (t) => {
  const server = await redisFor(t, { persistence: "everysec" });
  const bench = new Bench();
  t.after(() => bench.remove());
  const agents = bench.file("agents.mjs", `export const upper = { agentType: "upper", run: ({ text }) => text.toUpperCase() };`);
  const env = { REDIS_URL: server.url };
  const worker = bench.command(["worker", agents], env);
  const master = masterFor(t, { store: server.url, autostart: false });
  assert.equal(
    await master.run({ agentType: "upper", input: { text: "hello" }, jobId: "greeting" }, { timeout: PATIENCE }),
    "HELLO",
  );
  const status = await bench.run(["status", "--json"], env);
  assert.equal(status.code, 0, status.stderr);
  assert.match(status.stdout, /"completed":1/);
  const named = await bench.run(["jobs", "show", "greeting", "--json", "--store", server.url]);
  assert.equal(named.code, 0, named.stderr);
  assert.match(named.stdout, /"HELLO"/);
  const { code, stderr } = await worker.killUntilEnd("SIGTERM");
  assert.deepEqual([code, stderr], [0, ""]);
});
