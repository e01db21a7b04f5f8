// How good retrieval is with default settings, on test collections with judged documents.
import { actor } from "../lib/actor.mjs";
import { collections } from "../lib/corpora.mjs";
import { missingPeers } from "../lib/peers.mjs";
import { judgeAll } from "../lib/quality.mjs";

const MODES = ["vector", "text", "hybrid"];
const FIGURES = { ndcg: "nDCG@10", map: "MAP", recall: "recall@100" };
const TARGETS = { cranfield: 0.44, vaswani: 0.53 };

const metrics = {};
for (const name of Object.keys(TARGETS)) {
  for (const mode of MODES) {
    for (const [figure, label] of Object.entries(FIGURES)) {
      const target = mode === "hybrid" && figure === "ndcg" ? { least: TARGETS[name] } : {};
      metrics[`${name}.${mode}.${figure}`] = { label: `${name}, ${mode}: ${label}`, unit: "", ...target };
    }
  }
  metrics[`${name}.optimized`] = { label: `${name}, hybrid after optimize(): nDCG@10`, unit: "" };
  for (const mode of MODES)
    for (const [figure, label] of Object.entries(FIGURES))
      metrics[`${name}.peer.${mode}.${figure}`] = { label: `${name}, peers, ${mode}: ${label}`, unit: "" };
}

export default [
  {
    name: "memory-quality",
    title:
      "ranking by ragRetrieve with default settings, beside LanceDB's hybrid search (reciprocal ranks) over vectors of transformers.js",
    slow: true,
    // The same every time.
    runs: 1,
    metrics,
    async run({ load, folder, note }) {
      const values = {};
      const found = collections();
      if (found.length === 0) note({ collections: "MASTER_AGENT_IR names no folder with test collections" });
      process.env.LANCEDB_PATH = folder;
      const { addDocuments, getConnection, ragRetrieve } = load();
      const set = (prefix, figures) => {
        for (const [figure, value] of Object.entries(figures)) values[`${prefix}.${figure}`] = value;
      };
      for (const one of found) {
        await addDocuments(one.documents, { collection: one.name });
        const search = (mode) => async (query) => {
          const hits = await ragRetrieve(query.text, { collection: one.name, limit: 100, mode });
          return hits.map(({ id }) => id);
        };
        for (const mode of MODES) set(`${one.name}.${mode}`, await judgeAll(one, search(mode)));
        const { memory } = await getConnection();
        await memory.collection(one.name).optimize();
        values[`${one.name}.optimized`] = (await judgeAll(one, search(undefined))).ndcg;
      }
      await (await getConnection()).close();

      const missing = missingPeers();
      if (missing !== undefined) note({ peers: missing });
      if (missing !== undefined || found.length === 0) return values;
      const peer = await actor(new URL("../lib/peers.mjs", import.meta.url), { dtype: "fp32" });
      for (const one of found) {
        const texts = one.documents.map(({ text }) => text);
        const { vectors } = await peer.call("embed", { texts, batch: 8, keep: true });
        const rows = one.documents.map(({ id, text }, index) => ({ id, text, vector: Array.from(vectors[index]) }));
        await peer.call("open", { folder: `${folder}/peers`, name: one.name, rows });
        for (const mode of MODES) {
          const queries = one.queries.map(({ text }) => text);
          const { ids } = await peer.call("search", { mode, queries, limit: 100 });
          const byQuery = new Map(one.queries.map((query, index) => [query, ids[index]]));
          set(`${one.name}.peer.${mode}`, await judgeAll(one, (query) => byQuery.get(query)));
        }
      }
      await peer.stop();
      return values;
    },
  },
];
