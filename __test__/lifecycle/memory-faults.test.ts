/** A memory whose disk, folder, model or runtime cannot be used: a coded error that names the file and says what to do, and no loss. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { type MasterAgentError, Memory } from "master-agent";
import { textOf } from "../fixtures/memory-words.mjs";
import { script } from "../helpers/child.ts";
import { CANNOT_MOUNT, enlarge, isLinux, isRoot, mounted, NOBODY, smallDisk } from "../helpers/faults.ts";
import { PATIENCE } from "../helpers/long.ts";
import { memoryFor } from "../helpers/memory-hold.ts";
import { folderFor } from "../helpers/place.ts";
import { root } from "../helpers/program.ts";
import { soon, until } from "../helpers/until.ts";

const words = pathToFileURL(join(root, "__test__", "fixtures", "memory-words.mjs")).href;
/** The sources of scripts begin so: a memory `open`s with vectors that cost nothing. */
const PRELUDE = `
  const { wordEmbedding, textOf, CHUNKING } = await import(${JSON.stringify(words)});
  const open = (path, more = {}) => new api.Memory({ path, embedding: wordEmbedding(api), chunking: CHUNKING, ...more });
  const told = async (name, call) => {
    try { return say([name, null, JSON.stringify((await call()) ?? null).slice(0, 200)]); }
    catch (error) { say([name, error.code, error.message, error.retryable, error instanceof api.MasterAgentError]); }
  };
`;

interface Told {
  name: string;
  code: string | null;
  message: string;
  retryable: boolean;
}

function toldBy(lines: readonly unknown[]): Told[] {
  return (lines as [string, string | null, string, boolean, boolean][]).map(([name, code, message, retryable, ours]) => {
    assert.ok(code === null || ours, `${name}: ${code} ${message}`);
    return { name, code, message, retryable };
  });
}

/** A memory with some documents, closed. */
async function made(t: TestContext, documents = 30): Promise<string> {
  const folder = join(folderFor(t), "memory");
  await using memory = memoryFor(t, folder);
  await memory.addMany(Array.from({ length: documents }, (_, n) => ({ id: `d${n}`, text: textOf(`d${n}`, 1), metadata: { n } })));
  await memory.optimize();
  return folder;
}

