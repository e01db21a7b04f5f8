/** Three sub-agents. Each is given a file and gives back what it found; none needs a network. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, extname, join } from "node:path";
import type { ISubAgent, TaskContext } from "master-agent";

/** What every task is given. */
export interface FileInput {
  /** The folder that is looked at. */
  root: string;
  /** The file, relative to it. */
  path: string;
}

/** What every task gives back beside its findings. */
interface Timed {
  path: string;
  /** Milliseconds. */
  took: number;
}

async function lookAt<Found extends object>(input: FileInput, look: (text: string) => Found): Promise<Found & Timed> {
  const began = performance.now();
  const text = await readFile(join(input.root, input.path), "utf8");
  return { ...look(text), path: input.path, took: performance.now() - began };
}

const isMarkdown = (path: string): boolean => extname(path).toLowerCase() === ".md";

/** Markdown without its code blocks. */
const prose = (text: string): string => text.replace(/^(```|~~~)[\s\S]*?^\1/gm, "").replace(/`[^`\n]*`/g, "");

/** What a file is made of. */
export interface Outline {
  headings: number;
  definitions: number;
}

/** Counts the headings of Markdown, and the definitions of source files. */
export class Outliner implements ISubAgent<FileInput, Outline & Timed> {
  readonly agentType = "outline";
  /** Changes with what it does, so that files are looked at again. */
  readonly revision = 1;

  run(input: FileInput): Promise<Outline & Timed> {
    const count = (text: string, pattern: RegExp): number => text.match(pattern)?.length ?? 0;
    return lookAt(input, (text) => ({
      headings: isMarkdown(input.path) ? count(prose(text), /^#{1,6} \S/gm) : 0,
      definitions: isMarkdown(input.path)
        ? 0
        : count(
            text,
            /^\s*(?:export |default |pub(?:\([a-z]+\))? |async |abstract |declare )*(?:fn|struct|enum|trait|class|function|interface) \w/gm,
          ),
    }));
  }
}

/** How much there is of a file. */
export interface Statistics {
  lines: number;
  words: number;
  characters: number;
}

/** Counts lines, words and characters. */
export class Statistician implements ISubAgent<FileInput, Statistics & Timed> {
  readonly agentType = "statistics";
  readonly revision = 1;

  run(input: FileInput): Promise<Statistics & Timed> {
    return lookAt(input, (text) => ({
      lines: text.split("\n").length - (text.endsWith("\n") ? 1 : 0),
      words: text.match(/\S+/g)?.length ?? 0,
      characters: text.length,
    }));
  }
}

/** What is open in a file. */
export interface Links {
  links: number;
  /** Links to files that do not exist. */
  broken: string[];
  todos: number;
}

/** Follows the links of Markdown to other files, and counts what is still to do. Fails now and then, as its like do. */
export class LinkChecker implements ISubAgent<FileInput, Links & Timed> {
  readonly agentType = "links";
  readonly revision = 1;

  run(input: FileInput, { attempt }: TaskContext): Promise<Links & Timed> {
    rehearseOutage(input.path, attempt);
    return lookAt(input, (text) => {
      const targets = isMarkdown(input.path)
        ? [...prose(text).matchAll(/\]\((?![a-z]+:|#)([^)#\s]+)[^)]*\)/g)].map(([, target = ""]) => target)
        : [];
      return {
        links: targets.length,
        broken: targets.filter((target) => !existsSync(join(input.root, dirname(input.path), decode(target)))),
        todos: text.match(/\b(?:TODO|FIXME)\b(?=[:(])/g)?.length ?? 0,
      };
    });
  }
}

/**
 * An outage, to show what happens then: for about every sixth file the first attempt fails, and for some of them the second
 * one too. Which ones hangs on their paths alone, so that it is the same everywhere.
 */
function rehearseOutage(path: string, attempt: number): void {
  const [dice = 0] = createHash("sha256").update(`${path} ${attempt}`).digest();
  if (attempt <= 2 && dice < 256 / 6) {
    throw new Error(`rehearsed outage: attempt ${attempt} at ${path} fails`);
  }
}

function decode(target: string): string {
  try {
    return decodeURIComponent(target);
  } catch {
    return target;
  }
}
