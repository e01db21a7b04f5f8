/** Random filters over random documents: exactly what a filter means is found, in every way, and nothing of another tenant. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { FreeFilter, Memory } from "master-agent";
import { textOf } from "../fixtures/memory-words.mjs";
import { PATIENCE, size } from "../helpers/long.ts";
import { meaning, Refused } from "../helpers/memory-filter.ts";
import { memoryFor } from "../helpers/memory-hold.ts";
import { folderFor } from "../helpers/place.ts";

const WORLDS = size(1, 60);
const FILTERS = size(15, 300);
const DOCUMENTS = 70;
const TENANTS = ["a", "b", "A", "a' OR 1=1 --", "*"];

type Json = Parameters<typeof meaning>[0];
type Metadata = { [key: string]: Json };

/** Few names and few values, so that filters often meet documents. Some are names that other languages treat as special. */
const KEYS = [
  "x",
  "y",
  "x.y",
  "x.y.z",
  "tenant",
  "__proto__",
  "constructor",
  "toString",
  "id",
  "text",
  "chunk",
  "'; DROP TABLE x; --",
  "ключ",
  "",
];
const TEXTS = [
  "",
  "a",
  "b",
  "ab",
  "A",
  "é",
  "e\u0301",
  "😀",
  "\uffee",
  "%",
  "a%",
  "_",
  "'",
  '"',
  "\\",
  "NULL",
  "1",
  "true",
  "\u0000",
];
const NUMBERS = [0, 1, -1, 1.5, 2, 1e-7, 1e21, 9_007_199_254_740_991, -9_007_199_254_740_991, 5e-324, 1.797e308];

const scalar: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(...TEXTS),
  fc.constantFrom<Json>(...NUMBERS),
  fc.constantFrom<Json>(null, true, false),
);
const key = fc.constantFrom(...KEYS.filter((name) => name !== "tenant"));

/** An object with own members, also one that is called `__proto__`. */
function objectOf(entries: readonly [string, Json][]): Metadata {
  return JSON.parse(
    `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(",")}}`,
  ) as Metadata;
}

const { value } = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    scalar,
    fc.array(tie("value"), { maxLength: 3 }),
    fc.uniqueArray(fc.tuple(key, tie("value")), { maxLength: 3, selector: ([name]) => name }).map(objectOf),
  ),
}));

const metadata: fc.Arbitrary<Metadata> = fc
  .tuple(
    fc.constantFrom<Json>(...TENANTS, ["a", "b"], null),
    fc.uniqueArray(fc.tuple(key, value), { maxLength: 5, selector: ([name]) => name }),
  )
  .map(([tenant, entries]) => objectOf([["tenant", tenant], ...entries]));

const { filter } = fc.letrec<{ filter: Json; condition: Json }>((tie) => {
  const path = fc.oneof(
    fc.constantFrom(...KEYS),
    fc.tuple(key, key).map((parts) => parts.join(".")),
  );
  const operators = fc.oneof(
    fc.tuple(fc.constantFrom("eq", "ne", "gt", "gte", "lt", "lte", "contains", "startsWith"), fc.oneof(scalar, value)),
    fc.tuple(fc.constantFrom("in", "nin"), fc.array(value, { maxLength: 4 })),
    fc.tuple(fc.constant("exists"), fc.boolean()),
    fc.tuple(fc.constantFrom("and", "or"), fc.array(tie("condition"), { maxLength: 3 })),
    fc.tuple(fc.constant("not"), tie("condition")),
  );
  const unique = { minLength: 1, maxLength: 3, selector: ([name]: [string, Json]) => name };
  return {
    condition: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      scalar,
      fc.array(scalar, { maxLength: 3 }),
      fc.uniqueArray(operators as fc.Arbitrary<[string, Json]>, unique).map(objectOf),
      fc.uniqueArray(fc.tuple(key, tie("condition")), unique).map(objectOf),
    ),
    filter: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.uniqueArray(fc.tuple(path, tie("condition")), { maxLength: 3, selector: ([name]) => name }).map(objectOf),
      fc
        .tuple(fc.constantFrom("and", "or"), fc.array(tie("filter"), { maxLength: 3 }))
        .map((entry) => objectOf([entry as [string, Json]])),
      tie("filter").map((inner) => objectOf([["not", inner]])),
    ),
  };
});

/** The ids that every way of asking gives; fails if two of them disagree. */
async function found(memory: Memory, given: Json): Promise<string[]> {
  const asked = given as FreeFilter;
  const listed: string[] = [];
  for await (const { id } of memory.documents({ filter: asked, limit: 7 })) {
    listed.push(id);
  }
  const expected = [...listed].sort();
  assert.equal(new Set(listed).size, listed.length, "listed twice");
  assert.equal(await memory.count(asked), listed.length, "count and list");
  for (const mode of ["vector", "text", "hybrid"] as const) {
    const hits = await memory.search("harbour boat", { filter: asked, limit: 1_000, mode });
    assert.deepEqual(hits.map(({ id }) => id).sort(), expected, `${mode} and list`);
  }
  return expected;
}