test("a full disk: what was acknowledged stays, and the same process goes on when there is room", {
  skip: CANNOT_MOUNT,
  timeout: 4 * PATIENCE,
}, async (t) => {
  const folder = folderFor(t);
  if (!smallDisk(t, folder)) {
    return;
  }
  const source = `${PRELUDE}
    const memory = open(args[0]);
    const acknowledged = new Set();
    const tried = new Set();
    let failure;
    const batch = (n) => Array.from({ length: 20 }, (_, i) => ({ id: "d" + (n * 20 + i), text: textOf("d" + (n * 20 + i), 1), metadata: { filling: String(Math.random()).repeat(100) } }));
    const add = async (n) => {
      const documents = batch(n);
      for (const { id } of documents) tried.add(id);
      await memory.addMany(documents);
      for (const { id } of documents) acknowledged.add(id);
    };
    let n = 0;
    while (failure === undefined && n < 3000) {
      const outcomes = await Promise.allSettled([add(n++), add(n++), add(n++)]);
      failure = outcomes.find(({ status }) => status === "rejected")?.reason;
    }
    const inFull = [];
    for (const call of [
      () => memory.get("d0"), () => memory.count(), () => memory.search("harbour", { mode: "vector" }),
      () => memory.search("harbour", { mode: "text" }), () => memory.optimize(), () => memory.delete("d1"),
      () => memory.update("d2", { metadata: { a: 1 } }), () => memory.export(args[0] + "/export.jsonl"),
    ]) {
      try { await call(); inFull.push(null); } catch (error) { inFull.push([error.code, error.message]); }
    }
    say({ failure: { code: failure?.code, message: failure?.message, retryable: failure?.retryable }, acknowledged: acknowledged.size, inFull });
    let tries = 0;
    for (const end = Date.now() + 60000; Date.now() < end; tries++) {
      try { await add(n++); break; } catch (error) { await new Promise((resolve) => setTimeout(resolve, 50)); }
    }
    await memory.optimize();
    await add(n++);
    const deleted = inFull[5] === null;
    const ids = [...acknowledged].filter((id) => !deleted || id !== "d1");
    const found = await memory.getMany(ids);
    const lost = ids.filter((id, index) => found[index]?.text !== textOf(id, 1));
    const listed = [];
    for await (const { id } of memory.documents({ limit: 1000 })) listed.push(id);
    const halves = new Set();
    for (let batch = 0; batch < n; batch++) {
      const there = listed.filter((id) => Math.floor(Number(id.slice(1)) / 20) === batch).length;
      if (there !== 0 && there !== 20 && !(batch === 0 && there === 19)) halves.add(batch);
    }
    const hits = await memory.search("harbour boat", { mode: "text", limit: 1000 });
    say({ lost, twice: listed.length - new Set(listed).size, halves: [...halves], strange: listed.filter((id) => !tried.has(id)), found: hits.length > 0, count: (await memory.count()) === listed.length });
    await memory.close();
  `;
  const end = await script(t, source, [folder], {
    onLine: (line) => {
      if (line.includes("failure")) {
        enlarge(folder);
      }
    },
  });
  assert.equal(end.code, 0, end.stderr);
  assert.equal(end.stderr, "");
  const [full, after] = end.lines as [
    { failure: Told; acknowledged: number; inFull: ([string, string] | null)[] },
    Record<string, unknown>,
  ];
  assert.ok(full.acknowledged > 0);
  assert.deepEqual([full.failure.code, full.failure.retryable], ["ERR_STORE_FULL", true], full.failure.message);
  assert.ok(full.failure.message.includes(folder), full.failure.message);
  assert.match(full.failure.message, /space/i);
  const [get, count, near, text, ...writes] = full.inFull;
  assert.deepEqual([get, count, near, text], [null, null, null, null], "reading needs no room");
  for (const outcome of writes) {
    assert.ok(outcome === null || outcome[0] === "ERR_STORE_FULL", JSON.stringify(outcome));
    assert.ok(outcome === null || outcome[1].includes(folder), JSON.stringify(outcome));
  }
  assert.deepEqual(after, { lost: [], twice: 0, halves: [], strange: [], found: true, count: true });
});

const READS = `
  await told("get", () => memory.get("d7"));
  await told("list", () => memory.list({ limit: 3 }));
  await told("count", () => memory.count({ n: { lt: 10 } }));
  await told("stats", () => memory.stats());
  await told("collections", () => memory.collections());
  for (const mode of ["hybrid", "vector", "text"]) await told("search", () => memory.search("harbour", { mode }));
`;
const WRITES = `
  await told("add", () => memory.add({ id: "new", text: "new" }));
  await told("replace", () => memory.add({ id: "d7", text: "new" }));
  await told("update", () => memory.update("d7", { text: "new" }));
  await told("delete", () => memory.delete("d7"));
  await told("deleteMany", () => memory.deleteMany({ n: { lt: 10 } }));
  await told("other collection", () => memory.collection("other").add("new"));
  await told("drop", () => memory.dropCollection("documents"));
  await told("reindex", () => memory.reindex());
`;

/** Reads answer and writes are refused. */
function readOnly(told: readonly Told[], folder: string): void {
  const reads = new Set(["get", "list", "count", "stats", "collections", "search"]);
  for (const { name, code, message } of told) {
    assert.equal(code, reads.has(name) ? null : "ERR_STORE_READ_ONLY", `${name}: ${message}`);
    if (code !== null) {
      assert.ok(message.includes(folder), `${name}: ${message}`);
    }
  }
  assert.equal(told.length, 16);
}

/** All files of a folder with their size and time. */
function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const { size, mtimeMs } = statSync(path);
      return `${path} ${size} ${mtimeMs}`;
    })
    .sort();
}

