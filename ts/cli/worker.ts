/** `master-agent worker`: a process that runs the sub-agents of a module. */
import { hostname } from "node:os";
import { inspect } from "node:util";
import type { MasterAgent } from "master-agent";
import { text, wholeNumber } from "./arguments";
import { report } from "./failure";
import type { Values } from "./inspect";
import { Journal } from "./journal";
import { libraryOf, ownLibrary } from "./library";
import { loadModule, moduleFile, registerExports } from "./module";
import { ignoreStop, onStop } from "./signals";
import { manyLines, paint, printError } from "./terminal";
import { superviseWorker, WATCHED } from "./watch";

const LONGEST = 86_400_000;

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
  run.phase = { starting: true };
  await master.start();
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
  run.began(master);
}

type Phase = { loading: string } | { starting: true } | { master: MasterAgent };

/** How the process ends, in each phase of its life. */
class Run {
  phase: Phase = { starting: true };
  readonly #journal: Journal;
  readonly #timeout: number;
  readonly #manner: { json: boolean; verbose: boolean };
  #stopping = false;
  /** Set where this file ends the process. */
  #inOrder = false;
  /** What ends the process, if that is an error. */
  #uncaught: { error: unknown } | undefined;

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
          this.#leave(1);
        }
      });
      process.on("disconnect", () => this.#stop("the end of the watcher"));
      process.channel?.unref();
    } else {
      onStop(
        (signal) => this.#stop(signal),
        (code) => this.#leave(code),
      );
    }
    process.on("uncaughtExceptionMonitor", (error) => {
      this.#uncaught = { error };
    });
    process.on("exit", (code) => this.#exiting(code));
  }

  began(master: MasterAgent): void {
    this.phase = { master };
    if (this.#stopping) {
      void this.#drain(master);
    }
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
      const back = released === 0 ? "" : `, ${released === 1 ? "1 task was" : `${released} tasks were`} given back`;
      this.#journal.say("stopped", `Stopped${back}`, { released });
      this.#leave(0);
    } catch (error) {
      report(error, this.#manner);
      this.#leave(1);
    }
  }

  #leave(code: number): void {
    this.#inOrder = true;
    process.exit(code);
  }

  #exiting(code: number): void {
    if (this.#inOrder) {
      return;
    }
    if ("loading" in this.phase && code === 0) {
      printError(
        `error ${this.phase.loading} was not loaded: it waits for something at its top level that never comes (ERR_CLI_MODULE)`,
      );
      process.exitCode = 1;
      return;
    }
    if ("master" in this.phase && this.phase.master.running > 0) {
      const { running } = this.phase.master;
      const tasks = running === 1 ? "a task runs" : `${running} tasks run`;
      const why = this.#uncaught === undefined ? "because process.exit() was called" : "because of an error that nobody caught";
      if (this.#uncaught !== undefined) {
        printError(manyLines(inspect(this.#uncaught.error)));
      }
      printError(
        `${paint("red", "error", process.stderr)} The process ends while ${tasks}, ${why}. What did not end is run again.`,
      );
      // Past the exit hook of the library, which would give the tasks back as if nothing had happened: a task that ends its
      // process each time has to be counted, or it would do so forever.
      (process as unknown as { reallyExit: (code: number) => never }).reallyExit(code === 0 ? 1 : code);
    }
  }
}
