/** A store that cannot be used: a coded error that names the path, no crash, nothing accepted lost, and it heals. */
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { MasterAgent, type MasterAgentError, type MasterAgentOptions } from "master-agent";
import { script, workerProcess } from "../helpers/child.ts";
import { afterwards } from "../helpers/cleanup.ts";
import { CANNOT_MOUNT, enlarge, isLinux, isRoot, NOBODY, smallDisk } from "../helpers/faults.ts";
import { PATIENCE } from "../helpers/long.ts";
import { agentFor, masterFor, queueOf } from "../helpers/masters.ts";
import { folderFor } from "../helpers/place.ts";
import { soon, until } from "../helpers/until.ts";

function has(program: string): boolean {
  return spawnSync(program, ["--version"], { stdio: "ignore" }).status === 0;
}

/** Every kind of call fails with the code and names the path; none of them hangs or crashes. */
async function allFail(
  t: TestContext,
  store: string,
  codes: string[],
  path = store,
  options: MasterAgentOptions = {},
): Promise<void> {
  const master = masterFor(t, { store, autostart: false, ...options });
  const queue = queueOf(t, master);
  const calls: Record<string, () => Promise<unknown>> = {
    spawn: () => master.spawn({ agentType: "nobody" }),
    spawnParallel: () => master.spawnParallel([{ agentType: "nobody" }]),
    run: () => master.run({ agentType: "nobody" }),
    status: () => master.status("1"),
    cancel: () => master.cancel("1"),
    waitForKey: () => master.waitForJob("some-key"),
    counts: () => queue.counts(),
    list: () => queue.list(),
    pause: () => queue.pause(),
    start: () => master.start(),
  };
  for (const [name, call] of Object.entries(calls)) {
    await assert.rejects(soon(name, call()), (error: MasterAgentError) => {
      assert.ok(codes.includes(error.code), `${name}: ${error.code}: ${error.message}`);
      assert.ok(error.message.includes(path), `${name} names ${path}: ${error.message}`);
      return true;
    });
  }
  await soon("close", master.close());
}

/** The file of the store, after it was made and closed. */
async function madeStore(t: TestContext, tasks = 50): Promise<{ folder: string; file: string }> {
  const folder = folderFor(t);
  const master = masterFor(t, { store: folder, autostart: false });
  await master.spawnParallel(
    Array.from({ length: tasks }, (_, n) => ({ agentType: "kept", input: "x".repeat(200), jobId: `job-${n}` })),
  );
  await master.close();
  return { folder, file: join(folder, "state.db") };
}

/** A program that fills the store until it is full, says what was accepted, and goes on when there is room again. */
const FILLER = `
  const { folder, count } = args[0];
  api.registerSubAgent({ agentType: "later", run: () => new Promise((resolve) => { globalThis.finish = resolve; }) });
  const master = new api.MasterAgent({ store: folder });
  const health = [];
  master.on("health", ({ error }) => health.push(error?.code ?? null));
  const running = await master.spawn({ agentType: "later" });
  while (globalThis.finish === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
  const accepted = [];
  let failure;
  for (let n = 0; n < count && failure === undefined; n++) {
    try {
      const handles = await master.spawnParallel(Array.from({ length: 10 }, (_, i) => ({ agentType: "kept", input: "x".repeat(5_000), jobId: "job-" + n + "-" + i })));
      accepted.push(...handles.map(({ jobId }) => jobId));
    } catch (error) {
      failure = { code: error.code, message: error.message, retryable: error.retryable, master: error instanceof api.MasterAgentError };
    }
  }
  // What runs ends while there is no room.
  globalThis.finish("done");
  say({ failure, accepted: accepted.length });
  let healed;
  for (const end = Date.now() + 60_000; healed === undefined && Date.now() < end; ) {
    try { healed = await master.spawn({ agentType: "kept" }); } catch { await new Promise((resolve) => setTimeout(resolve, 50)); }
  }
  const queue = api.getTaskQueue({ store: folder });
  const kept = await queue.getMany(accepted);
  const result = await master.waitForJob(running, { timeout: 60_000 });
  say({ healed: healed !== undefined, lost: kept.filter((job) => job === null).length, result: result.output, attempts: result.attempts, health });
  await master.close();
  await queue.close();
`;

interface Full {
  failure?: { code: string; message: string; retryable: boolean; master: boolean };
  accepted: number;
}