test("a folder that this user may not write to: it is read, and writes say so", {
  skip: isRoot ? false : "another user is needed, whom only root can become",
}, async (t) => {
  const folder = await made(t);
  chmodSync(join(folder, ".."), 0o755);
  const before = filesIn(folder);
  const source = `${PRELUDE} const memory = open(args[0]); ${READS} ${WRITES} await memory.close();`;
  const end = await script(t, source, [folder], { uid: NOBODY });
  assert.deepEqual([end.code, end.stderr], [0, ""]);
  readOnly(toldBy(end.lines), folder);
  assert.deepEqual(filesIn(folder), before, "nothing was touched");
  const none = join(folder, "..", "not-there");
  const making = await script(t, `${PRELUDE} const memory = open(args[0]); await told("add", () => memory.add("a"));`, [none], {
    uid: NOBODY,
  });
  const [told] = toldBy(making.lines);
  assert.equal(told?.code, "ERR_STORE_READ_ONLY", told?.message);
  assert.ok(told?.message.includes(none), told?.message);
  chmodSync(folder, 0o000);
  const closed = await script(t, `${PRELUDE} const memory = open(args[0]); ${READS} ${WRITES}`, [folder], { uid: NOBODY });
  chmodSync(folder, 0o755);
  assert.deepEqual([closed.code, closed.stderr], [0, ""]);
  for (const { name, code, message } of toldBy(closed.lines)) {
    assert.ok(
      code === "ERR_STORE_READ_ONLY" || code === "ERR_STORE_OPEN",
      `${name} of a folder that is closed: ${code} ${message}`,
    );
    assert.ok(message.includes(folder), message);
  }
  assert.deepEqual(filesIn(folder), before);
});

test("a file system that is read-only", {
  skip: CANNOT_MOUNT,
}, async (t) => {
  const folder = await made(t);
  if (!mounted(t, folder, "--bind", folder)) {
    return;
  }
  execFileSync("mount", ["-o", "remount,bind,ro", folder]);
  const end = await script(t, `${PRELUDE} const memory = open(args[0]); ${READS} ${WRITES} await memory.close();`, [folder]);
  assert.deepEqual([end.code, end.stderr], [0, ""]);
  readOnly(toldBy(end.lines), folder);
});

test("readOnly: reads answer, writes are refused, and no file is touched", async (t) => {
  const folder = await made(t);
  const before = filesIn(folder);
  const source = `${PRELUDE} const memory = open(args[0], { readOnly: true }); ${READS} ${WRITES} await memory.close();`;
  const end = await script(t, source, [folder]);
  assert.deepEqual([end.code, end.stderr], [0, ""]);
  readOnly(toldBy(end.lines), folder);
  assert.deepEqual(filesIn(folder), before);
  const none = join(folder, "none");
  await using empty = memoryFor(t, none, { readOnly: true });
  assert.deepEqual([await empty.count(), await empty.search("a"), await empty.get("a")], [0, [], null]);
  assert.ok(!existsSync(none));
});

test("LANCEDB_PATH that names a file, or something below a file", async (t) => {
  const file = join(folderFor(t), "file");
  writeFileSync(file, "mine");
  for (const path of [file, join(file, "memory")]) {
    const source = `
      for (const [name, call] of [
        ["addDocument", () => api.addDocument("a")], ["ragRetrieve", () => api.ragRetrieve("a", { mode: "text" })],
        ["getConnection", () => api.getConnection()],
      ]) {
        try { say([name, null, JSON.stringify(await call())]); }
        catch (error) { say([name, error.code, error.message, error.retryable, error instanceof api.MasterAgentError]); }
      }
    `;
    const end = await script(t, source, [], { env: { LANCEDB_PATH: path } });
    assert.deepEqual([end.code, end.stderr], [0, ""]);
    for (const { name, code, message } of toldBy(end.lines)) {
      assert.equal(code, "ERR_STORE_OPEN", `${name} at ${path}: ${message}`);
      assert.ok(message.includes(file), message);
      assert.match(message, /LANCEDB_PATH/);
    }
    assert.equal(end.lines.length, 3);
  }
  assert.equal(readFileSync(file, "utf8"), "mine");
});

