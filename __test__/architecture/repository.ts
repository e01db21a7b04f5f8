/** The repository as the tests of its structure see it. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the repository. */
export const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

/** The text of a file of the repository. */
export function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

/** The parsed JSON of a file of the repository. */
export function readJson<T = Record<string, unknown>>(path: string): T {
  return JSON.parse(read(path)) as T;
}

/** The names in a folder of the repository. */
export function list(path: string): string[] {
  return readdirSync(join(root, path)).sort();
}

/** A crate of the workspace with what its Cargo.toml names. */
export interface Crate {
  name: string;
  version: string;
  manifest_path: string;
  dependencies: { name: string; kind: "dev" | "build" | null; path?: string }[];
}

/** The crates of the workspace. */
export function crates(): Crate[] {
  const args = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
  const text = execFileSync("cargo", args, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 26,
    stdio: ["ignore", "pipe", "pipe"],
  });
  return (JSON.parse(text) as { packages: Crate[] }).packages;
}
