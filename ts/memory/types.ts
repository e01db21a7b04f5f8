/** The public types of memory. Times are milliseconds, points in time milliseconds since the Unix epoch, ids strings. */
import type { StandardSchema } from "../schema";
import type { Serialized, WaitOptions } from "../types";
import type { EmbeddingFunction, EmbedTexts, ModelSpec } from "./embedding";
import type { Filter } from "./filter";

/** Metadata of which nothing is known: any JSON object. */
export type AnyMetadata = { [key: string]: unknown };

/** What every call accepts. */
export interface CallOptions extends WaitOptions {
  /** Milliseconds, 1 to 2 147 483 647; no limit. The call ends with `ERR_WAIT_TIMEOUT`; what was being written may have been written. */
  timeout?: number | undefined;
  /** Ends the call with `ERR_WAIT_ABORTED`, whose `cause` is the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** How far a long call is. */
export interface Progress {
  /** Documents that are done; of an import the bytes of the file. */
  readonly done: number;
  /** All of them, where that is known. */
  readonly total: number | undefined;
}

/** How far the download of a model is. */
export interface DownloadProgress {
  readonly file: string;
  /** Bytes. */
  readonly done: number;
  /** Bytes, where that is known. */
  readonly total: number | undefined;
}

/** How documents are split into passages. */
export interface ChunkOptions {
  /** The longest passage, in tokens of the model, from 1 to what the model reads, which is the default (254 for the bundled one). */
  tokens?: number | undefined;
  /** How many tokens two neighbours may share, less than `tokens`; at most a quarter of it. */
  overlap?: number | undefined;
  /** Where splits are sought: `"text"`, `"markdown"` (headings, lists, fences) or `"code"` (blank lines, braces, indentation); guessed. */
  format?: "text" | "markdown" | "code" | undefined;
}

/** What happens to a document whose id is there already. */
export type OnConflict = "replace" | "skip" | "error";

interface DocumentTimes {
  /** Milliseconds, 1 or more, after which the document is gone. */
  ttl?: number | undefined;
  /** When the document is gone: a `Date`, or milliseconds since the epoch. */
  expiresAt?: Date | number | undefined;
}

/** A document to add. */
export type RAGDocument<M extends object = AnyMetadata> = DocumentTimes & {
  /** Your own id, 1 to 1024 characters; one is made up. */
  id?: string | undefined;
  /** The text, up to `maxTextBytes`. Lone surrogates become U+FFFD. */
  text: string;
} & (Partial<M> extends M
    ? {
        /** Any JSON object. */
        metadata?: M | undefined;
      }
    : { metadata: M });

/** What became of a document that was added. */
export interface AddedDocument {
  readonly id: string;
  /** How many passages it has. */
  readonly chunks: number;
  /** `unchanged`: the text is there already, under `id`; `skipped`: the id is there, and was left as it was. */
  readonly status: "added" | "replaced" | "unchanged" | "skipped";
}

/** The place of a passage in the text of its document, in UTF-16 units, as `slice` counts. */
export interface ChunkPlace {
  readonly start: number;
  readonly end: number;
}

/** A document as it is stored. */
export interface MemoryDocument<M extends object = AnyMetadata> {
  readonly id: string;
  readonly text: string;
  readonly metadata: Serialized<M>;
  /** The places of its passages in the text. */
  readonly chunks: readonly ChunkPlace[];
  readonly createdAt: number;
  readonly updatedAt: number;
  /** When it is gone; absent if never. */
  readonly expiresAt?: number;
  /** With `vectors: true`: one for each passage, of length 1. */
  readonly vectors?: readonly Float32Array[];
}

/** A passage that was found. */
export interface RAGResult<M extends object = AnyMetadata> {
  /** The id of the document. */
  readonly id: string;
  /** The passage. */
  readonly text: string;
  /** How well it fits, 0 to 1, best first; what a reranker of your own gave. */
  readonly score: number;
  readonly metadata: Serialized<M>;
  readonly document: {
    /** How many passages the document has. */
    readonly chunks: number;
    readonly createdAt: number;
    readonly updatedAt: number;
  };
  /** The passage in its document: its number, from 0, and its place. */
  readonly chunk: ChunkPlace & { readonly index: number };
  /** What the score is made of. */
  readonly scores: {
    /** Cosine with the query, -1 to 1, where vectors were searched. */
    readonly vector?: number;
    /** BM25, 0 or more, where words were searched. */
    readonly text?: number;
    /** The score before reranking. */
    readonly retrieval?: number;
  };
  /** With `neighbours`: the text around the passage. */
  readonly neighbours?: { readonly before: string; readonly after: string };
  /** With `vectors: true`: that of the passage, of length 1. */
  readonly vector?: Float32Array;
}

/** How passages are found: by meaning and words, by meaning, or by words. */
export type SearchMode = "hybrid" | "vector" | "text";

/**
 * Orders what was found by its own reading: answers with a score for each hit, or with the hits in a better order (some may
 * be left out). The signal aborts when nobody waits any more.
 */
export type RerankFunction<M extends object = AnyMetadata> = (
  query: string,
  hits: readonly RAGResult<M>[],
  options: { readonly signal: AbortSignal },
) => RerankAnswer<M> | Promise<RerankAnswer<M>>;

/** Scores in the order of the hits, or hits. */
export type RerankAnswer<M extends object = AnyMetadata> = readonly number[] | Float32Array | readonly RAGResult<M>[];

/** What `search` finds, and how. */
export interface SearchOptions<M extends object = AnyMetadata> extends CallOptions {
  /** Hits, 1 to 1000; 5. */
  limit?: number | undefined;
  /** Hits to pass over, 0 to 10 000; 0. */
  offset?: number | undefined;
  /** Only documents that match; applied before the search. */
  filter?: Filter<M> | undefined;
  /** Only hits with at least this score; 0. */
  minScore?: number | undefined;
  /** `"hybrid"` (default), `"vector"` or `"text"`. */
  mode?: SearchMode | undefined;
  /** How many passages before and after each hit come with it, 0 to 100; 0. */
  neighbours?: number | undefined;
  /** Every passage that fits, rather than the best one of each document; `false`. */
  chunks?: boolean | undefined;
  /** Whether hits carry their vectors; `false`. */
  vectors?: boolean | undefined;
  /** A function, or a cross-encoder by name (fetched at its first use) or folder. */
  rerank?: RerankFunction<M> | ModelSpec | undefined;
  /** How many hits the reranker gets, up to 1000; 4 times `limit + offset`, at least 20. */
  candidates?: number | undefined;
}

/** How documents are added. */
export interface AddOptions extends CallOptions {
  /** What happens to a document whose id is there; `"replace"`. With `"error"`: `ERR_MEMORY_EXISTS`, and nothing of its batch is added. */
  onConflict?: OnConflict | undefined;
  /** Leaves out texts that the collection has already, whatever their id; `false`. */
  dedupe?: boolean | undefined;
  /** Over the `chunking` of the memory. */
  chunking?: ChunkOptions | undefined;
  /** Milliseconds, 1 or more, after which documents are gone that do not say otherwise; never. */
  ttl?: number | undefined;
}

/** How many documents are added. */
export interface AddManyOptions extends AddOptions {
  /** Called after every batch. */
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** What `update` changes. What is left out stays. */
export interface DocumentChanges<M extends object = AnyMetadata> {
  /** The new text; it is split and embedded anew. */
  text?: string | undefined;
  /** The new metadata: all of it, or with `merge` the members to set. */
  metadata?: Partial<M> | undefined;
  /** Sets the members of `metadata` and leaves the others; `false`. */
  merge?: boolean | undefined;
  /** Milliseconds from now, 1 or more. */
  ttl?: number | undefined;
  /** `null`: never. */
  expiresAt?: Date | number | null | undefined;
}

/** Which documents `list` gives. */
export interface ListDocumentsOptions<M extends object = AnyMetadata> extends CallOptions {
  filter?: Filter<M> | undefined;
  /** Documents of one page, 1 to 1000; 100. */
  limit?: number | undefined;
  /** Where the page before ended, in the same order. */
  cursor?: string | undefined;
  /** What they are ordered by; `"id"`. Documents of one time are in the order of their ids. */
  orderBy?: "id" | "createdAt" | "updatedAt" | undefined;
  /** Whether the last come first; `false`. */
  descending?: boolean | undefined;
}

/** One page of documents. */
export interface DocumentPage<M extends object = AnyMetadata> {
  readonly documents: MemoryDocument<M>[];
  /** Where the next page begins; absent at the end. */
  readonly cursor?: string;
}

/** What `get` and `getMany` give. */
export interface GetOptions extends CallOptions {
  /** Whether documents carry the vectors of their passages; `false`. */
  vectors?: boolean | undefined;
}

/** What `export` writes. */
export interface ExportOptions<M extends object = AnyMetadata> extends CallOptions {
  filter?: Filter<M> | undefined;
  /** Whether passages and their vectors are written too, so that an import with the same model need not embed; `false`. */
  vectors?: boolean | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** How `import` reads. */
export interface ImportOptions extends CallOptions {
  /** What happens to a document whose id is there; `"replace"`. */
  onConflict?: OnConflict | undefined;
  /** Leaves out texts that the collection has already, whatever their id; `false`. */
  dedupe?: boolean | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** What `import` did. */
export interface ImportResult {
  readonly added: number;
  readonly replaced: number;
  readonly skipped: number;
  /** Texts that were there already. */
  readonly unchanged: number;
  /** Lines that are no document, from 1; the first 1000 of them. */
  readonly failed: readonly { readonly line: number; readonly message: string }[];
}

/** How `reindex` and `optimize` are called. */
export interface LongCallOptions extends CallOptions {
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** One collection. */
export interface CollectionInfo {
  readonly name: string;
  readonly documents: number;
  readonly chunks: number;
  /** On disk. */
  readonly bytes: number;
}

/** What a collection is made of. */
export interface MemoryStats {
  readonly documents: number;
  readonly chunks: number;
  /** On disk. */
  readonly bytes: number;
  /** Grows with every write. */
  readonly version: number;
  readonly fragments: number;
  readonly deletedRows: number;
  /** Passages that no index has yet: they are found by a scan. */
  readonly unindexedRows: number;
  /** Passages whose vectors this process has in memory. */
  readonly cachedChunks: number;
  readonly indexes: readonly { readonly name: string; readonly type: string; readonly rows: number }[];
  /** The id of the model that made its vectors. */
  readonly model: string;
  /** The length of its vectors; 0 while there are none. */
  readonly dimensions: number;
}

/** Options of a collection. */
export interface CollectionOptions<M extends object = AnyMetadata> {
  /** Any Standard Schema v1. Metadata is checked by it before it is stored, and is what it makes of it. */
  metadataSchema?: StandardSchema<unknown, M> | undefined;
}

/** What {@link createEmbeddingFunction} made. Without its call signature, so that the parameters of a function of your own are inferred. */
export type MadeEmbedding = Pick<EmbeddingFunction, keyof EmbeddingFunction>;

/** Options of a `Memory`. */
export interface MemoryOptions<M extends object = AnyMetadata> extends CollectionOptions<M> {
  /** The folder; `LANCEDB_PATH`, else `APP_DATA_DIR/lancedb`, else `./data/lancedb`. */
  path?: string | undefined;
  /** The collection of the calls of this object, 1 to 128 of `A-Z a-z 0-9 _ - .`, no `.` at the beginning; `"documents"`. */
  collection?: string | undefined;
  /** The model: `"bundled"` (default), the name of another one (fetched at its first use), `{ path }`, what {@link createEmbeddingFunction} made, or a function of your own. */
  embedding?: string | ModelSpec | EmbedTexts | MadeEmbedding | undefined;
  /** How documents are split. */
  chunking?: ChunkOptions | undefined;
  /** What happens to a document whose id is there; `"replace"`. */
  onConflict?: OnConflict | undefined;
  /** Leaves out texts that are there already; `false`. */
  dedupe?: boolean | undefined;
  /** The longest text, in bytes of UTF-8, up to 256 MiB; 10 MiB. */
  maxTextBytes?: number | undefined;
  /** The largest metadata of one document, in bytes of its JSON, up to 256 MiB; 16 MiB. */
  maxMetadataBytes?: number | undefined;
  /** Writes nothing, also no indexes: calls that would are `ERR_STORE_READ_ONLY`; `false`. */
  readOnly?: boolean | undefined;
  /** Whether this process keeps up indexes and files in the background; `true`. */
  maintenance?: boolean | undefined;
  /** Bytes of vectors that are kept in memory, over all collections, for searches several times as fast; 1 GiB, some 1.2 million passages. */
  cacheBytes?: number | undefined;
  /** The file of ONNX Runtime; the one that comes with the package. */
  runtime?: string | undefined;
  /** The folder where models are kept that are fetched; `APP_DATA_DIR/models`, else `./data/models`. */
  modelCache?: string | undefined;
  /** Told about models that are fetched. */
  onDownload?: ((progress: DownloadProgress) => void) | undefined;
}
