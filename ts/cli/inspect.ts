/** `status` and `jobs …`: looks into a store and changes single jobs. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { JobInfo, JobState, LogLine, TaskQueue } from "master-agent";
import type { CommandName } from "./commands";
import { described } from "./failure";
import { ownLibrary } from "./library";
import {
  ago,
  type Cell,
  type Column,
  columns,
  duration,
  manyLines,
  oneLine,
  paint,
  print,
  printError,
  printJson,
  type Style,
  table,
} from "./terminal";
import { guess, text, UsageError, type Values, wholeNumber } from "./values";

/** What an embedded store keeps its state in. */
const FILE = "state.db";

/** A store that is a server is shown as its URL. */
const SERVER = /^[a-z][a-z0-9+.-]+:\/\//i;

const STATES = [
  "waiting",
  "delayed",
  "active",
  "completed",
  "failed",
  "cancelled",
  "dead",
] as const satisfies readonly JobState[];

const STYLES: Partial<Record<JobState, Style>> = {
  active: "cyan",
  completed: "green",
  failed: "red",
  dead: "red",
  delayed: "yellow",
};

/** Looks without touching: a store that is not there is not made. */
async function inQueue<T>(values: Values, work: (queue: TaskQueue) => Promise<T>): Promise<T> {
  const { TaskQueue, MasterAgentError } = ownLibrary();
  const queue = new TaskQueue({ store: text(values.store), queue: text(values.queue) });
  if (!SERVER.test(queue.store) && !existsSync(join(queue.store, FILE))) {
    throw new MasterAgentError(
      "ERR_STORE_OPEN",
      `There is no store in ${queue.store}: no task was added there yet. Another folder is named with --store or APP_DATA_DIR.`,
      { details: { path: queue.store } },
    );
  }
  try {
    return await work(queue);
  } finally {
    await queue.close({ timeout: 0 });
  }
}

const state = (name: JobState): Cell => {
  const style = STYLES[name];
  return style === undefined ? name : { text: name, style };
};

/** The job's error, for a line. */
const reason = ({ error }: JobInfo): string => (error === null ? "" : oneLine(`${error.code}: ${error.message}`));

const iso = (at: number | null): string => (at === null ? "" : new Date(at).toISOString());

/** `master-agent status`. */
export async function showStatus(values: Values): Promise<void> {
  const document = await inQueue(values, async (queue) => {
    const [agents, total, workers, paused, queues] = await Promise.all([
      queue.countsByAgent(),
      queue.counts(),
      queue.workers(),
      queue.isPaused(),
      queue.queues(),
    ]);
    return { store: queue.store, queue: queue.name, paused, agents, total, workers, queues };
  });
  if (values.json === true) {
    printJson(document);
    return;
  }
  const { store, queue, paused, agents, total, workers, queues } = document;
  const room = columns();
  const names = Object.keys(agents).sort();
  if (room === undefined) {
    print(`store\t${store}`);
    print(`queue\t${oneLine(queue)}\t${paused ? "paused" : "running"}`);
    for (const name of names) {
      print(["agent", oneLine(name), ...STATES.map((one) => `${one}=${agents[name]?.[one] ?? 0}`)].join("\t"));
    }
    for (const { name, running, concurrency, startedAt, beatAt } of workers) {
      print(
        ["worker", oneLine(name), `running=${running}`, `concurrency=${concurrency}`, iso(startedAt), iso(beatAt)].join("\t"),
      );
    }
    return;
  }
  print(`${paint("dim", "Store")}  ${store}`);
  print(`${paint("dim", "Queue")}  ${oneLine(queue)}${paused ? paint("yellow", "  paused") : ""}`);
  const others = queues.filter((one) => one !== queue).map(oneLine);
  if (others.length > 0) {
    print(`${paint("dim", "Other queues")}  ${others.join(", ")}`);
  }
  print("");
  if (names.length === 0) {
    print("No tasks.");
  } else {
    const heads: Column[] = STATES.map((one) => ({ title: one.toUpperCase(), right: true, blank: "0" }));
    const row = (counts: (typeof agents)[string] | undefined): Cell[] =>
      STATES.map((one) => {
        const count = counts?.[one] ?? 0;
        const style = STYLES[one];
        return count === 0 || style === undefined ? String(count) : { text: String(count), style };
      });
    const rows = names.map((name) => [oneLine(name), ...row(agents[name])]);
    if (names.length > 1) {
      rows.push([{ text: "total", style: "bold" }, ...row(total)]);
    }
    print(table([{ title: "AGENT TYPE", least: 12 }, ...heads], rows, room).join("\n"));
  }
  print("");
  if (workers.length === 0) {
    const open = total.waiting + total.delayed + total.active;
    print(open > 0 ? paint("yellow", "No worker: what waits is run when one starts.") : "No workers.");
    return;
  }
  const now = Date.now();
  const rows = workers.map(({ name, running, concurrency, startedAt, beatAt }) => [
    oneLine(name),
    `${running} of ${concurrency}`,
    ago(startedAt, now),
    ago(beatAt, now),
  ]);
  print(
    table(
      [{ title: "WORKER", least: 12 }, { title: "BUSY", right: true }, { title: "STARTED" }, { title: "SEEN" }],
      rows,
      room,
    ).join("\n"),
  );
}

