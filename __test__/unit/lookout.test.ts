/** When an answer is looked for instead of slept for. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { lookout } from "../helpers/ts.ts";

const { Lookout, Sent } = lookout;
type Kind = (typeof Sent)[keyof typeof Sent];

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A lookout on a clock that each look moves by 0.01 ms. */
class Bench {
  clock = 1_000;
  /** How long waking the thread takes that sleeps, in milliseconds. */
  waking = 0.05;
  /** When what was sent is answered. */
  due = Number.POSITIVE_INFINITY;
  looks = 0;
  /** How long one look takes, in milliseconds. */
  each = 0.01;
  readonly lookout = new Lookout(
    () => {
      this.looks += 1;
      this.clock += this.each;
      return this.clock >= this.due;
    },
    () => {
      if (this.clock >= this.due) {
        this.due = Number.POSITIVE_INFINITY;
        this.lookout.came();
      }
    },
    () => this.clock,
  );

  /** Sends something that is answered `after` milliseconds; answers how often it was looked for. */
  async send(after: number, kind: Kind = Sent.Submit): Promise<number> {
    const before = this.looks;
    this.due = this.clock + after;
    this.lookout.sent(kind);
    for (let turns = 0; turns < 20; turns++) {
      await turn();
    }
    if (this.due !== Number.POSITIVE_INFINITY) {
      // It was slept for.
      this.clock = Math.max(this.clock, this.due) + this.waking;
      this.due = Number.POSITIVE_INFINITY;
      this.lookout.came();
    }
    return this.looks - before;
  }

  /** Sends as often; answers how often it was looked for a share of them. */
  async share(times: number, after: number, kind: Kind = Sent.Submit): Promise<number> {
    let looked = 0;
    for (let sends = 0; sends < times; sends++) {
      looked += Number((await this.send(after, kind)) > 0);
    }
    return looked / times;
  }
}

describe("the lookout", () => {
  test("looks for what is nearer than a thread is woken", async () => {
    const bench = new Bench();
    assert.equal(await bench.share(64, 0.05), 0.5, "first both ways are tried");
    assert.equal(await bench.share(256, 0.05), 254 / 256, "and then the better one");
  });

  test("sleeps where looking gains little, as where others have the processor", async () => {
    const bench = new Bench();
    bench.waking = 0;
    await bench.share(64, 0.05);
    assert.equal(await bench.share(256, 0.05), 2 / 256);
  });

  test("sleeps for what is far, and looks no longer than a thread is woken when it tries", async () => {
    const bench = new Bench();
    await bench.share(64, 20);
    assert.equal(await bench.share(256, 20), 2 / 256);
    bench.looks = 0;
    await bench.share(128, 20);
    assert.equal(bench.looks, 8);
  });

  test("follows what changes, but not a single long time", async () => {
    const bench = new Bench();
    await bench.share(64, 0.05);
    await bench.send(30);
    assert.equal(await bench.share(60, 0.05), 1);
    await bench.share(256, 20);
    assert.equal(await bench.share(256, 20), 2 / 256);
    await bench.share(8_000, 0.05);
    assert.equal(await bench.share(256, 0.05), 254 / 256);
  });

  test("leaves the processor to those who take it often", async () => {
    const bench = new Bench();
    await bench.share(64, 0.05);
    const pauses: number[] = [];
    for (let times = 0; times < 5; times++) {
      bench.each = 4;
      while ((await bench.send(0.05)) === 0) {}
      bench.each = 0.01;
      const from = bench.clock;
      while ((await bench.send(10)) === 0) {}
      pauses.push(Math.ceil(Math.log2((bench.clock - from) / 20)));
    }
    // As powers of two of 20 ms, rounded up: just above 80, 320, and then 1,280 ms, as the next look comes up to 10 ms later.
    assert.deepEqual(pauses, [3, 5, 7, 7, 7]);
  });

  test("comes back soon from a store that was away", async () => {
    const bench = new Bench();
    bench.waking = 0;
    await bench.send(5_000);
    await bench.share(80, 0.05);
    assert.ok((await bench.share(64, 0.05)) < 0.1);
  });

  test("ends where nothing is answered, also on a clock that stands", async () => {
    let looks = 0;
    const still = new Lookout(
      () => {
        looks += 1;
        return false;
      },
      () => {},
      () => 0,
    );
    still.sent(Sent.Settle);
    still.sent(Sent.Settle);
    for (let turns = 0; turns < 20; turns++) {
      await turn();
    }
    assert.equal(looks, 8);
  });

  test("knows the times of each kind by themselves", async () => {
    const bench = new Bench();
    for (let sends = 0; sends < 64; sends++) {
      await bench.send(0.05, Sent.Submit);
      await bench.send(20, Sent.Wait);
    }
    assert.equal(await bench.share(256, 0.05, Sent.Submit), 254 / 256);
    assert.equal(await bench.share(256, 20, Sent.Wait), 2 / 256);
  });

  test("learns nothing from what comes unasked, or among others", async () => {
    const bench = new Bench();
    await bench.share(64, 0.05);
    for (let times = 0; times < 200; times++) {
      bench.lookout.sent(Sent.Submit);
      bench.lookout.sentAmongOthers();
      bench.clock += 1_000;
      bench.lookout.came();
      await turn();
    }
    bench.looks = 0;
    await turn();
    assert.equal(bench.looks, 0, "what was begun has ended");
    assert.ok((await bench.share(64, 0.05)) > 0.9);
  });
});
