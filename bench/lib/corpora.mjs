// Texts to measure memory with: those of test collections where MASTER_AGENT_IR names their folder, else made-up ones.
//
// The folder has a folder for each collection with corpus.jsonl and queries.jsonl (`id`, `text`) and qrels.tsv (query, document, relevance).
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const WORDS_OF_TEXT = [6, 60];
/** Texts of so many words have about 38 tokens in the wording of the test collections. */
const MEAN_WORDS = 29;

/** Where the words come from when there is no collection. */
const DOCUMENTS = ["README.md", "ARCHITECTURE.md", "bench/README.md", "bench/RESULTS.md", "CHANGELOG.md"];

/** The folder of the test collections, if there is one. */
export const irFolder = () => {
  const folder = process.env.MASTER_AGENT_IR;
  return folder && existsSync(folder) ? folder : undefined;
};

/** Numbers from 0 to 1, the same for the same seed. */
export function random(seed) {
  let state = seed >>> 0 || 1;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const lines = (file) =>
  readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "");

/** A test collection: documents, queries, and for each query the relevant documents. */
export function collection(name) {
  const folder = join(irFolder(), name);
  const relevant = new Map();
  for (const line of lines(join(folder, "qrels.tsv")).slice(1)) {
    const [query, document, relevance] = line.split("\t");
    if (Number(relevance) <= 0) continue;
    if (!relevant.has(query)) relevant.set(query, new Set());
    relevant.get(query).add(document);
  }
  const documents = lines(join(folder, "corpus.jsonl")).map((line) => JSON.parse(line));
  const queries = lines(join(folder, "queries.jsonl")).map((line) => JSON.parse(line));
  return {
    name,
    documents: documents.map(({ id, text }) => ({ id, text })).filter(({ text }) => text.trim() !== ""),
    queries: queries.filter(({ id }) => relevant.has(id)),
    relevant,
  };
}

export const collections = () => (irFolder() === undefined ? [] : ["cranfield", "vaswani"].map(collection));

const words = (text) => text.split(/\s+/).filter((word) => word !== "");

/** Words of the documents of this repository, put together by chance, frequent and rare ones as a language has them. */
function* madeUp(seed) {
  const next = random(seed);
  const found = DOCUMENTS.flatMap((file) => readFileSync(new URL(`../../${file}`, import.meta.url), "utf8").match(/[a-z]{2,}/gi));
  const vocabulary = shuffled(distinct(found.map((word) => word.toLowerCase())), seed);
  for (;;) {
    const length = 10 + Math.floor(next() * 36);
    yield Array.from({ length }, () => vocabulary[Math.floor(vocabulary.length * next() ** 3)]).join(" ");
  }
}

/** Passages as they are written: documents of Vaswani, sentences of Cranfield joined until they have some length. */
function* written() {
  if (irFolder() === undefined) {
    yield* madeUp(7);
    return;
  }
  for (const { documents } of collections()) {
    for (const { text } of documents) {
      let passage = [];
      for (const sentence of text.split(/ \. ?/)) {
        passage.push(...words(sentence));
        if (passage.length >= 15) {
          yield passage.slice(0, WORDS_OF_TEXT[1]).join(" ");
          passage = [];
        }
      }
    }
  }
}

function shuffled(list, seed) {
  const next = random(seed);
  const copy = [...list];
  for (let place = copy.length - 1; place > 0; place--) {
    const other = Math.floor(next() * (place + 1));
    [copy[place], copy[other]] = [copy[other], copy[place]];
  }
  return copy;
}

function take(source, count) {
  const list = [];
  for (const item of source) {
    list.push(item);
    if (list.length === count) break;
  }
  return list;
}

const distinct = (list) => [...new Set(list)];

/** Texts as they are written, none twice, in an order of chance. At most so many are made up. */
const all = (count) => shuffled(distinct(irFolder() === undefined ? take(written(), count * 2) : [...written()]), 11);

/** `count` texts of 38 tokens in the mean, short and long ones beside each other. */
export function sentences(count) {
  const [least, most] = WORDS_OF_TEXT;
  const candidates = all(count).filter((text) => words(text).length >= least && words(text).length <= most);
  const isLong = (text) => words(text).length >= MEAN_WORDS;
  const long = candidates.filter(isLong);
  const short = candidates.filter((text) => !isLong(text));
  const chosen = [];
  let sum = 0;
  while (chosen.length < count) {
    const text = (sum > MEAN_WORDS * chosen.length ? short : long).pop();
    if (text === undefined) throw new Error(`there are only ${chosen.length} texts, not ${count}`);
    chosen.push(text);
    sum += words(text).length;
  }
  return chosen;
}

/** `count` passages: those that are written, then first halves of some with second halves of others. */
export function passages(count) {
  const real = all(count);
  const list = real.slice(0, count);
  const seen = new Set(list);
  const next = random(23);
  const some = () => words(real[Math.floor(next() * real.length)]);
  while (list.length < count) {
    const [first, second] = [some(), some()];
    const text = [...first.slice(0, Math.ceil(first.length / 2)), ...second.slice(Math.floor(second.length / 2))].join(" ");
    if (seen.has(text)) continue;
    seen.add(text);
    list.push(text);
  }
  return list;
}

/** `count` questions, none twice: those of the collections, then phrases of their texts. */
export function questions(count) {
  const list = distinct(collections().flatMap(({ queries }) => queries.map(({ text }) => text)));
  const seen = new Set(list);
  const next = random(31);
  const real = all(count);
  while (list.length < count) {
    const text = words(real[Math.floor(next() * real.length)]);
    const length = 5 + Math.floor(next() * 8);
    const start = Math.floor(next() * Math.max(1, text.length - length));
    const phrase = text.slice(start, start + length).join(" ");
    if (seen.has(phrase)) continue;
    seen.add(phrase);
    list.push(phrase);
  }
  return shuffled(list, 37).slice(0, count);
}
