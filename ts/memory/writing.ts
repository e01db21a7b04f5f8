/** Documents on their way to the engine: checked, in batches, with vectors where a function of the user makes them. */
import { Batch, Pipeline } from "./batches";
import { members } from "./client";
import {
  type CheckedDocument,
  checkDocument,
  checkedBySchema,
  type DocumentRules,
  documentJson,
  metadataJson,
} from "./documents";
import { Scope } from "./scope";
import type { AddSettings, Binding, Core } from "./settings";
import type { AddedDocument, ChunkOptions, ChunkPlace, MemoryDocument } from "./types";

/** A checked document, with what names its place in errors: `documents[3].`, say. */
export interface PlacedDocument extends CheckedDocument {
  readonly prefix: string;
  /** Its passages, where it came with vectors of the user's function. */
  readonly passages?: Passages;
}

/** The passages of one text. */
export interface Passages {
  readonly places: readonly ChunkPlace[];
  /** Of length 1, one after the other. */
  readonly vectors: Float32Array;
}

/** Checks an array as a whole, so that one bad document does not leave half of the others behind. */
export async function checkAll(documents: readonly unknown[], rules: DocumentRules, scope: Scope): Promise<PlacedDocument[]> {
  const checked: PlacedDocument[] = [];
  for (let index = 0; index < documents.length; index++) {
    const document = checkPlaced(documents[index], index, rules);
    if (rules.schema === undefined) {
      metadataJson(document.metadata, `${document.prefix}metadata`, rules.maxMetadataBytes);
      checked.push(document);
    } else {
      scope.check();
      checked.push(await checkedBySchema(document, document.prefix, rules));
    }
  }
  return checked;
}

/** Checks documents as they come. */
export async function* checkEach(
  source: Iterable<unknown> | AsyncIterable<unknown>,
  rules: DocumentRules,
): AsyncGenerator<PlacedDocument, void, undefined> {
  let index = 0;
  for await (const document of source) {
    const checked = checkPlaced(document, index++, rules);
    yield await checkedBySchema(checked, checked.prefix, rules);
  }
}

function checkPlaced(value: unknown, index: number, rules: DocumentRules): PlacedDocument {
  const prefix = `documents[${index}].`;
  return { ...checkDocument(typeof value === "string" ? { text: value } : value, prefix, rules), prefix };
}

/** Adds documents in batches. No more is read from `source` than is being stored. */
export async function addAll(
  binding: Binding,
  source: Iterable<PlacedDocument> | AsyncIterable<PlacedDocument>,
  settings: AddSettings,
  scope: Scope,
  onDone: (done: number) => void,
): Promise<AddedDocument[]> {
  const pipeline = new Pipeline<PlacedDocument, AddedDocument>(
    (documents) => sendBatch(binding, documents, settings, scope),
    onDone,
  );
  let batch = new Batch<PlacedDocument>();
  try {
    for await (const document of source) {
      scope.check();
      // What metadata weighs is not known yet; a key of it is counted as some text.
      const weight = document.text.length + 64 + 16 * Object.keys(document.metadata ?? {}).length;
      if (batch.add(document, weight, settings.dedupe)) {
        await pipeline.push(batch);
        batch = new Batch();
      }
    }
    if (batch.items.length > 0) {
      await pipeline.push(batch);
    }
  } catch (error) {
    return pipeline.fail(error);
  }
  return pipeline.end();
}

/** Adds one batch: all of it, or nothing. */
export async function sendBatch(
  { core, collection }: Binding,
  documents: readonly PlacedDocument[],
  settings: AddSettings,
  scope: Scope,
): Promise<AddedDocument[]> {
  const ends = settings.ttl === undefined ? undefined : Date.now() + settings.ttl;
  const passages = await passagesOf(core, documents, settings.chunking, scope);
  const rows = documents.map((document, index) => {
    const metadata = metadataJson(document.metadata, `${document.prefix}metadata`, core.limits.maxMetadataBytes);
    return documentJson(document, metadata, document.expiresAt ?? ends, passages?.places[index]);
  });
  const request = `${members({ collection, ...settings.request })},"documents":[${rows.join(",")}]`;
  const { value } = await core.client.call<{ documents: AddedDocument[] }>("add", request, scope, { vectors: passages?.vectors });
  return value.documents;
}

