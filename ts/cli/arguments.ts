/** What can be written on the command line, what it means, and the help that says so. */
import { parseArgs } from "node:util";

/** What was written is wrong; the exit code is 2. */
export class UsageError extends Error {
  /** What to ask for help about. */
  readonly topic: string;

  constructor(message: string, topic = "") {
    super(message);
    this.topic = topic;
  }
}

interface OptionSpec {
  /** The name of its value in the help; one without takes none. */
  value?: string;
  short?: string;
  text: string;
}

const OPTIONS = {
  store: { value: "folder", text: "The store's folder; APP_DATA_DIR, else ./data." },
  queue: { value: "name", text: "The queue; master-agent-tasks." },
  concurrency: { value: "n", text: "How many tasks run at once; WORKER_CONCURRENCY, else 5." },
  lease: {
    value: "ms",
    text: "How long a dead worker's tasks stay its own; WORKER_LEASE_MS, else 3000.",
  },
  "drain-timeout": { value: "ms", text: "How long running tasks may take to end after a signal; 30000." },
  name: { value: "name", text: "How the worker is shown; host:pid." },
  watch: { text: "Start again when the module, or a source file near it, changes." },
  quiet: { short: "q", text: "No line for each task." },
  state: {
    value: "state",
    text: "waiting, delayed, active, completed, failed, cancelled or dead; several with commas.",
  },
  agent: { value: "type", text: "Only tasks of this agent type." },
  limit: { value: "n", text: "Jobs of one page, 1 to 1000; 20." },
  cursor: { value: "cursor", text: "Where the page before ended." },
  reason: { value: "text", text: "What the task's error shall say." },
  json: { text: "JSON instead of text." },
  verbose: { text: "Errors with their stacks and causes." },
  help: { short: "h", text: "This text." },
  version: { short: "v", text: "The version." },
} as const satisfies Record<string, OptionSpec>;

/** The name of an option, without dashes. */
export type OptionName = keyof typeof OPTIONS;

interface CommandSpec {
  /** What stands after the name, for the usage line. */
  operands: string;
  /** How many operands. */
  least: number;
  most: number;
  summary: string;
  details?: string;
  options: readonly OptionName[];
  examples: readonly string[];
}

const COMMON = ["store", "queue"] as const;
const LAST = ["json", "verbose", "help"] as const;

const COMMANDS = {
  worker: {
    operands: "<module...>",
    least: 1,
    most: Number.POSITIVE_INFINITY,
    summary: "Run the sub-agents of a module in a process of their own",
    details: [
      "Serves what the module exports (default, named, arrays, classes: whatever has an agentType and run) and what it",
      "registers itself with registerSubAgent. TypeScript modules need tsx in the project, or a Node.js that reads them.",
      "",
      "SIGTERM or Ctrl-C: takes no more tasks, waits for those that run, and exits with 0. A second one exits at once;",
      "tasks that did not end are run again, by this or another worker.",
    ].join("\n"),
    options: ["queue", "concurrency", "lease", "watch", "store", "drain-timeout", "name", "quiet", ...LAST],
    examples: [
      "npx master-agent worker ./agents.js",
      "npx master-agent worker ./agents.ts --watch",
      "npx master-agent worker ./agents.js --concurrency 20 --store /var/lib/my-app",
    ],
  },
  status: {
    operands: "",
    least: 0,
    most: 0,
    summary: "Show how many tasks are in which state, and who works on them",
    options: [...COMMON, ...LAST],
    examples: ["npx master-agent status", "npx master-agent status --json | jq .total.waiting"],
  },
  "jobs list": {
    operands: "",
    least: 0,
    most: 0,
    summary: "List jobs: waiting ones in the order in which they run, ended ones newest first",
    options: ["state", "agent", "limit", "cursor", ...COMMON, ...LAST],
    examples: [
      "npx master-agent jobs list --state failed,dead",
      "npx master-agent jobs list --agent my-agent --limit 100 --json",
    ],
  },
  "jobs show": {
    operands: "<id>",
    least: 1,
    most: 1,
    summary: "Show everything about a job, with its log",
    options: [...COMMON, ...LAST],
    examples: ["npx master-agent jobs show 17", "npx master-agent jobs show order-4711 --json | jq .job.error"],
  },
  "jobs retry": {
    operands: "<id...>",
    least: 1,
    most: Number.POSITIVE_INFINITY,
    summary: "Let ended jobs wait again, with their attempts counted from zero",
    options: [...COMMON, ...LAST],
    examples: ["npx master-agent jobs retry 17 18"],
  },
  "jobs cancel": {
    operands: "<id...>",
    least: 1,
    most: Number.POSITIVE_INFINITY,
    summary: "End jobs that wait or run; the handler of one that runs finds its signal aborted",
    options: ["reason", ...COMMON, ...LAST],
    examples: ["npx master-agent jobs cancel 17", 'npx master-agent jobs cancel 17 --reason "no longer needed"'],
  },
  "jobs remove": {
    operands: "<id...>",
    least: 1,
    most: Number.POSITIVE_INFINITY,
    summary: "Remove jobs that do not run",
    options: [...COMMON, ...LAST],
    examples: ["npx master-agent jobs remove 17"],
  },
} as const satisfies Record<string, CommandSpec>;

