/** What docker/ holds does what it says, as far as that can be seen without Docker: its steps are run by hand in a clean folder. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { startRedis } from "../../scripts/lib/redis.mjs";
import { afterwards } from "../helpers/cleanup.ts";
import { PATIENCE } from "../helpers/long.ts";
import { folderFor } from "../helpers/place.ts";
import { Program } from "../helpers/program.ts";
import { redisFor, Server, withoutRedis } from "../helpers/redis.ts";
import { linkOrCopy, root, run, Scratch } from "./project.ts";

const scratch = new Scratch();
after(() => scratch.remove());

const docker = join(root, "docker");
const read = (name: string): string => readFileSync(join(docker, name), "utf8");

/** The instructions of the Dockerfile, without comments. */
const steps = read("Dockerfile")
  .split("\n")
  .flatMap((line) => {
    const [, name, rest] = /^([A-Z]+) (.+)$/.exec(line) ?? [];
    return name === undefined || rest === undefined ? [] : [{ name, rest }];
  });
const argumentsOf = (name: string): string[] => JSON.parse(steps.find((step) => step.name === name)?.rest ?? "[]") as string[];

test("redis.conf suits a server that keeps jobs, and the health check tells when it serves", {
  skip: withoutRedis,
}, async (t) => {
  const folder = folderFor(t);
  const file = join(folder, "redis.conf");
  writeFileSync(file, read("redis.conf").replace(/^dir .*$/m, ""));
  const process = await startRedis({ folder, args: [file, "--requirepass", "secret"] });
  const server = new Server(process, "secret");
  afterwards(t, () => server.end());
  const setting = async (name: string) => (await server.call<string[]>("CONFIG", "GET", name))[1];
  assert.equal(await setting("maxmemory-policy"), "noeviction");
  assert.equal(await setting("appendonly"), "yes");
  assert.equal(await setting("save"), "3600 1 300 100 60 10000");
  const compose = read("compose.yml");
  const [, check] = /"CMD-SHELL", "(.+)"\]/.exec(compose) ?? [];
  assert.ok(check !== undefined);
  const healthy = (port: number) =>
    run("sh", ["-c", check.replace("redis-cli", `redis-cli -p ${port}`)], scratch.folder, { REDISCLI_AUTH: "secret" }).code;
  assert.equal(healthy(server.port), 0);
  await server.end();
  assert.notEqual(healthy(server.port), 0);
});

test("the variables of compose.yml are in .env.example, or have a default", () => {
  const example = read(".env.example");
  const compose = read("compose.yml").replaceAll(/^\s*#.*$/gm, "");
  const names = [...compose.matchAll(/\$\{(\w+)(:-)?/g)].filter(([, , fallback]) => fallback === undefined);
  assert.ok(names.length > 0);
  for (const [, name] of names) {
    assert.match(example, new RegExp(`^${name}=`, "m"));
  }
});

test("the steps of the Dockerfile give workers that share the work and end in an orderly way", {
  skip: withoutRedis || (process.platform === "win32" ? "the image is of Linux" : false),
  timeout: 4 * PATIENCE,
}, async (t) => {
  const packages = join(scratch.folder, "packages");
  const app = join(scratch.folder, "app");
  mkdirSync(packages);
  mkdirSync(app);
  const tarballs = [scratch.packMain(), await scratch.packPlatform(), scratch.packModel()];
  const manifest = JSON.parse(read("app/package.json")) as { dependencies: Record<string, string> };
  assert.deepEqual(Object.keys(manifest.dependencies), ["master-agent"]);
  // What is not published yet comes from here.
  const dependencies = Object.fromEntries(tarballs.map(({ path, name }) => [name, `file:${path}`]));
  writeFileSync(join(packages, "package.json"), JSON.stringify({ ...manifest, dependencies }));
  const [install] = steps.filter(({ name, rest }) => name === "RUN" && rest.includes("npm"));
  assert.ok(install !== undefined);
  const offline = { npm_config_offline: "true", npm_config_cache: join(scratch.folder, "cache") };
  const installed = run("sh", ["-c", install.rest], packages, offline);
  assert.equal(installed.code, 0, installed.stdout + installed.stderr);
  for (const { stands } of tarballs) {
    if (stands !== undefined) {
      linkOrCopy(stands.for, join(packages, "node_modules", stands.package, stands.file));
    }
  }
  assert.ok(steps.some(({ name, rest }) => name === "COPY" && rest === "--from=packages /app/node_modules ./node_modules"));
  cpSync(join(packages, "node_modules"), join(app, "node_modules"), { recursive: true });
  assert.ok(steps.some(({ name, rest }) => name === "COPY" && rest === "app/ ./"));
  cpSync(join(docker, "app"), app, { recursive: true });

  const server = await redisFor(t, { persistence: "everysec" });
  const env = {
    REDIS_URL: server.url,
    WORKER_CONCURRENCY: "20",
    APP_DATA_DIR: join(scratch.folder, "data"),
    NODE_ENV: "production",
  };
  const [node, ...entry] = argumentsOf("ENTRYPOINT");
  assert.equal(node, "node");
  const workers = [1, 2].map(() => new Program([...entry, ...argumentsOf("CMD")], { cwd: app, env }));
  for (const worker of workers) {
    afterwards(t, () => worker.kill("SIGKILL"));
  }
  const added = await new Program(["add.js"], { cwd: app, env }).ended;
  assert.equal(added.code, 0, added.stderr);
  const shares = JSON.parse(added.stdout) as Record<string, number>;
  assert.equal(shares["failed"], undefined, added.stdout);
  assert.equal(
    Object.values(shares).reduce((sum, share) => sum + share, 0),
    100,
  );
  assert.ok((await server.call<number>("DBSIZE")) > 0, "the jobs were in Redis");
  for (const worker of workers) {
    assert.deepEqual([(await worker.killUntilEnd("SIGTERM")).code, worker.stderr], [0, ""]);
  }
});
