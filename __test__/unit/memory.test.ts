/** What memory asks of the engine, and what it makes of the answers. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, describe, test } from "node:test";
import type { AnyMetadata, Memory, MemoryOptions } from "../../ts/index.ts";
import { defaults, FakeMemory, freshFolder, useFakeMemory } from "../helpers/fake-memory.ts";
import { useFakeSession } from "../helpers/fake-session.ts";
import { api, type errors } from "../helpers/ts.ts";
import { gate } from "../helpers/until.ts";

useFakeSession();
useFakeMemory();
const { MasterAgent, registerSubAgent, unregisterSubAgent, createEmbeddingFunction } = api;

afterEach(() => {
  FakeMemory.hook = undefined;
});

function memoryOn<M extends object = AnyMetadata>(options: MemoryOptions<M> = {}): Memory<M> {
  return new api.Memory<M>({ path: freshFolder(), ...options });
}
const texts = (count: number, of = (n: number) => `text ${n}`) => Array.from({ length: count }, (_, n) => of(n));

/** A schema that wants a number `n` and adds 1 to it. */
const schema = {
  "~standard": {
    version: 1 as const,
    vendor: "test",
    validate: async (value: unknown) => {
      const { n } = value as { n?: unknown };
      return typeof n === "number" ? { value: { n: n + 1 } } : { issues: [{ message: "must be a number", path: ["n"] }] };
    },
  },
};

describe("opening", () => {
  test("the constructor opens nothing, the first call does", async () => {
    const before = FakeMemory.opened.length;
    const memory = memoryOn({ readOnly: true, maintenance: false, runtime: "/lib/ort.so" });
    assert.equal(FakeMemory.opened.length, before);
    await memory.count();
    const { options } = FakeMemory.last;
    assert.deepEqual([options.readOnly, options.maintenance, options.runtime], [true, false, "/lib/ort.so"]);
    assert.equal(options.model.kind, "bundled");
    await memory.count();
    assert.equal(FakeMemory.opened.length, before + 1);
  });
  test("what is read only writes nothing, and asks nobody to", async () => {
    const memory = memoryOn({ readOnly: true });
    const calls = [
      memory.add("a"),
      memory.addMany(["a"]),
      memory.delete("a"),
      memory.clear(),
      memory.optimize(),
      memory.reindex(),
    ];
    for (const call of calls) {
      await assert.rejects(call, { code: "ERR_STORE_READ_ONLY", details: { path: memory.path } });
    }
    assert.deepEqual([await memory.count(), await memory.search("a")], [0, []]);
    assert.equal(FakeMemory.last.options.maintenance, false);
    assert.deepEqual(
      FakeMemory.last.calls.map(({ op }) => op),
      ["count", "search"],
    );
  });
  test("the model is a name, a folder, or a function", async () => {
    const kinds: { kind: string }[] = [];
    for (const embedding of ["org/model", { model: "org/model" }, { path: "models/x" }, async () => []] as const) {
      await memoryOn({ embedding, modelCache: "/cache" }).count();
      kinds.push(FakeMemory.last.options.model);
    }
    assert.deepEqual(kinds.slice(0, 3), [
      { kind: "named", name: "org/model", cache: resolve("/cache") },
      { kind: "named", name: "org/model", cache: resolve("/cache") },
      { kind: "folder", folder: resolve("models/x") },
    ]);
    assert.equal(kinds[3]?.kind, "external");
  });
  test("the path is the option, LANCEDB_PATH, APP_DATA_DIR, or ./data", () => {
    const path = () => new api.Memory().path;
    assert.equal(path(), resolve("data/lancedb"));
    process.env["APP_DATA_DIR"] = "/app";
    assert.equal(path(), resolve("/app/lancedb"));
    process.env["LANCEDB_PATH"] = "/lance";
    assert.equal(path(), resolve("/lance"));
    assert.equal(new api.Memory({ path: "/own" }).path, resolve("/own"));
    delete process.env["APP_DATA_DIR"];
    delete process.env["LANCEDB_PATH"];
  });
  test("closing is once, waits for nothing that is not open, and calls after it say so", async () => {
    const unused = memoryOn();
    await unused.close();
    assert.equal(unused.closed, true);
    const memory = memoryOn();
    const notes = memory.collection("notes");
    await memory.count();
    await Promise.all([memory.close(), memory.close()]);
    assert.equal(FakeMemory.last.closed, 1);
    for (const call of [() => memory.count(), () => notes.search("a"), () => memory.embedOne("a")]) {
      await assert.rejects(call, { code: "ERR_CLOSED" });
    }
  });
  test("closing lets what was begun finish, and cuts a source off", async () => {
    const memory = memoryOn();
    const whole = memory.addMany(texts(1_000));
    const cut = memory.addMany(
      (async function* () {
        for (let n = 0; ; n++) yield { id: `${n}`, text: `${n}` };
      })(),
    );
    const refused = assert.rejects(cut, { code: "ERR_CLOSED" });
    await memory.close();
    assert.equal((await whole).length, 1_000);
    await refused;
    assert.deepEqual([FakeMemory.last.running, FakeMemory.last.closed], [0, 1]);
  });
  test("await using closes", async () => {
    {
      await using memory = memoryOn();
      await memory.count();
    }
    assert.equal(FakeMemory.last.closed, 1);
  });
});

