// What the measures share: inputs of 100 bytes, filling a queue, and the costs of this process.
import { readFileSync } from "node:fs";

const QUERY = "q".repeat(75);

/** An input whose JSON has 100 bytes; `index` is below 1 000 000 and makes it differ from the others. */
export const input = (index) => ({ id: 1_000_000 + (index % 1_000_000), query: QUERY });

if (JSON.stringify(input(7)).length !== 100) throw new Error(`an input has ${JSON.stringify(input(7)).length} bytes, not 100`);

export const AGENT = "bench";

/** A sub-agent whose handler returns at once. */
export const instant = (run) => ({ agentType: AGENT, run });

/** Adds `count` jobs. */
export async function fill(queue, count) {
  for (let done = 0; done < count; ) {
    const jobs = [];
    for (const end = Math.min(done + 10_000, count); done < end; done++) jobs.push({ name: AGENT, payload: input(done) });
    await queue.addBulk(jobs);
  }
}

/** Calls `step` `count` times with `width` calls under way at any time. */
export async function inFlight(count, width, step) {
  let next = 0;
  const lane = async () => {
    while (next < count) await step(next++);
  };
  await Promise.all(Array.from({ length: width }, lane));
}

/** Starts counting; the answer gives seconds of wall time and of CPU (all threads of this process) since. */
export function stopwatch() {
  const begun = process.hrtime.bigint();
  const used = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(used);
    return { wall: Number(process.hrtime.bigint() - begun) / 1e9, cpu: (user + system) / 1e6 };
  };
}

/** Megabytes of memory after a collection. The process must have been started with --expose-gc. */
export function settledRss() {
  globalThis.gc();
  globalThis.gc();
  return process.memoryUsage.rss() / 2 ** 20;
}

/** System calls that wrote and bytes given to the file system since; `undefined` where the system does not tell. */
export function writes() {
  const read = () => {
    try {
      return Object.fromEntries(
        readFileSync("/proc/self/io", "utf8")
          .trim()
          .split("\n")
          .map((line) => line.split(": ")),
      );
    } catch {
      return undefined;
    }
  };
  const before = read();
  return () => {
    const after = read();
    if (before === undefined || after === undefined) return undefined;
    return { calls: after.syscw - before.syscw, bytes: after.wchar - before.wchar };
  };
}
