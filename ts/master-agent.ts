/** The face of the package: spawns tasks, waits for them, and runs them where sub-agents are registered. */
import { type Candidate, offer, withdraw } from "./autostart";
import { type StoreConfig, storeConfig, type WorkerConfig, workerConfig } from "./config";
import { Connection, closeWith } from "./connection";
import { control, lookUp } from "./control";
import { closedError, Failure, invalid, MasterAgentError } from "./errors";
import { EventHub, type EventStreamOptions, type Listener, type TaskEventStream } from "./events";
import { storeHealth } from "./health";
import { type Memory, memoryOption } from "./memory/memory";
import { boolean, integer, JobDefaults, jobId, options, show, stopTimeout, waitOptions } from "./options";
import { DEFAULT_PAYLOAD_LIMIT } from "./payload";
import { resultOfJob, taskEvent, taskFailed, taskResult } from "./result";
import { Spawner } from "./spawner";
import type {
  AnySubAgent,
  HealthOptions,
  InputFor,
  InputOf,
  JobHandle,
  JobInfo,
  MasterAgentEvents,
  MasterAgentOptions,
  OutputFor,
  OutputOf,
  SpawnTaskInput,
  StoreHealth,
  SubAgentTypes,
  TaskEvents,
  TaskOptions,
  TaskResult,
  WaitOptions,
} from "./types";
import { Worker } from "./worker";

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

const MASTER_KEYS: ReadonlySet<keyof MasterAgentOptions> = new Set<keyof MasterAgentOptions>([
  "store",
  "queue",
  "durability",
  "enqueueTimeout",
  "name",
  "payloadLimit",
  "defaultJobOptions",
  "concurrency",
  "lease",
  "stallTimeout",
  "autostart",
  "memory",
]);
const RUN_KEYS: ReadonlySet<keyof RunOptions> = new Set<keyof RunOptions>(["timeout", "signal", "task"]);

/** Masters that must not be collected: they work or somebody listens. */
const kept = new Set<MasterAgent>();

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
export class MasterAgent {
  readonly #store: StoreConfig;
  readonly #workerConfig: WorkerConfig;
  readonly #connection: Connection;
  readonly #spawner: Spawner;
  readonly #events: EventHub;
  readonly #candidate: Candidate;
  readonly #memory: Memory | undefined;
  /** Whether this master may begin by itself: until it is stopped or closed. */
  #offered = false;
  #worker: Worker | undefined;
  /** Started by the user: keeps the process alive. */
  #explicit = false;
  /** Starts and stops one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  #retry: NodeJS.Timeout | undefined;
  /** Whether listeners were told last that the store cannot be used. */
  #unwell = false;
  #closing: Promise<void> | undefined;

