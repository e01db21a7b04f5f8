// Metadata is typed through adding, filtering and what comes back; filters are free where it is not.
import {
  type AnyMetadata,
  addRAGDocument,
  createEmbeddingFunction,
  type Filter,
  getConnection,
  MasterAgent,
  Memory,
  type MemoryCollection,
  type RAGDocument,
  type RAGResult,
  ragRetrieve,
  registerSubAgent,
  type StandardSchema,
} from "master-agent";

type Eq<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const yes = <T extends true>(_?: T) => {};

interface Meta {
  source: "user" | "web";
  year: number;
  tags?: string[];
  author?: { name: string; age: number | null };
  at?: Date;
}
type Notes = { title?: string };

declare const schema: StandardSchema<unknown, { n: number }>;

export async function typed() {
  await using memory = new Memory<Meta>({ path: "x" });
  await memory.add({ text: "a", metadata: { source: "user", year: 2026 } });
  await memory.add("a", { source: "web", year: 1 }, { id: "x", ttl: 5, onConflict: "skip" });
  // @ts-expect-error: the metadata is missing
  await memory.add({ text: "a" });
  // @ts-expect-error: the metadata is missing
  await memory.add("a");
  // @ts-expect-error: a member has another type
  await memory.add({ text: "a", metadata: { source: "other", year: 2026 } });
  // @ts-expect-error: texts alone have no metadata
  await memory.addMany(["a"]);
  await memory.addMany(
    (async function* (): AsyncGenerator<RAGDocument<Meta>> {
      yield { text: "a", metadata: { source: "user", year: 1 } };
    })(),
  );

  const hits = await memory.search("q", {
    filter: { source: "user", year: { gte: 2024 }, tags: "a", "author.name": { startsWith: "B" } },
  });
  for (const { metadata, score, text, chunk } of hits) {
    yes<Eq<typeof metadata.year, number>>();
    yes<Eq<typeof metadata.source, "user" | "web">>();
    yes<Eq<typeof metadata.tags, string[] | undefined>>();
    yes<Eq<typeof metadata.at, string | undefined>>();
    yes<Eq<typeof score, number>>();
    void [text.length, chunk.start + chunk.end];
  }
  await memory.search("q", {
    filter: { and: [{ year: 1 }, { not: { source: { in: ["user"] } } }], or: [{ "author.age": null }] },
  });
  await memory.search("q", { filter: { tags: { contains: "a" }, author: { exists: true }, at: { lt: "2026" } } });
  await memory.search("q", { filter: { tags: ["a", "b"] } });
  // @ts-expect-error: there is no such field
  await memory.search("q", { filter: { sorce: "user" } });
  // @ts-expect-error: there is no such field deeper down
  await memory.search("q", { filter: { "author.nam": "x" } });
  // @ts-expect-error: the field has another type
  await memory.search("q", { filter: { year: "2024" } });
  // @ts-expect-error: there is no such operator
  await memory.search("q", { filter: { year: { min: 2024 } } });
  // @ts-expect-error: numbers do not begin with anything
  await memory.search("q", { filter: { year: { startsWith: "2" } } });
  // @ts-expect-error: not one of the words
  await memory.search("q", { filter: { or: [{ source: "mail" }] } });
  // @ts-expect-error: no such mode
  await memory.search("q", { mode: "words" });
  await memory.search(new Float32Array(3), { vectors: true, neighbours: 1, timeout: 5 });
  const rerank = (_query: string, found: readonly RAGResult<Meta>[]) => found.map(({ metadata }) => metadata.year);
  await memory.search("q", { rerank });
  await memory.search("q", { rerank: { model: "x" }, candidates: 50 });

  const filter: Filter<Meta> = { year: { gt: 1, lt: 9 } };
  yes<Eq<Awaited<ReturnType<typeof memory.count>>, number>>();
  await memory.count(filter);
  await memory.deleteMany({ source: "web" });
  const document = await memory.get("x");
  yes<Eq<NonNullable<typeof document>["metadata"]["year"], number>>();
  await memory.update("x", { metadata: { year: 3 }, merge: true, expiresAt: null });
  // @ts-expect-error: the field has another type
  await memory.update("x", { metadata: { year: "3" } });
  for await (const { metadata } of memory.documents({ filter: { year: 1 } })) yes<Eq<typeof metadata.year, number>>();

  const notes = memory.collection<Notes>("notes");
  yes<Eq<typeof notes, MemoryCollection<Notes>>>();
  await notes.add("a");
  await notes.addMany(["a", { text: "b", metadata: { title: "c" } }]);
  const checked = memory.collection("n", { metadataSchema: schema });
  await checked.add({ text: "", metadata: { n: 1 } });
  // @ts-expect-error: the schema wants a number
  await checked.add({ text: "", metadata: { n: "1" } });
  const whole = new Memory({ metadataSchema: schema });
  yes<Eq<typeof whole, Memory<{ n: number }>>>();

  void new MasterAgent({ memory });
  void new MasterAgent({ memory: whole });
}

export async function free() {
  const memory = new Memory();
  yes<Eq<typeof memory, Memory<AnyMetadata>>>();
  await memory.add("text", { anything: [1, { is: "fine" }] });
  const [hit] = await memory.search("q", { filter: { "a.b": { gte: 3, lt: 5 }, or: [{ x: 1 }, { not: { y: { in: ["z"] } } }] } });
  const source: unknown = hit?.metadata["source"];
  void source;
  const added = await addRAGDocument("Some fact or note.", { source: "user" });
  yes<Eq<typeof added.status, "added" | "replaced" | "unchanged" | "skipped">>();
  const hits = await ragRetrieve("relevant query", { limit: 5, collection: "notes", filter: { year: { gte: 2024 } } });
  yes<Eq<typeof hits, RAGResult[]>>();
  // @ts-expect-error: queries are text
  await ragRetrieve(1);
  await using connection = await getConnection();
  yes<Eq<typeof connection.path, string>>();
}

export async function embedding() {
  const embed = createEmbeddingFunction();
  const one = await embed("a");
  const many = await embed(["a", "b"]);
  yes<Eq<typeof one, Float32Array>>();
  yes<Eq<typeof many, Float32Array[]>>();
  yes<Eq<typeof embed.dimensions, number | undefined>>();
  createEmbeddingFunction({ model: { path: "models/x" } });
  const own = createEmbeddingFunction({
    model: async (texts, { kind, signal }) => {
      yes<Eq<typeof texts, string[]>>();
      yes<Eq<typeof kind, "query" | "document">>();
      yes<Eq<typeof signal, AbortSignal>>();
      return texts.map((text) => [text.length]);
    },
    id: "own",
  });
  new Memory({ embedding: own });
  new Memory({ embedding: async (texts, { signal }) => (signal.aborted ? [] : texts.map(() => new Float32Array(3))) });
  new Memory({ embedding: "org/model" });
  new Memory({ embedding: { path: "models/x" } });
  // @ts-expect-error: vectors are numbers
  createEmbeddingFunction({ model: (texts) => texts });
  // @ts-expect-error: there is no such option
  new Memory({ embeding: own });
}

export function context() {
  registerSubAgent({
    agentType: "reader",
    async run(query: string, { memory, signal }) {
      void signal;
      return (await memory.search(query, { limit: 3 })).map(({ text }) => text);
    },
  });
}
