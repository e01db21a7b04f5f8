/** Folders for stores, one for each test, that are gone when it has ended. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { afterwards } from "./cleanup.ts";

/** A new empty folder. */
export function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "master-agent-"));
  afterwards(t, () => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }));
  return folder;
}
