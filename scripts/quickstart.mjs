// The quickstart on a fresh clone: sets up, builds, and runs examples/quickstart.ts.
import { spawn } from "node:child_process";
import { build } from "./build.mjs";
import { fail, root } from "./lib/env.mjs";
import { setup } from "./setup.mjs";

await setup();
if (!(await build())) fail("The build failed: see above.");
// Its own terminal: the example draws a progress bar on one.
const child = spawn(process.execPath, ["--import", "tsx", "examples/quickstart.ts", ...process.argv.slice(2)], {
  cwd: root,
  stdio: "inherit",
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
child.on("close", (code, signal) => {
  process.exitCode = code ?? (signal === "SIGINT" ? 130 : 143);
});
