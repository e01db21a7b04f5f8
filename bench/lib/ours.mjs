// The package as an actor, beside which the peers are measured in turns.
import { createRequire } from "node:module";

export default function ours({ directory, folder }) {
  process.env.LANCEDB_PATH = folder;
  const { embedBatch, embedOne, getConnection } = createRequire(import.meta.url)(directory);
  return {
    embed: async ({ texts, keep }) => {
      const begun = performance.now();
      const vectors = await embedBatch(texts);
      return { ms: performance.now() - begun, vectors: keep ? vectors : [] };
    },
    /** One question after the other. */
    questions: async (texts) => {
      const samples = [];
      for (const text of texts) {
        const begun = performance.now();
        await embedOne(text, { kind: "query" });
        samples.push(performance.now() - begun);
      }
      return samples;
    },
    close: async () => (await getConnection()).close(),
  };
}
