/** A file to which processes append what they do, one line each; a line that was written survives the death of its writer. */
import { appendFileSync, existsSync, readFileSync } from "node:fs";

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

  constructor(path: string) {
    this.path = path;
  }

  note(entry: Entry): void {
    appendFileSync(this.path, `${JSON.stringify(entry)}\n`);
  }

  /** All complete lines. */
  entries(): Entry[] {
    if (!existsSync(this.path)) {
      return [];
    }
    const lines = readFileSync(this.path, "utf8").split("\n");
    lines.pop();
    return lines.map((line) => JSON.parse(line) as Entry);
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
