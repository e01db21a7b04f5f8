// How fast texts become vectors, beside transformers.js in turns, and how true the vectors are to those of the 32-bit model.
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { actor } from "../lib/actor.mjs";
import { questions, sentences } from "../lib/corpora.mjs";
import { hasModel, missingPeers } from "../lib/peers.mjs";
import { median, quantile, sorted } from "../lib/stats.mjs";

const TEXTS = 2_048;
/** Of a round. */
const TURN = 512;
const ROUNDS = 7;
const BATCHES = [1, 8, 16, 32, 64];
const QUESTIONS = 500;
const PROCESSES = 10;

const ours = new URL("../lib/ours.mjs", import.meta.url);
const peers = new URL("../lib/peers.mjs", import.meta.url);
const rate = ({ ms }, count = TURN) => (count / ms) * 1000;

function cosine(left, right) {
  let [product, first, second] = [0, 0, 0];
  for (let place = 0; place < left.length; place++) {
    product += left[place] * right[place];
    first += left[place] ** 2;
    second += right[place] ** 2;
  }
  return product / Math.sqrt(first * second);
}

/** How near vectors are to those they should be. */
function fidelity(vectors, exact) {
  const cosines = vectors.map((vector, index) => cosine(vector, exact[index]));
  return { mean: cosines.reduce((sum, one) => sum + one, 0) / cosines.length, least: Math.min(...cosines) };
}

/** Starts transformers.js, and finds the batch size at which it is fastest. */
async function peer(dtype, texts, note) {
  const process = await actor(peers, { dtype });
  await process.call("embed", { texts: texts.slice(0, 64), batch: 8 });
  const rates = {};
  for (const batch of BATCHES) rates[batch] = rate(await process.call("embed", { texts: texts.slice(0, 256), batch }), 256);
  const batch = BATCHES.reduce((best, one) => (rates[one] > rates[best] ? one : best));
  note({ [`batch sizes of transformers.js, ${dtype}, texts/s`]: rates });
  return { process, batch };
}

