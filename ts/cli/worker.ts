/** `master-agent worker`: a process that runs the sub-agents of a module. */
import { hostname } from "node:os";
import type { MasterAgent } from "master-agent";
import { report } from "./failure";
import { Journal } from "./journal";
import { libraryOf, ownLibrary } from "./library";
import { loadModule, moduleFile, registerExports } from "./module";
import { ignoreStop, onStop } from "./signals";
import { paint, printError } from "./terminal";
import { text, type Values, wholeNumber } from "./values";
import { superviseWorker, WATCHED } from "./watch";

const LONGEST = 86_400_000;
/** Milliseconds that the store has to take tasks back when the process shall end at once. */
const PATIENCE = 500;

/** Runs the worker; it goes on after this resolves. */
export async function runWorker(paths: readonly string[], values: Values, args: readonly string[]): Promise<void> {
  const settings = {
    store: text(values.store),
    queue: text(values.queue),
    name: text(values.name),
    concurrency: wholeNumber(values.concurrency, "concurrency", 1, 100_000),
    lease: wholeNumber(values.lease, "lease", 100, LONGEST),
  };
  const drainTimeout = wholeNumber(values["drain-timeout"], "drain-timeout", 0, LONGEST) ?? 30_000;
  const own = ownLibrary();
  const files = paths.map((path) => moduleFile(path, own));
  const watched = process.env[WATCHED] !== undefined && process.send !== undefined;
  const journal = new Journal({ json: values.json === true, quiet: values.quiet === true });
  if (values.watch === true && !watched) {
    const store = new own.MasterAgent({ store: settings.store, autostart: false }).store;
    await superviseWorker({ files, args, journal, except: store });
    return;
  }

  const run = new Run(journal, drainTimeout, { json: values.json === true, verbose: values.verbose === true });
  run.listen(watched);
  const [first = ""] = files;
  const { library, version } = libraryOf(first);
  run.phase = { loading: first };
  for (const file of files) {
    run.phase = { loading: file };
    for (const warning of registerExports(file, await loadModule(file, library), library)) {
      journal.warn(`${file}: ${warning}`);
    }
  }
  const registry = library.getSubAgentRegistry();
  if (registry.size === 0) {
    throw new library.MasterAgentError(
      "ERR_CLI_MODULE",
      `${files.join(", ")} has no sub-agent: export an object or a class with an agentType and run(), or call registerSubAgent in it.`,
      { details: { file: first } },
    );
  }
  const master = new library.MasterAgent({ ...settings, autostart: false });
  journal.follow(master);
  run.phase = { master };
  try {
    await master.start();
  } catch (error) {
    run.phase = { failed: true };
    throw error;
  }
  const agents = [...registry.keys()];
  const name = settings.name ?? `${hostname()}:${process.pid}`;
  journal.say("ready", `master-agent ${version}, worker ${name}, store ${master.store}, queue ${master.queue}`, {
    version,
    name,
    store: master.store,
    queue: master.queue,
    agents,
  });
  if (values.json !== true) {
    journal.say("serving", `serving ${agents.join(", ")}`);
  }
  journal.begin();
}

type Phase = { loading: string } | { master: MasterAgent } | { failed: true };

/** How the process ends, in each phase of its life. */
class Run {
  phase: Phase = { loading: "" };
  readonly #journal: Journal;
  readonly #timeout: number;
  readonly #manner: { json: boolean; verbose: boolean };
  #stopping = false;
  /** Waits for nothing any more. */
  #hurried = false;
  /** Set where this file ends the process. */
  #inOrder = false;

  constructor(journal: Journal, timeout: number, manner: { json: boolean; verbose: boolean }) {
    this.#journal = journal;
    this.#timeout = timeout;
    this.#manner = manner;
  }

  listen(watched: boolean): void {
    if (watched) {
      ignoreStop();
      process.on("message", (message) => {
        if (message === "stop") {
          this.#stop("the watcher");
        } else if (message === "exit") {
          this.#hurry(1);
        }
      });
      process.on("disconnect", () => this.#stop("the end of the watcher"));
      process.channel?.unref();
    } else {
      onStop(
        (signal) => this.#stop(signal),
        (code) => this.#hurry(code),
      );
    }
    process.on("exit", (code) => this.#exiting(code));
  }

  /** Ends in order. */
  #stop(by: string): void {
    if (this.#stopping) {
      return;
    }
    this.#stopping = true;
    if (!("master" in this.phase)) {
      // Nothing runs yet.
      this.#leave(0);
      return;
    }
    const { master } = this.phase;
    const tasks = master.running === 1 ? "1 task" : `${master.running} tasks`;
    const waiting = master.running === 0 ? "" : `: waiting for ${tasks} that ${master.running === 1 ? "runs" : "run"}`;
    this.#journal.say("stopping", `Stopping, by ${by}${waiting}`, { by, running: master.running });
    void this.#drain(master);
  }

  async #drain(master: MasterAgent): Promise<void> {
    try {
      const { released } = await master.stop({ timeout: this.#timeout });
      await master.close({ timeout: 0 });
      if (this.#hurried) {
        return;
      }
      const back = released === 0 ? "" : `, ${released === 1 ? "1 task was" : `${released} tasks were`} given back`;
      this.#journal.say("stopped", `Stopped${back}`, { released });
      this.#leave(0);
    } catch (error) {
      if (!this.#hurried) {
        report(error, this.#manner);
        this.#leave(1);
      }
    }
  }

  /** Ends at once. What runs is given back, which takes the store a moment. */
  #hurry(code: number): void {
    this.#hurried = true;
    if (!("master" in this.phase)) {
      this.#leave(code);
      return;
    }
    setTimeout(() => this.#leave(code), PATIENCE);
    const leave = (): void => this.#leave(code);
    this.phase.master.close({ timeout: 0 }).then(leave, leave);
  }

  #leave(code: number): void {
    this.#inOrder = true;
    process.exit(code);
  }

  #exiting(code: number): void {
    if (this.#inOrder) {
      return;
    }
    if ("loading" in this.phase) {
      if (code === 0) {
        const why = "it ended the process, or waits for something at its top level that never comes";
        printError(`${paint("red", "error", process.stderr)} ${this.phase.loading} was not loaded: ${why} (ERR_CLI_MODULE)`);
        process.exitCode = 1;
      }
    } else if ("master" in this.phase) {
      // A worker that works ends by a signal only.
      this.#journal.begin();
      const why = code === 0 ? "process.exit() was called" : "of an error that nobody caught, or of process.exit()";
      printError(`${paint("red", "error", process.stderr)} The worker ends because ${why}. What did not end is run again.`);
      process.exitCode = code === 0 ? 1 : code;
    }
  }
}