function statesOf(value: string | undefined): JobState[] | undefined {
  return value?.split(",").map((part) => {
    const name = part.trim();
    const found = STATES.find((one) => one === name);
    if (found === undefined) {
      throw new UsageError(`--state takes ${STATES.join(", ")}, not ${name}.${guess(name, STATES)}`, "jobs list");
    }
    return found;
  });
}

/** `master-agent jobs list`. */
export async function listJobs(values: Values): Promise<void> {
  const states = statesOf(text(values.state));
  const limit = wholeNumber(values.limit, "limit", 1, 1_000) ?? 20;
  const page = await inQueue(values, (queue) =>
    queue.list({ state: states, agentType: text(values.agent), limit, cursor: text(values.cursor) }),
  );
  if (values.json === true) {
    printJson({ jobs: page.jobs, cursor: page.cursor ?? null });
    return;
  }
  const room = columns();
  if (room === undefined) {
    for (const job of page.jobs) {
      const { jobId, agentType, attempts, addedAt, finishedAt } = job;
      print(
        [oneLine(jobId), job.state, oneLine(agentType), attempts, iso(addedAt), iso(finishedAt), reason(job)]
          .join("\t")
          .trimEnd(),
      );
    }
    // Standard output has nothing but jobs, for the programs that read it.
    if (page.cursor !== undefined) {
      printError(`more: --cursor ${page.cursor}`);
    }
    return;
  }
  if (page.jobs.length === 0) {
    print("No such jobs.");
    return;
  }
  const now = Date.now();
  const heads: Column[] = [
    { title: "JOB", least: 10 },
    { title: "STATE" },
    { title: "AGENT TYPE", least: 10 },
    { title: "ATTEMPTS", right: true },
    { title: "ADDED" },
    { title: "NOTE", least: 8, blank: "" },
  ];
  const rows = page.jobs.map((job) => [
    oneLine(job.jobId),
    state(job.state),
    oneLine(job.agentType),
    String(job.attempts),
    ago(job.addedAt, now),
    noteOf(job, now),
  ]);
  print(table(heads, rows, room).join("\n"));
  if (page.cursor !== undefined) {
    print(paint("dim", `More: --cursor ${page.cursor}`));
  }
}

function noteOf(job: JobInfo, now: number): string {
  switch (job.state) {
    case "completed":
      return job.startedAt === null || job.finishedAt === null ? "" : `took ${duration(job.finishedAt - job.startedAt)}`;
    case "delayed":
      return [job.runAt === null ? "" : ago(job.runAt, now), reason(job)].filter(Boolean).join(", ");
    case "active":
      return job.progress === null ? "" : oneLine(JSON.stringify(job.progress));
    default:
      return reason(job);
  }
}

/** All lines of a job's log. */
async function logOf(queue: TaskQueue, jobId: string): Promise<LogLine[]> {
  const found: LogLine[] = [];
  for (;;) {
    const page = await queue.logs(jobId, { after: found.at(-1)?.seq ?? 0, limit: 1_000 });
    found.push(...page);
    if (page.length < 1_000) {
      return found;
    }
  }
}

