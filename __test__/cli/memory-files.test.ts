/** Which files of a folder become documents, what of them is text, and how passages are laid out. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { decoded, readText, type Selection, Walk } from "../../ts/cli/memory-files.ts";
import { joined, linesOf, wrap } from "../../ts/cli/memory-search.ts";
import { width } from "../../ts/cli/terminal.ts";
import { Bench } from "../helpers/program.ts";

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.remove());

const windows = process.platform === "win32";
const fill = (...names: string[]): void => names.forEach((name) => void bench.file(`tree/${name}`, name));

function walk(selection: Partial<Selection> = {}): { files: string[]; failed: string[] } {
  const failed: string[] = [];
  const all = { glob: [], exclude: [], hidden: false, ...selection };
  const files = new Walk(join(bench.folder, "tree"), all, (path) => failed.push(path)).files();
  return { files, failed };
}

describe("a walk", () => {
  test("gives files by name, without node_modules and hidden ones", () => {
    fill("b.md", "a/z.ts", "a/b/c.md", "node_modules/x/index.js", "a/node_modules/y.js", ".git/HEAD", ".env", ".github/ci.yml");
    assert.deepEqual(walk(), { files: ["a/b/c.md", "a/z.ts", "b.md"], failed: [] });
    assert.deepEqual(walk({ hidden: true }).files, [".env", ".github/ci.yml", "a/b/c.md", "a/z.ts", "b.md"]);
  });

  test("takes patterns: by name without a slash, by path with one", () => {
    fill("b.md", "a/b.md", "a/c.ts", "a/b/d.md", "target/e.md", "x/target/f.md");
    const markdown = ["a/b.md", "a/b/d.md", "b.md", "target/e.md", "x/target/f.md"];
    assert.deepEqual(walk({ glob: ["*.md"] }).files, markdown);
    assert.deepEqual(walk({ glob: ["**/*.md"] }).files, markdown);
    assert.deepEqual(walk({ glob: ["a/*.{md,ts}"] }).files, ["a/b.md", "a/c.ts"]);
    assert.deepEqual(walk({ glob: ["./a/**", "x/**"] }).files, ["a/b.md", "a/b/d.md", "a/c.ts", "x/target/f.md"]);
    assert.deepEqual(walk({ exclude: ["target/"] }).files, ["a/b.md", "a/b/d.md", "a/c.ts", "b.md"]);
    assert.deepEqual(walk({ exclude: ["a/b", "*.ts", "target"] }).files, ["a/b.md", "b.md"]);
  });

  test("follows links, and neither round in circles nor twice to the same file", { skip: windows }, () => {
    fill("real/a.md", "real/deep/b.md");
    mkdirSync(join(bench.folder, "elsewhere"));
    writeFileSync(join(bench.folder, "elsewhere", "c.md"), "c");
    const tree = join(bench.folder, "tree");
    symlinkSync(tree, join(tree, "real", "deep", "up"));
    symlinkSync(join(tree, "real"), join(tree, "aaa"));
    symlinkSync(join(tree, "real", "a.md"), join(tree, "0.md"));
    symlinkSync(join(bench.folder, "elsewhere"), join(tree, "outside"));
    symlinkSync(join(bench.folder, "elsewhere"), join(bench.folder, "elsewhere", "itself"));
    symlinkSync("loop", join(tree, "loop"));
    symlinkSync("nowhere", join(tree, "dead"));
    assert.deepEqual(walk(), { files: ["outside/c.md", "real/a.md", "real/deep/b.md"], failed: [] });
  });

  test("tells of folders that cannot be read, and goes on", { skip: windows || process.getuid?.() === 0 }, () => {
    fill("a.md", "closed/b.md");
    const closed = join(bench.folder, "tree", "closed");
    chmodSync(closed, 0);
    assert.deepEqual(walk(), { files: ["a.md"], failed: [closed] });
    chmodSync(closed, 0o700);
  });
});

describe("text", () => {
  test("comes in UTF-8, UTF-16 with its mark, and Latin-1", () => {
    const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");
    assert.equal(decoded(Buffer.from("grün 日本 👋")), "grün 日本 👋");
    assert.equal(decoded(Buffer.from("\ufeffmarked")), "marked");
    assert.equal(decoded(Buffer.concat([bytes("\xff\xfe"), Buffer.from("grün", "utf16le")])), "grün");
    assert.equal(decoded(Buffer.concat([bytes("\xfe\xff"), Buffer.from("grün", "utf16le").swap16()])), "grün");
    assert.equal(decoded(bytes("gr\xfcn")), "grün");
    assert.equal(decoded(bytes("")), "");
  });

  test("is not what has NULs, or control characters beside what is no UTF-8", () => {
    assert.equal(decoded(Buffer.from("a\0b")), undefined);
    assert.equal(decoded(Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x01])), undefined);
  });

  test("of a file is not read past the limit", async () => {
    const file = bench.file("a.txt", "12345");
    assert.deepEqual(await readText(file, 5, 5), { text: "12345" });
    assert.deepEqual(await readText(file, 5, 4), { no: "large" });
    assert.deepEqual(await readText(bench.file("b.txt", " \n\t\n"), 4, 4), { no: "empty" });
  });
});

describe("a passage", () => {
  test("has the lines of its document, without the space around it", () => {
    const text = "one\ntwo\n\nthree\nfour\n";
    const lines = (passage: string): unknown => {
      const start = text.indexOf(passage);
      return linesOf(text, { start, end: start + passage.length });
    };
    assert.deepEqual(lines("one"), { from: 1, to: 1 });
    assert.deepEqual(lines("\n\nthree\nfour\n"), { from: 4, to: 5 });
    assert.deepEqual(lines("two\n\nthree"), { from: 2, to: 4 });
    assert.deepEqual(linesOf("", { start: 0, end: 0 }), { from: 1, to: 1 });
  });

  test("of prose is joined where a full line was broken, and only there", () => {
    const full = "This line is as long as lines of prose are when they were broken";
    assert.equal(
      joined(`# Title\n\n${full}\nand goes on.\nA short line.\n\n- ${full}\n  inside`),
      `# Title\n\n${full} and goes on.\nA short line.\n\n- ${full}\n  inside`,
    );
    const fenced = `\`\`\`ts\nconst a = "${full}";\nconst b = 1;\n\`\`\`\n${full}\n\`code\` goes on`;
    assert.equal(joined(fenced), `\`\`\`ts\nconst a = "${full}";\nconst b = 1;\n\`\`\`\n${full} \`code\` goes on`);
    const table = `| a | ${full} |\n| b | c |`;
    assert.equal(joined(table), table);
  });

  test("is broken between words, and keeps its indentation", () => {
    assert.deepEqual(wrap("the quick brown fox\n  jumps over the dog", 12), [
      "the quick",
      "brown fox",
      "  jumps over",
      "  the dog",
    ]);
    assert.deepEqual(wrap("- a list of many words", 12), ["- a list of", "  many words"]);
    assert.deepEqual(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
    for (const text of ["日本語日本語日本語", `${" ".repeat(30)}deep in there`, "a 👩‍👩‍👧 b ".repeat(9)]) {
      for (const line of wrap(text, 10)) {
        assert.ok(width(line) <= 10, JSON.stringify(line));
      }
    }
  });
});
