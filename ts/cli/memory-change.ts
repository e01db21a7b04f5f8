/** `memory delete`, `drop`, `export`, `import`, `optimize` and `reindex`. */
import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { ImportResult, Memory } from "master-agent";
import { described } from "./failure";
import { confirmed, hasCollection, inMemory, noCollection } from "./memory";
import { Bar, Stopper } from "./memory-progress";
import { duration, manyLines, oneLine, paint, print, printError, printJson } from "./terminal";
import { choice, jsonObject, UsageError, type Values } from "./values";

const documents = (count: number): string => (count === 1 ? "1 document" : `${count} documents`);

function tell(values: Values, document: object, said: string): void {
  if (values.json === true) {
    printJson(document);
  } else {
    print(said);
  }
}

/** `master-agent memory delete`. */
export async function deleteDocuments(ids: readonly string[], values: Values): Promise<void> {
  const filter = jsonObject(values.filter, "filter");
  if ((ids.length === 0) === (filter === undefined)) {
    throw new UsageError("memory delete needs ids, or --filter, and not both.", "memory delete");
  }
  await inMemory(values, {}, async (memory) => {
    if (filter !== undefined) {
      await deleteMatching(memory, filter, values);
      return;
    }
    const wanted = [...new Set(ids)];
    const found = await memory.getMany(wanted);
    const missing = wanted.filter((_, index) => found[index] === null);
    const deleted = await memory.delete(wanted);
    if (missing.length > 0) {
      process.exitCode = 1;
    }
    if (values.json === true) {
      printJson({ deleted, missing });
      return;
    }
    for (const id of wanted) {
      if (missing.includes(id)) {
        const sign = paint("red", "error", process.stderr);
        printError(`${sign} Document ${oneLine(id)} is not in collection ${memory.name} (ERR_MEMORY_NOT_FOUND)`);
      } else {
        print(`${oneLine(id)} is deleted`);
      }
    }
  });
}

async function deleteMatching(memory: Memory, filter: Record<string, unknown>, values: Values): Promise<void> {
  const count = await memory.count(filter);
  const question = `Delete ${documents(count)} of collection ${memory.name} in ${memory.path}?`;
  if (count > 0 && !(await confirmed(question, values))) {
    leave();
    return;
  }
  const deleted = count === 0 ? 0 : await memory.deleteMany(filter);
  tell(values, { deleted }, `${documents(deleted)} deleted`);
}

/** Who is asked and says no has not got what the command is for. */
function leave(): void {
  printError("Nothing was done.");
  process.exitCode = 1;
}

/** `master-agent memory drop`. */
export async function dropCollection([name = ""]: readonly string[], values: Values): Promise<void> {
  await inMemory(values, { whole: true }, async (memory) => {
    // A name that none can have is told of by the API.
    memory.collection(name);
    if (!hasCollection(memory, name)) {
      throw noCollection(memory, name);
    }
    const count = await memory
      .collection(name)
      .count()
      .catch(() => undefined);
    const size = count === undefined ? "" : ` with its ${documents(count)}`;
    if (!(await confirmed(`Remove collection ${name} in ${memory.path}${size}?`, values))) {
      leave();
      return;
    }
    const dropped = await memory.dropCollection(name);
    tell(values, { collection: name, dropped }, `${name} is removed`);
  });
}

/** Runs a command that takes its time. One that is stopped says so, and its exit code does. */
async function long<T>(values: Values, unit: string, run: (how: LongCall) => Promise<T>): Promise<T | undefined> {
  const stopper = new Stopper();
  const bar = new Bar(unit, values);
  const onProgress = ({ done, total }: { done: number; total: number | undefined }): void => bar.at(done, total);
  try {
    return await run({ signal: stopper.signal, onProgress });
  } catch (error) {
    if (stopper.code === 0 || described(error).code !== "ERR_WAIT_ABORTED") {
      throw error;
    }
    process.exitCode = stopper.code;
    return undefined;
  } finally {
    bar.stop();
    if (stopper.code !== 0) {
      printError("Stopped.");
    }
  }
}

