/** Programs as a user starts them: child processes whose lines can be waited for. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { userEnvironment } from "./environment.ts";

/** The root of the repository. */
export const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

/** How a program ended. */
export interface End {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

interface Settings {
  cwd: string;
  env?: Record<string, string> | undefined;
}

/** A program that runs. */
export class Program {
  readonly child: ChildProcess;
  readonly ended: Promise<End>;
  stdout = "";
  stderr = "";
  #over = false;
  readonly #waiting = new Set<() => void>();

  constructor(args: readonly string[], { cwd, env = {} }: Settings) {
    const child = spawn(process.execPath, args, { cwd, env: userEnvironment(env), stdio: ["ignore", "pipe", "pipe"] });
    this.child = child;
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
      this.#look();
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
      this.#look();
    });
    this.ended = new Promise((resolve) => {
      child.on("close", (code, signal) => {
        this.#over = true;
        this.#look();
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr });
      });
    });
  }

  #look(): void {
    for (const look of this.#waiting) {
      look();
    }
  }

  /** Waits until the program has written what matches; throws if it ends without. */
  async says(pattern: RegExp): Promise<RegExpMatchArray> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const match = this.stdout.match(pattern) ?? this.stderr.match(pattern);
        if (match !== null) {
          this.#waiting.delete(look);
          resolve(match);
        } else if (this.#over) {
          this.#waiting.delete(look);
          reject(new Error(`it ended and never said ${pattern}\n${this.stdout}\n${this.stderr}`));
        }
      };
      this.#waiting.add(look);
      look();
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Sends a signal until the program has ended: one that comes too soon after another is taken for the same key press. */
  async killUntilEnd(signal: NodeJS.Signals): Promise<End> {
    const timer = setInterval(() => this.kill(signal), 50);
    try {
      return await this.ended;
    } finally {
      clearInterval(timer);
    }
  }
}

/** A folder of its own for a test, and what was started in it. */
export class Bench {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), "master-agent-program-")));
  readonly store = join(this.folder, "store");
  readonly #programs: Program[] = [];

  /** Writes a file and gives its path. */
  file(name: string, text: string): string {
    const path = join(this.folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  start(args: readonly string[], env?: Record<string, string>): Program {
    const program = new Program(args, { cwd: this.folder, env });
    this.#programs.push(program);
    return program;
  }

  /** Starts the command line; its store is the one of this bench. */
  command(args: readonly string[], env: Record<string, string> = {}): Program {
    return this.start([join(root, "bin", "master-agent.js"), ...args], { APP_DATA_DIR: this.store, ...env });
  }

  /** Runs the command line to its end. */
  run(args: readonly string[], env?: Record<string, string>): Promise<End> {
    return this.command(args, env).ended;
  }

  /** Runs TypeScript of the repository. */
  script(path: string, args: readonly string[] = [], env: Record<string, string> = {}): Program {
    return this.start(["--import", import.meta.resolve("tsx"), join(root, path), ...args], { APP_DATA_DIR: this.store, ...env });
  }

  async remove(): Promise<void> {
    for (const program of this.#programs) {
      program.kill("SIGKILL");
      await program.ended;
    }
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  }
}
