/** The reranker's half of a search: more is retrieved than was asked for, put in order anew, and cut. */
import { invalid, MasterAgentError } from "../errors";
import { integer, show } from "../options";
import { members } from "./client";
import { type ModelSpec, modelSpec } from "./embedding";
import type { Scope } from "./scope";
import type { Core } from "./settings";
import type { RAGResult, RerankFunction } from "./types";

/** A reranker, checked. */
export interface Reranker {
  /** How many hits it gets. */
  readonly candidates: number;
  rank(query: string, hits: RAGResult[], scope: Scope): Promise<RAGResult[]>;
}

/** The `rerank` option of a search. */
export function rerankerOf(core: Core, rerank: unknown, candidates: unknown, wanted: number): Reranker | undefined {
  if (rerank === undefined) {
    if (candidates !== undefined) {
      throw invalid("options.candidates", "is only for a search with rerank");
    }
    return undefined;
  }
  const most = candidates === undefined ? Math.max(20, 4 * wanted) : integer(candidates, "options.candidates", 1, 1_000);
  const count = Math.min(1_000, Math.max(most, wanted));
  if (typeof rerank === "function") {
    return { candidates: count, rank: (query, hits, scope) => byFunction(rerank as RerankFunction, query, hits, scope) };
  }
  if (typeof rerank !== "object" || rerank === null) {
    throw invalid("options.rerank", `must be a function, { model } or { path }, not ${show(rerank)}`);
  }
  const model = modelSpec(rerank as ModelSpec, core.modelCache, "options.rerank");
  return {
    candidates: count,
    async rank(query, hits, scope) {
      if (hits.length === 0) {
        return hits;
      }
      const texts = hits.map(({ text }) => text);
      const { value } = await core.client.call<{ scores: number[] }>("rerank", members({ model, query, texts }), scope);
      return ordered(hits, value.scores);
    },
  };
}

async function byFunction(rerank: RerankFunction, query: string, hits: RAGResult[], scope: Scope): Promise<RAGResult[]> {
  let answer: unknown;
  try {
    answer = await rerank(query, [...hits], { signal: scope.signal });
  } catch (cause) {
    scope.check();
    throw failed(`failed: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
  if (!Array.isArray(answer) && !(answer instanceof Float32Array)) {
    throw failed(`must answer with an array of scores or of hits, not ${show(answer)}`);
  }
  const list: readonly unknown[] = Array.from(answer as ArrayLike<unknown>);
  if (list.every((one) => typeof one === "number")) {
    // No hits and no scores: both are true of an empty list, and both mean nothing is left.
    if (list.length !== hits.length && list.length > 0) {
      throw failed(`answered with ${list.length} scores for ${hits.length} hits`);
    }
    return list.length === 0 ? [] : ordered(hits, list as number[]);
  }
  return chosen(hits, list);
}

/** The hits, best first. Equal scores keep their order. */
function ordered(hits: readonly RAGResult[], scores: readonly number[]): RAGResult[] {
  return hits
    .map((hit, index): RAGResult => {
      const score = scores[index];
      if (score === undefined || !Number.isFinite(score)) {
        throw failed(`answered with ${show(score)} for hit ${index}; scores must be finite numbers`);
      }
      return { ...hit, score, scores: { ...hit.scores, retrieval: hit.score } };
    })
    .sort((a, b) => b.score - a.score);
}

/** The hits that the function chose: its own objects, where they are hits that it got. */
function chosen(hits: readonly RAGResult[], list: readonly unknown[]): RAGResult[] {
  const known = new Set(hits.map(placeOf));
  return list.map((one, index) => {
    const hit = one as RAGResult | null;
    if (typeof hit !== "object" || hit === null || typeof hit.chunk !== "object" || !known.delete(placeOf(hit))) {
      throw failed(`answered with something at place ${index} that is not one of the hits, or is there twice`);
    }
    if (typeof hit.score !== "number" || !Number.isFinite(hit.score)) {
      throw failed(`answered with a hit at place ${index} whose score is ${show(hit.score)}`);
    }
    return hit;
  });
}

function placeOf(hit: RAGResult): string {
  return `${hit.chunk?.index}:${hit.id}`;
}

function failed(problem: string, cause?: unknown): MasterAgentError {
  return new MasterAgentError("ERR_EMBEDDING_FAILED", `The rerank function ${problem}`, cause === undefined ? {} : { cause });
}
