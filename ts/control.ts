/** Requests to the engine that are shared by `MasterAgent` and `TaskQueue`. */
import type { Connection } from "./connection";
import { Failure } from "./errors";
import { jobInfo, type NativeJob } from "./result";
import type { JobInfo } from "./types";

/** Asks, and throws what failed. Called from async methods only, so that the stack is the caller's. */
export async function ask(connection: Connection, body: object, details?: Record<string, unknown>): Promise<unknown> {
  const reply = await connection.request(JSON.stringify(body));
  if (reply instanceof Failure) {
    throw reply.toError(details);
  }
  return reply;
}

interface Controlled {
  affected: number;
  more?: boolean;
  jobIds?: string[];
}

/** Asks for a change until it is complete: the engine does it in slices, so that others get their turn. Answers with how many were changed. */
export async function control(connection: Connection, body: object, details?: Record<string, unknown>): Promise<number> {
  let affected = 0;
  for (;;) {
    const reply = (await ask(connection, body, details)) as Controlled;
    affected += reply.affected;
    if (reply.more !== true) {
      return affected;
    }
  }
}

/** The jobs of some ids, `null` where there is none. */
export async function lookUp(connection: Connection, ids: readonly string[]): Promise<(JobInfo | null)[]> {
  const found: (JobInfo | null)[] = [];
  for (let start = 0; start < ids.length; start += 1_000) {
    const jobs = (await ask(connection, { op: "get", ids: ids.slice(start, start + 1_000) })) as (NativeJob | null)[];
    for (const job of jobs) {
      found.push(job === null ? null : jobInfo(job));
    }
  }
  return found;
}
