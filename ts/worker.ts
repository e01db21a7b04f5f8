/**
 * Runs handlers: what the engine claimed comes in, outcomes go out. Leases, retries and time limits are the engine's.
 *
 * A task costs one context and one entry in a map here. Everything else is made when the handler asks for it.
 */
import { channel } from "node:diagnostics_channel";
import type { WorkerConfig } from "./config";
import type { Connection, WorkerPort } from "./connection";
import { Failure, invalid, MasterAgentError, type NativeError } from "./errors";
import { failureOf } from "./failure";
import { defaultMemory } from "./memory/default";
import type { Memory } from "./memory/memory";
import type { ClaimedJob } from "./native";
import { show } from "./options";
import { toJson } from "./payload";
import { onRegistryChange, type Registration, registrationOf, servedAgents } from "./registry";
import { checkSchema } from "./schema";
import type { Spawner } from "./spawner";
import type { Spawn, TaskContext } from "./types";

/** The places in a {@link ClaimedJob}. */
const HANDLE = 0;
const ID = 1;
const KEY = 2;
const TASK_ID = 3;
const AGENT_TYPE = 4;
const ATTEMPT = 5;
const STALLS = 6;
const PARENT = 7;
const PRIORITY = 8;
const ADDED_AT = 9;
const MAX_ATTEMPTS = 10;
const METADATA = 11;
const INPUT = 12;

/** Tells, in this process alone, of each attempt that begins: the message is its context. Costs nothing while nobody listens. */
const attempts = channel("master-agent:attempt");

/** The worker of one connection. */
export class Worker implements WorkerPort {
  readonly #connection: Connection;
  readonly #spawner: Spawner;
  readonly #config: WorkerConfig;
  readonly #memory: Memory | undefined;
  readonly #running = new Map<number, Context>();
  /** Outcomes that go out in one call at the most, so that the engine's commit overlaps with handlers. */
  readonly #most: number;
  #unsubscribe: (() => void) | undefined;
  #agentsQueued = false;

  constructor(connection: Connection, spawner: Spawner, config: WorkerConfig, memory?: Memory) {
    this.#connection = connection;
    this.#spawner = spawner;
    this.#config = config;
    this.#memory = memory;
    this.#most = Math.max(1, config.concurrency >> 1);
  }

  /** How many handlers run. */
  get running(): number {
    return this.#running.size;
  }

  /** Begins to claim. */
  async start(held: boolean): Promise<Failure | undefined> {
    const { concurrency, lease, stallTimeout } = this.#config;
    this.#connection.worker = this;
    this.#unsubscribe = onRegistryChange(() => this.#agentsChanged());
    const body = JSON.stringify({ op: "start", concurrency, lease, stallTimeout, agents: servedAgents() });
    const reply = await this.#connection.request(body, held);
    if (reply instanceof Failure) {
      this.detach();
      return reply;
    }
    this.#connection.pulse(Math.min(1_000, Math.ceil(stallTimeout / 4)));
    return undefined;
  }

  /** Claims no more, waits for running handlers up to `timeout` milliseconds and gives the rest back. */
  async stop(timeout: number): Promise<number | Failure> {
    const reply = await this.#connection.request(JSON.stringify({ op: "stop", timeout }));
    this.detach();
    this.#connection.pulse(undefined);
    return reply instanceof Failure ? reply : ((reply as { released?: number } | null)?.released ?? 0);
  }

  /** Follows the registry no longer. */
  detach(): void {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }

