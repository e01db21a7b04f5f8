/** `memory search`: passages, with the lines that they are in. */
import { extname } from "node:path";
import type { Memory, RAGResult } from "master-agent";
import { inMemory } from "./memory";
import { columns, manyLines, oneLine, paint, print, printJson, width } from "./terminal";
import { choice, jsonObject, number, UsageError, type Values, wholeNumber } from "./values";

/** The lines of a passage in its document, from 1. */
interface Lines {
  readonly from: number;
  readonly to: number;
}

type Hit = RAGResult & { readonly lines: Lines };

/** `master-agent memory search`. */
export async function searchMemory(words: readonly string[], values: Values): Promise<void> {
  const query = words.join(" ").trim();
  if (query === "") {
    throw new UsageError("memory search needs <query...>.", "memory search");
  }
  const settings = {
    limit: wholeNumber(values.limit, "limit", 1, 1_000) ?? 5,
    mode: choice(values.mode, "mode", ["hybrid", "vector", "text"]),
    minScore: number(values["min-score"], "min-score", 0, 1),
    filter: jsonObject(values.filter, "filter"),
    neighbours: wholeNumber(values.neighbours, "neighbours", 0, 100),
  };
  const hits = await inMemory(values, {}, async (memory) => withLines(memory, await memory.search(query, settings)));
  if (values.json === true) {
    printJson({ query, hits });
    return;
  }
  const room = columns();
  if (room === undefined) {
    for (const { score, id, lines, text } of hits) {
      print([score.toFixed(3), oneLine(id), range(lines), oneLine(text.trim())].join("\t"));
    }
    return;
  }
  if (hits.length === 0) {
    print("Nothing found.");
    return;
  }
  const marked = marker(query);
  for (const [index, hit] of hits.entries()) {
    show(hit, index, room, marked);
  }
}

async function withLines(memory: Memory, hits: readonly RAGResult[]): Promise<Hit[]> {
  const ids = [...new Set(hits.map(({ id }) => id))];
  const documents = new Map((await memory.getMany(ids)).flatMap((one) => (one === null ? [] : [[one.id, one.text]])));
  return hits.map((hit) => ({ ...hit, lines: linesOf(documents.get(hit.id) ?? "", hit.chunk) }));
}

/** The lines between two places of a text, without the space around. */
export function linesOf(text: string, { start, end }: { start: number; end: number }): Lines {
  const passage = text.slice(start, end);
  const first = start + passage.length - passage.trimStart().length;
  const from = count(text, 0, first) + 1;
  return { from, to: from + count(text, first, Math.max(first, start + passage.trimEnd().length)) };
}

/** How many lines end between two places. */
function count(text: string, start: number, end: number): number {
  let ends = 0;
  for (let at = text.indexOf("\n", start); at >= 0 && at < end; at = text.indexOf("\n", at + 1)) {
    ends += 1;
  }
  return ends;
}

const range = ({ from, to }: Lines): string => (from === to ? String(from) : `${from}-${to}`);

const INDENT = "      ";

function show({ score, id, lines, text, chunk, document, neighbours }: Hit, index: number, room: number, marked: Mark): void {
  const place = `${lines.from === lines.to ? "line" : "lines"} ${range(lines)}`;
  const part = document.chunks === 1 ? "" : `, passage ${chunk.index + 1} of ${document.chunks}`;
  if (index > 0) {
    print("");
  }
  print(`${paint("green", score.toFixed(2))}  ${paint("bold", oneLine(id))}  ${paint("dim", place + part)}`);
  const body = (passage: string, style: (line: string) => string): void => {
    const tidied = tidy(passage);
    for (const line of wrap(isProse(id) ? joined(tidied) : tidied, room - INDENT.length)) {
      print(line === "" ? "" : INDENT + style(line));
    }
  };
  const faint = (line: string): string => paint("dim", line);
  if (neighbours !== undefined && neighbours.before.trim() !== "") {
    body(neighbours.before, faint);
  }
  body(text, marked);
  if (neighbours !== undefined && neighbours.after.trim() !== "") {
    body(neighbours.after, faint);
  }
}

