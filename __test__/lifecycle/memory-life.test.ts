/** Memories that are opened, left and ended in every way: nothing leaks, processes end by themselves, and what was acknowledged stays. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { textOf } from "../fixtures/memory-words.mjs";
import { script } from "../helpers/child.ts";
import { PATIENCE, size } from "../helpers/long.ts";
import { memoryFor } from "../helpers/memory-hold.ts";
import { folderFor } from "../helpers/place.ts";
import { root } from "../helpers/program.ts";

const words = pathToFileURL(join(root, "__test__", "fixtures", "memory-words.mjs")).href;
const PRELUDE = `
  const { wordEmbedding, textOf, CHUNKING } = await import(${JSON.stringify(words)});
  const open = (path, more = {}) => new api.Memory({ path, embedding: wordEmbedding(api), chunking: CHUNKING, ...more });
`;
const onLinux = process.platform === "linux" ? false : "counts what /proc shows";
/** Megabytes that a process may grow once it is warm. */
const GROWTH = 64;

test("memories that are opened, searched and closed leave nothing behind", {
  skip: onLinux,
  timeout: 10 * PATIENCE,
}, async (t) => {
  const source = `${PRELUDE}
    import { readdirSync } from "node:fs";
    const held = () => [readdirSync("/proc/self/fd").length, readdirSync("/proc/self/task").length];
    const once = async (n) => {
      // Every other one with the model of the package.
      const memory = n % 2 === 0 ? open(args[0] + "/words") : new api.Memory({ path: args[0] + "/model" });
      await memory.add({ id: "d" + (n % 20), text: textOf("d" + (n % 20), n), metadata: { n } });
      if ((await memory.search("quiet harbour", { filter: { n: { gte: 0 } } })).length === 0) throw new Error("nothing is found");
      await memory.close();
    };
    const warm = Math.max(10, args[1] / 5);
    for (let n = 0; n < warm; n++) await once(n);
    globalThis.gc();
    const before = held(), small = process.memoryUsage.rss();
    for (let n = 0; n < args[1]; n++) await once(n);
    let after = held();
    for (const end = Date.now() + 30_000; after.some((count, index) => count > before[index] + 2) && Date.now() < end; after = held()) {
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    globalThis.gc();
    say({ before, after, grown: Math.round((process.memoryUsage.rss() - small) / 1e6) });
  `;
  const end = await script(t, source, [folderFor(t), size(30, 300)], { execArgv: ["--expose-gc"], limit: 8 * PATIENCE });
  assert.deepEqual([end.code, end.stderr], [0, ""]);
  const { before, after, grown } = end.lines[0] as { before: number[]; after: number[]; grown: number };
  t.diagnostic(`files and threads ${before} → ${after}, ${grown} MB more`);
  after.forEach((count, index) => {
    assert.ok(count <= (before[index] as number) + 2, `open files and threads: ${JSON.stringify(end.lines[0])}`);
  });
  assert.ok(grown < GROWTH, `${grown} MB`);
});

test("memories that nobody closes are let go when they are collected", { skip: onLinux, timeout: 5 * PATIENCE }, async (t) => {
  const source = `${PRELUDE}
    import { readdirSync } from "node:fs";
    const files = () => readdirSync("/proc/self/fd").length;
    const once = async (n) => { const memory = open(args[0] + "/" + (n % 4)); await memory.add({ id: "d" + n, text: textOf("d" + n, 1) }); await memory.search("harbour"); };
    for (let n = 0; n < 8; n++) await once(n);
    const before = files();
    for (let n = 0; n < args[1]; n++) await once(n);
    let least = files();
    for (const end = Date.now() + 60_000; least > before + 4 && Date.now() < end; least = Math.min(least, files())) { globalThis.gc(); await new Promise((resolve) => setTimeout(resolve, 20)); }
    say({ before, least });
  `;
  const end = await script(t, source, [folderFor(t), size(24, 400)], { execArgv: ["--expose-gc"], limit: 4 * PATIENCE });
  assert.deepEqual([end.code, end.stderr], [0, ""]);
  const { before, least } = end.lines[0] as { before: number; least: number };
  assert.ok(least <= before + 4, JSON.stringify(end.lines[0]));
});

const THREAD = `
  const { parentPort, workerData } = require("node:worker_threads");
  const { Memory, createEmbeddingFunction } = require(workerData.entry);
  (async () => {
    const { wordEmbedding, textOf, CHUNKING } = await import(workerData.words);
    const embedding = workerData.kind === "model" ? undefined : wordEmbedding({ createEmbeddingFunction });
    const memory = new Memory({ path: workerData.path, chunking: CHUNKING, ...(embedding ? { embedding } : {}), collection: embedding ? "words" : "model" });
    for (let n = 0; ; n++) {
      const id = "d" + (workerData.number * 1000 + n);
      await memory.add({ id, text: textOf(id, 1), metadata: {} });
      parentPort.postMessage(id);
      if (workerData.kind === "search") await memory.search("harbour", { limit: 50 });
      if (workerData.kind === "optimize" && n % 5 === 0) await memory.optimize();
      if (workerData.kind === "close" && n === 3) return memory.close();
      if (workerData.kind === "leave" && n === 3) return;
      if (workerData.kind === "throw" && n === 3) throw new Error("on purpose");
      if (workerData.kind === "exit" && n === 3) process.exit(0);
    }
  })().catch((error) => { if (error.message !== "on purpose") parentPort.postMessage({ error: String(error.stack) }); throw error; });
`;

