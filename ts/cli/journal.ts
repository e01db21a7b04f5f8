/** What a worker says: a line for what happens to each of its tasks. */
import { subscribe } from "node:diagnostics_channel";
import type { MasterAgent, TaskContext, TaskEvents } from "master-agent";
import { duration, manyLines, oneLine, paint, print, printError, type Style } from "./terminal";

/** How a worker speaks. */
export interface Manner {
  json: boolean;
  quiet: boolean;
}

type Fields = Record<string, unknown>;

/** Writes what happens. */
export class Journal {
  readonly #manner: Manner;
  /** The attempts that run here: job id → when it began. Events tell of all workers. */
  readonly #own = new Map<string, number>();
  /** Lines of tasks that began before the worker has said who it is. */
  #held: string[] | undefined = [];

  constructor(manner: Manner) {
    this.#manner = manner;
  }

  /** Something about the worker as a whole. */
  say(event: string, message: string, fields: Fields = {}): void {
    print(this.#manner.json ? json(event, fields) : `${stamp()}${manyLines(message)}`);
  }

  /** Lets the lines of tasks out, after what was said about the worker. */
  begin(): void {
    for (const line of this.#held ?? []) {
      print(line);
    }
    this.#held = undefined;
  }

  /** Something that is wrong, but does not end the worker. */
  warn(message: string, fields: Fields = {}): void {
    printError(
      this.#manner.json
        ? json("warning", { message, ...fields })
        : `${paint("yellow", "warning", process.stderr)} ${manyLines(message)}`,
    );
  }

  /** Tells of the tasks that `master` runs in this process. */
  follow(master: MasterAgent): void {
    master.on("health", ({ error }) => {
      if (error === null) {
        this.say("health", "The store works again.", { error: null });
      } else if (this.#held === undefined) {
        // Before, it is what the start fails with.
        this.warn(error.message, { code: error.code });
      }
    });
    if (this.#manner.quiet) {
      return;
    }
    subscribe("master-agent:attempt", (context) => this.#started(context as TaskContext));
    master.on("task:completed", (event) =>
      this.#ended(event, (took) => ["completed", "green", "✔", took === undefined ? "" : duration(took), {}]),
    );
    master.on("task:failed", (event) =>
      this.#ended(event, () => {
        const { code, message } = event.error;
        const times = event.attempt === 1 ? "1 attempt" : `${event.attempt} attempts`;
        return ["failed", "red", "✖", `after ${times}: ${code}: ${message}`, { error: { code, message } }];
      }),
    );
    master.on("task:retrying", (event) =>
      this.#ended(event, () => {
        const { code, message } = event.error;
        const next = `attempt ${event.attempt} failed, again in ${duration(event.delay)}`;
        return ["retrying", "yellow", "↻", `${next}: ${code}: ${message}`, { delay: event.delay, error: { code, message } }];
      }),
    );
  }

  #started({ jobId, agentType, attempt, maxAttempts }: TaskContext): void {
    this.#own.set(jobId, Date.now());
    const note = attempt === 1 ? "" : `attempt ${attempt} of ${maxAttempts}`;
    this.#line("started", "cyan", "▶", { jobId, agentType, attempt }, note, {});
  }

  #ended(
    event: TaskEvents["task:started"],
    tell: (took: number | undefined) => [event: string, style: Style, sign: string, note: string, fields: Fields],
  ): void {
    const began = this.#own.get(event.jobId);
    if (began === undefined) {
      return;
    }
    this.#own.delete(event.jobId);
    const took = Math.max(0, event.at - began);
    const [name, style, sign, note, fields] = tell(took);
    this.#line(name, style, sign, event, note, { took, ...fields });
  }

  #line(
    event: string,
    style: Style,
    sign: string,
    task: { jobId: string; agentType: string; attempt: number },
    note: string,
    fields: Fields,
  ): void {
    const { jobId, agentType, attempt } = task;
    const what = process.stdout.isTTY ? paint(style, sign) : event;
    const text = `${stamp()}${what} ${oneLine(agentType)} ${oneLine(jobId)} ${paint("dim", oneLine(note))}`.trimEnd();
    const line = this.#manner.json ? json(event, { agentType, jobId, attempt, ...fields }) : text;
    if (this.#held === undefined) {
      print(line);
    } else {
      this.#held.push(line);
    }
  }
}

/** The time at the beginning of a line: of the day on a terminal, complete elsewhere. */
function stamp(): string {
  const now = new Date();
  return `${process.stdout.isTTY ? paint("dim", now.toTimeString().slice(0, 8)) : now.toISOString()} `;
}

const json = (event: string, fields: Fields): string => JSON.stringify({ event, at: Date.now(), ...fields });