function heals(end: { code: number | null; lines: unknown[]; stderr: string }, folder: string, codes: string[]): void {
  assert.equal(end.code, 0, end.stderr);
  assert.equal(end.stderr, "");
  const [full, after] = end.lines as [Full, Record<string, unknown>];
  assert.ok(full.failure !== undefined, "it was full at some time");
  assert.ok(full.accepted > 0);
  assert.ok(codes.includes(full.failure.code), full.failure.message);
  assert.ok(full.failure.master && full.failure.retryable && full.failure.message.includes(folder), full.failure.message);
  const { health, ...rest } = after;
  assert.deepEqual(rest, { healed: true, lost: 0, result: "done", attempts: 1 });
  assert.equal((health as unknown[]).at(-1) ?? null, null, "it works again");
}

test("a full disk", {
  skip: CANNOT_MOUNT,
  timeout: 4 * PATIENCE,
}, async (t) => {
  const folder = folderFor(t);
  if (!smallDisk(t, folder)) {
    return;
  }
  const end = await script(t, FILLER, [{ folder, count: 10_000 }], {
    onLine: (line) => {
      if (line.includes("failure")) {
        enlarge(folder);
      }
    },
  });
  heals(end, folder, ["ERR_STORE_FULL"]);
});

test("a file that may not grow any more", {
  skip: isLinux && has("prlimit") ? false : "limits of a process are set with prlimit of Linux",
  timeout: 4 * PATIENCE,
}, async (t) => {
  const folder = folderFor(t);
  const end = await script(t, FILLER, [{ folder, count: 10_000 }], {
    through: ["prlimit", "--fsize=4000000:unlimited"],
    onLine: (line, child) => {
      if (line.includes("failure")) {
        execFileSync("prlimit", ["--pid", String(child.pid), "--fsize=unlimited:unlimited"]);
      }
    },
  });
  heals(end, folder, ["ERR_STORE_FULL", "ERR_STORE_FAILED"]);
});

test("a folder and a file that may not be written", {
  skip: isRoot ? false : "the owner is changed, which needs root",
}, async (t) => {
  const source = `
    const master = new api.MasterAgent({ store: args[0], autostart: false });
    for (const call of [() => master.spawn({ agentType: "a" }), () => master.status("1"), () => master.start()]) {
      try { await call(); say("no error"); } catch (error) { say([error.code, error.message]); }
    }
    await master.close();
  `;
  const check = async (store: string, codes: string[]) => {
    const end = await script(t, source, [store], { uid: NOBODY });
    assert.equal(end.code, 0, end.stderr);
    for (const [code, message] of end.lines as [string, string][]) {
      assert.ok(codes.includes(code), `${code}: ${message}`);
      assert.ok(message.includes(store), message);
    }
    assert.equal(end.lines.length, 3);
  };
  const { folder, file } = await madeStore(t);
  chmodSync(folder, 0o755);
  await check(folder, ["ERR_STORE_READ_ONLY"]);
  chmodSync(folder, 0o777);
  chmodSync(file, 0o444);
  await check(folder, ["ERR_STORE_READ_ONLY"]);
  const above = folderFor(t);
  chmodSync(above, 0o555);
  await check(join(above, "store"), ["ERR_STORE_READ_ONLY"]);
  const closed = folderFor(t);
  mkdirSync(join(closed, "store"));
  chmodSync(closed, 0o700);
  await check(join(closed, "store"), ["ERR_STORE_READ_ONLY", "ERR_STORE_OPEN"]);
  // With its rights back, it works.
  for (const part of ["", "state.db", "state.db-wal", "state.db-shm", "wake"]) {
    if (existsSync(join(folder, part))) {
      chownSync(join(folder, part), NOBODY, NOBODY);
      chmodSync(join(folder, part), part.startsWith("state") ? 0o600 : 0o700);
    }
  }
  const end = await script(
    t,
    `const m = new api.MasterAgent({ store: args[0] }); say((await m.status("job-7"))?.state); await m.close();`,
    [folder],
    {
      uid: NOBODY,
    },
  );
  assert.deepEqual(end.lines, ["waiting"], end.stderr);
});

test("a file of garbage", async (t) => {
  const folder = folderFor(t);
  writeFileSync(join(folder, "state.db"), Buffer.alloc(100_000, "garbage! "));
  await allFail(t, folder, ["ERR_STORE_CORRUPT"]);
  assert.equal(readFileSync(join(folder, "state.db"), "utf8").slice(0, 8), "garbage!", "it was not touched");
});

