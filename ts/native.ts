/**
 * The only file that loads the addon. What crosses the boundary is typed here; what is done with it
 * lives in `connection.ts` and `memory/client.ts`.
 */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { isMainThread } from "node:worker_threads";
import { MasterAgentError, type NativeError } from "./errors";

/** How a session of the addon is opened. */
export interface SessionOptions {
  /** The folder of the embedded store, absolute; not looked at where there is a `url`. */
  folder: string;
  /** The URL of a Redis server. */
  url?: string;
  /** How long an operation waits for a server that is away, in milliseconds. */
  timeout?: number;
  queue: string;
  durability: "process" | "power";
  /** How a worker of this session is shown. */
  name: string;
}

/** The native class. Every method is synchronous, cheap and returns at once. */
export interface Session {
  submit(request: number, jobs: string): void;
  settle(outcomes: string): void;
  request(request: number, body: string): void;
  wait(request: number, jobId: string): void;
  forget(request: number): void;
  alive(): void;
  drain(): string;
  /** Looks for some 20 µs whether there is something to drain; `wake` is not called from here until the next drain. */
  look(): boolean;
  shutdown(wait: boolean): void;
}

/** Opens a session; `wake` is called when there is something to drain, at most once until the next drain. */
export type OpenSession = (options: SessionOptions, wake: () => void) => Session;

/** A claimed job, as it comes: see {@link Field} for the places. */
export type ClaimedJob = [
  handle: number,
  id: number,
  key: string | null,
  taskId: string | null,
  agentType: string,
  attempt: number,
  stalls: number,
  parentTaskId: string | null,
  priority: number,
  addedAt: number,
  maxAttempts: number,
  metadata: unknown,
  input: unknown,
];

/** The end of a job, as it comes. */
export type EndedJob = [
  id: number,
  key: string | null,
  taskId: string | null,
  agentType: string,
  state: "completed" | "failed" | "cancelled" | "dead",
  attempts: number,
  addedAt: number,
  startedAt: number | null,
  finishedAt: number,
  parentTaskId: string | null,
  value: unknown,
];

/** An event, as it comes. */
export type NativeEvent = [
  type: "started" | "progress" | "completed" | "failed" | "retrying",
  id: number,
  key: string | null,
  taskId: string | null,
  agentType: string,
  attempt: number,
  at: number,
  value: unknown,
];

/** What `drain()` hands out. */
export type Message =
  | [kind: 0, request: number, error: NativeError | null, value: unknown]
  | [kind: 1, request: number, firstId: number, count: number]
  | [kind: 2, request: number, jobs: [id: number | string, existing: 0 | 1][]]
  | [kind: 3, request: number, error: NativeError]
  | [kind: 4, jobs: ClaimedJob[]]
  | [kind: 5, handle: number, error: NativeError]
  | [kind: 6, request: number, job: EndedJob]
  | [kind: 7, request: number, error: NativeError]
  | [kind: 8, events: NativeEvent[]]
  | [kind: 9, error: NativeError | null]
  | [kind: 10, warning: string];

/** Which model makes the vectors; `external`: a function of the user, whose vectors come with the calls. */
export type NativeModel =
  | { readonly kind: "bundled"; readonly folder: string }
  | { readonly kind: "folder"; readonly folder: string }
  | { readonly kind: "named"; readonly name: string; readonly cache: string }
  | {
      readonly kind: "external";
      readonly id: string;
      readonly dimensions: number | null;
      /** The longest passage, in tokens; that of the bundled model. */
      readonly maxTokens?: number;
      /** The folder of the model whose tokenizer counts them. */
      readonly tokenizer: string;
    };

/** How a memory of the addon is opened. */
export interface NativeMemoryOptions {
  /** Absolute. */
  readonly folder: string;
  readonly model: NativeModel;
  /** The file of ONNX Runtime; found if absent. */
  readonly runtime?: string;
  readonly readOnly?: boolean;
  readonly cacheBytes?: number;
  readonly maintenance?: boolean;
}

