/** From what a user passes to `spawn`, `enqueueTask` or `add` to accepted jobs. */
import type { Connection, ExistingJob, SubmitReply } from "./connection";
import { Failure, invalid } from "./errors";
import {
  type EncodedJob,
  encodeFull,
  encodePlain,
  JOB_OPTION_KEYS,
  type JobDefaults,
  name,
  options,
  show,
  type TaskExtras,
  unknownOption,
} from "./options";
import { toJson } from "./payload";
import { registrationOf } from "./registry";
import type { NativeJob } from "./result";
import { checkSchema } from "./schema";
import type { JobHandle, JobOptions, SpawnTaskInput, TaskOptions, TaskPayload } from "./types";

const OPTION_KEYS: ReadonlySet<string> = new Set<keyof TaskOptions>([...JOB_OPTION_KEYS, "taskId", "parentTaskId", "metadata"]);
const TASK_KEYS: ReadonlySet<string> = new Set<keyof SpawnTaskInput>([
  "agentType",
  "input",
  ...(OPTION_KEYS as ReadonlySet<keyof TaskOptions>),
]);
const PAYLOAD_KEYS: ReadonlySet<string> = new Set<keyof TaskPayload>([
  "agentType",
  "input",
  "taskId",
  "parentTaskId",
  "metadata",
]);

const BULK_KEYS = new Set(["name", "payload", "opts"] as const);

/** Adds tasks to the queue of one connection. */
export class Spawner {
  readonly #connection: Connection;
  readonly #defaults: JobDefaults;
  /** The payload limit in bytes. */
  readonly limit: number;

  constructor(connection: Connection, defaults: JobDefaults, limit: number) {
    this.#connection = connection;
    this.#defaults = defaults;
    this.limit = limit;
  }

  /** The three forms of `spawn`: a task, or a sub-agent or agent type with an input. */
  async spawn(first: unknown, input: unknown, taskOptions: unknown, parent?: string): Promise<JobHandle> {
    const job = this.#encode(first, input, taskOptions, parent);
    return this.add(job instanceof Promise ? await job : job);
  }