test("a file in the place of a table, and an empty folder in its place", async (t) => {
  const folder = folderFor(t);
  writeFileSync(join(folder, "documents.lance"), "mine");
  await using memory = memoryFor(t, folder);
  for (const call of [() => memory.add("a"), () => memory.search("a"), () => memory.count(), () => memory.get("a")]) {
    await assert.rejects(soon<unknown>("an answer", call()), (error: MasterAgentError) => {
      assert.match(error.code, /^ERR_STORE_(OPEN|CORRUPT)$/, error.message);
      assert.ok(error.message.includes(join(folder, "documents.lance")), error.message);
      return true;
    });
  }
  assert.equal(readFileSync(join(folder, "documents.lance"), "utf8"), "mine");
  mkdirSync(join(folder, "empty.lance"));
  const empty = memory.collection("empty");
  assert.deepEqual([await empty.count(), await empty.search("a")], [0, []]);
  await empty.add({ id: "a", text: textOf("d1", 1) });
  assert.equal((await empty.search("harbour"))[0]?.id, "a");
});

test("a folder that is removed while it is in use, and one that is moved away and back", { timeout: 4 * PATIENCE }, async (t) => {
  const above = folderFor(t);
  const folder = join(above, "memory");
  await using memory = memoryFor(t, folder);
  const add = (id: string) => memory.add({ id, text: textOf(id, 1), metadata: {} });
  for (const id of ["d1", "d2", "d3"]) {
    await add(id);
  }
  assert.equal((await memory.search("harbour")).length, 3);
  renameSync(folder, join(above, "elsewhere"));
  const coded = async <T>(what: string, call: Promise<T>): Promise<T | undefined> => {
    try {
      return await soon(what, call);
    } catch (error) {
      assert.match(
        (error as MasterAgentError).code ?? String(error),
        /^ERR_(STORE_|MEMORY_NOT_FOUND)/,
        `${what}: ${String(error)}`,
      );
      return undefined;
    }
  };
  // Nothing is there: an empty answer, or an error with a code; never one of the documents.
  assert.ok(!(await coded("get", memory.get("d1"))));
  assert.ok(!(await coded("count", memory.count())));
  assert.deepEqual((await coded("search", memory.search("harbour"))) ?? [], []);
  rmSync(folder, { recursive: true, force: true });
  renameSync(join(above, "elsewhere"), folder);
  await until("it is there again", async () => (await coded("get", memory.get("d1")))?.text === textOf("d1", 1));
  assert.equal(await memory.count(), 3);
  await add("d4");
  assert.equal((await memory.search("harbour")).length, 4);

  rmSync(folder, { recursive: true });
  const during = await Promise.allSettled(["d5", "d6", "d7"].map(add));
  for (const one of during) {
    assert.ok(
      one.status === "fulfilled" || /^ERR_STORE_/.test((one.reason as MasterAgentError).code),
      String(Object.values(one)),
    );
  }
  await until("it can be written to again", async () => (await coded("add", add("d8"))) !== undefined);
  const ids: string[] = [];
  for await (const { id } of memory.documents()) {
    ids.push(id);
  }
  assert.deepEqual(
    ids.filter((id) => !["d5", "d6", "d7", "d8"].includes(id)),
    [],
    "what was removed does not come back",
  );
  during.forEach((one, index) => {
    assert.ok(one.status === "rejected" || ids.includes(`d${5 + index}`), "what was acknowledged is there");
  });
  assert.equal((await memory.search("harbour")).length, ids.length);
});

