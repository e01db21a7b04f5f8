/**
 * A memory without an addon: documents in a map, words instead of meaning. It keeps the contract of requests and replies, so
 * that ts/memory can be tested by itself; tables, models and filters are the engine's own tests.
 */
import { createRequire } from "node:module";
import type { NativeMemory, NativeMemoryOptions, NativeMemoryReply } from "../../ts/native.ts";
import { native } from "./ts.ts";

const load = createRequire(import.meta.url);
export const filters = load("../../ts/memory/filter.ts") as typeof import("../../ts/memory/filter.ts");
export const defaults = load("../../ts/memory/default.ts") as typeof import("../../ts/memory/default.ts");

/** A request, as the fake reads it. */
export interface Request {
  op: string;
  collection: string;
  request?: number;
  target?: number;
  texts: string[];
  documents: Given[];
  conflict: "replace" | "skip" | "error";
  dedupe?: boolean;
  ids?: string[];
  id: string;
  text?: string;
  metadata?: Record<string, unknown>;
  mergeMetadata?: boolean;
  expiresAt?: number | null;
  chunks?: unknown;
  query?: string;
  mode: string;
  limit: number;
  offset?: number;
  minScore?: number;
  vectors?: boolean;
  filter?: Record<string, unknown>;
  cursor?: string;
  done?: boolean;
  begin?: boolean;
  chunk?: { tokens?: number };
  path: string;
  [member: string]: unknown;
}

interface Given {
  id?: string;
  text: string;
  metadata: Record<string, unknown>;
  expiresAt?: number;
  createdAt?: number;
  updatedAt?: number;
  chunks?: { start: number; end: number }[];
}

interface Kept extends Required<Omit<Given, "expiresAt">> {
  expiresAt?: number;
  rows: number[][];
}

class Refused extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** How long vectors of the fake's own model are. */
export const DIMENSIONS = 4;
/** How the fake splits: at full stops. */
const placesOf = (text: string) => {
  const places: { start: number; end: number }[] = [];
  let start = 0;
  for (const part of text.split(/(?<=\.)/)) {
    places.push({ start, end: start + part.length });
    start += part.length;
  }
  return places;
};
const vectorOf = (text: string) => {
  const raw = [text.length + 1, ...[..."aeo"].map((letter) => text.split(letter).length)];
  const length = Math.hypot(...raw);
  return raw.map((number) => number / length);
};

type Collections = Map<string, Map<string, Kept>>;
const folders = new Map<string, Collections>();
let nextFolder = 1;
let nextId = 1;

/** A folder that no other test has. */
export const freshFolder = (): string => `/fake-memory/${nextFolder++}`;

type Answer = { value?: unknown; vectors?: Float32Array };
type Hook = (
  request: Request,
  memory: FakeMemory,
  vectors: Float32Array | undefined,
) => Answer | undefined | Promise<Answer | undefined>;

export class FakeMemory implements NativeMemory {
  /** In the order in which they were opened. */
  static opened: FakeMemory[] = [];
  /** Asked before the fake answers; `undefined` leaves the answer to it. */
  static hook: Hook | undefined;

  readonly options: NativeMemoryOptions;
  readonly calls: Request[] = [];
  /** What came beside the calls. */
  readonly sent: (Float32Array | undefined)[] = [];
  closed = 0;
  running = 0;
  most = 0;
  readonly #onEvent: (event: string) => void;
  readonly #collections: Collections;