interface LongCall {
  signal: AbortSignal;
  onProgress: (progress: { done: number; total: number | undefined }) => void;
}

/** `master-agent memory export`. */
export async function exportDocuments([file = ""]: readonly string[], values: Values): Promise<void> {
  const filter = jsonObject(values.filter, "filter");
  const vectors = values.vectors === true;
  await inMemory(values, {}, async (memory) => {
    if (file === "-" && !vectors) {
      await pipeline(linesOf(memory, filter), process.stdout, { end: false });
      return;
    }
    if (file === "-") {
      await inTemporary("standard-output.jsonl", async (path) => {
        const done = await long(values, "documents", (how) => memory.export(path, { filter, vectors, ...how }));
        if (done !== undefined) {
          await pipeline(createReadStream(path), process.stdout, { end: false });
        }
      });
      return;
    }
    const done = await long(values, "documents", (how) => memory.export(file, { filter, vectors, ...how }));
    if (done !== undefined) {
      tell(values, { file, ...done }, `${documents(done.documents)} written to ${oneLine(file)}`);
    }
  });
}

async function* linesOf(memory: Memory, filter: Record<string, unknown> | undefined): AsyncGenerator<string> {
  for await (const line of memory.lines({ filter })) {
    yield `${line}\n`;
  }
}

/** `master-agent memory import`. */
export async function importDocuments([file = ""]: readonly string[], values: Values): Promise<void> {
  const onConflict = choice(values["on-conflict"], "on-conflict", ["replace", "skip", "error"]);
  const began = performance.now();
  const done = await inMemory(values, { make: true }, async (memory) =>
    withFile(file, (path) => long(values, "bytes", (how) => memory.import(path, { onConflict, ...how }))),
  );
  if (done === undefined) {
    return;
  }
  if (done.failed.length > 0) {
    process.exitCode = 1;
  }
  if (values.json === true) {
    printJson(done);
    return;
  }
  for (const { line, message } of done.failed) {
    printError(`${paint("red", "error", process.stderr)} line ${line}: ${manyLines(message)}`);
  }
  print(`${inWords(done)} in ${duration(performance.now() - began)}`);
}

function inWords({ added, replaced, skipped, unchanged, failed }: ImportResult): string {
  const parts = [
    [added, "added"],
    [replaced, "replaced"],
    [skipped, "skipped"],
    [unchanged, "unchanged"],
    [failed.length, "failed"],
  ].filter(([count]) => count !== 0);
  return parts.length === 0 ? "nothing to import" : parts.map(([count, what]) => `${count} ${what}`).join(", ");
}

/** Standard input as a file, which the engine reads; any other is itself. */
async function withFile<T>(file: string, work: (path: string) => Promise<T>): Promise<T> {
  if (file !== "-") {
    return work(file);
  }
  return inTemporary("standard-input.jsonl", async (path) => {
    await pipeline(process.stdin, createWriteStream(path));
    return work(path);
  });
}

/** Works with a file that is gone afterwards. */
async function inTemporary<T>(name: string, work: (path: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "master-agent-"));
  try {
    return await work(join(folder, name));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** `master-agent memory optimize`. */
export async function optimizeMemory(values: Values): Promise<void> {
  await inMemory(values, {}, async (memory) => {
    const began = performance.now();
    const done = await long(values, "passages", async (how) => {
      await memory.optimize(how);
      return true;
    });
    if (done === true) {
      const { path, name } = memory;
      tell(values, { path, collection: name }, `${name} is optimized, in ${duration(performance.now() - began)}`);
    }
  });
}

/** `master-agent memory reindex`. */
export async function reindexMemory(values: Values): Promise<void> {
  await inMemory(values, {}, async (memory) => {
    const began = performance.now();
    const done = await long(values, "documents", (how) => memory.reindex(how));
    if (done !== undefined) {
      const { path, name } = memory;
      const said = `${documents(done.documents)}, ${done.chunks} passages, in ${duration(performance.now() - began)}`;
      tell(values, { path, collection: name, ...done }, said);
    }
  });
}
