/** Where a memory is, and with which model: the option, then the environment variable, then the default. */
import { join, resolve } from "node:path";
import { invalid } from "../errors";
import { show } from "../options";

/** The collection of calls that do not name one. */
export const DEFAULT_COLLECTION = "documents";

/** The absolute path of a memory's folder. */
export function memoryFolder(path: unknown, field: string): string {
  if (path !== undefined) {
    return folderPath(path, field);
  }
  const { LANCEDB_PATH, APP_DATA_DIR } = process.env;
  if (LANCEDB_PATH) {
    return folderPath(LANCEDB_PATH, "environment variable LANCEDB_PATH");
  }
  return resolve(APP_DATA_DIR || join(process.cwd(), "data"), "lancedb");
}

/** Where models are kept that were fetched. */
export function modelCache(path: unknown, field: string): string {
  return path === undefined
    ? resolve(process.env.APP_DATA_DIR || join(process.cwd(), "data"), "models")
    : folderPath(path, field);
}

/** A path of the local file system, absolute. */
export function folderPath(path: unknown, field: string): string {
  if (typeof path !== "string" || path.length === 0) {
    throw invalid(field, `must be a path, not ${path === "" ? "an empty text" : show(path)}`);
  }
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(path)) {
    throw invalid(field, `${show(path)} is not supported: it must be a path of this machine`);
  }
  if (path.includes("\0") || !path.isWellFormed()) {
    throw invalid(field, "contains characters that no path can have");
  }
  return resolve(path);
}

/** The name of a collection. */
export function collectionName(value: unknown, field: string): string {
  if (typeof value !== "string" || !/^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}$/.test(value)) {
    const rule = 'must be 1 to 128 letters (A-Z, a-z), digits, "_", "-" or ".", and not begin with "."';
    throw invalid(field, `${rule}, not ${show(value)}`);
  }
  return value;
}
