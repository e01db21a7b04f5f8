/** Checks of the options of memory's calls. What a document may contain is `documents.ts`, a filter `filter.ts`. */
import { invalid, MasterAgentError } from "../errors";
import { bundledModelFolder, type NativeModel } from "../native";
import { boolean, integer, oneOf, options, show, time } from "../options";
import { isStandardSchema, type StandardSchema } from "../schema";
import { MemoryClient } from "./client";
import { collectionName, DEFAULT_COLLECTION, folderPath, memoryFolder, modelCache } from "./config";
import type { DocumentRules } from "./documents";
import { checkedCallback, type ExternalEmbedder, embeddingOption } from "./embedding";
import type {
  AddManyOptions,
  ChunkOptions,
  DocumentChanges,
  ExportOptions,
  ImportOptions,
  ListDocumentsOptions,
  MemoryOptions,
  OnConflict,
  SearchOptions,
} from "./types";

const keys = <T>(...names: (keyof T & string)[]): ReadonlySet<string> => new Set(names);

const MEMORY_KEYS = keys<MemoryOptions>(
  "path",
  "collection",
  "embedding",
  "chunking",
  "onConflict",
  "dedupe",
  "maxTextBytes",
  "maxMetadataBytes",
  "readOnly",
  "maintenance",
  "cacheBytes",
  "runtime",
  "modelCache",
  "onDownload",
  "metadataSchema",
);
export const CALL_KEYS: ReadonlySet<string> = new Set(["timeout", "signal"]);
export const ADD_KEYS = keys<AddManyOptions>("timeout", "signal", "onConflict", "dedupe", "chunking", "ttl", "onProgress");
export const ADD_TEXT_KEYS: ReadonlySet<string> = new Set([...ADD_KEYS, "id", "expiresAt"]);
export const SEARCH_KEYS = keys<SearchOptions>(
  "timeout",
  "signal",
  "limit",
  "offset",
  "filter",
  "minScore",
  "mode",
  "neighbours",
  "chunks",
  "vectors",
  "rerank",
  "candidates",
);
export const LIST_KEYS = keys<ListDocumentsOptions>("timeout", "signal", "filter", "limit", "cursor", "orderBy", "descending");
export const GET_KEYS: ReadonlySet<string> = new Set(["timeout", "signal", "vectors"]);
export const EXPORT_KEYS = keys<ExportOptions>("timeout", "signal", "filter", "vectors", "onProgress");
export const IMPORT_KEYS = keys<ImportOptions>("timeout", "signal", "onConflict", "dedupe", "onProgress");
export const LONG_KEYS: ReadonlySet<string> = new Set(["timeout", "signal", "onProgress"]);
export const CHANGE_KEYS = keys<DocumentChanges>("text", "metadata", "merge", "ttl", "expiresAt");
const CHUNK_KEYS = keys<ChunkOptions>("tokens", "overlap", "format");

/** The largest limit of texts and metadata: 256 MiB. */
const MAX_BYTES = 2 ** 28;

/** The largest limit of what is kept in memory: 1 TiB. */
const MAX_CACHE = 2 ** 40;

/** What several objects on one memory share. */
export interface Core {
  readonly path: string;
  readonly client: MemoryClient;
  /** The user's function, if one makes the vectors. */
  readonly external: ExternalEmbedder | undefined;
  readonly limits: Omit<DocumentRules, "schema">;
  readonly chunking: ChunkOptions | undefined;
  readonly onConflict: OnConflict;
  readonly dedupe: boolean;
  readonly modelCache: unknown;
}

/** One view of a memory: a collection, and what its calls are bound to. */
export class Binding {
  constructor(
    readonly core: Core,
    readonly collection: string,
    readonly schema: StandardSchema<unknown, object> | undefined,
    /** Ends the calls of this view. */
    readonly signal: AbortSignal | undefined,
    /** Whether closing this view closes the memory. */
    readonly owner: boolean,
  ) {}

  get rules(): DocumentRules {
    return { ...this.core.limits, schema: this.schema };
  }
}

