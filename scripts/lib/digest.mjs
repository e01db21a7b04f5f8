// Fingerprints of files, so that a step is left out when nothing that it reads has changed.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { root } from "./env.mjs";

/** All files below `path` (or the file itself), relative to the root, in a fixed order; nothing if it does not exist. */
export function filesOf(path, skip = /(^|\/)(node_modules|target|dist|\.git)(\/|$)/) {
  const stat = statSync(join(root, path), { throwIfNoEntry: false });
  if (!stat) return [];
  if (stat.isFile()) return [path];
  return readdirSync(join(root, path))
    .sort()
    .flatMap((name) => (skip.test(`${path}/${name}`) ? [] : filesOf(`${path}/${name}`, skip)));
}

/** A fingerprint of the contents of `paths` and of the strings in `more`. */
export function digest(paths, more = []) {
  const hash = createHash("sha256");
  for (const text of more) hash.update(`${text}\0`);
  for (const file of paths.flatMap((path) => filesOf(path)))
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(root, file)))
      .update("\0");
  return hash.digest("hex");
}

/** The text of a file relative to the root, or undefined. */
export function read(path) {
  try {
    return readFileSync(join(root, path), "utf8");
  } catch (error) {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw error;
  }
}

/** Writes a file in one step, so that nobody sees half of it, and only when its text differs. Says whether it did. */
export function write(path, text) {
  if (read(path) === text) return false;
  const full = join(root, path);
  mkdirSync(dirname(full), { recursive: true });
  const half = `${full}.${process.pid}.tmp`;
  writeFileSync(half, text);
  renameSync(half, full);
  return true;
}
