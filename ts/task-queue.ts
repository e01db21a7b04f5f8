/** The queue itself: adding by name, looking into it, and changing what is in it. */
import { storeConfig } from "./config";
import { Connection, closeWith } from "./connection";
import { ask, control, lookUp } from "./control";
import { invalid } from "./errors";
import { storeHealth } from "./health";
import { type AgentTypeName, cancelJob } from "./master-agent";
import { boolean, integer, JobDefaults, jobId, name, oneOf, options, show, stopTimeout, time } from "./options";
import { DEFAULT_PAYLOAD_LIMIT } from "./payload";
import { jobInfo, type NativeJob } from "./result";
import { Spawner } from "./spawner";
import type {
  ConnectionOptions,
  HealthOptions,
  InputFor,
  JobCounts,
  JobHandle,
  JobInfo,
  JobOptions,
  JobState,
  LogLine,
  OutputFor,
  StoreHealth,
  TaskOptions,
  TaskPayload,
  WorkerInfo,
} from "./types";

/** All states, in the order in which `list` goes through them. */
const STATES: readonly JobState[] = ["active", "waiting", "delayed", "completed", "failed", "cancelled", "dead"];

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

const QUEUE_KEYS: ReadonlySet<keyof TaskQueueOptions> = new Set<keyof TaskQueueOptions>([
  "store",
  "queue",
  "durability",
  "enqueueTimeout",
  "name",
  "payloadLimit",
  "defaultJobOptions",
]);
const LIST_KEYS: ReadonlySet<keyof ListOptions> = new Set<keyof ListOptions>(["state", "agentType", "limit", "cursor"]);
const CLEAN_KEYS: ReadonlySet<keyof CleanOptions> = new Set<keyof CleanOptions>(["state", "age", "limit"]);
const LOG_KEYS = new Set(["after", "limit"] as const);
const DRAIN_KEYS = new Set(["delayed"] as const);
const OBLITERATE_KEYS = new Set(["force"] as const);

/** A queue of tasks. It runs nothing: that is what a `MasterAgent` or a worker process does. */
export class TaskQueue {
  /** The store: the absolute path of its folder, or the URL of the server without its password. */
  readonly store: string;
  /** The name of the queue. */
  readonly name: string;
  readonly #connection: Connection;
  readonly #spawner: Spawner;
  #closed = false;

