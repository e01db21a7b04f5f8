// A million passages with vectors that are made up around real ones, and the embedding function that makes them.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { random } from "./corpora.mjs";
import { stopwatch } from "./kit.mjs";
import { percentiles, resident } from "./memory.mjs";

export const DIMENSIONS = 384;

const NOISE = 0.035;

/** `centres` holds real vectors, one after the other. The vector of a text comes from the number at its end. */
export function madeUpVectors(centres, dimensions = DIMENSIONS) {
  const count = centres.length / dimensions;
  const vector = (number, kind) => {
    const next = random(Math.imul(number + 1, kind === "query" ? 0x9e3779b1 : 0x85ebca6b));
    const [first, second] = [Math.floor(next() * count), Math.floor(next() * count)];
    const weight = 0.1 + 0.4 * next();
    const made = new Float32Array(dimensions);
    let length = 0;
    for (let place = 0; place < dimensions; place++) {
      // Nearly normal: three numbers from 0 to 1 have a deviation of 0.5.
      const noise = (next() + next() + next() - 1.5) * 2 * NOISE;
      const value = (1 - weight) * centres[first * dimensions + place] + weight * centres[second * dimensions + place] + noise;
      made[place] = value;
      length += value * value;
    }
    length = Math.sqrt(length);
    for (let place = 0; place < dimensions; place++) made[place] /= length;
    return made;
  };
  return {
    vector,
    embedding: {
      model: (texts, { kind }) => texts.map((text) => vector(Number(text.slice(text.lastIndexOf(" ") + 1)), kind)),
      id: "made-up",
      dimensions,
      batchSize: 1_024,
    },
  };
}

/** In a process of its own, which has not added anything: the questions, and its memory. */
export default function asking({ directory, folder, centres, asked, recalls }) {
  const { Memory, createEmbeddingFunction } = createRequire(import.meta.url)(directory);
  const bytes = readFileSync(centres);
  const { embedding } = madeUpVectors(new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4));
  const memory = new Memory({ path: folder, embedding: createEmbeddingFunction(embedding) });
  return {
    /** The first question, before anything is in memory, and reading it. */
    begin: async () => {
      const first = stopwatch();
      await memory.search(`${asked[0]} 7`);
      const answered = first().wall * 1000;
      const reading = stopwatch();
      await memory.warm();
      return { first: answered, warm: reading().wall };
    },
    latency: async (options) => {
      for (const text of asked.slice(0, 20)) await memory.search(`${text} 9`, options);
      return percentiles(asked, (text) => memory.search(text, options));
    },
    ids: async () => {
      const found = [];
      for (const text of asked.slice(0, recalls))
        found.push((await memory.search(text, { mode: "vector", limit: 10 })).map(({ id }) => Number(id)));
      return found;
    },
    memory: () => resident(),
    close: () => memory.close(),
  };
}