describe("adding", () => {
  test("a text with metadata, and a document", async () => {
    const memory = memoryOn();
    const added = await memory.add("one. two", { source: "user" });
    assert.deepEqual({ ...added, id: "" }, { id: "", chunks: 2, status: "added" });
    assert.deepEqual(await memory.add({ id: "a", text: "x", metadata: { n: 1 } }), { id: "a", chunks: 1, status: "added" });
    assert.equal((await memory.add({ id: "a", text: "y" })).status, "replaced");
    assert.equal((await memory.add({ id: "a", text: "z" }, { onConflict: "skip" })).status, "skipped");
    await assert.rejects(memory.add({ id: "a", text: "z" }, { onConflict: "error" }), { code: "ERR_MEMORY_EXISTS" });
    assert.equal((await memory.add("y", undefined, { dedupe: true, id: "b" })).status, "unchanged");
    const [first] = FakeMemory.last.calls;
    assert.deepEqual(first, {
      op: "add",
      collection: "documents",
      conflict: "replace",
      documents: [{ text: "one. two", metadata: { source: "user" } }],
    });
  });
  test("times become points in time", async () => {
    const memory = memoryOn();
    const before = Date.now();
    await memory.add({ id: "a", text: "", ttl: 1_000.5 });
    await memory.add({ id: "b", text: "", expiresAt: new Date(5) });
    await memory.add("c", undefined, { id: "c", ttl: 1_000 });
    await memory.addMany(
      [
        { id: "d", text: "", expiresAt: 7.5 },
        { id: "e", text: "" },
      ],
      { ttl: 1_000 },
    );
    const at = (await memory.getMany(["a", "b", "c", "d", "e"])).map((document) => document?.expiresAt ?? 0);
    for (const index of [0, 2, 4]) assert.ok((at[index] ?? 0) >= before + 1_000 && (at[index] ?? 0) < before + 61_000);
    assert.deepEqual([at[1], at[3]], [5, 8]);
  });
  test("many go in batches of 256 documents, two at a time, and come back in order", async () => {
    FakeMemory.hook = async () => {
      await new Promise(setImmediate);
      return undefined;
    };
    const memory = memoryOn();
    const progress: unknown[] = [];
    const added = await memory.addMany(texts(1_000), { onProgress: (one) => progress.push(one) });
    assert.deepEqual(
      FakeMemory.last.of("add").map(({ documents }) => documents.length),
      [256, 256, 256, 232],
    );
    assert.equal(FakeMemory.last.most, 2);
    assert.deepEqual(
      progress,
      [256, 512, 768, 1_000].map((done) => ({ done, total: 1_000 })),
    );
    const stored = await memory.getMany(added.map(({ id }) => id));
    assert.deepEqual(
      stored.map((document) => document?.text),
      texts(1_000),
    );
  });
  test("large texts make small batches", async () => {
    const memory = memoryOn();
    await memory.addMany(texts(6, () => "x".repeat(2 ** 21)));
    assert.deepEqual(
      FakeMemory.last.of("add").map(({ documents }) => documents.length),
      [2, 2, 2],
    );
  });
  test("a batch waits for the one before that has a document of the same id or text", async () => {
    const open = gate();
    let running = 0;
    FakeMemory.hook = async ({ op }) => {
      if (op !== "add") return undefined;
      assert.equal(++running, 1);
      await open.opened;
      running -= 1;
      return undefined;
    };
    const memory = memoryOn();
    const ids = Array.from({ length: 300 }, (_, n) => ({ id: `${n % 256}`, text: `${n}` }));
    const byId = memory.addMany(ids);
    open.open();
    assert.deepEqual(new Set((await byId).slice(256).map(({ status }) => status)), new Set(["replaced"]));
    assert.equal((await memory.get("0"))?.text, "256");
    const byText = await memory.addMany(
      texts(512, (n) => `same ${n % 256}`),
      { dedupe: true },
    );
    assert.equal(byText.filter(({ status }) => status === "unchanged").length, 256);
  });
  test("an asynchronous source is read no further than what is being stored", async () => {
    const open = gate();
    FakeMemory.hook = async ({ op }) => {
      if (op === "add") await open.opened;
      return undefined;
    };
    let read = 0;
    let returned = false;
    async function* source() {
      try {
        for (; read < 2_000; read++) yield { text: `${read}` };
      } finally {
        returned = true;
      }
    }
    const adding = memoryOn().addMany(source());
    // Two batches are under way, and the third is full.
    while (read < 3 * 256 - 1) await new Promise(setImmediate);
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
    assert.equal(read, 3 * 256 - 1);
    open.open();
    assert.equal((await adding).length, 2_000);
    assert.equal(returned, true);
  });
  test("any iterable will do", async () => {
    const memory = memoryOn();
    const set = await memory.addMany(new Set(["a", "b"]));
    assert.equal(set.length, 2);
    assert.deepEqual(await memory.addMany([]), []);
    assert.equal(FakeMemory.last.of("add").length, 1);
  });
  test("an error says how many documents are in, and ends the source", async () => {
    let calls = 0;
    FakeMemory.hook = async ({ op }) => {
      if (op === "add" && ++calls === 3) throw Object.assign(new Error("the disk is full"), { code: "ERR_STORE_FULL" });
      return undefined;
    };
    let returned = false;
    function* source() {
      try {
        for (let n = 0; n < 5_000; n++) yield `${n}`;
      } finally {
        returned = true;
      }
    }
    const memory = memoryOn();
    const failing = memory.addMany(source());
    await assert.rejects(failing, (error: InstanceType<typeof errors.MasterAgentError>) => {
      assert.equal(error.code, "ERR_STORE_FULL");
      assert.match(error.message, /the disk is full \(\d+ documents/);
      const added = Number(error.details?.["added"]);
      assert.ok(added >= 512 && added % 256 === 0);
      return true;
    });
    assert.equal(returned, true);
    FakeMemory.hook = undefined;
    assert.ok((await memory.count()) >= 512);
  });
  test("a source that throws keeps its error", async () => {
    const own = new TypeError("on purpose");
    await assert.rejects(
      memoryOn().addMany(
        (async function* () {
          yield "a";
          throw own;
        })(),
      ),
      (error) => error === own,
    );
  });
  test("metadata is what its schema makes of it", async () => {
    const memory = memoryOn({ metadataSchema: schema });
    const { id } = await memory.add({ text: "a", metadata: { n: 1 } });
    assert.deepEqual((await memory.get(id))?.metadata, { n: 2 });
    await assert.rejects(
      memory.addMany([
        { text: "a", metadata: { n: 1 } },
        { text: "b", metadata: { n: "x" as never } },
      ]),
      {
        code: "ERR_INPUT_SCHEMA",
        message: /documents\[1\]\.metadata does not fit the metadataSchema.*documents\[1\]\.metadata\.n: must be a number/,
      },
    );
    assert.equal(await memory.count(), 1);
    await memory.update(id, { metadata: { n: 5 } });
    assert.deepEqual((await memory.get(id))?.metadata, { n: 6 });
    await memory.update(id, { metadata: {}, merge: true });
    assert.deepEqual((await memory.get(id))?.metadata, { n: 7 });
    await assert.rejects(memory.update("none", { metadata: { n: 1 }, merge: true }), { code: "ERR_MEMORY_NOT_FOUND" });
  });
});

describe("reading and changing", () => {
  test("get, getMany, update, delete, count, clear", async () => {
    const memory = memoryOn();
    await memory.addMany(
      Array.from({ length: 10 }, (_, n) => ({ id: `${n}`, text: `text ${n}`, metadata: { even: n % 2 === 0 } })),
    );
    assert.deepEqual(
      (await memory.getMany(["3", "none", "3"])).map((document) => document?.text),
      ["text 3", undefined, "text 3"],
    );
    assert.equal(await memory.get("none"), null);
    const updated = await memory.update("3", { text: "new", metadata: { more: 1 }, merge: true, expiresAt: 9 });
    assert.deepEqual([updated.text, updated.metadata, updated.expiresAt], ["new", { even: false, more: 1 }, 9]);
    assert.equal((await memory.update("3", { expiresAt: null })).expiresAt, undefined);
    assert.deepEqual((await memory.update("3", { metadata: {} })).metadata, {});
    assert.equal(await memory.count({ even: true }), 5);
    assert.equal(await memory.delete(["0", "2", "none"]), 2);
    assert.equal(await memory.delete("1"), 1);
    assert.equal(await memory.deleteMany({ even: true }), 3);
    assert.equal(await memory.clear(), 4);
    assert.equal(await memory.count(), 0);
  });
  test("vectors come with the documents whose passages they are of", async () => {
    const memory = memoryOn();
    await memory.addMany([
      { id: "two", text: "a. b" },
      { id: "one", text: "abc" },
    ]);
    const [one, none, two] = await memory.getMany(["one", "none", "two"], { vectors: true });
    assert.equal(none, null);
    assert.deepEqual([one?.vectors?.length, two?.vectors?.length], [1, 2]);
    assert.equal(one?.vectors?.[0]?.length, 4);
    assert.ok(Math.abs(Math.hypot(...(two?.vectors?.[1] ?? [])) - 1) < 1e-6);
    assert.equal((await memory.get("one"))?.vectors, undefined);
  });
  test("long lists of ids go in slices", async () => {
    const memory = memoryOn();
    assert.equal((await memory.getMany(texts(2_500))).length, 2_500);
    assert.equal(await memory.delete(texts(25_000)), 0);
    assert.deepEqual(
      FakeMemory.last.calls.map(({ op, ids }) => [op, ids?.length]),
      [
        ["get", 1_000],
        ["get", 1_000],
        ["get", 500],
        ["delete", 10_000],
        ["delete", 10_000],
        ["delete", 5_000],
      ],
    );
  });
  test("list gives pages, documents all of them, lines their JSON", async () => {
    const memory = memoryOn();
    await memory.addMany(texts(250));
    const page = await memory.list();
    assert.equal(page.documents.length, 100);
    const last = await memory.list({ cursor: "200" });
    assert.deepEqual([last.documents.length, "cursor" in last], [50, false]);
    const all: string[] = [];
    for await (const { text } of memory.documents({ limit: 7 })) all.push(text);
    assert.deepEqual(all, texts(250));
    const lines: object[] = [];
    for await (const line of memory.lines()) lines.push(JSON.parse(line));
    assert.deepEqual(Object.keys(lines[0] ?? {}), ["createdAt", "updatedAt", "text", "metadata", "id"]);
    for await (const _ of memory.documents({ limit: 7 })) break;
  });
  test("collections are apart", async () => {
    const memory = memoryOn();
    const notes = memory.collection<{ n: number }>("notes");
    await memory.add({ id: "a", text: "default" });
    await notes.add({ id: "a", text: "note", metadata: { n: 1 } });
    assert.deepEqual([(await memory.get("a"))?.text, (await notes.get("a"))?.text], ["default", "note"]);
    assert.deepEqual(
      (await memory.collections()).map(({ name }) => name),
      ["documents", "notes"],
    );
    assert.equal(await memory.dropCollection("notes"), true);
    assert.equal(await memory.dropCollection("notes"), false);
    assert.equal(await notes.count(), 0);
    assert.deepEqual([notes.name, notes.path], ["notes", memory.path]);
  });
});

describe("searching", () => {
  const filled = async (options: MemoryOptions = {}) => {
    const memory = memoryOn(options);
    await memory.addMany([
      { id: "a", text: "red apple", metadata: { kind: "fruit" } },
      { id: "b", text: "red car", metadata: { kind: "thing" } },
      { id: "c", text: "green apple tree", metadata: { kind: "plant" } },
    ]);
    return memory;
  };
  test("the request says no more than what was asked, the hits are in their public form", async () => {
    const memory = await filled();
    const [hit, ...rest] = await memory.search("red apple");
    assert.deepEqual(FakeMemory.last.of("search")[0], {
      op: "search",
      collection: "documents",
      query: "red apple",
      mode: "hybrid",
      limit: 5,
    });
    assert.equal(rest.length, 2);
    assert.deepEqual(hit, {
      id: "a",
      text: "red apple",
      score: 1,
      metadata: { kind: "fruit" },
      document: { chunks: 1, createdAt: 1, updatedAt: 1 },
      chunk: { index: 0, start: 0, end: 9 },
      scores: { text: 1 },
    });
    await memory.search("red", {
      limit: 2,
      offset: 1,
      filter: { kind: "thing" },
      minScore: 0.2,
      mode: "text",
      neighbours: 2,
      chunks: true,
      vectors: true,
    });
    assert.deepEqual(FakeMemory.last.of("search")[1], {
      op: "search",
      collection: "documents",
      query: "red",
      mode: "text",
      limit: 2,
      offset: 1,
      minScore: 0.2,
      neighbours: 2,
      chunks: true,
      vectors: true,
      filter: { kind: "thing" },
    });
  });
  test("vectors come with their hits", async () => {
    const memory = await filled();
    const hits = await memory.search("red", { vectors: true });
    assert.ok(hits.every(({ vector }) => vector?.length === 4));
  });
  test("a vector is brought to length 1 and searched by meaning", async () => {
    const memory = await filled();
    await memory.search([3, 0, 4, 0]);
    assert.equal(FakeMemory.last.of("search")[0]?.mode, "vector");
    assert.deepEqual(
      Array.from(FakeMemory.last.sent.at(-1) ?? []).map((number) => Math.fround(number)),
      [Math.fround(0.6), 0, Math.fround(0.8), 0],
    );
    await memory.search(new Float32Array([1e-30, 0]));
    assert.deepEqual(Array.from(FakeMemory.last.sent.at(-1) ?? []), [1, 0]);
  });
  test("a function reranks by scores", async () => {
    const memory = await filled();
    let seen: unknown;
    const hits = await memory.search("red", {
      limit: 1,
      offset: 1,
      minScore: -2,
      rerank: (query, found, { signal }) => {
        seen = [query, found.length, signal.aborted];
        return found.map(({ id }) => (id === "c" ? 9 : id === "b" ? -1 : -3));
      },
    });
    assert.deepEqual(seen, ["red", 3, false]);
    assert.deepEqual(
      hits.map(({ id, score, scores }) => [id, score, scores.retrieval]),
      [["b", -1, 1]],
    );
    const { limit, offset, minScore } = FakeMemory.last.of("search")[0] ?? {};
    assert.deepEqual([limit, offset, minScore], [20, undefined, undefined]);
  });
  test("a function reranks by hits, and may leave some out", async () => {
    const memory = await filled();
    const hits = await memory.search("red", { candidates: 50, rerank: async (_, found) => [...found].reverse().slice(1) });
    assert.deepEqual(
      hits.map(({ id }) => id),
      ["b", "a"],
    );
    assert.equal(FakeMemory.last.of("search")[0]?.limit, 50);
    assert.deepEqual(await memory.search("red", { rerank: () => [] }), []);
  });
  test("a cross-encoder reranks", async () => {
    const memory = await filled({ modelCache: "/cache" });
    const hits = await memory.search("red", { rerank: { model: "org/cross" }, limit: 2 });
    assert.deepEqual(
      hits.map(({ id }) => id),
      ["b", "a"],
    );
    assert.deepEqual(FakeMemory.last.of("rerank")[0]?.["model"], { kind: "named", name: "org/cross", cache: resolve("/cache") });
  });
  const wrong: [string, (query: string, hits: readonly object[]) => unknown, RegExp][] = [
    ["nothing", () => undefined, /must answer with an array/],
    ["too few scores", () => [1], /1 scores for 3 hits/],
    ["NaN", () => [1, Number.NaN, 1], /NaN for hit 1/],
    ["a mixture", (_, hits) => [1, hits[0], 2], /at place 0/],
    ["a stranger", (_, hits) => [hits[0], { ...hits[1], id: "x" }], /place 1/],
    ["one twice", (_, hits) => [hits[0], hits[0]], /place 1/],
    ["null", () => [null], /place 0/],
  ];
  for (const [name, rerank, message] of wrong) {
    test(`a reranker that answers with ${name} is an error`, async () => {
      const memory = await filled();
      await assert.rejects(memory.search("red", { rerank: rerank as never }), { code: "ERR_EMBEDDING_FAILED", message });
    });
  }
  test("a reranker that throws is the cause", async () => {
    const memory = await filled();
    const own = new Error("on purpose");
    const rerank = () => {
      throw own;
    };
    await assert.rejects(memory.search("red", { rerank }), { code: "ERR_EMBEDDING_FAILED", cause: own });
  });
});

describe("embedding", () => {
  test("embedOne and embedBatch give vectors with memory of their own", async () => {
    const memory = memoryOn();
    const [a, b] = await memory.embedBatch(["a", "bb"]);
    assert.deepEqual(await memory.embedOne("a"), a);
    assert.equal(a?.buffer.byteLength, 16);
    assert.notEqual(a?.buffer, b?.buffer);
    assert.deepEqual(await memory.embedBatch([]), []);
    await memory.embedOne("q", { kind: "query" });
    assert.equal(FakeMemory.last.calls.at(-1)?.["query"], true);
  });
  test("many texts go in several calls", async () => {
    const memory = memoryOn();
    assert.equal((await memory.embedBatch(texts(2_500))).length, 2_500);
    assert.deepEqual(
      FakeMemory.last.of("embed").map(({ texts: sent }) => sent.length),
      [1_024, 1_024, 452],
    );
  });
  test("tokens and split", async () => {
    const memory = memoryOn({ chunking: { tokens: 20 } });
    assert.deepEqual(await memory.tokens(["a b", "c"]), [2, 1]);
    assert.deepEqual(await memory.split(["a. b"], { overlap: 2 }), [
      [
        { text: "a.", start: 0, end: 2 },
        { text: " b", start: 2, end: 4 },
      ],
    ]);
    assert.deepEqual(FakeMemory.last.of("split")[0]?.chunk, { tokens: 20, overlap: 2 });
  });
  test("an embedding function of the bundled model can be called, and knows itself", async () => {
    const embed = createEmbeddingFunction();
    assert.deepEqual([embed.dimensions, embed.id], [384, "sentence-transformers/all-MiniLM-L6-v2"]);
    assert.equal((await embed("a")).length, 4);
    assert.equal((await embed(["a", "b"])).length, 2);
    assert.deepEqual(await embed.embedOne("a"), (await embed.embedBatch(["a"]))[0]);
    assert.equal(createEmbeddingFunction({ model: "org/x" }).dimensions, undefined);
  });
  test("a function of one's own gets batches, and its vectors are brought to length 1", async () => {
    const batches: [number, string][] = [];
    const embed = createEmbeddingFunction({
      model: async (batch, { kind, signal }) => {
        batches.push([batch.length, kind]);
        assert.equal(signal.aborted, false);
        return batch.splice(0).map((text) => [text.length * 1e200, 1e200, 0]);
      },
      batchSize: 3,
      id: "own",
    });
    assert.equal(embed.dimensions, undefined);
    const vectors = await embed.embedBatch(["", "a", "bb", "ccc"]);
    assert.deepEqual(batches, [
      [3, "document"],
      [1, "document"],
    ]);
    assert.deepEqual([embed.dimensions, embed.id], [3, "own"]);
    assert.deepEqual(
      vectors.map((vector) => Math.hypot(...vector).toFixed(6)),
      texts(4, () => "1.000000"),
    );
  });
  test("a memory with a function of one's own", async () => {
    const asked: [string[], string][] = [];
    const embed = createEmbeddingFunction({
      model: (batch, { kind }) => {
        asked.push([[...batch], kind]);
        return batch.map((text) => new Float32Array([text.length, 1]));
      },
      id: "own",
      dimensions: 2,
      maxTokens: 30,
    });
    const memory = memoryOn({ embedding: embed });
    await memory.addMany([
      { id: "a", text: "one. two" },
      { id: "b", text: "three" },
    ]);
    const { model } = FakeMemory.last.options;
    assert.ok(model.kind === "external");
    assert.deepEqual([model.id, model.dimensions, model.maxTokens], ["own", 2, 30]);
    const [split] = FakeMemory.last.of("split");
    const [add] = FakeMemory.last.of("add");
    assert.deepEqual(split?.chunk, { tokens: 30 });
    assert.deepEqual(
      add?.documents.map(({ chunks }) => chunks),
      [
        [
          { start: 0, end: 4 },
          { start: 4, end: 8 },
        ],
        [{ start: 0, end: 5 }],
      ],
    );
    assert.equal(FakeMemory.last.sent[1]?.length, 6);
    await memory.update("a", { text: "changed" });
    assert.deepEqual(FakeMemory.last.of("update")[0]?.chunks, [{ start: 0, end: 7 }]);
    await memory.search("what");
    await memory.search("words", { mode: "text" });
    assert.deepEqual(asked, [
      [["one.", " two", "three"], "document"],
      [["changed"], "document"],
      [["what"], "query"],
    ]);
    assert.equal((await memory.embedOne("x")).length, 2);
    assert.equal(FakeMemory.last.of("embed").length, 0);
  });
  const wrong: [string, (batch: string[]) => unknown, RegExp][] = [
    ["nothing", () => undefined, /must answer with an array of vectors, not undefined/],
    ["too few", () => [[1]], /1 vectors for 2 texts/],
    ["texts", () => ["a", "b"], /Vector 0 .* is "a"/],
    ["different lengths", () => [[1], [1, 2]], /Vector 1 .* has 2 numbers, not 1/],
    ["empty vectors", () => [[], []], /0 numbers/],
    [
      "NaN",
      () => [
        [1, 2],
        [Number.NaN, 1],
      ],
      /Vector 1 .* NaN at place 0/,
    ],
    ["holes", () => [new Array(2), [1, 1]], /undefined at place 0/],
    [
      "zeros",
      () => [
        [0, 0],
        [1, 1],
      ],
      /only zeros/,
    ],
  ];
  for (const [name, model, message] of wrong) {
    test(`a function that answers with ${name} is an error`, async () => {
      const embed = createEmbeddingFunction({ model: model as never });
      await assert.rejects(embed(["a", "b"]), { code: "ERR_EMBEDDING_FAILED", message });
    });
  }
  test("a function that throws is the cause; wrong dimensions are named", async () => {
    const own = new Error("no credit");
    const failing = createEmbeddingFunction({ model: () => Promise.reject(own), id: "own" });
    await assert.rejects(failing("a"), { code: "ERR_EMBEDDING_FAILED", cause: own, message: /"own" failed: no credit/ });
    const short = createEmbeddingFunction({ model: () => [[1]], dimensions: 2 });
    await assert.rejects(short("a"), { code: "ERR_EMBEDDING_FAILED", message: /has 1 numbers, not 2/ });
  });
  test("progress of a download reaches its listener", async () => {
    const seen: unknown[] = [];
    const memory = memoryOn({ embedding: "org/x", onDownload: (one) => seen.push(one) });
    FakeMemory.hook = (request, engine) => {
      if (request.op === "embed") engine.tell({ event: "download", file: "model.onnx", done: 5, total: null });
      return undefined;
    };
    await memory.embedOne("a");
    assert.deepEqual(seen, [{ file: "model.onnx", done: 5, total: undefined }]);
  });
});

describe("long calls", () => {
  test("reindex tells of its progress by its own number", async () => {
    const memory = memoryOn({ chunking: { tokens: 100 } });
    FakeMemory.hook = ({ op, request }, engine) => {
      if (op !== "reindex") return undefined;
      engine.tell({ event: "progress", request: (request ?? 0) + 1, done: 9, total: 9 });
      engine.tell({ event: "progress", request, done: 1, total: 2 });
      return { value: { documents: 2, chunks: 3 } };
    };
    const seen: unknown[] = [];
    assert.deepEqual(await memory.reindex({ onProgress: (one) => seen.push(one) }), { documents: 2, chunks: 3 });
    assert.deepEqual(seen, [{ done: 1, total: 2 }]);
    assert.deepEqual(FakeMemory.last.of("reindex")[0]?.chunk, { tokens: 100 });
    await memory.optimize();
  });
  test("reindex with a function of one's own reads and writes page by page", async () => {
    const memory = memoryOn({ embedding: (batch) => batch.map(() => [1, 1]) });
    await memory.addMany(
      Array.from({ length: 150 }, (_, n) => ({ id: `${n}`, text: `a. ${n}`, metadata: { n }, expiresAt: 9e15 - 1e15 })),
    );
    let documents = 0;
    let chunks = 0;
    FakeMemory.hook = (request) => {
      if (request.op !== "reindexWrite") return undefined;
      documents += request.documents.length;
      chunks += request.documents.reduce((sum, one) => sum + (one.chunks?.length ?? 0), 0);
      return { value: { documents, chunks } };
    };
    const seen: number[] = [];
    assert.deepEqual(await memory.reindex({ onProgress: ({ done }) => seen.push(done) }), { documents: 150, chunks: 300 });
    assert.deepEqual(seen, [64, 128, 150]);
    const writes = FakeMemory.last.of("reindexWrite");
    assert.deepEqual(
      writes.map(({ begin, done }) => [begin, done]),
      [
        [true, false],
        [false, false],
        [false, true],
      ],
    );
    const { createdAt, updatedAt, metadata, id, expiresAt } = writes[0]?.documents[3] ?? {};
    assert.deepEqual([createdAt, updatedAt, metadata, id, expiresAt], [1, 1, { n: 3 }, "3", 8e15]);
  });
  test("a reindexing that fails is abandoned, also when it is aborted", async () => {
    let calls = 0;
    const memory = memoryOn({
      embedding: (batch) => {
        calls += 1;
        if (calls > 1) throw new Error("no credit");
        return batch.map(() => [1, 1]);
      },
    });
    await memory.add("a");
    await assert.rejects(memory.reindex(), { code: "ERR_EMBEDDING_FAILED" });
    assert.equal(FakeMemory.last.calls.at(-1)?.op, "reindexAbandon");
    calls = 0;
    const controller = new AbortController();
    const abandoned = gate();
    FakeMemory.hook = ({ op }) => {
      if (op === "reindexRead") controller.abort();
      if (op === "reindexAbandon") abandoned.open();
      return undefined;
    };
    await assert.rejects(memory.reindex({ signal: controller.signal }), { code: "ERR_WAIT_ABORTED" });
    await abandoned.opened;
  });
  test("export and import name the file", async () => {
    const memory = memoryOn({ onConflict: "skip", dedupe: true });
    FakeMemory.hook = ({ op }) => (op === "export" ? { value: { documents: 3 } } : undefined);
    assert.deepEqual(await memory.export("out.jsonl", { filter: { a: 1 }, vectors: true }), { documents: 3 });
    await memory.import("in.jsonl");
    assert.deepEqual(FakeMemory.last.calls, [
      { op: "export", collection: "documents", path: resolve("out.jsonl"), vectors: true, filter: { a: 1 } },
      { op: "import", collection: "documents", path: resolve("in.jsonl"), conflict: "skip", dedupe: true },
    ]);
  });
  test("import with a schema reads the file here, and tells of bad lines", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "master-agent-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "in.jsonl");
    const lines = [
      '{"id":"a","text":"one","metadata":{"n":1},"createdAt":5,"updatedAt":6,"other":true}',
      "",
      "{",
      '{"id":"b"}',
      '{"id":"c","text":"three","metadata":{"n":"x"}}',
      '{"id":"d","text":"four","metadata":{"n":4},"expiresAt":null}',
      '{"id":"a","text":"again","metadata":{"n":9}}',
    ];
    writeFileSync(file, lines.join("\r\n"));
    const memory = memoryOn({ metadataSchema: schema });
    const seen: unknown[] = [];
    const { failed, ...counts } = await memory.import(file, { onConflict: "skip", onProgress: (one) => seen.push(one) });
    assert.deepEqual(counts, { added: 2, replaced: 0, skipped: 1, unchanged: 0 });
    assert.deepEqual(
      failed.map(({ line }) => line),
      [3, 4, 5],
    );
    assert.match(failed[2]?.message ?? "", /must be a number/);
    const a = await memory.get("a");
    assert.deepEqual([a?.text, a?.metadata, a?.createdAt, a?.updatedAt], ["one", { n: 2 }, 5, 6]);
    assert.equal((seen.at(-1) as { total: number }).total, readFileSync(file).length);
    await assert.rejects(memory.import(join(folder, "none")), {
      code: "ERR_INPUT_INVALID",
      message: /none: there is no such file/,
    });
    await assert.rejects(memory.import(folder), { code: "ERR_STORE_OPEN" });
  });
});