export default [
  {
    name: "memory-embed",
    title: `embedding texts of 38 tokens, ${ROUNDS} rounds in turns with transformers.js at its best batch size, medians`,
    slow: true,
    spawns: true,
    metrics: {
      ours: { label: "embedBatch", unit: "texts/s" },
      peer: { label: "transformers.js, 32-bit", unit: "texts/s" },
      batch: { label: "its best batch size", unit: "texts" },
      ratio: { label: "embedBatch over it, median of the pairs", unit: "×", least: 2.5 },
      peer8: { label: "transformers.js, 8-bit", unit: "texts/s" },
      ratio8: { label: "embedBatch over it, median of the pairs", unit: "×" },
      mean: { label: "cosine with the 32-bit model, mean", unit: "", least: 0.998 },
      least: { label: "the same, least of all texts", unit: "", least: 0.995 },
      mean8: { label: "transformers.js, 8-bit: cosine, mean", unit: "" },
      least8: { label: "the same, least of all texts", unit: "" },
      p50: { label: "one question (12 tokens), p50", unit: "ms", most: 1 },
      p99: { label: "the same, p99", unit: "ms" },
      long50: { label: "one text of 38 tokens, p50", unit: "ms" },
    },
    async run({ directory, folder, note }) {
      const texts = sentences(TEXTS);
      const own = await actor(ours, { directory, folder });
      await own.call("embed", { texts: texts.slice(0, 64) });
      const missing = missingPeers();
      if (missing !== undefined) note({ peers: missing });
      const dtypes = missing === undefined ? ["fp32", ...(hasModel("q8") ? ["q8"] : [])] : [];
      const others = [];
      for (const dtype of dtypes) others.push(await peer(dtype, texts, note));

      const rates = [];
      const ofOthers = others.map(() => []);
      for (let round = 0; round < ROUNDS; round++) {
        const start = (round * TURN) % TEXTS;
        const turn = texts.slice(start, start + TURN);
        // Each pair meets the same machine, ours first in every other one.
        const steps = [async () => rates.push(rate(await own.call("embed", { texts: turn })))];
        for (const [index, { process, batch }] of others.entries())
          steps.push(async () => ofOthers[index].push(rate(await process.call("embed", { texts: turn, batch }))));
        for (const step of round % 2 === 0 ? steps : steps.reverse()) await step();
      }
      const ratio = (index) => ofOthers[index] && median(rates.map((one, round) => one / ofOthers[index][round]));

      const { vectors } = await own.call("embed", { texts, keep: true });
      const others32 = others[0] && (await others[0].process.call("embed", { texts, batch: 1, keep: true })).vectors;
      const others8 = others[1] && (await others[1].process.call("embed", { texts, batch: others[1].batch, keep: true })).vectors;
      const true32 = others32 && fidelity(vectors, others32);
      const true8 = others8 && fidelity(others8, others32);
      for (const { process } of others) await process.stop();

      const asked = questions(QUESTIONS);
      await own.call("questions", asked.slice(0, 20));
      const ms = sorted(await own.call("questions", asked));
      const long = sorted(await own.call("questions", texts.slice(0, 300)));
      await own.stop();
      note({ rates, ofOthers });
      return {
        ours: median(rates),
        peer: ofOthers[0] && median(ofOthers[0]),
        batch: others[0]?.batch,
        ratio: ratio(0),
        peer8: ofOthers[1] && median(ofOthers[1]),
        ratio8: ratio(1),
        mean: true32?.mean,
        least: true32?.least,
        mean8: true8?.mean,
        least8: true8?.least,
        p50: quantile(ms, 0.5),
        p99: quantile(ms, 0.99),
        long50: quantile(long, 0.5),
      };
    },
  },
  {
    name: "memory-ready",
    title: `a fresh process to its first vector, medians of ${PROCESSES} processes`,
    spawns: true,
    metrics: {
      ready: { label: "model ready: its files, the runtime library, the session and the first vector", unit: "ms", most: 60 },
      tokenizer: { label: "of which the tokenizer alone (tokens() in other processes)", unit: "ms" },
      addon: { label: "loading the addon", unit: "ms" },
      require: { label: "require of the package", unit: "ms" },
      all: { label: "all of it", unit: "ms" },
      second: { label: "the second vector", unit: "ms" },
      memory: { label: "memory of the process with the model", unit: "MiB" },
    },
    async run({ directory, folder }) {
      const script = (first) => `
        const spent = [performance.now()];
        const { Memory } = require(${JSON.stringify(directory)});
        spent.push(performance.now());
        require(${JSON.stringify(join(directory, "binding.js"))});
        spent.push(performance.now());
        const memory = new Memory({ path: ${JSON.stringify(join(folder, "memory"))}, maintenance: false });
        (async () => {
          await ${first};
          spent.push(performance.now());
          await memory.embedOne("the second text of this process");
          spent.push(performance.now());
          const parts = spent.slice(1).map((at, index) => at - spent[index]);
          process.stdout.write(JSON.stringify({ parts, mib: process.memoryUsage.rss() / 2 ** 20 }));
          await memory.close();
        })();`;
      const scripts = { embed: `memory.embedOne("the first text of this process")`, tokens: `memory.tokens(["the first text"])` };
      const samples = { embed: [], tokens: [] };
      for (const [name, first] of Object.entries(scripts)) writeFileSync(join(folder, `${name}.cjs`), script(first));
      // The first round fills the caches of the file system.
      for (let round = 0; round <= PROCESSES; round++) {
        for (const name of Object.keys(scripts)) {
          const { stdout } = await promisify(execFile)(process.execPath, [join(folder, `${name}.cjs`)]);
          if (round > 0) samples[name].push(JSON.parse(stdout));
        }
      }
      const part = (name, index) => median(samples[name].map(({ parts }) => parts[index]));
      return {
        ready: part("embed", 2),
        tokenizer: part("tokens", 2),
        addon: part("embed", 1),
        require: part("embed", 0),
        all: median(samples.embed.map(({ parts }) => parts[0] + parts[1] + parts[2])),
        second: part("embed", 3),
        memory: median(samples.embed.map(({ mib }) => mib)),
      };
    },
  },
];
