/** Hostile input to a memory: an answer or a coded error, what is stored comes back as it was, and collections stay apart. */
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { type FreeFilter, Memory, type MemoryCollection } from "master-agent";
import { textOf } from "../fixtures/memory-words.mjs";
import { long, PATIENCE } from "../helpers/long.ts";
import { memoryFor } from "../helpers/memory-hold.ts";
import { folderFor } from "../helpers/place.ts";

const MODES = ["hybrid", "vector", "text"] as const;
const MIB = 1024 * 1024;

/** Texts that have caused trouble somewhere. */
const SQL = [
  "'; DROP TABLE documents; --",
  "' OR '1'='1",
  '" OR ""="',
  "id = 'x' OR true",
  "1) OR (1=1",
  "\\'; SELECT 1; --",
  "documents WHERE 1=1 UNION SELECT * FROM other",
  "%",
  "_",
  "*",
  "../../etc/passwd",
  "..",
  "NULL",
  "null",
  "`id`",
  "$1",
  "{}",
  "#{1+1}",
];
const QUERIES = [
  "",
  " ",
  "\n\t\r",
  "the and of to a in is it",
  ".,;:!?-–—…",
  '"a b" AND +x -y *',
  '"unclosed',
  "harbour^2 boat~1",
  "text:harbour OR id:[a TO z]",
  "NOT harbour",
  "(((((",
  "harbour AND",
  "/har.*/",
  "harb* h?rbour",
  '+-!(){}[]^"~*?:\\/&&||',
  "\u0000",
  "a\u0000harbour",
  "\ud800",
  "harbour \udfff \ud83d",
  "😀👨‍👩‍👧‍👦🏳️‍🌈",
  "\u202eruobrah\u202c",
  "x".repeat(100_000),
  "harbour ".repeat(20_000),
  ...SQL,
];

/** The ids of hits, or a code; anything else is a failure. */
async function answered(call: Promise<unknown>): Promise<unknown> {
  try {
    return await call;
  } catch (error) {
    const { code } = error as { code?: string };
    assert.match(String(code ?? error), /^ERR_(INPUT|MEMORY|EMBEDDING)_/, String(error));
    return code;
  }
}

async function harbours(t: TestContext, path = folderFor(t)): Promise<Memory> {
  const memory = memoryFor(t, path);
  await memory.addMany(
    Array.from({ length: 12 }, (_, n) => ({
      id: `d${n}`,
      text: textOf(`d${n}`, 1),
      metadata: { n, tenant: n % 2 === 0 ? "a" : "b" },
    })),
  );
  return memory;
}

test("queries of every kind are texts to look for, and nothing more", { timeout: 3 * PATIENCE }, async (t) => {
  const memory = await harbours(t);
  const check = async (query: string): Promise<void> => {
    for (const mode of MODES) {
      const what = `${mode}: ${JSON.stringify(query.slice(0, 60))}`;
      const hits = await memory.search(query, { mode, limit: 20, filter: { tenant: "a" } });
      for (const { id, score, metadata, text } of hits) {
        assert.equal(metadata["tenant"], "a", what);
        assert.ok(textOf(id, 1).includes(text.trim()) && score >= 0 && score <= 1, `${what}: ${score}`);
      }
      assert.equal(new Set(hits.map(({ id }) => id)).size, hits.length);
      if (mode === "text" && !/[a-z0-9]/i.test(query)) {
        assert.deepEqual(hits, [], what);
      }
    }
  };
  for (const query of [...QUERIES, "harbour boat ".repeat(MIB / 13), "ж".repeat(MIB / 2)]) {
    await check(query);
  }
  await memory.optimize();
  for (const query of QUERIES) {
    await check(query);
  }
  assert.equal((await memory.search('"harbour" AND +d3 -x *', { mode: "text", limit: 1 }))[0]?.id, "d3");
  assert.equal(await memory.count(), 12);
});

