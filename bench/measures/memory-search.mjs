// Retrieval from 100,000 passages, and adding them: latency with and without filters, recall, the first call of a fresh process.
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { actor } from "../lib/actor.mjs";
import { passages, questions, sentences } from "../lib/corpora.mjs";
import { stopwatch } from "../lib/kit.mjs";
import {
  CONDITIONS,
  exact,
  FILTER_LABELS,
  FILTERS,
  metadata,
  part,
  percentiles,
  quantiles,
  recall,
  resident,
  settled,
} from "../lib/memory.mjs";
import { missingPeers } from "../lib/peers.mjs";
import { median } from "../lib/stats.mjs";

const PASSAGES = part(100_000);
const QUESTIONS = 250;
const RECALLS = 200;
const PROCESSES = 10;
const ROUNDS = 4;
/** Texts of a round of `memory-add`. */
const ALONE = part(1_024);
const ADDED = part(5_000);

const document = (text, index) => ({ id: `p${index}`, text, metadata: metadata(index) });
const quantileMetrics = (key, label, target) => ({
  [`${key}.p50`]: { label: `${label}, p50`, unit: "ms", ...target },
  [`${key}.p95`]: { label: `${label}, p95`, unit: "ms" },
});
const each = (make) => Object.assign({}, ...Object.keys(FILTERS).map(make));

/** A fresh process that asks once, and then again. */
const firstScript = (directory, folder, asked) => `
  const begun = performance.now();
  process.env.LANCEDB_PATH = ${JSON.stringify(folder)};
  const { ragRetrieve } = require(${JSON.stringify(directory)});
  const required = performance.now();
  require(${JSON.stringify(join(directory, "binding.js"))});
  const loaded = performance.now();
  (async () => {
    const [first, second] = ${JSON.stringify(asked)};
    const hits = await ragRetrieve(first);
    const found = performance.now();
    if (hits.length === 0) throw new Error("nothing was found");
    await ragRetrieve(second);
    const again = performance.now();
    const mib = process.memoryUsage.rss() / 2 ** 20;
    process.stdout.write(JSON.stringify({ all: found - begun, addon: loaded - required, call: found - loaded, second: again - found, mib }));
    process.exit();
  })();`;

async function freshProcesses(directory, folder, where) {
  const asked = questions(2 * (PROCESSES + 1));
  const samples = [];
  const script = join(where, "first.cjs");
  for (let round = 0; round <= PROCESSES; round++) {
    writeFileSync(script, firstScript(directory, folder, asked.slice(round * 2)));
    const { stdout } = await promisify(execFile)(process.execPath, [script], { cwd: where });
    // The first round fills the caches of the file system.
    if (round > 0) samples.push(JSON.parse(stdout));
  }
  const of = (key) => median(samples.map((sample) => sample[key]));
  return { first: of("all"), firstAddon: of("addon"), firstCall: of("call"), firstSecond: of("second"), firstMemory: of("mib") };
}

const firstMetrics = {
  first: { label: "a fresh process to its first hits (require, addon, model, table)", unit: "ms", most: 250 },
  firstAddon: { label: "of which loading the addon", unit: "ms" },
  firstCall: { label: "of which the first ragRetrieve", unit: "ms" },
  firstSecond: { label: "the second ragRetrieve", unit: "ms" },
  firstMemory: { label: "memory of that process", unit: "MiB" },
};

/** All vectors of the collection, in the order of the documents. */
async function vectorsOf(collection) {
  const STEP = 1_000;
  let data;
  for (let start = 0; start < PASSAGES; start += STEP) {
    const ids = Array.from({ length: Math.min(STEP, PASSAGES - start) }, (_, index) => `p${start + index}`);
    const documents = await collection.getMany(ids, { vectors: true });
    for (const [index, { vectors }] of documents.entries()) {
      data ??= new Float32Array(PASSAGES * vectors[0].length);
      data.set(vectors[0], (start + index) * vectors[0].length);
    }
  }
  return data;
}

