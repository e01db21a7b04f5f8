/** The commands and their options: the tables behind what can be written, and the help that says so. */

/** What can be written after an option. */
export interface OptionSpec {
  /** The name of its value in the help; one without takes none. */
  value?: string;
  short?: string;
  /** Whether it may be given several times. */
  many?: true;
  text: string;
}

/** All options. */
export const OPTIONS = {
  store: {
    value: "place",
    text: "The store: a folder, or the URL of a Redis server; REDIS_URL, else APP_DATA_DIR, else ./data.",
  },
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
  path: { value: "folder", text: "The memory's folder; LANCEDB_PATH, else APP_DATA_DIR/lancedb, else ./data/lancedb." },
  collection: { value: "name", text: "The collection; documents." },
  model: { value: "name", text: "The model: one that is known by name, or a folder; the bundled one." },
  filter: { value: "json", text: 'Only documents that match, such as {"source":"user","year":{"gte":2024}}.' },
  metadata: { value: "json", text: "What all these documents get beside what is known of their files." },
  glob: { value: "pattern", many: true, text: "Only files of folders that match, such as **/*.md; may be repeated." },
  exclude: { value: "pattern", many: true, text: "No files or folders that match; may be repeated." },
  hidden: { text: "Also files and folders whose names begin with a dot." },
  "max-bytes": { value: "n", text: "The largest file that is read; 10485760." },
  prefix: { value: "text", text: "What ids begin with, before the path of the file." },
  id: { value: "id", text: "The id of the one text or file; that of standard input is made up." },
  sync: { text: "Also remove documents of these folders whose files are gone." },
  mode: { value: "mode", text: "hybrid, vector or text; hybrid." },
  "min-score": { value: "score", text: "Only passages with at least this score, 0 to 1." },
  neighbours: { value: "n", text: "How many passages before and after each come with it; 0." },
  "on-conflict": { value: "what", text: "replace, skip or error, where an id is there already; replace." },
  vectors: { text: "Also passages and their vectors, so that an import with the same model need not make them." },
  yes: { short: "y", text: "Do not ask." },
  json: { text: "JSON instead of text." },
  verbose: { text: "Errors with their stacks and causes." },
  help: { short: "h", text: "This text." },
  version: { short: "v", text: "The version." },
} as const satisfies Record<string, OptionSpec>;

/** The name of an option, without dashes. */
export type OptionName = keyof typeof OPTIONS;

/** What can be written after a command. */
export interface CommandSpec {
  /** What stands after the name, for the usage line. */
  operands: string;
  /** How many operands. */
  least: number;
  most: number;
  summary: string;
  details?: string;
  options: readonly OptionName[];
  /** What options mean here, where that is something else. */
  meanings?: Partial<Record<OptionName, string>>;
  examples: readonly string[];
}

const COMMON = ["store", "queue"] as const;
const PLACE = ["collection", "path"] as const;
const LAST = ["json", "verbose", "help"] as const;
/** The commands that work with vectors have `--model`. */
const MODEL = ["model"] as const;

