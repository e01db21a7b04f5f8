/** Processes that are killed while they add, index and compact: what was acknowledged is found, once, and writing goes on. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { groupOf } from "../fixtures/memory-words.mjs";
import { PATIENCE, size } from "../helpers/long.ts";
import { Account, MemoryProcess, memoryFor } from "../helpers/memory-hold.ts";
import { folderFor } from "../helpers/place.ts";

const ROUNDS = size(5, 100);
/** Enough passages for an index of vectors, so that this is made and extended while processes die. */
const BULK = size(4_000, 12_000);
const FRESH = size(4, 60);

test(`${ROUNDS} kills while documents are added, indexed and compacted`, { timeout: 60 * PATIENCE }, async (t) => {
  const folder = join(folderFor(t), "memory");
  const account = new Account();
  // Has the table open all the time, as another process would.
  const reader = memoryFor(t, folder, { maintenance: false });
  let optimized = 0;
  const errors: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const child = new MemoryProcess(t, "memory-writer.mjs", {
      folder,
      seed,
      lanes: 8,
      next: account.next,
      known: account.some(200),
      bulk: round === 1 ? BULK : 0,
    });
    await child.says(([kind]) => kind === "done");
    await pause(Math.random() * 1_500);
    await child.kill();
    errors.push(child.stderr);
    optimized += child.lines.filter(([kind]) => kind === "optimized").length;
    const touched = account.take(child.lines);
    const what = `round ${round}, seed ${seed}`;
    try {
      const memory = round % 2 === 0 ? memoryFor(t, folder) : reader;
      await account.settle(memory, touched);
      // All that this round was about, and a few that it was not.
      const groups = new Set([...touched, ...account.some(5).map(({ id }) => id)].map(groupOf));
      await account.check(memory, new Set([...groups].slice(-20)));
      if (memory !== reader) {
        await memory.close();
      }
    } catch (error) {
      throw new Error(`${what}: ${(error as Error).message}`, { cause: error });
    }
  }
  await using last = memoryFor(t, folder);
  await last.optimize();
  const groups = new Set([...account.live().keys()].map(groupOf));
  await account.check(last, groups);
  await account.check(reader, new Set());
  t.diagnostic(
    `${ROUNDS} kills, ${account.acknowledged} changes acknowledged, ${account.live().size} documents, optimized ${optimized} times`,
  );
  assert.deepEqual(
    errors.filter((text) => text !== ""),
    [],
    "no process complained",
  );
});

test(`${FRESH} kills while the first documents make the table`, { timeout: 20 * PATIENCE }, async (t) => {
  const above = folderFor(t);
  let there = 0;
  for (let round = 0; round < FRESH; round++) {
    const folder = join(above, String(round));
    const child = new MemoryProcess(t, "memory-writer.mjs", { folder, seed: round, lanes: 2, next: 0, known: [] });
    await child.says(([kind]) => kind === "intended");
    await pause(Math.random() * 150);
    await child.kill();
    const account = new Account();
    const touched = account.take(child.lines);
    await using memory = memoryFor(t, folder);
    await account.settle(memory, touched);
    there += account.live().size > 0 ? 1 : 0;
    // Whatever stage it was at: the table can be written to, and searched by words.
    const again = new MemoryProcess(t, "memory-writer.mjs", {
      folder,
      seed: round,
      lanes: 2,
      next: account.next,
      known: [],
      calls: 4,
    });
    assert.deepEqual([await again.ended, again.stderr], [{ code: 0, signal: null }, ""], `round ${round}`);
    await account.settle(memory, account.take(again.lines));
    await account.check(memory, new Set([...account.live().keys()].map(groupOf)));
  }
  t.diagnostic(`${there} of ${FRESH} had documents when they died`);
});
