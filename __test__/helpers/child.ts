/** Processes of a test's own: a worker that is told what to do, and scripts that run to their end. */
import assert from "node:assert/strict";
import { type ChildProcess, fork, spawn } from "node:child_process";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { MasterAgentOptions, RegisterOptions } from "master-agent";
import { afterwards } from "./cleanup.ts";
import { userEnvironment } from "./environment.ts";
import { PATIENCE } from "./long.ts";

const here = dirname(fileURLToPath(import.meta.url));
const packageUrl = pathToFileURL(join(here, "..", "..", "index.mjs")).href;

/** How a process ended. */
export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** Anything that a process sends. */
export interface Message {
  type: string;
  [member: string]: unknown;
}

/** An error as it comes from another process. */
export interface RemoteError {
  name: string;
  code?: string;
  message: string;
  details?: Record<string, unknown>;
}

/** A call in another process failed. */
export class CallFailed extends Error {
  readonly code: string | undefined;
  readonly details: Record<string, unknown> | undefined;

  constructor(error: RemoteError) {
    super(error.message);
    this.code = error.code;
    this.details = error.details;
  }
}

/** What a worker process is made with. */
export interface WorkerSetup {
  /** Its store: a folder, or the address of a Redis. */
  folder: string;
  /** The file of the ledger. */
  ledger?: string;
  master?: MasterAgentOptions;
  /** The sub-agents of fixtures/worker.mjs that it registers; all. */
  agents?: Record<string, RegisterOptions>;
  /** Whether it calls `start()`; `true`. */
  start?: boolean;
}

/** A process that runs fixtures/worker.mjs. */
export class WorkerProcess {
  readonly exited: Promise<Exit>;
  readonly #process: ChildProcess;
  readonly #messages: Message[] = [];
  #listeners: (() => void)[] = [];
  #exit: Exit | undefined;
  #calls = 0;
  #errors = "";

  constructor(setup: WorkerSetup, options: { uid?: number; execArgv?: string[] } = {}) {
    this.#process = fork(join(here, "fixtures", "worker.mjs"), [JSON.stringify(setup)], {
      env: userEnvironment(),
      execArgv: options.execArgv ?? [],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      ...(options.uid === undefined ? {} : { uid: options.uid, cwd: "/" }),
    });
    this.#process.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#errors += text;
    });
    this.#process.on("message", (message: Message) => {
      this.#messages.push(message);
      this.#notify();
    });
    this.exited = new Promise((resolve) => {
      this.#process.on("exit", (code, signal) => {
        this.#exit = { code, signal };
        this.#notify();
        resolve(this.#exit);
      });
    });
    // A message to a process that is just being killed is lost, as it should be.
    this.#process.on("error", () => {});
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** Whether it still runs. */
  get alive(): boolean {
    return this.#exit === undefined;
  }

  /** Everything that it sent and nobody took. */
  get messages(): readonly Message[] {
    return this.#messages;
  }

  /** What it wrote to its standard error. */
  get errors(): string {
    return this.#errors;
  }

  #notify(): void {
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) {
      listener();
    }
  }

  /** Takes the next message that fits. Fails if the process ends before it comes. */
  async next(fits: string | ((message: Message) => boolean), limit = PATIENCE): Promise<Message> {
    const matches = typeof fits === "string" ? (message: Message) => message.type === fits : fits;
    const end = performance.now() + limit;
    for (;;) {
      const index = this.#messages.findIndex(matches);
      if (index >= 0) {
        return this.#messages.splice(index, 1)[0] as Message;
      }
      if (this.#exit !== undefined) {
        throw new Error(`the process ended (${JSON.stringify(this.#exit)}) before it sent ${fits}: ${this.#errors}`);
      }
      if (performance.now() > end) {
        throw new Error(`no message ${fits} within ${limit} ms: ${this.#errors}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.max(1, end - performance.now()));
        this.#listeners.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  send(message: Message): void {
    if (this.#process.connected) {
      this.#process.send(message);
    }
  }

  /** Calls a method of the master or the queue of the process. */
  async call<T = unknown>(target: "master" | "queue", method: string, ...args: unknown[]): Promise<T> {
    this.#calls += 1;
    const id = this.#calls;
    this.send({ type: "call", id, target, method, args });
    const reply = await this.next((message) => message.type === "reply" && message.id === id);
    if (reply.error !== undefined) {
      throw new CallFailed(reply.error as RemoteError);
    }
    return reply.value as T;
  }

  /** Ends it with a signal and waits until it is gone. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<Exit> {
    this.#process.kill(signal);
    return this.exited;
  }

  /** Lets it close and end. */
  async end(): Promise<Exit> {
    this.send({ type: "end" });
    return this.exited;
  }
}

/** Starts a worker process that is ready when this resolves, and gone when the test has ended. */
export async function workerProcess(
  t: TestContext,
  setup: WorkerSetup,
  options?: { uid?: number; execArgv?: string[] },
): Promise<WorkerProcess> {
  const worker = new WorkerProcess(setup, options);
  afterwards(t, async () => {
    await worker.kill();
    assert.doesNotMatch(worker.errors, /panicked|ERR_INTERNAL/);
  });
  await worker.next("ready");
  return worker;
}

/** How a script ended. */
export interface ScriptEnd extends Exit {
  stdout: string;
  stderr: string;
  /** The lines of its standard output as JSON. */
  lines: unknown[];
}

export interface ScriptOptions {
  env?: NodeJS.ProcessEnv;
  execArgv?: string[];
  uid?: number;
  cwd?: string;
  /** A program and its arguments before Node, such as `prlimit --fsize=…`. */
  through?: string[];
  /** Called with what the script prints. */
  onLine?: (line: string, child: ChildProcess) => void;
  /** Milliseconds after which it counts as hanging. */
  limit?: number;
}

/**
 * Runs an ES module to its end. It finds the exports of the package in `api`, `say(value)` prints a line of JSON, and
 * `args` are the given ones.
 */
export function script(
  t: TestContext,
  source: string,
  args: readonly unknown[] = [],
  options: ScriptOptions = {},
): Promise<ScriptEnd> {
  const text = `
    import { writeSync } from "node:fs";
    import * as api from ${JSON.stringify(packageUrl)};
    const args = ${JSON.stringify(args)};
    const say = (value) => writeSync(1, JSON.stringify(value) + "\\n");
    ${source}
  `;
  const [program, ...before] = [...(options.through ?? []), process.execPath];
  const flags = [...(options.execArgv ?? []), "--input-type=module", "--eval", text];
  const child = spawn(program as string, [...before, ...flags], {
    env: userEnvironment(options.env),
    stdio: ["ignore", "pipe", "pipe"],
    cwd: options.cwd ?? (options.uid === undefined ? here : "/"),
    ...(options.uid === undefined ? {} : { uid: options.uid }),
  });
  afterwards(t, () => child.kill("SIGKILL"));
  return new Promise((resolve, reject) => {
    let stdout = "";
    let stderr = "";
    let seen = 0;
    const limit = options.limit ?? 2 * PATIENCE;
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`the script did not end within ${limit} ms; it printed: ${stdout}\n${stderr}`));
    }, limit);
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      stdout += chunk;
      for (let end = stdout.indexOf("\n", seen); end >= 0; end = stdout.indexOf("\n", seen)) {
        options.onLine?.(stdout.slice(seen, end), child);
        seen = end + 1;
      }
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      stderr += chunk;
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      const lines = stdout
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as unknown);
      resolve({ code, signal, stdout, stderr, lines });
    });
  });
}
