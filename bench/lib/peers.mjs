// What memory is measured beside: @huggingface/transformers and @lancedb/lancedb, put together as their documentation shows.
// They are the packages of bench/package.json. The model is that of MASTER_AGENT_BENCH_MODEL: a folder with fp32.onnx (q8.onnx) and
// tokenizer.json of all-MiniLM-L6-v2.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const FILES = { fp32: "model.onnx", q8: "model_quantized.onnx" };

const resolves = (name) => {
  try {
    createRequire(import.meta.url).resolve(name);
    return true;
  } catch {
    return false;
  }
};

/** Why there are no peers, or nothing. */
export function missingPeers() {
  const folder = process.env.MASTER_AGENT_BENCH_MODEL;
  if (!resolves("@lancedb/lancedb") || !resolves("@huggingface/transformers"))
    return "the packages of bench/package.json are not installed (npm install --ignore-scripts --prefix bench)";
  if (!folder || !existsSync(join(folder, "fp32.onnx"))) return "MASTER_AGENT_BENCH_MODEL names no folder with fp32.onnx";
  return undefined;
}

/** Whether a variant of the model is there. */
export const hasModel = (dtype) => existsSync(join(process.env.MASTER_AGENT_BENCH_MODEL ?? "", `${dtype}.onnx`));

/** The model as transformers.js wants its folder. The tokenizer reads 256 tokens, as the model's authors have it. */
function modelFolder() {
  const source = resolve(process.env.MASTER_AGENT_BENCH_MODEL);
  const root = mkdtempSync(join(tmpdir(), "master-agent-bench-model-"));
  const folder = join(root, "all-MiniLM-L6-v2");
  mkdirSync(join(folder, "onnx"), { recursive: true });
  const config = {
    architectures: ["BertModel"],
    hidden_act: "gelu",
    hidden_size: 384,
    intermediate_size: 1536,
    max_position_embeddings: 512,
    model_type: "bert",
    num_attention_heads: 12,
    num_hidden_layers: 6,
    pad_token_id: 0,
    type_vocab_size: 2,
    vocab_size: 30522,
  };
  const tokenizer = {
    tokenizer_class: "BertTokenizer",
    model_max_length: 256,
    do_lower_case: true,
    cls_token: "[CLS]",
    mask_token: "[MASK]",
    pad_token: "[PAD]",
    sep_token: "[SEP]",
    unk_token: "[UNK]",
  };
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify(tokenizer));
  symlinkSync(join(source, "tokenizer.json"), join(folder, "tokenizer.json"));
  for (const [dtype, name] of Object.entries(FILES))
    if (existsSync(join(source, `${dtype}.onnx`))) symlinkSync(join(source, `${dtype}.onnx`), join(folder, "onnx", name));
  return root;
}

/** Vectors of texts by transformers.js. */
export async function transformers(dtype) {
  const { env, pipeline } = await import("@huggingface/transformers");
  const folder = modelFolder();
  env.localModelPath = folder;
  env.allowRemoteModels = false;
  const extract = await pipeline("feature-extraction", "all-MiniLM-L6-v2", { dtype });
  rmSync(folder, { recursive: true });
  return async (texts, batch) => {
    const vectors = [];
    for (let start = 0; start < texts.length; start += batch) {
      const slice = texts.slice(start, start + batch);
      const { data } = await extract(slice, { pooling: "mean", normalize: true });
      for (let row = 0; row < slice.length; row++) vectors.push(data.slice(row * 384, (row + 1) * 384));
    }
    return vectors;
  };
}

/** Rows as one table of LanceDB, with the indexes that its documentation makes. */
export async function lanceTable({ folder, name, rows, indexed = [], vectorIndex = false }) {
  const lancedb = await import("@lancedb/lancedb");
  const connection = await lancedb.connect(folder);
  const BATCH = 10_000;
  const table = await connection.createTable(name, rows.slice(0, BATCH));
  for (let start = BATCH; start < rows.length; start += BATCH) await table.add(rows.slice(start, start + BATCH));
  await table.createIndex("text", { config: lancedb.Index.fts() });
  if (vectorIndex) await table.createIndex("vector", { config: lancedb.Index.ivfPq({ distanceType: "cosine" }) });
  for (const column of indexed) await table.createIndex(column, { config: lancedb.Index.btree() });
  await table.optimize();
  const reranker = await lancedb.rerankers.RRFReranker.create();
  const ids = async (query) => (await query.toArray()).map(({ id }) => id);
  const within = (query, where) => (where === undefined ? query : query.where(where));
  return {
    vector: ({ vector, limit, where }) =>
      ids(within(table.query().nearestTo(vector).distanceType("cosine"), where).select(["id", "text", "_distance"]).limit(limit)),
    text: ({ text, limit }) => ids(table.query().fullTextSearch(text).select(["id", "text", "_score"]).limit(limit)),
    hybrid: ({ text, vector, limit, where }) =>
      ids(
        within(table.query().fullTextSearch(text).nearestTo(vector).distanceType("cosine"), where)
          .rerank(reranker)
          .select(["id", "text"])
          .limit(limit),
      ),
    close: () => connection.close(),
  };
}

/** Rows of a file of documents and one of their vectors. */
function readRows({ documents, vectors }) {
  const { buffer, byteOffset, length } = readFileSync(vectors);
  const data = new Float32Array(buffer, byteOffset, length / 4);
  const list = JSON.parse(readFileSync(documents, "utf8"));
  const dimensions = data.length / list.length;
  return list.map(({ id, text, metadata }, row) => ({
    id,
    text,
    ...metadata,
    vector: Array.from(data.subarray(row * dimensions, (row + 1) * dimensions)),
  }));
}

/** As an actor: `embed` in batches, `open` a table, and `search` it, with the embedding of the query. */
export default async function peers({ dtype }) {
  // LanceDB warns at every query of columns that will be named otherwise.
  process.env.LANCEDB_LOG ??= "error";
  process.env.RUST_LOG ??= "error";
  const embed = await transformers(dtype);
  let table;
  const timed = async (work) => {
    const begun = performance.now();
    const value = await work();
    return { ms: performance.now() - begun, value };
  };
  return {
    embed: ({ texts, batch, keep }) =>
      timed(() => embed(texts, batch)).then(({ ms, value }) => ({ ms, vectors: keep ? value : [] })),
    /** Takes `rows`, or the `files` that have them; answers with how long it took. */
    open: async ({ files, rows, ...options }) => {
      const read = rows ?? readRows(files);
      const { ms, value } = await timed(() => lanceTable({ ...options, rows: read }));
      table = value;
      return ms;
    },
    /** Answers with ids and with how long each query took. */
    search: async ({ mode, queries, limit, where }) => {
      const ids = [];
      const samples = [];
      for (const text of queries) {
        const { ms, value } = await timed(async () => {
          const vector = mode === "text" ? undefined : (await embed([text], 1))[0];
          return table[mode]({ text, vector, limit, where });
        });
        samples.push(ms);
        ids.push(value);
      }
      return { ids, samples };
    },
    close: () => table?.close(),
  };
}
