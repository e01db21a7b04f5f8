// The public contract of master-agent. Generated from ts/ by `npm run build`: do not edit.

/**
 * The one error class of the package, its closed list of codes, and the errors that user code can throw.
 * How a failure of a handler becomes a record lives in `worker.ts`.
 */
/** A code of a {@link MasterAgentError}: `ERR_<AREA>_<CAUSE>`. Each is explained in docs/errors.md. */
export type ErrorCode = "ERR_INPUT_INVALID" | "ERR_INPUT_NOT_SERIALIZABLE" | "ERR_INPUT_TOO_LARGE" | "ERR_INPUT_SCHEMA" | "ERR_STORE_FULL" | "ERR_STORE_READ_ONLY" | "ERR_STORE_CORRUPT" | "ERR_STORE_LOCKED" | "ERR_STORE_OPEN" | "ERR_STORE_VERSION" | "ERR_STORE_UNREACHABLE" | "ERR_STORE_DENIED" | "ERR_STORE_FAILED" | "ERR_STORE_CONFLICT" | "ERR_JOB_NOT_FOUND" | "ERR_JOB_STATE" | "ERR_JOB_REMOVED" | "ERR_TASK_CANCELLED" | "ERR_TASK_TIMEOUT" | "ERR_TASK_STALLED" | "ERR_TASK_FAILED" | "ERR_TASK_RESULT" | "ERR_TASK_LOST" | "ERR_AGENT_EXISTS" | "ERR_MEMORY_NOT_FOUND" | "ERR_MEMORY_EXISTS" | "ERR_MEMORY_MODEL" | "ERR_MODEL_LOAD" | "ERR_MODEL_DOWNLOAD" | "ERR_RUNTIME_LOAD" | "ERR_EMBEDDING_FAILED" | "ERR_WAIT_TIMEOUT" | "ERR_WAIT_ABORTED" | "ERR_CLOSED" | "ERR_ADDON_LOAD" | "ERR_CLI_MODULE" | "ERR_INTERNAL";
/** All codes. */
export declare const ERROR_CODES: readonly ErrorCode[];
/** What a {@link MasterAgentError} carries beside its message. */
export interface MasterAgentErrorOptions {
	/** What led to this error. */
	cause?: unknown;
	/** Values that belong to the error, for logs and programs. */
	details?: Readonly<Record<string, unknown>> | undefined;
	/** Overrides what the code says. */
	retryable?: boolean | undefined;
}
/** The error of every call of this package. */
export declare class MasterAgentError extends Error {
	/** What went wrong, for programs. */
	readonly code: ErrorCode;
	/** Whether the same call can succeed later without a change to it. */
	readonly retryable: boolean;
	/** Values that belong to the error, such as `{ field }` or `{ jobId }`. */
	readonly details: Readonly<Record<string, unknown>> | undefined;
	constructor(code: ErrorCode, message: string, options?: MasterAgentErrorOptions);
}
/**
 * Thrown by a handler to end its task at once: no attempt follows.
 *
 * @example
 * throw new UnrecoverableError(`customer ${id} does not exist`);
 */
export declare class UnrecoverableError extends Error {
}
/** Filters of documents whose metadata is not typed: any path, any operator. */
export interface FreeFilter {
	/** All of them match. */
	readonly and?: readonly FreeFilter[] | undefined;
	/** At least one of them matches. */
	readonly or?: readonly FreeFilter[] | undefined;
	/** It does not match. */
	readonly not?: FreeFilter | undefined;
	/** A path into the metadata (`"a.b"` goes into objects), with a value or {@link FilterOperators}. */
	readonly [path: string]: unknown;
}
/** What a filter can ask of one field. All that is given must hold. */
export interface FilterOperators<T = unknown> {
	/** Equals: by JSON value, 1 equals 1.0, and text never equals a number. */
	readonly eq?: T | undefined;
	/** Does not equal; documents without the field match. */
	readonly ne?: T | undefined;
	/** Greater; numbers with numbers, text with text (by code points). */
	readonly gt?: Ordered<T> | undefined;
	/** Greater or equal. */
	readonly gte?: Ordered<T> | undefined;
	/** Less. */
	readonly lt?: Ordered<T> | undefined;
	/** Less or equal. */
	readonly lte?: Ordered<T> | undefined;
	/** Equals one of them. */
	readonly in?: readonly T[] | undefined;
	/** Equals none of them; documents without the field match. */
	readonly nin?: readonly T[] | undefined;
	/** Whether the field is there. */
	readonly exists?: boolean | undefined;
	/** Text that holds this text; a list that holds this value. */
	readonly contains?: T | undefined;
	/** Text that begins so. */
	readonly startsWith?: (T extends string ? string : never) | undefined;
}
type Ordered<T> = T extends string ? string : T extends number ? number : never;
type Element<T> = T extends readonly (infer E)[] ? E : T;
/** What a filter may say of a field of type `T`: a value, or operators. A list matches where one of its elements does, or as a whole. */
export type FilterCondition<T> = T | Element<T> | FilterOperators<Element<T>>;
type Below = [
	never,
	0,
	1,
	2,
	3,
	4
];
/** The paths of an object: its names, and dotted ones into its objects. */
export type FilterPath<T, Depth extends number = 5> = [
	Depth
] extends [
	never
] ? never : T extends readonly unknown[] ? never : T extends object ? {
	[K in keyof T & string]: K | `${K}.${FilterPath<NonNullable<T[K]>, Below[Depth]>}`;
}[keyof T & string] : never;
/** The type at a path. */
export type FilterValue<T, Path extends string> = Path extends keyof T ? Exclude<T[Path], undefined> : Path extends `${infer Key}.${infer Rest}` ? Key extends keyof T ? FilterValue<NonNullable<T[Key]>, Rest> : unknown : unknown;
/** Filters of documents with typed metadata. */
export type TypedFilter<M> = {
	readonly [P in FilterPath<M>]?: FilterCondition<FilterValue<M, P>> | undefined;
} & {
	readonly and?: readonly TypedFilter<M>[] | undefined;
	readonly or?: readonly TypedFilter<M>[] | undefined;
	readonly not?: TypedFilter<M> | undefined;
};
/**
 * Which documents are meant, by their metadata. All members must hold; `and`, `or` and `not` combine. It is data, never
 * text of a query language, so that nothing can be injected. Up to 32 levels and 1000 conditions.
 *
 * With typed metadata paths and operators are checked; dates are compared as the ISO text that they are stored as.
 *
 * @example
 * const filter = { source: "user", year: { gte: 2024 }, or: [{ tags: "a" }, { "author.name": { startsWith: "B" } }] };
 */