/** The same rows, questions and filters for the peers. */
async function beside(texts, data, asked, exactIds, where) {
  const peer = await actor(
    new URL("../lib/peers.mjs", import.meta.url),
    { dtype: "fp32" },
    {
      execArgv: ["--max-old-space-size=8000"],
    },
  );
  const values = {};
  mkdirSync(where, { recursive: true });
  const files = { documents: join(where, "documents.json"), vectors: join(where, "vectors.f32") };
  writeFileSync(files.documents, JSON.stringify(texts.map((text, index) => document(text, index))));
  writeFileSync(files.vectors, data);
  const indexed = ["tenant", "kind", "year"];
  values["peer.built"] = (await peer.call("open", { folder: where, name: "peers", files, indexed, vectorIndex: true })) / 1000;
  const search = (options) => peer.call("search", { mode: "hybrid", limit: 5, ...options });
  await search({ queries: asked.slice(0, 20) });
  for (const name of Object.keys(FILTERS)) {
    const { p50, p95 } = quantiles((await search({ queries: asked, where: CONDITIONS[name] })).samples);
    Object.assign(values, { [`peer.${name}.p50`]: p50, [`peer.${name}.p95`]: p95 });
  }
  const { ids, samples } = await search({ mode: "vector", queries: asked.slice(0, exactIds.length), limit: 10 });
  values["peer.vector.p50"] = quantiles(samples).p50;
  values["peer.recall"] = ids.reduce((sum, found, index) => sum + recall(found, exactIds[index]), 0) / ids.length;
  await peer.stop();
  return values;
}