/** The passages of documents with their vectors, where not the engine makes both: only what comes without is embedded. */
async function passagesOf(
  core: Core,
  documents: readonly PlacedDocument[],
  chunking: ChunkOptions | undefined,
  scope: Scope,
): Promise<Embedded | undefined> {
  const bare = documents.filter(({ passages }) => passages === undefined);
  if (core.external === undefined || bare.length === documents.length) {
    return embedded(
      core,
      documents.map(({ text }) => text),
      chunking,
      scope,
    );
  }
  const made = await embedded(
    core,
    bare.map(({ text }) => text),
    chunking,
    scope,
  );
  const width = made === undefined ? 0 : made.vectors.length / made.counts.reduce((sum, count) => sum + count, 0);
  const places: string[] = [];
  const counts: number[] = [];
  const parts: Float32Array[] = [];
  let next = 0;
  let from = 0;
  for (const { passages } of documents) {
    if (passages !== undefined) {
      places.push(JSON.stringify(passages.places));
      counts.push(passages.places.length);
      parts.push(passages.vectors);
    } else if (made !== undefined) {
      const count = made.counts[next] as number;
      places.push(made.places[next] as string);
      counts.push(count);
      parts.push(made.vectors.subarray(from, from + count * width));
      from += count * width;
      next += 1;
    }
  }
  const vectors = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    vectors.set(part, at);
    at += part.length;
  }
  return { places, counts, vectors };
}

/** Passages of texts. */
export interface Embedded {
  /** For each text the places of its passages, as JSON. */
  readonly places: readonly string[];
  /** For each text how many it has. */
  readonly counts: readonly number[];
  /** Of all passages, one after the other. */
  readonly vectors: Float32Array;
}

/** The passages of texts with their vectors, where a function of the user makes them; else the engine does both. */
export async function embedded(
  core: Core,
  texts: readonly string[],
  chunking: ChunkOptions | undefined,
  scope: Scope,
): Promise<Embedded | undefined> {
  if (core.external === undefined) {
    return undefined;
  }
  const chunk = chunkingFor(core, chunking);
  type Passage = ChunkPlace & { readonly text: string };
  const { value } = await core.client.call<{ chunks: Passage[][] }>("split", members({ texts, chunk }), scope);
  const passages = value.chunks.flat().map(({ text }) => text);
  const { data } = await core.external.embed(passages, "document", scope);
  return {
    places: value.chunks.map((places) => JSON.stringify(places.map(({ start, end }) => ({ start, end })))),
    counts: value.chunks.map(({ length }) => length),
    vectors: data,
  };
}

/** Passages are no longer than what the user's function reads. */
function chunkingFor({ external }: Core, chunking: ChunkOptions | undefined): ChunkOptions | undefined {
  const tokens = chunking?.tokens ?? external?.maxTokens;
  return tokens === undefined ? chunking : { ...chunking, tokens };
}

/** Documents of one step of {@link reindexed}. */
const REINDEX_DOCUMENTS = 64;

/** Splits and embeds all documents of a collection anew, with vectors of the user's function. They take effect with the last. */
export async function reindexed(
  binding: Binding,
  scope: Scope,
  onDone: (done: number) => void,
): Promise<{ documents: number; chunks: number }> {
  try {
    return await reindexedByPage(binding, scope, onDone);
  } catch (error) {
    // What was written so far is of no use, and holds the collection's locks.
    const last = new Scope(false);
    last.held = true;
    const { core, collection } = binding;
    await core.client.call("reindexAbandon", members({ collection }), last).catch(() => undefined);
    throw error;
  }
}

async function reindexedByPage(
  { core, collection, rules }: Binding,
  scope: Scope,
  onDone: (done: number) => void,
): Promise<{ documents: number; chunks: number }> {
  let cursor: string | undefined;
  let begin = true;
  for (;;) {
    const read = members({ collection, limit: REINDEX_DOCUMENTS, cursor });
    const page = await core.client.call<{ documents: MemoryDocument[]; cursor?: string | null }>("reindexRead", read, scope);
    const { documents } = page.value;
    cursor = page.value.cursor ?? undefined;
    const texts = documents.map(({ text }) => text);
    const passages = await embedded(core, texts, core.chunking, scope);
    const rows = documents.map((document, index) => {
      const checked = { ...document, expiresAt: document.expiresAt ?? undefined };
      const metadata = metadataJson(document.metadata, "metadata", rules.maxMetadataBytes);
      return documentJson(checked, metadata, document.expiresAt, passages?.places[index]);
    });
    const done = cursor === undefined;
    const request = `${members({ collection, begin, done })},"documents":[${rows.join(",")}]`;
    const written = await core.client.call<{ documents: number; chunks: number }>("reindexWrite", request, scope, {
      vectors: passages?.vectors,
    });
    onDone(written.value.documents);
    if (done) {
      return written.value;
    }
    begin = false;
  }
}
