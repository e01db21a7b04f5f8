/** Tables whose files were damaged, one at a time: a right answer or a coded error, never a crash, a hang or a wrong document. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import type { MasterAgentError } from "master-agent";
import { groupOf, textOf } from "../fixtures/memory-words.mjs";
import { script } from "../helpers/child.ts";
import { long, PATIENCE, size } from "../helpers/long.ts";
import { memoryFor } from "../helpers/memory-hold.ts";
import { folderFor } from "../helpers/place.ts";
import { root } from "../helpers/program.ts";

const words = pathToFileURL(join(root, "__test__", "fixtures", "memory-words.mjs")).href;
/** In the long form enough rows for an index of vectors. */
const BULK = size(300, 10_200);
const DOCUMENTS = 30;

interface Damage {
  /** What a file is for: its folder and ending, without what differs between tables. */
  kind: string;
  file: string;
  what: string;
  /** Whether nobody can tell that something is missing: the newest version, without which the one before is the newest. */
  silent: boolean;
}

/** A short text: one passage. */
const bulk = (n: number): string => `The harbour of number b${n}.`;

const WAYS: Record<string, (file: string) => void> = {
  removed: (file) => rmSync(file),
  emptied: (file) => truncateSync(file, 0),
  "cut in half": (file) => truncateSync(file, Math.floor(statSync(file).size / 2)),
  "cut by a byte": (file) => truncateSync(file, statSync(file).size - 1),
  "overwritten at its head": (file) => spoil(file, 0, 512),
  "overwritten in the middle": (file) => spoil(file, Math.floor(statSync(file).size / 2), 512),
  "overwritten at its end": (file) => spoil(file, Math.max(0, statSync(file).size - 512), 512),
  overwritten: (file) => spoil(file, 0, statSync(file).size),
  "a folder": (file) => {
    rmSync(file);
    mkdirSync(file);
  },
};

function spoil(file: string, from: number, length: number): void {
  const bytes = readFileSync(file);
  for (let at = from; at < Math.min(from + length, bytes.length); at++) {
    bytes[at] = (bytes[at] as number) ^ 0xa5;
  }
  writeFileSync(file, bytes);
}