describe("ends of calls", () => {
  const hang = () => {
    const open = gate();
    FakeMemory.hook = async ({ op }) => {
      if (op !== "cancel") await open.opened;
      return undefined;
    };
    return open;
  };
  test("a timeout ends the wait at once and cancels the call", async () => {
    const open = hang();
    const memory = memoryOn();
    const begun = performance.now();
    await assert.rejects(memory.search("a", { timeout: 20 }), {
      code: "ERR_WAIT_TIMEOUT",
      retryable: true,
      message: /search did not end within 20 ms/,
    });
    assert.ok(performance.now() - begun < 30_000);
    const [search, cancel] = FakeMemory.last.calls;
    assert.deepEqual([search?.request, cancel?.op, cancel?.target], [1, "cancel", 1]);
    open.open();
  });
  test("a signal ends the wait, with its reason as the cause", async () => {
    hang();
    const controller = new AbortController();
    const memory = memoryOn();
    const calls = [memory.add("a", undefined, { signal: controller.signal }), memory.reindex({ signal: controller.signal })];
    const reason = new Error("enough");
    controller.abort(reason);
    for (const call of calls) await assert.rejects(call, { code: "ERR_WAIT_ABORTED", cause: reason });
    const sent = FakeMemory.last.calls.length;
    await assert.rejects(memory.count(undefined, { signal: controller.signal }), { code: "ERR_WAIT_ABORTED", cause: reason });
    assert.equal(FakeMemory.last.calls.length, sent, "a signal that is aborted already asks nothing");
  });
  test("no listener and no timer stays behind", async () => {
    const memory = memoryOn();
    const controller = new AbortController();
    let listeners = 0;
    const { signal } = controller;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: unknown[]) => {
      listeners += 1;
      add(...(args as Parameters<typeof add>));
    };
    signal.removeEventListener = (...args: unknown[]) => {
      listeners -= 1;
      remove(...(args as Parameters<typeof remove>));
    };
    const timers = () => process.getActiveResourcesInfo().filter((one) => one === "Timeout").length;
    const before = timers();
    for (let n = 0; n < 20; n++) await memory.search("a", { signal, timeout: 60_000 });
    assert.equal(listeners, 0);
    assert.equal(timers(), before);
  });
  test("an abort reaches the user's function, and addMany reads no more", async () => {
    const controller = new AbortController();
    const reached = gate<AbortSignal>();
    const memory = memoryOn({
      embedding: (_batch, { signal }) => {
        reached.open(signal);
        return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      },
    });
    let read = 0;
    const ended = gate();
    function* source() {
      try {
        for (; ; read++) yield { text: `${read}` };
      } finally {
        ended.open();
      }
    }
    const adding = memory.addMany(source(), { signal: controller.signal });
    adding.catch(() => undefined);
    const signal = await reached.opened;
    controller.abort();
    await assert.rejects(adding, { code: "ERR_WAIT_ABORTED" });
    assert.equal((signal.reason as { code: string }).code, "ERR_WAIT_ABORTED");
    await ended.opened;
    assert.ok(read < 1_000);
  });
  test("what the engine answers badly is ERR_INTERNAL", async () => {
    FakeMemory.hook = () => {
      throw Object.assign(new Error("odd"), { code: "ERR_UNHEARD_OF" });
    };
    await assert.rejects(memoryOn().count(), { code: "ERR_INTERNAL", message: /ERR_UNHEARD_OF: odd/ });
  });
});

