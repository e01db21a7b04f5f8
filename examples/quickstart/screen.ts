/** The bar while it runs, and the tables at the end. */
import { SingleBar } from "cli-progress";
import Table from "cli-table3";
import type { RAGResult, TaskResult } from "master-agent";
import type { Links, Outline, Statistics } from "./agents.ts";
import type { SourceFile } from "./files.ts";

const terminal = process.stdout.isTTY === true;
const colours = terminal && !process.env.NO_COLOR && process.stdout.hasColors();
const width = terminal ? process.stdout.columns || 80 : 80;
const paint = (code: number, text: string): string => (colours ? `\u001b[${code}m${text}\u001b[0m` : text);
const dim = (text: string): string => paint(2, text);
const bold = (text: string): string => paint(1, text);
const red = (text: string): string => paint(31, text);
const yellow = (text: string): string => paint(33, text);

/** How far the tasks are: a bar on a terminal, a line every tenth part elsewhere. */
export class Progress {
  readonly #bar: SingleBar | undefined;
  readonly #total: number;
  #done: number;
  #retries = 0;
  #tenths: number;

  constructor(total: number, done: number) {
    this.#total = total;
    this.#done = 0;
    this.#tenths = Math.floor((done * 10) / total);
    if (terminal) {
      this.#bar = new SingleBar({
        format: `${paint(36, "{bar}")} {percentage}%  {value} of {total} tasks, {retries} retried`,
        barsize: Math.max(10, Math.min(40, width - 45)),
        barCompleteChar: "━",
        barIncompleteChar: " ",
        hideCursor: true,
        clearOnComplete: false,
        // The example has its own way to stop.
        gracefulExit: false,
      });
      this.#bar.start(total, 0, { retries: 0 });
    }
  }

  /** An attempt failed and comes again. */
  retried(): void {
    this.#retries += 1;
    this.#bar?.update({ retries: this.#retries });
  }

  /** A task ended. */
  ended(): void {
    this.#done += 1;
    if (this.#bar !== undefined) {
      this.#bar.update(this.#done, { retries: this.#retries });
      return;
    }
    const tenths = Math.floor((this.#done * 10) / this.#total);
    if (tenths > this.#tenths) {
      this.#tenths = tenths;
      console.log(`${this.#done} of ${this.#total} tasks, ${this.#retries} retried`);
    }
  }

  /** Leaves the bar as it is. */
  stop(): void {
    this.#bar?.stop();
  }
}

interface Shown {
  files: readonly SourceFile[];
  /** The jobs that were done before this run. */
  before: ReadonlySet<string>;
}

/** Prints what came out. */
export function showResults(results: readonly TaskResult[], { files, before }: Shown): void {
  const types = [...new Set(results.map(({ agentType }) => agentType))];
  const summary = table(
    ["sub-agent", "tasks", "now", "retries", "failed", "p50"],
    ["left", "right", "right", "right", "right", "right"],
  );
  for (const type of types) {
    const own = results.filter(({ agentType }) => agentType === type);
    const retries = own.reduce((sum, { attempts }) => sum + Math.max(0, attempts - 1), 0);
    const failed = own.filter(({ success }) => !success).length;
    summary.push([
      bold(type),
      own.length,
      own.filter(({ jobId }) => !before.has(jobId)).length,
      retries === 0 ? 0 : yellow(String(retries)),
      failed === 0 ? 0 : red(String(failed)),
      milliseconds(median(own)),
    ]);
  }
  console.log(`\n${summary.toString()}`);

  const found = table(["findings", "file", ""], ["left", "left", "right"]);
  const room = Math.max(16, width - 36);
  const add = (title: string, rows: readonly (readonly [path: string, value: string])[]): void => {
    for (const [index, [path, value]] of rows.entries()) {
      found.push([index === 0 ? bold(title) : "", shorten(path, room), value]);
    }
  };
  const statistics = outputs<Statistics>(results, "statistics");
  const outlines = outputs<Outline>(results, "outline");
  const links = outputs<Links>(results, "links");
  add(
    "largest",
    top(
      statistics,
      ({ lines }) => lines,
      (lines) => `${number(lines)} lines`,
    ),
  );
  add(
    "most headings",
    top(
      outlines,
      ({ headings }) => headings,
      (count) => `${count}`,
    ),
  );
  add(
    "most definitions",
    top(
      outlines,
      ({ definitions }) => definitions,
      (count) => `${count}`,
    ),
  );
  add(
    "to do",
    top(
      links,
      ({ todos }) => todos,
      (count) => `${count}`,
    ),
  );
  add(
    "broken links",
    top(
      links,
      ({ broken }) => broken.length,
      (count) => red(String(count)),
    ),
  );
  if (found.length > 0) {
    console.log(found.toString());
  }
  const sum = (pick: (statistic: Statistics) => number): string => number(statistics.reduce((all, one) => all + pick(one), 0));
  console.log(`${number(files.length)} files, ${sum(({ lines }) => lines)} lines, ${sum(({ words }) => words)} words.`);
  for (const result of results) {
    if (!result.success) {
      console.log(red(`${result.jobId} failed: ${result.error.message}`));
    }
  }
}

function table(head: string[], colAligns: ("left" | "right")[]): InstanceType<typeof Table> {
  return new Table({ head: head.map(dim), colAligns, style: { head: [], border: colours ? ["grey"] : [], compact: true } });
}

type Output<Found> = Found & { path: string; took: number };

const outputs = <Found>(results: readonly TaskResult[], agentType: string): Output<Found>[] =>
  results.flatMap((result) => (result.success && result.agentType === agentType ? [result.output as Output<Found>] : []));

function top<Found>(
  all: readonly Output<Found>[],
  pick: (found: Output<Found>) => number,
  show: (value: number) => string,
): [path: string, value: string][] {
  return all
    .filter((one) => pick(one) > 0)
    .sort((a, b) => pick(b) - pick(a) || a.path.localeCompare(b.path))
    .slice(0, 3)
    .map((one) => [one.path, show(pick(one))]);
}

/** The middle of the times that the handlers took. */
function median(results: readonly TaskResult[]): number | undefined {
  const times = results
    .flatMap((result) => (result.success ? [(result.output as { took: number }).took] : []))
    .sort((a, b) => a - b);
  return times[Math.floor(times.length / 2)];
}

const milliseconds = (time: number | undefined): string => (time === undefined ? "" : `${time.toPrecision(2)} ms`);
const number = (value: number): string => value.toLocaleString("en");

/** The path without its middle, where there is not room for all of it. */
function shorten(path: string, room: number): string {
  if (path.length <= room) {
    return path;
  }
  const tail = Math.ceil((room - 1) * 0.7);
  return `${path.slice(0, room - 1 - tail)}…${path.slice(-tail)}`;
}

/** What is put into the memory. */
export function showIndexing(documents: number, changed: number): void {
  const news = changed === 0 ? "none of them new or changed" : `${number(changed)} of them new or changed`;
  console.log(`\n${bold("Memory")}  ${number(documents)} documents, ${news}`);
}

/** What was put into the memory. */
export function showIndexed(passages: number, took: number): void {
  console.log(`${number(passages)} passages embedded and stored in ${(took / 1000).toFixed(1)} s`);
}

/** A question, the passage that answers it best, and where others are. */
export function showAnswer(question: string, hits: readonly RAGResult<{ root: string; path: string }>[], took: number): void {
  console.log(`\n${paint(36, "?")} ${bold(question)}  ${dim(`${took.toFixed(0)} ms`)}`);
  const [best, ...others] = hits;
  if (best === undefined) {
    console.log("  No passage was found.");
    return;
  }
  const heading = best.text.match(/^#+ (.+)$/m)?.[1];
  console.log(`  ${paint(32, best.score.toFixed(2))}  ${best.metadata.path}${heading === undefined ? "" : dim(`  ${heading}`)}`);
  for (const line of excerpt(best.text)) {
    console.log(`  ${dim("│")} ${line}`);
  }
  for (const { score, metadata } of others) {
    console.log(dim(`  ${score.toFixed(2)}  ${metadata.path}`));
  }
}

const EXCERPT_LINES = 6;

/** How a passage begins, without its headings, in lines that fit. */
function excerpt(passage: string): string[] {
  const room = Math.min(width, 110) - 6;
  const lines = parts(passage).flatMap((part) => broken(part, room));
  return lines.length <= EXCERPT_LINES ? lines : [...lines.slice(0, EXCERPT_LINES), "…"];
}

/** Paragraphs, items of lists, and rows of tables with their cells beside each other. */
function parts(passage: string): string[] {
  const found: string[] = [];
  let open = false;
  for (const line of passage.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "").split("\n")) {
    const text = line.trim();
    if (text === "" || /^#|^\|[\s|:-]+$/.test(text)) {
      open = false;
    } else if (text.startsWith("|")) {
      found.push(text.replace(/^\|\s*|\s*\|$/g, "").replace(/\s*\|\s*/g, "  "));
      open = false;
    } else if (open && !/^(?:[-*+]|\d+\.|```)/.test(text)) {
      found.push(`${found.pop()} ${text}`);
    } else {
      found.push(text);
      open = !text.startsWith("```");
    }
  }
  return found;
}

/** A text in lines of so many characters. */
function broken(text: string, room: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > room) {
      lines.push(line);
      line = "";
    }
    line += line === "" ? word : ` ${word}`;
  }
  return [...lines, line];
}
