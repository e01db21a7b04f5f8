/** Places for stores, one for each test, that are gone when it has ended. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type RedisProcess, startRedis } from "../../scripts/lib/redis.mjs";
import { afterwards } from "./cleanup.ts";

const remove = (folder: string): void => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
const newFolder = (): string => mkdtempSync(join(tmpdir(), "master-agent-"));

/** A new empty folder. */
export function folderFor(t: TestContext): string {
  const folder = newFolder();
  afterwards(t, () => remove(folder));
  return folder;
}

/** Whether the tests that use `storeFor` run on Redis; `npm test` runs them on both stores. */
export const onRedis = process.env.MASTER_AGENT_TEST_STORE === "redis";

/** The server of a test file: its tests have a database each. */
async function server(): Promise<RedisProcess> {
  const folder = newFolder();
  process.on("exit", () => remove(folder));
  return startRedis({ folder, args: ["--save", "", "--appendonly", "yes", "--databases", 10_000] });
}

const redis = onRedis ? await server() : undefined;
let databases = 0;

/** A new empty store, as the option `store` takes it: a folder, or a database of Redis. */
export function storeFor(t: TestContext): string {
  if (redis === undefined) {
    return folderFor(t);
  }
  databases += 1;
  return `redis://127.0.0.1:${redis.port}/${databases}`;
}
