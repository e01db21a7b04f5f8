/** Every bad input to memory is a coded error that names the field, and reaches no engine. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import fc from "fast-check";
import { FakeMemory, filters, freshFolder, useFakeMemory } from "../helpers/fake-memory.ts";
import { api, errors } from "../helpers/ts.ts";

useFakeMemory();
const { Memory, MasterAgent, createEmbeddingFunction, addDocument, addRAGDocument, ragRetrieve, search, addDocuments } = api;
const memory = new Memory({ path: freshFolder() });
after(() => memory.close());

/** A value that the types would refuse. */
const loose = (value: unknown): never => value as never;

async function refused(call: () => unknown, field: string, message?: RegExp, code = "ERR_INPUT_INVALID"): Promise<void> {
  let error: unknown;
  try {
    await call();
  } catch (thrown) {
    error = thrown;
  }
  assert.ok(error instanceof errors.MasterAgentError, `${field}: ${String(error)}`);
  assert.equal(error.code, code, error.message);
  assert.equal(error.details?.["field"], field);
  assert.ok(error.message.startsWith(`${field} `), error.message);
  if (message) assert.match(error.message, message);
}

describe("documents", () => {
  const document = { text: "a" };
  const cases: [string, unknown, string, RegExp?][] = [
    ["null", null, "", /must be an object with text, not null/],
    ["a number", 1, ""],
    ["a list", [], ""],
    ["no text", {}, "text", /must be a string, not undefined/],
    ["a text that is a number", { text: 1 }, "text"],
    ["an empty id", { ...document, id: "" }, "id", /empty/],
    ["an id that is a number", { ...document, id: 7 }, "id"],
    ["an id that is too long", { ...document, id: "x".repeat(1_025) }, "id", /1024/],
    ["an id that is not Unicode", { ...document, id: "\ud800" }, "id", /surrogate/],
    ["a misspelled member", { ...document, metdata: {} }, "metdata", /did you mean metadata\?/],
    ["metadata that is a list", { ...document, metadata: [] }, "metadata", /must be an object/],
    ["metadata that is null", { ...document, metadata: null }, "metadata"],
    ["metadata that is a Date", { ...document, metadata: new Date(0) }, "metadata", /JSON object/],
    ["a ttl of 0", { ...document, ttl: 0 }, "ttl"],
    ["a ttl that is endless", { ...document, ttl: Number.POSITIVE_INFINITY }, "ttl"],
    ["both times", { ...document, ttl: 1, expiresAt: 1 }, "ttl", /together/],
    ["an invalid date", { ...document, expiresAt: new Date(Number.NaN) }, "expiresAt", /invalid/],
    ["a date that is text", { ...document, expiresAt: "2026-01-01" }, "expiresAt"],
  ];
  for (const [name, value, field, message] of cases) {
    test(`${name} names ${field === "" ? "document" : field}`, () =>
      refused(() => memory.add(loose(value)), field || "document", message));
    test(`${name} names its place in addMany`, () =>
      refused(
        () => memory.addMany(loose([document, value])),
        field === "" ? "documents[1]" : `documents[1].${field}`,
        message && new RegExp(message.source),
      ));
  }
  test("the path of a fault in metadata", async () => {
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    const faults: [unknown, string][] = [
      [{ a: [1n] }, "metadata.a[0]"],
      [{ fn() {} }, "metadata.fn"],
      [{ n: Number.NaN }, "metadata.n"],
      [{ "a b": new Map() }, 'metadata["a b"]'],
      [circle, "metadata.self"],
    ];
    for (const [metadata, field] of faults) {
      await refused(() => memory.add({ text: "a", metadata: loose(metadata) }), field, undefined, "ERR_INPUT_NOT_SERIALIZABLE");
    }
  });
  test("limits of texts and metadata name the option to raise", async () => {
    const small = new Memory({ path: freshFolder(), maxTextBytes: 6, maxMetadataBytes: 20 });
    await refused(() => small.add("1234567"), "text", /maxTextBytes/, "ERR_INPUT_TOO_LARGE");
    await refused(() => small.add("äöüß"), "text", /6 bytes/, "ERR_INPUT_TOO_LARGE");
    assert.equal((await small.add("äöü")).status, "added");
    await refused(
      () => small.add({ text: "", metadata: { a: "x".repeat(20) } }),
      "metadata",
      /maxMetadataBytes/,
      "ERR_INPUT_TOO_LARGE",
    );
    await refused(() => small.search("1234567"), "query", /maxTextBytes/, "ERR_INPUT_TOO_LARGE");
    await small.close();
  });
  test("a text of 10 MiB is taken, a byte more is not", async () => {
    await using large = new Memory({ path: freshFolder() });
    assert.equal((await large.add("x".repeat(10 * 1024 * 1024))).status, "added");
    await refused(() => large.add("x".repeat(10 * 1024 * 1024 + 1)), "text", /10485760/, "ERR_INPUT_TOO_LARGE");
  });
  test("100,000 keys are taken as they are", async () => {
    const metadata = Object.fromEntries(Array.from({ length: 100_000 }, (_, n) => [`key ${n}`, n]));
    await using large = new Memory({ path: freshFolder() });
    const { id } = await large.add({ text: "many", metadata });
    assert.deepEqual((await large.get(id))?.metadata, metadata);
  });
  test("nothing of an array is stored when one of it is wrong", async () => {
    const before = await memory.count();
    const many = Array.from({ length: 600 }, (_, n) => ({ text: `${n}`, metadata: { bad: n === 599 ? 1n : 1 } }));
    await refused(() => memory.addMany(loose(many)), "documents[599].metadata.bad", undefined, "ERR_INPUT_NOT_SERIALIZABLE");
    assert.equal(await memory.count(), before);
  });
});

