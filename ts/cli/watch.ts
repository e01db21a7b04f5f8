/** `worker --watch`: the worker is a child process, which is drained and started again when sources change. */
import { type ChildProcess, fork } from "node:child_process";
import { type FSWatcher, readdirSync, statSync, watch } from "node:fs";
import { basename, dirname, extname, join, resolve, sep } from "node:path";
import type { Journal } from "./journal";
import { onStop } from "./signals";

/** Set for the worker that is watched over. */
export const WATCHED = "MASTER_AGENT_WATCHED";

const SOURCES = [".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".tsx", ".jsx", ".json", ".wasm", ".node"];
/** Folders that are watched at most: one at the root of a disk shall not take all that the system has. */
const MOST_FOLDERS = 2_000;
/** An editor writes in several steps: what comes within so many milliseconds is one change. */
const QUIET = 100;

interface Supervised {
  files: readonly string[];
  args: readonly string[];
  journal: Journal;
  /** The store, where things change all the time, if it is a folder. */
  except: string;
}

/** Runs the worker in a child process, again after each change. */
export async function superviseWorker({ files, args, journal, except }: Supervised): Promise<void> {
  let child: ChildProcess | undefined;
  let stopping = false;
  let restarting = false;

  const start = (): void => {
    restarting = false;
    child = fork(process.argv[1] as string, [...args], { env: { ...process.env, [WATCHED]: "1" }, stdio: "inherit" });
    child.on("exit", (code, signal) => {
      child = undefined;
      if (stopping) {
        process.exit(code ?? 1);
      } else if (restarting) {
        start();
      } else {
        journal.warn(`The worker ended (${signal ?? code}). It starts again with the next change.`);
      }
    });
    // It may end before it has read a message.
    child.on("error", () => undefined);
  };
  const tell = (message: "stop" | "exit"): void => {
    if (child?.connected === true) {
      child.send(message, () => undefined);
    }
  };

  onStop(
    () => {
      stopping = true;
      if (child === undefined) {
        process.exit(0);
      }
      tell("stop");
    },
    (code) => {
      tell("exit");
      process.exit(code);
    },
  );

  const watcher = new SourceWatcher(
    files.map((file) => dirname(file)),
    except,
    (path) => {
      if (stopping) {
        return;
      }
      journal.say("changed", `${basename(path)} changed`, { path });
      if (child === undefined) {
        start();
      } else if (!restarting) {
        restarting = true;
        tell("stop");
      }
    },
  );
  watcher.look();
  start();
}

/** Watches the source files below some folders. */
class SourceWatcher {
  readonly #roots: readonly string[];
  readonly #except: string;
  readonly #changed: (path: string) => void;
  readonly #watchers = new Map<string, FSWatcher>();
  /** Source file → when it changed and its size: systems also tell of files that were only read. */
  #known: Map<string, string> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(roots: readonly string[], except: string, changed: (path: string) => void) {
    this.#roots = [...new Set(roots.map((root) => resolve(root)))];
    this.#except = except;
    this.#changed = changed;
  }

  /** Compares what is there with what was there, and watches folders that are new. */
  look(): void {
    const found = new Map<string, string>();
    const folders = new Set<string>();
    for (const root of this.#roots) {
      this.#walk(root, found, folders);
    }
    for (const [folder, watcher] of this.#watchers) {
      if (!folders.has(folder)) {
        watcher.close();
        this.#watchers.delete(folder);
      }
    }
    for (const folder of folders) {
      if (!this.#watchers.has(folder)) {
        this.#watch(folder);
      }
    }
    const before = this.#known;
    this.#known = found;
    if (before === undefined) {
      return;
    }
    for (const [path, state] of found) {
      if (before.get(path) !== state) {
        this.#changed(path);
        return;
      }
    }
    for (const path of before.keys()) {
      if (!found.has(path)) {
        this.#changed(path);
        return;
      }
    }
  }

  #watch(folder: string): void {
    try {
      const watcher = watch(folder, () => {
        this.#timer ??= setTimeout(() => {
          this.#timer = undefined;
          this.look();
        }, QUIET);
      });
      watcher.on("error", () => this.#watchers.delete(folder));
      this.#watchers.set(folder, watcher);
    } catch {
      // It went away meanwhile, or the system has no watchers left.
    }
  }

  #walk(folder: string, files: Map<string, string>, folders: Set<string>): void {
    if (folders.size >= MOST_FOLDERS || folders.has(folder) || folder === this.#except || folder.startsWith(this.#except + sep)) {
      return;
    }
    folders.add(folder);
    for (const entry of entriesOf(folder)) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) {
        if (entry.name !== "node_modules" && entry.name !== "target" && !entry.name.startsWith(".")) {
          this.#walk(path, files, folders);
        }
      } else if (SOURCES.includes(extname(entry.name))) {
        const stat = statSync(path, { throwIfNoEntry: false });
        if (stat !== undefined) {
          files.set(path, `${stat.mtimeMs} ${stat.size} ${stat.ino}`);
        }
      }
    }
  }
}

function entriesOf(folder: string): { name: string; isDirectory(): boolean }[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}
