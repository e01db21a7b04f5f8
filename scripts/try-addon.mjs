// Tries an addon that was built elsewhere on the platform that it is for: bundles ts/, loads the package from the tree and runs
// one task through it. Needs no Rust.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildBundle } from "./build.mjs";
import { fail, root } from "./lib/env.mjs";
import { installPackages } from "./setup.mjs";

await installPackages();
if (!(await buildBundle())) fail("The bundle could not be built: see above.");

const folder = mkdtempSync(join(tmpdir(), "master-agent-try-"));
const { MasterAgent, registerSubAgent } = createRequire(import.meta.url)(root);
registerSubAgent({ agentType: "try", run: async (input) => ({ answer: input.query.toUpperCase() }) });
const master = new MasterAgent({ store: folder });
const { jobId } = await master.spawn({ agentType: "try", input: { query: "hello" } });
const result = await master.waitForJob(jobId, { timeout: 60_000 });
assert.equal(result.success, true);
assert.deepEqual(result.output, { answer: "HELLO" });
await master.close();
rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
process.stdout.write(`${process.platform} ${process.arch}, Node ${process.version}: the addon works\n`);
