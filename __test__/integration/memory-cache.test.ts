/** What a memory keeps in the process: how much, and that answers are the same without it. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createEmbeddingFunction, Memory, type MemoryOptions } from "master-agent";
import { afterwards } from "../helpers/cleanup.ts";
import { folderFor } from "../helpers/place.ts";

const WIDTH = 16;

/** A direction for every text, without a model. */
const embedding = createEmbeddingFunction({
  id: "directions",
  dimensions: WIDTH,
  model: async (texts) =>
    texts.map((text) => {
      const vector = new Float32Array(WIDTH);
      for (let at = 0; at < text.length; at++) {
        const place = (text.charCodeAt(at) * 7 + at) % WIDTH;
        vector[place] = (vector[place] as number) + 1;
      }
      return vector;
    }),
});

function memoryFor(t: TestContext, options: MemoryOptions): Memory {
  const memory = new Memory({ embedding, ...options });
  afterwards(t, () => memory.close());
  return memory;
}

test("warm() reads what is there, and cacheBytes bounds it", async (t) => {
  const path = folderFor(t);
  const memory = memoryFor(t, { path });
  assert.equal(await memory.warm(), 0);
  await memory.addMany(Array.from({ length: 6_000 }, (_, n) => ({ id: `${n}`, text: `passage ${n} of ${n % 97}` })));
  const fresh = memoryFor(t, { path });
  assert.equal((await fresh.stats()).cachedChunks, 0);
  assert.equal(await fresh.warm(), 6_000);
  assert.equal((await fresh.stats()).cachedChunks, 6_000);
  const without = memoryFor(t, { path, cacheBytes: 0 });
  assert.equal(await without.warm(), 0);
  for (const mode of ["hybrid", "vector"] as const) {
    for (const one of [fresh, without]) {
      assert.equal((await one.search("passage 4242 of 71", { mode, limit: 5 }))[0]?.id, "4242");
    }
  }
  assert.equal((await without.stats()).cachedChunks, 0);
  // What is written later is found at once, and is in memory after that.
  await memory.addMany([{ id: "late", text: "passage 9000 of 3" }]);
  assert.equal((await fresh.search("passage 9000 of 3", { limit: 1 }))[0]?.id, "late");
  assert.equal((await fresh.stats()).cachedChunks, 6_001);
});

test("cacheBytes is checked", (t) => {
  for (const cacheBytes of [-1, 0.5, Number.NaN, "1" as unknown as number]) {
    assert.throws(() => memoryFor(t, { cacheBytes }), { code: "ERR_INPUT_INVALID", message: /options\.cacheBytes/ });
  }
});
