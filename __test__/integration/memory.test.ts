/** Memory with the real engine and the model of the package: what goes in is found, and only that. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import {
  type AnyMetadata,
  createEmbeddingFunction,
  MasterAgent,
  Memory,
  type MemoryOptions,
  registerSubAgent,
} from "master-agent";
import { script } from "../helpers/child.ts";
import { afterwards } from "../helpers/cleanup.ts";
import { folderFor } from "../helpers/place.ts";
import { until } from "../helpers/until.ts";

function memoryFor<M extends object = AnyMetadata>(t: TestContext, options: MemoryOptions<M> = {}): Memory<M> {
  const memory = new Memory<M>({ path: options.path ?? folderFor(t), ...options });
  afterwards(t, () => memory.close());
  return memory;
}

const FACTS = [
  {
    id: "lift",
    text: "The lift in the north wing is out of order until Friday.",
    metadata: { source: "user", year: 2026, floor: 3 },
  },
  {
    id: "coffee",
    text: "Coffee beans are kept in the cupboard above the sink.",
    metadata: { source: "user", year: 2024, tags: ["kitchen"] },
  },
  {
    id: "wifi",
    text: "The password of the guest network changes every month.",
    metadata: { source: "web", year: 2025, tags: ["it", "guests"] },
  },
  {
    id: "parking",
    text: "Visitors leave their cars in the garage behind the building.",
    metadata: { source: "web", year: 2020 },
  },
];
const ids = (hits: readonly { id: string }[]) => hits.map(({ id }) => id);

describe("documents", () => {
  test("what was added is found by meaning and by words", async (t) => {
    const memory = memoryFor(t);
    const added = await memory.addMany(FACTS);
    assert.deepEqual(
      added.map(({ status, chunks }) => [status, chunks]),
      FACTS.map(() => ["added", 1]),
    );
    const [hit, ...rest] = await memory.search("where can I park?", { limit: 2 });
    assert.equal(rest.length, 1);
    assert.equal(hit?.id, "parking");
    assert.equal(hit?.text, FACTS[3]?.text);
    assert.deepEqual(hit?.metadata, FACTS[3]?.metadata);
    assert.deepEqual(hit?.chunk, { index: 0, start: 0, end: FACTS[3]?.text.length });
    assert.equal(hit?.document.chunks, 1);
    assert.ok(hit.score > 0 && hit.score <= 1);
    assert.ok(Date.now() - (hit?.document.createdAt ?? 0) < 600_000);
    assert.equal(ids(await memory.search("guest network", { mode: "text" }))[0], "wifi");
    assert.equal(ids(await memory.search("elevator repair", { mode: "vector" }))[0], "lift");
    const vector = await memory.embedOne("elevator repair", { kind: "query" });
    assert.equal(ids(await memory.search(vector, { limit: 1 }))[0], "lift");
  });

  test("get, list, update, delete, and their ends", async (t) => {
    const memory = memoryFor(t);
    await memory.addMany(FACTS);
    const [coffee, none] = await memory.getMany(["coffee", "none"], { vectors: true });
    assert.equal(none, null);
    assert.equal(coffee?.text, FACTS[1]?.text);
    assert.equal(coffee?.vectors?.[0]?.length, 384);
    assert.ok(Math.abs(Math.hypot(...(coffee?.vectors?.[0] ?? [])) - 1) < 1e-3);
    const pages: string[] = [];
    for await (const { id } of memory.documents({ limit: 3 })) pages.push(id);
    assert.deepEqual(pages.sort(), ["coffee", "lift", "parking", "wifi"]);
    const updated = await memory.update("coffee", { metadata: { year: 2027 }, merge: true });
    assert.deepEqual(updated.metadata, { source: "user", year: 2027, tags: ["kitchen"] });
    await memory.update("coffee", { text: "Tea is kept in the fridge." });
    assert.equal(ids(await memory.search("tea", { limit: 1 }))[0], "coffee");
    assert.equal((await memory.search("beans", { mode: "text" })).length, 0);
    await assert.rejects(memory.update("none", { text: "x" }), { code: "ERR_MEMORY_NOT_FOUND" });
    assert.equal(await memory.count(), 4);
    assert.equal(await memory.delete(["lift", "none"]), 1);
    assert.equal(await memory.deleteMany({ source: "web" }), 2);
    assert.deepEqual(ids((await memory.list()).documents), ["coffee"]);
    assert.equal(await memory.clear(), 1);
    assert.deepEqual(await memory.search("tea"), []);
  });

  test("the same id is replaced, skipped, or an error; the same text is left out", async (t) => {
    const memory = memoryFor(t);
    await memory.add({ id: "a", text: "first" });
    assert.equal((await memory.add({ id: "a", text: "second" })).status, "replaced");
    assert.equal((await memory.add({ id: "a", text: "third" }, { onConflict: "skip" })).status, "skipped");
    await assert.rejects(
      memory.addMany(
        [
          { id: "b", text: "new" },
          { id: "a", text: "fourth" },
        ],
        { onConflict: "error" },
      ),
      {
        code: "ERR_MEMORY_EXISTS",
      },
    );
    assert.equal((await memory.get("a"))?.text, "second");
    assert.equal(await memory.get("b"), null);
    const same = await memory.add("second", undefined, { dedupe: true });
    assert.deepEqual([same.id, same.status], ["a", "unchanged"]);
    assert.equal(await memory.count(), 1);
  });

  test("documents whose time is over are gone, and swept", async (t) => {
    const memory = memoryFor(t);
    await memory.addMany([
      { id: "past", text: "gone already", expiresAt: 1 },
      { id: "soon", text: "gone soon", ttl: 1_500 },
      { id: "stays", text: "never gone" },
    ]);
    assert.equal(await memory.get("past"), null);
    assert.ok(!ids(await memory.search("gone")).includes("past"));
    await until("its time is over", async () => (await memory.get("soon")) === null);
    assert.deepEqual(ids(await memory.search("gone")), ["stays"]);
    assert.equal(await memory.count(), 1);
    await memory.sweep();
    assert.equal((await memory.stats()).documents, 1);
  });

  test("a long document is split, and its hits know their place", async (t) => {
    const memory = memoryFor(t);
    const filler = Array.from(
      { length: 120 },
      (_, n) => `Paragraph ${n} is about nothing in particular. 😀 It goes on for a while.`,
    );
    filler[60] = "The treasure is buried under the old oak tree beside the river.";
    const text = filler.join("\n\n");
    const { chunks } = await memory.add({ id: "long", text });
    assert.ok(chunks > 5);
    const [hit] = await memory.search("where is the treasure?", { neighbours: 1 });
    assert.equal(hit?.id, "long");
    assert.match(hit.text, /treasure/);
    assert.equal(text.slice(hit.chunk.start, hit.chunk.end), hit.text);
    assert.ok(hit.neighbours && hit.neighbours.before.length > 0 && hit.neighbours.after.length > 0);
    assert.equal((await memory.search("paragraph")).length, 1, "a hit per document");
    assert.ok((await memory.search("paragraph", { chunks: true })).length > 1, "a hit per passage");
    assert.equal((await memory.get("long"))?.text, text);
  });

  test("every kind of text comes back as it was", async (t) => {
    const memory = memoryFor(t);
    const texts = [
      "",
      " ",
      "\0",
      "\u0000x\u0001",
      "日本語のテキスト",
      "العربية",
      "👩‍👩‍👧‍👦 family",
      "\r\n\t",
      "x".repeat(100_000),
      "\ufeff",
    ];
    const metadata = { "a.b": 1, "": "", 日本: [null, true, 1e300, -0.5, "\0"], __proto__x: {}, deep: { er: { est: 1 } } };
    await memory.addMany(texts.map((text, n) => ({ id: `${n}`, text, metadata })));
    const stored = await memory.getMany(texts.map((_, n) => `${n}`));
    assert.deepEqual(
      stored.map((document) => document?.text),
      texts,
    );
    assert.deepEqual(stored[0]?.metadata, metadata);
  });
});

describe("filters", () => {
  test("are applied before the search", async (t) => {
    const memory = memoryFor(t);
    await memory.addMany(FACTS);
    const found = async (filter: object) =>
      ids(await memory.search("the building", { filter: filter as never, limit: 10 })).sort();
    assert.deepEqual(await found({ source: "user" }), ["coffee", "lift"]);
    assert.deepEqual(await found({ year: { gte: 2025 } }), ["lift", "wifi"]);
    assert.deepEqual(await found({ tags: "guests" }), ["wifi"]);
    assert.deepEqual(await found({ tags: { exists: false }, source: { ne: "user" } }), ["parking"]);
    assert.deepEqual(await found({ or: [{ floor: 3 }, { year: 2020 }] }), ["lift", "parking"]);
    assert.deepEqual(await found({ not: { source: { in: ["web"] } }, year: { lt: 2025 } }), ["coffee"]);
    assert.deepEqual(await found({ source: "user' OR '1'='1" }), []);
    assert.equal(await memory.count({ year: { gt: 2020 } }), 3);
    assert.deepEqual(ids((await memory.list({ filter: { source: "web" } })).documents).sort(), ["parking", "wifi"]);
  });
  test("that are wrong name their place", async (t) => {
    const memory = memoryFor(t);
    await memory.addMany(FACTS);
    for (const filter of [{ year: { gte: 1, betwen: 2 } }, { or: {} }, { year: { in: 3 } }]) {
      await assert.rejects(memory.search("a", { filter: filter as never }), { code: "ERR_INPUT_INVALID", message: /filter/ });
    }
  });
});

describe("collections", () => {
  test("do not see each other", async (t) => {
    const memory = memoryFor(t);
    const other = memory.collection("other");
    await memory.add({ id: "a", text: "in the first" });
    await other.addMany([
      { id: "a", text: "in the second" },
      { id: "b", text: "also" },
    ]);
    assert.equal((await memory.get("a"))?.text, "in the first");
    assert.deepEqual(ids(await memory.search("second")), ["a"]);
    assert.equal((await memory.search("second"))[0]?.text, "in the first");
    assert.deepEqual(
      (await memory.collections()).map(({ name, documents }) => [name, documents]),
      [
        ["documents", 1],
        ["other", 2],
      ],
    );
    assert.equal(await memory.dropCollection("other"), true);
    assert.equal(await memory.dropCollection("other"), false);
    assert.deepEqual(await other.search("second"), []);
    assert.equal((await memory.stats()).model.length > 0, true);
  });
});

describe("files", () => {
  test("what was exported can be imported", async (t) => {
    const folder = folderFor(t);
    const file = join(folder, "out.jsonl");
    const memory = memoryFor(t);
    await memory.addMany(FACTS);
    assert.deepEqual(await memory.export(file, { filter: { source: "user" } }), { documents: 2 });
    const lines = readFileSync(file, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.deepEqual(ids(lines).sort(), ["coffee", "lift"]);
    const own: unknown[] = [];
    for await (const line of memory.lines({ filter: { source: "user" } })) own.push(JSON.parse(line));
    assert.deepEqual(own, lines);
    writeFileSync(file, `${readFileSync(file, "utf8")}\nnot JSON\n{"text":"without an id"}\n`);
    const copy = memoryFor(t);
    const progress: number[] = [];
    const { failed, ...counts } = await copy.import(file, { onProgress: ({ done }) => progress.push(done) });
    assert.deepEqual(counts, { added: 3, replaced: 0, skipped: 0, unchanged: 0 });
    assert.deepEqual(
      failed.map(({ line }) => line),
      [4],
    );
    assert.equal(progress.at(-1), readFileSync(file).length);
    assert.deepEqual(await copy.get("lift"), await memory.get("lift"));
    await assert.rejects(copy.import(join(folder, "none.jsonl")), { message: /none\.jsonl/ });
  });
});

describe("orders", () => {
  test("documents are listed by id or by time, in both directions and over pages", async (t) => {
    const file = join(folderFor(t), "in.jsonl");
    const times = [5, 3, 3, 9, 3, 1];
    const given = times.map((createdAt, n) => ({ id: `d${n}`, text: `Number ${n}.`, createdAt, updatedAt: 10 - n }));
    writeFileSync(file, given.map((line) => JSON.stringify(line)).join("\n"));
    const memory = memoryFor(t);
    await memory.import(file);
    const orders = [
      [{}, "012345"],
      [{ descending: true }, "543210"],
      [{ orderBy: "createdAt" }, "512403"],
      [{ orderBy: "createdAt", descending: true }, "304215"],
      [{ orderBy: "updatedAt" }, "543210"],
      [{ orderBy: "updatedAt", descending: true, filter: { kind: { exists: false } } }, "012345"],
    ] as const;
    for (const [how, expected] of orders) {
      for (const limit of [1, 2, 4, 100]) {
        const found: string[] = [];
        for await (const { id } of memory.documents({ ...how, limit })) found.push(id.slice(1));
        assert.equal(found.join(""), expected, `${JSON.stringify(how)}, pages of ${limit}`);
      }
    }
    await assert.rejects(memory.list({ orderBy: "createdAt", cursor: "d1" }), { code: "ERR_INPUT_INVALID", message: /cursor/ });
    await assert.rejects(memory.list({ orderBy: "text" as "id" }), { code: "ERR_INPUT_INVALID", message: /options\.orderBy/ });
  });
});

describe("files with vectors", () => {
  const everything = async (memory: Memory) => {
    const found = await memory.getMany(["a", "b", "c"], { vectors: true });
    return found.map((document) => [
      document?.text,
      document?.metadata,
      document?.chunks,
      document?.vectors,
      document?.createdAt,
    ]);
  };
  const DOCUMENTS = [
    { id: "a", text: `  A first line.\n\n${"Harbours have boats. ".repeat(300)}\n`, metadata: { n: 1 } },
    { id: "b", text: "Short, with an emoji 🚢 in it." },
    { id: "c", text: "Also short." },
  ];

  test("the bundled model need not embed what it embedded before", async (t) => {
    const file = join(folderFor(t), "out.jsonl");
    const memory = memoryFor(t);
    await memory.addMany(DOCUMENTS);
    assert.deepEqual(await memory.export(file, { vectors: true }), { documents: 3 });
    const lines = readFileSync(file, "utf8").trim().split("\n");
    const first = JSON.parse(lines[0] ?? "") as { model: string; chunks: { vector: number[] }[] };
    assert.ok(first.chunks.length > 1 && first.chunks.every(({ vector }) => vector.length === 384));
    // A vector that no model would make of this text tells where it came from.
    const marked = JSON.parse(lines[2] ?? "") as { chunks: { vector: number[] }[] };
    marked.chunks = marked.chunks.map((chunk) => ({
      ...chunk,
      vector: Array.from({ length: 384 }, (_, n) => (n === 7 ? 1 : 0)),
    }));
    const other = { ...(JSON.parse(lines[2] ?? "") as object), id: "other", model: "another/model" };
    writeFileSync(file, [lines[0], lines[1], JSON.stringify(marked), JSON.stringify(other)].join("\n"));
    const copy = memoryFor(t);
    const { failed, added } = await copy.import(file);
    assert.deepEqual([failed, added], [[], 4]);
    const [ours, theirs] = [await everything(memory), await everything(copy)];
    assert.deepEqual(theirs.slice(0, 2), ours.slice(0, 2));
    const [c, again] = await copy.getMany(["c", "other"], { vectors: true });
    assert.equal(c?.vectors?.[0]?.[7], 1);
    assert.deepEqual(again?.vectors, (await memory.get("c", { vectors: true }))?.vectors);
  });

  test("a function of one's own is not called for what it made", async (t) => {
    const file = join(folderFor(t), "out.jsonl");
    const asked: string[] = [];
    const embedding = (id: string) =>
      createEmbeddingFunction({
        id,
        dimensions: 4,
        model: (texts) => {
          asked.push(...texts);
          return texts.map((text) => [text.length, 1, text.charCodeAt(0), 2]);
        },
      });
    const memory = memoryFor(t, { embedding: embedding("mine") });
    await memory.addMany(DOCUMENTS);
    await memory.export(file, { vectors: true });
    const lines = readFileSync(file, "utf8").trim().split("\n");
    const broken = { ...(JSON.parse(lines[2] ?? "") as object), id: "broken", text: "Longer than its passages." };
    writeFileSync(file, [...lines, '{"id":"bare","text":"Without vectors."}', JSON.stringify(broken)].join("\n"));
    asked.length = 0;
    const copy = memoryFor(t, { embedding: embedding("mine") });
    const { failed, added } = await copy.import(file);
    assert.deepEqual(asked, ["Without vectors."]);
    assert.equal(added, 4);
    assert.deepEqual(
      failed.map(({ line }) => line),
      [5],
    );
    assert.match(failed[0]?.message ?? "", /chunks must make up the text/);
    assert.deepEqual(await everything(copy), await everything(memory));
    const foreign = memoryFor(t, { embedding: embedding("another") });
    asked.length = 0;
    assert.equal((await foreign.import(file)).added, 5);
    assert.ok(asked.length > 5, "those of another function are made anew");
  });
});

describe("models", () => {
  test("embedOne, embedBatch and createEmbeddingFunction agree, whatever stands beside a text", async (t) => {
    const memory = memoryFor(t);
    const embed = createEmbeddingFunction();
    const one = await memory.embedOne("hello world");
    assert.equal(one.length, 384);
    const [first, , third] = await embed.embedBatch(["hello world", "x".repeat(5_000), "hello world"]);
    assert.deepEqual(first, one);
    assert.deepEqual(third, one);
    assert.deepEqual(await embed("hello world"), one);
    await memory.add("x");
    assert.equal(embed.id, (await memory.stats()).model);
  });

  const letters = (texts: string[]) =>
    texts.map((text) => [..."abcdefghijklmnopqrstuvwxyz"].map((letter) => text.toLowerCase().split(letter).length));

  test("a function of one's own is used for documents and queries", async (t) => {
    const folder = folderFor(t);
    const own = createEmbeddingFunction({ model: letters, id: "letters", dimensions: 26 });
    const memory = memoryFor(t, { path: folder, embedding: own });
    await memory.addMany([
      { id: "z", text: "zzzz zzzz" },
      { id: "q", text: "qqqq qqqq" },
    ]);
    assert.deepEqual(ids(await memory.search("zebra zzz", { mode: "vector", limit: 1 })), ["z"]);
    await memory.update("q", { text: "kkkk kkkk" });
    assert.deepEqual(ids(await memory.search("kkk", { mode: "vector", limit: 1 })), ["q"]);
    const stats = await memory.stats();
    assert.deepEqual([stats.model, stats.dimensions], ["letters", 26]);
    await memory.close();

    const bundled = memoryFor(t, { path: folder });
    await assert.rejects(bundled.search("zebra"), { code: "ERR_MEMORY_MODEL", message: /letters/ });
    await assert.rejects(bundled.add("more"), { code: "ERR_MEMORY_MODEL" });
    assert.deepEqual(await bundled.reindex(), { documents: 2, chunks: 2 });
    assert.equal((await bundled.search("zzzz", { limit: 1 }))[0]?.id, "z");
    await bundled.close();

    const back = memoryFor(t, { path: folder, embedding: own });
    assert.deepEqual(await back.reindex(), { documents: 2, chunks: 2 });
    assert.deepEqual(ids(await back.search("kkk", { mode: "vector", limit: 1 })), ["q"]);
  });

  test("a function reranks what was found", async (t) => {
    const memory = memoryFor(t);
    await memory.addMany(FACTS);
    const hits = await memory.search("the building", {
      limit: 2,
      rerank: (_, found) => found.map(({ id }) => ["coffee", "wifi"].indexOf(id)),
    });
    assert.deepEqual(
      hits.map(({ id, score }) => [id, score]),
      [
        ["wifi", 1],
        ["coffee", 0],
      ],
    );
  });

  test("a model that is not there is a coded error that names it", async (t) => {
    const folder = folderFor(t);
    const memory = memoryFor(t, { embedding: { path: join(folder, "no-model") } });
    await assert.rejects(memory.add("a"), { code: "ERR_MODEL_LOAD", message: /no-model/ });
    assert.equal(await memory.count(), 0, "what needs no model works");
  });
});

describe("ends of calls", () => {
  const many = Array.from({ length: 2_000 }, (_, n) => `${n}: ${"some words that take a while to embed ".repeat(5)}`);
  test("an abort ends adding, and the memory goes on", async (t) => {
    const memory = memoryFor(t);
    const controller = new AbortController();
    const adding = memory.addMany(many, { signal: controller.signal, onProgress: () => controller.abort() });
    await assert.rejects(adding, { code: "ERR_WAIT_ABORTED" });
    assert.ok((await memory.count()) < 2_000);
    await memory.add({ id: "after", text: "still working" });
    assert.equal((await memory.search("still working", { limit: 1 }))[0]?.id, "after");
  });
  test("a timeout ends a call", async (t) => {
    const memory = memoryFor(t);
    await assert.rejects(memory.addMany(many, { timeout: 1 }), { code: "ERR_WAIT_TIMEOUT" });
  });
  test("close waits for what is under way", async (t) => {
    const path = folderFor(t);
    const memory = new Memory({ path });
    const adding = memory.addMany(FACTS);
    await memory.close();
    assert.equal((await adding).length, 4);
    await assert.rejects(memory.count(), { code: "ERR_CLOSED" });
    assert.equal(await memoryFor(t, { path }).count(), 4);
  });
});

describe("life", () => {
  test("a script ends by itself, and a new process finds what it added", async (t) => {
    const path = folderFor(t);
    const env = { LANCEDB_PATH: path };
    const first = await script(t, `say(await api.addRAGDocument("Some fact or note.", { source: "user" }));`, [], { env });
    assert.deepEqual([first.code, first.stderr], [0, ""]);
    const second = await script(t, `say(await api.ragRetrieve("relevant fact", { limit: 5, filter: { source: "user" } }));`, [], {
      env,
    });
    assert.deepEqual([second.code, second.stderr], [0, ""]);
    assert.equal((second.lines[0] as { text: string }[])[0]?.text, "Some fact or note.");
  });

  test("two processes add to one collection at once: nothing is lost", async (t) => {
    const path = folderFor(t);
    const source = `
      const memory = new api.Memory({ path: args[0], maintenance: args[2] });
      for (let n = 0; n < 20; n++) await memory.add({ id: args[1] + n, text: "note " + n + " of " + args[1] });
      await memory.close();
    `;
    const ends = await Promise.all(["a", "b"].map((name) => script(t, source, [path, name, name === "a"])));
    assert.deepEqual(
      ends.map(({ code, stderr }) => [code, stderr]),
      [
        [0, ""],
        [0, ""],
      ],
    );
    const memory = memoryFor(t, { path });
    assert.equal(await memory.count(), 40);
    const stored = await memory.getMany(["a", "b"].flatMap((name) => Array.from({ length: 20 }, (_, n) => `${name}${n}`)));
    assert.ok(stored.every((document) => document !== null));
  });

  test("threads use it, also when they are terminated", async (t) => {
    const source = `
      import { Worker } from "node:worker_threads";
      const [path, entry] = args;
      const code = \`
        const { parentPort, workerData } = require("node:worker_threads");
        const { Memory } = require(workerData.entry);
        const memory = new Memory({ path: workerData.path });
        (async () => { for (let n = 0; ; n++) { await memory.add({ id: workerData.name + n, text: "note " + n }); parentPort.postMessage(workerData.name + n); if (n === 2 && workerData.ends) return memory.close(); } })();
      \`;
      const acknowledged = [];
      const begin = (name, ends) => {
        const thread = new Worker(code, { eval: true, execArgv: [], workerData: { path, entry, name, ends } });
        const first = new Promise((resolve) => thread.once("message", resolve));
        thread.on("message", (id) => acknowledged.push(id));
        return { thread, first, over: new Promise((resolve) => thread.once("exit", resolve)) };
      };
      const ending = begin("ends", true);
      const killed = [begin("k"), begin("l")];
      for (const { thread, first } of killed) { await first; await thread.terminate(); }
      const codeOfEnding = await ending.over;
      const memory = new api.Memory({ path });
      const found = await memory.getMany(acknowledged);
      say({ code: codeOfEnding, acknowledged: acknowledged.length >= 5, lost: acknowledged.filter((_, n) => found[n] === null) });
    `;
    const entry = new URL("../../index.js", import.meta.url).pathname;
    const end = await script(t, source, [folderFor(t), entry]);
    assert.deepEqual([end.code, end.lines], [0, [{ code: 0, acknowledged: true, lost: [] }]], end.stderr);
    assert.doesNotMatch(end.stderr, /panicked/);
  });

  test("importing the package neither starts a thread nor loads a model", async (t) => {
    const source = `
      import { readFileSync } from "node:fs";
      const threads = () => Number(/Threads:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]);
      const before = threads();
      const memory = new api.Memory({ path: args[0] });
      say([before === threads(), typeof memory.path]);
    `;
    if (process.platform !== "linux") return t.skip("counts threads in /proc");
    const end = await script(t, source, [folderFor(t)]);
    assert.deepEqual(end.lines, [[true, "string"]]);
  });

  test("a sub-agent has it as context.memory", async (t) => {
    const memory = memoryFor(t);
    await memory.addMany(FACTS);
    await using master = new MasterAgent({ store: folderFor(t), memory });
    const agent = registerSubAgent({
      agentType: "memory-reader",
      run: async (query: string, context) => (await context.memory.search(query, { limit: 1 })).map(({ id }) => id),
    });
    assert.deepEqual(await master.run(agent, "where can I park?"), ["parking"]);
    assert.equal(memory.closed, false);
  });
});