export type Filter<M = {
	[key: string]: unknown;
}> = string extends keyof M ? FreeFilter : TypedFilter<Serialized<M>>;
/** A schema of any library that follows Standard Schema v1 (https://standardschema.dev). */
export interface StandardSchema<Input = unknown, Output = Input> {
	readonly "~standard": {
		readonly version: 1;
		readonly vendor: string;
		readonly validate: (value: unknown) => StandardSchemaResult<Output> | Promise<StandardSchemaResult<Output>>;
		readonly types?: {
			readonly input: Input;
			readonly output: Output;
		} | undefined;
	};
}
/** What a schema answers: the value, or what is wrong with it. */
export type StandardSchemaResult<Output> = {
	readonly value: Output;
	readonly issues?: undefined;
} | {
	readonly issues: readonly StandardSchemaIssue[];
};
/** One thing that is wrong with a value. */
export interface StandardSchemaIssue {
	readonly message: string;
	readonly path?: readonly (PropertyKey | {
		readonly key: PropertyKey;
	})[] | undefined;
}
/** A model by its name (fetched at its first use) or by the folder that has its files. */
export type ModelSpec = {
	readonly model: string;
	readonly path?: undefined;
} | {
	readonly path: string;
	readonly model?: undefined;
};
/** What an {@link EmbedTexts} is told beside the texts. */
export interface EmbedRequest {
	/** Whether the texts are a question or what is to be found: some models make a difference. */
	readonly kind: "query" | "document";
	/** Aborts when nobody waits any more. */
	readonly signal: AbortSignal;
}
/** Vectors of one batch: one for each text, all of the same length, of finite numbers. They need not be of length 1. */
export type EmbeddedTexts = readonly (Float32Array | Float64Array | readonly number[])[];
/** A function of your own: texts in, as many vectors out. */
export type EmbedTexts = (texts: string[], request: EmbedRequest) => EmbeddedTexts | Promise<EmbeddedTexts>;
/** Options of {@link createEmbeddingFunction}. */
export interface EmbeddingFunctionOptions {
	/** `"bundled"` (default), the name of another model (fetched at its first use), `{ path }` of a folder, or a function of your own. */
	model?: string | {
		readonly path: string;
	} | EmbedTexts | undefined;
	/** Of a function: the length of its vectors, 1 to 65 536; that of the first ones. */
	dimensions?: number | undefined;
	/** Of a function: the most texts of one call, 1 to 10 000; 64. */
	batchSize?: number | undefined;
	/** Of a function: the tokens that it reads of a text, 1 to 65 536; longer documents are split; those of the bundled model, 254. */
	maxTokens?: number | undefined;
	/** Of a function: what tells its vectors from those of another one, 1 to 255 characters. A collection takes vectors of one id only. */
	id?: string | undefined;
	/** The folder where models are kept that are fetched; `APP_DATA_DIR/models`, else `./data/models`. */
	modelCache?: string | undefined;
	/** The file of ONNX Runtime; the one that comes with the package. */
	runtime?: string | undefined;
	/** Told about models that are fetched. */
	onDownload?: ((progress: DownloadProgress) => void) | undefined;
}
/** Turns texts into vectors. It can be called itself: with a text, or with several. */
export interface EmbeddingFunction {
	(text: string, options?: EmbedOptions): Promise<Float32Array>;
	(texts: readonly string[], options?: EmbedOptions): Promise<Float32Array[]>;
	/** The vector of one text, of length 1. */
	readonly embedOne: (text: string, options?: EmbedOptions) => Promise<Float32Array>;
	/** A vector for each text, of length 1. The vector of a text does not depend on the texts beside it, where a model of this package makes it. */
	readonly embedBatch: (texts: readonly string[], options?: EmbedOptions) => Promise<Float32Array[]>;
	/** The length of the vectors; `undefined` until the first ones, where the model tells it. */
	readonly dimensions: number | undefined;
	/** What tells its vectors from those of others. */
	readonly id: string;
}
/** How texts are embedded. */
export interface EmbedOptions extends CallOptions {
	/** Whether the texts are questions, for models that make a difference; `"document"`. */
	kind?: "query" | "document" | undefined;
}
/**
 * Makes an embedding function: of the bundled model by default, of another one, or of a function of your own, whose vectors
 * are checked and brought to length 1.
 *
 * @throws {@link MasterAgentError} `ERR_INPUT_INVALID`. Its calls: `ERR_MODEL_LOAD`, `ERR_MODEL_DOWNLOAD`, `ERR_RUNTIME_LOAD`,
 * `ERR_EMBEDDING_FAILED`, whose `cause` is what the function threw.
 *
 * @example
 * const embed = createEmbeddingFunction({ model: async (texts) => (await client.embed(texts)).vectors, id: "my-model", dimensions: 1024 });
 * await using memory = new Memory({ embedding: embed });
 */
export declare function createEmbeddingFunction(functionOptions?: EmbeddingFunctionOptions): EmbeddingFunction;
/** Metadata of which nothing is known: any JSON object. */
export type AnyMetadata = {
	[key: string]: unknown;
};
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
} & (Partial<M> extends M ? {
	/** Any JSON object. */
	metadata?: M | undefined;
} : {
	metadata: M;
});
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
	readonly chunk: ChunkPlace & {
		readonly index: number;
	};
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
	readonly neighbours?: {
		readonly before: string;
		readonly after: string;
	};
	/** With `vectors: true`: that of the passage, of length 1. */
	readonly vector?: Float32Array;
}
/** How passages are found: by meaning and words, by meaning, or by words. */
export type SearchMode = "hybrid" | "vector" | "text";
/**
 * Orders what was found by its own reading: answers with a score for each hit, or with the hits in a better order (some may
 * be left out). The signal aborts when nobody waits any more.
 */