  #encode(first: unknown, input: unknown, taskOptions: unknown, parent?: string): EncodedJob | Promise<EncodedJob> {
    if (typeof first === "string") {
      return this.#encodeParts(first, input, options(taskOptions, "options", OPTION_KEYS), "options.", parent);
    }
    if (typeof first === "object" && first !== null && typeof (first as { run?: unknown }).run === "function") {
      const agentType = name((first as { agentType?: unknown }).agentType, "agent.agentType");
      return this.#encodeParts(agentType, input, options(taskOptions, "options", OPTION_KEYS), "options.", parent);
    }
    if (typeof first === "object" && first !== null && (taskOptions !== undefined || input !== undefined)) {
      throw invalid("task", "takes its options as members: spawn({ agentType, input, priority, … })");
    }
    return this.encodeTask(first, "", parent);
  }

  /** Encodes a `SpawnTaskInput`, whose place errors show as `prefix`: `tasks[3].`, say. Waits only for an asynchronous schema. */
  encodeTask(task: unknown, prefix: string, parent?: string): EncodedJob | Promise<EncodedJob> {
    if (typeof task !== "object" || task === null) {
      throw invalid(prefix === "" ? "task" : prefix.slice(0, -1), `must be an object { agentType, input, … }, not ${show(task)}`);
    }
    let plain = parent === undefined;
    for (const key in task) {
      if (key !== "agentType" && key !== "input") {
        plain = false;
        if (!TASK_KEYS.has(key)) {
          throw unknownOption(prefix, key, TASK_KEYS);
        }
      }
    }
    const { agentType, input } = task as { agentType: unknown; input?: unknown };
    if (plain) {
      const inputJson = toJson(input, `${prefix}input`, this.limit);
      const text = encodePlain(agentType as string, inputJson, this.#defaults, prefix);
      return this.#checked({ text, agentType: agentType as string, taskId: undefined, key: undefined }, inputJson);
    }
    return this.#encodeParts(agentType as string, input, task as TaskOptions, prefix, parent);
  }

  /** Encodes a `TaskPayload` with job options beside it. */
  encodePayload(payload: unknown, jobOptions: unknown, field: string): EncodedJob | Promise<EncodedJob> {
    const { agentType, input, ...extras } = options(payload, field, PAYLOAD_KEYS);
    const settings = this.#defaults.checked(jobOptions, "options");
    const inputJson = toJson(input, `${field}.input`, this.limit);
    return this.#checked(encodeFull(agentType as string, inputJson, extras, settings, this.limit, `${field}.`), inputJson);
  }

  /** Encodes one job of `TaskQueue.addBulk`. */
  encodeBulk(job: unknown, field: string): EncodedJob | Promise<EncodedJob> {
    const { name: agentType, payload, opts } = options(job, field, BULK_KEYS);
    const given = options(opts, `${field}.opts`, OPTION_KEYS);
    return this.#encodeParts(name(agentType, `${field}.name`), payload, given, `${field}.opts.`, undefined, `${field}.payload`);
  }

  #encodeParts(
    agentType: string,
    input: unknown,
    given: TaskExtras & JobOptions,
    prefix: string,
    parent?: string,
    inputField = prefix === "options." ? "input" : `${prefix}input`,
  ): EncodedJob | Promise<EncodedJob> {
    const extras = parent === undefined || given.parentTaskId !== undefined ? given : { ...given, parentTaskId: parent };
    const settings = this.#defaults.settings(given, prefix);
    const inputJson = toJson(input, inputField, this.limit);
    return this.#checked(encodeFull(agentType, inputJson, extras, settings, this.limit, prefix), inputJson);
  }

  /** Asks the schema of the sub-agent, if it is registered here. It sees the input as the handler will: after JSON. */
  #checked(job: EncodedJob, inputJson: string): EncodedJob | Promise<EncodedJob> {
    const schema = registrationOf(job.agentType)?.schema;
    if (schema === undefined) {
      return job;
    }
    const answer = checkSchema(schema, JSON.parse(inputJson), job.agentType);
    return answer instanceof Promise ? answer.then(() => job) : job;
  }

  /** Adds one encoded job. */
  async add(job: EncodedJob): Promise<JobHandle> {
    const reply: SubmitReply = await this.#connection.submit(job.text);
    if (typeof reply === "string") {
      return accepted(job, reply);
    }
    if (reply instanceof Failure) {
      throw reply.toError({ agentType: job.agentType });
    }
    const [handle] = await this.#existing([job], [reply]);
    return handle as JobHandle;
  }

  /** Adds encoded jobs, in order. */
  async addAll(encoded: (EncodedJob | Promise<EncodedJob>)[]): Promise<JobHandle[]> {
    const jobs = encoded.some((job) => job instanceof Promise) ? await Promise.all(encoded) : (encoded as EncodedJob[]);
    const replies = await this.#connection.submitAll(jobs.map((job) => job.text));
    if (replies instanceof Failure) {
      throw replies.toError();
    }
    return this.#existing(jobs, replies);
  }

  /** Handles of accepted jobs. Those that were there before are looked up for the id of their task. */
  async #existing(jobs: readonly EncodedJob[], replies: readonly (string | ExistingJob)[]): Promise<JobHandle[]> {
    const found = new Map<string, NativeJob>();
    const ids = replies.flatMap((reply) => (typeof reply === "string" ? [] : [reply.existing]));
    for (let start = 0; start < ids.length; start += 1_000) {
      const slice = ids.slice(start, start + 1_000);
      const views = await this.#connection.request(JSON.stringify({ op: "get", ids: slice }));
      if (Array.isArray(views)) {
        for (const [index, view] of (views as (NativeJob | null)[]).entries()) {
          if (view !== null) {
            found.set(slice[index] as string, view);
          }
        }
      }
    }
    return jobs.map((job, index) => {
      const reply = replies[index] as string | ExistingJob;
      if (typeof reply === "string") {
        return accepted(job, reply);
      }
      const view = found.get(reply.existing);
      const jobId = view?.id ?? job.key ?? reply.existing;
      return {
        taskId: view?.taskId ?? (view === undefined ? job.taskId : undefined) ?? jobId,
        jobId,
        agentType: view?.agentType ?? job.agentType,
        existing: true,
      };
    });
  }
}

/** The handle of a new job. One with a key of the user's is known by it. */
function accepted(job: EncodedJob, id: string): JobHandle {
  const jobId = job.key ?? id;
  return { taskId: job.taskId ?? jobId, jobId, agentType: job.agentType };
}
