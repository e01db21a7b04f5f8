/** Configuration: the option, then the environment variable, then the default. */
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { isMainThread, threadId } from "node:worker_threads";
import { invalid } from "./errors";
import { integer, name, oneOf, QUEUE_NAME, show, time } from "./options";
import type { ConnectionOptions, WorkerOptions } from "./types";

/** Where and how a connection stores. */
export interface StoreConfig {
  /** Absolute path of the embedded store's folder, or the URL of a server without its password: how the store is shown. */
  folder: string;
  /** The URL of a Redis server, where the store is one. */
  url?: string;
  /** How long an operation waits for a server that is away, in milliseconds. */
  timeout?: number;
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

/** The place of the store, from `store`, `REDIS_URL`, `REDIS_HOST`, `APP_DATA_DIR` or `./data`. */
export function storeConfig(given: ConnectionOptions, field = "options"): StoreConfig {
  const { queue, durability, enqueueTimeout } = given;
  const store = given.store ?? redisFromEnvironment();
  const url =
    typeof store === "string" && SCHEME.test(store)
      ? redisUrl(store, given.store === undefined ? "REDIS_URL" : `${field}.store`)
      : undefined;
  const timeout = enqueueTimeout === undefined ? undefined : time(enqueueTimeout, `${field}.enqueueTimeout`, 100, 3_600_000);
  return {
    folder: url === undefined ? storeFolder(store, field) : withoutPassword(url),
    ...(url === undefined ? {} : { url, ...(timeout === undefined ? {} : { timeout }) }),
    queue: queue === undefined ? QUEUE_NAME : name(queue, `${field}.queue`),
    durability: durability === undefined ? "process" : oneOf(durability, `${field}.durability`, ["process", "power"]),
    name: given.name === undefined ? defaultName() : name(given.name, `${field}.name`),
  };
}

const SCHEME = /^[a-z][a-z0-9+.-]+:\/\//i;
const REDIS = /^(redis|rediss|valkey|valkeys|unix|redis\+unix|rediss?\+(sentinel|cluster)):\/\/./i;

function redisUrl(url: string, field: string): string {
  if (!REDIS.test(url) || !url.isWellFormed() || url.includes("\0")) {
    throw invalid(
      field,
      `${show(withoutPassword(url))} is not supported; use "embedded", the path of a folder, or a URL that begins with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://`,
    );
  }
  return url;
}

/** As `shown` of the Redis store: a password may have any character, and that of a socket comes behind its path. */
function withoutPassword(url: string): string {
  const start = url.indexOf("://") + 3;
  const scheme = url.slice(0, start);
  const from = scheme.includes("unix") ? start : Math.max(start, url.lastIndexOf("@") + 1);
  return scheme + url.slice(from).split("?", 1)[0];
}

/** The server that the environment names, if it names one. */
function redisFromEnvironment(): string | undefined {
  const { REDIS_URL, REDIS_HOST, REDIS_PORT, REDIS_PASSWORD } = process.env;
  if (REDIS_URL) {
    return REDIS_URL;
  }
  if (!REDIS_HOST) {
    return undefined;
  }
  const port = REDIS_PORT ? integer(Number(REDIS_PORT), "environment variable REDIS_PORT", 1, 65_535) : 6_379;
  const host = REDIS_HOST.includes(":") ? `[${REDIS_HOST}]` : REDIS_HOST;
  return `redis://${REDIS_PASSWORD ? `:${encodeURIComponent(REDIS_PASSWORD)}@` : ""}${host}:${port}`;
}

function storeFolder(store: unknown, field: string): string {
  if (store === undefined || store === "embedded") {
    return resolve(process.env.APP_DATA_DIR || join(process.cwd(), "data"));
  }
  if (typeof store !== "string" || store.length === 0) {
    throw invalid(`${field}.store`, `must be "embedded", the path of a folder or the URL of a Redis server, not ${show(store)}`);
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
