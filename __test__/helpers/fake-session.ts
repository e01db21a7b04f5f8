/**
 * A session without an addon: one process, in memory, as simple as the boundary allows. It keeps the contract of messages and
 * operations, so that ts/ can be tested by itself; durability, leases and retries in time are the engine's own tests.
 */
import type { OpenSession, Session, SessionOptions } from "../../ts/native.ts";
import { native } from "./ts.ts";

type State = "waiting" | "delayed" | "active" | "completed" | "failed" | "cancelled" | "dead";

interface Job {
  id: number;
  key: string | null;
  taskId: string | null;
  parent: string | null;
  agentType: string;
  priority: number;
  policy: { attempts?: number; timeout?: number };
  metadata: unknown;
  input: unknown;
  state: State;
  attempts: number;
  addedAt: number;
  startedAt: number | null;
  finishedAt: number | null;
  value: unknown;
  error: unknown;
  progress: unknown;
  log: string[];
}

/** The body of a request, as the fake reads it. */
interface Body {
  op: string;
  id: string;
  ids: string[];
  handle: number;
  concurrency: number;
  agents: [string, number | null][];
  timeout: number;
  on: boolean;
  value: unknown;
  line: string;
  state: State;
  agentType?: string;
  limit?: number;
  cursor?: [number, number];
  after: number;
  delayed: boolean;
  reason?: string;
}

interface Worker {
  session: FakeSession;
  concurrency: number;
  agents: Map<string, number | null>;
}

/** What the sessions of one folder and queue share. */
class Place {
  nextId = 1;
  nextHandle = 1;
  paused = false;
  readonly jobs = new Map<string, Job>();
  readonly workers = new Set<Worker>();
  readonly sessions = new Set<FakeSession>();
  /** Handle → job and holder. */
  readonly held = new Map<number, { job: Job; worker: Worker }>();

  find(id: string): Job | undefined {
    return this.jobs.get(id);
  }

  end(job: Job, state: State, value: unknown): void {
    job.state = state;
    job.value = value;
    job.error = state === "completed" ? null : value;
    job.finishedAt = Date.now();
    this.tell(state === "completed" ? "completed" : "failed", job, value);
    for (const session of this.sessions) session.answer(job);
  }

  tell(type: string, job: Job, value: unknown): void {
    for (const session of this.sessions) {
      if (session.listening)
        session.send([8, [[type, job.id, job.key, job.taskId, job.agentType, job.attempts, Date.now(), value]]]);
    }
  }

  claim(): void {
    if (this.paused) return;
    for (const worker of this.workers) {
      const running = [...this.held.values()].filter((one) => one.worker === worker);
      const claimed: unknown[] = [];
      const waiting = [...new Set(this.jobs.values())].filter((job) => job.state === "waiting");
      waiting.sort((a, b) => a.priority - b.priority || a.id - b.id);
      for (const job of waiting) {
        if (running.length >= worker.concurrency) break;
        const limit = worker.agents.get(job.agentType);
        if (limit === undefined) continue;
        if (limit !== null && running.filter((one) => one.job.agentType === job.agentType).length >= limit) continue;
        const handle = this.nextHandle++;
        job.state = "active";
        job.attempts += 1;
        job.startedAt = Date.now();
        const entry = { job, worker };
        this.held.set(handle, entry);
        running.push(entry);
        this.tell("started", job, null);
        claimed.push([
          handle,
          job.id,
          job.key,
          job.taskId,
          job.agentType,
          job.attempts,
          0,
          job.parent,
          job.priority,
          job.addedAt,
          job.policy.attempts ?? 3,
          job.metadata,
          job.input,
        ]);
      }
      if (claimed.length > 0) worker.session.send([4, claimed]);
    }
  }

  take(job: Job, error: object): void {
    for (const [handle, entry] of this.held) {
      if (entry.job === job) {
        this.held.delete(handle);
        entry.worker.session.send([5, handle, error]);
      }
    }
  }
}

const places = new Map<string, Place>();

