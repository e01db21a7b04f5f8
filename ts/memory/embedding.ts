/**
 * Embedding functions: the models of the engine, and functions of the user. Their vectors are checked here, since a wrong
 * length or a NaN would spoil an index silently.
 */
import { invalid, MasterAgentError } from "../errors";
import { bundledModelFolder, type NativeModel } from "../native";
import { integer, name, options, show } from "../options";
import { MemoryClient, members } from "./client";
import { folderPath, memoryFolder, modelCache } from "./config";
import { limitsOf, type Run, type Scope, within } from "./scope";
import type { CallOptions, DownloadProgress } from "./types";

/** A model by its name (fetched at its first use) or by the folder that has its files. */
export type ModelSpec =
  | { readonly model: string; readonly path?: undefined }
  | { readonly path: string; readonly model?: undefined };

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
  model?: string | { readonly path: string } | EmbedTexts | undefined;
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

/** The length of the bundled model's vectors. */
export const BUNDLED_DIMENSIONS = 384;
const BUNDLED_ID = "sentence-transformers/all-MiniLM-L6-v2";

/** What an embedding function is made of: a model of the engine, or a function. */
export type Embedding = { readonly model: NativeModel; readonly external?: undefined } | { readonly external: ExternalEmbedder };

const EMBED_KEYS: ReadonlySet<keyof EmbedOptions> = new Set<keyof EmbedOptions>(["timeout", "signal", "kind"]);
const FUNCTION_KEYS: ReadonlySet<keyof EmbeddingFunctionOptions> = new Set<keyof EmbeddingFunctionOptions>([
  "model",
  "dimensions",
  "batchSize",
  "maxTokens",
  "id",
  "modelCache",
  "runtime",
  "onDownload",
]);
const ONLY_OF_FUNCTIONS = ["dimensions", "batchSize", "maxTokens", "id"] as const;

const made = new WeakMap<object, Embedding>();

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
export function createEmbeddingFunction(functionOptions?: EmbeddingFunctionOptions): EmbeddingFunction {
  const given = options(functionOptions, "options", FUNCTION_KEYS) as EmbeddingFunctionOptions;
  const embedding = embeddingOf(given);
  const source = embedding.external ?? new ModelEmbedder(embedding.model, given);
  const embedOne = async (text: string, embedOptions?: EmbedOptions): Promise<Float32Array> => {
    const [vector] = await embedTexts(source, [embeddable(text, "text")], embedOptions, "embedOne");
    return vector as Float32Array;
  };
  const embedBatch = async (texts: readonly string[], embedOptions?: EmbedOptions): Promise<Float32Array[]> =>
    embedTexts(source, embeddables(texts), embedOptions, "embedBatch");
  const embed = (texts: string | readonly string[], embedOptions?: EmbedOptions): Promise<unknown> =>
    typeof texts === "string" ? embedOne(texts, embedOptions) : embedBatch(texts, embedOptions);
  Object.defineProperties(embed, {
    embedOne: { value: embedOne, enumerable: true },
    embedBatch: { value: embedBatch, enumerable: true },
    dimensions: { get: () => source.dimensions, enumerable: true },
    id: { value: source.id, enumerable: true },
  });
  made.set(embed, embedding);
  return embed as unknown as EmbeddingFunction;
}

/** The embedding that the option of a memory means. */
export function embeddingOption(value: unknown, cache: unknown, field: string): Embedding {
  if ((typeof value === "function" || typeof value === "object") && value !== null) {
    const known = made.get(value);
    if (known !== undefined) {
      return known;
    }
  }
  if (typeof value === "object" && value !== null) {
    return { model: modelSpec(value, cache, field) };
  }
  return embeddingOf({ model: value as EmbeddingFunctionOptions["model"], modelCache: cache as string | undefined }, field, "");
}

/** A model by name or folder. */
export function modelSpec(value: object, cache: unknown, field: string): NativeModel {
  const { model, path } = options(value, field, new Set(["model", "path"] as const));
  if ((model === undefined) === (path === undefined)) {
    throw invalid(field, "must have either model or path");
  }
  return path === undefined
    ? { kind: "named", name: name(model, `${field}.model`), cache: modelCache(cache, "options.modelCache") }
    : { kind: "folder", folder: folderPath(path, `${field}.path`) };
}

function embeddingOf(given: EmbeddingFunctionOptions, field = "options", member = ".model"): Embedding {
  const { model } = given;
  if (typeof model === "function") {
    return { external: new ExternalEmbedder(model, given, field) };
  }
  for (const key of ONLY_OF_FUNCTIONS) {
    if (given[key] !== undefined) {
      throw invalid(`${field}.${key}`, "is only for a model that is a function: other models have their own");
    }
  }
  if (model === undefined || model === "bundled") {
    return { model: { kind: "bundled", folder: bundledModelFolder() } };
  }
  if (typeof model === "string") {
    const cache = modelCache(given.modelCache, `${field}.modelCache`);
    return { model: { kind: "named", name: name(model, `${field}${member}`), cache } };
  }
  if (typeof model !== "object" || model === null) {
    throw invalid(`${field}${member}`, `must be the name of a model, { path }, or a function, not ${show(model)}`);
  }
  return { model: modelSpec(model, given.modelCache, `${field}${member}`) };
}