/** The name of a command. */
export type CommandName = keyof typeof COMMANDS;

const NAMES = Object.keys(COMMANDS) as CommandName[];
const GROUP = "jobs";

/** What was asked for. */
export type Request =
  | { kind: "help"; text: string }
  | { kind: "version" }
  | { kind: "command"; name: CommandName; operands: string[]; values: Partial<Record<OptionName, string | true>> };

/** Reads the arguments after the program's name. */
export function readArguments(args: readonly string[]): Request {
  const known = Object.entries(OPTIONS).map(([name, option]: [string, OptionSpec]) => [
    name,
    { type: option.value === undefined ? "boolean" : "string", ...(option.short === undefined ? {} : { short: option.short }) },
  ]);
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(known) as Record<string, { type: "boolean" | "string"; short?: string }>,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const words: string[] = [];
  const given: { name: string; written: string; value: string | undefined; inline: boolean }[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") {
      words.push(token.value);
    } else if (token.kind === "option") {
      given.push({ name: token.name, written: token.rawName, value: token.value, inline: token.inlineValue === true });
    }
  }
  const wants = (name: OptionName): boolean => given.some((option) => option.name === name);
  const asksHelp = words[0] === "help";
  if (asksHelp) {
    words.shift();
  }
  if (words.length === 0) {
    if (!asksHelp && !wants("help") && wants("version")) {
      return { kind: "version" };
    }
    if (asksHelp || wants("help")) {
      return { kind: "help", text: overview() };
    }
    refuseUnknown(given, ["help", "version"], "");
    throw new UsageError(`Which command?\n\n${overview()}`);
  }
  const name = commandOf(words);
  if (name === undefined) {
    if (asksHelp || wants("help")) {
      return { kind: "help", text: groupOverview() };
    }
    throw new UsageError(`Which command?\n\n${groupOverview()}`, GROUP);
  }
  if (asksHelp || wants("help")) {
    return { kind: "help", text: helpOf(name) };
  }
  const command: CommandSpec = COMMANDS[name];
  const values = refuseUnknown(given, command.options, name);
  const operands = words.slice(name.split(" ").length);
  if (operands.length < command.least) {
    throw new UsageError(`${name} needs ${command.operands}`, name);
  }
  if (operands.length > command.most) {
    const surplus = operands.slice(command.most).join(" ");
    throw new UsageError(`${name} takes ${command.most === 0 ? "no arguments" : command.operands}: what is ${surplus}?`, name);
  }
  return { kind: "command", name, operands, values };
}

/** The command that words begin with; `undefined` for the bare name of the group. */
function commandOf(words: readonly string[]): CommandName | undefined {
  const [first = "", second] = words;
  if (first !== GROUP) {
    const name = NAMES.find((one) => one === first);
    if (name === undefined) {
      const single = NAMES.filter((one) => !one.includes(" "));
      // The second word of a command is often taken for the first one.
      const within = NAMES.find((one) => one === `${GROUP} ${first}`);
      throw new UsageError(
        `There is no command ${first}.${within === undefined ? guess(first, [...single, GROUP, "help"]) : ` Did you mean ${within}?`}`,
      );
    }
    return name;
  }
  if (second === undefined) {
    return undefined;
  }
  const name = NAMES.find((one) => one === `${GROUP} ${second}`);
  if (name === undefined) {
    const subcommands = NAMES.filter((one) => one.startsWith(`${GROUP} `)).map((one) => one.slice(GROUP.length + 1));
    throw new UsageError(`There is no command ${GROUP} ${second}.${guess(second, subcommands, `${GROUP} `)}`, GROUP);
  }
  return name;
}