test("texts of every kind come back as they were, with the model of the package", { timeout: 4 * PATIENCE }, async (t) => {
  await using memory = new Memory({ path: folderFor(t) });
  const texts: Record<string, string> = {
    empty: "",
    space: " ",
    lines: "\r\n\n\u2028\u2029\u0085",
    nul: "a\u0000b\u0000",
    nuls: "\u0000".repeat(300),
    controls: Array.from({ length: 32 }, (_, code) => String.fromCharCode(code)).join(""),
    family: "👨‍👩‍👧‍👦".repeat(50),
    flags: "🇩🇪🇫🇷🇯🇵🇺🇦".repeat(100),
    skin: "👋🏻👋🏼👋🏽👋🏾👋🏿",
    marks: "a\u0301\u0302\u0303\u0304".repeat(100),
    zalgo: `h${"\u0336\u0337\u0338".repeat(500)}i`,
    bidi: "\u202ertl \u202dltr\u202c\u202c \u200f\u200e\u2066x\u2069",
    joiners: "\u200b\u200c\u200d\ufeff\u2060",
    private: "\ue000\uf8ff\u{f0000}\u{10fffd}",
    noncharacters: "\ufffe\uffff\u{1fffe}",
    byteOrder: "\ufeffa text",
    word: "a".repeat(20_000),
    punctuation: "!?".repeat(3_000),
    replaced: "\ufffd",
    html: "<script>alert(1)</script>",
    ...Object.fromEntries(SQL.map((text, index) => [`sql${index}`, text])),
  };
  const entries = Object.entries(texts);
  await memory.addMany(entries.map(([id, text]) => ({ id, text, metadata: { text } })));
  const found = await memory.getMany(entries.map(([id]) => id));
  entries.forEach(([id, text], index) => {
    assert.equal(found[index]?.text, text, id);
    assert.deepEqual(found[index]?.metadata, { text }, id);
    let end = 0;
    for (const place of found[index]?.chunks ?? []) {
      assert.ok(place.start <= end && place.end >= end, `${id}: passages follow each other`);
      end = place.end;
    }
    assert.equal(end, text.length, `${id}: passages reach to the end`);
  });
  for (const [id, text] of entries) {
    const listed = await memory.list({ filter: { text } });
    assert.ok(
      listed.documents.some((one) => one.id === id),
      `${id} is found by its metadata`,
    );
    for (const mode of MODES) {
      const hits = await memory.search(text, { mode, limit: 100, chunks: true, filter: { text } });
      for (const hit of hits) {
        assert.equal(texts[hit.id]?.slice(hit.chunk.start, hit.chunk.end), hit.text, `${id} by ${mode}`);
      }
      if (mode !== "text") {
        assert.ok(
          hits.some((hit) => hit.id === id),
          `${id} by ${mode}`,
        );
      }
    }
  }
  assert.equal(await memory.count(), entries.length);
});

test("lone surrogates are replaced where text may be anything, and refused where it must be exact", async (t) => {
  const memory = await harbours(t);
  const lone = "a\ud800b\udc00\udbff";
  const fixed = "a\ufffdb\ufffd\ufffd";
  await memory.add({ id: "lone", text: lone, metadata: { [lone]: [lone], nested: { a: lone } } });
  const found = await memory.get("lone");
  assert.deepEqual([found?.text, found?.metadata], [fixed, { [fixed]: [fixed], nested: { a: fixed } }]);
  assert.deepEqual(
    found?.chunks.map(({ start, end }) => [start, end]),
    [[0, lone.length]],
  );
  const refused = { code: "ERR_INPUT_INVALID" };
  await assert.rejects(memory.add({ id: lone, text: "a" }), refused);
  await assert.rejects(memory.get(lone), refused);
  await assert.rejects(memory.delete(lone), refused);
  await assert.rejects(memory.count({ a: lone }), refused);
  await assert.rejects(memory.list({ cursor: lone }), refused);
  assert.equal((await memory.search(lone)).length > 0, true);
  await memory.update("lone", { text: `${lone}!` });
  assert.equal((await memory.get("lone"))?.text, `${fixed}!`);
});

const SCRIPTS =
  "Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Garay Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi Gurmukhi Gurung_Khema Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li Kharoshthi Khitan_Small_Script Khmer Khojki Khudawadi Kirat_Rai Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean Nag_Mundari Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Ol_Onal Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Sunuwar Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Todhri Toto Tulu_Tigalari Ugaritic Vai Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square".split(
    " ",
  );

/** Some characters of each script that this Node knows. */
function samples(): Map<string, string> {
  const codes = Array.from({ length: 0x32000 }, (_, code) => code).filter(
    (code) => code > 0x40 && (code < 0xd800 || code > 0xdfff),
  );
  const all = codes.map((code) => String.fromCodePoint(code)).join("");
  const found = new Map<string, string>();
  for (const script of SCRIPTS) {
    try {
      const match = all.match(new RegExp(`\\p{Script=${script}}+`, "u"));
      if (match !== null) {
        found.set(script, [...match[0]].slice(0, 40).join(""));
      }
    } catch {
      // This version of Node has an older Unicode.
    }
  }
  return found;
}

