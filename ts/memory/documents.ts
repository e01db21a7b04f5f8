/** Checks of documents, and the JSON that they cross the boundary as. */
import { invalid, MasterAgentError } from "../errors";
import { show, time, unknownOption } from "../options";
import { toJson } from "../payload";
import { checkSchema, type StandardSchema } from "../schema";
import { wellFormedJson } from "./filter";

/** What documents may be. */
export interface DocumentRules {
  readonly maxTextBytes: number;
  readonly maxMetadataBytes: number;
  readonly schema: StandardSchema<unknown, object> | undefined;
}

/** A document that passed the checks. */
export interface CheckedDocument {
  readonly id: string | undefined;
  readonly text: string;
  /** Not written as JSON yet. */
  readonly metadata: unknown;
  readonly expiresAt: number | undefined;
  /** Of a document that was exported. */
  readonly createdAt?: number;
  readonly updatedAt?: number;
}

const DOCUMENT_KEYS: ReadonlySet<string> = new Set(["id", "text", "metadata", "ttl", "expiresAt"]);
const MAX_ID = 1_024;
/** The last point in time of a `Date`. */
const MAX_DATE = 8.64e15;

/** An id: 1 to 1024 characters that can be written as UTF-8. */
export function documentId(value: unknown, field: string): string {
  if (typeof value !== "string" || value.length === 0) {
    throw invalid(field, `must be a non-empty string, not ${value === "" ? "an empty one" : show(value)}`);
  }
  if (value.length > MAX_ID) {
    throw invalid(field, `must have at most ${MAX_ID} characters, not ${value.length}`);
  }
  if (!value.isWellFormed()) {
    throw invalid(field, "contains a lone surrogate; it must be valid Unicode");
  }
  return value;
}

/** A text within the limit; lone surrogates become U+FFFD, so that places in it stay what they are. */
export function documentText(value: unknown, field: string, limit: number): string {
  if (typeof value !== "string") {
    throw invalid(field, `must be a string, not ${show(value)}`);
  }
  // A UTF-16 unit takes at most three bytes: most texts need not be measured.
  if (value.length * 3 > limit) {
    const size = value.length > limit ? value.length : Buffer.byteLength(value);
    if (size > limit) {
      throw new MasterAgentError(
        "ERR_INPUT_TOO_LARGE",
        `${field} is larger than the limit of ${limit} bytes; split it, or raise maxTextBytes`,
        { details: { field, limit, size } },
      );
    }
  }
  return value.toWellFormed();
}

/** The JSON of metadata; `undefined` is an empty object. */
export function metadataJson(value: unknown, field: string, limit: number): string {
  if (value === undefined) {
    return "{}";
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid(field, `must be an object, not ${show(value)}`);
  }
  let text: string;
  try {
    text = toJson(value, field, limit);
  } catch (error) {
    if (error instanceof MasterAgentError && error.code === "ERR_INPUT_TOO_LARGE") {
      const message = `${field} is larger than the limit of ${limit} bytes of JSON; store it elsewhere, or raise maxMetadataBytes`;
      throw new MasterAgentError("ERR_INPUT_TOO_LARGE", message, { details: { ...error.details } });
    }
    throw error;
  }
  if (!text.startsWith("{")) {
    throw invalid(field, "must be written as a JSON object; its toJSON() gives something else");
  }
  return wellFormedJson(text);
}

/** When a document ends, from `ttl` and `expiresAt`; `null` is never. */
export function expiry(ttl: unknown, expiresAt: unknown, prefix: string): number | null | undefined {
  if (ttl !== undefined && expiresAt !== undefined) {
    throw invalid(`${prefix}ttl`, "cannot be given together with expiresAt");
  }
  if (ttl !== undefined) {
    return Date.now() + time(ttl, `${prefix}ttl`, 1);
  }
  if (expiresAt === undefined || expiresAt === null) {
    return expiresAt;
  }
  const at: unknown = expiresAt instanceof Date ? expiresAt.getTime() : expiresAt;
  if (typeof at !== "number" || !(at >= 0 && at <= MAX_DATE)) {
    const found = expiresAt instanceof Date ? "an invalid or too early Date" : show(expiresAt);
    throw invalid(`${prefix}expiresAt`, `must be a Date or milliseconds since 1970, not ${found}`);
  }
  return Math.ceil(at);
}

/** A document as it is given, checked but for its metadata. `prefix` names its place in errors: `documents[3].`, say. */
export function checkDocument(value: unknown, prefix: string, rules: DocumentRules): CheckedDocument {
  const whole = prefix === "" ? "document" : prefix.slice(0, -1);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid(whole, `must be an object with text, not ${show(value)}`);
  }
  for (const key in value) {
    if (!DOCUMENT_KEYS.has(key)) {
      throw unknownOption(prefix, key, DOCUMENT_KEYS);
    }
  }
  const { id, text, metadata, ttl, expiresAt } = value as Record<string, unknown>;
  return {
    id: id === undefined ? undefined : documentId(id, `${prefix}id`),
    text: documentText(text, `${prefix}text`, rules.maxTextBytes),
    metadata,
    expiresAt: expiry(ttl, expiresAt, prefix) ?? undefined,
  };
}

/** What the schema makes of the metadata of a document. */
export async function checkedBySchema<D extends CheckedDocument>(
  document: D,
  prefix: string,
  { schema }: DocumentRules,
): Promise<D> {
  return schema === undefined
    ? document
    : { ...document, metadata: await metadataBySchema(schema, document.metadata ?? {}, prefix) };
}

/** What the schema makes of metadata. */
export async function metadataBySchema(schema: StandardSchema, metadata: unknown, prefix: string): Promise<unknown> {
  return checkSchema(schema, metadata, {
    subject: `${prefix}metadata`,
    schema: "the metadataSchema of the collection",
    details: { field: `${prefix}metadata` },
  });
}

/** The JSON of a document for the engine. `chunks` are the places of its passages, where their vectors come with it. */
export function documentJson(
  document: CheckedDocument,
  metadata: string,
  expiresAt: number | undefined,
  chunks?: string,
): string {
  const { id, text } = document;
  return (
    `{${id === undefined ? "" : `"id":${JSON.stringify(id)},`}"text":${JSON.stringify(text)},"metadata":${metadata}` +
    `${numberMember("expiresAt", expiresAt)}${numberMember("createdAt", document.createdAt)}` +
    `${numberMember("updatedAt", document.updatedAt)}${chunks === undefined ? "" : `,"chunks":${chunks}`}}`
  );
}

function numberMember(name: string, value: number | undefined): string {
  return value === undefined ? "" : `,"${name}":${value}`;
}
