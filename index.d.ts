// The public contract of master-agent. Generated from ts/ by `npm run build`: do not edit.

/**
 * The one error class of the package, its closed list of codes, and the errors that user code can throw.
 * How a failure of a handler becomes a record lives in `worker.ts`.
 */
/** A code of a {@link MasterAgentError}: `ERR_<AREA>_<CAUSE>`. Each is explained in docs/errors.md. */
export type ErrorCode = "ERR_INPUT_INVALID" | "ERR_INPUT_NOT_SERIALIZABLE" | "ERR_INPUT_TOO_LARGE" | "ERR_INPUT_SCHEMA" | "ERR_STORE_FULL" | "ERR_STORE_READ_ONLY" | "ERR_STORE_CORRUPT" | "ERR_STORE_LOCKED" | "ERR_STORE_OPEN" | "ERR_STORE_VERSION" | "ERR_STORE_FAILED" | "ERR_STORE_CONFLICT" | "ERR_JOB_NOT_FOUND" | "ERR_JOB_STATE" | "ERR_JOB_REMOVED" | "ERR_TASK_CANCELLED" | "ERR_TASK_TIMEOUT" | "ERR_TASK_STALLED" | "ERR_TASK_FAILED" | "ERR_TASK_RESULT" | "ERR_TASK_LOST" | "ERR_AGENT_EXISTS" | "ERR_WAIT_TIMEOUT" | "ERR_WAIT_ABORTED" | "ERR_CLOSED" | "ERR_ADDON_LOAD" | "ERR_CLI_MODULE" | "ERR_INTERNAL";
/** All codes. */
export declare const ERROR_CODES: readonly ErrorCode[];
/** What a {@link MasterAgentError} carries beside its message. */
export interface MasterAgentErrorOptions {
	/** What led to this error. */
	cause?: unknown;
	/** Values that belong to the error, for logs and programs. */
	details?: Readonly<Record<string, unknown>> | undefined;
	/** Overrides what the code says. */
	retryable?: boolean | undefined;
}
/** The error of every call of this package. */
export declare class MasterAgentError extends Error {
	/** What went wrong, for programs. */
	readonly code: ErrorCode;
	/** Whether the same call can succeed later without a change to it. */
	readonly retryable: boolean;
	/** Values that belong to the error, such as `{ field }` or `{ jobId }`. */
	readonly details: Readonly<Record<string, unknown>> | undefined;
	constructor(code: ErrorCode, message: string, options?: MasterAgentErrorOptions);
}
/**
 * Thrown by a handler to end its task at once: no attempt follows.
 *
 * @example
 * throw new UnrecoverableError(`customer ${id} does not exist`);
 */
export declare class UnrecoverableError extends Error {
}
/** A schema of any library that follows Standard Schema v1 (https://standardschema.dev). */
export interface StandardSchema<Input = unknown, Output = Input> {
	readonly "~standard": {
		readonly version: 1;
		readonly vendor: string;
		readonly validate: (value: unknown) => StandardSchemaResult<Output> | Promise<StandardSchemaResult<Output>>;
		readonly types?: {
			readonly input: Input;
			readonly output: Output;
		} | undefined;
	};
}
/** What a schema answers: the value, or what is wrong with it. */
export type StandardSchemaResult<Output> = {
	readonly value: Output;
	readonly issues?: undefined;
} | {
	readonly issues: readonly StandardSchemaIssue[];
};
/** One thing that is wrong with a value. */
export interface StandardSchemaIssue {
	readonly message: string;
	readonly path?: readonly (PropertyKey | {
		readonly key: PropertyKey;
	})[] | undefined;
}
/**
 * The sub-agents of a program by their agent type, to be augmented, so that `spawn` knows inputs and outputs by name.
 *
 * @example
 * declare module "master-agent" {
 *   interface SubAgentTypes { "my-agent": MySubAgent }
 * }
 */