test("every script: stored, found by its characters, and split without harm", { timeout: 4 * PATIENCE }, async (t) => {
  await using memory = new Memory({ path: folderFor(t) });
  const found = samples();
  assert.ok(found.size > 150, String(found.size));
  const text = (sample: string) => `${sample} ${[...sample].reverse().join(" ")}. ${sample}`;
  await memory.addMany(
    [...found].map(([script, sample]) => ({
      id: script,
      text: text(sample),
      metadata: { script, [sample]: { [sample]: sample } },
    })),
  );
  for (const [script, sample] of found) {
    const document = await memory.get(script);
    assert.equal(document?.text, text(sample), script);
    assert.deepEqual(document?.metadata, { script, [sample]: { [sample]: sample } });
    const filter = { [`${sample}.${sample}`]: { startsWith: sample } };
    const hits = await memory.search(sample, { filter, mode: MODES[script.length % 2] ?? "hybrid" });
    assert.deepEqual(
      hits.map(({ id }) => id),
      [script],
    );
  }
  const cyrillic = await memory.search(found.get("Cyrillic") as string, { mode: "text", limit: 1 });
  assert.equal(cyrillic[0]?.id, "Cyrillic");
  assert.equal(await memory.count(), found.size);
});

test("10 MB of text in one document, and one byte more than is allowed", { timeout: 5 * PATIENCE }, async (t) => {
  await using memory = memoryFor(t, folderFor(t), { chunking: {} });
  const bytes = long ? 10 * MIB : 2 * MIB;
  const sentence = (n: number) => `The harbour number ${n} is quiet, and boat ${n * 7} waits — für günstigen Wind 😀. `;
  const parts: string[] = [];
  for (let n = 0, size = 0; size < bytes - 200; n++) {
    const one = sentence(n);
    parts.push(one);
    size += Buffer.byteLength(one);
  }
  const text = parts.join("");
  const added = await memory.add({ id: "large", text, metadata: { tenant: "a" } });
  assert.ok(added.chunks > bytes / 2_000, String(added.chunks));
  const found = await memory.get("large");
  assert.ok(found?.text === text, "it comes back as it was");
  assert.equal(found.chunks.length, added.chunks);
  const middle = Math.floor(parts.length / 2);
  const [hit] = await memory.search(`harbour number ${middle}`, { mode: "text", neighbours: 1 });
  assert.ok(hit, "it is found by its number");
  assert.ok(hit.text.includes(`number ${middle} `), hit.text);
  assert.equal(text.slice(hit.chunk.start, hit.chunk.end), hit.text);
  const { before, after } = hit.neighbours ?? { before: "", after: "" };
  assert.ok(text.includes(before + hit.text + after), "the text around it");
  assert.equal((await memory.search("harbour", { limit: 5 })).length, 1, "one document is one hit");
  await memory.add({ id: "large", text: "small now" });
  assert.equal((await memory.stats()).chunks, 1);
  const most = "x".repeat(10 * MIB);
  await assert.rejects(memory.add({ id: "more", text: `${most}y` }), { code: "ERR_INPUT_TOO_LARGE" });
  await assert.rejects(memory.search(`${most}y`), { code: "ERR_INPUT_TOO_LARGE" });
  await assert.rejects(memory.add({ id: "é", text: "é".repeat(5 * MIB + 1) }), { code: "ERR_INPUT_TOO_LARGE" });
});

test("a word of a million letters, and lines without end", { timeout: 3 * PATIENCE }, async (t) => {
  await using memory = memoryFor(t, folderFor(t), { chunking: {} });
  const size = long ? MIB : MIB / 8;
  const texts = {
    word: "harbour".repeat(size / 7),
    digits: "7".repeat(size),
    han: "港".repeat(size / 3),
    lines: "\n".repeat(size),
    emoji: "👨‍👩‍👧‍👦".repeat(size / 25),
  };
  for (const [id, text] of Object.entries(texts)) {
    await memory.add({ id, text });
    assert.ok((await memory.get(id))?.text === text, id);
    await answered(memory.search(text.slice(0, 10_000), { mode: "text" }));
  }
});

