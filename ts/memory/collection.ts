/** Collections of documents: what can be done with them, checked and put into words for the engine. */
import { invalid } from "../errors";
import { boolean, integer, oneOf, options, show } from "../options";
import { members } from "./client";
import { folderPath } from "./config";
import { checkDocument, checkedBySchema, documentId, documentText, expiry, metadataBySchema, metadataJson } from "./documents";
import { checkedCallback, normalise } from "./embedding";
import { type Filter, filterJson } from "./filter";
import { LineReader } from "./import";
import { hitsOf, type NativeHit, withVectors } from "./replies";
import { rerankerOf } from "./rerank";
import { limitsOf, type Scope } from "./scope";
import {
  ADD_KEYS,
  ADD_TEXT_KEYS,
  addSettings,
  type Binding,
  CALL_KEYS,
  CHANGE_KEYS,
  EXPORT_KEYS,
  flag,
  GET_KEYS,
  IMPORT_KEYS,
  iterable,
  LIST_KEYS,
  LONG_KEYS,
  notFound,
  onConflict,
  SEARCH_KEYS,
} from "./settings";
import type {
  AddedDocument,
  AddManyOptions,
  AddOptions,
  AnyMetadata,
  CallOptions,
  DocumentChanges,
  DocumentPage,
  ExportOptions,
  GetOptions,
  ImportOptions,
  ImportResult,
  ListDocumentsOptions,
  LongCallOptions,
  MemoryDocument,
  MemoryStats,
  RAGDocument,
  RAGResult,
  SearchOptions,
} from "./types";
import { addAll, checkAll, checkEach, embedded, reindexed, sendBatch } from "./writing";

/** A document to add; where its metadata may be left out, its text alone. */
export type DocumentInput<M extends object = AnyMetadata> = RAGDocument<M> | (Partial<M> extends M ? string : never);

/** Options of `add` with a text. */
export interface AddTextOptions extends AddOptions {
  /** Your own id, 1 to 1024 characters; one is made up. */
  id?: string | undefined;
  /** When the document is gone: a `Date`, or milliseconds since the epoch. */
  expiresAt?: Date | number | undefined;
}

/** What lists can be ordered by. */
const ORDERS = ["id", "createdAt", "updatedAt"] as const;
/** Documents that are deleted in one call of the engine. */
const DELETE_IDS = 10_000;
/** Documents that are read in one call of the engine. */
const GET_IDS = 1_000;

/** The documents of one collection. Collections do not see each other. */
export class MemoryCollection<M extends object = AnyMetadata> {
  /** @internal */
  protected readonly binding: Binding;

  /** @internal */
  constructor(binding: Binding) {
    this.binding = binding;
  }

  /** The name of the collection. */
  get name(): string {
    return this.binding.collection;
  }

  /** The folder, absolute. */
  get path(): string {
    return this.binding.core.path;
  }