export interface SubAgentTypes {
}
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
export type InputOf<A> = A extends {
	readonly inputSchema: StandardSchema<infer Input, infer _Output>;
} ? Input : A extends {
	run(input: infer Input, ...rest: never[]): unknown;
} ? Input : unknown;
/** What a task of a sub-agent results in: what `run` returns, as it is after JSON. */
export type OutputOf<A> = A extends {
	run(...args: never[]): infer Output;
} ? Serialized<Awaited<Output>> : unknown;
/** The input of an agent type: typed where {@link SubAgentTypes} knows it. */
export type InputFor<T extends string> = T extends keyof SubAgentTypes ? InputOf<SubAgentTypes[T]> : unknown;
/** The output of an agent type: typed where {@link SubAgentTypes} knows it. */
export type OutputFor<T extends string> = T extends keyof SubAgentTypes ? OutputOf<SubAgentTypes[T]> : unknown;
/** `T` after it was written as JSON and read again: dates are strings, functions are gone. */
export type Serialized<T> = 0 extends 1 & T ? T : unknown extends T ? T : T extends {
	toJSON(...args: never[]): infer R;
} ? Serialized<R> : T extends string | number | boolean | null ? T : T extends undefined | void ? null : T extends readonly unknown[] ? {
	[K in keyof T]: Serialized<T[K]>;
} : T extends object ? {
	[K in keyof T as K extends symbol ? never : T[K] extends (...args: never[]) => unknown ? never : K]: SerializedMember<T[K]>;
} : never;
type SerializedMember<T> = undefined extends T ? unknown extends T ? T : Serialized<Exclude<T, undefined>> | undefined : Serialized<T>;
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
}
/** Where tasks are stored. */
export interface ConnectionOptions {
	/** `"embedded"` (in `APP_DATA_DIR`, else `./data`), or the path of a folder. */
	store?: string | undefined;
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
	"task:progress": TaskEventBase & {
		readonly progress: unknown;
	};
	"task:completed": TaskEventBase & {
		readonly output: unknown;
	};
	/** Failed for good; also cancelled and dead tasks, as `error.code` tells. */
	"task:failed": TaskEventBase & {
		readonly error: TaskError;
	};
	/** An attempt failed; the next comes after `delay` milliseconds. */
	"task:retrying": TaskEventBase & {
		readonly error: TaskError;
		readonly delay: number;
	};
}
/** All events of a `MasterAgent`. */
export interface MasterAgentEvents extends TaskEvents {
	/** The store works no longer (`error`), or again (`null`). */
	health: {
		readonly error: MasterAgentError | null;
	};
}
/** One event with its name, for `for await`. */
export type TaskEvent = {
	[K in keyof TaskEvents]: TaskEvents[K] & {
		readonly type: K;
	};
}[keyof TaskEvents];
/** Returns its input: agent type `echo`. */
export declare class EchoSubAgent<Input = unknown> implements ISubAgent<Input, {
	echo: Input;
}> {
	readonly agentType: string;
	run(input: Input, _context?: TaskContext): {
		echo: Input;
	};
}
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
export declare class MasterAgent {
	#private;
	/**
	 * Touches neither the disk nor the addon; the store is opened by the first call that needs it.
	 *
	 * @throws {@link MasterAgentError} `ERR_INPUT_INVALID` for an unknown option or a wrong value, also in the environment.
	 */
	constructor(masterOptions?: MasterAgentOptions);
	/** The store's folder, absolute. */
	get store(): string;
	/** The name of the queue. */
	get queue(): string;
	/** Whether a worker is started here, by itself or by `start()`. */
	get working(): boolean;
	/** How many handlers run here. */
	get running(): number;
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
	/**
	 * Adds tasks in one go, in order: up to 10 000 of them (or 32 MiB of text) all or none, more in such slices. If a later
	 * slice fails, the error's `details.added` says how many tasks were added.
	 */
	spawnParallel<const T extends readonly AgentTypeName[]>(tasks: readonly [
		...{
			[K in keyof T]: SpawnTaskInput<T[K]>;
		}
	]): Promise<{
		-readonly [K in keyof T]: JobHandle<OutputFor<T[K]>>;
	}>;
	/**
	 * Waits until a task has ended. A task that failed is a result too (`success: false`).
	 *
	 * @throws {@link MasterAgentError} `ERR_WAIT_TIMEOUT`, `ERR_WAIT_ABORTED`, `ERR_JOB_NOT_FOUND`, `ERR_JOB_REMOVED`, `ERR_CLOSED`, `ERR_STORE_…`.
	 */
	waitForJob<Output = unknown>(job: string | JobHandle<Output>, options?: WaitOptions): Promise<TaskResult<Output>>;
	/** Waits until all tasks have ended; results in the order of the ids or handles. Throws with the first wait that cannot be answered. */
	waitForJobs<const J extends readonly (string | JobHandle)[]>(jobs: J, options?: WaitOptions): Promise<ResultsOf<J>>;
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
	/** What is known of a job; `null` if it is not, or no longer, in the store. */
	status<Output = unknown>(job: string | JobHandle<Output>): Promise<JobInfo<Output> | null>;
	/**
	 * Ends a task. One that waits ends at once; the handler of one that runs, in this or another process, finds its `signal`
	 * aborted, and its outcome is ignored.
	 *
	 * @returns `false` if it had ended already.
	 * @throws {@link MasterAgentError} `ERR_JOB_NOT_FOUND`.
	 */
	cancel(job: string | JobHandle, reason?: string): Promise<boolean>;
	/** Listens to an event. The engine sends task events only while somebody listens. */
	on<K extends keyof MasterAgentEvents>(event: K, listener: Listener<K>): this;
	/** Listens to the next event of a kind. */
	once<K extends keyof MasterAgentEvents>(event: K, listener: Listener<K>): this;
	/** Ends what `on` or `once` began. */
	off<K extends keyof MasterAgentEvents>(event: K, listener: Listener<K>): this;
	/**
	 * All task events from now on, for `for await`. Ends with `break`, the signal, or `close()`.
	 *
	 * @example
	 * for await (const event of master.events({ signal })) console.log(event.type, event.taskId);
	 */
	events(options?: EventStreamOptions): TaskEventStream;
	/**
	 * Begins to run tasks of the sub-agents that are registered in this process, and keeps the process alive until `stop()` or
	 * `close()`. Later registrations are served too.
	 *
	 * @throws {@link MasterAgentError} `ERR_STORE_…` if the store cannot be used, `ERR_CLOSED`.
	 */
	start(): Promise<void>;
	/**
	 * Runs no more tasks: claims nothing new, waits up to `timeout` milliseconds (30 000) for the handlers that run, then aborts
	 * their signals and gives their tasks back to the queue. It does not start by itself again; `start()` does.
	 *
	 * @returns how many tasks were given back.
	 */
	stop(stopOptions?: {
		timeout?: number | undefined;
	}): Promise<{
		released: number;
	}>;
	/**
	 * Stops, answers every open wait with `ERR_CLOSED` and lets go of the store. Running handlers have up to `timeout` milliseconds
	 * (30 000). May be called again; calls after it are `ERR_CLOSED`.
	 */
	close(closeOptions?: {
		timeout?: number | undefined;
	}): Promise<void>;
	/** `close()` with its defaults, for `await using`. */
	[Symbol.asyncDispose](): Promise<void>;
}
/** The queue of tasks. */
export declare const QUEUE_NAME = "master-agent-tasks";
/** What a job gets that is added without options. Times in milliseconds. */
export declare const DEFAULT_JOB_OPTS: Readonly<{
	attempts: 3;
	backoff: Readonly<{
		readonly type: "exponential";
		readonly delay: 1000;
	}>;
	priority: 0;
	delay: 0;
	maxStalls: 3;
	removeOnComplete: Readonly<{
		count: 100000;
		age: 604800000;
	}>;
	removeOnFail: Readonly<{
		count: 100000;
		age: 604800000;
	}>;
}>;
type AgentOf<T extends string> = T extends keyof SubAgentTypes ? SubAgentTypes[T] : ISubAgent;
/** The registered sub-agents by agent type, to be read. */
declare class SubAgentRegistry implements Iterable<[
	string,
	ISubAgent
]> {
	#private;
	/** How many are registered. */
	get size(): number;
	/** The sub-agent of an agent type. */
	get<T extends (keyof SubAgentTypes & string) | (string & {})>(agentType: T): AgentOf<T> | undefined;
	/** Whether an agent type has a sub-agent. */
	has(agentType: string): boolean;
	/** The agent types, in the order in which they were registered. */
	keys(): IterableIterator<string>;
	/** The sub-agents. */
	values(): IterableIterator<ISubAgent>;
	/** Agent types with their sub-agents. */
	entries(): IterableIterator<[
		string,
		ISubAgent
	]>;
	[Symbol.iterator](): IterableIterator<[
		string,
		ISubAgent
	]>;
}
/**
 * Makes a sub-agent known in this process. Running workers serve it at once.
 *
 * @returns the sub-agent itself, to be passed to `spawn` and `run` with its types.
 * @throws {@link MasterAgentError} `ERR_AGENT_EXISTS` if another one is registered for its type.
 *
 * @example
 * const upper = registerSubAgent({
 *   agentType: "upper",
 *   run: (input: { text: string }) => input.text.toUpperCase(),
 * });
 */