test("metadata of 100,000 keys, and metadata that is deep", { timeout: 3 * PATIENCE }, async (t) => {
  const memory = await harbours(t);
  const many = Object.fromEntries(Array.from({ length: 100_000 }, (_, n) => [`key ${n}`, n]));
  await memory.add({ id: "many", text: "The harbour has many keys.", metadata: many });
  assert.deepEqual((await memory.get("many"))?.metadata, many);
  const filter = { "key 99999": 99_999, "key 5": { gte: 5 } };
  assert.deepEqual(
    (await memory.search("harbour keys", { filter })).map(({ id }) => id),
    ["many"],
  );
  assert.equal(await memory.count({ "key 99999": 1 }), 0);
  await memory.update("many", { metadata: { "key 7": "changed", more: true }, merge: true });
  assert.deepEqual((await memory.get("many"))?.metadata, { ...many, "key 7": "changed", more: true });
  assert.equal(await memory.count(filter), 1);

  const deep = (levels: number): Record<string, unknown> => (levels === 0 ? { end: "here" } : { a: deep(levels - 1) });
  await memory.add({ id: "deep", text: "deep", metadata: deep(90) });
  assert.deepEqual((await memory.get("deep"))?.metadata, deep(90));
  assert.equal(await memory.count({ [`${"a.".repeat(25)}a`]: { exists: true } }), 1);
  assert.equal(await answered(memory.count({ [`${"a.".repeat(90)}end`]: "here" })), "ERR_INPUT_INVALID");
  await answered(memory.count(deep(20) as FreeFilter));
  assert.match(String(await answered(memory.count(deep(60) as FreeFilter))), /^ERR_INPUT_/);
  assert.match(String(await answered(memory.add({ text: "deep", metadata: deep(200) as never }))), /^ERR_INPUT_/);
  const nested = JSON.parse(`${"[".repeat(50)}1${"]".repeat(50)}`) as unknown;
  await memory.add({ id: "nested", text: "nested", metadata: { nested } });
  assert.deepEqual((await memory.get("nested"))?.metadata, { nested });
  assert.equal(await answered(memory.add({ text: "a", metadata: { large: "x".repeat(17 * MIB) } })), "ERR_INPUT_TOO_LARGE");
  const conditions = Object.fromEntries(Array.from({ length: 1_001 }, (_, n) => [`key ${n}`, n]));
  assert.equal(await answered(memory.count(conditions)), "ERR_INPUT_INVALID");
  assert.equal(await memory.count({ n: { in: Array.from({ length: 50_000 }, (_, n) => n) } }), 12);
});

test("keys that objects of JavaScript have by themselves are keys like others", async (t) => {
  const memory = await harbours(t);
  const text =
    '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":2}},"toString":"x","hasOwnProperty":3,"and":4,"not":{"a":5},"$eq":6,"":7}';
  await memory.add({ id: "proto", text: "The harbour.", metadata: JSON.parse(text) as Record<string, unknown> });
  const found = await memory.get("proto");
  assert.equal(JSON.stringify(found?.metadata), text);
  assert.equal((Object.prototype as Record<string, unknown>)["polluted"], undefined);
  for (const filter of [
    '{"__proto__":{"polluted":1}}',
    '{"__proto__.polluted":1}',
    '{"constructor.prototype.polluted":2}',
    '{"toString":"x"}',
    '{"hasOwnProperty":{"gt":2}}',
    '{"":7}',
  ]) {
    const hits = await memory.search("harbour", { filter: JSON.parse(filter) as FreeFilter });
    assert.deepEqual(
      hits.map(({ id }) => id),
      ["proto"],
      filter,
    );
  }
  for (const filter of ['{"__proto__":{"exists":false}}', '{"valueOf":{"exists":false}}', '{"toString":{"ne":"x"}}']) {
    assert.ok(((await answered(memory.count(JSON.parse(filter) as FreeFilter))) as number) >= 12, filter);
  }
  const page = await memory.list({ filter: JSON.parse('{"__proto__":{"polluted":1}}') as FreeFilter });
  assert.deepEqual(
    page.documents.map(({ id }) => id),
    ["proto"],
  );
});

