/** `memory …`: which memory and collection are meant, and what is said where there is none. */
import { existsSync, readdirSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { createInterface } from "node:readline/promises";
import type { Memory, MemoryOptions } from "master-agent";
import { ownLibrary } from "./library";
import { Bar } from "./memory-progress";
import { oneLine } from "./terminal";
import { text, UsageError, type Values } from "./values";

/** How a memory is opened. */
interface Opening {
  /** Whether a folder and a collection that are not there are made by the first document. */
  make?: boolean;
  /** Whether no collection is meant in particular. */
  whole?: boolean;
  maxTextBytes?: number | undefined;
}

/** Opens the memory that the options name, works with it, and closes it. */
export async function inMemory<T>(values: Values, opening: Opening, work: (memory: Memory) => Promise<T>): Promise<T> {
  const library = ownLibrary();
  const download = new Download(values);
  const memory = new library.Memory({
    path: text(values.path),
    collection: text(values.collection),
    embedding: embeddingOf(text(values.model)),
    // Nobody waits for what a command does in the background; `memory optimize` does it at once.
    maintenance: opening.make === true,
    maxTextBytes: opening.maxTextBytes,
    onDownload: (progress) => download.show(progress),
  });
  try {
    if (opening.make !== true) {
      mustExist(memory, opening.whole === true);
    }
    return await work(memory);
  } finally {
    download.stop();
    await memory.close();
  }
}

/** A model by name, or by its folder. */
function embeddingOf(model: string | undefined): MemoryOptions["embedding"] {
  const folder = model !== undefined && (isAbsolute(model) || /^\.\.?([/\\]|$)/.test(model) || existsSync(model));
  return folder ? { path: model } : model;
}

/** Whether a collection is on the disk. */
export function hasCollection({ path }: Memory, name: string): boolean {
  return existsSync(join(path, `${name}.lance`));
}

/** Looks without touching: a memory that is not there is not made. */
function mustExist(memory: Memory, whole: boolean): void {
  const { MasterAgentError } = ownLibrary();
  const { path, name } = memory;
  if (!existsSync(path)) {
    throw new MasterAgentError(
      "ERR_STORE_OPEN",
      `There is no memory in ${path}: nothing was added there yet. Another folder is named with --path, LANCEDB_PATH or APP_DATA_DIR.`,
      { details: { path } },
    );
  }
  if (!whole && !hasCollection(memory, name)) {
    throw noCollection(memory, name);
  }
}

/** What is said where a collection is not there. */
export function noCollection({ path }: Memory, name: string): Error {
  const { MasterAgentError } = ownLibrary();
  const names = readdirSync(path)
    .filter((entry) => entry.endsWith(".lance"))
    .map((entry) => entry.slice(0, -".lance".length))
    .sort();
  const others = names.length === 0 ? "There is none" : `There is ${names.slice(0, 20).join(", ")}`;
  return new MasterAgentError("ERR_MEMORY_NOT_FOUND", `Collection ${name} is not in ${path}. ${others}.`, {
    details: { collection: name, path },
  });
}

/** Asks on a terminal whether something that cannot be taken back shall be done, unless `--yes` says so. */
export async function confirmed(question: string, values: Values): Promise<boolean> {
  if (values.yes === true) {
    return true;
  }
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new UsageError(`${question} There is nobody here to answer: --yes says that it is meant.`);
  }
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const stop = new AbortController();
    // Ctrl-C and the end of the input are a no.
    lines.on("close", () => stop.abort());
    const answer = await lines.question(`${oneLine(question)} [y/N] `, { signal: stop.signal });
    return /^y(es)?$/i.test(answer.trim());
  } catch {
    process.stderr.write("\n");
    return false;
  } finally {
    lines.close();
  }
}

/** Models that are fetched, each with a bar of its own. */
class Download {
  readonly #values: Values;
  #file: string | undefined;
  #bar: Bar | undefined;

  constructor(values: Values) {
    this.#values = values;
  }

  show({ file, done, total }: { file: string; done: number; total: number | undefined }): void {
    if (file !== this.#file) {
      this.stop();
      this.#file = file;
      this.#bar = new Bar(`MB of ${oneLine(file)}`, this.#values);
    }
    this.#bar?.at(megabytes(done), total === undefined ? undefined : megabytes(total));
  }

  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}

const megabytes = (bytes: number): number => Math.ceil(bytes / 1e6);