  /** @throws {@link MasterAgentError} `ERR_INPUT_INVALID`. */
  constructor(queueOptions?: TaskQueueOptions) {
    const given = options(queueOptions, "options", QUEUE_KEYS) as TaskQueueOptions;
    const config = storeConfig(given);
    const { payloadLimit, defaultJobOptions } = given;
    const limit = payloadLimit === undefined ? DEFAULT_PAYLOAD_LIMIT : integer(payloadLimit, "options.payloadLimit", 1, 2 ** 28);
    this.store = config.folder;
    this.name = config.queue;
    this.#connection = new Connection(config);
    this.#spawner = new Spawner(this.#connection, new JobDefaults(defaultJobOptions, "options.defaultJobOptions"), limit);
    closeWith(this, this.#connection);
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#closed;
  }

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
  async add(agentType: unknown, payload?: unknown, opts?: unknown): Promise<JobHandle<never>> {
    const checked = name(agentType, "name");
    return (await this.#spawner.spawn(checked, payload, opts)) as JobHandle<never>;
  }

  /** Adds jobs in order: up to 10 000 (or 32 MiB of text) all or none, more in such slices. */
  async addBulk(jobs: readonly BulkJob[]): Promise<JobHandle[]> {
    if (!Array.isArray(jobs)) {
      throw invalid("jobs", `must be an array of { name, payload, opts }, not ${show(jobs)}`);
    }
    const encoded = Array.from(jobs as readonly unknown[], (job, index) => this.#spawner.encodeBulk(job, `jobs[${index}]`));
    return this.#spawner.addAll(encoded);
  }

  /** Adds a task as `enqueueTask` does. */
  async enqueue<T extends AgentTypeName>(payload: TaskPayload<T>, opts?: JobOptions): Promise<JobHandle<OutputFor<T>>> {
    return (await this.#spawner.add(await this.#spawner.encodePayload(payload, opts, "payload"))) as JobHandle<OutputFor<T>>;
  }

  /** Adds tasks as `enqueueTasks` does. */
  async enqueueAll(payloads: readonly TaskPayload[], opts?: Omit<JobOptions, "jobId">): Promise<JobHandle[]> {
    if (!Array.isArray(payloads)) {
      throw invalid("payloads", `must be an array of { agentType, input, … }, not ${show(payloads)}`);
    }
    if ((opts as JobOptions | undefined)?.jobId !== undefined) {
      throw invalid("options.jobId", "cannot be given for several tasks: each needs its own");
    }
    return this.#spawner.addAll(
      Array.from(payloads as readonly unknown[], (payload, index) =>
        this.#spawner.encodePayload(payload, opts, `payloads[${index}]`),
      ),
    );
  }

  /** A job, or `null`. */
  async get<Output = unknown>(job: string | JobHandle<Output>): Promise<JobInfo<Output> | null> {
    const [found] = await lookUp(this.#connection, [jobId(job, "jobId")]);
    return (found ?? null) as JobInfo<Output> | null;
  }

  /** The same as {@link get}. */
  getJob<Output = unknown>(job: string | JobHandle<Output>): Promise<JobInfo<Output> | null> {
    return this.get(job);
  }

  /** Jobs by id, in order, `null` where there is none. */
  async getMany(jobs: readonly (string | JobHandle)[]): Promise<(JobInfo | null)[]> {
    if (!Array.isArray(jobs)) {
      throw invalid("jobs", `must be an array of job ids or handles, not ${show(jobs)}`);
    }
    return lookUp(
      this.#connection,
      Array.from(jobs as readonly unknown[], (job, index) => jobId(job, `jobs[${index}]`)),
    );
  }

  /** One page of jobs. */
  async list(listOptions?: ListOptions): Promise<JobPage> {
    const { state, agentType, limit, cursor } = options(listOptions, "options", LIST_KEYS);
    const states = statesOf(state);
    const most = limit === undefined ? 100 : integer(limit, "options.limit", 1, 1_000);
    const type = agentType === undefined ? undefined : name(agentType, "options.agentType");
    let [current, place] = cursor === undefined ? [states[0] as JobState, undefined] : readCursor(cursor, states);
    const jobs: JobInfo[] = [];
    for (;;) {
      const body = { op: "list", state: current, agentType: type, limit: most - jobs.length, cursor: place };
      const page = (await ask(this.#connection, body)) as { jobs: NativeJob[]; cursor?: [number, number] | null };
      for (const job of page.jobs) {
        jobs.push(jobInfo(job));
      }
      const next = page.cursor ?? undefined;
      const following = states[states.indexOf(current) + 1];
      if (next === undefined && following === undefined) {
        return { jobs };
      }
      if (next === undefined) {
        current = following as JobState;
      }
      place = next;
      if (jobs.length >= most) {
        return { jobs, cursor: place === undefined ? current : `${current}:${place[0]}:${place[1]}` };
      }
    }
  }

  /**
   * All jobs, page by page. Jobs that change their state meanwhile may be missed or come twice.
   *
   * @example
   * for await (const job of queue.jobs({ state: "failed" })) await queue.retry(job.jobId);
   */
  async *jobs(listOptions?: ListOptions): AsyncGenerator<JobInfo, void, undefined> {
    let cursor = listOptions?.cursor;
    do {
      const page = await this.list({ ...listOptions, cursor });
      yield* page.jobs;
      cursor = page.cursor;
    } while (cursor !== undefined);
  }

  /** How many jobs are in each state, of all agent types or of one. */
  async counts(agentType?: string): Promise<JobCounts> {
    const type = agentType === undefined ? undefined : name(agentType, "agentType");
    const { agents } = await this.#counts();
    const total = noJobs();
    for (const [lane, counts] of Object.entries(agents)) {
      if (type === undefined || lane === type) {
        for (const state of STATES) {
          total[state] += counts[state] ?? 0;
        }
      }
    }
    return total;
  }

  /** The same as {@link counts}. */
  getJobCounts(agentType?: string): Promise<JobCounts> {
    return this.counts(agentType);
  }

  /** How many jobs of each agent type are in each state. */
  async countsByAgent(): Promise<Record<string, JobCounts>> {
    const { agents } = await this.#counts();
    return Object.fromEntries(Object.entries(agents).map(([agentType, counts]) => [agentType, { ...noJobs(), ...counts }]));
  }

  async #counts(): Promise<{ paused: boolean; agents: Record<string, Partial<JobCounts>> }> {
    return (await ask(this.#connection, { op: "counts" })) as { paused: boolean; agents: Record<string, Partial<JobCounts>> };
  }

  /** Lets no worker, in any process, take more jobs of this queue. What runs goes on. */
  async pause(): Promise<void> {
    await control(this.#connection, { op: "pause" });
  }

  /** Ends `pause()`. */
  async resume(): Promise<void> {
    await control(this.#connection, { op: "resume" });
  }

  /** Whether the queue is paused. */
  async isPaused(): Promise<boolean> {
    return (await this.#counts()).paused;
  }

  /**
   * Removes all waiting jobs, and the delayed ones if asked.
   *
   * @returns how many.
   */
  async drain(drainOptions?: { delayed?: boolean | undefined }): Promise<number> {
    const { delayed } = options(drainOptions, "options", DRAIN_KEYS);
    return control(this.#connection, { op: "drain", delayed: delayed !== undefined && boolean(delayed, "options.delayed") });
  }

  /**
   * Removes jobs of one state, oldest first.
   *
   * @returns how many.
   */
  async clean(cleanOptions?: CleanOptions): Promise<number> {
    const { state, age, limit } = options(cleanOptions, "options", CLEAN_KEYS);
    const which = state === undefined ? "completed" : oneOf(state, "options.state", STATES.slice(1));
    const least = age === undefined ? 0 : time(age, "options.age");
    const most = limit === undefined ? Number.MAX_SAFE_INTEGER : integer(limit, "options.limit", 1, Number.MAX_SAFE_INTEGER);
    let removed = 0;
    for (;;) {
      const body = { op: "clean", state: which, age: least, limit: most - removed };
      const reply = (await ask(this.#connection, body)) as { affected: number; more?: boolean };
      removed += reply.affected;
      if (reply.more !== true || removed >= most) {
        return removed;
      }
    }
  }

  /**
   * Lets an ended job wait again, with its attempts counted from zero.
   *
   * @throws {@link MasterAgentError} `ERR_JOB_NOT_FOUND`, or `ERR_JOB_STATE` if it has not ended.
   */
  async retry(job: string | JobHandle): Promise<void> {
    await this.#change("retry", job);
  }

  /**
   * Lets a delayed job wait now.
   *
   * @throws {@link MasterAgentError} `ERR_JOB_NOT_FOUND`, or `ERR_JOB_STATE` if it is not delayed.
   */
  async promote(job: string | JobHandle): Promise<void> {
    await this.#change("promote", job);
  }

  /**
   * Removes a job. Who waits for it gets `ERR_JOB_REMOVED`.
   *
   * @throws {@link MasterAgentError} `ERR_JOB_NOT_FOUND`, or `ERR_JOB_STATE` if it is running: cancel it first.
   */
  async remove(job: string | JobHandle): Promise<void> {
    await this.#change("remove", job);
  }

  /** Ends a job as `MasterAgent.cancel` does; `false` if it had ended already. */
  async cancel(job: string | JobHandle, reason?: string): Promise<boolean> {
    return cancelJob(this.#connection, job, reason);
  }

  async #change(op: "retry" | "promote" | "remove", job: string | JobHandle): Promise<void> {
    const id = jobId(job, "jobId");
    await control(this.#connection, { op, id }, { jobId: id });
  }

  /**
   * The log lines of a job, oldest first.
   *
   * @param logOptions `after`: only lines with a greater `seq`; `limit`: 1 to 1000 lines, 1000.
   */
  async logs(
    job: string | JobHandle,
    logOptions?: { after?: number | undefined; limit?: number | undefined },
  ): Promise<LogLine[]> {
    const id = jobId(job, "jobId");
    const { after, limit } = options(logOptions, "options", LOG_KEYS);
    const body = {
      op: "logs",
      id,
      after: after === undefined ? 0 : integer(after, "options.after", 0, Number.MAX_SAFE_INTEGER),
      limit: limit === undefined ? 1_000 : integer(limit, "options.limit", 1, 1_000),
    };
    return (await ask(this.#connection, body, { jobId: id })) as LogLine[];
  }

  /** The workers of this queue, in all processes. */
  async workers(): Promise<WorkerInfo[]> {
    return (await ask(this.#connection, { op: "workers" })) as WorkerInfo[];
  }

  /**
   * Asks the store for a sign of life: one round trip that changes nothing and shows whether the store takes writes. A store that is away
   * or cannot be used is an answer too, within `timeout`.
   *
   * @throws {@link MasterAgentError} `ERR_CLOSED`, `ERR_INPUT_INVALID` for a wrong option, `ERR_ADDON_LOAD`.
   *
   * @example
   * const { status, latencyMs, error } = await queue.health({ timeout: 500 });
   */
  async health(healthOptions?: HealthOptions): Promise<StoreHealth> {
    return storeHealth(this.#connection, healthOptions);
  }

  /** The names of all queues of the store. */
  async queues(): Promise<string[]> {
    return (await ask(this.#connection, { op: "queues" })) as string[];
  }

  /**
   * Removes the queue with everything in it.
   *
   * @throws {@link MasterAgentError} `ERR_JOB_STATE` while jobs run, unless `force` is `true`.
   */
  async obliterate(obliterateOptions?: { force?: boolean | undefined }): Promise<void> {
    const { force } = options(obliterateOptions, "options", OBLITERATE_KEYS);
    await control(this.#connection, { op: "obliterate", force: force !== undefined && boolean(force, "options.force") });
  }

  /** Lets go of the store. May be called again; calls after it are `ERR_CLOSED`. */
  async close(closeOptions?: { timeout?: number | undefined }): Promise<void> {
    const timeout = stopTimeout(closeOptions);
    this.#closed = true;
    await this.#connection.close(timeout);
  }

  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function noJobs(): JobCounts {
  return { waiting: 0, delayed: 0, active: 0, completed: 0, failed: 0, cancelled: 0, dead: 0 };
}

function statesOf(state: unknown): readonly JobState[] {
  if (state === undefined) {
    return STATES;
  }
  // A copy has no holes, which `map` would pass over.
  const given: readonly unknown[] = Array.isArray(state) ? Array.from(state as readonly unknown[]) : [state];
  if (given.length === 0) {
    throw invalid("options.state", "must have at least one state");
  }
  const wanted = new Set(
    given.map((one, index) => oneOf(one, Array.isArray(state) ? `options.state[${index}]` : "options.state", STATES)),
  );
  return STATES.filter((one) => wanted.has(one));
}

function readCursor(cursor: unknown, states: readonly JobState[]): [JobState, [number, number] | undefined] {
  const match = typeof cursor === "string" ? /^([a-z]+)(?::(-?\d{1,16}):(-?\d{1,16}))?$/.exec(cursor) : null;
  const state = states.find((one) => one === match?.[1]);
  if (match === null || state === undefined) {
    throw invalid("options.cursor", `must be the cursor of a page of the same list, not ${show(cursor)}`);
  }
  return [state, match[2] === undefined ? undefined : [Number(match[2]), Number(match[3])]];
}

const queues = new Map<string, TaskQueue>();

/**
 * The task queue of a store. Calls with the same store, queue and durability give the same object until it is closed; one with
 * a `name`, `payloadLimit` or `defaultJobOptions` is a new one every time.
 */
export function getTaskQueue(queueOptions?: TaskQueueOptions): TaskQueue {
  const given = options(queueOptions, "options", QUEUE_KEYS) as TaskQueueOptions;
  if (given.name !== undefined || given.payloadLimit !== undefined || given.defaultJobOptions !== undefined) {
    return new TaskQueue(given);
  }
  const { folder, url, timeout, queue, durability } = storeConfig(given);
  const key = JSON.stringify([url ?? folder, timeout, queue, durability]);
  let found = queues.get(key);
  if (found === undefined || found.closed) {
    found = new TaskQueue({ store: url ?? folder, enqueueTimeout: timeout, queue, durability });
    queues.set(key, found);
  }
  return found;
}

/**
 * Adds a task to the default queue. It is durable when this resolves.
 *
 * @example
 * const { jobId } = await enqueueTask({ agentType: "my-agent", input: { query: "hello" } }, { attempts: 5 });
 */
export async function enqueueTask<T extends AgentTypeName>(
  payload: TaskPayload<T>,
  opts?: JobOptions,
): Promise<JobHandle<OutputFor<T>>> {
  return getTaskQueue().enqueue(payload, opts);
}

/** Adds tasks to the default queue, in order, with the same options; see `TaskQueue.addBulk` for what is atomic. */
export async function enqueueTasks(payloads: readonly TaskPayload[], opts?: Omit<JobOptions, "jobId">): Promise<JobHandle[]> {
  return getTaskQueue().enqueueAll(payloads, opts);
}
