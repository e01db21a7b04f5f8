/** `memory list`, `get`, `stats` and `collections`: looks into a memory. */
import { ownLibrary } from "./library";
import { inMemory } from "./memory";
import { ago, type Column, columns, manyLines, oneLine, paint, print, printError, printJson, table } from "./terminal";
import { jsonObject, text, type Values, wholeNumber } from "./values";

const iso = (at: number): string => new Date(at).toISOString();

/** How a document begins, in one line. */
const beginning = (document: string): string => oneLine(document.slice(0, 400).trim()).slice(0, 200).toWellFormed();

/** `master-agent memory list`. */
export async function listDocuments(values: Values): Promise<void> {
  const limit = wholeNumber(values.limit, "limit", 1, 1_000) ?? 20;
  const filter = jsonObject(values.filter, "filter");
  const page = await inMemory(values, {}, (memory) => memory.list({ filter, limit, cursor: text(values.cursor) }));
  if (values.json === true) {
    printJson({ documents: page.documents, cursor: page.cursor ?? null });
    return;
  }
  const room = columns();
  if (room === undefined) {
    for (const { id, chunks, updatedAt, text: content } of page.documents) {
      print([oneLine(id), chunks.length, iso(updatedAt), beginning(content)].join("\t"));
    }
    // Standard output has nothing but documents, for the programs that read it.
    if (page.cursor !== undefined) {
      printError(`more: --cursor ${page.cursor}`);
    }
    return;
  }
  if (page.documents.length === 0) {
    print("No such documents.");
    return;
  }
  const now = Date.now();
  const heads: Column[] = [
    { title: "ID", least: 20 },
    { title: "PASSAGES", right: true },
    { title: "CHANGED" },
    { title: "TEXT", least: 16 },
  ];
  const rows = page.documents.map(({ id, chunks, updatedAt, text: content }) => [
    oneLine(id),
    String(chunks.length),
    ago(updatedAt, now),
    beginning(content),
  ]);
  print(table(heads, rows, room).join("\n"));
  if (page.cursor !== undefined) {
    print(paint("dim", `More: --cursor ${page.cursor}`));
  }
}

const field = (name: string, value: string): void => print(`${paint("dim", name.padEnd(10))} ${value}`);

/** `master-agent memory get`. */
export async function showDocument([id = ""]: readonly string[], values: Values): Promise<void> {
  const document = await inMemory(values, {}, async (memory) => {
    const found = await memory.get(id);
    if (found === null) {
      const { MasterAgentError } = ownLibrary();
      throw new MasterAgentError("ERR_MEMORY_NOT_FOUND", `Document ${id} is not in collection ${memory.name} of ${memory.path}`, {
        details: { id, collection: memory.name },
      });
    }
    return found;
  });
  if (values.json === true) {
    printJson({ document });
    return;
  }
  field("id", oneLine(document.id));
  field("passages", String(document.chunks.length));
  field("created", iso(document.createdAt));
  field("updated", iso(document.updatedAt));
  if (typeof document.expiresAt === "number") {
    field("expires", iso(document.expiresAt));
  }
  if (Object.keys(document.metadata).length > 0) {
    const short = JSON.stringify(document.metadata);
    const room = columns();
    field(
      "metadata",
      manyLines(room === undefined || short.length <= room - 11 ? short : JSON.stringify(document.metadata, null, 2)),
    );
  }
  print("");
  print(manyLines(document.text).trimEnd());
}

/** `master-agent memory stats`. */
export async function showStats(values: Values): Promise<void> {
  const document = await inMemory(values, {}, async (memory) => ({
    path: memory.path,
    collection: memory.name,
    ...(await memory.stats()),
  }));
  if (values.json === true) {
    printJson(document);
    return;
  }
  field("path", document.path);
  field("collection", document.collection);
  field("documents", plain(document.documents));
  field("passages", plain(document.chunks));
  field("size", bytes(document.bytes));
  field("model", `${oneLine(document.model)}, ${document.dimensions} dimensions`);
  const fragments = document.fragments === 1 ? "1 fragment" : `${plain(document.fragments)} fragments`;
  field("version", `${plain(document.version)}, in ${fragments}`);
  if (document.deletedRows > 0) {
    field("deleted", `${plain(document.deletedRows)} passages, until files are compacted`);
  }
  for (const { name, type, rows } of document.indexes) {
    field("index", `${oneLine(name)} (${oneLine(type)}), ${plain(rows)} passages`);
  }
  if (document.unindexedRows > 0) {
    field("unindexed", `${plain(document.unindexedRows)} passages, which are found by a scan`);
  }
}

/** `master-agent memory collections`. */
export async function listCollections(values: Values): Promise<void> {
  const collections = await inMemory(values, { whole: true }, (memory) => memory.collections());
  if (values.json === true) {
    printJson({ collections });
    return;
  }
  const room = columns();
  if (room === undefined) {
    for (const { name, documents, chunks, bytes: size } of collections) {
      print([oneLine(name), documents, chunks, size].join("\t"));
    }
    return;
  }
  if (collections.length === 0) {
    print("No collections.");
    return;
  }
  const heads: Column[] = [
    { title: "COLLECTION", least: 12 },
    { title: "DOCUMENTS", right: true },
    { title: "PASSAGES", right: true },
    { title: "SIZE", right: true },
  ];
  const rows = collections.map(({ name, documents, chunks, bytes: size }) => [
    oneLine(name),
    plain(documents),
    plain(chunks),
    bytes(size),
  ]);
  print(table(heads, rows, room).join("\n"));
}

const plain = (value: number): string => (columns() === undefined ? String(value) : value.toLocaleString("en"));

/** A size for people. */
export function bytes(size: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = size;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 10 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
