// How good a ranking is, as trec_eval counts: relevance is yes or no.

/** nDCG@10, average precision and recall@100 of one ranking of ids. */
export function judge(ranking, relevant) {
  let gain = 0;
  let found = 0;
  let precision = 0;
  for (const [place, id] of ranking.entries()) {
    if (!relevant.has(id)) continue;
    found += 1;
    precision += found / (place + 1);
    if (place < 10) gain += 1 / Math.log2(place + 2);
  }
  let ideal = 0;
  for (let place = 0; place < Math.min(10, relevant.size); place++) ideal += 1 / Math.log2(place + 2);
  return { ndcg: gain / ideal, map: precision / relevant.size, recall: found / relevant.size };
}

/** The means over all queries: `search(query)` answers with up to 100 ids, best first. */
export async function judgeAll({ queries, relevant }, search) {
  const sum = { ndcg: 0, map: 0, recall: 0 };
  for (const query of queries) {
    const ranking = (await search(query)).slice(0, 100);
    if (new Set(ranking).size !== ranking.length) throw new Error(`a document stands twice in the hits of query ${query.id}`);
    const one = judge(ranking, relevant.get(query.id));
    for (const key of Object.keys(sum)) sum[key] += one[key] / queries.length;
  }
  return sum;
}