export type RerankFunction<M extends object = AnyMetadata> = (query: string, hits: readonly RAGResult<M>[], options: {
	readonly signal: AbortSignal;
}) => RerankAnswer<M> | Promise<RerankAnswer<M>>;
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
	readonly failed: readonly {
		readonly line: number;
		readonly message: string;
	}[];
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
	readonly indexes: readonly {
		readonly name: string;
		readonly type: string;
		readonly rows: number;
	}[];
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
/** A document to add; where its metadata may be left out, its text alone. */
export type DocumentInput<M extends object = AnyMetadata> = RAGDocument<M> | (Partial<M> extends M ? string : never);
/** Options of `add` with a text. */
export interface AddTextOptions extends AddOptions {
	/** Your own id, 1 to 1024 characters; one is made up. */
	id?: string | undefined;
	/** When the document is gone: a `Date`, or milliseconds since the epoch. */
	expiresAt?: Date | number | undefined;
}
/** The documents of one collection. Collections do not see each other. */
declare class MemoryCollection<M extends object = AnyMetadata> {
	#private;
	/** The name of the collection. */
	get name(): string;
	/** The folder, absolute. */
	get path(): string;
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
	/**
	 * Adds documents, in order: up to 256 of them (or 4 MiB of text) are stored together, more in such batches. Arrays are checked as
	 * a whole before anything is stored; of other iterables, which may be asynchronous, no more is read than is being stored.
	 * If a later batch fails, the error's `details.added` says how many documents are in.
	 *
	 * @example
	 * await memory.addMany(rows(), { onProgress: ({ done }) => console.log(done) });
	 */
	addMany(documents: Iterable<DocumentInput<M>> | AsyncIterable<DocumentInput<M>>, options?: AddManyOptions): Promise<AddedDocument[]>;
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
	search(query: string | Float32Array | readonly number[], searchOptions?: SearchOptions<M>): Promise<RAGResult<M>[]>;
	/** The document of an id; `null` if there is none. */
	get(id: string, getOptions?: GetOptions): Promise<MemoryDocument<M> | null>;
	/** The documents of some ids, in their order, `null` where there is none. */
	getMany(ids: readonly string[], getOptions?: GetOptions): Promise<(MemoryDocument<M> | null)[]>;
	/** One page of documents, in the order of their ids unless told otherwise. */
	list(listOptions?: ListDocumentsOptions<M>): Promise<DocumentPage<M>>;
	/**
	 * All documents, page by page; those that come or go meanwhile may be missed. `timeout` is for each page.
	 *
	 * @example
	 * for await (const { id, text } of memory.documents({ filter: { source: "user" } })) console.log(id, text);
	 */
	documents(listOptions?: ListDocumentsOptions<M>): AsyncGenerator<MemoryDocument<M>, void, undefined>;
	/**
	 * Changes a document. What is not named stays.
	 *
	 * @throws {@link MasterAgentError} `ERR_MEMORY_NOT_FOUND` if there is none.
	 *
	 * @example
	 * await memory.update("note-7", { metadata: { done: true }, merge: true });
	 */
	update(id: string, changes: DocumentChanges<M>, updateOptions?: CallOptions): Promise<MemoryDocument<M>>;
	/**
	 * Deletes documents by id.
	 *
	 * @returns how many there were.
	 */
	delete(ids: string | readonly string[], deleteOptions?: CallOptions): Promise<number>;
	/**
	 * Deletes the documents that match. An empty filter is an error: `clear()` deletes all.
	 *
	 * @returns how many there were.
	 */
	deleteMany(filter: Filter<M>, deleteOptions?: CallOptions): Promise<number>;
	/**
	 * Deletes all documents of the collection; the collection stays.
	 *
	 * @returns how many there were.
	 */
	clear(clearOptions?: CallOptions): Promise<number>;
	/** How many documents there are, all or those that match. */
	count(filter?: Filter<M>, countOptions?: CallOptions): Promise<number>;
	/** Sizes, indexes and the model of the collection. */
	stats(statsOptions?: CallOptions): Promise<MemoryStats>;
	/**
	 * Loads the model and reads the vectors into memory, so that the first searches are as fast as the others: for the start of a server.
	 * Returns how many passages are in memory: none when the collection takes more than `cacheBytes`.
	 */
	warm(warmOptions?: CallOptions): Promise<number>;
	/** Compacts files, builds and completes indexes, and removes old versions, now rather than in the background. */
	optimize(optimizeOptions?: LongCallOptions): Promise<void>;
	/** Removes documents whose time is over, now rather than in the background. They are not found in any case. */
	sweep(sweepOptions?: CallOptions): Promise<number>;
	/**
	 * Splits and embeds all documents anew with the model of this memory: after another model was chosen (`ERR_MEMORY_MODEL`), or
	 * other `chunking`. The collection can be read meanwhile.
	 *
	 * @returns how many documents and passages there are now.
	 */
	reindex(reindexOptions?: LongCallOptions): Promise<{
		documents: number;
		chunks: number;
	}>;
	/**
	 * Writes documents to a file as JSONL: `{ id, text, metadata, createdAt, updatedAt, expiresAt? }` a line, and with `vectors`
	 * also `{ model, chunks: [{ start, end, vector }] }`. The file is replaced when all is written.
	 *
	 * @returns how many.
	 * @throws {@link MasterAgentError} `ERR_STORE_…`, naming the file.
	 */
	export(path: string, exportOptions?: ExportOptions<M>): Promise<{
		documents: number;
	}>;
	/**
	 * The lines of an export, without their ends, for writing them elsewhere.
	 *
	 * @example
	 * for await (const line of memory.lines()) stream.write(`${line}\n`);
	 */
	lines(linesOptions?: Omit<ListDocumentsOptions<M>, "limit" | "cursor">): AsyncGenerator<string, void, undefined>;
	/**
	 * Adds the documents of a JSONL file, as `export` writes it. Lines that are no document are passed over and reported. Vectors
	 * in it that are of this memory's model are taken as they are; what has none, or those of another model, is embedded.
	 *
	 * @throws {@link MasterAgentError} `ERR_STORE_…` if the file cannot be read, and what `addMany` throws.
	 */
	import(path: string, importOptions?: ImportOptions): Promise<ImportResult>;
}
/** A passage of a text that was split. */
export type Passage = ChunkPlace & {
	readonly text: string;
};
/**
 * Long-term memory: documents in, the right passages out. It lives in one folder, as LanceDB tables, and needs no server; any
 * number of processes may use the folder.
 *
 * @example
 * await using memory = new Memory<{ source: string; year: number }>({ path: "./data/lancedb" });
 * await memory.add({ id: "a", text: "Some fact or note.", metadata: { source: "user", year: 2026 } });
 * const hits = await memory.search("relevant query", { filter: { source: "user", year: { gte: 2024 } } });
 */
export declare class Memory<M extends object = AnyMetadata> extends MemoryCollection<M> {
	#private;
	/**
	 * Touches neither the disk nor the addon: both come with the first call that needs them, and the model with the first text.
	 *
	 * @throws {@link MasterAgentError} `ERR_INPUT_INVALID` for an unknown option or a wrong value, also in the environment.
	 */
	constructor(memoryOptions?: MemoryOptions<M>);
	/** Whether `close` was called. */
	get closed(): boolean;
	/** Another collection of the same folder and model. It is made by the first document that is added. */
	collection<N extends object = AnyMetadata>(name: string, collectionOptions?: CollectionOptions<N>): MemoryCollection<N>;
	/** All collections of the folder. */
	collections(callOptions?: CallOptions): Promise<CollectionInfo[]>;
	/**
	 * Removes a collection with everything in it.
	 *
	 * @returns whether there was one.
	 */
	dropCollection(name: string, callOptions?: CallOptions): Promise<boolean>;
	/** The vector of one text, of length 1, by the model of this memory. */
	embedOne(text: string, embedOptions?: EmbedOptions): Promise<Float32Array>;
	/** A vector for each text, of length 1. */
	embedBatch(texts: readonly string[], embedOptions?: EmbedOptions): Promise<Float32Array[]>;
	/** How many tokens of the model texts have. Of the user's own embedding function: of the bundled model. */
	tokens(texts: readonly string[], callOptions?: CallOptions): Promise<number[]>;
	/** How `add` would split texts: for each its passages with their places in UTF-16 units. */
	split(texts: readonly string[], splitOptions?: ChunkOptions & CallOptions): Promise<Passage[][]>;
	/**
	 * Lets calls that are under way finish (an `addMany` whose source is not an array ends with `ERR_CLOSED` after the documents that it
	 * has begun to store), ends work in the background and closes the files. May be called again; calls after it are `ERR_CLOSED`. The memory of a task's context belongs to its master: closing it does nothing.
	 */
	close(): Promise<void>;
	/** `close()`, for `await using`. */
	[Symbol.asyncDispose](): Promise<void>;
}
/**
 * The sub-agents of a program by their agent type, to be augmented, so that `spawn` knows inputs and outputs by name.
 *
 * @example
 * declare module "master-agent" {
 *   interface SubAgentTypes { "my-agent": MySubAgent }
 * }
 */