test("threads that use memory are terminated at any moment", { timeout: 10 * PATIENCE }, async (t) => {
  const source = `${PRELUDE}
    import { Worker } from "node:worker_threads";
    const [path, entry, code, words, rounds, seed] = args;
    const kinds = ["search", "optimize", "model", "close", "leave", "throw", "exit", "add"];
    let state = seed;
    const random = () => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648;
    const acknowledged = { words: new Set(), model: new Set() };
    const errors = [];
    const running = [];
    let ended = 0;
    for (let number = 0; number < rounds; number++) {
      const kind = kinds[number % kinds.length];
      const thread = new Worker(code, { eval: true, execArgv: [], workerData: { path, entry, words, kind, number }, stdout: true, stderr: true });
      const told = new Promise((resolve) => {
        thread.on("message", (message) => { resolve(); if (typeof message === "string") acknowledged[kind === "model" ? "model" : "words"].add(message); else errors.push(message.error); });
        thread.on("exit", resolve);
      });
      thread.on("error", (error) => { if (error.message !== "on purpose") errors.push(String(error.stack)); });
      const over = new Promise((resolve) => thread.on("exit", () => { ended += 1; resolve(); }));
      running.push({ thread, told, over });
      if (running.length > 2) {
        const [victim] = running.splice(Math.floor(random() * running.length), 1);
        if (number % 3 !== 0) await victim.told;
        await new Promise((resolve) => setTimeout(resolve, random() * 80));
        await victim.thread.terminate();
        await victim.over;
      }
    }
    await Promise.all(running.map(async ({ thread, told, over }) => { await told; await thread.terminate(); await over; }));
    const lost = [];
    for (const [name, ids] of Object.entries(acknowledged)) {
      const memory = name === "words" ? open(path, { collection: name }) : new api.Memory({ path, collection: name });
      const found = await memory.getMany([...ids]);
      [...ids].forEach((id, index) => { if (found[index]?.text !== textOf(id, 1)) lost.push(id); });
      await memory.add("The harbour after all.");
      const listed = [];
      for await (const { id } of memory.documents()) listed.push(id);
      if (new Set(listed).size !== listed.length || (await memory.count()) !== listed.length) lost.push("twice");
      await memory.optimize();
      if ((await memory.search("harbour", { limit: 1000, mode: "text" })).length !== listed.length) lost.push("search");
    }
    say({ errors: errors.slice(0, 3), lost, ended, some: acknowledged.words.size > 0 });
  `;
  const rounds = size(10, 200);
  const seed = Math.floor(Math.random() * 2 ** 30);
  const end = await script(t, source, [folderFor(t), join(root, "index.js"), THREAD, words, rounds, seed], {
    limit: 8 * PATIENCE,
  });
  assert.deepEqual(
    [end.code, end.signal, end.lines],
    [0, null, [{ errors: [], lost: [], ended: rounds, some: true }]],
    `seed ${seed}: ${end.stderr}`,
  );
  assert.doesNotMatch(end.stderr, /panicked/);
});

/** How long a script lives after its last line, at best: a machine that others use may be late. */
async function lingering(t: TestContext, source: string): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < 3 && best > 1_000; attempt++) {
    let done = 0;
    const end = await script(t, source, [folderFor(t)], { onLine: () => (done = Date.now()) });
    assert.deepEqual([end.code, end.signal, end.stderr, end.lines.at(-1)], [0, null, "", "done"]);
    best = Math.min(best, Date.now() - done);
  }
  return best;
}

test("a script ends by itself within a second, whatever it leaves open", { timeout: 5 * PATIENCE }, async (t) => {
  const scripts: Record<string, string> = {
    "nothing was used": "new api.Memory({ path: args[0] }); say('done');",
    "the model of the package, no close": `
      const memory = new api.Memory({ path: args[0] });
      await memory.addMany(Array.from({ length: 30 }, (_, n) => "The harbour number " + n));
      if ((await memory.search("quiet harbour")).length !== 5) throw new Error("not found");
      say("done");`,
    "functions of the module": `
      process.env.LANCEDB_PATH = args[0];
      await api.addRAGDocument("Some fact or note.", { source: "user" });
      const [hit] = await api.ragRetrieve("relevant query", { limit: 5 });
      if (hit.text !== "Some fact or note.") throw new Error("not found");
      say("done");`,
    "many writes, and upkeep that is due": `${PRELUDE}
      const memory = open(args[0]);
      await memory.addMany(Array.from({ length: 3000 }, (_, n) => ({ id: "d" + n, text: textOf("d" + n, 1) })));
      await Promise.all(Array.from({ length: 40 }, (_, n) => memory.add({ id: "e" + n, text: textOf("e" + n, 1) })));
      say("done");`,
    "an embedding function alone": `await api.createEmbeddingFunction().embedOne("a"); say("done");`,
    closed: `const memory = new api.Memory({ path: args[0] }); await memory.add("a"); await memory.close(); say("done");`,
  };
  for (const [what, source] of Object.entries(scripts)) {
    const late = await lingering(t, source);
    assert.ok(late <= 1_000, `${what}: ended after ${late} ms`);
  }
});

