/** A file to which processes append what they do, one line each; a line that was written survives the death of its writer. */
import { appendFileSync, closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs";

/** What is noted: a task was accepted, a handler began, or it came to its end. */
export interface Entry {
  e: "accepted" | "began" | "ended";
  jobId: string;
  pid: number;
  at: number;
  n?: number;
}

export class Ledger {
  readonly path: string;
  readonly #entries: Entry[] = [];
  #offset = 0;

  constructor(path: string) {
    this.path = path;
  }

  note(entry: Entry): void {
    appendFileSync(this.path, `${JSON.stringify(entry)}\n`);
  }

  /** All complete lines. Only those that are new are read. */
  entries(): readonly Entry[] {
    if (!existsSync(this.path)) {
      return this.#entries;
    }
    const file = openSync(this.path, "r");
    try {
      const news = Buffer.alloc(fstatSync(file).size - this.#offset);
      const end = news.subarray(0, readSync(file, news, 0, news.length, this.#offset)).lastIndexOf("\n") + 1;
      this.#offset += end;
      for (const line of news.toString("utf8", 0, end).split("\n")) {
        if (line !== "") {
          this.#entries.push(JSON.parse(line) as Entry);
        }
      }
    } finally {
      closeSync(file);
    }
    return this.#entries;
  }

  /** Entries of one kind, by job. */
  byJob(kind: Entry["e"]): Map<string, Entry[]> {
    const jobs = new Map<string, Entry[]>();
    for (const entry of this.entries()) {
      if (entry.e === kind) {
        const entries = jobs.get(entry.jobId);
        if (entries === undefined) {
          jobs.set(entry.jobId, [entry]);
        } else {
          entries.push(entry);
        }
      }
    }
    return jobs;
  }
}
