/** Reads documents from JSONL, where functions of the user have a say on each of them. Else the engine reads for itself. */
import { type FileHandle, open } from "node:fs/promises";
import { MasterAgentError } from "../errors";
import { checkDocument, checkedBySchema, type DocumentRules, metadataJson } from "./documents";
import type { PlacedDocument } from "./writing";

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

  constructor(path: string, rules: DocumentRules) {
    this.#path = path;
    this.#rules = rules;
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
    return { ...checked, ...timesOf(value), prefix: `line ${line}: ` };
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