test("SQL in ids, values, keys, cursors and names of collections is text", { timeout: 2 * PATIENCE }, async (t) => {
  const folder = folderFor(t);
  const memory = await harbours(t, folder);
  const other = memory.collection("other");
  await other.add({ id: "secret", text: "The harbour of another tenant.", metadata: { tenant: "b" } });
  for (const [index, sql] of SQL.entries()) {
    await memory.add({ id: sql, text: `The harbour ${index}.`, metadata: { [sql]: sql, tenant: "sql" } });
    assert.equal((await memory.get(sql))?.text, `The harbour ${index}.`, sql);
    assert.equal(await memory.count({ [sql]: sql }), 1, sql);
    assert.equal(await memory.count({ tenant: sql }), 0, sql);
    const hits = await memory.search("harbour", { filter: { [sql]: { in: [sql] } } });
    assert.deepEqual(
      hits.map(({ id }) => id),
      [sql],
    );
    const after = await memory.list({ cursor: sql, limit: 1_000 });
    const all = [...Array.from({ length: 12 }, (_, n) => `d${n}`), ...SQL.slice(0, index + 1)];
    const expected = all
      .filter((id) => Buffer.compare(Buffer.from(id), Buffer.from(sql)) > 0)
      .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    assert.deepEqual(
      after.documents.map(({ id }) => id),
      expected,
      `after ${sql}`,
    );
    if (!/^[\w-][\w.-]*$/.test(sql)) {
      assert.throws(() => memory.collection(sql), { code: "ERR_INPUT_INVALID" });
      await assert.rejects(memory.dropCollection(sql), { code: "ERR_INPUT_INVALID" });
    }
  }
  assert.equal(await memory.count(), 12 + SQL.length);
  assert.equal(await memory.count({ tenant: "sql" }), SQL.length);
  for (const sql of SQL) {
    await memory.update(sql, { metadata: { tenant: "changed" } });
    assert.equal(await memory.delete(sql), 1);
  }
  assert.equal(await memory.count(), 12);
  assert.equal(await other.count(), 1);
  assert.ok(existsSync(folder));
});

test("ids of every kind", async (t) => {
  const memory = await harbours(t);
  const ids = [
    " ",
    "\u0000",
    "a\u0000",
    "a",
    "A",
    "é",
    "e\u0301",
    "😀",
    "\ufffd",
    "/",
    "..",
    "a/b",
    "\n",
    "null",
    "x".repeat(1_024),
    "港".repeat(1_024),
    "1",
    "01",
    "1.0",
  ];
  await memory.addMany(ids.map((id, n) => ({ id, text: `The harbour ${n}.`, metadata: { n: 100 + n } })));
  const found = await memory.getMany(ids);
  assert.deepEqual(
    found.map((document) => document?.metadata["n"]),
    ids.map((_, n) => 100 + n),
  );
  const listed: string[] = [];
  for await (const { id } of memory.documents({ limit: 1 })) {
    listed.push(id);
  }
  const all = [...ids, ...Array.from({ length: 12 }, (_, n) => `d${n}`)];
  assert.deepEqual(listed.sort(), all.sort(), "page by page");
  for (const id of ids) {
    assert.equal(await memory.delete(id), 1, JSON.stringify(id.slice(0, 10)));
  }
  assert.equal(await memory.count(), 12);
  for (const id of ["", "x".repeat(1_025), 1, null, {}, ["d1"]]) {
    assert.match(String(await answered(memory.add({ id: id as string, text: "a" }))), /^ERR_INPUT_INVALID/);
    assert.match(String(await answered(memory.get(id as string))), /^ERR_INPUT_INVALID/);
  }
});

test("collections whose names are alike do not see each other", { timeout: 2 * PATIENCE }, async (t) => {
  const folder = folderFor(t);
  await using memory = memoryFor(t, folder);
  const names = ["a", "A", "a.b", "a-b", "a_b", "a.lance", "a.write", "_", "-", "0", "documents", "x".repeat(128)];
  for (const name of names) {
    await memory.collection(name).add({ id: "same", text: textOf("d1", 1), metadata: { name } });
  }
  const check = async (collection: MemoryCollection, name: string): Promise<void> => {
    for (const mode of MODES) {
      const hits = await collection.search("harbour", { mode, limit: 100 });
      assert.deepEqual(
        hits.map(({ metadata }) => metadata["name"]),
        [name],
      );
    }
    assert.deepEqual((await collection.get("same"))?.metadata, { name });
    assert.equal(await collection.count(), 1);
  };
  for (const name of names) {
    await check(memory.collection(name), name);
  }
  assert.deepEqual((await memory.collections()).map(({ name }) => name).sort(), [...names].sort());
  assert.equal(await memory.dropCollection("a"), true);
  await memory.collection("a.b").delete("same");
  assert.deepEqual([await memory.collection("a").count(), await memory.collection("a.b").count()], [0, 0]);
  for (const name of names.filter((one) => one !== "a" && one !== "a.b")) {
    await check(memory.collection(name), name);
  }
  for (const name of ["", ".", "..", ".a", "a/b", "a\\b", "a\u0000", "x".repeat(129), "é", "a b"]) {
    assert.throws(() => memory.collection(name), { code: "ERR_INPUT_INVALID" }, JSON.stringify(name));
  }
  assert.ok(
    readdirSync(folder).every((name) => name.endsWith(".lance") || name.startsWith(".")),
    readdirSync(folder).join(),
  );
});

