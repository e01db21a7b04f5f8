/** Several processes on one collection at once: nothing is lost, nothing is there twice, and what is read is whole. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { textOf, versionOf } from "../fixtures/memory-words.mjs";
import { PATIENCE, size } from "../helpers/long.ts";
import { type Line, MemoryProcess, memoryFor } from "../helpers/memory-hold.ts";
import { folderFor } from "../helpers/place.ts";

const CALLS = size(60, 3_000);
const SHARED = 12;

/** One change of a document: when it began, and when it was acknowledged. */
interface Change {
  version: number;
  deleted: boolean;
  began: bigint;
  done: bigint;
}

/** The changes of each document, by all processes. */
function changes(lines: readonly Line[]): Map<string, Change[]> {
  const all = new Map<string, Change[]>();
  for (const [kind, operation, ids, version, at] of lines) {
    for (const id of kind === "intended" || kind === "done" ? ids : []) {
      const known = all.get(id) ?? [];
      all.set(id, known);
      if (kind === "intended") {
        known.push({ version, deleted: operation === "delete", began: BigInt(at ?? 0), done: 0n });
      } else {
        const change = known.find((one) => one.version === version) as Change;
        change.done = BigInt(at ?? 0);
      }
    }
  }
  return all;
}

for (const processes of [2, 4]) {
  test(`${processes} processes add, replace, delete, search and keep up one collection`, {
    timeout: 20 * PATIENCE,
  }, async (t) => {
    const folder = join(folderFor(t), "memory");
    const rivals = Array.from(
      { length: processes },
      (_, index) =>
        new MemoryProcess(t, "memory-rival.mjs", {
          folder,
          seed: index + 1,
          name: "abcd"[index],
          shared: SHARED,
          calls: Math.ceil(CALLS / (processes / 2)),
        }),
    );
    await Promise.all(rivals.map((rival) => rival.says(([kind]) => kind === "ready")));
    for (const rival of rivals) {
      rival.send("go\n");
    }
    for (const rival of rivals) {
      assert.deepEqual([await rival.ended, rival.stderr], [{ code: 0, signal: null }, ""]);
    }
    const lines = rivals.flatMap((rival) => rival.lines);
    assert.deepEqual(
      lines.filter(([kind]) => kind === "wrong"),
      [],
      "what was read while others wrote",
    );
    const errors = lines.filter(([kind]) => kind === "error");
    t.diagnostic(`${errors.length} errors that could be retried: ${[...new Set(errors.map(([, code]) => code))].join(" ")}`);
    assert.deepEqual(
      errors.filter(([, , , retryable]) => retryable !== 1),
      [],
      "only errors that can be retried",
    );

    await using memory = memoryFor(t, folder);
    const listed = new Map<string, number>();
    for await (const { id, text } of memory.documents()) {
      assert.ok(!listed.has(id), `${id} is there twice`);
      const version = versionOf(text);
      assert.equal(text, textOf(id, version));
      listed.set(id, version);
    }
    assert.equal(await memory.count(), listed.size);
    const all = changes(lines);
    for (const [id, known] of all) {
      assert.ok(known.every(({ done }) => done > 0n));
      const version = listed.get(id);
      const last = known.filter((change) => (version === undefined ? change.deleted : change.version === version));
      // A change stands if no other one began after it was acknowledged.
      const stands = last.some((change) => known.every((other) => other === change || other.began < change.done));
      assert.ok(
        stands,
        `${id} is ${version ?? "not there"}: ${JSON.stringify(known, (_, value) => (typeof value === "bigint" ? String(value) : value))}`,
      );
    }
    assert.deepEqual(
      [...listed.keys()].filter((id) => !all.has(id)),
      [],
      "nothing else is there",
    );
    const hits = await memory.search("harbour boat", { filter: { group: "shared" }, chunks: true, limit: 1_000, mode: "text" });
    assert.equal(new Set(hits.map(({ id, chunk }) => `${id} ${chunk.index}`)).size, hits.length);
    assert.deepEqual(new Set(hits.map(({ id }) => id)), new Set([...listed.keys()].filter((id) => id.startsWith("s"))));
    t.diagnostic(`${all.size} documents, ${[...all.values()].flat().length} changes`);
  });
}
