/** The names of the reference: functions over one memory of the process, which is made from the environment at its first use. */
import { invalid } from "../errors";
import { options, show } from "../options";
import type { AddTextOptions, MemoryCollection } from "./collection";
import { collectionName } from "./config";
import type { EmbedOptions } from "./embedding";
import { Memory } from "./memory";
import { ADD_KEYS, ADD_TEXT_KEYS, SEARCH_KEYS } from "./settings";
import type {
  AddedDocument,
  AddManyOptions,
  AddOptions,
  AnyMetadata,
  CallOptions,
  CollectionInfo,
  RAGDocument,
  RAGResult,
  SearchOptions,
} from "./types";

/** Which collection a function is about. */
export interface InCollection {
  /** 1 to 128 of `A-Z a-z 0-9 _ - .`, no `.` at the beginning; `"documents"`. */
  collection?: string | undefined;
}

let present: Memory | undefined;

/** The memory of the process. Made anew after it was closed. */
export function defaultMemory(): Memory {
  if (present === undefined || present.closed) {
    present = new Memory();
  }
  return present;
}

/** Takes `collection` out of options, and answers with what it names. */
function place(value: unknown, known: ReadonlySet<string>): [MemoryCollection, object | undefined] {
  const { collection, ...rest } = options(value, "options", new Set([...known, "collection"]));
  const memory = defaultMemory();
  return [
    collection === undefined ? memory : memory.collection(collectionName(collection, "options.collection")),
    value === undefined ? undefined : rest,
  ];
}

/**
 * Adds a document, given as such or as its text, to the memory of the process (`LANCEDB_PATH`, else `APP_DATA_DIR/lancedb`, else
 * `./data/lancedb`). It is stored when this resolves.
 *
 * @example
 * await addDocument("Some fact or note.", { source: "user" });
 * await addDocument({ id: "note-7", text: "Some fact or note." });
 */
export function addDocument(document: RAGDocument, options?: AddOptions & InCollection): Promise<AddedDocument>;
export function addDocument(
  text: string,
  metadata?: AnyMetadata,
  options?: AddTextOptions & InCollection,
): Promise<AddedDocument>;
export async function addDocument(first: unknown, second?: unknown, third?: unknown): Promise<AddedDocument> {
  if (typeof first === "string") {
    const [collection, rest] = place(third, ADD_TEXT_KEYS);
    return collection.add(first, second as AnyMetadata | undefined, rest);
  }
  const [collection, rest] = place(second, ADD_KEYS);
  return collection.add(first as RAGDocument, rest);
}

/** Adds documents, or texts; see {@link MemoryCollection.addMany}. */
export async function addDocuments(
  documents: Iterable<RAGDocument | string> | AsyncIterable<RAGDocument | string>,
  options?: AddManyOptions & InCollection,
): Promise<AddedDocument[]> {
  const [collection, rest] = place(options, ADD_KEYS);
  return collection.addMany(documents, rest);
}

/**
 * Adds a text with its metadata to the memory of the process.
 *
 * @example
 * await addRAGDocument("Some fact or note.", { source: "user" });
 * const hits = await ragRetrieve("relevant query", { limit: 5 });
 */
export async function addRAGDocument(
  text: string,
  metadata?: AnyMetadata,
  options?: AddTextOptions & InCollection,
): Promise<AddedDocument> {
  if (typeof text !== "string") {
    throw invalid("text", `must be a string, not ${show(text)}; addDocument() takes documents`);
  }
  return addDocument(text, metadata, options);
}

/** Adds documents, or texts; the same as {@link addDocuments}. */
export async function addRAGDocuments(
  documents: Iterable<RAGDocument | string> | AsyncIterable<RAGDocument | string>,
  options?: AddManyOptions & InCollection,
): Promise<AddedDocument[]> {
  return addDocuments(documents, options);
}

/** Finds passages in the memory of the process; the same as {@link ragRetrieve}, and takes a vector too. */
export async function search(
  query: string | Float32Array | readonly number[],
  options?: SearchOptions & InCollection,
): Promise<RAGResult[]> {
  const [collection, rest] = place(options, SEARCH_KEYS);
  return collection.search(query, rest);
}

/**
 * Finds the passages in the memory of the process that answer a question best.
 *
 * @example
 * const hits = await ragRetrieve("relevant query", { limit: 5, filter: { source: "user", year: { gte: 2024 } } });
 * for (const { score, text, metadata } of hits) console.log(score, text, metadata);
 */
export async function ragRetrieve(query: string, options?: SearchOptions & InCollection): Promise<RAGResult[]> {
  if (typeof query !== "string") {
    throw invalid("query", `must be a string, not ${show(query)}; search() takes vectors`);
  }
  return search(query, options);
}

/** The vector of one text, of length 1, by the model of the package: 384 numbers. */
export async function embedOne(text: string, options?: EmbedOptions): Promise<Float32Array> {
  return defaultMemory().embedOne(text, options);
}

/** A vector for each text, of length 1. The vector of a text does not depend on the texts beside it. */
export async function embedBatch(texts: readonly string[], options?: EmbedOptions): Promise<Float32Array[]> {
  return defaultMemory().embedBatch(texts, options);
}

/** The connection of the process to its memory. */
export interface MemoryConnection {
  /** The folder, absolute. */
  readonly path: string;
  /** The memory itself. */
  readonly memory: Memory;
  /** All collections. */
  collections(options?: CallOptions): Promise<CollectionInfo[]>;
  /** Their names, which are those of the LanceDB tables. */
  tableNames(options?: CallOptions): Promise<string[]>;
  /** Closes the memory of the process. The next function that needs it opens it again. */
  close(): Promise<void>;
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * The connection of the functions of this module.
 *
 * @throws {@link MasterAgentError} `ERR_STORE_…` if the folder cannot be used.
 */
export async function getConnection(options?: CallOptions): Promise<MemoryConnection> {
  const memory = defaultMemory();
  // Opening is what the caller asks for: what is wrong with the folder is told here.
  await memory.collections(options);
  return {
    path: memory.path,
    memory,
    collections: (callOptions) => memory.collections(callOptions),
    tableNames: async (callOptions) => (await memory.collections(callOptions)).map(({ name }) => name),
    close: () => memory.close(),
    [Symbol.asyncDispose]: () => memory.close(),
  };
}