test("what was deleted, replaced or has expired is never found, whatever a filter remembers", {
  timeout: 2 * PATIENCE,
}, async (t) => {
  const memory = await harbours(t);
  const filter = { tenant: "a" };
  const see = async (): Promise<string[][]> =>
    Promise.all(
      MODES.map(async (mode) => (await memory.search("harbour boat", { mode, filter, limit: 100 })).map(({ id }) => id).sort()),
    );
  const all = ["d0", "d10", "d2", "d4", "d6", "d8"];
  assert.deepEqual(await see(), [all, all, all]);
  await memory.delete("d2");
  await memory.add({ id: "d4", text: textOf("d4", 2), metadata: { tenant: "b" } });
  await memory.update("d6", { expiresAt: Date.now() - 1 });
  const rest = ["d0", "d10", "d8"];
  assert.deepEqual(await see(), [rest, rest, rest]);
  assert.equal(await memory.get("d6"), null);
  assert.equal(await memory.count(filter), 3);
  // An id that has expired is free.
  const again = await memory.add({ id: "d6", text: textOf("d6", 3), metadata: { tenant: "a" } }, { onConflict: "error" });
  assert.equal(again.status, "added");
  assert.equal((await memory.get("d6"))?.text, textOf("d6", 3));
  await memory.update("d8", { expiresAt: Date.now() - 1 });
  const skip = await memory.add({ id: "d8", text: textOf("d8", 3), metadata: { tenant: "a" } }, { onConflict: "skip" });
  assert.equal(skip.status, "added");
  assert.equal((await memory.get("d8"))?.text, textOf("d8", 3));
  await memory.optimize();
  const last = ["d0", "d10", "d6", "d8"];
  assert.deepEqual(await see(), [last, last, last]);
  assert.equal(await memory.sweep(), 0);
  assert.equal(await memory.count(), 11);
  assert.equal(await memory.clear(), 11);
  assert.deepEqual([await memory.count(), (await memory.list()).documents, await see()], [0, [], [[], [], []]]);
});

test("deduplication leaves out texts that are there, and only those", { timeout: 2 * PATIENCE }, async (t) => {
  const memory = await harbours(t);
  const text = (n: number, version = 1) => textOf(`d${n}`, version);
  const put = async (n: number) => {
    const { id, status } = await memory.add(text(n), undefined, { dedupe: true });
    assert.equal((await memory.get(id))?.text, text(n), `${status} ${id}`);
    return status;
  };
  assert.equal(await put(1), "unchanged");
  await memory.delete("d1");
  assert.equal(await put(1), "added");
  assert.equal(await put(1), "unchanged");
  await memory.add({ id: "d2", text: text(2, 2) });
  assert.equal(await put(2), "added", "the text was replaced");
  const mine = await memory.add({ id: "other id", text: text(5) }, { dedupe: true });
  assert.deepEqual([mine.id, mine.status], ["d5", "unchanged"], "whatever the id");
  assert.equal(await memory.get("other id"), null);
  await memory.update("d5", { expiresAt: Date.now() - 1 });
  assert.equal(await put(5), "added", "what has expired is not there");
  // The same text many times at once is there once.
  const added = await Promise.all(Array.from({ length: 8 }, () => memory.add("A boat.", undefined, { dedupe: true })));
  const [same, ...others] = await memory.addMany(["Two boats.", "Two boats.", "Two boats."], { dedupe: true });
  assert.deepEqual([new Set(added.map(({ id }) => id)).size, added.filter(({ status }) => status === "added").length], [1, 1]);
  assert.ok(others.every(({ id, status }) => id === same?.id && status === "unchanged"));
  assert.equal((await memory.list({ limit: 1_000 })).documents.filter((one) => /^(A|Two) boat/.test(one.text)).length, 2);
});