test("a file that was cut off, overwritten in the middle or at its head", { timeout: 4 * PATIENCE }, async (t) => {
  const damages: [string, (file: string, size: number) => void][] = [
    ["cut in the middle of a page", (file, size) => truncateSync(file, Math.floor(size / 2) + 100)],
    ["cut after the first page", (file) => truncateSync(file, 4_096)],
    ["cut to ten bytes", (file) => truncateSync(file, 10)],
    ["head", (file) => overwrite(file, 0, 4_096)],
    ["second page", (file) => overwrite(file, 4_096, 4_096)],
    ["all but the head", (file, size) => overwrite(file, 4_096, size - 4_096)],
  ];
  for (const [what, damage] of damages) {
    const { folder, file } = await madeStore(t, 500);
    damage(file, readFileSync(file).length);
    const master = masterFor(t, { store: folder });
    const queue = queueOf(t, master);
    const found = new Set<string>();
    for (const call of [
      () => queue.counts(),
      () => queue.list({ limit: 1_000 }),
      () => master.status("job-250"),
      () => master.spawn({ agentType: "kept" }),
      () => queue.drain(),
      () => master.start(),
    ]) {
      try {
        await soon<unknown>(what, call());
        found.add("fine");
      } catch (error) {
        const { code, message } = error as MasterAgentError;
        found.add(code);
        assert.equal(code, "ERR_STORE_CORRUPT", `${what}: ${message}`);
        assert.ok(message.includes(file), `${what}: ${message}`);
      }
    }
    assert.ok(found.has("ERR_STORE_CORRUPT"), `${what} was noticed`);
    await soon("close", master.close());
  }
});

function overwrite(file: string, from: number, length: number): void {
  const bytes = readFileSync(file);
  bytes.fill(0xa5, from, from + length);
  writeFileSync(file, bytes);
}

test("a log of other content beside the file", async (t) => {
  const { folder, file } = await madeStore(t);
  writeFileSync(`${file}-wal`, Buffer.alloc(50_000, 0xa5));
  const master = masterFor(t, { store: folder, autostart: false });
  assert.equal((await queueOf(t, master).counts()).waiting, 50, "what is not a log is not taken for one");
  await master.spawn({ agentType: "kept" });
});

test("a database of another program", {
  skip: has("python3") || has("sqlite3") ? false : "neither python3 nor sqlite3 is here",
}, async (t) => {
  const folder = folderFor(t);
  const file = join(folder, "state.db");
  sqlite(file, "CREATE TABLE customers (id INTEGER, name TEXT); INSERT INTO customers VALUES (1, 'Ada');");
  const before = readFileSync(file);
  await allFail(t, folder, ["ERR_STORE_CORRUPT"]);
  assert.deepEqual(readFileSync(file), before, "it was not touched");
});

test("a store of a newer version", {
  skip: has("python3") || has("sqlite3") ? false : "neither python3 nor sqlite3 is here",
}, async (t) => {
  const { folder, file } = await madeStore(t);
  sqlite(file, "PRAGMA user_version = 9999;");
  await allFail(t, folder, ["ERR_STORE_VERSION"]);
});

function sqlite(file: string, sql: string): void {
  if (has("python3")) {
    execFileSync("python3", [
      "-c",
      "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.close()",
      file,
      sql,
    ]);
  } else {
    execFileSync("sqlite3", [file, sql]);
  }
}

test("a lock of another program", { skip: has("python3") ? false : "python3 is not here", timeout: 4 * PATIENCE }, async (t) => {
  const { folder, file } = await madeStore(t);
  const lock = spawn("python3", [
    "-c",
    "import sqlite3,sys; c=sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); sys.stdin.read()",
    file,
  ]);
  afterwards(t, () => lock.kill("SIGKILL"));
  await soon("the lock", new Promise((resolve) => lock.stdout.once("data", resolve)));
  const master = masterFor(t, { store: folder });
  const agentType = agentFor(t, (input) => input);
  await assert.rejects(soon("spawn", master.spawn({ agentType })), (error: MasterAgentError) => {
    assert.deepEqual([error.code, error.retryable], ["ERR_STORE_LOCKED", true]);
    assert.ok(error.message.includes(file), error.message);
    return true;
  });
  lock.kill("SIGKILL");
  assert.equal(await soon("the work", master.run({ agentType, input: "free" })), "free");
  assert.equal((await queueOf(t, master).counts()).waiting, 50);
});