export interface SubAgentTypes {
}
/** A handler of tasks of one agent type. */
export interface ISubAgent<Input = unknown, Output = unknown> {
	/** The name under which tasks find it, 1 to 255 characters. */
	readonly agentType: string;
	/** Any Standard Schema v1 (zod, valibot, arktype, …). Inputs are checked by `spawn` in this process, and again before `run`, which gets what the schema makes of them. */
	readonly inputSchema?: StandardSchema<unknown, Input> | undefined;
	/** Does the task. What it returns must be writable as JSON. What it throws fails the attempt; an `UnrecoverableError` fails the task. */
	run(input: Input, context: TaskContext): Output | Promise<Output>;
}
/** Any sub-agent, whatever its input: what can be registered. */
export interface AnySubAgent {
	readonly agentType: string;
	readonly inputSchema?: StandardSchema<unknown, unknown> | undefined;
	run(input: never, context: TaskContext): unknown;
}
/** What `spawn` takes for a sub-agent: what its schema reads, else the parameter of `run`. */
export type InputOf<A> = A extends {
	readonly inputSchema: StandardSchema<infer Input, infer _Output>;
} ? Input : A extends {
	run(input: infer Input, ...rest: never[]): unknown;
} ? Input : unknown;
/** What a task of a sub-agent results in: what `run` returns, as it is after JSON. */
export type OutputOf<A> = A extends {
	run(...args: never[]): infer Output;
} ? Serialized<Awaited<Output>> : unknown;
/** The input of an agent type: typed where {@link SubAgentTypes} knows it. */
export type InputFor<T extends string> = T extends keyof SubAgentTypes ? InputOf<SubAgentTypes[T]> : unknown;
/** The output of an agent type: typed where {@link SubAgentTypes} knows it. */
export type OutputFor<T extends string> = T extends keyof SubAgentTypes ? OutputOf<SubAgentTypes[T]> : unknown;
/** `T` after it was written as JSON and read again: dates are strings, functions are gone. */
export type Serialized<T> = 0 extends 1 & T ? T : unknown extends T ? T : T extends {
	toJSON(...args: never[]): infer R;
} ? Serialized<R> : T extends string | number | boolean | null ? T : T extends undefined | void ? null : T extends readonly unknown[] ? {
	[K in keyof T]: Serialized<T[K]>;
} : T extends object ? {
	[K in keyof T as K extends symbol ? never : T[K] extends (...args: never[]) => unknown ? never : K]: SerializedMember<T[K]>;
} : never;
type SerializedMember<T> = undefined extends T ? unknown extends T ? T : Serialized<Exclude<T, undefined>> | undefined : Serialized<T>;
/** The wait between attempts. */
export interface BackoffOptions {
	/** `fixed`: `delay` every time; `exponential` (default): `delay · 2^(n-1)` after the n-th failure. */
	type?: "fixed" | "exponential" | undefined;
	/** Milliseconds, 0 or more; 1000. */
	delay?: number | undefined;
	/** The longest wait, in milliseconds; one hour. */
	maxDelay?: number | undefined;
	/** The share of the wait that is drawn at random, from 0 (none, the default) to 1 (all of it). */
	jitter?: number | undefined;
}
/** How many ended jobs of a queue, and for how long, are kept. Both bounds hold; what is left out is no bound. */
export interface KeepOptions {
	/** The newest so many; 0 keeps nothing. */
	count?: number | undefined;
	/** Milliseconds after the end. */
	age?: number | undefined;
}
/** How one job is run and kept. */
export interface JobOptions {
	/** Your own id, unique in its queue, 1 to 255 characters and not all digits: adding a second job with it gives the first one. */
	jobId?: string | undefined;
	/** Lower runs first, 0 to 2 097 152; 0. */
	priority?: number | undefined;
	/** Milliseconds before the job can run; 0. */
	delay?: number | undefined;
	/** How often the job is run before it fails, 1 or more; 3. */
	attempts?: number | undefined;
	/** The wait between attempts; exponential from 1000 ms. A number is a fixed wait. */
	backoff?: number | BackoffOptions | undefined;
	/** Milliseconds that one attempt may take, 1 or more; no limit. The handler's `signal` aborts with `ERR_TASK_TIMEOUT`. */
	timeout?: number | undefined;
	/** How often the job may lose its worker (crash, blocked event loop) before it goes to the dead letters; 3. */
	maxStalls?: number | undefined;
	/** Whether a completed job is removed (`true`: at once), or how many are kept; 100 000 for 7 days. */
	removeOnComplete?: boolean | number | KeepOptions | undefined;
	/** The same for failed, cancelled and dead jobs. */
	removeOnFail?: boolean | number | KeepOptions | undefined;
}
/** Names and notes of a task, and how it is run. */
export interface TaskOptions extends JobOptions {
	/** Your own id of the task, 1 to 255 characters; the job id. It need not be unique. */
	taskId?: string | undefined;
	/** The task that this one belongs to; set by `context.spawn`. */
	parentTaskId?: string | undefined;
	/** Anything that the handler and `status` shall see beside the input. */
	metadata?: Readonly<Record<string, unknown>> | undefined;
}
/** A task for `spawn`. */
export interface SpawnTaskInput<T extends string = string> extends TaskOptions {
	/** Which sub-agent runs it. */
	agentType: T;
	/** What its `run` gets; written as JSON. */
	input?: InputFor<T> | undefined;
}
/** A task for `enqueueTask`: what is stored of it. */
export interface TaskPayload<T extends string = string> {
	agentType: T;
	input?: InputFor<T> | undefined;
	taskId?: string | undefined;
	parentTaskId?: string | undefined;
	metadata?: Readonly<Record<string, unknown>> | undefined;
}
declare const outputType: unique symbol;
/** A task that was accepted: it is durable from here on. */
export interface JobHandle<Output = unknown> {
	/** The id of the task: the one given, else the job id. */
	readonly taskId: string;
	/** The id of the job in its queue. */
	readonly jobId: string;
	readonly agentType: string;
	/** `true` where a job with this `jobId` existed: nothing was added. */
	readonly existing?: true;
	/** Only in the types: what the task results in. */
	readonly [outputType]?: Output;
}
/** What waits accept. */
export interface WaitOptions {
	/** Milliseconds, 0 (answer from what is known now) to 2 147 483 647; no limit. The wait ends with `ERR_WAIT_TIMEOUT`, the task goes on. */
	timeout?: number | undefined;
	/** Ends the wait with `ERR_WAIT_ABORTED`, whose `cause` is the signal's reason. */
	signal?: AbortSignal | undefined;
}
/** Why a task failed. */
export interface TaskError {
	readonly name: string;
	readonly message: string;
	/** A code of this package, or the `code` of the error that the handler threw; `ERR_TASK_FAILED` where it had none. */
	readonly code: string;
	readonly stack?: string;
}
interface TaskEnd {
	readonly taskId: string;
	readonly jobId: string;
	readonly agentType: string;
	readonly parentTaskId: string | null;
	/** How often it was run. */
	readonly attempts: number;
	readonly addedAt: number;
	/** When the last attempt began; `null` if there was none. */
	readonly startedAt: number | null;
	readonly finishedAt: number;
	/** Milliseconds of the last attempt. */
	readonly duration: number;
}
/** A task that ended well. */
export interface TaskSuccess<Output = unknown> extends TaskEnd {
	readonly success: true;
	readonly state: "completed";
	readonly output: Output;
	readonly error?: undefined;
}
/** A task that ended without a result. */
export interface TaskFailure extends TaskEnd {
	readonly success: false;
	/** `failed`: attempts used up or the error was final; `cancelled`; `dead`: lost its worker too often. */
	readonly state: "failed" | "cancelled" | "dead";
	readonly error: TaskError;
	readonly output?: undefined;
}
/** How a task ended; `success` tells which. */
export type TaskResult<Output = unknown> = TaskSuccess<Output> | TaskFailure;
/** Where a job is in its life. */
export type JobState = "waiting" | "delayed" | "active" | "completed" | "failed" | "cancelled" | "dead";
/** One job as it is stored. */
export interface JobInfo<Output = unknown> {
	readonly jobId: string;
	readonly taskId: string;
	readonly agentType: string;
	readonly parentTaskId: string | null;
	readonly input: unknown;
	readonly metadata: Readonly<Record<string, unknown>> | null;
	/** All settings of the job, with the defaults filled in. */
	readonly options: JobOptions;
	readonly state: JobState;
	readonly priority: number;
	/** Attempts so far that failed or completed. */
	readonly attempts: number;
	/** How often it lost its worker. */
	readonly stalls: number;
	readonly addedAt: number;
	/** When it becomes or became due, if it was delayed. */
	readonly runAt: number | null;
	readonly startedAt: number | null;
	readonly finishedAt: number | null;
	/** Of a completed job. */
	readonly output: Output | null;
	/** Of the last attempt that failed. */
	readonly error: TaskError | null;
	/** The last value given to `progress()`. */
	readonly progress: unknown;
	/** The id of the worker that runs it. */
	readonly worker: string | null;
}
/** How many jobs are in each state. */
export type JobCounts = Record<JobState, number>;
/** One line that a handler logged. */
export interface LogLine {
	/** Grows by one with every line of a job, from 1. The newest 1000 lines are kept. */
	readonly seq: number;
	readonly at: number;
	readonly line: string;
}
/** One worker of a queue, in this process or another. */
export interface WorkerInfo {
	readonly id: string;
	readonly queue: string;
	/** `host:pid`, or the `name` it was given. */
	readonly name: string;
	readonly concurrency: number;
	/** Jobs that it holds. */
	readonly running: number;
	readonly startedAt: number;
	/** Its last sign of life. */
	readonly beatAt: number;
	/** When its jobs are taken back, unless it gives another. */
	readonly leaseUntil: number;
}
/** Spawns tasks. Resolves when the task is durable. */
export interface Spawn {
	<T extends (keyof SubAgentTypes & string) | (string & {})>(task: SpawnTaskInput<T>): Promise<JobHandle<OutputFor<T>>>;
	<A extends AnySubAgent>(agent: A, input: InputOf<A>, options?: TaskOptions): Promise<JobHandle<OutputOf<A>>>;
}
/** What a handler knows about its task and can do. Members may be taken apart: `run(input, { signal, progress })`. */
export interface TaskContext {
	readonly taskId: string;
	readonly jobId: string;
	readonly agentType: string;
	/** 1 for the first. */
	readonly attempt: number;
	readonly maxAttempts: number;
	/** How often the job lost its worker before. */
	readonly stalls: number;
	readonly priority: number;
	readonly addedAt: number;
	readonly parentTaskId: string | null;
	readonly metadata: Readonly<Record<string, unknown>> | null;
	/** Aborts when the job is taken from the handler; its reason is a `MasterAgentError` (`ERR_TASK_TIMEOUT`, `ERR_TASK_CANCELLED`, `ERR_TASK_STALLED`, `ERR_TASK_LOST`, `ERR_CLOSED`). */
	readonly signal: AbortSignal;
	/** Notes how far the task is: any JSON value; kept with the job and sent to `task:progress`. Rejects with `ERR_TASK_LOST` if the job is no longer this handler's; not waiting for it is fine. */
	readonly progress: (value: unknown) => Promise<void>;
	/** Adds a line to the job's log, of which the newest 1000 lines are kept. */
	readonly log: (line: string) => Promise<void>;
	/** Begins the attempt's `timeout` anew. Leases need no heartbeat: they are renewed by themselves. */
	readonly heartbeat: () => Promise<void>;
	/** Spawns a child task in the same queue, with this task as its parent. */
	readonly spawn: Spawn;
	/** The `memory` of the master, else that of the process. Opened by its first call; its calls end with `signal`. */
	readonly memory: Memory;
}
/** Where tasks are stored. */
export interface ConnectionOptions {
	/**
	 * `"embedded"` (in `APP_DATA_DIR`, else `./data`), the path of a folder, or the URL of a Redis server: `redis://`, `rediss://` (TLS),
	 * `unix://`, `redis+sentinel://host:26379/master` or `redis+cluster://host:7000,host:7001`. Without it `REDIS_URL`, else `REDIS_HOST` with
	 * `REDIS_PORT` and `REDIS_PASSWORD`, else `"embedded"`.
	 */
	store?: string | undefined;
	/** How long a call waits for a Redis server that is away before it fails with `ERR_STORE_UNREACHABLE`, in milliseconds, 100 to 3,600,000; 5,000. */
	enqueueTimeout?: number | undefined;
	/** The queue; `QUEUE_NAME`. */
	queue?: string | undefined;
	/** What an accepted task survives: `"process"` (default) the death of every process, `"power"` also of the machine (a sync of the disk for every commit). */
	durability?: "process" | "power" | undefined;
	/** How a worker of this object is shown, up to 255 characters; `host:pid`. */
	name?: string | undefined;
	/** The largest input, result, metadata or progress value, in bytes of its JSON as UTF-8, up to 256 MiB; 16 MiB. */
	payloadLimit?: number | undefined;
	/** What jobs get that do not say otherwise; over `DEFAULT_JOB_OPTS`. */
	defaultJobOptions?: Omit<JobOptions, "jobId"> | undefined;
}
/** How a worker works. */
export interface WorkerOptions {
	/** How many tasks run at once, 1 to 100 000; `WORKER_CONCURRENCY`, else 5. */
	concurrency?: number | undefined;
	/** Milliseconds, 100 to one day, after which the tasks of a dead process are taken up by others; `WORKER_LEASE_MS`, else 3000. */
	lease?: number | undefined;
	/** Milliseconds, 100 to one day, that the event loop may be blocked before its tasks are given up; 60 000. */
	stallTimeout?: number | undefined;
}
/** Options of a `MasterAgent`. */
export interface MasterAgentOptions extends ConnectionOptions, WorkerOptions {
	/** Whether a worker starts by itself with the first registered sub-agent; `true`. It does not keep the process alive. */
	autostart?: boolean | undefined;
	/** The memory that sub-agents get as `context.memory`; that of the process (`LANCEDB_PATH`, else `APP_DATA_DIR/lancedb`, else `./data/lancedb`). It is not closed with the master. */
	memory?: Memory<any> | undefined;
}
/** How a sub-agent is registered. */
export interface RegisterOptions {
	/** How many of its tasks a worker runs at once, 1 or more; no limit but the worker's. */
	concurrency?: number | undefined;
	/** Take the place of another sub-agent of the same type; else that is `ERR_AGENT_EXISTS`. */
	replace?: boolean | undefined;
}
/** What every event says. */
export interface TaskEventBase {
	readonly taskId: string;
	readonly jobId: string;
	readonly agentType: string;
	readonly attempt: number;
	/** When it happened. */
	readonly at: number;
}
/** What events carry. They tell of the tasks of the queue in all processes, and are hints: a task's state is what `status` says. */
export interface TaskEvents {
	"task:started": TaskEventBase;
	"task:progress": TaskEventBase & {
		readonly progress: unknown;
	};
	"task:completed": TaskEventBase & {
		readonly output: unknown;
	};
	/** Failed for good; also cancelled and dead tasks, as `error.code` tells. */
	"task:failed": TaskEventBase & {
		readonly error: TaskError;
	};
	/** An attempt failed; the next comes after `delay` milliseconds. */
	"task:retrying": TaskEventBase & {
		readonly error: TaskError;
		readonly delay: number;
	};
}
/** All events of a `MasterAgent`. */
export interface MasterAgentEvents extends TaskEvents {
	/** The store works no longer (`error`), or again (`null`): once for each change. `health()` asks. */
	health: {
		readonly error: MasterAgentError | null;
	};
}
/** Options of `health()`. */
export interface HealthOptions {
	/** Milliseconds, 100 to 3,600,000, after which a store that does not answer is taken for unreachable; 1000. */
	timeout?: number | undefined;
}
/** What `health()` answers. */
export interface StoreHealth {
	/**
	 * `"ok"`: it answered and takes writes. `"unreachable"`: no answer within the timeout, or it is still loading its data; it may come back by
	 * itself. `"failing"`: it is there and cannot be used, as `error` tells: no room, read-only, damaged, a wrong password, a newer layout.
	 */
	readonly status: "ok" | "unreachable" | "failing";
	/** Which kind of store it is. */
	readonly store: "embedded" | "redis";
	/** Milliseconds, with fractions, from the question to the answer in JavaScript: the event loop's delay is in it. */
	readonly latencyMs: number;
	/** Why it cannot be used, with a code `ERR_STORE_…`; `null` when all is well. */
	readonly error: MasterAgentError | null;
	/** The server that answered, as it describes itself; `null` for the embedded store, and where there was no answer. */
	readonly server: {
		/** `"redis"` or `"valkey"`. */
		readonly name: string;
		/** Such as `"7.4.1"`. */
		readonly version: string;
		/** `"standalone"` or `"cluster"`. */
		readonly mode: string;
	} | null;
}
/** One event with its name, for `for await`. */
export type TaskEvent = {
	[K in keyof TaskEvents]: TaskEvents[K] & {
		readonly type: K;
	};
}[keyof TaskEvents];
/** Returns its input: agent type `echo`. */
export declare class EchoSubAgent<Input = unknown> implements ISubAgent<Input, {
	echo: Input;
}> {
	readonly agentType: string;
	run(input: Input, _context?: TaskContext): {
		echo: Input;
	};
}
/** A listener of one event. */
export type Listener<K extends keyof MasterAgentEvents> = (event: MasterAgentEvents[K]) => void;
/** Options of `events()`. */
export interface EventStreamOptions {
	/** Ends the stream. */
	signal?: AbortSignal | undefined;
	/** How many events wait for a slow reader, 1 to 1 000 000, before the oldest are dropped; 10 000. */
	buffer?: number | undefined;
}
/** Events for `for await`. */
export interface TaskEventStream extends AsyncIterableIterator<TaskEvent> {
	/** How many events were dropped because the reader was too slow. */
	readonly dropped: number;
	return(): Promise<IteratorResult<TaskEvent, undefined>>;
}
/** The names that {@link SubAgentTypes} knows, and any other. */
export type AgentTypeName = (keyof SubAgentTypes & string) | (string & {});
/** Options of `run` with a sub-agent or an agent type. */
export interface RunOptions extends WaitOptions {
	/** How the task is run: `{ attempts, timeout, priority, … }`. */
	task?: TaskOptions | undefined;
}
/** The results of several waits, typed where handles are given. */
export type ResultsOf<J extends readonly (string | JobHandle)[]> = {
	-readonly [K in keyof J]: TaskResult<J[K] extends JobHandle<infer Output> ? Output : unknown>;
};
/**
 * Spawns tasks and waits for their results.
 *
 * With the first registered sub-agent a worker starts in this process, unless `autostart` is `false`; it alone does not
 * keep the process alive. Everything that was accepted is in the store and is run later if the process ends before.
 *
 * @example
 * registerSubAgent({ agentType: "upper", run: (input: { text: string }) => input.text.toUpperCase() });
 * await using master = new MasterAgent();
 * const { jobId } = await master.spawn({ agentType: "upper", input: { text: "hello" } });
 * const result = await master.waitForJob(jobId);
 * if (result.success) console.log(result.output);
 */