test("a collection that is dropped while documents are added to it stays usable", { timeout: 4 * PATIENCE }, async (t) => {
  const folder = folderFor(t);
  await using memory = memoryFor(t, folder);
  await using other = memoryFor(t, folder);
  for (let round = 0; round < 12; round++) {
    const dropper = round % 2 === 0 ? memory : other;
    await memory.add({ id: `d${round}`, text: textOf(`d${round}`, 1) });
    const outcomes = await Promise.allSettled([
      ...Array.from({ length: 6 }, (_, n) => memory.add({ id: `d${100 + n}`, text: textOf(`d${100 + n}`, 1) })),
      dropper.dropCollection("documents"),
      ...Array.from({ length: 6 }, (_, n) => other.add({ id: `d${200 + n}`, text: textOf(`d${200 + n}`, 1) })),
      memory.search("harbour"),
      other.count(),
    ]);
    for (const outcome of outcomes) {
      const code = outcome.status === "rejected" ? (outcome.reason as MasterAgentError).code : "";
      assert.ok(
        !["ERR_STORE_CORRUPT", "ERR_INTERNAL", undefined].includes(code),
        `round ${round}: ${String(Object.values(outcome))}`,
      );
    }
    // One of them makes it anew, the other has seen the one before.
    await dropper.dropCollection("documents");
    await dropper.add({ id: "d300", text: textOf("d300", 1) });
    const second = dropper === memory ? other : memory;
    await second.add({ id: "d301", text: textOf("d301", 1) });
    for (const [name, one] of Object.entries({ memory, other, fresh: memoryFor(t, folder) })) {
      const what = `round ${round}, ${name}`;
      assert.deepEqual(
        (await one.list()).documents.map(({ id }) => id),
        ["d300", "d301"],
        what,
      );
      assert.deepEqual((await one.search("harbour")).map(({ id }) => id).sort(), ["d300", "d301"], what);
    }
  }
});

/** A copy of the package whose model can be damaged; the addon and the runtime library are those of the original. */
function packageWithModel(t: TestContext): { entry: string; model: string } {
  const copy = folderFor(t);
  for (const name of readdirSync(root)) {
    if (/^(package\.json|index\.m?js|binding\.js|dist)$/.test(name)) {
      cpSync(join(root, name), join(copy, name), { recursive: true });
    } else if (name.endsWith(".node") || name === "node_modules") {
      symlinkSync(join(root, name), join(copy, name));
    }
  }
  const model = join(copy, "npm", "model-all-minilm-l6-v2");
  cpSync(join(root, "npm", "model-all-minilm-l6-v2"), model, { recursive: true });
  return { entry: pathToFileURL(join(copy, "index.mjs")).href, model };
}

const EMBED = `
  const { Memory, MasterAgentError, createEmbeddingFunction, embedOne } = await import(args[0]);
  const memory = new Memory({ path: args[1] });
  for (const [name, call] of [
    ["add", () => memory.add("a text")], ["embedOne", () => memory.embedOne("a text")],
    ["function", () => createEmbeddingFunction().embedOne("a text")], ["again", () => memory.add("a text")],
  ]) {
    try { await call(); say([name, null, "an answer"]); }
    catch (error) { say([name, error.code, error.message, error.retryable, error instanceof MasterAgentError]); }
  }
  await memory.close();
`;

test("a model whose files are damaged or missing", { timeout: 5 * PATIENCE }, async (t) => {
  const { entry, model } = packageWithModel(t);
  const damages: [string, string, (file: string) => void][] = [
    ["model.onnx", "missing", (file) => rmSync(file)],
    ["model.onnx", "cut in half", (file) => truncateSync(file, Math.floor(statSync(file).size / 2))],
    ["model.onnx", "overwritten in the middle", (file) => overwrite(file, 10_000_000, 5_000)],
    ["model.onnx", "a text", (file) => writeFileSync(file, "version https://git-lfs.github.com/spec/v1\n")],
    ["tokenizer.json", "missing", (file) => rmSync(file)],
    ["tokenizer.json", "cut in half", (file) => truncateSync(file, Math.floor(statSync(file).size / 2))],
    ["tokenizer.json", "one byte other", (file) => overwrite(file, 100_000, 1)],
    ["model.json", "missing", (file) => rmSync(file)],
    ["model.json", "empty", (file) => truncateSync(file, 0)],
    ["model.json", "a folder", replaceByFolder],
  ];
  for (const [name, what, damage] of damages) {
    const file = join(model, name);
    damage(file);
    const end = await script(t, EMBED, [entry, folderFor(t)]);
    assert.deepEqual([end.code, end.signal, end.stderr], [0, null, ""], `${name} ${what}`);
    const told = toldBy(end.lines);
    assert.equal(told.length, 4);
    for (const one of told) {
      assert.equal(one.code, "ERR_MODEL_LOAD", `${name} ${what}: ${one.message}`);
      assert.ok(one.message.includes(file), `${name} ${what}: ${one.message}`);
      assert.match(one.message, /install|may read/i, `${name} ${what}: ${one.message}`);
    }
    rmSync(file, { recursive: true, force: true });
    copyFileSync(join(root, "npm", "model-all-minilm-l6-v2", name), file);
  }
  const end = await script(t, EMBED, [entry, folderFor(t)]);
  assert.deepEqual(
    toldBy(end.lines).map(({ code }) => code),
    [null, null, null, null],
    "the copy itself works",
  );
});