export declare function registerSubAgent<A extends AnySubAgent>(agent: A, registerOptions?: RegisterOptions): A;
/**
 * Takes a sub-agent, or the one of an agent type, out of this process. What it runs now goes on to its end.
 *
 * @returns whether it was registered.
 */
export declare function unregisterSubAgent(agent: string | AnySubAgent): boolean;
/** The sub-agents that are registered in this process, to be read; it follows later changes. */
export declare function getSubAgentRegistry(): SubAgentRegistry;
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
/** A queue of tasks. It runs nothing: that is what a `MasterAgent` or a worker process does. */
export declare class TaskQueue {
	#private;
	/** The store's folder, absolute. */
	readonly store: string;
	/** The name of the queue. */
	readonly name: string;
	/** @throws {@link MasterAgentError} `ERR_INPUT_INVALID`. */
	constructor(queueOptions?: TaskQueueOptions);
	/** Whether `close` was called. */
	get closed(): boolean;
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
	/** Adds jobs in order: up to 10 000 (or 32 MiB of text) all or none, more in such slices. */
	addBulk(jobs: readonly BulkJob[]): Promise<JobHandle[]>;
	/** Adds a task as `enqueueTask` does. */
	enqueue<T extends AgentTypeName>(payload: TaskPayload<T>, opts?: JobOptions): Promise<JobHandle<OutputFor<T>>>;
	/** Adds tasks as `enqueueTasks` does. */
	enqueueAll(payloads: readonly TaskPayload[], opts?: Omit<JobOptions, "jobId">): Promise<JobHandle[]>;
	/** A job, or `null`. */
	get<Output = unknown>(job: string | JobHandle<Output>): Promise<JobInfo<Output> | null>;
	/** The same as {@link get}. */
	getJob<Output = unknown>(job: string | JobHandle<Output>): Promise<JobInfo<Output> | null>;
	/** Jobs by id, in order, `null` where there is none. */
	getMany(jobs: readonly (string | JobHandle)[]): Promise<(JobInfo | null)[]>;
	/** One page of jobs. */
	list(listOptions?: ListOptions): Promise<JobPage>;
	/**
	 * All jobs, page by page. Jobs that change their state meanwhile may be missed or come twice.
	 *
	 * @example
	 * for await (const job of queue.jobs({ state: "failed" })) await queue.retry(job.jobId);
	 */
	jobs(listOptions?: ListOptions): AsyncGenerator<JobInfo, void, undefined>;
	/** How many jobs are in each state, of all agent types or of one. */
	counts(agentType?: string): Promise<JobCounts>;
	/** The same as {@link counts}. */
	getJobCounts(agentType?: string): Promise<JobCounts>;
	/** How many jobs of each agent type are in each state. */
	countsByAgent(): Promise<Record<string, JobCounts>>;
	/** Lets no worker, in any process, take more jobs of this queue. What runs goes on. */
	pause(): Promise<void>;
	/** Ends `pause()`. */
	resume(): Promise<void>;
	/** Whether the queue is paused. */
	isPaused(): Promise<boolean>;
	/**
	 * Removes all waiting jobs, and the delayed ones if asked.
	 *
	 * @returns how many.
	 */
	drain(drainOptions?: {
		delayed?: boolean | undefined;
	}): Promise<number>;
	/**
	 * Removes jobs of one state, oldest first.
	 *
	 * @returns how many.
	 */
	clean(cleanOptions?: CleanOptions): Promise<number>;
	/**
	 * Lets an ended job wait again, with its attempts counted from zero.
	 *
	 * @throws {@link MasterAgentError} `ERR_JOB_NOT_FOUND`, or `ERR_JOB_STATE` if it has not ended.
	 */
	retry(job: string | JobHandle): Promise<void>;
	/**
	 * Lets a delayed job wait now.
	 *
	 * @throws {@link MasterAgentError} `ERR_JOB_NOT_FOUND`, or `ERR_JOB_STATE` if it is not delayed.
	 */
	promote(job: string | JobHandle): Promise<void>;
	/**
	 * Removes a job. Who waits for it gets `ERR_JOB_REMOVED`.
	 *
	 * @throws {@link MasterAgentError} `ERR_JOB_NOT_FOUND`, or `ERR_JOB_STATE` if it is running: cancel it first.
	 */
	remove(job: string | JobHandle): Promise<void>;
	/** Ends a job as `MasterAgent.cancel` does; `false` if it had ended already. */
	cancel(job: string | JobHandle, reason?: string): Promise<boolean>;
	/**
	 * The log lines of a job, oldest first.
	 *
	 * @param logOptions `after`: only lines with a greater `seq`; `limit`: 1 to 1000 lines, 1000.
	 */
	logs(job: string | JobHandle, logOptions?: {
		after?: number | undefined;
		limit?: number | undefined;
	}): Promise<LogLine[]>;
	/** The workers of this queue, in all processes. */
	workers(): Promise<WorkerInfo[]>;
	/** The names of all queues of the store. */
	queues(): Promise<string[]>;
	/**
	 * Removes the queue with everything in it.
	 *
	 * @throws {@link MasterAgentError} `ERR_JOB_STATE` while jobs run, unless `force` is `true`.
	 */
	obliterate(obliterateOptions?: {
		force?: boolean | undefined;
	}): Promise<void>;
	/** Lets go of the store. May be called again; calls after it are `ERR_CLOSED`. */
	close(closeOptions?: {
		timeout?: number | undefined;
	}): Promise<void>;
	/** `close()`, for `await using`. */
	[Symbol.asyncDispose](): Promise<void>;
}
/**
 * The task queue of a store. Calls with the same store, queue and durability give the same object until it is closed; one with
 * a `name`, `payloadLimit` or `defaultJobOptions` is a new one every time.
 */
export declare function getTaskQueue(queueOptions?: TaskQueueOptions): TaskQueue;
/**
 * Adds a task to the default queue. It is durable when this resolves.
 *
 * @example
 * const { jobId } = await enqueueTask({ agentType: "my-agent", input: { query: "hello" } }, { attempts: 5 });
 */
export declare function enqueueTask<T extends AgentTypeName>(payload: TaskPayload<T>, opts?: JobOptions): Promise<JobHandle<OutputFor<T>>>;
/** Adds tasks to the default queue, in order, with the same options; see `TaskQueue.addBulk` for what is atomic. */
export declare function enqueueTasks(payloads: readonly TaskPayload[], opts?: Omit<JobOptions, "jobId">): Promise<JobHandle[]>;

export type { SubAgentRegistry };