  constructor(options: string, onEvent: (event: string) => void) {
    this.options = JSON.parse(options) as NativeMemoryOptions;
    this.#onEvent = onEvent;
    this.#collections = folders.get(this.options.folder) ?? new Map();
    folders.set(this.options.folder, this.#collections);
    FakeMemory.opened.push(this);
  }

  static get last(): FakeMemory {
    return FakeMemory.opened.at(-1) as FakeMemory;
  }

  tell(event: object): void {
    this.#onEvent(JSON.stringify(event));
  }

  of(op: string): Request[] {
    return this.calls.filter((call) => call.op === op);
  }

  async call(text: string, vectors?: Float32Array | null): Promise<NativeMemoryReply> {
    const request = { collection: "documents", ...(JSON.parse(text) as object) } as Request;
    this.calls.push(request);
    this.sent.push(vectors ?? undefined);
    this.running += 1;
    this.most = Math.max(this.most, this.running);
    try {
      const answer = (await FakeMemory.hook?.(request, this, vectors ?? undefined)) ?? this.#serve(request, vectors ?? undefined);
      await Promise.resolve();
      return { value: JSON.stringify(answer.value ?? null), vectors: answer.vectors };
    } catch (error) {
      const { code = "ERR_INTERNAL", message } = error as Refused;
      return { error: JSON.stringify({ code, message, retryable: false }) };
    } finally {
      this.running -= 1;
    }
  }

  async close(): Promise<void> {
    this.closed += 1;
  }

  #serve(request: Request, vectors: Float32Array | undefined): Answer {
    const documents = this.#collections.get(request.collection);
    switch (request.op) {
      case "embed":
        return { value: { dimensions: DIMENSIONS, model: "fake" }, vectors: Float32Array.from(request.texts.flatMap(vectorOf)) };
      case "tokens":
        return { value: { counts: request.texts.map((text) => text.split(" ").length) } };
      case "split":
        return {
          value: {
            chunks: request.texts.map((text) =>
              placesOf(text).map(({ start, end }) => ({ text: text.slice(start, end), start, end })),
            ),
          },
        };
      case "add":
        return { value: { documents: this.#add(request, vectors) } };
      case "get":
        return this.#get(
          (request.ids ?? []).map((id) => documents?.get(id) ?? null),
          request.vectors === true,
        );
      case "list":
      case "reindexRead": {
        const all = [...(documents?.values() ?? [])].filter((one) => matches(one, request.filter));
        const from = Number(request.cursor ?? 0);
        const next = from + request.limit;
        const page = all.slice(from, next).map(stored);
        return { value: { documents: page, cursor: next < all.length ? String(next) : null } };
      }
      case "search":
        return this.#search(request, documents);
      case "update":
        return { value: { document: stored(this.#update(request, documents)) } };
      case "delete": {
        let deleted = 0;
        for (const [id, one] of documents ?? []) {
          if (request.ids === undefined ? matches(one, request.filter) : request.ids.includes(id)) {
            documents?.delete(id);
            deleted += 1;
          }
        }
        return { value: { deleted } };
      }
      case "count":
        return {
          value: { documents: [...(documents?.values() ?? [])].filter((one) => matches(one, request.filter)).length, chunks: 0 },
        };
      case "collections":
        return {
          value: {
            collections: [...this.#collections].map(([name, { size }]) => ({ name, documents: size, chunks: size, bytes: 0 })),
          },
        };
      case "drop":
        return { value: { dropped: this.#collections.delete(request.collection) } };
      case "rerank":
        return { value: { scores: request.texts.map((text) => 1 / text.length) } };
      default:
        return { value: {} };
    }
  }

  #add(request: Request, vectors: Float32Array | undefined): object[] {
    const documents = this.#collections.get(request.collection) ?? new Map<string, Kept>();
    this.#collections.set(request.collection, documents);
    let row = 0;
    const dimensions =
      (vectors?.length ?? 0) /
      Math.max(
        1,
        request.documents.reduce((sum, one) => sum + (one.chunks?.length ?? 0), 0),
      );
    return request.documents.map((given) => {
      const id = given.id ?? `made-${nextId++}`;
      const chunks = given.chunks ?? placesOf(given.text);
      const rows = chunks.map((place) =>
        vectors === undefined
          ? vectorOf(given.text.slice(place.start, place.end))
          : Array.from(vectors.subarray(row * dimensions, ++row * dimensions)),
      );
      if (request.dedupe === true) {
        for (const one of documents.values()) {
          if (one.text === given.text) return { id: one.id, chunks: one.chunks.length, status: "unchanged" };
        }
      }
      const present = documents.get(id);
      if (present !== undefined && request.conflict === "error") throw new Refused("ERR_MEMORY_EXISTS", `${id} is there`);
      if (present !== undefined && request.conflict === "skip") return { id, chunks: present.chunks.length, status: "skipped" };
      documents.set(id, { createdAt: 1, updatedAt: 1, ...given, id, chunks, rows });
      return { id, chunks: chunks.length, status: present === undefined ? "added" : "replaced" };
    });
  }

  #get(found: (Kept | null)[], withVectors: boolean): Answer {
    const value = { documents: found.map((one) => (one === null ? null : stored(one))) };
    return withVectors ? { value, vectors: Float32Array.from(found.flatMap((one) => one?.rows.flat() ?? [])) } : { value };
  }

  #search(request: Request, documents: Map<string, Kept> | undefined): Answer {
    const hits: { hit: Record<string, unknown> & { score: number }; row: number[] }[] = [];
    for (const one of documents?.values() ?? []) {
      if (!matches(one, request.filter)) continue;
      const words = new Set((request.query ?? "").split(" "));
      const score = one.text.split(" ").filter((word) => words.has(word)).length / Math.max(1, words.size);
      const chunk = { index: 0, start: 0, end: one.text.length };
      const hit = {
        id: one.id,
        text: one.text,
        score,
        metadata: one.metadata,
        chunk,
        chunks: one.chunks.length,
        scores: { text: score },
      };
      hits.push({ hit: { ...hit, createdAt: one.createdAt, updatedAt: one.updatedAt }, row: one.rows[0] as number[] });
    }
    const best = hits
      .filter(({ hit }) => hit.score >= (request.minScore ?? 0))
      .sort((a, b) => b.hit.score - a.hit.score)
      .slice(request.offset ?? 0, (request.offset ?? 0) + request.limit);
    const value = { hits: best.map(({ hit }) => hit) };
    return request.vectors === true ? { value, vectors: Float32Array.from(best.flatMap(({ row }) => row)) } : { value };
  }

  #update(request: Request, documents: Map<string, Kept> | undefined): Kept {
    const one = documents?.get(request.id);
    if (one === undefined) throw new Refused("ERR_MEMORY_NOT_FOUND", `${request.id} is not there`);
    if (request.text !== undefined) one.text = request.text;
    if (request.metadata !== undefined) {
      one.metadata = request.mergeMetadata === true ? { ...one.metadata, ...request.metadata } : request.metadata;
    }
    if (request.expiresAt === null) delete one.expiresAt;
    else if (request.expiresAt !== undefined) one.expiresAt = request.expiresAt;
    return one;
  }
}

function stored({ rows: _, ...document }: Kept): object {
  return document;
}

function matches(document: Kept, filter: Record<string, unknown> | undefined): boolean {
  return Object.entries(filter ?? {}).every(([key, value]) => document.metadata[key] === value);
}

/** Puts the fake in the place of the addon, for all tests of a file. */
export function useFakeMemory(): void {
  native.replaceMemory((options, onEvent) => new FakeMemory(options, onEvent));
}
