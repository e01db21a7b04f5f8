/** Files to add: what of a folder is meant, and what of a file is text. */
import { type Dirent, readdirSync, realpathSync, type Stats, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import picomatch from "picomatch";

/** Which files of a folder are meant. */
export interface Selection {
  /** Patterns of which a file must match one, if there are any. */
  readonly glob: readonly string[];
  /** Patterns of files and folders that are left out. */
  readonly exclude: readonly string[];
  /** Whether names that begin with a dot are meant too. */
  readonly hidden: boolean;
}

/** Folders that nobody means. */
const NEVER: ReadonlySet<string> = new Set(["node_modules", ".git", ".hg", ".svn"]);

type Match = (path: string) => boolean;

/** A pattern without a slash is about names in any folder, as everywhere. */
function matcher(patterns: readonly string[], dot: boolean): Match | undefined {
  const tests = patterns.map((pattern) => {
    const trimmed = pattern.replace(/^\.\//, "").replace(/\/+$/, "");
    return picomatch(trimmed, { dot, basename: !trimmed.includes("/") });
  });
  return tests.length === 0 ? undefined : (path) => tests.some((test) => test(path));
}

/** A folder that is walked: every file once, each folder once, wherever links lead. */
export class Walk {
  readonly #root: string;
  readonly #wanted: Match | undefined;
  readonly #unwanted: Match | undefined;
  readonly #hidden: boolean;
  readonly #failed: (path: string, error: unknown) => void;
  readonly #found: string[] = [];
  /** The real paths of what was met. */
  readonly #met = new Set<string>();
  #links: string[] = [];

  /** @param failed told about folders that cannot be read. */
  constructor(root: string, { glob, exclude, hidden }: Selection, failed: (path: string, error: unknown) => void) {
    this.#root = root;
    this.#wanted = matcher(glob, hidden);
    this.#unwanted = matcher(exclude, true);
    this.#hidden = hidden;
    this.#failed = failed;
  }

  /** Paths relative to the folder, with slashes, in the order of their names. */
  files(): string[] {
    this.#folder("", realpathSync(this.#root));
    // Links come last: where they lead to something that has a path of its own, that path is its name.
    while (this.#links.length > 0) {
      const links = this.#links;
      this.#links = [];
      for (const path of links) {
        this.#link(path);
      }
    }
    return this.#found.sort();
  }

  #folder(path: string, real: string): void {
    if (this.#met.has(real)) {
      return;
    }
    this.#met.add(real);
    let entries: Dirent[];
    try {
      entries = readdirSync(join(this.#root, path), { withFileTypes: true });
    } catch (error) {
      this.#failed(join(this.#root, path), error);
      return;
    }
    for (const entry of entries) {
      const inside = path === "" ? entry.name : `${path}/${entry.name}`;
      if (NEVER.has(entry.name) || (!this.#hidden && entry.name.startsWith(".")) || this.#unwanted?.(inside) === true) {
        continue;
      }
      if (entry.isSymbolicLink()) {
        this.#links.push(inside);
      } else if (entry.isDirectory()) {
        this.#folder(inside, join(real, entry.name));
      } else if (entry.isFile()) {
        this.#file(inside, join(real, entry.name));
      }
    }
  }

  #file(path: string, real: string): void {
    if (!this.#met.has(real) && this.#wanted?.(path) !== false) {
      this.#met.add(real);
      this.#found.push(path);
    }
  }

  #link(path: string): void {
    let real: string;
    let stat: Stats;
    try {
      real = realpathSync(join(this.#root, path));
      stat = statSync(real);
    } catch {
      // It leads nowhere, or round in a circle.
      return;
    }
    if (stat.isDirectory() && !NEVER.has(basename(real))) {
      this.#folder(path, real);
    } else if (stat.isFile()) {
      this.#file(path, real);
    }
  }
}

/** What is in a file, or why it is no document. */
export type Content = { readonly text: string } | { readonly no: "empty" | "binary" | "large" };

/** Reads a file that may be text: UTF-8, UTF-16 with its mark, else Latin-1 (or Windows-1252, which has more). */
export async function readText(file: string, size: number, limit: number): Promise<Content> {
  if (size > limit) {
    return { no: "large" };
  }
  const text = decoded(await readFile(file));
  if (text === undefined) {
    return { no: "binary" };
  }
  return text.trim() === "" ? { no: "empty" } : { text };
}

/** Control characters that no text has. */
const CONTROL = /[\u0000-\u0006\u000e-\u001a\u001c-\u001f]/;

/** The text of bytes, or `undefined` if they are none. */
export function decoded(bytes: Uint8Array): string | undefined {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) {
    return new TextDecoder("utf-16le").decode(bytes);
  }
  if (first === 0xfe && second === 0xff) {
    return new TextDecoder("utf-16be").decode(bytes);
  }
  // A NUL is the mark of a binary file, as git sees it.
  if (bytes.includes(0)) {
    return undefined;
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    const text = new TextDecoder("windows-1252").decode(bytes);
    return CONTROL.test(text) ? undefined : text;
  }
}