export declare class MasterAgent {
	#private;
	/**
	 * Touches neither the disk nor the addon; the store is opened by the first call that needs it.
	 *
	 * @throws {@link MasterAgentError} `ERR_INPUT_INVALID` for an unknown option or a wrong value, also in the environment.
	 */
	constructor(masterOptions?: MasterAgentOptions);
	/** The store: the absolute path of its folder, or the URL of the server without its password. */
	get store(): string;
	/** The name of the queue. */
	get queue(): string;
	/** Whether a worker is started here, by itself or by `start()`. */
	get working(): boolean;
	/** How many handlers run here. */
	get running(): number;
	/**
	 * Adds a task. It is durable when this resolves.
	 *
	 * @throws {@link MasterAgentError} `ERR_INPUT_…` for what is wrong with the task, `ERR_STORE_…` if it could not be stored.
	 *
	 * @example
	 * const { taskId, jobId } = await master.spawn({ agentType: "my-agent", input: { query: "hello" }, priority: 10 });
	 */
	spawn<T extends AgentTypeName>(task: SpawnTaskInput<T>): Promise<JobHandle<OutputFor<T>>>;
	spawn<A extends AnySubAgent>(agent: A, input: InputOf<A>, options?: TaskOptions): Promise<JobHandle<OutputOf<A>>>;
	spawn<T extends AgentTypeName>(agentType: T, input: InputFor<T>, options?: TaskOptions): Promise<JobHandle<OutputFor<T>>>;
	/**
	 * Adds tasks in one go, in order: up to 10 000 of them (or 32 MiB of text) all or none, more in such slices. If a later
	 * slice fails, the error's `details.added` says how many tasks were added.
	 */
	spawnParallel<const T extends readonly AgentTypeName[]>(tasks: readonly [
		...{
			[K in keyof T]: SpawnTaskInput<T[K]>;
		}
	]): Promise<{
		-readonly [K in keyof T]: JobHandle<OutputFor<T[K]>>;
	}>;
	/**
	 * Waits until a task has ended. A task that failed is a result too (`success: false`).
	 *
	 * @throws {@link MasterAgentError} `ERR_WAIT_TIMEOUT`, `ERR_WAIT_ABORTED`, `ERR_JOB_NOT_FOUND`, `ERR_JOB_REMOVED`, `ERR_CLOSED`, `ERR_STORE_…`.
	 */
	waitForJob<Output = unknown>(job: string | JobHandle<Output>, options?: WaitOptions): Promise<TaskResult<Output>>;
	/** Waits until all tasks have ended; results in the order of the ids or handles. Throws with the first wait that cannot be answered. */
	waitForJobs<const J extends readonly (string | JobHandle)[]>(jobs: J, options?: WaitOptions): Promise<ResultsOf<J>>;
	/**
	 * Spawns a task, waits for it and gives its output. If the task fails this throws, with the error's code, the remote error as
	 * `cause` and `details` of the task. An abort or a timeout of the wait cancels the task, unless it was there before.
	 *
	 * @example
	 * const upper = registerSubAgent(new UpperAgent());
	 * const text = await master.run(upper, { text: "hello" }, { timeout: 5_000 });
	 */
	run<T extends AgentTypeName>(task: SpawnTaskInput<T>, options?: WaitOptions): Promise<OutputFor<T>>;
	run<A extends AnySubAgent>(agent: A, input: InputOf<A>, options?: RunOptions): Promise<OutputOf<A>>;
	run<T extends AgentTypeName>(agentType: T, input: InputFor<T>, options?: RunOptions): Promise<OutputFor<T>>;
	/** What is known of a job; `null` if it is not, or no longer, in the store. */
	status<Output = unknown>(job: string | JobHandle<Output>): Promise<JobInfo<Output> | null>;
	/**
	 * Ends a task. One that waits ends at once; the handler of one that runs, in this or another process, finds its `signal`
	 * aborted, and its outcome is ignored.
	 *
	 * @returns `false` if it had ended already.
	 * @throws {@link MasterAgentError} `ERR_JOB_NOT_FOUND`.
	 */
	cancel(job: string | JobHandle, reason?: string): Promise<boolean>;
	/**
	 * Asks the store for a sign of life: one round trip that changes nothing and shows whether the store takes writes. A store that is away
	 * or cannot be used is an answer too, within `timeout`.
	 *
	 * @throws {@link MasterAgentError} `ERR_CLOSED`, `ERR_INPUT_INVALID` for a wrong option, `ERR_ADDON_LOAD`.
	 *
	 * @example
	 * const { status, latencyMs, error } = await master.health({ timeout: 500 });
	 */
	health(healthOptions?: HealthOptions): Promise<StoreHealth>;
	/** Listens to an event. The engine sends task events only while somebody listens. */
	on<K extends keyof MasterAgentEvents>(event: K, listener: Listener<K>): this;
	/** Listens to the next event of a kind. */
	once<K extends keyof MasterAgentEvents>(event: K, listener: Listener<K>): this;
	/** Ends what `on` or `once` began. */
	off<K extends keyof MasterAgentEvents>(event: K, listener: Listener<K>): this;
	/**
	 * All task events from now on, for `for await`. Ends with `break`, the signal, or `close()`.
	 *
	 * @example
	 * for await (const event of master.events({ signal })) console.log(event.type, event.taskId);
	 */
	events(options?: EventStreamOptions): TaskEventStream;
	/**
	 * Begins to run tasks of the sub-agents that are registered in this process, and keeps the process alive until `stop()` or
	 * `close()`. Later registrations are served too.
	 *
	 * @throws {@link MasterAgentError} `ERR_STORE_…` if the store cannot be used, `ERR_CLOSED`.
	 */
	start(): Promise<void>;
	/**
	 * Runs no more tasks: claims nothing new, waits up to `timeout` milliseconds (30 000) for the handlers that run, then aborts
	 * their signals and gives their tasks back to the queue. It does not start by itself again; `start()` does.
	 *
	 * @returns how many tasks were given back.
	 */
	stop(stopOptions?: {
		timeout?: number | undefined;
	}): Promise<{
		released: number;
	}>;
	/**
	 * Stops, answers every open wait with `ERR_CLOSED` and lets go of the store. Running handlers have up to `timeout` milliseconds
	 * (30 000), and the store a second more: what it did not take by then runs again when the lease ends. May be called again; calls
	 * after it are `ERR_CLOSED`.
	 */
	close(closeOptions?: {
		timeout?: number | undefined;
	}): Promise<void>;
	/** `close()` with its defaults, for `await using`. */
	[Symbol.asyncDispose](): Promise<void>;
}
/** Which collection a function is about. */
export interface InCollection {
	/** 1 to 128 of `A-Z a-z 0-9 _ - .`, no `.` at the beginning; `"documents"`. */
	collection?: string | undefined;
}
/**
 * Adds a document, given as such or as its text, to the memory of the process (`LANCEDB_PATH`, else `APP_DATA_DIR/lancedb`, else
 * `./data/lancedb`). It is stored when this resolves.
 *
 * @example
 * await addDocument("Some fact or note.", { source: "user" });
 * await addDocument({ id: "note-7", text: "Some fact or note." });
 */