/** What embeds. */
interface Embedder {
  readonly id: string;
  readonly dimensions: number | undefined;
  /** Vectors one after the other. */
  embed(texts: readonly string[], kind: "query" | "document", scope: Scope): Promise<{ data: Float32Array; dimensions: number }>;
}

/** A model of the engine, outside of a memory. */
class ModelEmbedder implements Embedder {
  readonly id: string;
  dimensions: number | undefined;
  readonly #client: MemoryClient;

  constructor(model: NativeModel, { runtime, onDownload }: EmbeddingFunctionOptions) {
    this.id = modelId(model);
    this.dimensions = model.kind === "bundled" ? BUNDLED_DIMENSIONS : undefined;
    // The folder is never touched: nothing is stored.
    this.#client = new MemoryClient({
      folder: memoryFolder(undefined, "path"),
      model,
      readOnly: true,
      maintenance: false,
      ...(runtime === undefined ? {} : { runtime: folderPath(runtime, "options.runtime") }),
    });
    this.#client.onDownload = checkedCallback(onDownload, "options.onDownload");
  }

  async embed(
    texts: readonly string[],
    kind: "query" | "document",
    scope: Scope,
  ): Promise<{ data: Float32Array; dimensions: number }> {
    const answer = await embedNatively(this.#client, texts, kind, scope);
    this.dimensions = answer.dimensions;
    return answer;
  }
}

/** How a model is named before it is loaded. */
export function modelId(model: NativeModel): string {
  switch (model.kind) {
    case "bundled":
      return BUNDLED_ID;
    case "named":
      return model.name;
    case "folder":
      return model.folder;
    case "external":
      return model.id;
  }
}

/** Vectors of the engine's model. */
export async function embedNatively(
  client: MemoryClient,
  texts: readonly string[],
  kind: "query" | "document",
  scope: Scope,
): Promise<{ data: Float32Array; dimensions: number }> {
  const { value, vectors } = await client.call<{ dimensions: number }>(
    "embed",
    members({ texts, ...(kind === "query" ? { query: true } : {}) }),
    scope,
  );
  return { data: vectors ?? new Float32Array(), dimensions: value.dimensions };
}

/** A function of the user. */
export class ExternalEmbedder implements Embedder {
  readonly id: string;
  readonly maxTokens: number | undefined;
  dimensions: number | undefined;
  readonly #call: EmbedTexts;
  readonly #batchSize: number;

  constructor(call: EmbedTexts, given: EmbeddingFunctionOptions, field: string) {
    const { dimensions, batchSize, maxTokens, id } = given;
    this.#call = call;
    this.id = id === undefined ? `function:${call.name.toWellFormed().slice(0, 200) || "anonymous"}` : name(id, `${field}.id`);
    this.dimensions = dimensions === undefined ? undefined : integer(dimensions, `${field}.dimensions`, 1, 65_536);
    this.#batchSize = batchSize === undefined ? 64 : integer(batchSize, `${field}.batchSize`, 1, 10_000);
    this.maxTokens = maxTokens === undefined ? undefined : integer(maxTokens, `${field}.maxTokens`, 1, 65_536);
  }

  async embed(
    texts: readonly string[],
    kind: "query" | "document",
    scope: Scope,
  ): Promise<{ data: Float32Array; dimensions: number }> {
    let data: Float32Array | undefined;
    for (let start = 0; start < texts.length; start += this.#batchSize) {
      scope.check();
      const batch = texts.slice(start, start + this.#batchSize);
      // The function gets a list of its own: what it does to it must not matter.
      const vectors = this.#checked(await this.#answer([...batch], kind, scope), batch.length);
      const dimensions = this.dimensions as number;
      data ??= new Float32Array(texts.length * dimensions);
      for (let index = 0; index < vectors.length; index++) {
        this.#take(vectors[index] as ArrayLike<number>, index, data, (start + index) * dimensions);
      }
    }
    return { data: data ?? new Float32Array(), dimensions: this.dimensions ?? 0 };
  }

  async #answer(texts: string[], kind: "query" | "document", scope: Scope): Promise<unknown> {
    try {
      return await this.#call(texts, { kind, signal: scope.signal });
    } catch (cause) {
      scope.check();
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw failed(`The embedding function ${show(this.id)} failed: ${reason}`, cause);
    }
  }

