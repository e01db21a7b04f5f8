/** Typed events of a `MasterAgent`: listeners, and the queue behind `for await`. */
import { EventEmitter } from "node:events";
import { invalid } from "./errors";
import { abortSignal, integer, options, show } from "./options";
import type { MasterAgentEvents, TaskEvent, TaskEvents } from "./types";

const EVENTS: ReadonlySet<string> = new Set<keyof MasterAgentEvents>([
  "task:started",
  "task:progress",
  "task:completed",
  "task:failed",
  "task:retrying",
  "health",
]);

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

/** Who listens, and whether the engine needs to send. */
export class EventHub {
  readonly #emitter = new EventEmitter();
  readonly #streams = new Set<Stream>();
  readonly #wanted: (on: boolean) => void;
  #count = 0;

  /** `wanted` is called when the first one begins to listen to tasks, and when the last one ends. */
  constructor(wanted: (on: boolean) => void) {
    this.#wanted = wanted;
  }

  on(event: unknown, listener: unknown, once: boolean): void {
    const [name, callback] = this.#checked(event, listener);
    if (once) {
      const wrapper = (value: unknown): void => {
        this.off(name, callback);
        callback(value);
      };
      wrapper.listener = callback;
      this.#emitter.on(name, wrapper);
    } else {
      this.#emitter.on(name, callback);
    }
    if (name !== "health") {
      this.#change(1);
    }
  }

  off(event: unknown, listener: unknown): void {
    const [name, callback] = this.#checked(event, listener);
    const before = this.#emitter.listenerCount(name);
    this.#emitter.off(name, callback);
    if (name !== "health" && this.#emitter.listenerCount(name) < before) {
      this.#change(-1);
    }
  }

  #checked(event: unknown, listener: unknown): [string, (value: unknown) => void] {
    if (typeof event !== "string" || !EVENTS.has(event)) {
      throw invalid("event", `must be one of ${[...EVENTS].join(", ")}, not ${show(event)}`);
    }
    if (typeof listener !== "function") {
      throw invalid("listener", `must be a function, not ${show(listener)}`);
    }
    return [event, listener as (value: unknown) => void];
  }

  #change(by: 1 | -1): void {
    this.#count += by;
    if (this.#count === (by === 1 ? 1 : 0)) {
      this.#wanted(by === 1);
    }
  }

  /** Whether anyone listens to tasks. */
  get listening(): boolean {
    return this.#count > 0;
  }

  emit<K extends keyof MasterAgentEvents>(event: K, value: MasterAgentEvents[K]): void {
    if (event !== "health") {
      for (const stream of this.#streams) {
        stream.push(Object.assign({ type: event }, value as TaskEvents[keyof TaskEvents]) as TaskEvent);
      }
    }
    for (const listener of this.#emitter.rawListeners(event)) {
      try {
        listener(value);
      } catch (error) {
        // As with any emitter: an uncaught exception, but one that the other listeners do not suffer from.
        process.nextTick(rethrow, error);
      }
    }
  }

  stream(streamOptions: unknown, hold: () => void, release: () => void): TaskEventStream {
    const { signal, buffer } = options(streamOptions, "options", STREAM_KEYS);
    const stream = new Stream(
      buffer === undefined ? 10_000 : integer(buffer, "options.buffer", 1, 1_000_000),
      signal === undefined ? undefined : abortSignal(signal, "options.signal"),
      hold,
      release,
      () => {
        if (this.#streams.delete(stream)) {
          this.#change(-1);
        }
      },
    );
    if (!stream.ended) {
      this.#streams.add(stream);
      this.#change(1);
    }
    return stream;
  }

  /** Ends all streams. */
  close(): void {
    for (const stream of [...this.#streams]) {
      stream.end();
    }
  }
}

const STREAM_KEYS: ReadonlySet<keyof EventStreamOptions> = new Set<keyof EventStreamOptions>(["signal", "buffer"]);

class Stream implements TaskEventStream {
  dropped = 0;
  ended = false;
  readonly #size: number;
  readonly #hold: () => void;
  readonly #release: () => void;
  readonly #onEnd: () => void;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = (): void => this.end();
  #events: TaskEvent[] = [];
  #head = 0;
  readonly #readers: ((result: IteratorResult<TaskEvent, undefined>) => void)[] = [];

  constructor(size: number, signal: AbortSignal | undefined, hold: () => void, release: () => void, onEnd: () => void) {
    this.#size = size;
    this.#hold = hold;
    this.#release = release;
    this.#onEnd = onEnd;
    this.#signal = signal;
    if (signal?.aborted === true) {
      this.ended = true;
    } else {
      signal?.addEventListener("abort", this.#abort, { once: true });
    }
  }

  push(event: TaskEvent): void {
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      this.#release();
      reader({ done: false, value: event });
      return;
    }
    if (this.#events.length - this.#head === this.#size) {
      this.#head += 1;
      this.dropped += 1;
    }
    this.#events.push(event);
    if (this.#head > this.#size) {
      this.#events = this.#events.slice(this.#head);
      this.#head = 0;
    }
  }

  next(): Promise<IteratorResult<TaskEvent, undefined>> {
    const event = this.#events[this.#head];
    if (event !== undefined) {
      this.#head += 1;
      if (this.#head === this.#events.length) {
        this.#events = [];
        this.#head = 0;
      }
      return Promise.resolve({ done: false, value: event });
    }
    if (this.ended) {
      return Promise.resolve({ done: true, value: undefined });
    }
    this.#hold();
    return new Promise((resolve) => this.#readers.push(resolve));
  }

  end(): void {
    if (this.ended) {
      return;
    }
    this.ended = true;
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#onEnd();
    for (const reader of this.#readers.splice(0)) {
      this.#release();
      reader({ done: true, value: undefined });
    }
  }

  return(): Promise<IteratorResult<TaskEvent, undefined>> {
    this.end();
    this.#events = [];
    this.#head = 0;
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

function rethrow(error: unknown): never {
  throw error;
}
