/** A Redis that is guarded: TLS with a certificate of one's own, and a user with the rules that the documentation names. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { MasterAgentError } from "master-agent";
import { freePort } from "../../scripts/lib/redis.mjs";
import { script } from "../helpers/child.ts";
import { PATIENCE } from "../helpers/long.ts";
import { agentFor, masterFor, queueOf } from "../helpers/masters.ts";
import { folderFor } from "../helpers/place.ts";
import { redisFor, sentinelFor, withoutRedis } from "../helpers/redis.ts";
import { soon } from "../helpers/until.ts";

const options = { skip: withoutRedis, timeout: 4 * PATIENCE };
const withoutTls =
  withoutRedis ||
  (spawnSync("openssl", ["version"], { stdio: "ignore" }).status === 0 ? false : "openssl makes the certificates");

const openssl = (...args: string[]): void => {
  execFileSync("openssl", args, { stdio: "pipe" });
};

/** An authority and a certificate of it for localhost, in a folder. */
function certificates(t: TestContext): Record<"authority" | "certificate" | "key", string> {
  const folder = folderFor(t);
  const file = (name: string): string => join(folder, name);
  const fresh = ["-newkey", "rsa:2048", "-noenc", "-days", "2"];
  openssl("req", "-x509", ...fresh, "-subj", "/CN=test authority", "-keyout", file("ca.key"), "-out", file("ca.pem"));
  const names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
  openssl("req", "-new", ...fresh.slice(0, 3), "-subj", "/CN=localhost", "-keyout", file("key.pem"), "-out", file("request.pem"));
  const signing = ["-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-CAcreateserial", "-days", "2"];
  const extensions = join(folder, "extensions");
  writeFileSync(extensions, `${names}\n`);
  openssl("x509", "-req", "-in", file("request.pem"), ...signing, "-extfile", extensions, "-out", file("certificate.pem"));
  return { authority: file("ca.pem"), certificate: file("certificate.pem"), key: file("key.pem") };
}

const RUN = `
  api.registerSubAgent({ agentType: "upper", run: (text) => text.toUpperCase() });
  const master = new api.MasterAgent({ store: args[0] });
  try { say(await master.run({ agentType: "upper", input: "hello" }, { timeout: 30_000 })); }
  catch (error) { say({ code: error.code, message: error.message }); }
  await master.close();
`;

test("TLS with an authority that the system is told of, and not without", { ...options, skip: withoutTls }, async (t) => {
  const { authority, certificate, key } = certificates(t);
  const port = await freePort();
  const tls = ["--tls-port", port, "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", authority];
  await redisFor(t, { persistence: "everysec", args: [...tls, "--tls-auth-clients", "no"] });
  const store = `rediss://localhost:${port}/0`;
  const trusted = await script(t, RUN, [store], { env: { SSL_CERT_FILE: authority } });
  assert.deepEqual([trusted.code, trusted.stderr, trusted.lines], [0, "", ["HELLO"]]);
  const stranger = await script(t, RUN, [store]);
  const [{ code, message }] = stranger.lines as [{ code: string; message: string }];
  assert.match(code, /^ERR_STORE_/, message);
  assert.match(message, /certificate/i);
});

/** The rules of the user that docs/redis.md makes. */
function documentedRules(): string[] {
  const page = readFileSync(join(fileURLToPath(import.meta.url), "..", "..", "..", "docs", "redis.md"), "utf8");
  const line = /ACL SETUSER \S+ (.+)/.exec(page)?.[1];
  assert.ok(line !== undefined, "docs/redis.md has a line that begins with ACL SETUSER");
  return line.split(/\s+/).filter((rule) => rule !== "on" && !rule.startsWith(">"));
}

test("the rules of the documentation are enough for everything", options, async (t) => {
  const server = await redisFor(t);
  await server.call("ACL", "SETUSER", "app", "on", ">s3cret", ...documentedRules());
  await server.call("ACL", "LOG", "RESET");
  const master = masterFor(t, { store: `redis://app:s3cret@127.0.0.1:${server.port}/0` });
  const queue = queueOf(t, master);
  const events: string[] = [];
  master.on("task:completed", ({ jobId }) => events.push(jobId));
  const agentType = agentFor(t, async (input, { log, progress }) => {
    await log("a line");
    await progress({ half: true });
    return input;
  });
  const failing = agentFor(t, () => Promise.reject(new Error("no")));
  assert.equal(await master.run({ agentType, input: 1 }), 1);
  assert.equal((await master.waitForJob(await master.spawn({ agentType: failing, attempts: 2 }))).success, false);
  const delayed = await master.spawn({ agentType, delay: 3_600_000, jobId: "later", priority: 2 });
  await queue.promote(delayed);
  await soon("the result", master.waitForJob(delayed));
  await queue.retry(delayed);
  await soon("the second result", master.waitForJob(delayed));
  const waiting = await master.spawn({ agentType: "nobody" });
  await master.cancel(waiting);
  await queue.pause();
  await queue.resume();
  await queue.list({ state: "completed" });
  await queue.logs(delayed);
  await queue.workers();
  await queue.queues();
  await queue.drain({ delayed: true });
  await queue.clean({ state: "cancelled" });
  await queue.remove(delayed);
  await master.stop();
  await queue.obliterate({ force: true });
  const refused = await server.call<unknown[]>("ACL", "LOG");
  assert.deepEqual(refused, [], "nothing was refused behind the scenes");
  assert.ok(events.length > 0);
});

test("sentinels that ask for a password of their own", options, async (t) => {
  const password = "of-redis";
  const group = await sentinelFor(t, { persistence: "everysec", password, sentinelPassword: "of-sentinels" });
  const agentType = agentFor(t, (text) => String(text).toUpperCase());
  const master = masterFor(t, { store: group.url });
  assert.equal(await soon("the result", master.run({ agentType, input: "hello" })), "HELLO");
  assert.ok(!(await master.health()).store.includes("of-"), "no password is shown");
  const wrong = masterFor(t, { store: group.url.replace("of-sentinels", "wrong"), autostart: false });
  await assert.rejects(wrong.spawn({ agentType }), ({ code, message }: MasterAgentError) => {
    assert.ok(code === "ERR_STORE_DENIED" && !message.includes("wrong"), `${code}: ${message}`);
    return true;
  });
});