describe("calls", () => {
  const cases: [string, () => unknown, string, RegExp?][] = [
    ["Memory with a misspelled option", () => new Memory(loose({ pth: "x" })), "options.pth", /did you mean path\?/],
    ["Memory with a string", () => new Memory(loose("x")), "options"],
    ["Memory with an empty path", () => new Memory({ path: "" }), "options.path"],
    ["Memory with a zero byte in the path", () => new Memory({ path: "a\0b" }), "options.path"],
    ["Memory on a server", () => new Memory({ path: "s3://bucket/x" }), "options.path", /path of this machine/],
    ["Memory with a bad collection", () => new Memory({ collection: "a b" }), "options.collection"],
    ["Memory with a hidden collection", () => new Memory({ collection: ".a" }), "options.collection"],
    ["Memory with a number as its model", () => new Memory({ embedding: loose(7) }), "options.embedding"],
    ["Memory with a model of both kinds", () => new Memory({ embedding: loose({ model: "a", path: "b" }) }), "options.embedding"],
    ["Memory with a model of no kind", () => new Memory({ embedding: loose({}) }), "options.embedding", /either model or path/],
    ["Memory with half a token", () => new Memory({ chunking: { tokens: 0.5 } }), "options.chunking.tokens"],
    [
      "Memory with too much overlap",
      () => new Memory({ chunking: { tokens: 10, overlap: 10 } }),
      "options.chunking.overlap",
      /0 to 9/,
    ],
    ["Memory with an unknown format", () => new Memory({ chunking: loose({ format: "pdf" }) }), "options.chunking.format"],
    ["Memory with a schema that is none", () => new Memory({ metadataSchema: loose({}) }), "options.metadataSchema"],
    [
      "Memory with onConflict",
      () => new Memory({ onConflict: loose("merge") }),
      "options.onConflict",
      /"replace" or "skip" or "error"/,
    ],
    ["Memory with a text limit of 0", () => new Memory({ maxTextBytes: 0 }), "options.maxTextBytes"],
    ["Memory with readOnly 1", () => new Memory({ readOnly: loose(1) }), "options.readOnly"],
    ["Memory with a download listener", () => new Memory({ onDownload: loose(1) }), "options.onDownload"],
    ["MasterAgent with another memory", () => new MasterAgent({ autostart: false, memory: loose({}) }), "options.memory"],
    ["collection with a bad name", () => memory.collection("a/b"), "name", /letters/],
    ["collection with no name", () => memory.collection(loose(undefined)), "name"],
    ["collection with an unknown option", () => memory.collection("a", loose({ schema: 1 })), "options.schema"],
    ["dropCollection with a bad name", () => memory.dropCollection("../x"), "name"],
    ["addMany with a string", () => memory.addMany(loose("text")), "documents", /iterable/],
    ["addMany with an object", () => memory.addMany(loose({ text: "a" })), "documents"],
    ["addMany with a bad ttl", () => memory.addMany([], { ttl: -1 }), "options.ttl"],
    ["addMany with a bad onProgress", () => memory.addMany([], { onProgress: loose(1) }), "options.onProgress"],
    ["add with a misspelled option", () => memory.add("a", {}, loose({ onConflct: "skip" })), "options.onConflct", /onConflict/],
    ["search without a query", () => memory.search(loose(undefined)), "query"],
    ["search with an empty vector", () => memory.search([]), "query"],
    ["search with a vector of zeros", () => memory.search([0, 0]), "query", /only zeros/],
    ["search with a NaN", () => memory.search([0, Number.NaN]), "query", /NaN at place 1/],
    ["search for words with a vector", () => memory.search([1], { mode: "text" }), "options.mode"],
    ["search with limit 0", () => memory.search("a", { limit: 0 }), "options.limit"],
    ["search with limit 1001", () => memory.search("a", { limit: 1_001 }), "options.limit"],
    ["search with a negative offset", () => memory.search("a", { offset: -1 }), "options.offset"],
    ["search with a mode", () => memory.search("a", { mode: loose("bm25") }), "options.mode"],
    ["search with minScore", () => memory.search("a", { minScore: Number.NaN }), "options.minScore"],
    ["search with a filter of text", () => memory.search("a", { filter: loose("a = 1") }), "options.filter", /must be an object/],
    [
      "search with an undefined member",
      () => memory.search("a", { filter: { tenant: undefined } }),
      "options.filter.tenant",
      /undefined/,
    ],
    [
      "search with one deep down",
      () => memory.search("a", { filter: { or: [{ a: { in: [1, undefined] } }] } }),
      "options.filter.or[0].a.in[1]",
    ],
    ["search with a lone surrogate", () => memory.search("a", { filter: { a: "\udc00" } }), "options.filter", /surrogate/],
    ["search with a huge filter", () => memory.search("a", { filter: { a: "x".repeat(2 ** 20) } }), "options.filter", /at most/],
    ["search with candidates alone", () => memory.search("a", { candidates: 10 }), "options.candidates"],
    ["search with a bad reranker", () => memory.search("a", { rerank: loose("x") }), "options.rerank"],
    ["search with a vector and a reranker", () => memory.search([1], { rerank: () => [] }), "options.rerank", /text/],
    ["search with a timeout of 0", () => memory.search("a", { timeout: 0 }), "options.timeout"],
    ["search with a signal that is none", () => memory.search("a", { signal: loose({}) }), "options.signal"],
    ["get without an id", () => memory.get(loose(undefined)), "id"],
    ["getMany with a string", () => memory.getMany(loose("a")), "ids"],
    ["getMany with a hole", () => memory.getMany(loose(new Array(1))), "ids[0]"],
    ["list with limit 0", () => memory.list({ limit: 0 }), "options.limit"],
    ["list with a number as its cursor", () => memory.list({ cursor: loose(1) }), "options.cursor"],
    ["update without changes", () => memory.update("a", loose(undefined)), "changes"],
    ["update with an unknown change", () => memory.update("a", loose({ txt: "b" })), "changes.txt", /text/],
    ["update with merge alone", () => memory.update("a", { merge: true }), "changes.merge"],
    ["delete without ids", () => memory.delete(loose(undefined)), "ids"],
    ["deleteMany without a filter", () => memory.deleteMany(loose(undefined)), "filter"],
    ["deleteMany with an empty filter", () => memory.deleteMany({}), "filter", /clear\(\)/],
    ["deleteMany with an undefined member", () => memory.deleteMany({ tenant: undefined }), "filter.tenant"],
    ["count with a list", () => memory.count(loose([])), "filter"],
    ["export without a path", () => memory.export(loose(undefined)), "path"],
    ["import without a path", () => memory.import(""), "path"],
    ["embedOne without a text", () => memory.embedOne(loose(1)), "text"],
    ["embedBatch with a hole", () => memory.embedBatch(loose(["a", 1])), "texts[1]"],
    ["embedBatch with a text", () => memory.embedBatch(loose("a")), "texts"],
    ["embedOne with a kind", () => memory.embedOne("a", { kind: loose("q") }), "options.kind"],
    ["split with an unknown option", () => memory.split(["a"], loose({ size: 1 })), "options.size"],
    ["createEmbeddingFunction with a number", () => createEmbeddingFunction({ model: loose(1) }), "options.model"],
    ["createEmbeddingFunction with an empty name", () => createEmbeddingFunction({ model: "" }), "options.model"],
    [
      "createEmbeddingFunction with dimensions of a model",
      () => createEmbeddingFunction({ dimensions: 3 }),
      "options.dimensions",
      /only/,
    ],
    [
      "createEmbeddingFunction with an odd batch",
      () => createEmbeddingFunction({ model: () => [], batchSize: 0 }),
      "options.batchSize",
    ],
    ["addDocument with a bad collection", () => addDocument("a", {}, { collection: "/" }), "options.collection"],
    ["addDocuments with an unknown option", () => addDocuments([], loose({ colection: "a" })), "options.colection", /collection/],
    ["addRAGDocument with a document", () => addRAGDocument(loose({ text: "a" })), "text", /addDocument\(\)/],
    ["ragRetrieve with a vector", () => ragRetrieve(loose([1])), "query", /search\(\)/],
    ["search of the module with a limit", () => search("a", { limit: -1 }), "options.limit"],
  ];
  for (const [name, call, field, message] of cases) {
    test(`${name} names ${field}`, () => refused(async () => call(), field, message));
  }
  test("a bad LANCEDB_PATH is named", async () => {
    process.env["LANCEDB_PATH"] = "s3://bucket";
    try {
      await refused(() => new Memory(), "environment variable LANCEDB_PATH");
    } finally {
      delete process.env["LANCEDB_PATH"];
    }
  });
});

