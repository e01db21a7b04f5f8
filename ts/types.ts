/** The public types. Times are milliseconds, points in time milliseconds since the Unix epoch, ids strings. */
import type { MasterAgentError } from "./errors";
import type { Memory } from "./memory/memory";
import type { StandardSchema } from "./schema";

/**
 * The sub-agents of a program by their agent type, to be augmented, so that `spawn` knows inputs and outputs by name.
 *
 * @example
 * declare module "master-agent" {
 *   interface SubAgentTypes { "my-agent": MySubAgent }
 * }
 */
// biome-ignore lint/suspicious/noEmptyInterface: it is there to be augmented
export interface SubAgentTypes {}

/** A handler of tasks of one agent type. */
export interface ISubAgent<Input = unknown, Output = unknown> {
  /** The name under which tasks find it, 1 to 255 characters. */
  readonly agentType: string;
  /** Any Standard Schema v1 (zod, valibot, arktype, …). Inputs are checked by `spawn` in this process, and again before `run`, which gets what the schema makes of them. */
  readonly inputSchema?: StandardSchema<unknown, Input> | undefined;
  /** Does the task. What it returns must be writable as JSON. What it throws fails the attempt; an `UnrecoverableError` fails the task. */
  run(input: Input, context: TaskContext): Output | Promise<Output>;
}

/** Any sub-agent, whatever its input: what can be registered. */
export interface AnySubAgent {
  readonly agentType: string;
  readonly inputSchema?: StandardSchema<unknown, unknown> | undefined;
  run(input: never, context: TaskContext): unknown;
}

/** What `spawn` takes for a sub-agent: what its schema reads, else the parameter of `run`. */
export type InputOf<A> = A extends { readonly inputSchema: StandardSchema<infer Input, infer _Output> }
  ? Input
  : A extends { run(input: infer Input, ...rest: never[]): unknown }
    ? Input
    : unknown;

/** What a task of a sub-agent results in: what `run` returns, as it is after JSON. */
export type OutputOf<A> = A extends { run(...args: never[]): infer Output } ? Serialized<Awaited<Output>> : unknown;

/** The input of an agent type: typed where {@link SubAgentTypes} knows it. */
export type InputFor<T extends string> = T extends keyof SubAgentTypes ? InputOf<SubAgentTypes[T]> : unknown;

/** The output of an agent type: typed where {@link SubAgentTypes} knows it. */
export type OutputFor<T extends string> = T extends keyof SubAgentTypes ? OutputOf<SubAgentTypes[T]> : unknown;

/** `T` after it was written as JSON and read again: dates are strings, functions are gone. */
export type Serialized<T> = 0 extends 1 & T
  ? T
  : unknown extends T
    ? T
    : T extends { toJSON(...args: never[]): infer R }
      ? Serialized<R>
      : T extends string | number | boolean | null
        ? T
        : T extends undefined | void
          ? null
          : T extends readonly unknown[]
            ? { [K in keyof T]: Serialized<T[K]> }
            : T extends object
              ? {
                  [K in keyof T as K extends symbol
                    ? never
                    : T[K] extends (...args: never[]) => unknown
                      ? never
                      : K]: SerializedMember<T[K]>;
                }
              : never;

type SerializedMember<T> = undefined extends T
  ? unknown extends T
    ? T
    : Serialized<Exclude<T, undefined>> | undefined
  : Serialized<T>;

/** The wait between attempts. */
export interface BackoffOptions {
  /** `fixed`: `delay` every time; `exponential` (default): `delay · 2^(n-1)` after the n-th failure. */
  type?: "fixed" | "exponential" | undefined;
  /** Milliseconds, 0 or more; 1000. */
  delay?: number | undefined;
  /** The longest wait, in milliseconds; one hour. */
  maxDelay?: number | undefined;
  /** The share of the wait that is drawn at random, from 0 (none, the default) to 1 (all of it). */
  jitter?: number | undefined;
}

/** How many ended jobs of a queue, and for how long, are kept. Both bounds hold; what is left out is no bound. */
export interface KeepOptions {
  /** The newest so many; 0 keeps nothing. */
  count?: number | undefined;
  /** Milliseconds after the end. */
  age?: number | undefined;
}