/** An error as the addon writes it. */
export const nativeError = (code: string, message = code): { code: string; message: string; retryable: boolean } => ({
  code,
  message,
  retryable: false,
});

export class FakeSession implements Session {
  listening = false;
  /** Every call that came in, for assertions: name and text. */
  readonly calls: [string, string][] = [];
  /** Fails the next submits with this error. */
  static failSubmits: object | undefined;
  /** Fails the next starts with this error. */
  static failStarts: object | undefined;
  /** What a question for its health is answered with, an error also; `undefined` is no answer. */
  static health: unknown = null;
  /** The sessions in the order in which they were opened. */
  static opened: FakeSession[] = [];

  readonly options: SessionOptions;
  readonly #wake: () => void;
  readonly #place: Place;
  #messages: unknown[] = [];
  #woken = false;
  #worker: Worker | undefined;
  #shut = false;
  readonly #waits = new Map<number, Job>();

  constructor(options: SessionOptions, wake: () => void) {
    this.options = options;
    this.#wake = wake;
    const key = `${options.folder}|${options.queue}`;
    let place = places.get(key);
    if (place === undefined) {
      place = new Place();
      places.set(key, place);
    }
    this.#place = place;
    place.sessions.add(this);
    FakeSession.opened.push(this);
  }

  get openWaits(): number {
    return this.#waits.size;
  }

