/**
 * Looking for an answer instead of sleeping until it comes: waking a thread may take longer than a server nearby takes to
 * answer, but who looks uses the processor, which others may need. Whether it pays is measured, both ways.
 */

import { performance } from "node:perf_hooks";
import timers from "node:timers";

/** What is sent; each kind is answered in a time of its own. */
export const Sent = { Submit: 0, Settle: 1, Wait: 2, Request: 3 } as const;
export type Sent = (typeof Sent)[keyof typeof Sent];

/** How often one answer is looked for, some 20 µs each: what takes longer is slept for as well. */
const LOOKS = 8;
/** Looking pays where answers are there in less than this share of the time. */
const GAIN = 0.85;
/** So many times both ways are tried in turn, and from then on the worse one every so many times. */
const TRIALS = 64;
const TRY_EVERY = 128;
/** The share by which an estimate follows what is measured. */
const STEP = 0.05;
/** Longer times count as this, in milliseconds: far is far, and an estimate must come back from it. */
const FAR = 0.25;

/** In milliseconds. A look that takes longer gave its core to somebody who computes. Who looks has used up its share by then and comes after them. */
const TAKEN = 2;
/** Having looked for fewer milliseconds than this between two such times is too often for chance. */
const OFTEN = 50;
/** For so many milliseconds nothing is looked for then: at first, and at the most, while it happens often. */
const PAUSE = 20;
const LONGEST_PAUSE = 1_280;

const NEVER = Number.NEGATIVE_INFINITY;

// Taken once: users replace the global ones in tests.
const later = timers.setImmediate;
const clock = performance.now.bind(performance);

/** A running estimate of a median, which few very long times do not move. */
function follow(median: number, value: number): number {
  return median === 0 ? value : median * (value > median ? 1 + STEP : 1 - STEP);
}

/** How long answers of one kind take, in milliseconds; 0 is not known. */
class Times {
  #sent = 0;
  #looked = 0;
  #slept = 0;

  /** Whether the next one is looked for. */
  next(): boolean {
    this.#sent += 1;
    if (this.#sent <= TRIALS) {
      return this.#sent % 2 === 0;
    }
    const pays = this.#looked < this.#slept * GAIN;
    return this.#sent % TRY_EVERY === 0 ? !pays : pays;
  }

  took(milliseconds: number, looked: boolean): void {
    const time = Math.min(milliseconds, FAR);
    if (looked) {
      this.#looked = follow(this.#looked, time);
    } else {
      this.#slept = follow(this.#slept, time);
    }
  }
}

/** Whether others want the core of this thread. Times in milliseconds. */
class Contention {
  #looked = 0;
  #pause = PAUSE;
  #over = 0;

  /** Whether nothing is to be looked for. */
  lasts(now: number): boolean {
    return now < this.#over;
  }

  /** A look ended at `now`. */
  took(time: number, now: number): void {
    if (time <= TAKEN) {
      this.#looked += time;
      return;
    }
    this.#pause = this.#looked < OFTEN ? Math.min(this.#pause * 4, LONGEST_PAUSE) : Math.max(this.#pause / 4, PAUSE);
    this.#looked = 0;
    this.#over = now + this.#pause;
  }
}

export class Lookout {
  readonly #see: () => boolean;
  readonly #drain: () => void;
  readonly #now: () => number;
  readonly #look: () => void;
  readonly #times = [new Times(), new Times(), new Times(), new Times()] as const;
  readonly #contention = new Contention();
  #kind: Sent = Sent.Submit;
  #sentAt = NEVER;
  /** Whether the answer is looked for, or was in vain. */
  #lookedFor = false;
  #looking = false;
  #looks = 0;

  /** `look` looks for a moment whether there is something to drain, and is followed by `drain` in the end. */
  constructor(look: () => boolean, drain: () => void, now: () => number = clock) {
    this.#see = look;
    this.#drain = drain;
    this.#now = now;
    this.#look = () => this.#lookOnce();
  }

  /** Something is sent, and its answer is what comes next. */
  sent(kind: Sent): void {
    this.#sentAt = this.#now();
    this.#kind = kind;
    this.#looks = 0;
    this.#lookedFor = this.#looking || (!this.#contention.lasts(this.#sentAt) && this.#times[kind].next());
    if (this.#lookedFor && !this.#looking) {
      this.#looking = true;
      later(this.#look);
    }
  }

  /** Something is sent among others: it is not told what comes next. */
  sentAmongOthers(): void {
    this.#sentAt = NEVER;
  }

  /** Something came. */
  came(): void {
    if (this.#sentAt !== NEVER) {
      this.#times[this.#kind].took(this.#now() - this.#sentAt, this.#lookedFor);
      this.#sentAt = NEVER;
    }
  }

  #lookOnce(): void {
    const before = this.#now();
    const seen = this.#see();
    const now = this.#now();
    this.#contention.took(now - before, now);
    if (!seen && !this.#contention.lasts(now) && this.#sentAt !== NEVER && ++this.#looks < LOOKS) {
      later(this.#look);
      return;
    }
    this.#looking = false;
    this.#drain();
  }
}