  /**
   * Adds a document. It is stored when this resolves. One with the same id is replaced, unless `onConflict` says otherwise.
   *
   * @throws {@link MasterAgentError} `ERR_INPUT_…` for what is wrong with the document, `ERR_MEMORY_EXISTS` (with `onConflict: "error"`),
   * `ERR_MEMORY_MODEL` if the collection has vectors of another model, `ERR_MODEL_LOAD`, `ERR_EMBEDDING_FAILED`, `ERR_STORE_…`.
   *
   * @example
   * await memory.add("Some fact or note.", { source: "user" });
   * await memory.add({ id: "note-7", text: "Some fact or note.", metadata: { source: "user" }, ttl: 86_400_000 });
   */
  add(document: DocumentInput<M>, options?: AddOptions): Promise<AddedDocument>;
  add(text: string, metadata: M | undefined, options?: AddTextOptions): Promise<AddedDocument>;
  async add(first: unknown, second?: unknown, third?: unknown): Promise<AddedDocument> {
    const asText = typeof first === "string";
    const given = options(asText ? third : second, "options", asText ? ADD_TEXT_KEYS : ADD_KEYS) as AddTextOptions &
      AddManyOptions;
    const { id, expiresAt, ttl } = given;
    const document = asText
      ? { text: first, metadata: second, id, expiresAt, ttl: expiresAt === undefined ? undefined : ttl }
      : first;
    const checked = checkDocument(document, "", this.binding.rules);
    const settings = addSettings(given, this.binding.core);
    const ready = await checkedBySchema(checked, "", this.binding.rules);
    const added = await this.#within("add", given, (scope) =>
      sendBatch(this.binding, [{ ...ready, prefix: "" }], settings, scope),
    );
    return added[0] as AddedDocument;
  }

  /**
   * Adds documents, in order: up to 256 of them (or 4 MiB of text) are stored together, more in such batches. Arrays are checked as
   * a whole before anything is stored; of other iterables, which may be asynchronous, no more is read than is being stored.
   * If a later batch fails, the error's `details.added` says how many documents are in.
   *
   * @example
   * await memory.addMany(rows(), { onProgress: ({ done }) => console.log(done) });
   */
  async addMany(
    documents: Iterable<DocumentInput<M>> | AsyncIterable<DocumentInput<M>>,
    options?: AddManyOptions,
  ): Promise<AddedDocument[]>;
  async addMany(documents: unknown, addOptions?: unknown): Promise<AddedDocument[]> {
    const source = iterable(documents, "documents");
    const given = options(addOptions, "options", ADD_KEYS) as AddManyOptions;
    const settings = addSettings(given, this.binding.core);
    const onProgress = checkedCallback(given.onProgress, "options.onProgress");
    const total = Array.isArray(source) ? source.length : undefined;
    const { client } = this.binding.core;
    const limits = limitsOf(given, this.binding.signal);
    const onDone = (done: number): void => onProgress?.({ done, total });
    if (Array.isArray(source)) {
      return client.run("addMany", limits, async (scope) => {
        const checked = await checkAll(source, this.binding.rules, scope);
        return addAll(this.binding, checked, settings, scope, onDone);
      });
    }
    return client.runLoose("addMany", limits, (scope) =>
      addAll(this.binding, checkEach(source, this.binding.rules), settings, scope, onDone),
    );
  }

  /**
   * Finds the passages that answer a question best, by meaning and words together unless `mode` says otherwise; best first.
   *
   * @param query a text, or with `mode: "vector"` a vector of the model's length.
   * @throws {@link MasterAgentError} `ERR_INPUT_INVALID`, `ERR_MEMORY_MODEL`, `ERR_MODEL_LOAD`, `ERR_EMBEDDING_FAILED`, `ERR_STORE_…`. A
   * collection that does not exist is an empty one.
   *
   * @example
   * const hits = await memory.search("relevant query", { limit: 5, filter: { source: "user" } });
   */
  async search(query: string | Float32Array | readonly number[], searchOptions?: SearchOptions<M>): Promise<RAGResult<M>[]> {
    const given = options(searchOptions, "options", SEARCH_KEYS) as SearchOptions;
    const { core } = this.binding;
    const limit = given.limit === undefined ? 5 : integer(given.limit, "options.limit", 1, 1_000);
    const offset = given.offset === undefined ? 0 : integer(given.offset, "options.offset", 0, 10_000);
    const minScore = given.minScore === undefined ? undefined : score(given.minScore, "options.minScore");
    const neighbours = given.neighbours === undefined ? undefined : integer(given.neighbours, "options.neighbours", 0, 100);
    const text = typeof query === "string" ? documentText(query, "query", core.limits.maxTextBytes) : undefined;
    const modes = text === undefined ? (["vector"] as const) : (["hybrid", "vector", "text"] as const);
    const mode = given.mode === undefined ? modes[0] : oneOf(given.mode, "options.mode", modes);
    const vector = text === undefined ? queryVector(query) : undefined;
    const filter = given.filter === undefined ? "" : `,"filter":${filterJson(given.filter, "options.filter")}`;
    const reranker = rerankerOf(core, given.rerank, given.candidates, limit + offset);
    if (reranker !== undefined && text === undefined) {
      throw invalid("options.rerank", "needs a query that is text");
    }
    const request = {
      collection: this.binding.collection,
      query: text,
      mode,
      limit: reranker === undefined ? limit : reranker.candidates,
      offset: reranker === undefined && offset > 0 ? offset : undefined,
      minScore: reranker === undefined ? minScore : undefined,
      neighbours: neighbours === 0 ? undefined : neighbours,
      chunks: flag(given.chunks, "options.chunks"),
      vectors: flag(given.vectors, "options.vectors"),
    };
    const hits = await this.#within("search", given, async (scope) => {
      const vectors =
        vector ?? (mode === "text" ? undefined : (await core.external?.embed([text as string], "query", scope))?.data);
      const reply = await core.client.call<{ hits: NativeHit[] }>("search", members(request) + filter, scope, { vectors });
      const found = hitsOf(reply.value.hits, request.vectors && reply.vectors);
      if (reranker === undefined) {
        return found;
      }
      const ranked = await reranker.rank(text as string, found, scope);
      return ranked.filter((hit) => minScore === undefined || hit.score >= minScore).slice(offset, offset + limit);
    });
    return hits as unknown as RAGResult<M>[];
  }

  /** The document of an id; `null` if there is none. */
  async get(id: string, getOptions?: GetOptions): Promise<MemoryDocument<M> | null> {
    const checked = documentId(id, "id");
    const [found] = await this.#get([checked], getOptions, "get");
    return found ?? null;
  }

  /** The documents of some ids, in their order, `null` where there is none. */
  async getMany(ids: readonly string[], getOptions?: GetOptions): Promise<(MemoryDocument<M> | null)[]> {
    return this.#get(documentIds(ids), getOptions, "getMany");
  }

  async #get(ids: readonly string[], getOptions: unknown, what: string): Promise<(MemoryDocument<M> | null)[]> {
    const given = options(getOptions, "options", GET_KEYS) as GetOptions;
    const vectors = flag(given.vectors, "options.vectors");
    return this.#within(what, given, async (scope) => {
      const found: (MemoryDocument<M> | null)[] = [];
      for (let start = 0; start < ids.length; start += GET_IDS) {
        const request = { collection: this.name, ids: ids.slice(start, start + GET_IDS), vectors };
        const reply = await this.#call<{ documents: (MemoryDocument | null)[] }>("get", request, scope);
        for (const document of withVectors(reply.value.documents, vectors && reply.vectors)) {
          found.push(document as MemoryDocument<M> | null);
        }
      }
      return found;
    });
  }

  /** One page of documents, in the order of their ids unless told otherwise. */
  async list(listOptions?: ListDocumentsOptions<M>): Promise<DocumentPage<M>> {
    const given = options(listOptions, "options", LIST_KEYS) as ListDocumentsOptions;
    const { cursor } = given;
    if (cursor !== undefined && (typeof cursor !== "string" || cursor.length === 0 || !cursor.isWellFormed())) {
      throw invalid("options.cursor", `must be the cursor of a page, not ${show(cursor)}`);
    }
    const request = {
      collection: this.name,
      limit: given.limit === undefined ? 100 : integer(given.limit, "options.limit", 1, 1_000),
      cursor,
      orderBy: given.orderBy === undefined ? undefined : oneOf(given.orderBy, "options.orderBy", ORDERS),
      descending: given.descending === undefined ? undefined : boolean(given.descending, "options.descending"),
    };
    const filter = given.filter === undefined ? "" : `,"filter":${filterJson(given.filter, "options.filter")}`;
    return this.#within("list", given, async (scope) => {
      const { client } = this.binding.core;
      const reply = await client.call<{ documents: MemoryDocument<M>[]; cursor?: string | null }>(
        "list",
        members(request) + filter,
        scope,
      );
      const documents = reply.value.documents;
      const next = reply.value.cursor;
      return typeof next === "string" ? { documents, cursor: next } : { documents };
    });
  }

  /**
   * All documents, page by page; those that come or go meanwhile may be missed. `timeout` is for each page.
   *
   * @example
   * for await (const { id, text } of memory.documents({ filter: { source: "user" } })) console.log(id, text);
   */
  async *documents(listOptions?: ListDocumentsOptions<M>): AsyncGenerator<MemoryDocument<M>, void, undefined> {
    let cursor = listOptions?.cursor;
    do {
      const page: DocumentPage<M> = await this.list(cursor === undefined ? listOptions : { ...listOptions, cursor });
      yield* page.documents;
      cursor = page.cursor;
    } while (cursor !== undefined);
  }

  /**
   * Changes a document. What is not named stays.
   *
   * @throws {@link MasterAgentError} `ERR_MEMORY_NOT_FOUND` if there is none.
   *
   * @example
   * await memory.update("note-7", { metadata: { done: true }, merge: true });
   */
  async update(id: string, changes: DocumentChanges<M>, updateOptions?: CallOptions): Promise<MemoryDocument<M>> {
    const { core, rules, collection } = this.binding;
    const checkedId = documentId(id, "id");
    if (changes === undefined) {
      throw invalid("changes", "must be an object with what to change, not undefined");
    }
    const { text, metadata, merge, ttl, expiresAt } = options(changes, "changes", CHANGE_KEYS) as DocumentChanges;
    const given = options(updateOptions, "options", CALL_KEYS) as CallOptions;
    const newText = text === undefined ? undefined : documentText(text, "changes.text", rules.maxTextBytes);
    const merges = merge !== undefined && boolean(merge, "changes.merge");
    const ends = expiry(ttl, expiresAt, "changes.");
    if (metadata !== undefined) {
      metadataJson(metadata, "changes.metadata", rules.maxMetadataBytes);
    } else if (merges) {
      throw invalid("changes.merge", "needs metadata");
    }
    return this.#within("update", given, async (scope) => {
      let merged = merges;
      let value: unknown = metadata;
      if (rules.schema !== undefined && metadata !== undefined) {
        if (merges) {
          // The schema describes the whole.
          value = { ...(await this.#stored(checkedId, scope)).metadata, ...metadata };
          merged = false;
        }
        value = await metadataBySchema(rules.schema, value, "changes.");
      }
      const external = newText === undefined ? undefined : await embedded(core, [newText], core.chunking, scope);
      let request = members({
        collection,
        id: checkedId,
        text: newText,
        expiresAt: ends,
        chunk: newText === undefined ? undefined : core.chunking,
        mergeMetadata: merged ? true : undefined,
      });
      if (metadata !== undefined) {
        request += `,"metadata":${metadataJson(value, "changes.metadata", rules.maxMetadataBytes)}`;
      }
      if (external !== undefined) {
        request += `,"chunks":${external.places[0]}`;
      }
      const reply = await core.client.call<{ document: MemoryDocument<M> }>("update", request, scope, {
        vectors: external?.vectors,
      });
      return reply.value.document;
    });
  }

  async #stored(id: string, scope: Scope): Promise<MemoryDocument> {
    const request = { collection: this.name, ids: [id] };
    const { value } = await this.#call<{ documents: (MemoryDocument | null)[] }>("get", request, scope);
    const [document] = value.documents;
    if (document === null || document === undefined) {
      throw notFound(id, this.name);
    }
    return document;
  }

  /**
   * Deletes documents by id.
   *
   * @returns how many there were.
   */
  async delete(ids: string | readonly string[], deleteOptions?: CallOptions): Promise<number> {
    const checked = typeof ids === "string" ? [documentId(ids, "id")] : documentIds(ids);
    const given = options(deleteOptions, "options", CALL_KEYS) as CallOptions;
    return this.#within("delete", given, async (scope) => {
      let deleted = 0;
      for (let start = 0; start < checked.length; start += DELETE_IDS) {
        const request = { collection: this.name, ids: checked.slice(start, start + DELETE_IDS) };
        deleted += (await this.#call<{ deleted: number }>("delete", request, scope)).value.deleted;
      }
      return deleted;
    });
  }

  /**
   * Deletes the documents that match. An empty filter is an error: `clear()` deletes all.
   *
   * @returns how many there were.
   */
  async deleteMany(filter: Filter<M>, deleteOptions?: CallOptions): Promise<number> {
    const text = filterJson(filter, "filter");
    if (text === "{}") {
      throw invalid("filter", "is empty, which would delete everything; call clear() if that is meant");
    }
    return this.#deleteAll(text, deleteOptions, "deleteMany");
  }

  /**
   * Deletes all documents of the collection; the collection stays.
   *
   * @returns how many there were.
   */
  async clear(clearOptions?: CallOptions): Promise<number> {
    return this.#deleteAll("{}", clearOptions, "clear");
  }

  async #deleteAll(filter: string, callOptions: unknown, what: string): Promise<number> {
    const given = options(callOptions, "options", CALL_KEYS) as CallOptions;
    return this.#within(what, given, async (scope) => {
      const request = `${members({ collection: this.name })},"filter":${filter}`;
      return (await this.binding.core.client.call<{ deleted: number }>("delete", request, scope)).value.deleted;
    });
  }

  /** How many documents there are, all or those that match. */
  async count(filter?: Filter<M>, countOptions?: CallOptions): Promise<number> {
    const given = options(countOptions, "options", CALL_KEYS) as CallOptions;
    const text = filter === undefined ? "" : `,"filter":${filterJson(filter, "filter")}`;
    return this.#within("count", given, async (scope) => {
      const request = members({ collection: this.name }) + text;
      return (await this.binding.core.client.call<{ documents: number }>("count", request, scope)).value.documents;
    });
  }

  /** Sizes, indexes and the model of the collection. */
  async stats(statsOptions?: CallOptions): Promise<MemoryStats> {
    return this.#ask("stats", statsOptions);
  }

  /**
   * Loads the model and reads the vectors into memory, so that the first searches are as fast as the others: for the start of a server.
   * Returns how many passages are in memory: none when the collection takes more than `cacheBytes`.
   */
  async warm(warmOptions?: CallOptions): Promise<number> {
    return (await this.#ask<{ chunks: number }>("warm", warmOptions)).chunks;
  }

  /** Compacts files, builds and completes indexes, and removes old versions, now rather than in the background. */
  async optimize(optimizeOptions?: LongCallOptions): Promise<void> {
    await this.#long("optimize", optimizeOptions);
  }

  /** Removes documents whose time is over, now rather than in the background. They are not found in any case. */
  async sweep(sweepOptions?: CallOptions): Promise<number> {
    return (await this.#ask<{ deleted: number }>("sweep", sweepOptions)).deleted;
  }

  /**
   * Splits and embeds all documents anew with the model of this memory: after another model was chosen (`ERR_MEMORY_MODEL`), or
   * other `chunking`. The collection can be read meanwhile.
   *
   * @returns how many documents and passages there are now.
   */
  async reindex(reindexOptions?: LongCallOptions): Promise<{ documents: number; chunks: number }> {
    const { core } = this.binding;
    if (core.external === undefined) {
      return this.#long("reindex", reindexOptions, { chunk: core.chunking });
    }
    const given = options(reindexOptions, "options", LONG_KEYS) as LongCallOptions;
    const onProgress = checkedCallback(given.onProgress, "options.onProgress");
    return this.#within("reindex", given, async (scope) => {
      return reindexed(this.binding, scope, (done) => onProgress?.({ done, total: undefined }));
    });
  }

  /**
   * Writes documents to a file as JSONL: `{ id, text, metadata, createdAt, updatedAt, expiresAt? }` a line, and with `vectors`
   * also `{ model, chunks: [{ start, end, vector }] }`. The file is replaced when all is written.
   *
   * @returns how many.
   * @throws {@link MasterAgentError} `ERR_STORE_…`, naming the file.
   */
  async export(path: string, exportOptions?: ExportOptions<M>): Promise<{ documents: number }> {
    const file = folderPath(path, "path");
    const { filter, vectors, ...rest } = options(exportOptions, "options", EXPORT_KEYS) as ExportOptions;
    const text = filter === undefined ? "" : `,"filter":${filterJson(filter, "options.filter")}`;
    return this.#long("export", rest, { path: file, vectors: flag(vectors, "options.vectors") }, text);
  }

  /**
   * The lines of an export, without their ends, for writing them elsewhere.
   *
   * @example
   * for await (const line of memory.lines()) stream.write(`${line}\n`);
   */
  async *lines(linesOptions?: Omit<ListDocumentsOptions<M>, "limit" | "cursor">): AsyncGenerator<string, void, undefined> {
    for await (const { chunks: _, ...document } of this.documents({ ...linesOptions, limit: 1_000 })) {
      yield JSON.stringify(document);
    }
  }

  /**
   * Adds the documents of a JSONL file, as `export` writes it. Lines that are no document are passed over and reported. Vectors
   * in it that are of this memory's model are taken as they are; what has none, or those of another model, is embedded.
   *
   * @throws {@link MasterAgentError} `ERR_STORE_…` if the file cannot be read, and what `addMany` throws.
   */
  async import(path: string, importOptions?: ImportOptions): Promise<ImportResult> {
    const file = folderPath(path, "path");
    const given = options(importOptions, "options", IMPORT_KEYS) as ImportOptions;
    const { core, rules } = this.binding;
    const conflict = onConflict(given.onConflict, "options.onConflict", core.onConflict);
    const { onConflict: _, dedupe, ...rest } = given;
    if (core.external === undefined && rules.schema === undefined) {
      const once = dedupe === undefined ? core.dedupe : boolean(dedupe, "options.dedupe");
      return this.#long("import", rest, { path: file, conflict, dedupe: once, chunk: core.chunking });
    }
    // The user's functions have their say on every document.
    const settings = addSettings({ onConflict: conflict, dedupe }, core);
    const onProgress = checkedCallback(given.onProgress, "options.onProgress");
    return this.#within("import", rest, async (scope) => {
      const reader = new LineReader(file, rules, core.external);
      const added = await addAll(this.binding, reader.documents(), settings, scope, () =>
        onProgress?.({ done: reader.done, total: reader.size }),
      );
      const count = { added: 0, replaced: 0, skipped: 0, unchanged: 0 };
      for (const { status } of added) {
        count[status] += 1;
      }
      return { ...count, failed: reader.failed };
    });
  }

  #within<T>(what: string, given: CallOptions, work: (scope: Scope) => Promise<T>): Promise<T> {
    return this.binding.core.client.run(what, limitsOf(given, this.binding.signal), work);
  }

  #call<T>(op: string, request: object, scope: Scope): Promise<{ value: T; vectors: Float32Array | undefined }> {
    return this.binding.core.client.call<T>(op, members(request), scope);
  }

  /** A call without options of its own. */
  #ask<T>(op: string, callOptions: unknown): Promise<T> {
    const given = options(callOptions, "options", CALL_KEYS) as CallOptions;
    return this.#within(op, given, async (scope) => (await this.#call<T>(op, { collection: this.name }, scope)).value);
  }

  /** A call that tells of its progress. */
  #long<T>(op: string, callOptions: unknown, more: object = {}, text = ""): Promise<T> {
    const given = options(callOptions, "options", LONG_KEYS) as LongCallOptions;
    const onProgress = checkedCallback(given.onProgress, "options.onProgress");
    const request = members({ collection: this.name, ...more }) + text;
    return this.#within(op, given, async (scope) => {
      return (await this.binding.core.client.call<T>(op, request, scope, { onProgress })).value;
    });
  }
}

function documentIds(value: unknown): string[] {
  if (!Array.isArray(value)) {
    throw invalid("ids", `must be an array of ids, not ${show(value)}`);
  }
  return Array.from(value as readonly unknown[], (id, index) => documentId(id, `ids[${index}]`));
}

function score(value: unknown, field: string): number {
  if (typeof value !== "number" || !Number.isFinite(value)) {
    throw invalid(field, `must be a number from 0 to 1, not ${show(value)}`);
  }
  return value;
}

/** A vector to search with, of length 1. */
function queryVector(value: unknown): Float32Array {
  if (!Array.isArray(value) && !(value instanceof Float32Array)) {
    throw invalid("query", `must be a string, or a vector as an array of numbers or a Float32Array, not ${show(value)}`);
  }
  if (value.length === 0 || value.length > 65_536) {
    throw invalid("query", `must have 1 to 65536 numbers, not ${value.length}`);
  }
  const vector = new Float32Array(value.length);
  const fault = normalise(value as ArrayLike<number>, vector, 0);
  if (fault !== undefined) {
    throw invalid("query", fault);
  }
  return vector;
}