describe("lone surrogates", () => {
  test("in texts and metadata they become U+FFFD, escapes stay", async () => {
    const { id } = await memory.add({ text: "a\ud800b", metadata: { a: "\udfff", b: "\\ud800", c: "😀", "\ud800": "\\\ud800" } });
    const found = await memory.get(id);
    assert.equal(found?.text, "a\ufffdb");
    assert.deepEqual(found?.metadata, { a: "\ufffd", b: "\\ud800", c: "😀", "\ufffd": "\\\ufffd" });
  });
  test("JSON is what it was, but well formed", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)) }), (text) => {
        const around = `\\${text}\\ud800${text}\\`;
        assert.equal(JSON.parse(filters.wellFormedJson(JSON.stringify(around))), around.toWellFormed());
      }),
    );
  });
});

describe("random calls", () => {
  const nearly = fc.oneof(
    fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withNullPrototype: true,
      withSparseArray: true,
      withTypedArray: true,
    }),
    fc.record({ id: fc.anything(), text: fc.string(), metadata: fc.anything(), ttl: fc.anything() }, { requiredKeys: [] }),
    fc.record(
      {
        limit: fc.oneof(fc.nat(10), fc.anything()),
        filter: fc.object(),
        mode: fc.constantFrom("hybrid", "x"),
        timeout: fc.anything(),
      },
      { requiredKeys: [] },
    ),
    fc.array(fc.oneof(fc.string(), fc.record({ text: fc.string() }))),
    fc.string(),
  );
  const calls: Record<string, (args: unknown[]) => unknown> = {
    add: (args) => memory.add(...(args as [never])),
    addMany: (args) => memory.addMany(...(args as [never])),
    search: (args) => memory.search(...(args as [never])),
    get: (args) => memory.get(...(args as [never])),
    getMany: (args) => memory.getMany(...(args as [never])),
    list: (args) => memory.list(...(args as [])),
    update: (args) => memory.update(...(args as [never, never])),
    delete: (args) => memory.delete(...(args as [never])),
    deleteMany: (args) => memory.deleteMany(...(args as [never])),
    count: (args) => memory.count(...(args as [])),
    collection: (args) => memory.collection(...(args as [never])),
    embedBatch: (args) => memory.embedBatch(...(args as [never])),
    split: (args) => memory.split(...(args as [never])),
    stats: (args) => memory.stats(...(args as [])),
    createEmbeddingFunction: (args) => createEmbeddingFunction(...(args as [])),
    Memory: (args) => new Memory(...(args as [])),
  };
  test("answer, or fail with a coded error", async () => {
    const runs = Number(process.env["FUZZ_RUNS"] ?? 3_000);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...Object.keys(calls)), fc.array(nearly, { maxLength: 3 }), async (name, args) => {
        try {
          await calls[name]?.(args);
        } catch (error) {
          assert.ok(error instanceof errors.MasterAgentError, `${name}: ${String((error as Error).stack)}`);
          assert.notEqual(error.code, "ERR_INTERNAL", `${name}: ${error.message}`);
        }
      }),
      { numRuns: runs },
    );
    assert.ok(FakeMemory.opened.length > 0);
  });
});
