/** Memory with an embedding function and a reranker of one's own. Run it with `npx tsx examples/memory-embedding.ts`. */
import { createEmbeddingFunction, Memory } from "master-agent";

/** Stands for the call of a service: how often each letter occurs. */
const letters = createEmbeddingFunction({
  id: "letters",
  dimensions: 26,
  batchSize: 100,
  model: async (texts, { signal }) => {
    signal.throwIfAborted();
    return texts.map((text) => [..."abcdefghijklmnopqrstuvwxyz"].map((letter) => text.toLowerCase().split(letter).length));
  },
});

await using memory = new Memory({ path: "./data/letters", embedding: letters });
await memory.addMany(["zigzag puzzle", "banana bread", "queue for quinoa"], { dedupe: true });

const [hit] = await memory.search("jazz", { mode: "vector", limit: 1 });
console.log(`nearest by letters: ${hit?.text}`);

// The reranker sees more than is asked for, and gives each a score: here, the shortest is the best.
const shortest = await memory.search("a banana in a queue", {
  limit: 2,
  rerank: (_, hits) => hits.map(({ text }) => -text.length),
});
console.log(`shortest: ${shortest.map(({ text }) => text).join(", ")}`);