test("a missing folder is made, with all above it", async (t) => {
  const store = join(folderFor(t), "a", "b c", "ü", "store");
  const master = masterFor(t, { store });
  const agentType = agentFor(t, (input) => input);
  assert.equal(await master.run({ agentType, input: 1 }), 1);
  assert.ok(existsSync(join(store, "state.db")));
});

test("a file in the place of the folder, or of one above it", async (t) => {
  const file = join(folderFor(t), "file");
  writeFileSync(file, "");
  await allFail(t, file, ["ERR_STORE_OPEN"]);
  await allFail(t, join(file, "store"), ["ERR_STORE_OPEN"], file);
});

test("a folder in the place of the file", async (t) => {
  const folder = folderFor(t);
  mkdirSync(join(folder, "state.db"));
  await allFail(t, folder, ["ERR_STORE_OPEN", "ERR_STORE_READ_ONLY"]);
});

test("a folder that is removed while it is in use", { timeout: 4 * PATIENCE }, async (t) => {
  const folder = join(folderFor(t), "store");
  const worker = await workerProcess(t, { folder, agents: { echo: {} } });
  const master = masterFor(t, { store: folder });
  const queue = queueOf(t, master);
  const agentType = agentFor(t, (input) => input);
  assert.equal(await master.run({ agentType, input: 1 }), 1);
  assert.equal(await master.run({ agentType: "echo", input: 1 }), 1);
  rmSync(folder, { recursive: true, force: true });
  // Until it is noticed calls may fail, each with a code; then there is a new, empty store.
  const coded = async <T>(call: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await soon("an answer", call());
    } catch (error) {
      assert.match((error as MasterAgentError).code, /^ERR_(STORE_|JOB_NOT_FOUND|WAIT_TIMEOUT)/, String(error));
      return undefined;
    }
  };
  await until("tasks run again", async () => (await coded(() => master.run({ agentType, input: 2 }, { timeout: 500 }))) === 2);
  await until(
    "tasks run again in the other process",
    async () => (await coded(() => master.run({ agentType: "echo", input: 3 }, { timeout: 500 }))) === 3,
  );
  assert.ok(existsSync(join(folder, "state.db")));
  await until("it can be read again", () => coded(() => queue.counts()));
  assert.ok(worker.alive);
});

test("a folder that is moved away and back loses nothing", { timeout: 4 * PATIENCE }, async (t) => {
  const above = folderFor(t);
  const folder = join(above, "store");
  const { jobId } = await (async () => {
    await using master = new MasterAgent({ store: folder, autostart: false });
    return await master.spawn({ agentType: "kept", input: "mine" });
  })();
  renameSync(folder, join(above, "elsewhere"));
  await using other = new MasterAgent({ store: folder, autostart: false });
  assert.equal(await other.status(jobId), null);
  await other.close();
  rmSync(folder, { recursive: true });
  renameSync(join(above, "elsewhere"), folder);
  await using master = new MasterAgent({ store: folder, autostart: false });
  assert.equal((await master.status(jobId))?.input, "mine");
});

test("stop and close end in time while the store cannot be used", {
  skip: has("python3") ? false : "python3 is not here",
  timeout: 4 * PATIENCE,
}, async (t) => {
  const { folder, file } = await madeStore(t);
  const master = masterFor(t, { store: folder, autostart: false });
  let finish: ((value: unknown) => void) | undefined;
  let again = false;
  const agentType = agentFor(t, () =>
    again
      ? "done"
      : new Promise((resolve) => {
          finish = resolve;
        }),
  );
  await master.start();
  const { jobId } = await master.spawn({ agentType });
  await until("it runs", () => finish !== undefined);
  const lock = spawn("python3", [
    "-c",
    "import sqlite3,sys; c=sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); sys.stdin.read()",
    file,
  ]);
  afterwards(t, () => lock.kill("SIGKILL"));
  await soon("the lock", new Promise((resolve) => lock.stdout.once("data", resolve)));
  finish?.("done");
  await soon("the end of stop", Promise.allSettled([master.stop({ timeout: 100 })]), 30_000);
  await soon("the end of close", master.close({ timeout: 100 }), 30_000);
  // Its outcome may have come too late: then the task runs again when the store is free.
  lock.kill("SIGKILL");
  again = true;
  await using other = new MasterAgent({ store: folder, autostart: false });
  await other.start();
  assert.equal((await soon("the result", other.waitForJob(jobId))).output, "done");
});
