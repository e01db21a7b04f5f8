/** What the engine answers, as the public API shows it. */
import { cut } from "./embedding";
import type { MemoryDocument, RAGResult } from "./types";

/** A hit, as it crosses the boundary. */
export interface NativeHit extends Omit<RAGResult, "document" | "vector"> {
  /** How many passages its document has. */
  readonly chunks: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** Hits, with the vectors that came beside them, where they were asked for. */
export function hitsOf(hits: readonly NativeHit[], data: Float32Array | true | undefined): RAGResult[] {
  const rows = data instanceof Float32Array && hits.length > 0 ? cut(data, data.length / hits.length) : undefined;
  return hits.map(({ id, text, score, metadata, chunk, chunks, scores, neighbours, createdAt, updatedAt }, index) => ({
    id,
    text,
    score,
    metadata,
    document: { chunks, createdAt, updatedAt },
    chunk,
    scores,
    ...(neighbours === undefined ? {} : { neighbours }),
    ...(rows === undefined ? {} : { vector: rows[index] as Float32Array }),
  }));
}

/** Gives documents the vectors that came beside them, a row for each passage. */
export function withVectors(
  documents: readonly (MemoryDocument | null)[],
  data: Float32Array | true | undefined,
): (MemoryDocument | null)[] {
  if (!(data instanceof Float32Array)) {
    return [...documents];
  }
  const rows = documents.reduce((sum, document) => sum + (document?.chunks.length ?? 0), 0);
  const all = cut(data, rows === 0 ? 0 : data.length / rows);
  let next = 0;
  return documents.map((document) => {
    if (document === null) {
      return null;
    }
    const vectors = all.slice(next, next + document.chunks.length);
    next += document.chunks.length;
    return { ...document, vectors };
  });
}