function replaceByFolder(file: string): void {
  rmSync(file);
  mkdirSync(file);
}

function overwrite(file: string, from: number, length: number): void {
  const bytes = readFileSync(file);
  for (let at = from; at < Math.min(from + length, bytes.length); at++) {
    bytes[at] = (bytes[at] as number) ^ 0xa5;
  }
  writeFileSync(file, bytes);
}

test("a runtime library that is missing, or is none", { timeout: 4 * PATIENCE }, async (t) => {
  const folder = folderFor(t);
  const whole = join(root, "libonnxruntime.so");
  const places: [string, (path: string) => void][] = [
    ["missing", () => {}],
    ["a text", (path) => writeFileSync(path, "not a library")],
    ["empty", (path) => writeFileSync(path, "")],
    ["a folder", (path) => mkdirSync(path)],
  ];
  if (isLinux) {
    places.push(
      ["cut in half", (path) => writeFileSync(path, readFileSync(whole).subarray(0, statSync(whole).size / 2))],
      ["another library", (path) => symlinkSync(process.execPath, path)],
    );
  }
  const entry = pathToFileURL(join(root, "index.mjs")).href;
  for (const [what, make] of places) {
    const path = join(folder, `${what.replaceAll(" ", "-")}.so`);
    make(path);
    const end = await script(t, EMBED, [entry, folderFor(t)], { env: { ORT_DYLIB_PATH: path } });
    assert.deepEqual([end.code, end.signal, end.stderr], [0, null, ""], what);
    for (const { code, message } of toldBy(end.lines)) {
      assert.equal(code, "ERR_RUNTIME_LOAD", `${what}: ${message}`);
      assert.ok(message.includes(path), `${what}: ${message}`);
      assert.match(message, /install|ORT_DYLIB_PATH/i, message);
    }
    assert.equal(end.lines.length, 4);
  }
  // What needs no model works without it.
  const source = `${PRELUDE} const memory = open(args[0]); await told("add", () => memory.add("a")); await told("search", () => memory.search("a"));`;
  const end = await script(t, source, [folderFor(t)], { env: { ORT_DYLIB_PATH: join(folder, "missing.so") } });
  assert.deepEqual(
    toldBy(end.lines).map(({ code }) => code),
    [null, null],
    end.stdout,
  );
});

test("a collection of another model is refused, whole before and after", async (t) => {
  const folder = await made(t);
  await using memory = new Memory({
    path: folder,
    embedding: async (texts: string[]) => texts.map(() => [1, 2, 3]),
  });
  for (const call of [
    () => memory.add("a"),
    () => memory.search("harbour"),
    () => memory.search("harbour", { mode: "text" }),
    () => memory.update("d1", { text: "a" }),
  ]) {
    await assert.rejects(call(), (error: MasterAgentError) => {
      assert.equal(error.code, "ERR_MEMORY_MODEL", error.message);
      assert.ok(error.message.includes(folder) && /reindex/.test(error.message), error.message);
      return true;
    });
  }
  assert.equal(await memory.count(), 30);
});
