/**
 * The hot path over one native session: request numbers, promises, one native call per tick, and what keeps the
 * process alive. It knows no policy: what a job may contain is `options.ts`, who runs it is `worker.ts`.
 *
 * Promises made here resolve with a {@link Failure} instead of rejecting, so that the public method that awaits one
 * makes the Error where the user's stack is.
 */

import { AsyncResource } from "node:async_hooks";
import type { StoreConfig } from "./config";
import { Failure, MasterAgentError, type NativeError } from "./errors";
import { Lookout, Sent } from "./lookout";
import { type ClaimedJob, type EndedJob, type Message, type NativeEvent, openSession, type Session } from "./native";

/** Submits joined into one native call. Larger ones do not get cheaper, and the engine can begin earlier. */
const SUBMIT_JOBS = 64;
/** The characters after which a call is made at once, so that large inputs do not pile up. */
const SUBMIT_CHARS = 1 << 18;
/** With more handlers than these at work, the next outcome is near. */
const FEW = 32;
/** How many jobs of one bulk call are added atomically. */
export const BULK_JOBS = 10_000;
const BULK_CHARS = 1 << 25;

type Resolve = (value: unknown) => void;

/** The answer to one job of a submit: its public id, marked where it was there before. */
export interface ExistingJob {
  readonly existing: string;
}
export type SubmitReply = string | ExistingJob | Failure;

/** Told about what the engine sends unasked. */
export interface WorkerPort {
  run(jobs: ClaimedJob[]): void;
  taken(handle: number, error: NativeError): void;
}

/** Several waits that are answered together. */
class WaitGroup {
  readonly replies: unknown[];
  readonly requests: number[] = [];
  open: number;
  resolve!: Resolve;
  timer: NodeJS.Timeout | undefined;
  signal: AbortSignal | undefined;

  constructor(count: number) {
    this.replies = new Array(count);
    this.open = count;
  }
}

/** One wait of a group. */
class Wait {
  constructor(
    readonly group: WaitGroup,
    readonly index: number,
  ) {}
}

let capturedResolve: Resolve = () => {};
/** The one executor of all promises here: saves a closure for each. Read `capturedResolve` right after. */
const capture = (resolve: Resolve): void => {
  capturedResolve = resolve;
};

/** Handlers and listeners are called in no caller's asynchronous context, whoever comes to drain. */
const nowhere = new AsyncResource("MasterAgent");

/** Open connections of this environment, for its end. */
const live = new Set<Connection>();
let exitHooked = false;

function shutdownAll(): void {
  for (const connection of live) {
    connection.shutdown(true);
  }
}

/** The loop is empty: what was spawned may have been claimed for this process already, and be on its way. */
function syncAll(): void {
  for (const connection of live) {
    connection.sync();
  }
}

/** Milliseconds that closing has, beside the time for handlers, to tell the store what ended and what is given back. */
const CLOSE_GRACE = 1_000;

/** One session of the addon, opened at its first use. */
export class Connection {
  readonly config: StoreConfig;
  /** What runs jobs, while a worker is started here. */
  worker: WorkerPort | undefined;
  /** Who listens to events. */
  onEvents: ((events: NativeEvent[]) => void) | undefined;
  /** Who wants to know whether the store works. */
  onHealth: ((error: Failure | null) => void) | undefined;

  #session: Session | undefined;
  #nextRequest = 1;
  /** Submits of single jobs: the promises of one call. */
  readonly #submits = new Map<number, Resolve[]>();
  /** Bulk submits and requests. */
  readonly #requests = new Map<number, Resolve>();
  readonly #waits = new Map<number, Wait>();

  readonly #signals = new Map<AbortSignal, { groups: Set<WaitGroup>; onAbort: () => void }>();

  #submitText = "";
  #submitResolves: Resolve[] = [];
  #settleText = "";
  #settleCount = 0;
  /** Whether other handlers ran when the last of them came. */
  #othersRun = false;
  #flushQueued = false;
  /** Jobs were added or ended since the last `sync`. */
  #stirred = false;
  readonly #flush: () => void;
  readonly #lookout: Lookout;

  #holds = 0;
  /** A timer that does nothing but keep the process alive while something is awaited. */
  #keepAlive: NodeJS.Timeout | undefined;
  #pulse: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;
  #closed = false;

