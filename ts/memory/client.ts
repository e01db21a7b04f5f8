/**
 * The other end of the native memory: request numbers, errors, events, and the order of closing. It knows neither what an
 * operation means nor its defaults.
 */
import { closedError, Failure, MasterAgentError, type NativeError } from "../errors";
import { type NativeMemory, type NativeMemoryOptions, openMemory } from "../native";
import { type Limits, type Scope, within } from "./scope";
import type { DownloadProgress, Progress } from "./types";

/** A reply: its JSON value, and vectors one after the other. */
export interface Reply<T> {
  readonly value: T;
  readonly vectors: Float32Array | undefined;
}

type NativeEvent =
  | { event: "download"; file: string; done: number; total: number | null }
  | { event: "progress"; request: number; done: number; total: number | null }
  | { event: "maintenance" };

/** What a memory that is read only does not do. */
const WRITES: ReadonlySet<string> = new Set([
  "add",
  "update",
  "delete",
  "drop",
  "optimize",
  "reindex",
  "reindexRead",
  "reindexWrite",
  "import",
  "sweep",
]);

/** How a call is made. */
export interface CallSettings {
  vectors?: Float32Array | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** One native memory, opened at its first use. */
export class MemoryClient {
  readonly options: NativeMemoryOptions;
  /** Told about models that are fetched. */
  onDownload: ((progress: DownloadProgress) => void) | undefined;

  #native: NativeMemory | undefined;
  #nextRequest = 1;
  readonly #progress = new Map<number, (progress: Progress) => void>();
  #held = 0;
  #onIdle: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: NativeMemoryOptions) {
    this.options = options;
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** Does the work of a public call within its limits. Closing waits for it, and lets it make all its calls. */
  async run<T>(what: string, limits: Limits, work: (scope: Scope) => Promise<T>): Promise<T> {
    this.#mustBeOpen();
    this.#held += 1;
    try {
      return await within(what, limits, (scope) => {
        scope.held = true;
        return work(scope);
      });
    } finally {
      this.#held -= 1;
      if (this.#held === 0) {
        this.#onIdle?.();
      }
    }
  }

  /** The same for work that may go on for as long as its source does: closing cuts it off at its next call. */
  async runLoose<T>(what: string, limits: Limits, work: (scope: Scope) => Promise<T>): Promise<T> {
    this.#mustBeOpen();
    return within(what, limits, work);
  }

  #mustBeOpen(): void {
    if (this.#closing !== undefined) {
      throw closedError("This memory");
    }
  }

  /**
   * Makes one call. `members` is the JSON of the request's members, without braces.
   *
   * @throws {@link MasterAgentError} what the engine answers; nothing if `scope` ended first, whose error the caller has by then.
   */
  async call<T>(op: string, members: string, scope: Scope, settings: CallSettings = {}): Promise<Reply<T>> {
    scope.check();
    if (!scope.held) {
      this.#mustBeOpen();
    }
    if (this.options.readOnly === true && WRITES.has(op)) {
      const { folder } = this.options;
      const message = `${folder}: this memory was opened with readOnly: true, which leaves out ${op}`;
      throw new MasterAgentError("ERR_STORE_READ_ONLY", message, { details: { path: folder } });
    }
    const native = this.#open();
    const { vectors, onProgress } = settings;
    let number = 0;
    let head = `{"op":"${op}"`;
    if (scope.endable || onProgress !== undefined) {
      number = this.#nextRequest++;
      head += `,"request":${number}`;
    }
    if (onProgress !== undefined) {
      this.#progress.set(number, onProgress);
    }
    const unlisten = scope.endable ? scope.onEnd(() => this.#cancel(native, number)) : undefined;
    try {
      const reply = await native.call(members === "" ? `${head}}` : `${head},${members}}`, vectors);
      if (typeof reply.error === "string") {
        throw new Failure(JSON.parse(reply.error) as NativeError).toError();
      }
      return { value: JSON.parse(reply.value ?? "null") as T, vectors: reply.vectors ?? undefined };
    } catch (error) {
      throw error instanceof MasterAgentError ? error : unexpected(error);
    } finally {
      unlisten?.();
      this.#progress.delete(number);
    }
  }

  #cancel(native: NativeMemory, request: number): void {
    // Nobody waits for it; it may have ended meanwhile.
    native.call(JSON.stringify({ op: "cancel", target: request })).catch(() => undefined);
  }

  #open(): NativeMemory {
    if (this.#native === undefined) {
      // The addon holds the callback, and the client the addon: held weakly, both can be collected.
      const self = new WeakRef(this);
      this.#native = openMemory(JSON.stringify(this.options), (text) => self.deref()?.event(text));
    }
    return this.#native;
  }

  /** @internal An event of the engine, as JSON. */
  event(text: string): void {
    const event = JSON.parse(text) as NativeEvent;
    if (event.event === "download") {
      this.onDownload?.({ file: event.file, done: event.done, total: event.total ?? undefined });
    } else if (event.event === "progress") {
      this.#progress.get(event.request)?.({ done: event.done, total: event.total ?? undefined });
    }
  }

  /** Lets pending calls finish and closes the files. Calls after it are `ERR_CLOSED`. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#held > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    await this.#native?.close();
  }
}

function unexpected(cause: unknown): MasterAgentError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new MasterAgentError("ERR_INTERNAL", message, { cause });
}

/** The members of an object as JSON, for {@link MemoryClient.call}. Members that are `undefined` are left out. */
export function members(object: object): string {
  return JSON.stringify(object).slice(1, -1);
}