/** The options of a memory, checked. */
export function memoryBinding(value: unknown): Binding {
  const given = options(value, "options", MEMORY_KEYS) as MemoryOptions;
  const { readOnly, maintenance, cacheBytes, runtime, collection, dedupe } = given;
  const path = memoryFolder(given.path, "options.path");
  const embedding = embeddingOption(given.embedding, given.modelCache, "options.embedding");
  const external = embedding.external;
  const client = new MemoryClient({
    folder: path,
    model: external === undefined ? (embedding.model as NativeModel) : externalModel(external),
    ...(runtime === undefined ? {} : { runtime: folderPath(runtime, "options.runtime") }),
    ...(readOnly === undefined ? {} : { readOnly: boolean(readOnly, "options.readOnly") }),
    ...(maintenance === undefined ? {} : { maintenance: boolean(maintenance, "options.maintenance") }),
    ...(readOnly === true ? { maintenance: false } : {}),
    ...(cacheBytes === undefined ? {} : { cacheBytes: integer(cacheBytes, "options.cacheBytes", 0, MAX_CACHE) }),
  });
  client.onDownload = checkedCallback(given.onDownload, "options.onDownload");
  if (given.modelCache !== undefined) {
    modelCache(given.modelCache, "options.modelCache");
  }
  const core: Core = {
    path,
    client,
    external,
    limits: {
      maxTextBytes: bytes(given.maxTextBytes, "options.maxTextBytes", 10 * 1024 * 1024),
      maxMetadataBytes: bytes(given.maxMetadataBytes, "options.maxMetadataBytes", 16 * 1024 * 1024),
    },
    chunking: chunkOptions(given.chunking, "options.chunking"),
    onConflict: onConflict(given.onConflict, "options.onConflict", "replace"),
    dedupe: dedupe !== undefined && boolean(dedupe, "options.dedupe"),
    modelCache: given.modelCache,
  };
  const name = collection === undefined ? DEFAULT_COLLECTION : collectionName(collection, "options.collection");
  return new Binding(core, name, metadataSchema(given.metadataSchema, "options.metadataSchema"), undefined, true);
}

function externalModel(external: ExternalEmbedder): NativeModel {
  const { id, maxTokens } = external;
  return {
    kind: "external",
    id,
    dimensions: external.dimensions ?? null,
    ...(maxTokens === undefined ? {} : { maxTokens }),
    tokenizer: bundledModelFolder(),
  };
}

function bytes(value: unknown, field: string, fallback: number): number {
  return value === undefined ? fallback : integer(value, field, 1, MAX_BYTES);
}

/** A schema for metadata, or none. */
export function metadataSchema(value: unknown, field: string): StandardSchema<unknown, object> | undefined {
  if (value === undefined) {
    return undefined;
  }
  if (!isStandardSchema(value)) {
    throw invalid(field, `must be a Standard Schema v1 (with "~standard"), not ${show(value)}`);
  }
  return value as StandardSchema<unknown, object>;
}

/** `onConflict`, or its default. */
export function onConflict(value: unknown, field: string, fallback: OnConflict): OnConflict {
  return value === undefined ? fallback : oneOf(value, field, ["replace", "skip", "error"]);
}

/** How documents are split, without what was left out. */
export function chunkOptions(value: unknown, field: string): ChunkOptions | undefined {
  if (value === undefined) {
    return undefined;
  }
  const { tokens, overlap, format } = options(value, field, CHUNK_KEYS) as ChunkOptions;
  const longest = tokens === undefined ? undefined : integer(tokens, `${field}.tokens`, 1, 65_536);
  const most = (longest ?? 65_536) - 1;
  return {
    ...(longest === undefined ? {} : { tokens: longest }),
    ...(overlap === undefined ? {} : { overlap: integer(overlap, `${field}.overlap`, 0, most) }),
    ...(format === undefined ? {} : { format: oneOf(format, `${field}.format`, ["text", "markdown", "code"] as const) }),
  };
}

/** How documents are added, over what the memory says. */
export interface AddSettings {
  /** The members of the request that are the same for every batch. */
  readonly request: { readonly conflict: OnConflict; readonly dedupe?: true; readonly chunk?: ChunkOptions };
  readonly dedupe: boolean;
  readonly chunking: ChunkOptions | undefined;
  /** When documents end that do not say otherwise. */
  readonly ttl: number | undefined;
}

export function addSettings(given: AddManyOptions, core: Core): AddSettings {
  const chunking =
    given.chunking === undefined ? core.chunking : { ...core.chunking, ...chunkOptions(given.chunking, "options.chunking") };
  const dedupe = given.dedupe === undefined ? core.dedupe : boolean(given.dedupe, "options.dedupe");
  return {
    request: {
      conflict: onConflict(given.onConflict, "options.onConflict", core.onConflict),
      ...(dedupe ? { dedupe } : {}),
      ...(chunking === undefined ? {} : { chunk: chunking }),
    },
    dedupe,
    chunking,
    ttl: given.ttl === undefined ? undefined : time(given.ttl, "options.ttl", 1),
  };
}

/** `true` where an option is, for members that are left out otherwise. */
export function flag(value: unknown, field: string): true | undefined {
  return value !== undefined && boolean(value, field) ? true : undefined;
}

/** Whether a value can be iterated, now or in time. A text can, but is not meant. */
export function iterable(value: unknown, field: string): Iterable<unknown> | AsyncIterable<unknown> {
  if (typeof value !== "object" || value === null || !(Symbol.iterator in value || Symbol.asyncIterator in value)) {
    throw invalid(field, `must be an array or another iterable of documents, not ${show(value)}`);
  }
  return value as Iterable<unknown>;
}

/** What a call to a collection's document says when it is not there. */
export function notFound(id: string, collection: string): MasterAgentError {
  return new MasterAgentError("ERR_MEMORY_NOT_FOUND", `Document ${show(id)} is not in collection ${collection}`, {
    details: { id, collection },
  });
}