export declare function addDocument(document: RAGDocument, options?: AddOptions & InCollection): Promise<AddedDocument>;
export declare function addDocument(text: string, metadata?: AnyMetadata, options?: AddTextOptions & InCollection): Promise<AddedDocument>;
/** Adds documents, or texts; see {@link MemoryCollection.addMany}. */
export declare function addDocuments(documents: Iterable<RAGDocument | string> | AsyncIterable<RAGDocument | string>, options?: AddManyOptions & InCollection): Promise<AddedDocument[]>;
/**
 * Adds a text with its metadata to the memory of the process.
 *
 * @example
 * await addRAGDocument("Some fact or note.", { source: "user" });
 * const hits = await ragRetrieve("relevant query", { limit: 5 });
 */
export declare function addRAGDocument(text: string, metadata?: AnyMetadata, options?: AddTextOptions & InCollection): Promise<AddedDocument>;
/** Adds documents, or texts; the same as {@link addDocuments}. */
export declare function addRAGDocuments(documents: Iterable<RAGDocument | string> | AsyncIterable<RAGDocument | string>, options?: AddManyOptions & InCollection): Promise<AddedDocument[]>;
/** Finds passages in the memory of the process; the same as {@link ragRetrieve}, and takes a vector too. */
export declare function search(query: string | Float32Array | readonly number[], options?: SearchOptions & InCollection): Promise<RAGResult[]>;
/**
 * Finds the passages in the memory of the process that answer a question best.
 *
 * @example
 * const hits = await ragRetrieve("relevant query", { limit: 5, filter: { source: "user", year: { gte: 2024 } } });
 * for (const { score, text, metadata } of hits) console.log(score, text, metadata);
 */
