/** A process that runs its own tasks stays until their news has come, also where nothing but an event is awaited. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

const entry = pathToFileURL(join(import.meta.dirname, "..", "..", "index.mjs")).href;

const source = `
  import { MasterAgent, registerSubAgent } from ${JSON.stringify(entry)};
  registerSubAgent({ agentType: "a", async run() { return 1; } });
  const master = new MasterAgent({ store: process.argv[1] });
  const completed = new Promise((resolve) => master.on("task:completed", resolve));
  await master.spawn({ agentType: "a" });
  await completed;
  console.log("completed");
`;

test("an event of a task that was spawned here is waited for", () => {
  for (let round = 0; round < 10; round++) {
    const store = mkdtempSync(join(tmpdir(), "master-agent-held-"));
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", source, store], {
      encoding: "utf8",
    });
    rmSync(store, { recursive: true, force: true });
    assert.deepEqual([status, stdout.trim()], [0, "completed"], stderr);
  }
});