  #agentsChanged(): void {
    if (this.#agentsQueued) {
      return;
    }
    // Registrations of one tick are told together.
    this.#agentsQueued = true;
    process.nextTick(() => {
      this.#agentsQueued = false;
      if (this.#unsubscribe !== undefined && !this.#connection.closing) {
        void this.#connection.request(JSON.stringify({ op: "agents", agents: servedAgents() }), false);
      }
    });
  }

  run(jobs: ClaimedJob[]): void {
    for (const job of jobs) {
      this.#connection.hold();
      const registration = registrationOf(job[AGENT_TYPE]);
      const context = new Context(this, job);
      this.#running.set(job[HANDLE], context);
      if (attempts.hasSubscribers) {
        attempts.publish(context);
      }
      if (registration === undefined) {
        this.#giveBack(job[HANDLE]);
      } else if (registration.schema === undefined) {
        this.#call(registration, job, job[INPUT], context);
      } else {
        void this.#callChecked(registration, job, context);
      }
    }
  }

  #call(registration: Registration, job: ClaimedJob, input: unknown, context: Context): void {
    const handle = job[HANDLE];
    try {
      const outcome: unknown = registration.agent.run(input, context);
      if (typeof outcome === "object" && outcome !== null && typeof (outcome as PromiseLike<unknown>).then === "function") {
        void this.#follow(handle, outcome as PromiseLike<unknown>);
      } else {
        this.#complete(handle, outcome);
      }
    } catch (thrown) {
      this.#fail(handle, thrown, false);
    }
  }

  async #callChecked(registration: Registration, job: ClaimedJob, context: Context): Promise<void> {
    let input: unknown;
    try {
      input = await checkSchema(registration.schema as NonNullable<Registration["schema"]>, job[INPUT], job[AGENT_TYPE]);
    } catch (thrown) {
      this.#fail(job[HANDLE], thrown, true);
      return;
    }
    // It may have been cancelled meanwhile.
    if (this.#running.has(job[HANDLE])) {
      this.#call(registration, job, input, context);
    }
  }

  async #follow(handle: number, outcome: PromiseLike<unknown>): Promise<void> {
    let output: unknown;
    try {
      output = await outcome;
    } catch (thrown) {
      this.#fail(handle, thrown, false);
      return;
    }
    this.#complete(handle, output);
  }

  #complete(handle: number, output: unknown): void {
    if (!this.#running.has(handle)) {
      return;
    }
    let text: string;
    try {
      text = output === undefined ? "null" : toJson(output, "output", this.#spawner.limit);
    } catch (cause) {
      const problem = cause instanceof Error ? cause.message : String(cause);
      this.#fail(
        handle,
        new MasterAgentError("ERR_TASK_RESULT", `The handler's result cannot be stored: ${problem}`, { cause }),
        true,
      );
      return;
    }
    this.#end(handle, `${handle},1,${text}`);
  }

  #fail(handle: number, thrown: unknown, final: boolean): void {
    if (!this.#running.has(handle)) {
      return;
    }
    const failure = failureOf(thrown);
    this.#end(handle, `${handle},0,${JSON.stringify(failure.record)},${final || failure.final ? 1 : 0}`);
  }

  /** The agent was unregistered after the claim: the task waits again, for a worker that serves it. */
  #giveBack(handle: number): void {
    this.#end(handle, `${handle},2,null`);
  }

  #end(handle: number, outcome: string): void {
    this.#running.delete(handle);
    this.#connection.settle(outcome, this.#most, this.#running.size);
    this.#connection.release();
  }

  taken(handle: number, error: NativeError): void {
    const context = this.#running.get(handle);
    if (context !== undefined) {
      this.#running.delete(handle);
      this.#connection.release();
      context.abort(error);
    }
  }

  /** @internal Something that a handler tells of its task. It may fail unseen: the handler need not wait for it. */
  note(handle: number, body: string, jobId: string): Promise<void> {
    const told = this.#tell(handle, body, jobId);
    told.catch(noop);
    return told;
  }

  async #tell(handle: number, body: string, jobId: string): Promise<void> {
    if (!this.#running.has(handle)) {
      throw new MasterAgentError("ERR_TASK_LOST", `Job ${jobId} is no longer this handler's: it ended or was taken back`, {
        details: { jobId },
      });
    }
    const reply = await this.#connection.note(body);
    if (reply instanceof Failure) {
      throw reply.toError({ jobId });
    }
  }

  /** @internal */
  get spawner(): Spawner {
    return this.#spawner;
  }

  /** @internal What the contexts of its tasks have as their memory. */
  get memory(): Memory {
    return this.#memory ?? defaultMemory();
  }
}

/** The context of one attempt. */
class Context implements TaskContext {
  readonly #worker: Worker;
  readonly #job: ClaimedJob;
  #controller: AbortController | undefined;
  #reason: MasterAgentError | undefined;
  #memory: Memory | undefined;

  constructor(worker: Worker, job: ClaimedJob) {
    this.#worker = worker;
    this.#job = job;
  }

  get jobId(): string {
    return this.#job[KEY] ?? String(this.#job[ID]);
  }
  get taskId(): string {
    return this.#job[TASK_ID] ?? this.jobId;
  }
  get agentType(): string {
    return this.#job[AGENT_TYPE];
  }
  get attempt(): number {
    return this.#job[ATTEMPT];
  }
  get maxAttempts(): number {
    return this.#job[MAX_ATTEMPTS];
  }
  get stalls(): number {
    return this.#job[STALLS];
  }
  get priority(): number {
    return this.#job[PRIORITY];
  }
  get addedAt(): number {
    return this.#job[ADDED_AT];
  }
  get parentTaskId(): string | null {
    return this.#job[PARENT];
  }
  get metadata(): Readonly<Record<string, unknown>> | null {
    return this.#job[METADATA] as Record<string, unknown> | null;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) {
        this.#controller.abort(this.#reason);
      }
    }
    return this.#controller.signal;
  }

  // The functions are made when they are asked for, bound, so that they can be taken apart from the context.
  get progress(): (value: unknown) => Promise<void> {
    return (value) => {
      const text = toJson(value, "progress", this.#worker.spawner.limit);
      return this.#note(`{"op":"progress","handle":${this.#job[HANDLE]},"value":${text}}`);
    };
  }
  get log(): (line: string) => Promise<void> {
    return (line) => {
      if (typeof line !== "string") {
        throw invalid("line", `must be a string, not ${show(line)}`);
      }
      const text = toJson(line.toWellFormed(), "line", this.#worker.spawner.limit);
      return this.#note(`{"op":"log","handle":${this.#job[HANDLE]},"line":${text}}`);
    };
  }
  get heartbeat(): () => Promise<void> {
    return () => this.#note(`{"op":"heartbeat","handle":${this.#job[HANDLE]}}`);
  }
  get spawn(): Spawn {
    const spawn = (first: unknown, input?: unknown, taskOptions?: unknown) =>
      this.#worker.spawner.spawn(first, input, taskOptions, this.taskId);
    return spawn as Spawn;
  }
  get memory(): Memory {
    this.#memory ??= this.#worker.memory.boundTo(this.signal);
    return this.#memory;
  }

  #note(body: string): Promise<void> {
    return this.#worker.note(this.#job[HANDLE], body, this.jobId);
  }

  /** Tells the handler that the job is no longer its own. */
  abort(error: NativeError): void {
    this.#reason = new Failure(error).toError({ jobId: this.jobId });
    this.#controller?.abort(this.#reason);
  }
}

function noop(): void {}