export declare function ragRetrieve(query: string, options?: SearchOptions & InCollection): Promise<RAGResult[]>;
/** The vector of one text, of length 1, by the model of the package: 384 numbers. */
export declare function embedOne(text: string, options?: EmbedOptions): Promise<Float32Array>;
/** A vector for each text, of length 1. The vector of a text does not depend on the texts beside it. */
export declare function embedBatch(texts: readonly string[], options?: EmbedOptions): Promise<Float32Array[]>;
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
export declare function getConnection(options?: CallOptions): Promise<MemoryConnection>;
/** The queue of tasks. */
export declare const QUEUE_NAME = "master-agent-tasks";
/** What a job gets that is added without options. Times in milliseconds. */
export declare const DEFAULT_JOB_OPTS: Readonly<{
	attempts: 3;
	backoff: Readonly<{
		readonly type: "exponential";
		readonly delay: 1000;
	}>;
	priority: 0;
	delay: 0;
	maxStalls: 3;
	removeOnComplete: Readonly<{
		count: 100000;
		age: 604800000;
	}>;
	removeOnFail: Readonly<{
		count: 100000;
		age: 604800000;
	}>;
}>;
type AgentOf<T extends string> = T extends keyof SubAgentTypes ? SubAgentTypes[T] : ISubAgent;
/** The registered sub-agents by agent type, to be read. */
declare class SubAgentRegistry implements Iterable<[
	string,
	ISubAgent
]> {
	#private;
	/** How many are registered. */
	get size(): number;
	/** The sub-agent of an agent type. */
	get<T extends (keyof SubAgentTypes & string) | (string & {})>(agentType: T): AgentOf<T> | undefined;
	/** Whether an agent type has a sub-agent. */
	has(agentType: string): boolean;
	/** The agent types, in the order in which they were registered. */
	keys(): IterableIterator<string>;
	/** The sub-agents. */
	values(): IterableIterator<ISubAgent>;
	/** Agent types with their sub-agents. */
	entries(): IterableIterator<[
		string,
		ISubAgent
	]>;
	[Symbol.iterator](): IterableIterator<[
		string,
		ISubAgent
	]>;
}
/**
 * Makes a sub-agent known in this process. Running workers serve it at once.
 *
 * @returns the sub-agent itself, to be passed to `spawn` and `run` with its types.
 * @throws {@link MasterAgentError} `ERR_AGENT_EXISTS` if another one is registered for its type.
 *
 * @example
 * const upper = registerSubAgent({
 *   agentType: "upper",
 *   run: (input: { text: string }) => input.text.toUpperCase(),
 * });
 */
export declare function registerSubAgent<A extends AnySubAgent>(agent: A, registerOptions?: RegisterOptions): A;
/**
 * Takes a sub-agent, or the one of an agent type, out of this process. What it runs now goes on to its end.
 *
 * @returns whether it was registered.
 */