describe("the memory of the process", () => {
  test("is made from the environment at the first use, and anew after it was closed", async () => {
    const folder = freshFolder();
    process.env["LANCEDB_PATH"] = folder;
    const before = FakeMemory.opened.length;
    const added = await api.addRAGDocument("Some fact or note.", { source: "user" });
    assert.equal(added.status, "added");
    await api.addDocument({ id: "b", text: "another note" });
    await api.addDocument("in a place of its own", {}, { collection: "other" });
    await api.addRAGDocuments(["x", { text: "y" }]);
    await api.addDocuments(["z"], { collection: "other" });
    const hits = await api.ragRetrieve("fact or", { limit: 5, filter: { source: "user" } });
    assert.deepEqual(
      hits.map(({ text }) => text),
      ["Some fact or note."],
    );
    assert.equal((await api.search("place", { collection: "other", limit: 1 }))[0]?.text, "in a place of its own");
    assert.equal((await api.embedOne("a")).length, 4);
    assert.equal((await api.embedBatch(["a", "b"])).length, 2);
    assert.equal(FakeMemory.opened.length, before + 1);
    const connection = await api.getConnection();
    assert.equal(connection.path, resolve(folder));
    assert.deepEqual(await connection.tableNames(), ["documents", "other"]);
    assert.equal((await connection.collections())[0]?.documents, 4);
    assert.equal(connection.memory, defaults.defaultMemory());
    await connection.close();
    assert.equal((await api.ragRetrieve("fact", { limit: 1 }))[0]?.text, "Some fact or note.");
    assert.equal(FakeMemory.opened.length, before + 2);
    await using again = await api.getConnection();
    assert.notEqual(again.memory, connection.memory);
    delete process.env["LANCEDB_PATH"];
  });
});

