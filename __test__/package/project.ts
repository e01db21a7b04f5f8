/** Packs the packages as they would be published and installs them in an empty project outside of the repository. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { publishableAddon } from "../../scripts/build.mjs";

/** The root of the repository. */
export const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

const windows = process.platform === "win32";

/** How a program ended. */
export interface Outcome {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end; one that does not end by itself within two minutes is killed, which `signal` tells. */
export function run(command: string, args: string[], cwd: string, env: Record<string, string> = {}): Outcome {
  const inherited = { ...process.env };
  // What the machine or the test runner sets is not what a user has.
  for (const name of ["APP_DATA_DIR", "WORKER_CONCURRENCY", "WORKER_LEASE_MS", "NODE_OPTIONS", "NODE_TEST_CONTEXT", "NODE_PATH"])
    delete inherited[name];
  const { status, signal, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    env: { ...inherited, ...env },
    encoding: "utf8",
    maxBuffer: 1 << 26,
    timeout: 120_000,
    killSignal: "SIGKILL",
    shell: windows && command === "npm",
  });
  if (error && (error as NodeJS.ErrnoException).code !== "ETIMEDOUT") throw error;
  return { code: status, signal, stdout, stderr };
}

/** Runs a script of the project. */
export function node(args: string[], cwd: string, env?: Record<string, string>): Outcome {
  return run(process.execPath, args, cwd, env);
}

/** Runs npm. Throws with its output when it fails. */
export function npm(args: string[], cwd: string): string {
  const { code, stdout, stderr } = run("npm", args, cwd);
  if (code !== 0) throw new Error(`npm ${args.join(" ")} failed:\n${stdout}${stderr}`);
  return stdout;
}

/** A tarball and what is in it. */
export interface Tarball {
  path: string;
  files: string[];
}

function pack(folder: string, destination: string): Tarball {
  const output = npm(["pack", "--json", "--ignore-scripts", "--pack-destination", destination], folder);
  const [packed] = JSON.parse(output.slice(output.indexOf("["))) as { filename: string; files: { path: string }[] }[];
  if (packed === undefined) throw new Error(`npm pack gave nothing for ${folder}`);
  return { path: join(destination, packed.filename), files: packed.files.map(({ path }) => path).sort() };
}

/** The folder in npm/ for this machine. */
export function platformFolder(): string {
  const { platform, arch } = process;
  if (platform === "win32") return `win32-${arch}-msvc`;
  if (platform !== "linux") return `${platform}-${arch}`;
  const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
  return `linux-${arch}-${header.glibcVersionRuntime === undefined ? "musl" : "gnu"}`;
}

/** A place outside of the repository for packing and installing. */
export class Scratch {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), "master-agent-package-")));
  #count = 0;

  packMain(): Tarball {
    return pack(root, this.folder);
  }

  async packPlatform(): Promise<Tarball> {
    const copy = join(this.folder, "platform");
    cpSync(join(root, "npm", platformFolder()), copy, { recursive: true });
    const { main, files } = JSON.parse(readFileSync(join(copy, "package.json"), "utf8")) as { main: string; files: string[] };
    copyFileSync(join(await publishableAddon(), main), join(copy, main));
    // ONNX Runtime, which lies at the root.
    for (const name of files.filter((name) => name !== main)) copyFileSync(join(root, name), join(copy, name));
    copyFileSync(join(root, "LICENSE"), join(copy, "LICENSE"));
    return pack(copy, this.folder);
  }

  /** An empty project in which `tarballs` are installed, without any network. */
  install(tarballs: Tarball[]): string {
    this.#count += 1;
    const project = join(this.folder, `project-${this.#count}`);
    mkdirSync(project);
    writeFileSync(join(project, "package.json"), JSON.stringify({ name: "project", version: "1.0.0", private: true }));
    npm(["install", "--offline", "--no-audit", "--no-fund", ...tarballs.map(({ path }) => path)], project);
    return project;
  }

  /** Gives a project the TypeScript and the types of Node that the repository uses. */
  addTypeScript(project: string): void {
    mkdirSync(join(project, "node_modules", "@types"), { recursive: true });
    for (const name of ["typescript", "@types/node", "undici-types"])
      symlinkSync(join(root, "node_modules", name), join(project, "node_modules", name), "junction");
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Runs a JavaScript tool of the repository. Throws with its output when it fails. */
export function repositoryTool(path: string, args: string[], cwd: string): string {
  return execFileSync(process.execPath, [join(root, "node_modules", path), ...args], {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
}
