/** Waiting for what has no event of its own. */
import { setTimeout as pause } from "node:timers/promises";
import { PATIENCE } from "./long.ts";

/** Asks again until the answer is neither `undefined` nor `false`; fails with `what` if that never happens. */
export async function until<T>(
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  limit = PATIENCE,
): Promise<T> {
  const end = performance.now() + limit;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) {
      return answer;
    }
    if (performance.now() > end) {
      throw new Error(`${what}: not within ${limit} ms`);
    }
    await pause(10);
  }
}

/** The outcome of a promise that must come; fails with `what` if it never does. */
export async function soon<T>(what: string, promise: Promise<T>, limit = PATIENCE): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${limit} ms`)), limit);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A promise with its ends at hand. */
export function gate<T = void>(): { opened: Promise<T>; open: (value: T) => void } {
  let open: (value: T) => void = () => {};
  const opened = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}