/** What the documents say that a filter means. */
function expected(documents: ReadonlyMap<string, Metadata>, given: Json): string[] {
  const matches = meaning(given);
  return [...documents]
    .filter(([, one]) => matches(one))
    .map(([id]) => id)
    .sort();
}

for (let world = 0; world < WORLDS; world++) {
  test(`random filters and tenants, world ${world}`, { timeout: 10 * PATIENCE }, async (t) => {
    const seed = Number(process.env.MASTER_AGENT_SEED ?? Math.floor(Math.random() * 2 ** 30));
    t.diagnostic(`MASTER_AGENT_SEED=${seed}`);
    await using memory = memoryFor(t, folderFor(t));
    const documents = new Map<string, Metadata>();
    let version = 0;
    const put = async (ids: readonly string[], salt: number): Promise<void> => {
      const drawn = fc.sample(metadata, { seed: seed + salt, numRuns: ids.length });
      version += 1;
      await memory.addMany(ids.map((id, index) => ({ id, text: textOf(id, version), metadata: drawn[index] as Metadata })));
      for (const [index, id] of ids.entries()) {
        documents.set(id, drawn[index] as Metadata);
      }
    };
    const ids = Array.from({ length: DOCUMENTS }, (_, n) => `d${n}`);
    await put(ids.slice(0, 40), 1);
    await put(ids.slice(40), 2);

    const check = (run: number): Promise<void> =>
      fc.assert(
        fc.asyncProperty(filter, fc.constantFrom(...TENANTS), fc.boolean(), async (drawn, tenant, first) => {
          const both: Json = { and: first ? [{ tenant }, drawn] : [drawn, { tenant }] };
          let wanted: string[];
          try {
            wanted = expected(documents, both);
          } catch (error) {
            assert.ok(error instanceof Refused, String(error));
            await assert.rejects(memory.count(both as FreeFilter), { code: "ERR_INPUT_INVALID" });
            await assert.rejects(memory.search("harbour", { filter: both as FreeFilter }), { code: "ERR_INPUT_INVALID" });
            return;
          }
          for (const id of wanted) {
            const own = documents.get(id)?.["tenant"];
            assert.ok(own === tenant || (Array.isArray(own) && own.includes(tenant)), "the reference itself keeps tenants apart");
          }
          assert.deepEqual(await found(memory, both), wanted);
        }),
        { seed: seed + run, numRuns: FILTERS, endOnFailure: false, interruptAfterTimeLimit: size(20_000, 300_000) },
      );
    await check(10);
    // Fields that were read once are read again after documents were replaced, removed and added.
    await put(ids.slice(10, 30), 3);
    await memory.delete(ids.slice(25, 35));
    for (const id of ids.slice(25, 35)) {
      documents.delete(id);
    }
    await memory.update("d0", { metadata: { tenant: "b", x: 1 } });
    documents.set("d0", { tenant: "b", x: 1 });
    await check(11);
    await memory.optimize();
    await check(12);
    await put(["d0", "d26", "d99"], 4);
    await check(13);
    // A filter deletes what it finds, and nothing else.
    for (const drawn of fc.sample(filter, { seed, numRuns: 10 })) {
      const both: Json = { and: [{ tenant: "a" }, drawn] };
      let gone: string[];
      try {
        gone = expected(documents, both);
      } catch {
        continue;
      }
      assert.equal(await memory.deleteMany(both as FreeFilter), gone.length);
      for (const id of gone) {
        documents.delete(id);
      }
      assert.deepEqual(await found(memory, {}), [...documents.keys()].sort());
    }
  });
}

test("whatever is given as a filter: an answer or a coded error, and never another tenant", {
  timeout: 5 * PATIENCE,
}, async (t) => {
  const seed = Number(process.env.MASTER_AGENT_SEED ?? Math.floor(Math.random() * 2 ** 30));
  t.diagnostic(`MASTER_AGENT_SEED=${seed}`);
  await using memory = memoryFor(t, folderFor(t));
  await memory.addMany(
    Array.from({ length: 20 }, (_, n) => ({
      id: `d${n}`,
      text: textOf(`d${n}`, 1),
      metadata: { tenant: TENANTS[n % 2], n, tags: [n, "x"] },
    })),
  );
  const strange = fc.oneof(
    fc.object({
      key: fc.oneof(fc.string(), fc.constantFrom("and", "or", "not", "eq", "$eq", "in", "tenant", "n", "tags")),
      maxDepth: 5,
    }),
    fc.anything(),
    filter,
  );
  await fc.assert(
    fc.asyncProperty(strange, async (drawn) => {
      const given = { and: [{ tenant: "a" }, drawn] } as FreeFilter;
      for (const call of [
        () => memory.list({ filter: given }).then(({ documents }) => documents),
        () => memory.search("harbour", { filter: given, mode: "text" }),
        () => memory.search("harbour", { filter: given, mode: "vector" }),
      ]) {
        try {
          for (const { metadata: one } of await call()) {
            assert.equal(one["tenant"], "a");
          }
        } catch (error) {
          assert.match(String((error as { code?: string }).code ?? error), /^ERR_INPUT_/);
        }
      }
    }),
    { seed, numRuns: size(80, 20_000), interruptAfterTimeLimit: size(10_000, 600_000) },
  );
});
