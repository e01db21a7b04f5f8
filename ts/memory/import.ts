/** Reads documents from JSONL, where functions of the user have a say on each of them. Else the engine reads for itself. */
import { type FileHandle, open } from "node:fs/promises";
import { invalid, MasterAgentError } from "../errors";
import { show } from "../options";
import { checkDocument, checkedBySchema, type DocumentRules, metadataJson } from "./documents";
import { type ExternalEmbedder, normalise } from "./embedding";
import type { ChunkPlace } from "./types";
import type { Passages, PlacedDocument } from "./writing";

/** Bad lines that are told of. */
const MAX_FAILED = 1_000;
const MEMBERS = ["id", "text", "metadata", "expiresAt"] as const;

/** One file. */
export class LineReader {
  readonly failed: { line: number; message: string }[] = [];
  /** Bytes that were read, about. */
  done = 0;
  /** Bytes of the file. */
  size: number | undefined;
  readonly #path: string;
  readonly #rules: DocumentRules;
  readonly #external: ExternalEmbedder | undefined;

  /** Vectors of `external` that a line has are taken as they are. */
  constructor(path: string, rules: DocumentRules, external: ExternalEmbedder | undefined) {
    this.#path = path;
    this.#rules = rules;
    this.#external = external;
  }

  /** Its documents, checked; lines that are none are noted. */
  async *documents(): AsyncGenerator<PlacedDocument, void, undefined> {
    let line = 0;
    for await (const text of this.#lines()) {
      line += 1;
      this.done += Buffer.byteLength(text) + 1;
      if (text.trim() === "") {
        continue;
      }
      let document: PlacedDocument;
      try {
        document = await this.#document(text, line);
      } catch (error) {
        if (!(error instanceof MasterAgentError && error.code.startsWith("ERR_INPUT_"))) {
          throw error;
        }
        if (this.failed.length < MAX_FAILED) {
          this.failed.push({ line, message: error.message });
        }
        continue;
      }
      yield document;
    }
  }

  async *#lines(): AsyncGenerator<string, void, undefined> {
    let file: FileHandle | undefined;
    try {
      file = await open(this.#path);
      this.size = (await file.stat()).size;
      yield* file.readLines();
    } catch (cause) {
      const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
      const reason = missing
        ? "there is no such file"
        : `cannot be read (${cause instanceof Error ? cause.message : String(cause)})`;
      throw new MasterAgentError(missing ? "ERR_INPUT_INVALID" : "ERR_STORE_OPEN", `${this.#path}: ${reason}`, {
        cause,
        details: { path: this.#path },
      });
    } finally {
      await file?.close();
    }
  }

  async #document(text: string, line: number): Promise<PlacedDocument> {
    const value = parsed(text);
    const document = checkDocument(membersOf(value), "", this.#rules);
    metadataJson(document.metadata, "metadata", this.#rules.maxMetadataBytes);
    const checked = await checkedBySchema(document, "", this.#rules);
    const passages = this.#external && passagesOf(value as Record<string, unknown>, checked.text, this.#external);
    return { ...checked, ...timesOf(value), ...(passages && { passages }), prefix: `line ${line}: ` };
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new MasterAgentError("ERR_INPUT_INVALID", cause instanceof Error ? cause.message : String(cause));
  }
}

/** The members that make a document; an export has more, and other programs write what they like. */
function membersOf(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return value;
  }
  const document: Record<string, unknown> = {};
  for (const key of MEMBERS) {
    const member = (value as Record<string, unknown>)[key];
    if (member !== undefined && member !== null) {
      document[key] = member;
    }
  }
  return document;
}

/** When an exported document was made and changed. */
function timesOf(value: unknown): { createdAt?: number; updatedAt?: number } {
  const { createdAt, updatedAt } = value as Record<string, unknown>;
  return {
    ...(Number.isSafeInteger(createdAt) ? { createdAt: createdAt as number } : {}),
    ...(Number.isSafeInteger(updatedAt) ? { updatedAt: updatedAt as number } : {}),
  };
}

/** The passages of an exported document whose vectors are of this function; without vectors, or with others, it is embedded. */
function passagesOf(value: Record<string, unknown>, text: string, external: ExternalEmbedder): Passages | undefined {
  const { model, chunks } = value;
  if (model !== external.id || !Array.isArray(chunks) || chunks.length === 0) {
    return undefined;
  }
  const found = chunks as readonly Record<string, unknown>[];
  if (!found.every((chunk) => typeof chunk === "object" && chunk !== null && Array.isArray(chunk.vector))) {
    return undefined;
  }
  const width = external.dimensions ?? (found[0] as { vector: unknown[] }).vector.length;
  const vectors = new Float32Array(found.length * width);
  const places: ChunkPlace[] = [];
  let reached = 0;
  for (const [index, chunk] of found.entries()) {
    const { start, end } = chunk as { start: number; end: number };
    const vector = chunk.vector as number[];
    if (!(Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= reached && end >= start)) {
      throw invalid(`chunks[${index}]`, `must follow what is before it, not be ${show(start)} to ${show(end)}`);
    }
    if (vector.length !== width || width === 0) {
      throw invalid(`chunks[${index}].vector`, `must have ${width || "1 or more"} numbers, not ${vector.length}`);
    }
    const fault = normalise(vector, vectors, index * width);
    if (fault !== undefined) {
      throw invalid(`chunks[${index}].vector`, fault);
    }
    reached = Math.max(reached, end);
    places.push({ start, end });
  }
  if (reached !== text.length) {
    throw invalid("chunks", `must make up the text: they end at ${reached}, it at ${text.length}`);
  }
  return { places, vectors };
}
