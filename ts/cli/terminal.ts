/** What is written where: tables and colours on a terminal, plain lines elsewhere. */
import type { WriteStream } from "node:tty";

/** How text can look. */
export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

const CODES: Record<Style, [open: number, close: number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

/** The reader of a pipe went away: what it wanted to read it has, so nothing failed. */
let deaf = false;

/**
 * Lets a closed pipe (`| head`) end the program quietly, or go on unheard where `goOn` is set: a worker does not stop to
 * work because nobody reads what it says.
 */
export function guardOutput(goOn: () => boolean): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE" && error.code !== "EIO" && error.code !== "ERR_STREAM_DESTROYED") {
        throw error;
      }
      deaf = true;
      if (!goOn()) {
        process.exit();
      }
    });
  }
}

/** Writes lines to standard output. */
export function print(text: string): void {
  if (!deaf) {
    process.stdout.write(`${text}\n`);
  }
}

/** Writes lines to standard error. */
export function printError(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** The columns of the terminal, or `undefined` where the output is none. */
export function columns(): number | undefined {
  return process.stdout.isTTY ? Math.max(20, process.stdout.columns || 80) : undefined;
}

function coloured(stream: NodeJS.WriteStream): boolean {
  // hasColors() knows NO_COLOR, FORCE_COLOR and TERM=dumb, but takes an empty NO_COLOR for one that is set.
  return stream.isTTY === true && !process.env.NO_COLOR && (stream as WriteStream).hasColors();
}

/** The text in a style, where the output shows styles. */
export function paint(style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  if (!coloured(stream)) {
    return text;
  }
  const [open, close] = CODES[style];
  return `\u001b[${open}m${text}\u001b[${close}m`;
}

/** Text of others (ids, messages) made harmless for a terminal and for formats of one record per line. */
export function oneLine(text: string): string {
  return text
    .replace(/\s*[\r\n]\s*/g, " ")
    .replace(/\t/g, " ")
    .replace(/[\u0000-\u001f\u007f-\u009f]/g, "\ufffd");
}

/** The same for text that may have lines. */
export function manyLines(text: string): string {
  return text.replace(/\r\n?/g, "\n").replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\ufffd");
}

const segmenter = new Intl.Segmenter();
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;

/** How many cells of a terminal a text without control characters takes. */
export function width(text: string): number {
  if (/^[\u0020-\u007e]*$/.test(text)) {
    return text.length;
  }
  let cells = 0;
  for (const { segment } of segmenter.segment(text)) {
    cells += WIDE.test(segment) ? 2 : 1;
  }
  return cells;
}

/** The text cut to so many cells, with an ellipsis where something is missing. */
export function fit(text: string, cells: number): string {
  if (width(text) <= cells) {
    return text;
  }
  let cut = "";
  let used = 1;
  for (const { segment } of segmenter.segment(text)) {
    used += width(segment);
    if (used > cells) {
      break;
    }
    cut += segment;
  }
  return `${cut}…`;
}

/** A column of a table. */
export interface Column {
  title: string;
  right?: boolean;
  /** Gives way where the terminal is too narrow, down to this many cells. */
  least?: number;
  /** Left out, where the terminal is too narrow, when it has nothing but this. */
  blank?: string;
}

/** A cell: text of one line, and how it looks. */
export type Cell = string | { text: string; style: Style };

const GAP = "  ";
const textOf = (cell: Cell | undefined): string => (typeof cell === "object" ? cell.text : (cell ?? ""));

/** The lines of a table that is no wider than `cells`, as far as the columns allow that. */
export function table(all: readonly Column[], rows: readonly (readonly Cell[])[], cells: number): string[] {
  const widthOf = (index: number): number =>
    Math.max(width(all[index]?.title ?? ""), ...rows.map((row) => width(textOf(row[index]))));
  let shown = all.map((column, index) => ({ column, index, cells: widthOf(index) }));
  const total = (): number => shown.reduce((sum, column) => sum + column.cells, GAP.length * (shown.length - 1));
  if (total() > cells) {
    shown = shown.filter(
      ({ column, index }) => column.blank === undefined || rows.some((row) => textOf(row[index]) !== column.blank),
    );
  }
  for (const place of shown.filter(({ column }) => column.least !== undefined).reverse()) {
    const over = total() - cells;
    if (over > 0) {
      place.cells = Math.max(Math.min(place.cells, place.column.least ?? 0), place.cells - over);
    }
  }
  const line = (cellOf: (index: number) => Cell): string =>
    shown
      .map(({ column, index, cells: room }, place) => {
        const cell = cellOf(index);
        const text = fit(textOf(cell), room);
        const space = " ".repeat(room - width(text));
        const painted = typeof cell === "object" ? paint(cell.style, text) : text;
        if (column.right === true) {
          return space + painted;
        }
        return place === shown.length - 1 ? painted : painted + space;
      })
      .join(GAP)
      .trimEnd();
  return [
    line((index) => ({ text: all[index]?.title ?? "", style: "dim" })),
    ...rows.map((row) => line((index) => row[index] ?? "")),
  ];
}

/** A JSON document: readable on a terminal, one line elsewhere. */
export function printJson(document: unknown): void {
  print(JSON.stringify(document, null, process.stdout.isTTY ? 2 : undefined));
}

const UNITS: readonly [name: string, size: number][] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1_000],
];

/** A time in milliseconds, for people. */
export function duration(milliseconds: number): string {
  for (const [name, size] of UNITS) {
    if (milliseconds >= size) {
      const value = milliseconds / size;
      return `${value < 10 ? Number(value.toFixed(1)) : Math.round(value)} ${name}`;
    }
  }
  return `${Math.round(milliseconds)} ms`;
}

/** How long ago, or in how long, a point of time is. */
export function ago(at: number, now: number): string {
  return at > now ? `in ${duration(at - now)}` : `${duration(now - at)} ago`;
}