/** How one job is run and kept. */
export interface JobOptions {
  /** Your own id, unique in its queue, 1 to 255 characters and not all digits: adding a second job with it gives the first one. */
  jobId?: string | undefined;
  /** Lower runs first, 0 to 2 097 152; 0. */
  priority?: number | undefined;
  /** Milliseconds before the job can run; 0. */
  delay?: number | undefined;
  /** How often the job is run before it fails, 1 or more; 3. */
  attempts?: number | undefined;
  /** The wait between attempts; exponential from 1000 ms. A number is a fixed wait. */
  backoff?: number | BackoffOptions | undefined;
  /** Milliseconds that one attempt may take, 1 or more; no limit. The handler's `signal` aborts with `ERR_TASK_TIMEOUT`. */
  timeout?: number | undefined;
  /** How often the job may lose its worker (crash, blocked event loop) before it goes to the dead letters; 3. */
  maxStalls?: number | undefined;
  /** Whether a completed job is removed (`true`: at once), or how many are kept; 100 000 for 7 days. */
  removeOnComplete?: boolean | number | KeepOptions | undefined;
  /** The same for failed, cancelled and dead jobs. */
  removeOnFail?: boolean | number | KeepOptions | undefined;
}

/** Names and notes of a task, and how it is run. */
export interface TaskOptions extends JobOptions {
  /** Your own id of the task, 1 to 255 characters; the job id. It need not be unique. */
  taskId?: string | undefined;
  /** The task that this one belongs to; set by `context.spawn`. */
  parentTaskId?: string | undefined;
  /** Anything that the handler and `status` shall see beside the input. */
  metadata?: Readonly<Record<string, unknown>> | undefined;
}

/** A task for `spawn`. */
export interface SpawnTaskInput<T extends string = string> extends TaskOptions {
  /** Which sub-agent runs it. */
  agentType: T;
  /** What its `run` gets; written as JSON. */
  input?: InputFor<T> | undefined;
}

/** A task for `enqueueTask`: what is stored of it. */
export interface TaskPayload<T extends string = string> {
  agentType: T;
  input?: InputFor<T> | undefined;
  taskId?: string | undefined;
  parentTaskId?: string | undefined;
  metadata?: Readonly<Record<string, unknown>> | undefined;
}

declare const outputType: unique symbol;

/** A task that was accepted: it is durable from here on. */
export interface JobHandle<Output = unknown> {
  /** The id of the task: the one given, else the job id. */
  readonly taskId: string;
  /** The id of the job in its queue. */
  readonly jobId: string;
  readonly agentType: string;
  /** `true` where a job with this `jobId` existed: nothing was added. */
  readonly existing?: true;
  /** Only in the types: what the task results in. */
  readonly [outputType]?: Output;
}