  constructor(config: StoreConfig) {
    this.config = config;
    this.#flush = () => this.flush();
    this.#lookout = new Lookout(
      () => this.#session?.look() ?? true,
      nowhere.bind(() => this.#drain()),
    );
  }

  /** Whether `close` was called. */
  get closing(): boolean {
    return this.#closing !== undefined;
  }

  /** Whether something is awaited. */
  get busy(): boolean {
    return this.#holds > 0;
  }

  /** Keeps the process alive until `release` was called as often. */
  hold(): void {
    if (this.#holds++ === 0) {
      if (this.#keepAlive === undefined) {
        this.#keepAlive = setInterval(noop, 2 ** 30);
      } else {
        this.#keepAlive.ref();
      }
    }
  }

  release(): void {
    if (--this.#holds === 0) {
      this.#keepAlive?.unref();
    }
  }

  /** Lets the process wait for what the worker has claimed and for the news of what ended, if there was any of it. */
  sync(): void {
    if (this.worker !== undefined && this.#session !== undefined && this.#closing === undefined && this.#stirred) {
      this.#stirred = false;
      void this.request('{"op":"sync"}');
    }
  }

  /** Adds one job. Jobs of one tick are added together. */
  submit(job: string): Promise<SubmitReply> {
    if (this.#session === undefined || this.#closing !== undefined) {
      this.#open();
    }
    const promise = new Promise<unknown>(capture) as Promise<SubmitReply>;
    const resolves = this.#submitResolves;
    this.#submitText += resolves.length === 0 ? job : `,${job}`;
    resolves.push(capturedResolve);
    this.hold();
    if (resolves.length === SUBMIT_JOBS || this.#submitText.length > SUBMIT_CHARS) {
      this.#flushSubmits();
    } else if (!this.#flushQueued) {
      this.#queueFlush();
    }
    return promise;
  }

  /** Adds many jobs, up to {@link BULK_JOBS} of them atomically; a failure says how many were added before it. */
  async submitAll(jobs: readonly string[]): Promise<(string | ExistingJob)[] | Failure> {
    const ids: (string | ExistingJob)[] = [];
    let start = 0;
    while (start < jobs.length) {
      let end = start;
      let chars = 0;
      while (end < jobs.length && end - start < BULK_JOBS && chars < BULK_CHARS) {
        chars += jobs[end]?.length ?? 0;
        end += 1;
      }
      const reply = await this.#submitBulk(`[${jobs.slice(start, end).join(",")}]`);
      if (reply instanceof Failure) {
        return ids.length === 0 ? reply : new Failure({ ...reply, details: { ...reply.details, added: ids.length } });
      }
      for (const id of reply) {
        ids.push(id);
      }
      start = end;
    }
    return ids;
  }