/** All commands, in the order of the help. */
export const COMMANDS = {
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
  "memory add": {
    operands: "<file|folder|->...",
    least: 1,
    most: Number.POSITIVE_INFINITY,
    summary: "Add files, all text files of folders, or standard input (-) as documents",
    details: [
      "The id of a document is the path of its file, relative to the folder that was given: adding again replaces what",
      "changed and leaves what did not. Its metadata are path, name, extension, modified and folder, and what --metadata",
      "says. Left out are node_modules, names that begin with a dot, and files that are empty, no text or too large.",
      "",
      "A file that cannot be added is told of and the others go on; the exit code is 1 then. Ctrl-C keeps what was added.",
    ].join("\n"),
    options: ["glob", "exclude", "hidden", "max-bytes", "metadata", "prefix", "id", "sync", ...PLACE, ...MODEL, "quiet", ...LAST],
    meanings: { quiet: "No progress." },
    examples: [
      "npx master-agent memory add ./docs",
      'npx master-agent memory add . --glob "**/*.md" --exclude "CHANGELOG.md" --sync',
      'git log --oneline | npx master-agent memory add - --id git-log --metadata \'{"source":"git"}\'',
    ],
  },
  "memory search": {
    operands: "<query...>",
    least: 1,
    most: Number.POSITIVE_INFINITY,
    summary: "Find the passages that answer a question best",
    options: ["limit", "mode", "min-score", "filter", "neighbours", ...PLACE, ...MODEL, ...LAST],
    meanings: { limit: "Documents, 1 to 1000; 5." },
    examples: [
      'npx master-agent memory search "what happens when a worker dies"',
      'npx master-agent memory search leases --mode text --limit 3 --filter \'{"extension":"md"}\'',
    ],
  },
  "memory list": {
    operands: "",
    least: 0,
    most: 0,
    summary: "List documents",
    options: ["filter", "limit", "cursor", ...PLACE, ...LAST],
    meanings: { limit: "Documents of one page, 1 to 1000; 20." },
    examples: ["npx master-agent memory list", 'npx master-agent memory list --filter \'{"extension":"md"}\' --json'],
  },
  "memory get": {
    operands: "<id>",
    least: 1,
    most: 1,
    summary: "Show a document",
    options: [...PLACE, ...LAST],
    examples: ["npx master-agent memory get README.md", "npx master-agent memory get README.md --json | jq -r .document.text"],
  },
  "memory delete": {
    operands: "<id...>|--filter <json>",
    least: 0,
    most: Number.POSITIVE_INFINITY,
    summary: "Delete documents, by id or those that match; the latter asks first",
    options: ["filter", "yes", ...PLACE, ...LAST],
    examples: [
      "npx master-agent memory delete README.md notes/today.md",
      'npx master-agent memory delete --filter \'{"source":"git"}\' --yes',
    ],
  },
  "memory export": {
    operands: "<file|->",
    least: 1,
    most: 1,
    summary: "Write documents to a file, or to standard output, as JSONL",
    options: ["filter", "vectors", ...PLACE, "quiet", ...LAST],
    meanings: { quiet: "No progress." },
    examples: ["npx master-agent memory export documents.jsonl", "npx master-agent memory export - | gzip > documents.jsonl.gz"],
  },
  "memory import": {
    operands: "<file|->",
    least: 1,
    most: 1,
    summary: "Add the documents of a JSONL file, or of standard input: { id, text, metadata } a line",
    options: ["on-conflict", ...PLACE, ...MODEL, "quiet", ...LAST],
    meanings: { quiet: "No progress." },
    examples: ["npx master-agent memory import documents.jsonl --on-conflict skip"],
  },
  "memory stats": {
    operands: "",
    least: 0,
    most: 0,
    summary: "Show sizes, indexes and the model of a collection",
    options: [...PLACE, ...LAST],
    examples: ["npx master-agent memory stats"],
  },
  "memory collections": {
    operands: "",
    least: 0,
    most: 0,
    summary: "List the collections of a memory",
    options: ["path", ...LAST],
    examples: ["npx master-agent memory collections"],
  },
  "memory optimize": {
    operands: "",
    least: 0,
    most: 0,
    summary: "Compact files, bring indexes up to date and remove old versions, now",
    options: [...PLACE, "quiet", ...LAST],
    meanings: { quiet: "No progress." },
    examples: ["npx master-agent memory optimize"],
  },
  "memory reindex": {
    operands: "",
    least: 0,
    most: 0,
    summary: "Split and embed all documents anew, with this or another model",
    options: [...MODEL, ...PLACE, "quiet", ...LAST],
    meanings: { quiet: "No progress." },
    examples: ["npx master-agent memory reindex", "npx master-agent memory reindex --model bge-small-en-v1.5"],
  },
  "memory drop": {
    operands: "<collection>",
    least: 1,
    most: 1,
    summary: "Remove a collection with everything in it; asks first",
    options: ["yes", "path", ...LAST],
    examples: ["npx master-agent memory drop documents", "npx master-agent memory drop drafts --yes"],
  },
} as const satisfies Record<string, CommandSpec>;

/** The name of a command. */
export type CommandName = keyof typeof COMMANDS;

/** The names of all commands. */
export const NAMES = Object.keys(COMMANDS) as CommandName[];
/** First words of commands that have two. */
export const GROUPS = ["jobs", "memory"] as const;
/** One of them. */
export type Group = (typeof GROUPS)[number];

/** The commands of a group, by their second words. */
export const within = (group: Group): string[] =>
  NAMES.filter((one) => one.startsWith(`${group} `)).map((one) => one.slice(group.length + 1));

/** Whether a word is one of them. */
export const isGroup = (name: string): name is Group => GROUPS.some((one) => one === name);

function lines(pairs: readonly (readonly [string, string])[]): string {
  const room = Math.max(...pairs.map(([left]) => left.length)) + 2;
  return pairs.map(([left, right]) => `  ${left.padEnd(room)}${right}`).join("\n");
}

function optionLines(names: readonly OptionName[], meanings: CommandSpec["meanings"] = {}): string {
  return lines(
    names.map((name) => {
      const { value, short, text: meaning }: OptionSpec = OPTIONS[name];
      const written = `${short === undefined ? "" : `-${short}, `}--${name}${value === undefined ? "" : ` <${value}>`}`;
      return [written, meanings[name] ?? meaning];
    }),
  );
}

/** What there is. */
export function overview(): string {
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

/** What there is in a group. */
export function groupOverview(group: Group): string {
  const names = NAMES.filter((name) => name.startsWith(`${group} `));
  return [
    `Usage: master-agent ${group} <command> [options]`,
    "",
    "Commands:",
    lines(names.map((name) => [`${name} ${COMMANDS[name].operands}`.trimEnd(), COMMANDS[name].summary])),
    "",
    `master-agent ${group} <command> --help tells more of a command.`,
  ].join("\n");
}

/** What there is to a command. */
export function helpOf(name: CommandName): string {
  const command: CommandSpec = COMMANDS[name];
  return [
    `Usage: master-agent ${name} ${command.operands}`.trimEnd().concat(" [options]"),
    "",
    `${command.summary}.`,
    ...(command.details === undefined ? [] : ["", command.details]),
    "",
    "Options:",
    optionLines(command.options, command.meanings),
    "",
    "Examples:",
    ...command.examples.map((example) => `  $ ${example}`),
  ].join("\n");
}
