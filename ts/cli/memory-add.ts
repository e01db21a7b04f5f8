/** `memory add`: files, folders and standard input become documents. */
import { lstatSync, type Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { basename, dirname, extname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Memory } from "master-agent";
import { described } from "./failure";
import { ownLibrary } from "./library";
import { hasCollection, inMemory } from "./memory";
import { decoded, readText, type Selection, Walk } from "./memory-files";
import { Bar, Stopper } from "./memory-progress";
import { duration, manyLines, oneLine, paint, print, printError, printJson } from "./terminal";
import { jsonObject, list, text, UsageError, type Values, wholeNumber } from "./values";

/** Documents are sent in batches of so many, or so many characters: the bar moves every second or two. */
const BATCH_FILES = 32;
const BATCH_CHARS = 1 << 17;
/** Batches under way: one is embedded while the one before is written. */
const UNDER_WAY = 2;
/** The largest file that is read unless it is said otherwise: what the API takes too. */
const MAX_BYTES = 10 * 1024 * 1024;
/** After so many new passages indexes are brought up to date: the next command may come from a process that does not wait for it. */
const OPTIMIZE_FROM = 5_000;
const STDIN = "-";

/** A file that shall become a document. */
interface Source {
  readonly id: string;
  readonly file: string;
  /** The folder that its path is relative to. */
  readonly folder: string;
  readonly path: string;
  /** Named on the command line, so that it is an error if it is no text. */
  readonly named: boolean;
}

interface Document {
  readonly id?: string;
  readonly text: string;
  readonly metadata: Record<string, unknown>;
}

/** A document with what it is called when something is wrong with it. */
interface Ready extends Document {
  readonly from: string;
}

interface Settings {
  readonly selection: Selection;
  readonly metadata: Record<string, unknown>;
  readonly prefix: string;
  readonly id: string | undefined;
  readonly maxBytes: number;
}

/** `master-agent memory add`. */
export async function addFiles(operands: readonly string[], values: Values): Promise<void> {
  const settings: Settings = {
    selection: { glob: list(values.glob), exclude: list(values.exclude), hidden: values.hidden === true },
    metadata: jsonObject(values.metadata, "metadata") ?? {},
    prefix: text(values.prefix) ?? "",
    id: text(values.id),
    maxBytes: wholeNumber(values["max-bytes"], "max-bytes", 1, 2 ** 28) ?? MAX_BYTES,
  };
  if (settings.id !== undefined && operands.length > 1) {
    throw new UsageError("--id is for one file or standard input.", "memory add");
  }
  if (operands.filter((operand) => operand === STDIN).length > 1) {
    throw new UsageError("- can be given once.", "memory add");
  }
  await inMemory(values, { make: true, maxTextBytes: settings.maxBytes }, async (memory) => {
    const stopper = new Stopper();
    const run = new Adding(memory, settings, new Bar("files", values), stopper.signal);
    try {
      await run.add(operands, values.sync === true);
    } finally {
      run.stop();
      run.report(values.json === true);
    }
    if (stopper.code !== 0) {
      process.exitCode = stopper.code;
    } else if (run.failed.length > 0) {
      process.exitCode = 1;
    }
  });
}

interface Failed {
  readonly file: string;
  readonly code: string | null;
  readonly message: string;
}

/** One run of the command. */
class Adding {
  readonly failed: Failed[] = [];
  readonly #count = { added: 0, replaced: 0, updated: 0, unchanged: 0, removed: 0, chunks: 0 };
  readonly #skipped = { empty: 0, binary: 0, large: 0 };
  readonly #memory: Memory;
  readonly #settings: Settings;
  readonly #bar: Bar;
  readonly #signal: AbortSignal;
  readonly #began = performance.now();
  /** Whether there may be documents already. */
  readonly #existed: boolean;
  readonly #underWay = new Set<Promise<void>>();
  /** What no other document could be added after either. */
  #broken: { error: unknown } | undefined;
  #done = 0;
  #total = 0;

  constructor(memory: Memory, settings: Settings, bar: Bar, signal: AbortSignal) {
    this.#memory = memory;
    this.#settings = settings;
    this.#bar = bar;
    this.#signal = signal;
    this.#existed = hasCollection(memory, memory.name);
  }

  get #ends(): boolean {
    return this.#signal.aborted || this.#broken !== undefined;
  }

  async add(operands: readonly string[], sync: boolean): Promise<void> {
    const folders: string[] = [];
    const sources: Source[] = [];
    let input = false;
    for (const operand of operands) {
      if (operand === STDIN) {
        input = true;
        continue;
      }
      const found = await this.#sources(operand);
      if (found.folder !== undefined) {
        folders.push(found.folder);
      }
      sources.push(...found.sources);
    }
    const wanted = this.#distinct(sources);
    this.#total = wanted.length + (input ? 1 : 0);
    if (input) {
      await this.#send(await this.#standardInput());
    }
    await this.#all(wanted);
    await Promise.all(this.#underWay);
    if (this.#broken !== undefined) {
      throw this.#broken.error;
    }
    if (sync && !this.#signal.aborted) {
      const ids = new Set(wanted.map(({ id }) => id));
      for (const folder of folders) {
        await this.#removeGone(folder, ids);
      }
    }
    if (this.#count.chunks >= OPTIMIZE_FROM && !this.#signal.aborted) {
      this.#bar.say("bringing indexes up to date");
      await this.#memory.optimize();
    }
  }

  /** What an operand names. */
  async #sources(operand: string): Promise<{ folder?: string; sources: Source[] }> {
    const { prefix, selection, id } = this.#settings;
    const file = resolve(operand);
    let found: Stats;
    try {
      found = await stat(file);
    } catch (error) {
      this.#fail(operand, error);
      return { sources: [] };
    }
    if (!found.isDirectory()) {
      // Beside what is below the current folder, files have nothing but their names.
      const below = relative(process.cwd(), file);
      const outside = below === "" || below.startsWith("..") || isAbsolute(below);
      const folder = outside ? dirname(file) : process.cwd();
      const path = relative(folder, file).split(sep).join("/");
      return { sources: [{ id: id ?? prefix + path, file, folder, path, named: true }] };
    }
    if (id !== undefined) {
      throw new UsageError("--id is for one file or standard input; --prefix is for folders.", "memory add");
    }
    const paths = new Walk(file, selection, (path, error) => this.#fail(path, error)).files();
    return {
      folder: file,
      sources: paths.map((path) => ({ id: prefix + path, file: join(file, path), folder: file, path, named: false })),
    };
  }

  /** Two files cannot be one document. */
  #distinct(sources: readonly Source[]): Source[] {
    const known = new Map<string, string>();
    return sources.filter(({ id, file }) => {
      const other = known.get(id);
      known.set(id, other ?? file);
      if (other !== undefined && other !== file) {
        const { MasterAgentError } = ownLibrary();
        const message = `has the id ${id}, as ${other} has. Add them one by one, with --prefix`;
        this.#fail(file, new MasterAgentError("ERR_INPUT_INVALID", message));
      }
      return other === undefined;
    });
  }

  async #standardInput(): Promise<Ready[]> {
    const { id, metadata, maxBytes } = this.#settings;
    const { MasterAgentError } = ownLibrary();
    const parts: Buffer[] = [];
    let size = 0;
    for await (const part of process.stdin) {
      parts.push(part as Buffer);
      size += (part as Buffer).length;
      if (size > maxBytes) {
        const message = `is larger than ${maxBytes} bytes; --max-bytes allows more`;
        this.#fail("standard input", new MasterAgentError("ERR_INPUT_TOO_LARGE", message));
        return [];
      }
    }
    const read = decoded(Buffer.concat(parts));
    if (read === undefined || read.trim() === "") {
      const message = read === undefined ? "is no text" : "is empty";
      this.#fail("standard input", new MasterAgentError("ERR_INPUT_INVALID", message));
      return [];
    }
    return [{ ...(id === undefined ? {} : { id }), text: read, metadata, from: "standard input" }];
  }

  async #all(sources: readonly Source[]): Promise<void> {
    let batch: Ready[] = [];
    let chars = 0;
    const flush = async (): Promise<void> => {
      while (this.#underWay.size >= UNDER_WAY) {
        await Promise.race(this.#underWay);
      }
      if (this.#ends || batch.length === 0) {
        return;
      }
      const work: Promise<void> = this.#send(batch)
        .catch((error: unknown) => {
          this.#broken ??= { error };
        })
        .finally(() => this.#underWay.delete(work));
      this.#underWay.add(work);
      batch = [];
      chars = 0;
    };
    for (const source of sources) {
      if (this.#ends) {
        return;
      }
      const document = await this.#document(source);
      if (document === undefined) {
        this.#step(1);
        continue;
      }
      batch.push(document);
      chars += document.text.length;
      if (batch.length === BATCH_FILES || chars >= BATCH_CHARS) {
        await flush();
      }
    }
    await flush();
  }

  /** The document of a file; nothing if it is none. */
  async #document(source: Source): Promise<Ready | undefined> {
    const { file, folder, path, id } = source;
    try {
      const { size, mtime } = await stat(file);
      const content = await readText(file, size, this.#settings.maxBytes);
      if ("no" in content) {
        this.#pass(source, content.no);
        return undefined;
      }
      const known = {
        path,
        name: basename(file),
        extension: extname(file).slice(1).toLowerCase(),
        modified: mtime.toISOString(),
        folder,
      };
      return { id, text: content.text, metadata: { ...this.#settings.metadata, ...known }, from: file };
    } catch (error) {
      this.#fail(file, error);
      return undefined;
    }
  }

  #pass({ file, named }: Source, no: "empty" | "binary" | "large"): void {
    if (!named) {
      this.#skipped[no] += 1;
      return;
    }
    const { MasterAgentError } = ownLibrary();
    const { maxBytes } = this.#settings;
    const large = `is larger than ${maxBytes} bytes; --max-bytes allows more`;
    const message = { empty: "is empty", binary: "is no text", large }[no];
    this.#fail(file, new MasterAgentError(no === "large" ? "ERR_INPUT_TOO_LARGE" : "ERR_INPUT_INVALID", message));
  }

  /** Adds what is new or changed of a batch. */
  async #send(batch: readonly Ready[]): Promise<void> {
    const stored = await this.#stored(batch);
    const fresh: Ready[] = [];
    for (const document of batch) {
      const before = document.id === undefined ? undefined : stored.get(document.id);
      if (before?.text !== document.text) {
        fresh.push(document);
      } else if (sameBut(before.metadata, document.metadata)) {
        this.#count.unchanged += 1;
        this.#step(1);
      } else {
        await this.#memory.update(document.id as string, { metadata: document.metadata });
        this.#count.updated += 1;
        this.#step(1);
      }
    }
    if (fresh.length > 0) {
      await this.#put(fresh);
    }
  }

  async #stored(batch: readonly Ready[]): Promise<Map<string, Document>> {
    const ids = batch.flatMap(({ id }) => id ?? []);
    if (!this.#existed || ids.length === 0) {
      return new Map();
    }
    const found = await this.#memory.getMany(ids);
    return new Map(found.flatMap((document) => (document === null ? [] : [[document.id, document] as const])));
  }

  async #put(documents: readonly Ready[]): Promise<void> {
    try {
      const added = await this.#memory.addMany(documents.map(({ from: _, ...document }) => document));
      for (const { status, chunks } of added) {
        this.#count[status === "replaced" ? "replaced" : "added"] += 1;
        this.#count.chunks += chunks;
      }
    } catch (error) {
      const [first] = documents;
      if (!isOfDocument(error) || first === undefined) {
        throw error;
      }
      if (documents.length > 1) {
        // One of them is at fault: the others go in without it.
        for (const document of documents) {
          await this.#put([document]);
        }
        return;
      }
      this.#fail(first.from, error);
    }
    this.#step(documents.length);
  }

  /** Removes what came from this folder and has no file any more. */
  async #removeGone(folder: string, ids: ReadonlySet<string>): Promise<void> {
    if (!this.#existed) {
      return;
    }
    const gone: string[] = [];
    for await (const { id, metadata } of this.#memory.documents({ filter: { folder }, limit: 1_000 })) {
      const { path } = metadata as { path?: unknown };
      if (!ids.has(id) && typeof path === "string" && isGone(join(folder, path))) {
        gone.push(id);
      }
    }
    this.#count.removed += gone.length === 0 ? 0 : await this.#memory.delete(gone);
  }

  #step(files: number): void {
    this.#done += files;
    this.#bar.at(this.#done, this.#total);
  }

  #fail(file: string, error: unknown): void {
    const { code, message } = described(error);
    this.failed.push({ file, code, message: reasonOf(error, message) });
  }

  stop(): void {
    this.#bar.stop();
  }

  /** Says what was done, also where an error ended it. */
  report(json: boolean): void {
    const count = this.#count;
    const skipped = this.#skipped;
    const stopped = this.#signal.aborted && this.#done < this.#total;
    const took = performance.now() - this.#began;
    if (json) {
      const { path, name } = this.#memory;
      const seconds = Number((took / 1000).toFixed(3));
      printJson({ path, collection: name, ...count, skipped, failed: this.failed, stopped, seconds });
      return;
    }
    for (const { file, code, message } of this.failed) {
      const sign = paint("red", "error", process.stderr);
      printError(`${sign} ${oneLine(file)}: ${manyLines(message)}${code === null ? "" : ` (${code})`}`);
    }
    const parts = [
      [count.added, "added"],
      [count.replaced, "replaced"],
      [count.updated, "with new metadata"],
      [count.unchanged, "unchanged"],
      [count.removed, "removed"],
      [this.failed.length, "failed"],
    ].filter(([number]) => number !== 0);
    if (parts.length === 0 && this.#broken !== undefined) {
      return;
    }
    const done = parts.length === 0 ? "nothing to add" : parts.map(([number, what]) => `${number} ${what}`).join(", ");
    const passages = count.chunks === 1 ? "1 passage" : `${count.chunks} passages`;
    print(`${done}${count.chunks === 0 ? "" : ` (${passages} in ${duration(took)})`}`);
    const left = [
      [skipped.empty, "empty"],
      [skipped.binary, "no text"],
      [skipped.large, "too large"],
    ].filter(([number]) => number !== 0);
    if (left.length > 0) {
      print(`left out: ${left.map(([number, what]) => `${number} ${what}`).join(", ")}`);
    }
    if (stopped) {
      printError(`Stopped after ${this.#done} of ${this.#total} files. Run it again to go on.`);
    }
  }
}

/** Whether metadata are the same, whenever the file was written. */
function sameBut(stored: object, now: object): boolean {
  return isDeepStrictEqual({ ...stored, modified: undefined }, { ...now, modified: undefined });
}

/** Whether an error is about a document rather than about the memory as a whole. */
function isOfDocument(error: unknown): boolean {
  const { code } = described(error);
  return code !== null && (code.startsWith("ERR_INPUT_") || code === "ERR_EMBEDDING_FAILED");
}

/** A file that cannot be looked at is not taken for one that is gone. */
function isGone(file: string): boolean {
  try {
    return lstatSync(file, { throwIfNoEntry: false }) === undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOTDIR";
  }
}

/** Why a file could not be read, without its path, which is told before. */
function reasonOf(error: unknown, message: string): string {
  const reasons: Record<string, string> = {
    ENOENT: "there is no such file or folder",
    EACCES: "may not be read",
    EPERM: "may not be read",
  };
  return reasons[(error as NodeJS.ErrnoException).code ?? ""] ?? message;
}