  #submitBulk(text: string): Promise<(string | ExistingJob)[] | Failure> {
    const session = this.#open();
    // What was spawned before goes before.
    this.#flushSubmits();
    const request = this.#nextRequest++;
    const promise = new Promise<unknown>(capture);
    this.#requests.set(request, capturedResolve);
    this.#stirred = true;
    this.#lookout.sentAmongOthers();
    this.hold();
    try {
      session.submit(request, text);
    } catch (error) {
      this.#answer(request, nativeFailure(error));
    }
    return promise as Promise<(string | ExistingJob)[] | Failure>;
  }

  /** Asks the engine for something; `body` is JSON. With `held` the process stays until the answer. */
  request(body: string, held = true): Promise<unknown> {
    const session = this.#open();
    this.#flushSubmits();
    return this.#request(session, body, held);
  }

  /** The same for a running handler, which may still speak while the connection closes. */
  note(body: string): Promise<unknown> {
    return this.#request(this.#session ?? this.#open(), body, true);
  }

  #request(session: Session, body: string, held: boolean): Promise<unknown> {
    const request = this.#nextRequest++;
    const promise = new Promise<unknown>(capture);
    const resolve = capturedResolve;
    if (held) {
      this.hold();
      this.#requests.set(request, resolve);
    } else {
      this.#requests.set(request, (value) => {
        // Every answer releases once.
        this.hold();
        resolve(value);
      });
    }
    this.#sent(Sent.Request, true);
    try {
      session.request(request, body);
    } catch (error) {
      this.#answer(request, nativeFailure(error));
    }
    return promise;
  }

  /**
   * Waits for the ends of jobs: an answer for each, in order, or the first failure.
   *
   * @param timeout milliseconds, above 0; `undefined` is no limit.
   */
  wait(ids: readonly string[], timeout: number | undefined, signal: AbortSignal | undefined): Promise<EndedJob[] | Failure> {
    const session = this.#open();
    this.#flushSubmits();
    const group = new WaitGroup(ids.length);
    const promise = new Promise<unknown>(capture) as Promise<EndedJob[] | Failure>;
    group.resolve = capturedResolve;
    if (ids.length === 0) {
      group.resolve([]);
      return promise;
    }
    this.hold();
    if (signal !== undefined) {
      if (signal.aborted) {
        this.#endGroup(group, aborted(signal));
        return promise;
      }
      group.signal = signal;
      this.#listen(signal, group);
    }
    if (timeout !== undefined) {
      group.timer = setTimeout(endTimedOut, timeout, this, group, timeout);
    }
    this.#sent(Sent.Wait, ids.length === 1 && this.#waits.size === 0);
    for (let index = 0; index < ids.length; index++) {
      const request = this.#nextRequest++;
      group.requests.push(request);
      this.#waits.set(request, new Wait(group, index));
      try {
        session.wait(request, ids[index] as string);
      } catch (error) {
        this.#answerWait(request, nativeFailure(error));
        break;
      }
    }
    return promise;
  }

  /** Many waits may share a signal: it gets one listener for all of them. */
  #listen(signal: AbortSignal, group: WaitGroup): void {
    const present = this.#signals.get(signal);
    if (present !== undefined) {
      present.groups.add(group);
      return;
    }
    const groups = new Set([group]);
    const onAbort = (): void => {
      for (const one of groups) {
        this.#endGroup(one, aborted(signal));
      }
    };
    this.#signals.set(signal, { groups, onAbort });
    signal.addEventListener("abort", onAbort, { once: true });
  }

  #unlisten(signal: AbortSignal, group: WaitGroup): void {
    const present = this.#signals.get(signal);
    if (present?.groups.delete(group) && present.groups.size === 0) {
      this.#signals.delete(signal);
      signal.removeEventListener("abort", present.onAbort);
    }
  }

  /** @internal */
  timedOut(group: unknown, timeout: number): void {
    const waiting = group as WaitGroup;
    const open = waiting.replies.length === 1 ? "The task has" : `${waiting.open} of ${waiting.replies.length} tasks have`;
    this.#endGroup(
      waiting,
      new Failure({
        code: "ERR_WAIT_TIMEOUT",
        message: `${open} not ended within ${timeout} ms; the wait is over`,
      }),
    );
  }

  /** Answers a group and forgets its open waits. */
  #endGroup(group: WaitGroup, outcome: unknown): void {
    if (group.timer !== undefined) {
      clearTimeout(group.timer);
    }
    if (group.signal !== undefined) {
      this.#unlisten(group.signal, group);
    }
    if (group.open > 0) {
      for (const request of group.requests) {
        if (this.#waits.delete(request)) {
          this.#session?.forget(request);
        }
      }
    }
    group.resolve(outcome);
    this.release();
  }

  #answerWait(request: number, reply: EndedJob | Failure): void {
    const wait = this.#waits.get(request);
    if (wait === undefined) {
      return;
    }
    this.#waits.delete(request);
    const { group, index } = wait;
    if (reply instanceof Failure) {
      this.#endGroup(group, reply);
      return;
    }
    group.replies[index] = reply;
    if (--group.open === 0) {
      this.#endGroup(group, group.replies);
    }
  }

  /**
   * Gives outcomes back: `text` is `handle,1,output` or `handle,0,error,final`. They go out when `most` are there, else with the tick, or,
   * where many `others` run, with the turn of the event loop: timers that end together are a tick each.
   */
  settle(text: string, most: number, others: number): void {
    this.#settleText += this.#settleCount === 0 ? `[${text}]` : `,[${text}]`;
    this.#othersRun = others > 0;
    if (++this.#settleCount >= most) {
      this.#flushSettles();
    } else if (!this.#flushQueued) {
      this.#queueFlush(others > FEW);
    }
  }

  #queueFlush(more = false): void {
    this.#flushQueued = true;
    if (more) {
      setImmediate(this.#flush);
    } else {
      process.nextTick(this.#flush);
    }
  }

  /** Sends what was collected. */
  flush(): void {
    this.#flushQueued = false;
    if (this.#settleCount > 0) {
      this.#flushSettles();
    }
    if (this.#submitResolves.length > 0) {
      this.#flushSubmits();
    }
  }

  /** Something is sent; `alone`, if nothing else is of its kind. */
  #sent(kind: Sent, alone: boolean): void {
    if (alone && this.#submits.size + this.#requests.size <= 1) {
      this.#lookout.sent(kind);
    } else {
      this.#lookout.sentAmongOthers();
    }
  }

  #flushSettles(): void {
    this.#sent(Sent.Settle, !this.#othersRun && this.#settleCount === 1);
    const text = `[${this.#settleText}]`;
    this.#stirred = true;
    this.#settleText = "";
    this.#settleCount = 0;
    this.#session?.settle(text);
  }

  #flushSubmits(): void {
    const resolves = this.#submitResolves;
    if (resolves.length === 0) {
      return;
    }
    const text = `[${this.#submitText}]`;
    this.#submitText = "";
    this.#submitResolves = [];
    const request = this.#nextRequest++;
    this.#stirred = true;
    this.#submits.set(request, resolves);
    this.#sent(Sent.Submit, resolves.length === 1);
    try {
      (this.#session as Session).submit(request, text);
    } catch (error) {
      this.#answerSubmits(request, nativeFailure(error));
    }
  }

  #answerSubmits(request: number, failure: Failure): void {
    const resolves = this.#submits.get(request);
    if (resolves === undefined) {
      this.#answer(request, failure);
      return;
    }
    this.#submits.delete(request);
    for (const resolve of resolves) {
      resolve(failure);
      this.release();
    }
  }

  #answer(request: number, value: unknown): void {
    const resolve = this.#requests.get(request);
    if (resolve !== undefined) {
      this.#requests.delete(request);
      resolve(value);
      this.release();
    }
  }

  /** The session, which is opened if it is not yet. */
  #open(): Session {
    if (this.#closing !== undefined) {
      throw new MasterAgentError("ERR_CLOSED", "The connection is closed; make a new MasterAgent or TaskQueue to go on");
    }
    if (this.#session === undefined) {
      try {
        this.#session = nowhere.runInAsyncScope(openSession, undefined, this.config, () => this.#drain());
      } catch (error) {
        throw error instanceof MasterAgentError ? error : nativeFailure(error).toError();
      }
      live.add(this);
      if (!exitHooked) {
        exitHooked = true;
        process.on("exit", shutdownAll);
        process.on("beforeExit", syncAll);
      }
    }
    return this.#session;
  }

  #drain(): void {
    const text = this.#session?.drain();
    if (!text) {
      return;
    }
    this.#lookout.came();
    const messages = JSON.parse(text) as Message[];
    for (const message of messages) {
      try {
        this.#dispatch(message);
      } catch (error) {
        // A listener of the user threw: that is an uncaught exception, and no reason to lose the other messages.
        process.nextTick(rethrow, error);
      }
    }
  }

  #dispatch(message: Message): void {
    switch (message[0]) {
      case 4:
        this.worker?.run(message[1]);
        break;
      case 1: {
        const [, request, first, count] = message;
        const resolves = this.#submits.get(request);
        if (resolves === undefined) {
          this.#answer(
            request,
            Array.from({ length: count }, (_, index) => String(first + index)),
          );
          break;
        }
        this.#submits.delete(request);
        for (let index = 0; index < resolves.length; index++) {
          (resolves[index] as Resolve)(String(first + index));
          this.release();
        }
        break;
      }
      case 6:
        this.#answerWait(message[1], message[2]);
        break;
      case 2: {
        const [, request, jobs] = message;
        const replies = jobs.map(([id, existing]) => (existing ? { existing: String(id) } : String(id)));
        const resolves = this.#submits.get(request);
        if (resolves === undefined) {
          this.#answer(request, replies);
          break;
        }
        this.#submits.delete(request);
        for (let index = 0; index < resolves.length; index++) {
          (resolves[index] as Resolve)(replies[index]);
          this.release();
        }
        break;
      }
      case 0:
        this.#answer(message[1], message[2] === null ? message[3] : new Failure(message[2]));
        break;
      case 3:
        this.#answerSubmits(message[1], new Failure(message[2]));
        break;
      case 5:
        this.worker?.taken(message[1], message[2]);
        break;
      case 7:
        this.#answerWait(message[1], new Failure(message[2]));
        break;
      case 8:
        this.onEvents?.(message[1]);
        break;
      case 9:
        this.onHealth?.(message[1] === null ? null : new Failure(message[1]));
        break;
      case 10:
        process.emitWarning(message[1], { type: "MasterAgentWarning" });
        break;
    }
  }

  /** Tells the engine every `interval` milliseconds that the event loop lives; `undefined` ends that. */
  pulse(interval: number | undefined): void {
    clearInterval(this.#pulse);
    this.#pulse = undefined;
    if (interval !== undefined) {
      this.#pulse = setInterval(() => this.#session?.alive(), interval);
      this.#pulse.unref();
    }
  }

  /**
   * Waits up to `timeout` milliseconds for running handlers, answers every open wait with `ERR_CLOSED`, and lets go of the session, at most
   * a second later whatever becomes of the store.
   */
  close(timeout: number): Promise<void> {
    this.#closing ??= this.#close(timeout);
    return this.#closing;
  }

  async #close(timeout: number): Promise<void> {
    const session = this.#session;
    if (session !== undefined) {
      this.flush();
      // The answer comes after the handlers' ends. Should it not, the session is torn down all the same.
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<false>((resolve) => {
        timer = setTimeout(resolve, Math.min(timeout + CLOSE_GRACE, 2 ** 31 - 1), false);
      });
      const answer = this.#request(session, `{"op":"close","timeout":${timeout}}`, true);
      const outcome = await Promise.race([answer, late]);
      clearTimeout(timer);
      // A store that did not answer in time is not waited for once more.
      this.shutdown(outcome !== false);
    }
    this.#closed = true;
    clearInterval(this.#keepAlive);
  }

  /** Gives back what this session holds, and answers all that is open with `ERR_CLOSED`. With `wait` the thread stands until the store knows. */
  shutdown(wait: boolean): void {
    const session = this.#session;
    if (session === undefined || this.#closed) {
      return;
    }
    this.#closed = true;
    live.delete(this);
    this.pulse(undefined);
    this.flush();
    this.#closing ??= Promise.resolve();
    session.shutdown(wait);
    const failure = new Failure({ code: "ERR_CLOSED", message: "The connection was closed before the answer came" });
    for (const request of [...this.#submits.keys()]) {
      this.#answerSubmits(request, failure);
    }
    for (const request of [...this.#requests.keys()]) {
      this.#answer(request, failure);
    }
    for (const request of [...this.#waits.keys()]) {
      this.#answerWait(request, failure);
    }
    this.#session = undefined;
    this.worker = undefined;
  }
}

const orphans = new FinalizationRegistry<Connection>(abandon);

function abandon(connection: Connection): void {
  if (connection.busy) {
    setTimeout(abandon, 1_000, connection).unref();
  } else {
    void connection.close(0);
  }
}

/** Closes the connection when its owner is collected without having been closed. The connection must not refer to the owner. */
export function closeWith(owner: object, connection: Connection): void {
  orphans.register(owner, connection);
}

function endTimedOut(connection: Connection, group: unknown, timeout: number): void {
  connection.timedOut(group, timeout);
}

function aborted(signal: AbortSignal): Failure {
  return new Failure({ code: "ERR_WAIT_ABORTED", message: "The wait was aborted by its signal" }, signal.reason);
}

/** What a native method threw: JSON of code and message, a defect on our side. */
function nativeFailure(error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error);
  try {
    return new Failure(JSON.parse(message) as NativeError, error);
  } catch {
    return new Failure({ code: "ERR_INTERNAL", message }, error);
  }
}

function rethrow(error: unknown): never {
  throw error;
}

function noop(): void {}