export declare function unregisterSubAgent(agent: string | AnySubAgent): boolean;
/** The sub-agents that are registered in this process, to be read; it follows later changes. */
export declare function getSubAgentRegistry(): SubAgentRegistry;
/** Options of `getTaskQueue`. */
export type TaskQueueOptions = ConnectionOptions;
/** Which jobs `list` and `jobs` give. */
export interface ListOptions {
	/** One state, or several; all. */
	state?: JobState | readonly JobState[] | undefined;
	agentType?: string | undefined;
	/** Jobs of one page, 1 to 1000; 100. */
	limit?: number | undefined;
	/** Where the page before ended. */
	cursor?: string | undefined;
}
/** One page of jobs. Waiting jobs come in the order in which they run, ended ones newest first. */
export interface JobPage {
	readonly jobs: JobInfo[];
	/** Where the next page begins; absent at the end. */
	readonly cursor?: string;
}
/** What `clean` removes. */
export interface CleanOptions {
	/** The state of the jobs; `"completed"`. */
	state?: Exclude<JobState, "active"> | undefined;
	/** Only what came into the state at least so many milliseconds ago; 0. */
	age?: number | undefined;
	/** At most so many, the oldest first; no limit. */
	limit?: number | undefined;
}
/** One job for `addBulk`. */
export interface BulkJob<T extends string = string> {
	name: T;
	payload?: InputFor<T> | undefined;
	opts?: TaskOptions | undefined;
}
/** A queue of tasks. It runs nothing: that is what a `MasterAgent` or a worker process does. */
export declare class TaskQueue {
	#private;
	/** The store: the absolute path of its folder, or the URL of the server without its password. */
	readonly store: string;
	/** The name of the queue. */
	readonly name: string;
	/** @throws {@link MasterAgentError} `ERR_INPUT_INVALID`. */
	constructor(queueOptions?: TaskQueueOptions);
	/** Whether `close` was called. */
	get closed(): boolean;
	/**
	 * Adds a job.
	 *
	 * @param name the agent type that runs it.
	 * @param payload the input of its `run`.
	 *
	 * @example
	 * const { jobId } = await getTaskQueue().add("my-agent", { query: "hello" }, { delay: 5_000 });
	 */
	add<T extends AgentTypeName>(name: T, payload?: InputFor<T>, opts?: TaskOptions): Promise<JobHandle<OutputFor<T>>>;
	/** Adds jobs in order: up to 10 000 (or 32 MiB of text) all or none, more in such slices. */
	addBulk(jobs: readonly BulkJob[]): Promise<JobHandle[]>;
	/** Adds a task as `enqueueTask` does. */
	enqueue<T extends AgentTypeName>(payload: TaskPayload<T>, opts?: JobOptions): Promise<JobHandle<OutputFor<T>>>;
	/** Adds tasks as `enqueueTasks` does. */
	enqueueAll(payloads: readonly TaskPayload[], opts?: Omit<JobOptions, "jobId">): Promise<JobHandle[]>;
	/** A job, or `null`. */
	get<Output = unknown>(job: string | JobHandle<Output>): Promise<JobInfo<Output> | null>;
	/** The same as {@link get}. */
	getJob<Output = unknown>(job: string | JobHandle<Output>): Promise<JobInfo<Output> | null>;
	/** Jobs by id, in order, `null` where there is none. */
	getMany(jobs: readonly (string | JobHandle)[]): Promise<(JobInfo | null)[]>;
	/** One page of jobs. */
	list(listOptions?: ListOptions): Promise<JobPage>;
	/**
	 * All jobs, page by page. Jobs that change their state meanwhile may be missed or come twice.
	 *
	 * @example
	 * for await (const job of queue.jobs({ state: "failed" })) await queue.retry(job.jobId);
	 */
	jobs(listOptions?: ListOptions): AsyncGenerator<JobInfo, void, undefined>;
	/** How many jobs are in each state, of all agent types or of one. */
	counts(agentType?: string): Promise<JobCounts>;
	/** The same as {@link counts}. */
	getJobCounts(agentType?: string): Promise<JobCounts>;
	/** How many jobs of each agent type are in each state. */
	countsByAgent(): Promise<Record<string, JobCounts>>;
	/** Lets no worker, in any process, take more jobs of this queue. What runs goes on. */
	pause(): Promise<void>;
	/** Ends `pause()`. */
	resume(): Promise<void>;
	/** Whether the queue is paused. */
	isPaused(): Promise<boolean>;
	/**
	 * Removes all waiting jobs, and the delayed ones if asked.
	 *
	 * @returns how many.
	 */
	drain(drainOptions?: {
		delayed?: boolean | undefined;
	}): Promise<number>;
	/**
	 * Removes jobs of one state, oldest first.
	 *
	 * @returns how many.
	 */
	clean(cleanOptions?: CleanOptions): Promise<number>;
	/**
	 * Lets an ended job wait again, with its attempts counted from zero.
	 *
	 * @throws {@link MasterAgentError} `ERR_JOB_NOT_FOUND`, or `ERR_JOB_STATE` if it has not ended.
	 */
	retry(job: string | JobHandle): Promise<void>;
	/**
	 * Lets a delayed job wait now.
	 *
	 * @throws {@link MasterAgentError} `ERR_JOB_NOT_FOUND`, or `ERR_JOB_STATE` if it is not delayed.
	 */
	promote(job: string | JobHandle): Promise<void>;
	/**
	 * Removes a job. Who waits for it gets `ERR_JOB_REMOVED`.
	 *
	 * @throws {@link MasterAgentError} `ERR_JOB_NOT_FOUND`, or `ERR_JOB_STATE` if it is running: cancel it first.
	 */
	remove(job: string | JobHandle): Promise<void>;
	/** Ends a job as `MasterAgent.cancel` does; `false` if it had ended already. */
	cancel(job: string | JobHandle, reason?: string): Promise<boolean>;
	/**
	 * The log lines of a job, oldest first.
	 *
	 * @param logOptions `after`: only lines with a greater `seq`; `limit`: 1 to 1000 lines, 1000.
	 */
	logs(job: string | JobHandle, logOptions?: {
		after?: number | undefined;
		limit?: number | undefined;
	}): Promise<LogLine[]>;
	/** The workers of this queue, in all processes. */
	workers(): Promise<WorkerInfo[]>;
	/**
	 * Asks the store for a sign of life: one round trip that changes nothing and shows whether the store takes writes. A store that is away
	 * or cannot be used is an answer too, within `timeout`.
	 *
	 * @throws {@link MasterAgentError} `ERR_CLOSED`, `ERR_INPUT_INVALID` for a wrong option, `ERR_ADDON_LOAD`.
	 *
	 * @example
	 * const { status, latencyMs, error } = await queue.health({ timeout: 500 });
	 */
	health(healthOptions?: HealthOptions): Promise<StoreHealth>;
	/** The names of all queues of the store. */
	queues(): Promise<string[]>;
	/**
	 * Removes the queue with everything in it.
	 *
	 * @throws {@link MasterAgentError} `ERR_JOB_STATE` while jobs run, unless `force` is `true`.
	 */
	obliterate(obliterateOptions?: {
		force?: boolean | undefined;
	}): Promise<void>;
	/** Lets go of the store. May be called again; calls after it are `ERR_CLOSED`. */
	close(closeOptions?: {
		timeout?: number | undefined;
	}): Promise<void>;
	/** `close()`, for `await using`. */
	[Symbol.asyncDispose](): Promise<void>;
}
/**
 * The task queue of a store. Calls with the same store, queue and durability give the same object until it is closed; one with
 * a `name`, `payloadLimit` or `defaultJobOptions` is a new one every time.
 */
export declare function getTaskQueue(queueOptions?: TaskQueueOptions): TaskQueue;
/**
 * Adds a task to the default queue. It is durable when this resolves.
 *
 * @example
 * const { jobId } = await enqueueTask({ agentType: "my-agent", input: { query: "hello" } }, { attempts: 5 });
 */
export declare function enqueueTask<T extends AgentTypeName>(payload: TaskPayload<T>, opts?: JobOptions): Promise<JobHandle<OutputFor<T>>>;
/** Adds tasks to the default queue, in order, with the same options; see `TaskQueue.addBulk` for what is atomic. */
export declare function enqueueTasks(payloads: readonly TaskPayload[], opts?: Omit<JobOptions, "jobId">): Promise<JobHandle[]>;

export type { MemoryCollection, SubAgentRegistry };
