/** Packs the packages as they would be published and installs them in an empty project outside of the repository. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { publishableAddon } from "../../scripts/build.mjs";
import { userEnvironment } from "../helpers/environment.ts";

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
  const { status, signal, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    env: userEnvironment(env),
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

/** Whether this machine lets any user take the network from a program. */
const isolates =
  process.platform === "linux" && spawnSync("unshare", ["--user", "--map-root-user", "--net", "true"]).status === 0;

/** Runs a script of the project where nothing can be fetched and nothing is at hand that was fetched before. */
export function offlineNode(args: string[], cwd: string): Outcome {
  const nowhere = "http://127.0.0.1:9";
  const proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].flatMap((name) => [name, name.toLowerCase()]);
  const env = { ...Object.fromEntries(proxies.map((name) => [name, nowhere])), NO_PROXY: "", HF_ENDPOINT: nowhere, HF_HOME: cwd };
  return isolates
    ? run("unshare", ["--user", "--map-root-user", "--net", process.execPath, ...args], cwd, env)
    : node(args, cwd, env);
}

/** Runs npm. Throws with its output when it fails. */
export function npm(args: string[], cwd: string): string {
  const { code, stdout, stderr } = run("npm", args, cwd);
  if (code !== 0) throw new Error(`npm ${args.join(" ")} failed:\n${stdout}${stderr}`);
  return stdout;
}

/** A tarball and what is in it. */
export interface Tarball {
  /** The name of the package. */
  name: string;
  path: string;
  files: string[];
  bytes: number;
  /** A file that an empty one stands for in the tarball, and where it is. */
  stands?: { package: string; file: string; for: string };
}

function pack(folder: string, destination: string): Tarball {
  const output = npm(["pack", "--json", "--ignore-scripts", "--pack-destination", destination], folder);
  const [packed] = JSON.parse(output.slice(output.indexOf("["))) as {
    name: string;
    filename: string;
    size: number;
    files: { path: string }[];
  }[];
  if (packed === undefined) throw new Error(`npm pack gave nothing for ${folder}`);
  const { name, filename, size, files } = packed;
  return { name, path: join(destination, filename), files: files.map(({ path }) => path).sort(), bytes: size };
}

/** A file where it is, or a copy of it on another disk. */
export function linkOrCopy(from: string, to: string): void {
  rmSync(to, { force: true });
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}

const manifest = (folder: string) => JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));

/** The folder of the bundled model in npm/, and its name. */
export const model = { folder: join(root, "npm", "model-all-minilm-l6-v2"), name: "master-agent-model-all-minilm-l6-v2" };

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

  /** The main package, with the dependency that publishing adds. */
  packMain(): Tarball {
    const plain = pack(root, this.folder);
    const copy = join(this.folder, "main");
    for (const file of plain.files) {
      mkdirSync(dirname(join(copy, file)), { recursive: true });
      copyFileSync(join(root, file), join(copy, file));
    }
    const own = manifest(copy);
    writeFileSync(join(copy, "package.json"), JSON.stringify({ ...own, dependencies: { [model.name]: own.version } }, null, 2));
    return { ...pack(copy, this.folder), files: plain.files };
  }

  packModel(): Tarball {
    return pack(model.folder, this.folder);
  }

  /** The package of this platform. The everyday addon is ten times what is published: an empty file stands for it in the tarball. */
  async packPlatform(): Promise<Tarball> {
    const copy = join(this.folder, "platform");
    cpSync(join(root, "npm", platformFolder()), copy, { recursive: true });
    const { name, main, files } = manifest(copy) as { name: string; main: string; files: string[] };
    const folder = await publishableAddon();
    const whole = basename(folder) === "release";
    if (whole) copyFileSync(join(folder, main), join(copy, main));
    else writeFileSync(join(copy, main), "");
    // ONNX Runtime, which lies at the root.
    for (const other of files.filter((file) => file !== main)) copyFileSync(join(root, other), join(copy, other));
    copyFileSync(join(root, "LICENSE"), join(copy, "LICENSE"));
    const packed = pack(copy, this.folder);
    return whole ? packed : { ...packed, stands: { package: name, file: main, for: join(folder, main) } };
  }

  #project(): string {
    this.#count += 1;
    const project = join(this.folder, `project-${this.#count}`);
    mkdirSync(project);
    writeFileSync(join(project, "package.json"), JSON.stringify({ name: "project", version: "1.0.0", private: true }));
    return project;
  }

  /** An empty project in which `tarballs` are installed, without any network. */
  install(tarballs: Tarball[]): string {
    const project = this.#project();
    // A cache of its own: that of the user would keep every tarball of every run.
    const flags = ["--offline", "--no-audit", "--no-fund", "--cache", join(this.folder, "cache")];
    npm(["install", ...flags, ...tarballs.map(({ path }) => path)], project);
    for (const { stands } of tarballs)
      if (stands) linkOrCopy(stands.for, join(project, "node_modules", stands.package, stands.file));
    return project;
  }

  /** A project with the packages of another but `missing`. */
  without(missing: string, other: string): string {
    const project = this.#project();
    const from = join(other, "node_modules");
    for (const name of readdirSync(from).filter((found) => found.startsWith("master-agent") && found !== missing))
      for (const entry of readdirSync(join(from, name), { recursive: true, withFileTypes: true }).filter((found) =>
        found.isFile(),
      )) {
        const to = join(project, "node_modules", relative(from, entry.parentPath));
        mkdirSync(to, { recursive: true });
        linkOrCopy(join(entry.parentPath, entry.name), join(to, entry.name));
      }
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