/** A passage without empty lines at its ends, and no more than one between others. */
function tidy(text: string): string {
  return manyLines(text)
    .replaceAll("\t", "  ")
    .replace(/^(?:[^\S\n]*\n)+/, "")
    .replace(/\n{3,}/g, "\n\n")
    .trimEnd();
}

/** Whether the lines of a document may be broken elsewhere. */
const isProse = (id: string): boolean => ["", ".md", ".markdown", ".txt", ".rst"].includes(extname(id).toLowerCase());

/** Paragraphs whose lines were broken for another width, in one line each. */
export function joined(text: string): string {
  let fenced = false;
  let open = false;
  let whole = "";
  for (const line of text.split("\n")) {
    const fence = /^\s*(?:```|~~~)/.test(line);
    fenced = fence ? !fenced : fenced;
    // What begins with a letter and follows a full line goes on with it.
    const goesOn = open && !fence && /^[\p{Letter}\p{Quotation_Mark}`(]/u.test(line);
    whole += `${whole === "" ? "" : goesOn ? " " : "\n"}${line}`;
    open = !fenced && !fence && line.length >= FULL && !/^[|#]/.test(line);
  }
  return whole;
}

/** A line of prose that is this long was broken because it was full. */
const FULL = 60;

/** Lines of at most so many cells, broken between words; what was indented stays so. */
export function wrap(text: string, cells: number): string[] {
  return text.split("\n").flatMap((line) => {
    if (width(line) <= cells) {
      return [line.trimEnd()];
    }
    const [indent = ""] = /^\s*(?:(?:[-*+>]|\d+\.)\s+)?/.exec(line) ?? [];
    const hang = " ".repeat(Math.min(width(indent), Math.floor(cells / 2)));
    const rows: string[] = [];
    let row = indent.length > cells / 2 ? hang : indent;
    let used = width(row);
    let empty = true;
    for (const word of line.slice(indent.length).split(/\s+/)) {
      for (const piece of pieces(word, cells - hang.length)) {
        const size = width(piece);
        if (!empty && used + 1 + size > cells) {
          rows.push(row);
          row = hang;
          used = hang.length;
          empty = true;
        }
        row += empty ? piece : ` ${piece}`;
        used += size + (empty ? 0 : 1);
        empty = false;
      }
    }
    rows.push(row);
    return rows;
  });
}

const segmenter = new Intl.Segmenter();

/** A word that is longer than a line, in parts that are not. */
function pieces(word: string, cells: number): string[] {
  if (width(word) <= cells) {
    return [word];
  }
  const parts: string[] = [];
  let part = "";
  let used = 0;
  for (const { segment } of segmenter.segment(word)) {
    const size = width(segment);
    if (used + size > cells) {
      parts.push(part);
      part = "";
      used = 0;
    }
    part += segment;
    used += size;
  }
  parts.push(part);
  return parts;
}

type Mark = (line: string) => string;

/** Words that are everywhere, and say nothing about a passage. */
const COMMON =
  "about after also and any are been before but can could does each for from had has have how into its may more most not now one only other our out over should some such than that the their them then there these they this those was were what when where which while who why will with would you your";

/** Makes the words of a query stand out, also in their other forms. */
function marker(query: string): Mark {
  const common = new Set(COMMON.split(" "));
  const stems = (query.toLowerCase().match(/[\p{Letter}\p{Number}_]{3,}/gu) ?? [])
    .filter((word) => !common.has(word))
    .map((word) => word.replace(/(?<=.{3})(?:ing|ed|es|s)$/, ""));
  if (stems.length === 0) {
    return (line) => line;
  }
  return (line) =>
    line.replace(/[\p{Letter}\p{Number}_]+/gu, (word) =>
      stems.some((stem) => word.toLowerCase().startsWith(stem)) ? paint("bold", word) : word,
    );
}
