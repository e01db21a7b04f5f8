/** How long a call may take: its signal, its timeout, and the signal of the task that it is part of. */
import { MasterAgentError } from "../errors";
import { abortSignal, time } from "../options";
import type { CallOptions } from "./types";

/** What a timer of Node can wait: 24.8 days. */
const MAX_TIMER = 2 ** 31 - 1;

/** `timeout` and `signal`, checked. */
export interface Limits {
  readonly timeout: number | undefined;
  readonly signals: readonly AbortSignal[];
}

/** The limits of a call, from its options and what its memory is bound to. */
export function limitsOf(given: CallOptions, bound: AbortSignal | undefined, field = "options"): Limits {
  const { timeout, signal } = given;
  const signals = signal === undefined ? [] : [abortSignal(signal, `${field}.signal`)];
  if (bound !== undefined && bound !== signal) {
    signals.push(bound);
  }
  return { timeout: timeout === undefined ? undefined : time(timeout, `${field}.timeout`, 1, MAX_TIMER), signals };
}

/** One call while it runs. */
export class Scope {
  #error: MasterAgentError | undefined;
  #listeners: Set<() => void> | undefined;
  #controller: AbortController | undefined;

  /** Whether the call can end early. */
  readonly endable: boolean;
  /** Whether closing the memory waits for the call. */
  held = false;

  constructor(endable: boolean) {
    this.endable = endable;
  }

  /** For functions of the user. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#error !== undefined) {
        this.#controller.abort(this.#error);
      }
    }
    return this.#controller.signal;
  }

  /** Throws if nobody waits any more: what is left need not be done. */
  check(): void {
    if (this.#error !== undefined) {
      throw this.#error;
    }
  }

  /** Calls `listener` when the call ends early; returns what takes that back. */
  onEnd(listener: () => void): () => void {
    this.#listeners ??= new Set();
    const listeners = this.#listeners;
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }

  /** Ends the call early. */
  end(error: MasterAgentError): void {
    this.#error = error;
    this.#controller?.abort(error);
    for (const listener of this.#listeners ?? []) {
      listener();
    }
  }
}

/** Does work within limits; see {@link within}. */
export type Run = <T>(what: string, limits: Limits, work: (scope: Scope) => Promise<T>) => Promise<T>;

/** Does `work` within the limits. When they end it, this rejects at once, and `work` finds out by its scope. */
export async function within<T>(what: string, limits: Limits, work: (scope: Scope) => Promise<T>): Promise<T> {
  const { timeout, signals } = limits;
  if (timeout === undefined && signals.length === 0) {
    return work(new Scope(false));
  }
  for (const signal of signals) {
    if (signal.aborted) {
      throw aborted(what, signal);
    }
  }
  const scope = new Scope(true);
  let timer: NodeJS.Timeout | undefined;
  const listeners: [AbortSignal, () => void][] = [];
  const early = new Promise<never>((_, reject) => {
    const end = (error: MasterAgentError): void => {
      scope.end(error);
      reject(error);
    };
    if (timeout !== undefined) {
      timer = setTimeout(() => {
        const text = `${what} did not end within ${timeout} ms; the wait is over`;
        end(new MasterAgentError("ERR_WAIT_TIMEOUT", text, { details: { timeout } }));
      }, timeout);
    }
    for (const signal of signals) {
      const listener = (): void => end(aborted(what, signal));
      signal.addEventListener("abort", listener, { once: true });
      listeners.push([signal, listener]);
    }
  });
  try {
    // A later rejection of the one that lost the race counts as handled.
    return await Promise.race([work(scope), early]);
  } finally {
    clearTimeout(timer);
    for (const [signal, listener] of listeners) {
      signal.removeEventListener("abort", listener);
    }
  }
}

function aborted(what: string, signal: AbortSignal): MasterAgentError {
  return new MasterAgentError("ERR_WAIT_ABORTED", `${what} was aborted by its signal`, { cause: signal.reason });
}
