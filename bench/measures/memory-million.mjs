// A million passages: vectors are made up around real ones, texts are put together from real ones, no model is used.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { actor } from "../lib/actor.mjs";
import { passages, questions } from "../lib/corpora.mjs";
import { stopwatch } from "../lib/kit.mjs";
import { DIMENSIONS, madeUpVectors } from "../lib/many.mjs";
import { FILTER_LABELS, FILTERS, metadata, part, recall, resident, settled } from "../lib/memory.mjs";

const MILLION = part(1_000_000, 2_000);
const CENTRES = part(8_000);
const QUESTIONS = 200;
const RECALLS = 50;

const quantileMetrics = (key, label, target) => ({
  [`${key}.p50`]: { label: `${label}, p50`, unit: "ms", ...target },
  [`${key}.p95`]: { label: `${label}, p95`, unit: "ms" },
});

export default [
  {
    name: "memory-million",
    title: `search in ${MILLION.toLocaleString("en-US")} passages with made-up vectors, by a process that opens the folder`,
    minutes: 90,
    spawns: true,
    runs: 1,
    metrics: {
      ...Object.assign(
        {},
        ...Object.keys(FILTERS).map((name) => quantileMetrics(name, `hybrid, ${FILTER_LABELS[name]}`, { most: 25 })),
      ),
      ...quantileMetrics("vector", "vector, no filter", {}),
      first: { label: "the first search, before vectors are in memory", unit: "ms" },
      warm: { label: "reading the vectors into memory (warm)", unit: "s" },
      memory: { label: "memory of the process that searches, at most", unit: "MiB", most: 2_000_000_000 / 2 ** 20 },
      recall: { label: "recall@10 of vectors against an exact search", unit: "" },
      building: { label: "memory of the process that adds and makes the indexes, at most", unit: "MiB" },
      added: { label: "adding", unit: "passages/s" },
      settled: { label: "until the indexes have all of it", unit: "s" },
      bytes: { label: "on disk", unit: "MB" },
    },
    async run({ load, directory, folder, note }) {
      const { Memory, createEmbeddingFunction } = load();
      const real = passages(CENTRES);
      const bundled = createEmbeddingFunction();
      const vectors = await bundled.embedBatch(real);
      const centres = new Float32Array(real.length * DIMENSIONS);
      for (const [index, vector] of vectors.entries()) centres.set(vector, index * DIMENSIONS);
      writeFileSync(join(folder, "centres.f32"), centres);
      const { vector, embedding } = madeUpVectors(centres);
      const where = join(folder, "memory");
      const memory = new Memory({ path: where, embedding: createEmbeddingFunction(embedding) });
      const half = (text, first) => {
        const words = text.split(" ");
        const middle = Math.floor(words.length / 2);
        return (first ? words.slice(0, middle) : words.slice(middle)).join(" ");
      };
      const firsts = real.map((text) => half(text, true));
      const seconds = real.map((text) => half(text, false));
      function* documents() {
        for (let index = 0; index < MILLION; index++) {
          const text = `${firsts[index % CENTRES]} ${seconds[(index * 7 + Math.floor(index / CENTRES)) % CENTRES]} ${index}`;
          yield { id: `${index}`, text, metadata: metadata(index) };
        }
      }
      const values = {};
      const elapsed = stopwatch();
      await memory.addMany(documents());
      values.added = MILLION / elapsed().wall;
      values.settled = await settled(memory, 1_800);
      if (values.settled === undefined) {
        note({ indexes: "were not complete after 30 minutes; optimize() was called" });
        await memory.optimize();
      }
      const stats = await memory.stats();
      note({ stats });
      values.bytes = stats.bytes / 1e6;
      values.building = resident().most;
      await memory.close();

      const asked = questions(QUESTIONS).map((text, index) => `${text} ${index}`);
      const options = { directory, folder: where, centres: join(folder, "centres.f32"), asked, recalls: RECALLS };
      const searching = await actor(new URL("../lib/many.mjs", import.meta.url), options);
      Object.assign(values, await searching.call("begin"));
      for (const name of Object.keys(FILTERS)) {
        const { p50, p95 } = await searching.call("latency", FILTERS[name] === undefined ? {} : { filter: FILTERS[name] });
        Object.assign(values, { [`${name}.p50`]: p50, [`${name}.p95`]: p95 });
      }
      const { p50, p95 } = await searching.call("latency", { mode: "vector" });
      Object.assign(values, { "vector.p50": p50, "vector.p95": p95 });
      values.memory = (await searching.call("memory")).most;
      const found = await searching.call("ids");
      await searching.stop();

      // The vectors are made again, one at a time, rather than kept.
      const questionVectors = Array.from({ length: RECALLS }, (_, number) => vector(number, "query"));
      const best = questionVectors.map(() => []);
      for (let row = 0; row < MILLION; row++) {
        const made = vector(row, "document");
        for (const [number, wanted] of questionVectors.entries()) {
          let score = 0;
          for (let place = 0; place < DIMENSIONS; place++) score += made[place] * wanted[place];
          const list = best[number];
          if (list.length === 10 && score <= list[9].score) continue;
          list.push({ row, score });
          list.sort((left, right) => right.score - left.score);
          list.length = Math.min(list.length, 10);
        }
      }
      const each = found.map((ids, number) =>
        recall(
          ids,
          best[number].map(({ row }) => row),
        ),
      );
      values.recall = each.reduce((sum, one) => sum + one, 0) / each.length;
      return values;
    },
  },
];