function refuseUnknown(
  given: readonly { name: string; written: string; value: string | undefined; inline: boolean }[],
  allowed: readonly OptionName[],
  topic: string,
): Partial<Record<OptionName, string | true>> {
  const values: Partial<Record<OptionName, string | true>> = {};
  for (const { name, written, value, inline } of given) {
    const option = allowed.find((one) => one === name);
    if (option === undefined) {
      const where =
        Object.hasOwn(OPTIONS, name) && topic !== "" ? `${topic} has no option ${written}.` : `There is no option ${written}.`;
      throw new UsageError(where + guess(name, allowed, "--"), topic);
    }
    const spec: OptionSpec = OPTIONS[option];
    if (spec.value === undefined) {
      if (inline) {
        throw new UsageError(`${written} takes no value.`, topic);
      }
      values[option] = true;
      continue;
    }
    if (value === undefined || value === "" || (!inline && value.startsWith("-"))) {
      throw new UsageError(`${written} needs a value: ${written} <${spec.value}>.`, topic);
    }
    values[option] = value;
  }
  return values;
}

/** The value of an option as a whole number. */
export function wholeNumber(
  value: string | true | undefined,
  option: OptionName,
  least: number,
  most: number,
): number | undefined {
  if (value === undefined) {
    return undefined;
  }
  const number = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : Number.NaN;
  if (!(number >= least && number <= most)) {
    throw new UsageError(`--${option} must be a whole number from ${least} to ${most}, not ${String(value)}.`);
  }
  return number;
}

/** The value of an option as text. */
export function text(value: string | true | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** Says what may have been meant, with a space before it; nothing if nothing is near. */
export function guess(wrong: string, right: readonly string[], prefix = ""): string {
  let best: string | undefined;
  let least = Math.max(1, Math.floor(wrong.length / 3)) + 1;
  for (const candidate of right) {
    const away = candidate.startsWith(wrong) && wrong.length > 1 ? 1 : distance(wrong, candidate);
    if (away < least) {
      least = away;
      best = candidate;
    }
  }
  return best === undefined ? "" : ` Did you mean ${prefix}${best}?`;
}

/** How many letters have to be changed, added, left out or swapped with their neighbour (optimal string alignment). */
function distance(from: string, to: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1];
      let cost = Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) {
        cost = Math.min(cost, (before[j - 2] ?? 0) + 1);
      }
      row.push(cost);
    }
    before = previous;
    previous = row;
  }
  return previous[to.length] ?? 0;
}

function lines(pairs: readonly (readonly [string, string])[]): string {
  const room = Math.max(...pairs.map(([left]) => left.length)) + 2;
  return pairs.map(([left, right]) => `  ${left.padEnd(room)}${right}`).join("\n");
}

function optionLines(names: readonly OptionName[]): string {
  return lines(
    names.map((name) => {
      const { value, short, text: meaning }: OptionSpec = OPTIONS[name];
      return [`${short === undefined ? "" : `-${short}, `}--${name}${value === undefined ? "" : ` <${value}>`}`, meaning];
    }),
  );
}

function overview(): string {
  return [
    "Usage: master-agent <command> [options]",
    "",
    "Commands:",
    lines(NAMES.map((name) => [`${name} ${COMMANDS[name].operands}`.trimEnd(), COMMANDS[name].summary])),
    "",
    "Options:",
    optionLines(["help", "version"]),
    "",
    "master-agent <command> --help tells more of a command.",
  ].join("\n");
}

function groupOverview(): string {
  const names = NAMES.filter((name) => name.startsWith(`${GROUP} `));
  return [
    `Usage: master-agent ${GROUP} <command> [options]`,
    "",
    "Commands:",
    lines(names.map((name) => [`${name} ${COMMANDS[name].operands}`.trimEnd(), COMMANDS[name].summary])),
    "",
    `master-agent ${GROUP} <command> --help tells more of a command.`,
  ].join("\n");
}

function helpOf(name: CommandName): string {
  const command: CommandSpec = COMMANDS[name];
  return [
    `Usage: master-agent ${name} ${command.operands}`.trimEnd().concat(" [options]"),
    "",
    `${command.summary}.`,
    ...(command.details === undefined ? [] : ["", command.details]),
    "",
    "Options:",
    optionLines(command.options),
    "",
    "Examples:",
    ...command.examples.map((example) => `  $ ${example}`),
  ].join("\n");
}