/** What waits accept. */
export interface WaitOptions {
  /** Milliseconds, 0 (answer from what is known now) to 2 147 483 647; no limit. The wait ends with `ERR_WAIT_TIMEOUT`, the task goes on. */
  timeout?: number | undefined;
  /** Ends the wait with `ERR_WAIT_ABORTED`, whose `cause` is the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** Why a task failed. */
export interface TaskError {
  readonly name: string;
  readonly message: string;
  /** A code of this package, or the `code` of the error that the handler threw; `ERR_TASK_FAILED` where it had none. */
  readonly code: string;
  readonly stack?: string;
}

interface TaskEnd {
  readonly taskId: string;
  readonly jobId: string;
  readonly agentType: string;
  readonly parentTaskId: string | null;
  /** How often it was run. */
  readonly attempts: number;
  readonly addedAt: number;
  /** When the last attempt began; `null` if there was none. */
  readonly startedAt: number | null;
  readonly finishedAt: number;
  /** Milliseconds of the last attempt. */
  readonly duration: number;
}

/** A task that ended well. */
export interface TaskSuccess<Output = unknown> extends TaskEnd {
  readonly success: true;
  readonly state: "completed";
  readonly output: Output;
  readonly error?: undefined;
}

/** A task that ended without a result. */
export interface TaskFailure extends TaskEnd {
  readonly success: false;
  /** `failed`: attempts used up or the error was final; `cancelled`; `dead`: lost its worker too often. */
  readonly state: "failed" | "cancelled" | "dead";
  readonly error: TaskError;
  readonly output?: undefined;
}

/** How a task ended; `success` tells which. */
export type TaskResult<Output = unknown> = TaskSuccess<Output> | TaskFailure;

/** Where a job is in its life. */
export type JobState = "waiting" | "delayed" | "active" | "completed" | "failed" | "cancelled" | "dead";

/** One job as it is stored. */
export interface JobInfo<Output = unknown> {
  readonly jobId: string;
  readonly taskId: string;
  readonly agentType: string;
  readonly parentTaskId: string | null;
  readonly input: unknown;
  readonly metadata: Readonly<Record<string, unknown>> | null;
  /** All settings of the job, with the defaults filled in. */
  readonly options: JobOptions;
  readonly state: JobState;
  readonly priority: number;
  /** Attempts so far that failed or completed. */
  readonly attempts: number;
  /** How often it lost its worker. */
  readonly stalls: number;
  readonly addedAt: number;
  /** When it becomes or became due, if it was delayed. */
  readonly runAt: number | null;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  /** Of a completed job. */
  readonly output: Output | null;
  /** Of the last attempt that failed. */
  readonly error: TaskError | null;
  /** The last value given to `progress()`. */
  readonly progress: unknown;
  /** The id of the worker that runs it. */
  readonly worker: string | null;
}

/** How many jobs are in each state. */
export type JobCounts = Record<JobState, number>;

/** One line that a handler logged. */
export interface LogLine {
  /** Grows by one with every line of a job, from 1. The newest 1000 lines are kept. */
  readonly seq: number;
  readonly at: number;
  readonly line: string;
}

/** One worker of a queue, in this process or another. */
export interface WorkerInfo {
  readonly id: string;
  readonly queue: string;
  /** `host:pid`, or the `name` it was given. */
  readonly name: string;
  readonly concurrency: number;
  /** Jobs that it holds. */
  readonly running: number;
  readonly startedAt: number;
  /** Its last sign of life. */
  readonly beatAt: number;
  /** When its jobs are taken back, unless it gives another. */
  readonly leaseUntil: number;
}

/** Spawns tasks. Resolves when the task is durable. */
export interface Spawn {
  <T extends (keyof SubAgentTypes & string) | (string & {})>(task: SpawnTaskInput<T>): Promise<JobHandle<OutputFor<T>>>;
  <A extends AnySubAgent>(agent: A, input: InputOf<A>, options?: TaskOptions): Promise<JobHandle<OutputOf<A>>>;
}

/** What a handler knows about its task and can do. Members may be taken apart: `run(input, { signal, progress })`. */
export interface TaskContext {
  readonly taskId: string;
  readonly jobId: string;
  readonly agentType: string;
  /** 1 for the first. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** How often the job lost its worker before. */
  readonly stalls: number;
  readonly priority: number;
  readonly addedAt: number;
  readonly parentTaskId: string | null;
  readonly metadata: Readonly<Record<string, unknown>> | null;
  /** Aborts when the job is taken from the handler; its reason is a `MasterAgentError` (`ERR_TASK_TIMEOUT`, `ERR_TASK_CANCELLED`, `ERR_TASK_STALLED`, `ERR_TASK_LOST`, `ERR_CLOSED`). */
  readonly signal: AbortSignal;
  /** Notes how far the task is: any JSON value; kept with the job and sent to `task:progress`. Rejects with `ERR_TASK_LOST` if the job is no longer this handler's; not waiting for it is fine. */
  readonly progress: (value: unknown) => Promise<void>;
  /** Adds a line to the job's log, of which the newest 1000 lines are kept. */
  readonly log: (line: string) => Promise<void>;
  /** Begins the attempt's `timeout` anew. Leases need no heartbeat: they are renewed by themselves. */
  readonly heartbeat: () => Promise<void>;
  /** Spawns a child task in the same queue, with this task as its parent. */
  readonly spawn: Spawn;
  /** The `memory` of the master, else that of the process. Opened by its first call; its calls end with `signal`. */
  readonly memory: Memory;
}

/** Where tasks are stored. */
export interface ConnectionOptions {
  /**
   * `"embedded"` (in `APP_DATA_DIR`, else `./data`), the path of a folder, or the URL of a Redis server: `redis://`, `rediss://` (TLS),
   * `unix://`, `redis+sentinel://host:26379/master` or `redis+cluster://host:7000,host:7001`. Without it `REDIS_URL`, else `REDIS_HOST` with
   * `REDIS_PORT` and `REDIS_PASSWORD`, else `"embedded"`.
   */
  store?: string | undefined;
  /** How long a call waits for a Redis server that is away before it fails with `ERR_STORE_UNREACHABLE`, in milliseconds, 100 to 3,600,000; 5,000. */
  enqueueTimeout?: number | undefined;
  /** The queue; `QUEUE_NAME`. */
  queue?: string | undefined;
  /** What an accepted task survives: `"process"` (default) the death of every process, `"power"` also of the machine (a sync of the disk for every commit). */
  durability?: "process" | "power" | undefined;
  /** How a worker of this object is shown, up to 255 characters; `host:pid`. */
  name?: string | undefined;
  /** The largest input, result, metadata or progress value, in bytes of its JSON as UTF-8, up to 256 MiB; 16 MiB. */
  payloadLimit?: number | undefined;
  /** What jobs get that do not say otherwise; over `DEFAULT_JOB_OPTS`. */
  defaultJobOptions?: Omit<JobOptions, "jobId"> | undefined;
}

/** How a worker works. */
export interface WorkerOptions {
  /** How many tasks run at once, 1 to 100 000; `WORKER_CONCURRENCY`, else 5. */
  concurrency?: number | undefined;
  /** Milliseconds, 100 to one day, after which the tasks of a dead process are taken up by others; `WORKER_LEASE_MS`, else 3000. */
  lease?: number | undefined;
  /** Milliseconds, 100 to one day, that the event loop may be blocked before its tasks are given up; 60 000. */
  stallTimeout?: number | undefined;
}

/** Options of a `MasterAgent`. */
export interface MasterAgentOptions extends ConnectionOptions, WorkerOptions {
  /** Whether a worker starts by itself with the first registered sub-agent; `true`. It does not keep the process alive. */
  autostart?: boolean | undefined;
  /** The memory that sub-agents get as `context.memory`; that of the process (`LANCEDB_PATH`, else `APP_DATA_DIR/lancedb`, else `./data/lancedb`). It is not closed with the master. */
  // biome-ignore lint/suspicious/noExplicitAny: whatever its metadata
  memory?: Memory<any> | undefined;
}

/** How a sub-agent is registered. */
export interface RegisterOptions {
  /** How many of its tasks a worker runs at once, 1 or more; no limit but the worker's. */
  concurrency?: number | undefined;
  /** Take the place of another sub-agent of the same type; else that is `ERR_AGENT_EXISTS`. */
  replace?: boolean | undefined;
}

/** What every event says. */
export interface TaskEventBase {
  readonly taskId: string;
  readonly jobId: string;
  readonly agentType: string;
  readonly attempt: number;
  /** When it happened. */
  readonly at: number;
}

/** What events carry. They tell of the tasks of the queue in all processes, and are hints: a task's state is what `status` says. */
export interface TaskEvents {
  "task:started": TaskEventBase;
  "task:progress": TaskEventBase & { readonly progress: unknown };
  "task:completed": TaskEventBase & { readonly output: unknown };
  /** Failed for good; also cancelled and dead tasks, as `error.code` tells. */
  "task:failed": TaskEventBase & { readonly error: TaskError };
  /** An attempt failed; the next comes after `delay` milliseconds. */
  "task:retrying": TaskEventBase & { readonly error: TaskError; readonly delay: number };
}

/** All events of a `MasterAgent`. */
export interface MasterAgentEvents extends TaskEvents {
  /** The store works no longer (`error`), or again (`null`): once for each change. `health()` asks. */
  health: { readonly error: MasterAgentError | null };
}

/** Options of `health()`. */
export interface HealthOptions {
  /** Milliseconds, 100 to 3,600,000, after which a store that does not answer is taken for unreachable; 1000. */
  timeout?: number | undefined;
}

/** What `health()` answers. */
export interface StoreHealth {
  /**
   * `"ok"`: it answered and takes writes. `"unreachable"`: no answer within the timeout, or it is still loading its data; it may come back by
   * itself. `"failing"`: it is there and cannot be used, as `error` tells: no room, read-only, damaged, a wrong password, a newer layout.
   */
  readonly status: "ok" | "unreachable" | "failing";
  /** Which kind of store it is. */
  readonly store: "embedded" | "redis";
  /** Milliseconds, with fractions, from the question to the answer in JavaScript: the event loop's delay is in it. */
  readonly latencyMs: number;
  /** Why it cannot be used, with a code `ERR_STORE_…`; `null` when all is well. */
  readonly error: MasterAgentError | null;
  /** The server that answered, as it describes itself; `null` for the embedded store, and where there was no answer. */
  readonly server: {
    /** `"redis"` or `"valkey"`. */
    readonly name: string;
    /** Such as `"7.4.1"`. */
    readonly version: string;
    /** `"standalone"` or `"cluster"`. */
    readonly mode: string;
  } | null;
}

/** One event with its name, for `for await`. */
export type TaskEvent = { [K in keyof TaskEvents]: TaskEvents[K] & { readonly type: K } }[keyof TaskEvents];