  send(message: unknown): void {
    this.#messages.push(message);
    if (!this.#woken && !this.#shut) {
      this.#woken = true;
      setImmediate(() => {
        if (!this.#shut) this.#wake();
      });
    }
  }

  look(): boolean {
    this.#woken = true;
    return this.#messages.length > 0;
  }

  drain(): string {
    this.#woken = false;
    const messages = this.#messages;
    this.#messages = [];
    return messages.length === 0 ? "" : JSON.stringify(messages);
  }

  submit(request: number, text: string): void {
    this.calls.push(["submit", text]);
    const jobs = JSON.parse(text) as [
      string,
      string | 0,
      string | 0,
      string | 0,
      number,
      number,
      Job["policy"] | 0,
      unknown,
      unknown,
    ][];
    if (FakeSession.failSubmits !== undefined) {
      this.send([3, request, FakeSession.failSubmits]);
      return;
    }
    const replies: [number | string, 0 | 1][] = [];
    for (const [agentType, taskId, parent, key, priority, delay, policy, metadata, input] of jobs) {
      const present = key === 0 ? undefined : this.#place.find(key);
      if (present !== undefined) {
        replies.push([present.key as string, 1]);
        continue;
      }
      const job: Job = {
        id: this.#place.nextId++,
        key: key || null,
        taskId: taskId || null,
        parent: parent || null,
        agentType,
        priority,
        policy: policy || {},
        metadata: metadata === 0 ? null : metadata,
        input,
        state: delay > 0 ? "delayed" : "waiting",
        attempts: 0,
        addedAt: Date.now(),
        startedAt: null,
        finishedAt: null,
        value: null,
        error: null,
        progress: null,
        log: [],
      };
      this.#place.jobs.set(job.key ?? String(job.id), job);
      replies.push([job.key ?? job.id, 0]);
    }
    if (jobs.some((job) => job[3] !== 0)) this.send([2, request, replies]);
    else this.send([1, request, replies[0]?.[0], replies.length]);
    this.#place.claim();
  }

  settle(text: string): void {
    this.calls.push(["settle", text]);
    for (const [handle, good, value, final] of JSON.parse(text) as [number, 0 | 1, unknown, 0 | 1][]) {
      const entry = this.#place.held.get(handle);
      if (entry === undefined) continue;
      this.#place.held.delete(handle);
      const { job } = entry;
      if (good) this.#place.end(job, "completed", value);
      else if (final || job.attempts >= (job.policy.attempts ?? 3)) this.#place.end(job, "failed", value);
      else {
        job.error = value;
        job.state = "waiting";
        this.#place.tell("retrying", job, { error: value, delay: 0 });
      }
    }
    this.#place.claim();
  }

  wait(request: number, id: string): void {
    const job = this.#place.find(id);
    if (job === undefined) {
      this.send([7, request, nativeError("ERR_JOB_NOT_FOUND", `job ${id} is not in queue ${this.options.queue}`)]);
      return;
    }
    this.#waits.set(request, job);
    if (job.finishedAt !== null) this.answer(job);
  }

  answer(job: Job): void {
    for (const [request, waited] of this.#waits) {
      if (waited === job) {
        this.#waits.delete(request);
        this.send([
          6,
          request,
          [
            job.id,
            job.key,
            job.taskId,
            job.agentType,
            job.state,
            job.attempts,
            job.addedAt,
            job.startedAt,
            job.finishedAt,
            job.parent,
            job.value,
          ],
        ]);
      }
    }
  }

  removed(job: Job): void {
    for (const [request, waited] of this.#waits) {
      if (waited === job) {
        this.#waits.delete(request);
        this.send([7, request, nativeError("ERR_JOB_REMOVED")]);
      }
    }
  }

  forget(request: number): void {
    this.#waits.delete(request);
  }

  alive(): void {}

  request(request: number, text: string): void {
    this.calls.push(["request", text]);
    const body = JSON.parse(text) as Body;
    const answer = this.#answer(body);
    if (answer instanceof Promise) void answer.then((value) => this.send([0, request, null, value]));
    else if (answer !== null && typeof answer === "object" && "code" in answer) this.send([0, request, answer, null]);
    else this.send([0, request, null, answer]);
  }

  #answer(body: Body): unknown {
    const place = this.#place;
    const done = (affected: number) => ({ affected, more: false });
    const job = typeof body.id === "string" ? place.find(body.id) : undefined;
    const held = typeof body.handle === "number" ? place.held.get(body.handle) : undefined;
    if (["retry", "promote", "remove", "cancel", "logs"].includes(body.op) && job === undefined) {
      return nativeError("ERR_JOB_NOT_FOUND", `job ${body.id} is not in queue ${this.options.queue}`);
    }
    if (["progress", "log", "heartbeat"].includes(body.op) && held === undefined) return nativeError("ERR_TASK_LOST");
    switch (body.op) {
      case "start":
        if (FakeSession.failStarts !== undefined) return FakeSession.failStarts;
        this.#worker = { session: this, concurrency: body.concurrency, agents: new Map(body.agents) };
        place.workers.add(this.#worker);
        place.claim();
        return null;
      case "agents":
        if (this.#worker !== undefined) this.#worker.agents = new Map(body.agents);
        place.claim();
        return null;
      case "stop":
      case "close":
        return this.#stop(body.timeout, body.op === "close");
      case "events":
        this.listening = body.on;
        return null;
      case "progress":
        (held as { job: Job }).job.progress = body.value;
        place.tell("progress", (held as { job: Job }).job, body.value);
        return null;
      case "log":
        (held as { job: Job }).job.log.push(body.line);
        return null;
      case "heartbeat":
        return null;
      case "get":
        return body.ids.map((id) => view(place.find(id)));
      case "list": {
        const all = [...place.jobs.values()].filter((one) => one.state === body.state).sort((a, b) => a.id - b.id);
        const from = body.cursor?.[1] ?? 0;
        const found = all.filter((one) => one.id > from && (body.agentType === undefined || one.agentType === body.agentType));
        const page = found.slice(0, body.limit);
        const last = page.at(-1);
        return { jobs: page.map(view), ...(found.length > page.length && last ? { cursor: [0, last.id] } : {}) };
      }
      case "counts": {
        const agents: Record<string, Record<string, number>> = {};
        for (const one of place.jobs.values()) {
          const counts = (agents[one.agentType] ??= {});
          counts[one.state] = (counts[one.state] ?? 0) + 1;
        }
        return { paused: place.paused, agents };
      }
      case "logs":
        return (job as Job).log.map((line, index) => ({ seq: index + 1, at: 0, line })).filter((line) => line.seq > body.after);
      case "health":
        return FakeSession.health === undefined ? new Promise(() => undefined) : FakeSession.health;
      case "workers":
        return [...place.workers].map(({ concurrency }) => ({ id: 1, concurrency }));
      case "queues":
        return [this.options.queue];
      case "pause":
      case "resume":
        place.paused = body.op === "pause";
        place.claim();
        return done(1);
      case "drain":
      case "clean":
      case "obliterate": {
        // In slices of two, so that the repetition is seen.
        const states = body.op === "drain" ? ["waiting", ...(body.delayed ? ["delayed"] : [])] : [body.state];
        const found = [...place.jobs.values()].filter((one) => body.op === "obliterate" || states.includes(one.state));
        const slice = found.slice(0, Math.min(2, body.limit ?? 2));
        for (const one of slice) this.#remove(one);
        return { affected: slice.length, more: found.length > slice.length };
      }
      case "retry":
        Object.assign(job as Job, { state: "waiting", attempts: 0, finishedAt: null });
        place.claim();
        return done(1);
      case "promote":
        if ((job as Job).state !== "delayed") return nativeError("ERR_JOB_STATE");
        (job as Job).state = "waiting";
        place.claim();
        return done(1);
      case "remove":
        if ((job as Job).state === "active") return nativeError("ERR_JOB_STATE");
        this.#remove(job as Job);
        return done(1);
      case "cancel": {
        if ((job as Job).finishedAt !== null) return done(0);
        const error = { name: "MasterAgentError", message: String(body.reason ?? "cancelled"), code: "ERR_TASK_CANCELLED" };
        place.take(job as Job, nativeError("ERR_TASK_CANCELLED"));
        place.end(job as Job, "cancelled", error);
        place.claim();
        return done(1);
      }
      default:
        return nativeError("ERR_INTERNAL", `unknown operation ${body.op}`);
    }
  }

  #remove(job: Job): void {
    this.#place.jobs.delete(job.key ?? String(job.id));
    for (const session of this.#place.sessions) session.removed(job);
  }

  async #stop(timeout: number, closing: boolean): Promise<unknown> {
    const worker = this.#worker;
    const mine = () => [...this.#place.held].filter(([, entry]) => entry.worker === worker);
    if (worker !== undefined) {
      this.#place.workers.delete(worker);
      const until = Date.now() + timeout;
      while (mine().length > 0 && Date.now() < until) await new Promise((resolve) => setImmediate(resolve));
    }
    const rest = worker === undefined ? [] : mine();
    for (const [, { job }] of rest) {
      this.#place.take(job, nativeError("ERR_CLOSED"));
      job.state = "waiting";
      job.attempts -= 1;
    }
    if (closing) {
      for (const request of this.#waits.keys()) this.send([7, request, nativeError("ERR_CLOSED")]);
      this.#waits.clear();
      this.#place.sessions.delete(this);
    }
    this.#place.claim();
    return { released: rest.length };
  }

  shutdown(): void {
    this.#shut = true;
    this.#place.sessions.delete(this);
    if (this.#worker !== undefined) this.#place.workers.delete(this.#worker);
  }
}

function view(job: Job | undefined): unknown {
  if (job === undefined) return null;
  return {
    id: job.key ?? String(job.id),
    agentType: job.agentType,
    taskId: job.taskId,
    parentTaskId: job.parent,
    input: job.input,
    metadata: job.metadata,
    opts: { attempts: 3, ...job.policy },
    state: job.state,
    priority: job.priority,
    attemptsMade: job.attempts,
    stalls: 0,
    addedAt: job.addedAt,
    runAt: null,
    startedAt: job.startedAt,
    finishedAt: job.finishedAt,
    ...(job.state === "completed" ? { output: job.value } : {}),
    error: job.error,
    progress: job.progress,
    worker: null,
  };
}

const open: OpenSession = (options, wake) => new FakeSession(options, wake);

/** From here on no addon is loaded. */
export function useFakeSession(): void {
  native.replaceSession(open);
}

let places_ = 0;
/** A store that no other test uses. */
export const freshStore = (): string => `/nowhere/${process.pid}-${++places_}`;