/** `master-agent jobs show`. */
export async function showJob([id = ""]: readonly string[], values: Values): Promise<void> {
  const { job, logs } = await inQueue(values, async (queue) => {
    const found = await queue.get(id);
    if (found === null) {
      throw notFound(id, queue);
    }
    return { job: found, logs: await logOf(queue, id) };
  });
  if (values.json === true) {
    printJson({ job, logs });
    return;
  }
  const line = (name: string, value: string): void => print(`${paint("dim", name.padEnd(10))} ${value}`);
  const style = STYLES[job.state];
  line("job", oneLine(job.jobId));
  if (job.taskId !== job.jobId) {
    line("task", oneLine(job.taskId));
  }
  line("agent type", oneLine(job.agentType));
  line("state", style === undefined ? job.state : paint(style, job.state));
  if (job.parentTaskId !== null) {
    line("parent", oneLine(job.parentTaskId));
  }
  line(
    "attempts",
    `${job.attempts} of ${job.options.attempts ?? "?"}${job.stalls > 0 ? `, lost its worker ${job.stalls} times` : ""}`,
  );
  line("priority", String(job.priority));
  line("added", iso(job.addedAt));
  for (const [name, at] of [
    ["due", job.runAt],
    ["started", job.startedAt],
    ["finished", job.finishedAt],
  ] as const) {
    if (at !== null) {
      line(name, iso(at));
    }
  }
  if (job.startedAt !== null && job.finishedAt !== null) {
    line("took", duration(job.finishedAt - job.startedAt));
  }
  if (job.worker !== null) {
    line("worker", oneLine(String(job.worker)));
  }
  for (const [name, value] of [
    ["progress", job.progress],
    ["metadata", job.metadata],
    ["input", job.input],
    ["output", job.output],
  ] as const) {
    if (value !== null || (name === "output" && job.state === "completed")) {
      line(name, json(value));
    }
  }
  if (job.error !== null) {
    const { code, name, message, stack } = job.error;
    line("error", paint("red", manyLines(stack?.includes(message) === true ? stack : `${name}: ${message}`)));
    line("code", oneLine(code));
  }
  for (const { at, line: said } of logs) {
    line("log", `${paint("dim", iso(at))} ${manyLines(said)}`);
  }
}

/** A value over several lines if it does not fit on one. */
function json(value: unknown): string {
  const short = JSON.stringify(value);
  const room = columns();
  return manyLines(room === undefined || short.length <= room - 11 ? short : JSON.stringify(value, null, 2));
}

function notFound(id: string, queue: TaskQueue): Error {
  const { MasterAgentError } = ownLibrary();
  return new MasterAgentError("ERR_JOB_NOT_FOUND", `Job ${id} is not in queue ${queue.name} of ${queue.store}`, {
    details: { jobId: id },
  });
}

const CHANGES = {
  "jobs retry": { done: "waits again", change: (queue: TaskQueue, id: string): Promise<unknown> => queue.retry(id) },
  "jobs remove": { done: "is removed", change: (queue: TaskQueue, id: string): Promise<unknown> => queue.remove(id) },
  "jobs cancel": {
    done: "is cancelled",
    change: async (queue: TaskQueue, id: string, values: Values): Promise<void> => {
      if (!(await queue.cancel(id, text(values.reason)))) {
        const { MasterAgentError } = ownLibrary();
        throw new MasterAgentError("ERR_JOB_STATE", `Job ${id} had ended already`, { details: { jobId: id } });
      }
    },
  },
} as const satisfies Partial<Record<CommandName, unknown>>;

/** `master-agent jobs retry`, `cancel` and `remove`: one job after the other; one that fails does not keep the next ones from it. */
export async function changeJobs(name: keyof typeof CHANGES, ids: readonly string[], values: Values): Promise<void> {
  const { done, change } = CHANGES[name];
  const results = await inQueue(values, async (queue) => {
    const all: { jobId: string; done: boolean; error: { code: string | null; message: string } | null }[] = [];
    for (const jobId of ids) {
      try {
        await change(queue, jobId, values);
        all.push({ jobId, done: true, error: null });
      } catch (error) {
        const { code, message } = described(error);
        if (code === null) {
          throw error;
        }
        all.push({ jobId, done: false, error: { code, message } });
      }
    }
    return all;
  });
  if (results.some((result) => !result.done)) {
    process.exitCode = 1;
  }
  if (values.json === true) {
    printJson({ results });
    return;
  }
  for (const { jobId, error } of results) {
    if (error === null) {
      print(`${oneLine(jobId)} ${done}`);
    } else {
      printError(`${paint("red", "error", process.stderr)} ${manyLines(error.message)} (${error.code})`);
    }
  }
}
