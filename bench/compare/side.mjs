// What both sides do is asked of them in these words. A side is a module for lib/actor.mjs: its default export takes `{ redis, directory }`
// and answers with the functions below, which run in a process of its own. Queues are named by the caller; times are milliseconds.
//
//   fill({ queue, count })                       adds jobs as fast as it can
//   add({ queue, count, width })                 adds with `width` calls under way → cost
//   bulk({ queue, count, size })                 adds `size` jobs with each call, one call after the other → cost
//   drain({ queue, count, concurrency, hold })   a worker runs `count` jobs, each for `hold` (0: returns at once); ends when the last
//                                                outcome is stored → cost
//   roundTrips({ queue, warm, count })           adds a job and waits for its result, one after the other → samples
//   pickUps({ queue, warm, count })              from the call that adds a job to its handler → samples
//   rest({ queue })                              a worker with nothing to do; until `close`
//   close()
import { stopwatch } from "../lib/kit.mjs";

/** Cost of `work`: seconds of wall time, and of CPU of this process. */
export async function cost(work) {
  const elapsed = stopwatch();
  await work();
  return elapsed();
}

/** The times of `count` steps after `warm` ones that are not counted; a step answers with its time, or is timed as a whole. */
export async function samples({ warm, count }, step) {
  const times = [];
  for (let index = 0; index < warm + count; index++) {
    const begun = performance.now();
    const own = await step(index);
    if (index >= warm) times.push(own ?? performance.now() - begun);
  }
  return times;
}

/** Resolves when it was called `count` times. */
export function countdown(count) {
  let left = count;
  let done;
  const over = new Promise((resolve) => {
    done = resolve;
  });
  return { over, tick: () => --left === 0 && done() };
}

/** Calls `add` with slices of `size` until there were `count` jobs. */
export async function slices(count, size, add) {
  for (let done = 0; done < count; done += size)
    await add(Array.from({ length: Math.min(size, count - done) }, (_, index) => done + index));
}

/** Jobs of one call where they are added in bulk. */
export const BULK = 1_000;
