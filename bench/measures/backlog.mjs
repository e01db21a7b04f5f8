// Whether a job costs more, and the process grows, when millions wait.
import { join } from "node:path";
import { fill, instant, settledRss, stopwatch } from "../lib/kit.mjs";
import { median } from "../lib/stats.mjs";

const SMALL = 10_000;
const LARGE = 5_000_000;
const STEP = 500_000;
/** Jobs of one turn, and turns of each queue; the first pair is the warm-up. */
const TURN = 25_000;
const TURNS = 7;

/** One queue with its worker, which is turned on for a turn. */
class Side {
  #onDone = () => {};
  #left = 0;

  constructor({ MasterAgent, TaskQueue }, store) {
    this.master = new MasterAgent({ store, autostart: false, concurrency: 50 });
    this.queue = new TaskQueue({ store });
  }

  handle() {
    if (--this.#left === 0) this.#onDone();
  }

  /** Adds jobs and processes as many: seconds of each, wall and CPU, per job. */
  async turn() {
    const adding = stopwatch();
    await fill(this.queue, TURN);
    const add = adding();
    this.#left = TURN;
    const done = new Promise((resolve) => {
      this.#onDone = resolve;
    });
    const processing = stopwatch();
    await this.master.start();
    await done;
    await this.master.stop();
    const run = processing();
    // A few more than asked for were under way.
    const handled = TURN - this.#left;
    return { addWall: add.wall / TURN, addCpu: add.cpu / TURN, runWall: run.wall / handled, runCpu: run.cpu / handled };
  }

  async close() {
    await this.master.close();
    await this.queue.close();
  }
}

export default [
  {
    name: "backlog",
    title: "cost per job with 5,000,000 waiting over that with 10,000 waiting",
    flags: ["--expose-gc"],
    slow: true,
    metrics: {
      runCpu: { label: "processing, CPU", unit: "×", most: 1.2 },
      runWall: { label: "processing, wall", unit: "×", most: 1.2 },
      addCpu: { label: "adding, CPU", unit: "×", most: 1.2 },
      addWall: { label: "adding, wall", unit: "×", most: 1.2 },
      growth: { label: "memory, from 500,000 to 5,000,000 waiting", unit: "MiB", most: 8 },
      smallRun: { label: "processing with 10,000 waiting, CPU", unit: "µs/job" },
      largeRun: { label: "processing with 5,000,000 waiting, CPU", unit: "µs/job" },
      filled: { label: "filling", unit: "jobs/s" },
    },
    async run({ load, folder }) {
      const library = load();
      let side;
      library.registerSubAgent(
        instant(() => {
          side.handle();
          return { ok: true };
        }),
      );
      const small = new Side(library, join(folder, "small"));
      const large = new Side(library, join(folder, "large"));
      await fill(small.queue, SMALL);
      const filling = stopwatch();
      await fill(large.queue, STEP);
      const before = settledRss();
      for (let filled = STEP; filled < LARGE; filled += STEP) await fill(large.queue, STEP);
      const { wall } = filling();
      const growth = settledRss() - before;
      const turns = [];
      for (let index = 0; index < TURNS; index++) {
        const pair = {};
        // Which of them goes first changes, so that neither always finds the caches as the other left them.
        for (const name of index % 2 === 0 ? ["small", "large"] : ["large", "small"]) {
          side = name === "small" ? small : large;
          pair[name] = await side.turn();
        }
        if (index > 0) turns.push(pair);
      }
      await small.close();
      await large.close();
      const ratio = (what) => median(turns.map(({ small, large }) => large[what] / small[what]));
      return {
        runCpu: ratio("runCpu"),
        runWall: ratio("runWall"),
        addCpu: ratio("addCpu"),
        addWall: ratio("addWall"),
        growth,
        smallRun: median(turns.map(({ small }) => small.runCpu)) * 1e6,
        largeRun: median(turns.map(({ large }) => large.runCpu)) * 1e6,
        filled: LARGE / wall,
      };
    },
  },
];
