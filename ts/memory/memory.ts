/** The face of memory: one folder, its collections and its model. */
import { invalid, MasterAgentError } from "../errors";
import { options, show } from "../options";
import { members } from "./client";
import { MemoryCollection } from "./collection";
import { collectionName } from "./config";
import { type EmbedOptions, embeddable, embeddables, embedNatively, embedTexts } from "./embedding";
import { limitsOf, type Scope } from "./scope";
import { Binding, CALL_KEYS, chunkOptions, memoryBinding, metadataSchema } from "./settings";
import type {
  AnyMetadata,
  CallOptions,
  ChunkOptions,
  ChunkPlace,
  CollectionInfo,
  CollectionOptions,
  MemoryOptions,
} from "./types";

/** A passage of a text that was split. */
export type Passage = ChunkPlace & { readonly text: string };

/**
 * Long-term memory: documents in, the right passages out. It lives in one folder, as LanceDB tables, and needs no server; any
 * number of processes may use the folder.
 *
 * @example
 * await using memory = new Memory<{ source: string; year: number }>({ path: "./data/lancedb" });
 * await memory.add({ id: "a", text: "Some fact or note.", metadata: { source: "user", year: 2026 } });
 * const hits = await memory.search("relevant query", { filter: { source: "user", year: { gte: 2024 } } });
 */
export class Memory<M extends object = AnyMetadata> extends MemoryCollection<M> {
  /**
   * Touches neither the disk nor the addon: both come with the first call that needs them, and the model with the first text.
   *
   * @throws {@link MasterAgentError} `ERR_INPUT_INVALID` for an unknown option or a wrong value, also in the environment.
   */
  constructor(memoryOptions?: MemoryOptions<M>) {
    super(memoryOptions instanceof Binding ? memoryOptions : memoryBinding(memoryOptions));
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.binding.core.client.closed;
  }

  /** Another collection of the same folder and model. It is made by the first document that is added. */
  collection<N extends object = AnyMetadata>(name: string, collectionOptions?: CollectionOptions<N>): MemoryCollection<N> {
    const given = options(collectionOptions, "options", new Set(["metadataSchema"] as const));
    const schema = metadataSchema(given.metadataSchema, "options.metadataSchema");
    const { core, signal } = this.binding;
    return new MemoryCollection<N>(new Binding(core, collectionName(name, "name"), schema, signal, false));
  }

  /** All collections of the folder. */
  async collections(callOptions?: CallOptions): Promise<CollectionInfo[]> {
    return (await this.#ask<{ collections: CollectionInfo[] }>("collections", callOptions, {})).collections;
  }

  /**
   * Removes a collection with everything in it.
   *
   * @returns whether there was one.
   */
  async dropCollection(name: string, callOptions?: CallOptions): Promise<boolean> {
    const collection = collectionName(name, "name");
    return (await this.#ask<{ dropped: boolean }>("drop", callOptions, { collection })).dropped;
  }

  /** The vector of one text, of length 1, by the model of this memory. */
  async embedOne(text: string, embedOptions?: EmbedOptions): Promise<Float32Array> {
    const [vector] = await this.#embed([embeddable(text, "text")], embedOptions, "embedOne");
    return vector as Float32Array;
  }

  /** A vector for each text, of length 1. */
  async embedBatch(texts: readonly string[], embedOptions?: EmbedOptions): Promise<Float32Array[]> {
    return this.#embed(embeddables(texts), embedOptions, "embedBatch");
  }

  /** How many tokens of the model texts have. Of the user's own embedding function: of the bundled model. */
  async tokens(texts: readonly string[], callOptions?: CallOptions): Promise<number[]> {
    const checked = embeddables(texts);
    return (await this.#ask<{ counts: number[] }>("tokens", callOptions, { texts: checked })).counts;
  }

  /** How `add` would split texts: for each its passages with their places in UTF-16 units. */
  async split(texts: readonly string[], splitOptions?: ChunkOptions & CallOptions): Promise<Passage[][]> {
    const checked = embeddables(texts);
    const { timeout, signal, ...given } = splitOptions ?? {};
    const chunk = { ...this.binding.core.chunking, ...chunkOptions(given, "options") };
    const reply = await this.#ask<{ chunks: Passage[][] }>(
      "split",
      { ...(timeout === undefined ? {} : { timeout }), ...(signal === undefined ? {} : { signal }) },
      { texts: checked, chunk },
    );
    return reply.chunks;
  }

  #embed(texts: string[], embedOptions: EmbedOptions | undefined, what: string): Promise<Float32Array[]> {
    const { core, signal } = this.binding;
    const source = core.external ?? {
      id: "",
      dimensions: undefined,
      embed: (slice: readonly string[], kind: "query" | "document", scope: Scope) =>
        embedNatively(core.client, slice, kind, scope),
    };
    return embedTexts(source, texts, embedOptions, what, signal, (name, limits, work) => core.client.run(name, limits, work));
  }

  #ask<T>(op: string, callOptions: unknown, request: object): Promise<T> {
    const given = options(callOptions, "options", CALL_KEYS) as CallOptions;
    const { core, signal } = this.binding;
    const text = members(request);
    return core.client.run(op, limitsOf(given, signal), async (scope) => (await core.client.call<T>(op, text, scope)).value);
  }

  /**
   * Lets calls that are under way finish (an `addMany` whose source is not an array ends with `ERR_CLOSED` after the documents that it
   * has begun to store), ends work in the background and closes the files. May be called again; calls after it are `ERR_CLOSED`. The memory of a task's context belongs to its master: closing it does nothing.
   */
  async close(): Promise<void> {
    if (this.binding.owner) {
      await this.binding.core.client.close();
    }
  }

  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal The same memory, whose calls end with `signal`, and which cannot be closed. */
  boundTo(signal: AbortSignal): Memory<M> {
    const { core, collection, schema } = this.binding;
    return new Memory(new Binding(core, collection, schema, signal, false) as unknown as MemoryOptions<M>);
  }
}

/** Whether a value is a memory, for options that take one. */
export function isMemory(value: unknown): value is Memory {
  return value instanceof Memory;
}

/** A memory as an option. */
export function memoryOption(value: unknown, field: string): Memory {
  if (!isMemory(value)) {
    throw invalid(field, `must be a Memory, not ${show(value)}`);
  }
  if (value.closed) {
    throw new MasterAgentError("ERR_CLOSED", `${field} is closed; make a new Memory`, { details: { field } });
  }
  return value;
}
