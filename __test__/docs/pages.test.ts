/** The pages hang together, and tell of every option, method and variable that there is. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, test } from "node:test";
import { anchorsOf, matches, pages, pageText, proseOf, root } from "./markdown.ts";

const contract = readFileSync(join(root, "index.d.ts"), "utf8");

/** The text between the braces of a declaration of index.d.ts. */
function bodyOf(declaration: string): string {
  const start = contract.indexOf(declaration);
  assert.ok(start >= 0, `index.d.ts has no ${declaration}`);
  return contract.slice(contract.indexOf("{\n", start), contract.indexOf("\n}", start));
}

/** The names of the members of an interface or class. */
function membersOf(declaration: string): string[] {
  const names = [...bodyOf(declaration).matchAll(/^\t(?:readonly |get )*(\w+)[?(<:]/gm)].map(([, name = ""]) => name);
  assert.ok(names.length > 0, declaration);
  return [...new Set(names)].filter((name) => name !== "constructor");
}

describe("links", () => {
  for (const page of pages) {
    test(page, () => {
      for (const [, target = ""] of proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^https?:/.test(target)) continue;
        const [path = "", anchor] = target.split("#");
        const file = path === "" ? page : normalize(join(dirname(page), path));
        assert.ok(existsSync(join(root, file)), `${page} links to ${target}, which does not exist`);
        if (anchor !== undefined) assert.ok(anchorsOf(file).includes(anchor), `${page} links to ${target}: no such heading`);
      }
    });
  }

  test("README.md leads to every page", () => {
    for (const page of pages.slice(1)) assert.ok(pageText("README.md").includes(`](${page})`), page);
  });
});

describe("completeness", () => {
  const readme = pageText("README.md");

  test("the table of README.md has every option of a MasterAgent", () => {
    for (const declaration of ["interface ConnectionOptions", "interface WorkerOptions", "interface MasterAgentOptions"])
      for (const name of membersOf(declaration)) assert.match(readme, new RegExp(`^\\| \`${name}\` \\|`, "m"));
  });

  test("the table of README.md has every environment variable that the package reads", () => {
    const bundle = readFileSync(join(root, "dist", "index.cjs"), "utf8");
    const read = [...bundle.matchAll(/process\.env\.([A-Z_]+)|fromEnvironment\("([A-Z_]+)"/g)].map(
      ([, one, other]) => one ?? other,
    );
    assert.ok(read.length >= 3);
    for (const name of read) assert.match(readme, new RegExp(`^\\|.*\`${name}\``, "m"));
  });

  test("the job options are in docs/retries.md or docs/tasks.md", () => {
    const text = pageText("docs/retries.md") + pageText("docs/tasks.md");
    for (const declaration of ["interface JobOptions", "interface TaskOptions", "interface BackoffOptions"])
      for (const name of membersOf(declaration)) assert.ok(text.includes(`\`${name}\``), name);
  });

  test("the members of the context are in docs/sub-agents.md", () => {
    for (const name of membersOf("interface TaskContext"))
      assert.match(pageText("docs/sub-agents.md"), new RegExp(`^\\| \`${name}\\b`, "m"));
  });

  test("the methods of the queue are in docs/queue.md", () => {
    for (const name of membersOf("declare class TaskQueue")) assert.ok(pageText("docs/queue.md").includes(`\`${name}`), name);
  });

  test("the methods of MasterAgent are in the pages", () => {
    const text = pages.map(pageText).join("");
    for (const name of membersOf("declare class MasterAgent")) assert.match(text, new RegExp(`\\b${name}\\b`), name);
  });

  test("the options and methods of memory are in docs/memory.md, docs/retrieval.md or docs/embeddings.md", () => {
    const text = ["memory", "retrieval", "embeddings"].map((name) => pageText(`docs/${name}.md`)).join("");
    for (const declaration of [
      "interface MemoryOptions",
      "interface AddOptions",
      "interface AddManyOptions",
      "interface SearchOptions",
      "interface RAGResult",
      "interface ChunkOptions",
      "interface DocumentChanges",
      "interface FilterOperators",
      "interface EmbeddingFunctionOptions",
      "declare class MemoryCollection",
      "declare class Memory<",
    ])
      for (const name of membersOf(declaration)) assert.match(text, new RegExp(`\\b${name}\\b`), `${declaration}: ${name}`);
  });

  test("CHANGELOG.md has the version of package.json", () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    assert.match(readFileSync(join(root, "CHANGELOG.md"), "utf8"), new RegExp(`^## ${version.replaceAll(".", "\\.")}`, "m"));
  });
});

describe("what a page shows of an output", () => {
  test("stands for itself", () => {
    assert.ok(matches("a (b)\nc\n", "a (b)\nc\n"));
    assert.ok(!matches("a (b)\nd\n", "a (b)\nc\n"));
    assert.ok(!matches("a\nb\n", "a\n"));
  });
  test("leaves out what … stands for", () => {
    assert.ok(matches("job 17 took 3 ms\n", "job … took … ms\n"));
    assert.ok(!matches("job 17\ntook 3 ms\n", "job … ms\n"));
    assert.ok(matches("first\n1\n2\nlast\n", "first\n…\nlast\n"));
    assert.ok(matches("first\nlast\n", "first\n…\nlast\n"));
  });
});
