/** How far a long command is: a bar on a terminal, a line every tenth part elsewhere, on standard error. */
import { constants } from "node:os";
import { SingleBar } from "cli-progress";
import { onStop } from "./signals";
import { paint, printError } from "./terminal";
import type { Values } from "./values";

/** One bar. It appears with the first number. */
export class Bar {
  readonly #unit: string;
  readonly #silent: boolean;
  #bar: SingleBar | undefined;
  #tenths = 0;

  constructor(unit: string, values: Values) {
    this.#unit = unit;
    this.#silent = values.json === true || values.quiet === true;
  }

  /** Shows how much is done; without `total` there is nothing to compare it with, and nothing is shown. */
  at(done: number, total: number | undefined): void {
    if (this.#silent || total === undefined || total === 0) {
      return;
    }
    if (process.stderr.isTTY) {
      this.#bar ??= this.#start(total);
      this.#bar.setTotal(total);
      this.#bar.update(done);
      return;
    }
    const tenths = Math.floor((done * 10) / total);
    if (tenths > this.#tenths) {
      this.#tenths = tenths;
      printError(`${done} of ${total} ${this.#unit}`);
    }
  }

  /** Says in words what takes its time now. */
  say(text: string): void {
    this.stop();
    if (!this.#silent) {
      printError(text);
    }
  }

  #start(total: number): SingleBar {
    const room = Math.max(20, process.stderr.columns || 80);
    const text = `{percentage}%  {value} of {total} ${this.#unit}`;
    const bar = new SingleBar({
      format: `${paint("cyan", "{bar}", process.stderr)} ${text}  {eta_formatted} left`,
      barsize: Math.max(5, Math.min(40, room - text.length - 12)),
      barCompleteChar: "━",
      barIncompleteChar: " ",
      hideCursor: true,
      // What was done is said in words.
      clearOnComplete: true,
      gracefulExit: false,
      stream: process.stderr,
    });
    bar.start(total, 0);
    return bar;
  }

  /** Takes the bar away. */
  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}

/** Ctrl-C and SIGTERM: the first asks to end in order, the second ends at once. */
export class Stopper {
  readonly #controller = new AbortController();
  #code = 0;

  constructor() {
    onStop(
      (signal) => {
        this.#code = 128 + constants.signals[signal];
        this.#controller.abort();
      },
      (code) => process.exit(code),
    );
  }

  /** Aborts with the first signal. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The exit code of a command that was ended; 0 if it was not. */
  get code(): number {
    return this.#code;
  }
}
