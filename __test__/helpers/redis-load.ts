/** Work that goes on while something happens to the Redis below it, and the account that is taken afterwards. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { getTaskQueue, MasterAgent, type MasterAgentError } from "master-agent";
import { type WorkerProcess, type WorkerSetup, workerProcess } from "./child.ts";
import { afterwards } from "./cleanup.ts";
import { Ledger } from "./ledger.ts";
import { PATIENCE } from "./long.ts";
import { allDone } from "./masters.ts";
import { folderFor } from "./place.ts";
import { soon, until } from "./until.ts";

export interface LoadOptions {
  /** The store of the workers and of the producer, if they reach it another way than the test does. */
  through?: string;
  workers?: number;
  /** Milliseconds that each task takes. */
  ms?: number;
}

/** What was counted, for a line in the report. */
export interface Account {
  accepted: number;
  /** Calls of the producer that failed with an error that says to try again. */
  refused: number;
  waits: number;
  /** Waits that were answered with such an error. */
  broken: number;
  /** Tasks that ran more than once. */
  again: number;
}

/** A producer, workers, and a caller in this process that waits for one task after the other. */
export class Load {
  readonly workers: WorkerProcess[] = [];
  readonly #t: TestContext;
  readonly #store: string;
  readonly #ledger: Ledger;
  readonly #setup: WorkerSetup;
  readonly #ms: number;
  readonly #master: MasterAgent;
  readonly #completed = new Map<string, number>();
  #producer: WorkerProcess | undefined;
  #calling = true;
  #calls: Promise<void> | undefined;
  #waits = 0;
  #broken = 0;

  constructor(t: TestContext, store: string, options: LoadOptions) {
    this.#t = t;
    this.#store = store;
    this.#ms = options.ms ?? 5;
    this.#ledger = new Ledger(join(folderFor(t), "ledger"));
    this.#setup = { folder: options.through ?? store, ledger: this.#ledger.path, agents: { work: {} } };
    this.#master = new MasterAgent({ store, autostart: false });
    this.#master.on("task:completed", ({ jobId }) => {
      this.#completed.set(jobId, (this.#completed.get(jobId) ?? 0) + 1);
    });
    afterwards(t, () => {
      this.#calling = false;
      return this.#master.close({ timeout: 0 });
    });
  }

  async start(workers: number): Promise<void> {
    for (let i = 0; i < workers; i++) {
      this.workers.push(await workerProcess(this.#t, this.#setup));
    }
    this.#producer = await workerProcess(this.#t, { ...this.#setup, start: false });
    this.produce();
    this.#calls = this.#call();
    await this.progress();
  }

  produce(): void {
    const task = { agentType: "work", input: { ms: this.#ms }, batch: 5, options: { maxStalls: 1_000 } };
    this.#producer?.send({ type: "produce", patient: true, ...task });
  }

  async stopProducing(): Promise<void> {
    this.#producer?.send({ type: "stop-producing" });
    await this.#producer?.next("produced", 2 * PATIENCE);
  }

  /** No wait may hang, and one that fails must say that it may be tried again. */
  async #call(): Promise<void> {
    while (this.#calling) {
      this.#waits += 1;
      const waiting = this.#master.run({ agentType: "work", input: { ms: this.#ms }, maxStalls: 1_000 });
      try {
        await soon("a result", waiting, 2 * PATIENCE);
      } catch (error) {
        if (!this.#calling) {
          return;
        }
        const { code, retryable, message } = error as MasterAgentError;
        assert.match(String(code), /^ERR_STORE_/, message);
        assert.equal(retryable, true, `${code}: ${message}`);
        this.#broken += 1;
      }
    }
  }

  /** How many tasks have come to their end. */
  get ended(): number {
    return this.#ledger.byJob("ended").size;
  }

  /** Waits until more tasks are accepted and ended than now. */
  async progress(more = 20): Promise<void> {
    const ended = this.ended + more;
    const accepted = this.#ledger.byJob("accepted").size + more;
    const goesOn = (): boolean => this.ended >= ended && this.#ledger.byJob("accepted").size >= accepted;
    await until("the work goes on", goesOn, 2 * PATIENCE);
  }

  /** Every worker takes up work. */
  async allWork(): Promise<void> {
    const begun = Date.now();
    await until(
      "every worker works",
      () => {
        const pids = new Set(this.#ledger.entries().flatMap(({ e, pid, at }) => (e === "began" && at > begun ? [pid] : [])));
        return this.workers.every(({ pid }) => pids.has(pid));
      },
      2 * PATIENCE,
    );
  }

  /** Ends the load and checks that nothing accepted was lost and nothing was finished twice, unless Redis forgot that it was finished. */
  async settle({ forgets = false } = {}): Promise<Account> {
    await this.allWork();
    await this.stopProducing();
    this.#calling = false;
    await soon("the last wait", this.#calls ?? Promise.resolve(), 2 * PATIENCE);
    await using queue = getTaskQueue({ store: this.#store });
    const counts = await allDone(queue);
    assert.deepEqual([counts.failed, counts.cancelled, counts.dead], [0, 0, 0]);
    const accepted = [...this.#ledger.byJob("accepted").keys()];
    const lost: string[] = [];
    for (let from = 0; from < accepted.length; from += 1_000) {
      const ids = accepted.slice(from, from + 1_000);
      const jobs = await queue.getMany(ids);
      lost.push(...ids.filter((_, index) => jobs[index]?.state !== "completed"));
    }
    assert.deepEqual(lost, [], "what was accepted is completed");
    const twice = [...this.#completed].filter(([, times]) => times > 1);
    if (!forgets) {
      assert.deepEqual(twice, [], "no outcome was accepted twice");
    }
    const began = this.#ledger.byJob("began");
    for await (const job of queue.jobs({ state: "completed", limit: 1_000 })) {
      assert.equal(job.attempts, 1, `job ${job.jobId} used an attempt for what was not its fault`);
    }
    for (const worker of this.workers) {
      assert.ok(worker.alive, worker.errors);
    }
    const refused = this.#producer?.messages.filter(({ type }) => type === "refused").length ?? 0;
    const again = [...began.values()].filter((runs) => runs.length > 1).length;
    return { accepted: accepted.length, refused, waits: this.#waits, broken: this.#broken, again };
  }
}

/** Starts the load on `store`; it is at work when this resolves. */
export async function loadOn(t: TestContext, store: string, options: LoadOptions = {}): Promise<Load> {
  const load = new Load(t, store, options);
  await load.start(options.workers ?? 2);
  return load;
}

/** The account as one line. */
export const told = ({ accepted, refused, waits, broken, again }: Account): string =>
  `${accepted} accepted, ${refused} calls refused, ${waits} waits of which ${broken} to be repeated, ${again} tasks run again`;