  /**
   * Touches neither the disk nor the addon; the store is opened by the first call that needs it.
   *
   * @throws {@link MasterAgentError} `ERR_INPUT_INVALID` for an unknown option or a wrong value, also in the environment.
   */
  constructor(masterOptions?: MasterAgentOptions) {
    const given = options(masterOptions, "options", MASTER_KEYS) as MasterAgentOptions;
    this.#store = storeConfig(given);
    this.#workerConfig = workerConfig(given);
    const { payloadLimit, defaultJobOptions, autostart, memory } = given;
    const limit = payloadLimit === undefined ? DEFAULT_PAYLOAD_LIMIT : integer(payloadLimit, "options.payloadLimit", 1, 2 ** 28);
    const defaults = new JobDefaults(defaultJobOptions, "options.defaultJobOptions");
    const startsItself = autostart === undefined || boolean(autostart, "options.autostart");
    this.#memory = memory === undefined ? undefined : memoryOption(memory, "options.memory");
    this.#connection = new Connection(this.#store);
    this.#spawner = new Spawner(this.#connection, defaults, limit);
    this.#events = new EventHub((on) => this.#wantEvents(on));
    this.#connection.onHealth = MasterAgent.#healthTeller(new WeakRef(this));
    this.#candidate = { place: JSON.stringify([this.#store.folder, this.#store.queue]), autostart: () => this.#autostart(1_000) };
    closeWith(this, this.#connection);
    if (startsItself) {
      this.#offered = true;
      offer(this.#candidate);
    }
  }

  /** The store: the absolute path of its folder, or the URL of the server without its password. */
  get store(): string {
    return this.#store.folder;
  }

  /** The name of the queue. */
  get queue(): string {
    return this.#store.queue;
  }

  /** Whether a worker is started here, by itself or by `start()`. */
  get working(): boolean {
    return this.#worker !== undefined;
  }

  /** How many handlers run here. */
  get running(): number {
    return this.#worker?.running ?? 0;
  }

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
  spawn(first: unknown, input?: unknown, taskOptions?: unknown): Promise<JobHandle<never>> {
    return this.#spawner.spawn(first, input, taskOptions) as Promise<JobHandle<never>>;
  }

  /**
   * Adds tasks in one go, in order: up to 10 000 of them (or 32 MiB of text) all or none, more in such slices. If a later
   * slice fails, the error's `details.added` says how many tasks were added.
   */
  async spawnParallel<const T extends readonly AgentTypeName[]>(
    tasks: readonly [...{ [K in keyof T]: SpawnTaskInput<T[K]> }],
  ): Promise<{ -readonly [K in keyof T]: JobHandle<OutputFor<T[K]>> }> {
    if (!Array.isArray(tasks)) {
      throw invalid("tasks", `must be an array of { agentType, input, … }, not ${show(tasks)}`);
    }
    const encoded = Array.from(tasks as readonly unknown[], (task, index) => this.#spawner.encodeTask(task, `tasks[${index}].`));
    return (await this.#spawner.addAll(encoded)) as never;
  }

  /**
   * Waits until a task has ended. A task that failed is a result too (`success: false`).
   *
   * @throws {@link MasterAgentError} `ERR_WAIT_TIMEOUT`, `ERR_WAIT_ABORTED`, `ERR_JOB_NOT_FOUND`, `ERR_JOB_REMOVED`, `ERR_CLOSED`, `ERR_STORE_…`.
   */
  async waitForJob<Output = unknown>(job: string | JobHandle<Output>, options?: WaitOptions): Promise<TaskResult<Output>> {
    const id = jobId(job, "jobId");
    const { timeout, signal } = waitOptions(options);
    if (timeout === 0) {
      const [result] = await this.#now([id], signal);
      return result as TaskResult<Output>;
    }
    const reply = await this.#connection.wait([id], timeout, signal);
    if (reply instanceof Failure) {
      throw reply.toError({ jobId: id });
    }
    return taskResult(reply[0] as NonNullable<(typeof reply)[0]>) as TaskResult<Output>;
  }

  /** Waits until all tasks have ended; results in the order of the ids or handles. Throws with the first wait that cannot be answered. */
  async waitForJobs<const J extends readonly (string | JobHandle)[]>(jobs: J, options?: WaitOptions): Promise<ResultsOf<J>> {
    if (!Array.isArray(jobs)) {
      throw invalid("jobs", `must be an array of job ids or handles, not ${show(jobs)}`);
    }
    const ids = Array.from(jobs as readonly unknown[], (job, index) => jobId(job, `jobs[${index}]`));
    const { timeout, signal } = waitOptions(options);
    if (timeout === 0) {
      return (await this.#now(ids, signal)) as ResultsOf<J>;
    }
    const reply = await this.#connection.wait(ids, timeout, signal);
    if (reply instanceof Failure) {
      throw reply.toError();
    }
    return reply.map(taskResult) as ResultsOf<J>;
  }

  /** A wait with `timeout: 0`: what is known now. */
  async #now(ids: readonly string[], signal: AbortSignal | undefined): Promise<TaskResult[]> {
    if (signal?.aborted === true) {
      throw new MasterAgentError("ERR_WAIT_ABORTED", "The wait was aborted by its signal", {
        cause: signal.reason,
      });
    }
    const jobs = await lookUp(this.#connection, ids);
    return jobs.map((job, index) => {
      if (job === null) {
        throw new MasterAgentError("ERR_JOB_NOT_FOUND", `Job ${ids[index]} is not in queue ${this.queue}`, {
          details: { jobId: ids[index] },
        });
      }
      const result = resultOfJob(job);
      if (result === undefined) {
        throw new MasterAgentError("ERR_WAIT_TIMEOUT", `Job ${job.jobId} is ${job.state}, and the wait has a timeout of 0`, {
          details: { jobId: job.jobId },
        });
      }
      return result;
    });
  }

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
  async run(first: unknown, second?: unknown, third?: unknown): Promise<never> {
    const asTask = typeof first === "object" && first !== null && typeof (first as { run?: unknown }).run !== "function";
    const { task, ...wait } = (
      asTask ? { ...waitOptions(second as WaitOptions) } : options(third, "options", RUN_KEYS)
    ) as RunOptions;
    const { timeout, signal } = waitOptions(wait);
    if (signal?.aborted === true) {
      throw new MasterAgentError("ERR_WAIT_ABORTED", "The run was aborted by its signal before it began", {
        cause: signal.reason,
      });
    }
    const handle = await (asTask ? this.#spawner.spawn(first, undefined, undefined) : this.#spawner.spawn(first, second, task));
    const reply = await this.#connection.wait([handle.jobId], timeout, signal);
    if (reply instanceof Failure) {
      if (
        (reply.code === "ERR_WAIT_ABORTED" || reply.code === "ERR_WAIT_TIMEOUT") &&
        handle.existing !== true &&
        !this.#connection.closing
      ) {
        // Nobody else knows the task. Should it have ended meanwhile, so be it.
        void this.#connection.request(JSON.stringify({ op: "cancel", id: handle.jobId, reason: reply.message }));
      }
      throw reply.toError({ jobId: handle.jobId, taskId: handle.taskId });
    }
    const result = taskResult(reply[0] as NonNullable<(typeof reply)[0]>);
    if (!result.success) {
      throw taskFailed(result);
    }
    return result.output as never;
  }

  /** What is known of a job; `null` if it is not, or no longer, in the store. */
  async status<Output = unknown>(job: string | JobHandle<Output>): Promise<JobInfo<Output> | null> {
    const [found] = await lookUp(this.#connection, [jobId(job, "jobId")]);
    return (found ?? null) as JobInfo<Output> | null;
  }

  /**
   * Ends a task. One that waits ends at once; the handler of one that runs, in this or another process, finds its `signal`
   * aborted, and its outcome is ignored.
   *
   * @returns `false` if it had ended already.
   * @throws {@link MasterAgentError} `ERR_JOB_NOT_FOUND`.
   */
  async cancel(job: string | JobHandle, reason?: string): Promise<boolean> {
    return cancelJob(this.#connection, job, reason);
  }

  /**
   * Asks the store for a sign of life: one round trip that changes nothing and shows whether the store takes writes. A store that is away
   * or cannot be used is an answer too, within `timeout`.
   *
   * @throws {@link MasterAgentError} `ERR_CLOSED`, `ERR_INPUT_INVALID` for a wrong option, `ERR_ADDON_LOAD`.
   *
   * @example
   * const { status, latencyMs, error } = await master.health({ timeout: 500 });
   */
  async health(healthOptions?: HealthOptions): Promise<StoreHealth> {
    return storeHealth(this.#connection, healthOptions);
  }

  /** Listens to an event. The engine sends task events only while somebody listens. */
  on<K extends keyof MasterAgentEvents>(event: K, listener: Listener<K>): this {
    this.#mustBeOpen();
    this.#events.on(event, listener, false);
    return this;
  }

  /** Listens to the next event of a kind. */
  once<K extends keyof MasterAgentEvents>(event: K, listener: Listener<K>): this {
    this.#mustBeOpen();
    this.#events.on(event, listener, true);
    return this;
  }

  /** Ends what `on` or `once` began. */
  off<K extends keyof MasterAgentEvents>(event: K, listener: Listener<K>): this {
    this.#events.off(event, listener);
    return this;
  }

  /**
   * All task events from now on, for `for await`. Ends with `break`, the signal, or `close()`.
   *
   * @example
   * for await (const event of master.events({ signal })) console.log(event.type, event.taskId);
   */
  events(options?: EventStreamOptions): TaskEventStream {
    this.#mustBeOpen();
    return this.#events.stream(
      options,
      () => this.#connection.hold(),
      () => this.#connection.release(),
    );
  }

  #wantEvents(on: boolean): void {
    if (on) {
      kept.add(this);
      this.#connection.onEvents = (events) => {
        for (const event of events) {
          const [name, value] = taskEvent<keyof TaskEvents>(event);
          this.#events.emit(name, value);
        }
      };
    } else {
      this.#connection.onEvents = undefined;
      this.#unkeep();
    }
    if (!this.#connection.closing) {
      void this.#connection.request(JSON.stringify({ op: "events", on }), false);
    }
  }

  #unkeep(): void {
    if (this.#worker === undefined && !this.#events.listening) {
      kept.delete(this);
    }
  }

  /**
   * Begins to run tasks of the sub-agents that are registered in this process, and keeps the process alive until `stop()` or
   * `close()`. Later registrations are served too.
   *
   * @throws {@link MasterAgentError} `ERR_STORE_…` if the store cannot be used, `ERR_CLOSED`.
   */
  async start(): Promise<void> {
    this.#mustBeOpen();
    await this.#held(async () => {
      this.#mustBeOpen();
      const failure = await this.#startWorker(true);
      if (failure !== undefined) {
        throw failure.toError();
      }
      if (!this.#explicit) {
        this.#explicit = true;
        this.#connection.hold();
      }
    });
  }

  async #startWorker(held: boolean): Promise<Failure | undefined> {
    if (this.#worker !== undefined) {
      return undefined;
    }
    clearTimeout(this.#retry);
    const worker = new Worker(this.#connection, this.#spawner, this.#workerConfig, this.#memory);
    const failure = await worker.start(held);
    if (failure === undefined) {
      this.#worker = worker;
      kept.add(this);
      this.#tellHealth(null);
    }
    return failure;
  }

  /** Weak, and not a function of the constructor, whose functions hold the master: the connection must not refer to its owner. */
  static #healthTeller(reference: WeakRef<MasterAgent>): (failure: Failure | null) => void {
    return (failure) => {
      const master = reference.deref();
      if (master !== undefined) {
        master.#tellHealth(failure);
      }
    };
  }

  /** A change is told once, whoever noticed it: the engine, or a start that failed. */
  #tellHealth(failure: Failure | null): void {
    if (this.#unwell !== (failure !== null)) {
      this.#unwell = failure !== null;
      this.#events.emit("health", { error: failure === null ? null : failure.toError() });
    }
  }

  /** Begins in the background. The store may come later: then this tries again, up to every 30 s. */
  #autostart(wait: number): void {
    void this.#serial(async () => {
      if (!this.#offered || this.#closing !== undefined) {
        return;
      }
      let failure: Failure | undefined;
      try {
        failure = await this.#startWorker(false);
      } catch (error) {
        // The addon could not be loaded, or this was closed: whoever calls next is told.
        return void error;
      }
      if (failure !== undefined && this.#offered) {
        this.#tellHealth(failure);
        this.#retry = setTimeout(() => this.#autostart(Math.min(wait * 2, 30_000)), wait);
        this.#retry.unref();
      }
    });
  }

  /**
   * Runs no more tasks: claims nothing new, waits up to `timeout` milliseconds (30 000) for the handlers that run, then aborts
   * their signals and gives their tasks back to the queue. It does not start by itself again; `start()` does.
   *
   * @returns how many tasks were given back.
   */
  async stop(stopOptions?: { timeout?: number | undefined }): Promise<{ released: number }> {
    const timeout = stopTimeout(stopOptions);
    this.#withdraw();
    return this.#held(async () => {
      const worker = this.#worker;
      if (worker === undefined || this.#closing !== undefined) {
        return { released: 0 };
      }
      const released = await worker.stop(timeout);
      this.#worker = undefined;
      this.#setDown();
      if (released instanceof Failure) {
        throw released.toError();
      }
      return { released };
    });
  }

  /**
   * Stops, answers every open wait with `ERR_CLOSED` and lets go of the store. Running handlers have up to `timeout` milliseconds
   * (30 000), and the store a second more: what it did not take by then runs again when the lease ends. May be called again; calls
   * after it are `ERR_CLOSED`.
   */
  async close(closeOptions?: { timeout?: number | undefined }): Promise<void> {
    const timeout = stopTimeout(closeOptions);
    this.#closing ??= this.#close(timeout);
    await this.#closing;
  }

  async #close(timeout: number): Promise<void> {
    this.#withdraw();
    await this.#connection.close(timeout);
    this.#worker?.detach();
    this.#worker = undefined;
    this.#events.close();
    this.#setDown();
    kept.delete(this);
  }

  /** `close()` with its defaults, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #withdraw(): void {
    clearTimeout(this.#retry);
    if (this.#offered) {
      this.#offered = false;
      withdraw(this.#candidate);
    }
  }

  #setDown(): void {
    this.#connection.onHealth = undefined;
    if (this.#explicit) {
      this.#explicit = false;
      this.#connection.release();
    }
    this.#unkeep();
  }

  /** A step that the user awaits. Its turn may come after one that does not keep the process alive. */
  async #held<T>(step: () => Promise<T>): Promise<T> {
    this.#connection.hold();
    try {
      return await this.#serial(step);
    } finally {
      this.#connection.release();
    }
  }

  #serial<T>(step: () => Promise<T>): Promise<T> {
    const next = this.#turn.then(step, step);
    this.#turn = next.catch(() => undefined);
    return next;
  }

  #mustBeOpen(): void {
    if (this.#closing !== undefined) {
      throw closedError("This MasterAgent");
    }
  }
}

/** Cancels for `MasterAgent` and `TaskQueue`. */
export async function cancelJob(connection: Connection, job: string | JobHandle, reason: string | undefined): Promise<boolean> {
  const id = jobId(job, "jobId");
  if (reason !== undefined && typeof reason !== "string") {
    throw invalid("reason", `must be a string, not ${show(reason)}`);
  }
  const body = { op: "cancel", id, ...(reason === undefined ? {} : { reason: reason.slice(0, 1_000).toWellFormed() }) };
  return (await control(connection, body, { jobId: id })) > 0;
}
