/** SIGINT and SIGTERM: the first one ends in order, a second one at once. */
import { constants } from "node:os";

/**
 * What comes so soon after the first signal, in milliseconds, is the same key press: a terminal sends Ctrl-C to all
 * processes of the command, and npm and npx pass on their own to their children.
 */
const SAME_PRESS = 500;

type Stop = "SIGINT" | "SIGTERM";

/** Calls `first` at the first signal and `second` at the next one. */
export function onStop(first: (signal: Stop) => void, second: (exitCode: number) => void): void {
  let since: number | undefined;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      const now = performance.now();
      if (since === undefined) {
        since = now;
        first(signal);
      } else if (now - since > SAME_PRESS) {
        second(128 + constants.signals[signal]);
      }
    });
  }
}

/** Leaves signals to the parent process, which says what to do. */
export function ignoreStop(): void {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => undefined);
  }
}