/** What a call of a memory answers; `error` and `value` are JSON. */
export interface NativeMemoryReply {
  readonly error?: string | null | undefined;
  readonly value?: string | null | undefined;
  readonly vectors?: Float32Array | null | undefined;
}

/** The native class of memory. Its promises do not reject. */
export interface NativeMemory {
  call(request: string, vectors?: Float32Array | null): Promise<NativeMemoryReply>;
  close(): Promise<void>;
}

/** Opens a memory, which touches nothing yet; `onEvent` gets JSON. */
export type OpenMemory = (options: string, onEvent: (event: string) => void) => NativeMemory;

interface Addon {
  Session: new (options: SessionOptions, wake: () => void) => Session;
  Memory: {
    new (options: string, onEvent: (event: string) => void): NativeMemory;
    /** Lets all threads out of the library that runs models, for the end of the process, which it ends itself if that takes too long. */
    leaveModels(status: number): void;
  };
}

let addon: Addon | undefined;
let override: OpenSession | undefined;
/** Whether models are left before the process ends. */
let leaving = false;
let memoryOverride: OpenMemory | undefined;

/** Opens a session of the addon, which is loaded at the first call. */
export function openSession(options: SessionOptions, wake: () => void): Session {
  if (override !== undefined) {
    return override(options, wake);
  }
  addon ??= load();
  return new addon.Session(options, wake);
}

/** Replaces the addon, for tests; returns what undoes it. */
export function replaceSession(open: OpenSession): () => void {
  const before = override;
  override = open;
  return () => {
    override = before;
  };
}

/** Opens a memory of the addon, which is loaded at the first call. */
export function openMemory(options: string, onEvent: (event: string) => void): NativeMemory {
  if (memoryOverride !== undefined) {
    return memoryOverride(options, onEvent);
  }
  addon ??= load();
  if (isMainThread && !leaving) {
    leaving = true;
    const { Memory } = addon;
    process.once("exit", (code) => Memory.leaveModels(code));
  }
  return new addon.Memory(options, onEvent);
}

/** Replaces the memory of the addon, for tests; returns what undoes it. */
export function replaceMemory(open: OpenMemory): () => void {
  const before = memoryOverride;
  memoryOverride = open;
  return () => {
    memoryOverride = before;
  };
}

const MODEL_PACKAGE = "master-agent-model-all-minilm-l6-v2";

/** The folder of the bundled model: that of its package, or of its source where this one is a checkout. */
export function bundledModelFolder(): string {
  try {
    return dirname(require.resolve(`${MODEL_PACKAGE}/package.json`));
  } catch {
    const source = join(__dirname, "..", "npm", MODEL_PACKAGE.replace("master-agent-", ""));
    // Where neither is, the error about it names the package to install.
    return existsSync(source) ? source : join(__dirname, "..", "..", MODEL_PACKAGE);
  }
}

function load(): Addon {
  try {
    return require("../binding.js") as Addon;
  } catch (cause) {
    const name = platformPackage();
    const reason = cause instanceof Error ? cause.message.split("\n", 1)[0] : String(cause);
    throw new MasterAgentError(
      "ERR_ADDON_LOAD",
      `The native part of master-agent for ${process.platform} ${process.arch} could not be loaded (${reason}). ` +
        `It comes with the package ${name}: install again without --omit=optional or --no-optional, on the platform ` +
        "that runs the program, and keep master-agent out of bundles (mark it as external).",
      { cause, details: { package: name, platform: process.platform, arch: process.arch } },
    );
  }
}

function platformPackage(): string {
  const base = `master-agent-${process.platform}-${process.arch}`;
  if (process.platform === "win32") {
    return `${base}-msvc`;
  }
  if (process.platform === "linux") {
    const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
    return `${base}-${report?.header?.glibcVersionRuntime === undefined ? "musl" : "gnu"}`;
  }
  return base;
}