  #checked(answer: unknown, expected: number): readonly unknown[] {
    if (!Array.isArray(answer)) {
      throw failed(`The embedding function ${show(this.id)} must answer with an array of vectors, not ${show(answer)}`);
    }
    if (answer.length !== expected) {
      throw failed(`The embedding function ${show(this.id)} answered with ${answer.length} vectors for ${expected} texts`);
    }
    for (let index = 0; index < answer.length; index++) {
      const vector: unknown = answer[index];
      if (!Array.isArray(vector) && !(vector instanceof Float32Array) && !(vector instanceof Float64Array)) {
        throw failed(`Vector ${index} of the embedding function ${show(this.id)} is ${show(vector)}, not an array of numbers`);
      }
      this.dimensions ??= vector.length;
      if (vector.length !== this.dimensions || vector.length === 0) {
        throw failed(
          `Vector ${index} of the embedding function ${show(this.id)} has ${vector.length} numbers, not ${this.dimensions || "1 or more"}`,
        );
      }
    }
    return answer as unknown[];
  }

  /** Copies a vector, brought to length 1. */
  #take(vector: ArrayLike<number>, index: number, data: Float32Array, at: number): void {
    const fault = normalise(vector, data, at);
    if (fault !== undefined) {
      throw failed(`Vector ${index} of the embedding function ${show(this.id)} ${fault}`);
    }
  }
}

/** Writes `vector` to `data` with length 1, or says what is wrong with it. */
export function normalise(vector: ArrayLike<number>, data: Float32Array, at: number): string | undefined {
  // Scaled by the largest first: squares of large or tiny numbers would leave the range.
  let largest = 0;
  for (let place = 0; place < vector.length; place++) {
    const number: unknown = vector[place];
    if (typeof number !== "number" || !Number.isFinite(number)) {
      return `has ${show(number)} at place ${place}; all must be finite numbers`;
    }
    largest = Math.max(largest, Math.abs(number));
  }
  if (largest === 0) {
    return "has only zeros, which has no direction";
  }
  let sum = 0;
  for (let place = 0; place < vector.length; place++) {
    sum += ((vector[place] as number) / largest) ** 2;
  }
  const length = Math.sqrt(sum);
  for (let place = 0; place < vector.length; place++) {
    data[at + place] = (vector[place] as number) / largest / length;
  }
  return undefined;
}

/** Cuts vectors that follow each other apart: each with memory of its own. */
export function cut(data: Float32Array, dimensions: number): Float32Array[] {
  return Array.from({ length: dimensions === 0 ? 0 : data.length / dimensions }, (_, row) =>
    data.slice(row * dimensions, (row + 1) * dimensions),
  );
}

/** The most characters that are embedded in one call of the engine. */
const CALL_CHARS = 1 << 22;
const CALL_TEXTS = 1_024;

/** Vectors of texts, in calls that are bounded. */
export async function embedTexts(
  source: Embedder,
  texts: readonly string[],
  embedOptions: EmbedOptions | undefined,
  what: string,
  bound?: AbortSignal,
  run: Run = within,
): Promise<Float32Array[]> {
  const { kind, ...limits } = options(embedOptions, "options", EMBED_KEYS) as EmbedOptions;
  const wanted = kind ?? "document";
  if (wanted !== "document" && wanted !== "query") {
    throw invalid("options.kind", `must be "query" or "document", not ${show(kind)}`);
  }
  return run(what, limitsOf(limits, bound), async (scope) => {
    const vectors: Float32Array[] = [];
    for (const slice of slices(texts)) {
      const { data, dimensions } = await source.embed(slice, wanted, scope);
      for (const vector of cut(data, dimensions)) {
        vectors.push(vector);
      }
    }
    return vectors;
  });
}

/** Texts in slices that are not too large for one call. */
export function* slices(texts: readonly string[]): Generator<readonly string[]> {
  let start = 0;
  while (start < texts.length) {
    let end = start;
    let chars = 0;
    while (end < texts.length && end - start < CALL_TEXTS && (end === start || chars < CALL_CHARS)) {
      chars += (texts[end] as string).length;
      end += 1;
    }
    yield texts.slice(start, end);
    start = end;
  }
}

/** The longest text that is embedded without being stored: 64 MiB characters. */
const MAX_CHARS = 1 << 26;

/** A text to embed: lone surrogates become U+FFFD. */
export function embeddable(value: unknown, field: string): string {
  if (typeof value !== "string") {
    throw invalid(field, `must be a string, not ${show(value)}`);
  }
  if (value.length > MAX_CHARS) {
    throw new MasterAgentError("ERR_INPUT_TOO_LARGE", `${field} has ${value.length} characters, more than ${MAX_CHARS}`, {
      details: { field, limit: MAX_CHARS },
    });
  }
  return value.toWellFormed();
}

/** Texts to embed. */
export function embeddables(value: unknown): string[] {
  if (!Array.isArray(value)) {
    throw invalid("texts", `must be an array of strings, not ${show(value)}`);
  }
  return Array.from(value as readonly unknown[], (text, index) => embeddable(text, `texts[${index}]`));
}

/** A callback, or nothing. */
export function checkedCallback<T>(value: T | undefined, field: string): T | undefined {
  if (value !== undefined && typeof value !== "function") {
    throw invalid(field, `must be a function, not ${show(value)}`);
  }
  return value;
}

function failed(message: string, cause?: unknown): MasterAgentError {
  return new MasterAgentError("ERR_EMBEDDING_FAILED", message, cause === undefined ? {} : { cause });
}
