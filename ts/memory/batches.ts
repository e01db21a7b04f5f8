/** Documents on their way in: batches that are bounded, two of them under way, in an order that the last one wins. */
import { MasterAgentError } from "../errors";

/** The most documents of one call of the engine. They are written together. */
export const BATCH_DOCUMENTS = 256;
/** The characters after which a batch goes out. */
export const BATCH_CHARS = 1 << 22;
/** Batches under way: one is embedded while the one before is written. */
const UNDER_WAY = 2;

/** Something to add, with what tells it from others. */
export interface Item {
  readonly id: string | undefined;
  readonly text: string;
}

/** One batch, before it is sent. */
export class Batch<T extends Item> {
  readonly items: T[] = [];
  readonly #marks = new Set<string>();
  #chars = 0;

  /** Adds an item and says whether the batch is full. `weight` is in characters. */
  add(item: T, weight: number, byText: boolean): boolean {
    this.items.push(item);
    if (item.id !== undefined) {
      this.#marks.add(`i${item.id}`);
    }
    if (byText) {
      this.#marks.add(`t${item.text}`);
    }
    this.#chars += weight;
    return this.items.length === BATCH_DOCUMENTS || this.#chars >= BATCH_CHARS;
  }

  /** Whether both have something to do with the same document: then one must wait for the other. */
  meets(other: Batch<T>): boolean {
    const [few, many] = this.#marks.size < other.#marks.size ? [this.#marks, other.#marks] : [other.#marks, this.#marks];
    for (const mark of few) {
      if (many.has(mark)) {
        return true;
      }
    }
    return false;
  }
}

type Outcome<R> = { readonly value: R[] } | { readonly error: unknown };

/** Sends batches, a few at once, and gathers the answers in their order. */
export class Pipeline<T extends Item, R> {
  readonly #send: (items: T[]) => Promise<R[]>;
  readonly #onDone: (done: number) => void;
  readonly #open: { batch: Batch<T>; outcome: Promise<Outcome<R>> }[] = [];
  readonly #results: R[] = [];
  #added = 0;

  constructor(send: (items: T[]) => Promise<R[]>, onDone: (done: number) => void) {
    this.#send = send;
    this.#onDone = onDone;
  }

  /** Sends a batch once there is place for it. */
  async push(batch: Batch<T>): Promise<void> {
    while (this.#open.length >= UNDER_WAY || this.#open.some((other) => other.batch.meets(batch))) {
      await this.#settle();
    }
    const outcome = this.#send(batch.items).then(
      (value): Outcome<R> => {
        this.#added += value.length;
        this.#onDone(this.#added);
        return { value };
      },
      (error: unknown): Outcome<R> => ({ error }),
    );
    this.#open.push({ batch, outcome });
  }

  /** Waits for the oldest batch. */
  async #settle(): Promise<void> {
    const outcome = await this.#open[0]?.outcome;
    if (outcome !== undefined && "error" in outcome) {
      return this.fail(outcome.error);
    }
    this.#open.shift();
    for (const result of outcome?.value ?? []) {
      this.#results.push(result);
    }
  }

  /** Waits for all of them. */
  async end(): Promise<R[]> {
    while (this.#open.length > 0) {
      await this.#settle();
    }
    return this.#results;
  }

  /** Waits until nothing is under way, and throws `error` with the number of documents that are in nevertheless. */
  async fail(error: unknown): Promise<never> {
    await Promise.all(this.#open.map(({ outcome }) => outcome));
    if (error instanceof MasterAgentError && this.#added > 0) {
      throw new MasterAgentError(error.code, `${error.message} (${this.#added} documents were added all the same)`, {
        details: { ...error.details, added: this.#added },
        retryable: error.retryable,
        ...(error.cause === undefined ? {} : { cause: error.cause }),
      });
    }
    throw error;
  }
}
