/** Configuration: the option, then the environment variable, then the default. */
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { isMainThread, threadId } from "node:worker_threads";
import { invalid } from "./errors";
import { integer, name, oneOf, QUEUE_NAME, show, time } from "./options";
import type { ConnectionOptions, WorkerOptions } from "./types";

/** Where and how a connection stores. */
export interface StoreConfig {
  /** Absolute path of the store's folder. */
  folder: string;
  queue: string;
  durability: "process" | "power";
  name: string;
}

/** How a worker works. */
export interface WorkerConfig {
  concurrency: number;
  lease: number;
  stallTimeout: number;
}

/** The place of the store, from `store`, `APP_DATA_DIR` or `./data`. */
export function storeConfig(given: ConnectionOptions, field = "options"): StoreConfig {
  const { store, queue, durability } = given;
  return {
    folder: storeFolder(store, field),
    queue: queue === undefined ? QUEUE_NAME : name(queue, `${field}.queue`),
    durability: durability === undefined ? "process" : oneOf(durability, `${field}.durability`, ["process", "power"]),
    name: given.name === undefined ? defaultName() : name(given.name, `${field}.name`),
  };
}

function storeFolder(store: unknown, field: string): string {
  if (store === undefined || store === "embedded") {
    return resolve(process.env.APP_DATA_DIR || join(process.cwd(), "data"));
  }
  if (typeof store !== "string" || store.length === 0) {
    throw invalid(`${field}.store`, `must be "embedded" or the path of a folder, not ${show(store)}`);
  }
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(store)) {
    throw invalid(`${field}.store`, `${show(store)} is not supported by this version; use "embedded" or the path of a folder`);
  }
  if (store.includes("\0") || !store.isWellFormed()) {
    throw invalid(`${field}.store`, "contains characters that no path can have");
  }
  return resolve(store);
}

function defaultName(): string {
  return `${hostname()}:${process.pid}${isMainThread ? "" : `.${threadId}`}`.slice(0, 255);
}

/** Concurrency and times of a worker, from the options, `WORKER_CONCURRENCY` and `WORKER_LEASE_MS`, or 5, 3 s and 60 s. */
export function workerConfig(given: WorkerOptions, field = "options"): WorkerConfig {
  const { concurrency, lease, stallTimeout } = given;
  return {
    concurrency:
      concurrency === undefined
        ? fromEnvironment("WORKER_CONCURRENCY", 5, (value, from) => integer(value, from, 1, 100_000))
        : integer(concurrency, `${field}.concurrency`, 1, 100_000),
    lease:
      lease === undefined
        ? fromEnvironment("WORKER_LEASE_MS", 3_000, (value, from) => time(value, from, 100, 86_400_000))
        : time(lease, `${field}.lease`, 100, 86_400_000),
    stallTimeout: stallTimeout === undefined ? 60_000 : time(stallTimeout, `${field}.stallTimeout`, 100, 86_400_000),
  };
}

function fromEnvironment(variable: string, fallback: number, check: (value: unknown, field: string) => number): number {
  const text = process.env[variable];
  return text === undefined || text.trim() === "" ? fallback : check(Number(text), `environment variable ${variable}`);
}