describe("context.memory", () => {
  test("is the master's, ends with the task's signal, and cannot be closed there", async () => {
    const memory = memoryOn();
    await memory.add("red apple");
    await using master = new MasterAgent({ store: freshFolder(), memory });
    const agent = registerSubAgent({
      agentType: "reader",
      async run(query: string, context) {
        assert.equal(context.memory, context.memory);
        await context.memory.close();
        await context.memory.collection("notes").add("a note");
        return (await context.memory.search(query)).map(({ text }) => text);
      },
    });
    assert.deepEqual(await master.run(agent, "apple"), ["red apple"]);
    assert.equal(memory.closed, false);
    const started = gate();
    const outcome = gate<unknown>();
    FakeMemory.hook = async ({ op }) => {
      if (op === "search") {
        started.open();
        await new Promise(() => {});
      }
      return undefined;
    };
    registerSubAgent(
      {
        agentType: "reader",
        run: (query: string, context) =>
          context.memory.search(query).catch((error: unknown) => {
            outcome.open(error);
            throw error;
          }),
      },
      { replace: true },
    );
    const handle = await master.spawn({ agentType: "reader", input: "apple" });
    await started.opened;
    await master.cancel(handle);
    const error = (await outcome.opened) as InstanceType<typeof errors.MasterAgentError>;
    assert.equal(error.code, "ERR_WAIT_ABORTED");
    assert.equal((error.cause as { code: string }).code, "ERR_TASK_CANCELLED");
    unregisterSubAgent("reader");
  });
  test("is that of the process where the master has none", async () => {
    await using master = new MasterAgent({ store: freshFolder() });
    const agent = registerSubAgent({ agentType: "path", run: (_: null, { memory }) => memory.path });
    assert.equal(await master.run(agent, null), defaults.defaultMemory().path);
    unregisterSubAgent("path");
  });
  test("a closed memory is refused at once", async () => {
    const memory = memoryOn();
    await memory.close();
    assert.throws(() => new MasterAgent({ autostart: false, memory }), { code: "ERR_CLOSED" });
  });
});
