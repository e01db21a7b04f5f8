/** `memory …` on a folder of notes: what is added, found, changed and removed. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import type { CollectionInfo, ImportResult, MemoryDocument, MemoryStats, RAGResult } from "master-agent";
import { Bench, root } from "../helpers/program.ts";

let bench: Bench;
before(() => {
  bench = new Bench();
  bench.file("notes/coffee.md", "# Coffee\n\nThe coffee machine is cleaned every Friday.\n");
  bench.file("notes/travel/trains.md", "Tickets for trains are booked by the front desk.\n");
  bench.file("notes/pump.ts", "// The pump raises E4711 when it has no pressure.\nexport const pump = 1;\n");
  bench.file("notes/empty.md", " \n");
  bench.file("notes/picture.bin", "\u0000\u0001");
});
after(() => bench.remove());

interface Added {
  path: string;
  collection: string;
  added: number;
  replaced: number;
  updated: number;
  unchanged: number;
  removed: number;
  chunks: number;
  skipped: { empty: number; binary: number; large: number };
  failed: { file: string; code: string | null; message: string }[];
  stopped: boolean;
}

async function json<T>(args: string[], expected = 0): Promise<T> {
  const { code, stdout, stderr } = await bench.run(["memory", ...args, "--json"]);
  assert.equal(code, expected, stderr);
  assert.equal(stderr, "");
  assert.equal(stdout.indexOf("\n"), stdout.length - 1);
  return JSON.parse(stdout) as T;
}

const counts = ({ added, replaced, updated, unchanged, removed }: Added): number[] => [
  added,
  replaced,
  updated,
  unchanged,
  removed,
];
const idsIn = async (collection: string): Promise<string[]> =>
  (await json<{ documents: MemoryDocument[] }>(["list", "--collection", collection])).documents.map(({ id }) => id).sort();

/** Runs the command line with standard input. */
function withInput(args: string[], input: string | Buffer): { status: number | null; stdout: Buffer; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, "bin", "master-agent.js"), "memory", ...args], {
    cwd: bench.folder,
    env: { ...process.env, APP_DATA_DIR: bench.store },
    input,
  });
  return { status, stdout, stderr: stderr.toString("utf8") };
}