test("calls that nobody waits for are done before a script ends", async (t) => {
  const folder = folderFor(t);
  const source = `${PRELUDE} const memory = open(args[0]); for (let n = 0; n < 5; n++) void memory.add({ id: "d" + n, text: textOf("d" + n, 1) });`;
  const end = await script(t, source, [folder]);
  assert.deepEqual([end.code, end.stderr], [0, ""]);
  await using memory = memoryFor(t, folder);
  assert.equal(await memory.count(), 5);
});

/** Adds without end, and tells what was acknowledged. */
const ADDING = `${PRELUDE}
  const memory = open(args[0]);
  let number = 0;
  const lane = async () => { for (;;) { const id = "d" + number++; await memory.add({ id, text: textOf(id, 1), metadata: {} }); say(id); if (number % 10 === 0) void memory.optimize().catch(() => {}); } };
  const lanes = Array.from({ length: 6 }, lane);
`;

test("process.exit, a signal or an exception in the middle: what was acknowledged is there", {
  timeout: 5 * PATIENCE,
}, async (t) => {
  const ways: [string, string, number | null, NodeJS.Signals | null][] = [
    ["process.exit", "setTimeout(() => process.exit(3), args[1]);", 3, null],
    ["an exception", "setTimeout(() => { throw new Error('on purpose'); }, args[1]);", 1, null],
    ["a rejection", "setTimeout(() => { void Promise.reject(new Error('on purpose')); }, args[1]);", 1, null],
    ["SIGTERM", "setTimeout(() => process.kill(process.pid, 'SIGTERM'), args[1]);", null, "SIGTERM"],
    ["SIGINT", "setTimeout(() => process.kill(process.pid, 'SIGINT'), args[1]);", null, "SIGINT"],
    [
      "process.exit with the model at work",
      "void new api.Memory({ path: args[0] }).embedBatch(Array.from({ length: 500 }, (_, n) => textOf('d' + n, n))); setTimeout(() => process.exit(3), args[1]);",
      3,
      null,
    ],
  ];
  for (let round = 0; round < size(1, 20); round++) {
    for (const [what, source, code, signal] of ways) {
      const folder = folderFor(t);
      const end = await script(t, `${ADDING}${source} await Promise.all(lanes);`, [folder, Math.round(Math.random() * 600)]);
      assert.deepEqual([end.code, end.signal], [code, signal], `${what}: ${end.stderr}`);
      assert.doesNotMatch(end.stderr, /panicked|fatal/i, what);
      await using memory = memoryFor(t, folder, { maintenance: false });
      const ids = end.lines as string[];
      const found = await memory.getMany(ids);
      ids.forEach((id, index) => {
        assert.equal(found[index]?.text, textOf(id, 1), `${what}: ${id} was acknowledged`);
      });
      const listed: string[] = [];
      for await (const { id } of memory.documents()) {
        listed.push(id);
      }
      assert.equal(new Set(listed).size, listed.length, what);
      await memory.add("The harbour after all.");
      assert.equal((await memory.search("harbour", { mode: "text", limit: 1_000 })).length, listed.length + 1, what);
    }
  }
});

test("close in every order, twice, and with calls under way", { timeout: 2 * PATIENCE }, async (t) => {
  const folder = folderFor(t);
  for (let round = 0; round < size(3, 50); round++) {
    const memory = memoryFor(t, folder);
    const calls = [
      memory.add({ id: `d${round}`, text: textOf(`d${round}`, 1) }),
      memory.search("harbour"),
      memory.optimize(),
      memory.count(),
    ];
    const closing = [memory.close(), memory.close()];
    const after = await Promise.allSettled([memory.add("late"), memory.search("harbour")]);
    for (const one of after) {
      assert.ok(one.status === "rejected" && (one.reason as { code: string }).code === "ERR_CLOSED");
    }
    for (const one of await Promise.allSettled(calls)) {
      assert.ok(one.status === "fulfilled" || (one.reason as { code: string }).code === "ERR_CLOSED", String(Object.values(one)));
    }
    await Promise.all(closing);
    await memory.close();
    assert.ok(memory.closed);
  }
  await using memory = memoryFor(t, folder);
  assert.ok((await memory.count()) <= 3 + 50);
});