/** The newest file of every kind, and the oldest. */
function damages(table: string): Damage[] {
  const kinds = new Map<string, string[]>();
  const entries = readdirSync(table, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  for (const entry of entries) {
    const file = join(entry.parentPath, entry.name).slice(table.length + 1);
    const kind = file.replace(/[0-9a-f]{8}-[0-9a-f-]+|[0-9a-f]{16,}|\d+/g, "#");
    kinds.set(kind, [...(kinds.get(kind) ?? []), file]);
  }
  const found: Damage[] = [];
  for (const [kind, files] of [...kinds].sort()) {
    const byAge = files.sort((a, b) => statSync(join(table, a)).mtimeMs - statSync(join(table, b)).mtimeMs);
    const newest = byAge.at(-1) as string;
    for (const file of new Set([newest, byAge[0] as string])) {
      for (const what of Object.keys(WAYS)) {
        found.push({ kind, file, what, silent: kind.startsWith("_versions") && file === newest && what === "removed" });
      }
    }
  }
  return found;
}

const SOURCE = `
  import { cpSync, rmSync } from "node:fs";
  import { join } from "node:path";
  import { createInterface } from "node:readline";
  const { wordEmbedding, textOf, versionOf, groupOf, CHUNKING } = await import(args[0]);
  const count = args[1];
  const texts = new Map(Array.from({ length: count }, (_, n) => ["d" + n, textOf("d" + n, n % 3 === 0 ? 2 : 1)]));
  const gone = new Set(["d4", "d8"]);
  for (const id of gone) texts.delete(id);
  const codes = /^ERR_STORE_(CORRUPT|FAILED|OPEN|READ_ONLY|VERSION)$/;
  for (const { folder, name, silent } of args[2]) {
    say(["begins", name]);
    const memory = new api.Memory({ path: folder, embedding: wordEmbedding(api), chunking: CHUNKING });
    const wrong = [], began = performance.now();
    const errors = new Set();
    const step = async (what, call, check) => {
      let answer;
      try { answer = await call(); } catch (error) {
        errors.add(error.code);
        if (!codes.test(error.code) || !error.message.includes(folder)) wrong.push([what, error.code, error.message]);
        return;
      }
      try { check(answer); } catch (error) { wrong.push([what, "", String(error.message)]); }
    };
    const must = (condition, text) => { if (!condition) throw new Error(text); };
    const whole = ({ id, text }) => must(texts.get(id) === text, "the text of " + id + " is other: " + text.slice(0, 80));
    const passage = ({ id, text, metadata }) => {
      const all = texts.get(id) ?? (/^b\\d+$/.test(id) ? "The harbour of number " + id + "." : undefined);
      must(all !== undefined, "there is no " + id);
      must(all.includes(text.trim()), "not the text of " + id + ": " + text.slice(0, 80));
      must(metadata.group === groupOf(id), "not the metadata of " + id);
    };
    const options = { timeout: 30000 };
    for (const id of ["d0", "d1", "d29"]) await step("get", () => memory.get(id, options), (found) => { if (found !== null || !silent) { must(found !== null, id + " is lost"); whole(found); } });
    await step("get what is gone", () => memory.get("d4", options), (found) => must(silent || found === null, "it is back"));
    await step("count", () => memory.count(undefined, options), (found) => must(silent || found === texts.size + args[3], "counts " + found));
    await step("list", () => memory.list({ filter: { kind: "small" }, limit: 100, ...options }), ({ documents }) => {
      if (!silent) { documents.forEach(whole); must(documents.length === texts.size, "lists " + documents.length); }
    });
    for (const mode of ["vector", "text", "hybrid"]) {
      await step("search " + mode, () => memory.search("harbour of d1", { mode, limit: 50, ...options }), (hits) => {
        if (!silent) { hits.forEach(passage); must(hits.length === 50, hits.length + " hits"); }
      });
      await step("filtered " + mode, () => memory.search("harbour boat", { mode, limit: 50, filter: { kind: "small" }, ...options }), (hits) => {
        if (!silent) { hits.forEach(passage); must(hits.length === texts.size && hits.every(({ id }) => texts.has(id)), hits.length + " hits with a filter"); }
      });
    }
    await step("add", () => memory.add({ id: "new", text: textOf("d99", 1), metadata: { kind: "new" } }, options), () => {});
    await step("replace", () => memory.add({ id: "d1", text: textOf("d1", 1), metadata: { kind: "small", group: groupOf("d1") } }, options), () => {});
    await step("optimize", () => memory.optimize(options), () => {});
    await step("get", () => memory.get("d29", options), (found) => { if (found !== null || !silent) { must(found !== null, "lost"); whole(found); } });
    await step("search", () => memory.search("harbour of d29", { limit: 5, ...options }), (hits) => must(hits.length > 0, "nothing is found"));
    await memory.close();
    rmSync(folder, { recursive: true, force: true });
    say(["ended", name, wrong, [...errors], Math.round(performance.now() - began)]);
  }
`;

test("a table with a damaged file", { timeout: size(20, 70) * PATIENCE }, async (t) => {
  const above = folderFor(t);
  const whole = join(above, "whole");
  {
    await using memory = memoryFor(t, whole);
    await memory.addMany(
      Array.from({ length: BULK }, (_, n) => ({
        id: `b${n}`,
        text: bulk(n),
        metadata: { kind: "bulk", group: groupOf(`b${n}`) },
      })),
    );
    await memory.optimize();
    for (let n = 0; n < DOCUMENTS; n++) {
      const document = { id: `d${n}`, text: textOf(`d${n}`, 1), metadata: { kind: "small", group: groupOf(`d${n}`) } };
      await memory.add(document);
      if (n % 3 === 0) {
        await memory.add({ ...document, text: textOf(`d${n}`, 2) });
      }
    }
    await memory.delete(["d4", "d8"]);
  }
  const table = join(whole, "documents.lance");
  const all = damages(table);
  // The short form takes a few of them, other ones each time.
  const chosen = long ? all : all.sort(() => Math.random() - 0.5).slice(0, 5);
  const copies = chosen.map(({ file, what, silent }, index) => {
    const folder = join(above, `copy-${index}`);
    cpSync(whole, folder, { recursive: true });
    WAYS[what]?.(join(folder, "documents.lance", file));
    return { folder, name: `${file} ${what}`, silent };
  });
  const last: string[] = [];
  const end = await script(t, SOURCE, [words, DOCUMENTS, copies, BULK], {
    limit: size(15, 60) * PATIENCE,
    onLine: (line) => last.push(line),
  }).catch((error: Error) => {
    throw new Error(`${last.at(-1)}: ${error.message.slice(0, 500)}`);
  });
  assert.deepEqual([end.code, end.signal], [0, null], `${last.at(-1)}: ${end.stderr}`);
  assert.doesNotMatch(end.stderr, /panicked/);
  const ended = (end.lines as [string, string, unknown[], string[]][]).filter(([kind]) => kind === "ended");
  const codes = ended.flatMap(([, , , errors]) => errors);
  t.diagnostic(`${ended.length} damages, ${codes.length} with errors: ${[...new Set(codes)].join(" ")}`);
  assert.deepEqual(
    ended.filter(([, , wrong]) => wrong.length > 0).map(([, name, wrong]) => [name, ...wrong.slice(0, 3)]),
    [],
  );
  assert.equal(ended.length, chosen.length);
});

test("a file on which LanceDB panics is told as damage, and not as a defect", async (t) => {
  const folder = join(folderFor(t), "memory");
  {
    await using memory = memoryFor(t, folder);
    await memory.add({ id: "d1", text: textOf("d1", 1) });
  }
  const versions = join(folder, "documents.lance", "_versions");
  for (const name of readdirSync(versions)) {
    truncateSync(join(versions, name), Math.floor(statSync(join(versions, name)).size / 2));
  }
  const memory = memoryFor(t, folder);
  await assert.rejects(memory.get("d1"), (error: MasterAgentError) => {
    assert.equal(error.code, "ERR_STORE_CORRUPT", error.message);
    assert.ok(error.message.includes(folder) && error.message.includes("Restore the folder from a copy"), error.message);
    return true;
  });
});
