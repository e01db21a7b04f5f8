/** Runs what the documentation shows, as a user would: in a folder of its own, with the package as it is built. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { userEnvironment } from "../helpers/environment.ts";
import { root } from "./markdown.ts";

/** How long a program may take before it counts as one that does not end. */
const LIMIT_MS = 60_000;

/** How a program ended. */
export interface Outcome {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/** A folder outside of the repository in which `import "master-agent"` finds the package. */
export class Scratch {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), "master-agent-docs-")));

  constructor() {
    symlinkSync(join(root, "node_modules"), join(this.folder, "node_modules"), "junction");
    this.write("package.json", JSON.stringify({ private: true, type: "module" }));
  }

  /** Writes a file, with the folders that it is in, and gives its absolute path. */
  write(path: string, text: string): string {
    const absolute = join(this.folder, path);
    mkdirSync(join(absolute, ".."), { recursive: true });
    writeFileSync(absolute, text);
    return absolute;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

function start(args: string[], cwd: string, env: Record<string, string>): ChildProcess {
  return spawn(process.execPath, args, {
    cwd,
    env: userEnvironment({ NO_COLOR: "1", ...env }),
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function ended(child: ChildProcess): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    let stdout = "";
    let stderr = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

/** Runs a program to its end; one that does not end by itself is killed, which `signal` tells. */
export async function runNode(args: string[], cwd: string, env: Record<string, string> = {}): Promise<Outcome> {
  const child = start(args, cwd, env);
  const timer = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS);
  try {
    return await ended(child);
  } finally {
    clearTimeout(timer);
  }
}

/** A program that says when it works, and runs until it is told to end. */
export class Service {
  readonly #child: ChildProcess;
  readonly #outcome: Promise<Outcome>;
  readonly #speaks: Promise<unknown>;

  constructor(args: string[], cwd: string, env: Record<string, string> = {}) {
    this.#child = start(args, cwd, env);
    this.#outcome = ended(this.#child);
    this.#speaks = new Promise((resolve) => this.#child.stdout?.once("data", resolve));
  }

  /** Sends SIGTERM, once the program has said something, and waits for the end. */
  async end(): Promise<Outcome> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), LIMIT_MS);
    try {
      await Promise.race([this.#speaks, this.#outcome]);
      this.#child.kill("SIGTERM");
      return await this.#outcome;
    } finally {
      clearTimeout(timer);
    }
  }
}