export default [
  {
    name: "memory-add",
    title: `addDocuments of ${ADDED.toLocaleString("en-US")} texts of 38 tokens beside embedBatch alone, ${ROUNDS} rounds in turns, medians`,
    slow: true,
    metrics: {
      ratio: { label: "addDocuments over embedBatch, median of the pairs", unit: "×", least: 0.9 },
      added: { label: "addDocuments", unit: "texts/s" },
      alone: { label: "embedBatch", unit: "texts/s" },
      cpu: { label: "CPU of addDocuments and of the indexes after it over that of embedBatch, per text", unit: "×" },
      settled: { label: "until the indexes have all of a round", unit: "s" },
    },
    async run({ load, folder, note }) {
      process.env.LANCEDB_PATH = folder;
      const { addDocuments, embedBatch, getConnection } = load();
      const texts = passages(ADDED * ROUNDS);
      const others = sentences(ALONE);
      await embedBatch(others.slice(0, 64));
      const { memory } = await getConnection();
      const rounds = [];
      for (let round = 0; round < ROUNDS; round++) {
        const slice = texts.slice(round * ADDED, (round + 1) * ADDED);
        const documents = slice.map((text, index) => document(text, round * ADDED + index));
        const embedding = stopwatch();
        // What is embedded alone has the same tokens as what is added.
        await embedBatch(slice.slice(0, ALONE));
        const alone = embedding();
        const adding = stopwatch();
        await addDocuments(documents);
        const { wall } = adding();
        const rest = await settled(memory, 120);
        const { cpu } = adding();
        rounds.push({
          alone: ALONE / alone.wall,
          added: ADDED / wall,
          cpu: cpu / ADDED / (alone.cpu / ALONE),
          settled: rest ?? 120,
        });
      }
      await memory.close();
      note({ rounds });
      const of = (key) => median(rounds.map((round) => round[key]));
      return {
        ratio: median(rounds.map(({ added, alone }) => added / alone)),
        added: of("added"),
        alone: of("alone"),
        cpu: of("cpu"),
        settled: of("settled"),
      };
    },
  },
  {
    name: "memory-search",
    title: `ragRetrieve from ${PASSAGES.toLocaleString("en-US")} passages of 38 tokens, the embedding of the question included`,
    minutes: 60,
    spawns: true,
    runs: 1,
    metrics: {
      ...each((name) => quantileMetrics(name, `hybrid, ${FILTER_LABELS[name]}`, { most: 8 })),
      ...quantileMetrics("vector", "vector, no filter", {}),
      ...quantileMetrics("text", "text, no filter", {}),
      ...quantileMetrics("question", "of which the embedding of the question", {}),
      recall: { label: "recall@10 of vectors against an exact search", unit: "", least: 0.98 },
      "recall.selective": { label: "the same with the filter of 1 %", unit: "" },
      ...firstMetrics,
      added: { label: "adding", unit: "texts/s" },
      alone: { label: "embedding alone, before and after it", unit: "texts/s" },
      settled: { label: "until the indexes have all of it", unit: "s" },
      warm: { label: "reading the vectors into memory (warm)", unit: "s" },
      memory: { label: "memory of the process after the questions", unit: "MiB" },
      bytes: { label: "on disk", unit: "MB" },
      ...each((name) => quantileMetrics(`peer.${name}`, `peers: hybrid, ${FILTER_LABELS[name]}`, {})),
      "peer.vector.p50": { label: "peers: vector, no filter, p50", unit: "ms" },
      "peer.recall": { label: "peers: recall@10 of vectors", unit: "" },
      "peer.built": { label: "peers: the table and its indexes from ready vectors", unit: "s" },
    },
    async run({ load, directory, folder, note }) {
      // A table that an earlier run has left can be used again, to look at retrieval alone.
      const kept = process.env.MASTER_AGENT_BENCH_TABLE;
      const where = kept ?? folder;
      const exists = existsSync(join(where, "documents.lance"));
      process.env.LANCEDB_PATH = where;
      const { addDocuments, embedBatch, embedOne, getConnection, ragRetrieve } = load();
      const { memory } = await getConnection();
      const texts = passages(PASSAGES);
      const values = {};
      if (!exists) {
        const some = texts.slice(-part(1_024));
        const alone = async () => {
          const elapsed = stopwatch();
          await embedBatch(some);
          return some.length / elapsed().wall;
        };
        await embedBatch(some.slice(0, 64));
        const before = await alone();
        const elapsed = stopwatch();
        await addDocuments(texts.map(document));
        values.added = texts.length / elapsed().wall;
        values.settled = await settled(memory, 600);
        values.alone = (before + (await alone())) / 2;
      }
      if ((await settled(memory, 60)) === undefined) {
        note({ indexes: "were not complete after 10 minutes; optimize() was called" });
        await memory.optimize();
      }
      note({ stats: await memory.stats() });

      const reading = stopwatch();
      await memory.warm();
      values.warm = reading().wall;

      // Other questions each time: nothing that a cache keeps of one helps another.
      const names = Object.keys(FILTERS);
      const asked = questions(QUESTIONS * (names.length + 3));
      const slice = (turn) => asked.slice(turn * QUESTIONS, (turn + 1) * QUESTIONS);
      const sample = async (key, turn, options) => {
        for (const text of slice(turn).slice(0, 20)) await ragRetrieve(`again: ${text}`, options);
        const { p50, p95 } = await percentiles(slice(turn), (text) => ragRetrieve(text, options));
        Object.assign(values, { [`${key}.p50`]: p50, [`${key}.p95`]: p95 });
      };
      for (const [turn, name] of names.entries())
        await sample(name, turn, FILTERS[name] === undefined ? undefined : { filter: FILTERS[name] });
      await sample("vector", names.length, { mode: "vector" });
      await sample("text", names.length + 1, { mode: "text" });
      const question = await percentiles(slice(names.length + 2), (text) => embedOne(text, { kind: "query" }));
      Object.assign(values, { "question.p50": question.p50, "question.p95": question.p95 });
      values.memory = resident().now;
      values.bytes = (await memory.stats()).bytes / 1e6;

      const data = await vectorsOf(memory);
      const judged = asked.slice(0, RECALLS);
      const exactIds = [];
      const sums = { all: 0, selective: 0 };
      for (const text of judged) {
        const vector = await embedOne(text, { kind: "query" });
        const best = exact(data, vector, 10).map(({ row }) => `p${row}`);
        exactIds.push(best);
        const hits = await ragRetrieve(text, { mode: "vector", limit: 10 });
        sums.all += recall(
          hits.map(({ id }) => id),
          best,
        );
        const few = exact(
          Float32Array.from({ length: Math.floor(PASSAGES / 100) * vector.length }, (_, place) => {
            const row = 42 + 100 * Math.floor(place / vector.length);
            return data[row * vector.length + (place % vector.length)];
          }),
          vector,
          10,
        ).map(({ row }) => `p${42 + 100 * row}`);
        const filtered = await ragRetrieve(text, { mode: "vector", limit: 10, filter: FILTERS.selective });
        sums.selective += recall(
          filtered.map(({ id }) => id),
          few,
        );
      }
      values.recall = sums.all / judged.length;
      values["recall.selective"] = sums.selective / judged.length;
      await memory.close();

      Object.assign(values, await freshProcesses(directory, where, folder));
      const missing = missingPeers();
      if (missing === undefined) Object.assign(values, await beside(texts, data, slice(0), exactIds, join(folder, "peers")));
      else note({ peers: missing });
      return values;
    },
  },
  {
    name: "memory-first",
    title: `the first ragRetrieve of a fresh process on a table of 2,000 documents, medians of ${PROCESSES} processes`,
    spawns: true,
    metrics: firstMetrics,
    async run({ load, directory, folder }) {
      const where = join(folder, "memory");
      process.env.LANCEDB_PATH = where;
      const { addDocuments, getConnection } = load();
      await addDocuments(passages(2_000).map(document));
      const { memory } = await getConnection();
      await settled(memory, 30);
      await memory.close();
      return freshProcesses(directory, where, folder);
    },
  },
];
