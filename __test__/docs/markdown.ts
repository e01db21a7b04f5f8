/** The documentation as the tests see it: pages, their code blocks and their links. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the repository. */
export const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

/** A fenced code block. */
export interface Block {
  page: string;
  /** The line of its fence, from 1. */
  line: number;
  /** The first word after the fence: `ts`, `js`, `sh`, `text`, … */
  language: string;
  /** `fragment` among the other words: an excerpt that does not run by itself. */
  fragment: boolean;
  /** A file name among the other words: the block is that file of the page, run by the page's commands. */
  file: string | undefined;
  code: string;
  /** What a `text` block right below says that it prints. */
  output: string | undefined;
}

/** The pages of the documentation, README.md first. */
export const pages = [
  "README.md",
  ...readdirSync(join(root, "docs"))
    .filter((name) => name.endsWith(".md"))
    .sort()
    .map((name) => `docs/${name}`),
];

/** The text of a page. */
export function pageText(page: string): string {
  return readFileSync(join(root, page), "utf8").replaceAll("\r\n", "\n");
}

/** The code blocks of a page, in order. A `text` block below another belongs to it and is not listed itself. */
export function blocksOf(page: string): Block[] {
  const blocks: Block[] = [];
  const lines = pageText(page).split("\n");
  let proseSince = true;
  for (let index = 0; index < lines.length; index++) {
    const fence = /^```(\w*)\s*(.*)$/.exec(lines[index] ?? "");
    if (fence === null) {
      proseSince ||= lines[index]?.trim() !== "";
      continue;
    }
    const start = index + 1;
    const end = lines.indexOf("```", start);
    if (end < 0) throw new Error(`${page}:${start}: the code block is not closed`);
    index = end;
    const [, language = "", rest = ""] = fence;
    const words = rest.split(/\s+/).filter((word) => word !== "");
    const code = `${lines.slice(start, end).join("\n")}\n`;
    const above = blocks.at(-1);
    if (language === "text" && !proseSince && above !== undefined && above.output === undefined) {
      above.output = code;
    } else {
      const file = words.find((word) => word.includes("."));
      blocks.push({ page, line: start, language, fragment: words.includes("fragment"), file, code, output: undefined });
    }
    proseSince = false;
  }
  return blocks;
}

/** The text of a page without its code blocks and code spans. */
export function proseOf(page: string): string {
  return pageText(page)
    .replace(/^```[\s\S]*?^```$/gm, "")
    .replace(/`[^`\n]*`/g, "");
}

/** The anchors of a page's headings, as GitHub makes them. */
export function anchorsOf(page: string): string[] {
  return [
    ...pageText(page)
      .replace(/^```[\s\S]*?^```$/gm, "")
      .matchAll(/^#+ (.+)$/gm),
  ].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{Letter}\p{Number}\s_-]/gu, "")
      .trim()
      .replaceAll(/\s/g, "-"),
  );
}

/** Whether `printed` is what a page shows: `…` stands for any text within a line, and alone on a line for any lines. */
export function matches(printed: string, shown: string): boolean {
  const pattern = shown
    .trimEnd()
    .split("\n")
    .map((line) =>
      line.trim() === "…" ? "(?:[^\\n]*\\n)*?" : `${line.trimEnd().split("…").map(escaped).join("[^\\n]*")}[ \\t]*\\n`,
    )
    .join("");
  return new RegExp(`^${pattern}$`).test(`${printed.trimEnd()}\n`);
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}
