/** The command line on a Redis that the environment names. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { MasterAgent } from "master-agent";
import { PATIENCE } from "../helpers/long.ts";
import { Bench } from "../helpers/program.ts";
import { redisFor, withoutRedis } from "../helpers/redis.ts";

const bench = new Bench();
after(() => bench.remove());
const options = { skip: withoutRedis, timeout: PATIENCE };

test("status and jobs look into it, a worker serves it, and its password is not shown", options, async (t) => {
  const server = await redisFor(t, { persistence: "everysec", password: "s3cret" });
  const env = { REDIS_URL: server.url };
  const shown = `redis://127.0.0.1:${server.port}/0`;
  const master = new MasterAgent({ store: server.url, autostart: false });
  await master.spawn({ agentType: "nobody", jobId: "waits", input: { a: 1 } });
  await master.close();

  const status = await bench.run(["status", "--json"], env);
  assert.deepEqual([status.code, status.stderr], [0, ""]);
  const { store, total } = JSON.parse(status.stdout) as { store: string; total: Record<string, number> };
  assert.deepEqual([store, total.waiting], [shown, 1]);
  const named = await bench.run(["status", "--store", server.url]);
  assert.deepEqual([named.code, named.stderr, named.stdout.split("\n")[0]], [0, "", `store\t${shown}`]);
  const job = await bench.run(["jobs", "show", "waits", "--json"], env);
  assert.equal(job.code, 0, job.stderr);
  assert.match(job.stdout, /"input":\{"a":1\}/);

  const agents = bench.file("agents.mjs", "export const nobody = { agentType: 'nobody', run: () => 'done' };\n");
  const worker = bench.command(["worker", agents], env);
  const waiting = new MasterAgent({ store: server.url, autostart: false });
  assert.equal((await waiting.waitForJob("waits")).output, "done");
  await waiting.close();
  const end = await worker.killUntilEnd("SIGTERM");
  assert.equal(end.code, 0, end.stderr);
  assert.ok(end.stdout.includes(shown), end.stdout);
  assert.doesNotMatch([status, named, job, end].map(({ stdout, stderr }) => stdout + stderr).join(), /s3cret/);

  await server.end();
  const away = await bench.run(["status"], env);
  assert.equal(away.code, 1);
  assert.match(away.stderr, /ERR_STORE_UNREACHABLE/);
  assert.doesNotMatch(away.stderr, /s3cret/);
});