describe("memory add", () => {
  test("adds the texts of a folder, with their paths and what is known of them", async () => {
    const added = await json<Added>(["add", "notes", "--metadata", '{"team":"ops"}']);
    assert.deepEqual(counts(added), [3, 0, 0, 0, 0]);
    assert.deepEqual(added.skipped, { empty: 1, binary: 1, large: 0 });
    assert.deepEqual([added.path, added.collection], [join(bench.store, "lancedb"), "documents"]);
    assert.deepEqual(await idsIn("documents"), ["coffee.md", "pump.ts", "travel/trains.md"]);
    const { document } = await json<{ document: MemoryDocument }>(["get", "travel/trains.md"]);
    const { modified, ...metadata } = document.metadata as { modified: string };
    assert.deepEqual(metadata, {
      team: "ops",
      path: "travel/trains.md",
      name: "trains.md",
      extension: "md",
      folder: join(bench.folder, "notes"),
    });
    assert.equal(new Date(modified).toISOString(), modified);
    assert.equal(document.text, "Tickets for trains are booked by the front desk.\n");
  });

  test("adds again what has changed, and removes what is gone with --sync", async () => {
    const add = (...more: string[]): Promise<Added> => json<Added>(["add", "tree", "--collection", "again", ...more]);
    const one = bench.file("tree/one.md", "One is a note.");
    const two = bench.file("tree/two.md", "Two is a note.");
    bench.file("tree/three.md", "Three is a note.");
    assert.deepEqual(counts(await add()), [3, 0, 0, 0, 0]);
    utimesSync(one, new Date(), new Date(1_000_000_000_000));
    assert.deepEqual(counts(await add()), [0, 0, 0, 3, 0]);
    writeFileSync(two, "Two is another note now.");
    bench.file("tree/four.md", "Four is a note.");
    assert.deepEqual(counts(await add()), [1, 1, 0, 2, 0]);
    assert.deepEqual(counts(await add("--metadata", '{"a":1}')), [0, 0, 4, 0, 0]);

    rmSync(one);
    await json(["add", "notes/coffee.md", "--collection", "again"]);
    assert.deepEqual(counts(await add("--metadata", '{"a":1}')), [0, 0, 0, 3, 0]);
    assert.deepEqual(counts(await add("--metadata", '{"a":1}', "--sync", "--glob", "four.md")), [0, 0, 0, 1, 1]);
    // Documents whose files are there, and those of other folders, stay.
    assert.deepEqual(await idsIn("again"), ["four.md", "notes/coffee.md", "three.md", "two.md"]);
  });

  test("tells of what cannot be added, and adds the others", async () => {
    const args = [
      "memory",
      "add",
      "nowhere",
      "notes/picture.bin",
      "notes/coffee.md",
      "--collection",
      "some",
      "--max-bytes",
      "55",
    ];
    const { code, stdout, stderr } = await bench.run(args);
    assert.equal(code, 1);
    assert.match(stderr, /^error nowhere: there is no such file or folder \(ENOENT\)$/m);
    assert.match(stderr, /^error .*picture\.bin: is no text \(ERR_INPUT_INVALID\)$/m);
    assert.match(stdout, /^1 added, 2 failed \(1 passage in /);
    const { failed } = await json<Added>(["add", "notes/pump.ts", "--collection", "some", "--max-bytes", "55"], 1);
    assert.deepEqual([failed.length, failed[0]?.code], [1, "ERR_INPUT_TOO_LARGE"]);
    assert.deepEqual(await idsIn("some"), ["notes/coffee.md"]);
  });

  test("two files are not one document", async () => {
    bench.file("left/same.md", "The left one.");
    bench.file("right/same.md", "The right one.");
    const { failed } = await json<Added>(["add", "left", "right", "--collection", "same"], 1);
    assert.match(failed[0]?.message ?? "", /has the id same\.md, as .*left.*--prefix/);
    await json(["add", "right", "--collection", "same", "--prefix", "right/"]);
    assert.deepEqual(await idsIn("same"), ["right/same.md", "same.md"]);
  });

  test("reads standard input", async () => {
    const args = ["add", "-", "--collection", "input", "--id", "said", "--metadata", '{"by":"me"}', "--json"];
    assert.equal(withInput(args, "Something was said.").status, 0);
    assert.deepEqual(counts(JSON.parse(withInput(args, "Something else was said.").stdout.toString()) as Added), [0, 1, 0, 0, 0]);
    const { document } = await json<{ document: MemoryDocument }>(["get", "said", "--collection", "input"]);
    assert.deepEqual([document.text, document.metadata], ["Something else was said.", { by: "me" }]);
    const empty = withInput(["add", "-", "--collection", "input"], "\n");
    assert.equal(empty.status, 1);
    assert.match(empty.stderr, /^error standard input: is empty/);
  });

  test("tells how far it is, and keeps what was added when it is stopped", { skip: process.platform === "win32" }, async () => {
    const files = 320;
    const words = Array.from({ length: 30 }, (_, index) => `word${index}`).join(" ");
    for (let index = 0; index < files; index++) {
      bench.file(`many/${index}.md`, `Note ${index}. ${words}`);
    }
    const program = bench.command(["memory", "add", "many", "--collection", "many"]);
    await program.says(/^\d+ of 320 files$/m);
    program.kill("SIGINT");
    const { code, stdout, stderr } = await program.ended;
    assert.equal(code, 130, stderr);
    const [, said = ""] = /^Stopped after (\d+) of 320 files\. Run it again to go on\.$/m.exec(stderr) ?? [];
    const kept = Number(/^(\d+) added/.exec(stdout)?.[1]);
    assert.equal(kept, Number(said));
    assert.ok(kept > 0 && kept < files, `${kept} kept`);
    assert.deepEqual(counts(await json<Added>(["add", "many", "--collection", "many"])), [files - kept, 0, 0, kept, 0]);
    const { documents } = await json<MemoryStats>(["stats", "--collection", "many"]);
    assert.equal(documents, files);
  });
});

describe("memory search", () => {
  type Hit = RAGResult & { lines: { from: number; to: number } };
  const search = async (...args: string[]): Promise<Hit[]> => (await json<{ hits: Hit[] }>(["search", ...args])).hits;

  test("finds by meaning and by words, with lines", async () => {
    const [coffee] = await search("how often do we wash the espresso maker?");
    assert.deepEqual([coffee?.id, coffee?.lines], ["coffee.md", { from: 1, to: 3 }]);
    const [pump, ...others] = await search("E4711", "--mode", "text");
    assert.deepEqual([pump?.id, pump?.lines, others.length], ["pump.ts", { from: 1, to: 2 }, 0]);
  });

  test("takes filters, limits and bounds", async () => {
    const hits = await search("train", "tickets", "--filter", '{"extension":"ts"}');
    assert.deepEqual(
      hits.map(({ id }) => id),
      ["pump.ts"],
    );
    assert.equal((await search("tickets", "--limit", "1")).length, 1);
    assert.deepEqual(await search("tickets", "--mode", "vector", "--min-score", "1"), []);
  });

  test("prints a passage on each line where there is no terminal", async () => {
    const { code, stdout, stderr } = await bench.run(["memory", "search", "tickets", "--mode", "text"]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^[01]\.\d{3}\ttravel\/trains\.md\t1\tTickets for trains are booked by the front desk\.\n$/);
  });

  test("says which collections there are", async () => {
    const { code, stderr } = await bench.run(["memory", "search", "x", "--collection", "nothing"]);
    assert.equal(code, 1);
    assert.match(stderr, /Collection nothing is not in .*There is .*documents.*\(ERR_MEMORY_NOT_FOUND\)/);
  });

  test("a wrong filter is an error that names the place", async () => {
    const { code, stderr } = await bench.run(["memory", "search", "x", "--filter", '{"a":{"gte":true}}']);
    assert.equal(code, 1);
    assert.match(stderr, /filter\.a\.gte.*\(ERR_INPUT_INVALID\)/);
  });
});

describe("memory list and get", () => {
  test("list goes through all pages, and takes filters", async () => {
    const ids: string[] = [];
    let cursor: string | null = null;
    do {
      const more: string[] = cursor === null ? [] : ["--cursor", cursor];
      const page: { documents: MemoryDocument[]; cursor: string | null } = await json(["list", "--limit", "2", ...more]);
      ids.push(...page.documents.map(({ id }) => id));
      cursor = page.cursor;
    } while (cursor !== null);
    assert.deepEqual(ids.sort(), ["coffee.md", "pump.ts", "travel/trains.md"]);
    const { stdout } = await bench.run(["memory", "list", "--filter", '{"extension":"ts"}']);
    const [id, chunks, updated, text] = stdout.trimEnd().split("\t");
    assert.deepEqual([id, chunks], ["pump.ts", "1"]);
    assert.equal(new Date(updated ?? "").toISOString(), updated);
    assert.equal(text, "// The pump raises E4711 when it has no pressure. export const pump = 1;");
  });

  test("get shows a document, or says that there is none", async () => {
    const { stdout } = await bench.run(["memory", "get", "coffee.md"]);
    assert.match(stdout, /^id +coffee\.md$/m);
    assert.match(stdout, /^metadata +\{.*"name":"coffee\.md"/m);
    assert.ok(stdout.endsWith("\n\n# Coffee\n\nThe coffee machine is cleaned every Friday.\n"));
    const { code, stderr } = await bench.run(["memory", "get", "tea.md"]);
    assert.equal(code, 1);
    assert.match(stderr, /tea\.md.*\(ERR_MEMORY_NOT_FOUND\)/);
  });
});

describe("memory export and import", () => {
  test("move documents through a file, and through pipes", async () => {
    const exported = await json<{ documents: number }>(["export", "out.jsonl"]);
    assert.equal(exported.documents, 3);
    const lines = readFileSync(join(bench.folder, "out.jsonl"), "utf8").trimEnd().split("\n");
    assert.deepEqual(lines.map((line) => (JSON.parse(line) as { id: string }).id).sort(), [
      "coffee.md",
      "pump.ts",
      "travel/trains.md",
    ]);
    const piped = withInput(["export", "-", "--filter", '{"extension":"md"}'], "");
    assert.equal(piped.status, 0, piped.stderr);
    const through = gunzipSync(gzipSync(piped.stdout));
    assert.equal(withInput(["import", "-", "--collection", "piped"], through).status, 0);
    const vectors = withInput(["export", "-", "--vectors", "--quiet"], "");
    const line = JSON.parse(String(vectors.stdout).split("\n")[0] ?? "") as { model: string; chunks: { vector: number[] }[] };
    assert.deepEqual([line.chunks[0]?.vector.length, typeof line.model], [384, "string"], vectors.stderr);
    assert.deepEqual(await idsIn("piped"), ["coffee.md", "travel/trains.md"]);
    const again = await json<ImportResult>(["import", "out.jsonl", "--collection", "piped", "--on-conflict", "skip"]);
    assert.deepEqual([again.added, again.skipped, again.replaced], [1, 2, 0]);
  });

  test("lines that are no documents are told of", async () => {
    bench.file("bad.jsonl", '{"id":"fine","text":"This is fine."}\nnonsense\n{"id":"x"}\n');
    const { code, stdout, stderr } = await bench.run(["memory", "import", "bad.jsonl", "--collection", "bad"]);
    assert.equal(code, 1);
    assert.match(stdout, /^1 added, 2 failed in /);
    assert.match(stderr, /^error line 2: /m);
    assert.match(stderr, /^error line 3: .*text/m);
    assert.equal((await bench.run(["memory", "import", "nowhere.jsonl", "--collection", "bad"])).code, 1);
  });
});

describe("memory delete and drop", () => {
  test("delete takes ids, and says which are not there", async () => {
    await json(["add", "notes", "--collection", "less"]);
    const { code, stdout, stderr } = await bench.run(["memory", "delete", "coffee.md", "tea.md", "--collection", "less"]);
    assert.equal(code, 1);
    assert.equal(stdout, "coffee.md is deleted\n");
    assert.match(stderr, /tea\.md.*\(ERR_MEMORY_NOT_FOUND\)/);
    assert.deepEqual(await idsIn("less"), ["pump.ts", "travel/trains.md"]);
  });

  test("what takes many at once is done with --yes only, where nobody can be asked", async () => {
    const filter = ["delete", "--filter", '{"extension":"md"}', "--collection", "less"];
    for (const args of [filter, ["drop", "less"]]) {
      const { code, stderr } = await bench.run(["memory", ...args]);
      assert.equal(code, 2);
      assert.match(stderr, /--yes/);
    }
    assert.deepEqual(await idsIn("less"), ["pump.ts", "travel/trains.md"]);
    assert.deepEqual(await json([...filter, "--yes"]), { deleted: 1 });
    assert.deepEqual(await idsIn("less"), ["pump.ts"]);
    assert.deepEqual(await json(["drop", "less", "--yes"]), { collection: "less", dropped: true });
    assert.equal(existsSync(join(bench.store, "lancedb", "less.lance")), false);
    assert.equal((await bench.run(["memory", "drop", "less", "--yes"])).code, 1);
  });
});

describe("memory stats, collections, optimize and reindex", () => {
  test("show and look after a collection", async () => {
    const before = await json<MemoryStats & { path: string; collection: string }>(["stats"]);
    assert.deepEqual([before.documents, before.chunks, before.dimensions, before.collection], [3, 3, 384, "documents"]);
    assert.ok(before.bytes > 0);
    assert.equal((await bench.run(["memory", "optimize"])).code, 0);
    assert.deepEqual(await json(["reindex"]), { path: before.path, collection: "documents", documents: 3, chunks: 3 });
    const { collections } = await json<{ collections: CollectionInfo[] }>(["collections"]);
    assert.ok(collections.some(({ name, documents }) => name === "documents" && documents === 3));
    const { stdout } = await bench.run(["memory", "stats"]);
    assert.match(stdout, /^documents +3$/m);
    assert.match(stdout, /^model +.*MiniLM.*, 384 dimensions$/m);
  });
});
