/** The Markdown and source files of a folder. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { extname, join } from "node:path";

/** A file with what is in it. */
export interface SourceFile {
  /** Relative to the folder, with slashes. */
  path: string;
  content: Buffer;
}

const KINDS = new Set([
  ".md",
  ".rs",
  ".ts",
  ".mts",
  ".cts",
  ".tsx",
  ".js",
  ".mjs",
  ".cjs",
  ".jsx",
  ".sql",
  ".lua",
  ".py",
  ".go",
  ".sh",
]);
const SKIPPED = new Set(["node_modules", "target", "dist", "data"]);
const LARGEST = 2 ** 20;

/** All of them in the order of their names: what git knows and does not ignore, else what is there. */
export function filesOf(root: string): SourceFile[] {
  return (fromGit(root) ?? walk(root, ""))
    .filter((path) => KINDS.has(extname(path).toLowerCase()))
    .sort()
    .flatMap((path) => read(root, path));
}

function read(root: string, path: string): SourceFile[] {
  const stat = statSync(join(root, path), { throwIfNoEntry: false });
  return stat?.isFile() === true && stat.size <= LARGEST ? [{ path, content: readFileSync(join(root, path)) }] : [];
}

function fromGit(root: string): string[] | undefined {
  try {
    const paths = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
      cwd: root,
      encoding: "utf8",
      maxBuffer: 2 ** 28,
      stdio: ["ignore", "pipe", "ignore"],
    });
    const found = [...new Set(paths.split("\0").filter(Boolean))];
    return found.length > 0 ? found : undefined;
  } catch {
    // No git, or no repository of it.
    return undefined;
  }
}

function walk(root: string, folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (!entry.isDirectory()) {
      return entry.isFile() ? [path] : [];
    }
    return SKIPPED.has(entry.name) || entry.name.startsWith(".") ? [] : walk(root, path);
  });
}
