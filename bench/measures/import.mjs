// What importing the package costs a process.
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { median } from "../lib/stats.mjs";

const PROCESSES = 20;
const run = promisify(execFile);

const tell = "process.stdout.write(JSON.stringify({ ms, mib: process.memoryUsage.rss() / 2 ** 20 }));";

/** Scripts that tell how long their work took and how large the process is after it. */
const scripts = (directory, folder) => ({
  "empty.cjs": `const ms = 0; ${tell}`,
  "empty.mjs": `const ms = 0; ${tell}`,
  "require.cjs": `const t = performance.now(); require(${JSON.stringify(directory)}); const ms = performance.now() - t; ${tell}`,
  "import.mjs": `const t = performance.now(); await import(${JSON.stringify(pathToFileURL(join(directory, "index.mjs")).href)}); const ms = performance.now() - t; ${tell}`,
  // With the addon, which is loaded by the first call, and a store that is made anew.
  "first.cjs": `const t = performance.now();
    const { TaskQueue } = require(${JSON.stringify(directory)});
    const queue = new TaskQueue({ store: ${JSON.stringify(folder)} + "/" + process.pid });
    queue.add("bench", { hello: "world" }).then(() => { const ms = performance.now() - t; ${tell} process.exit(); });`,
});

export default [
  {
    name: "import",
    title: "import of the package against an empty script, medians of 20 processes each",
    // The processes that it starts would be taken for other programs.
    spawns: true,
    metrics: {
      require: { label: "require", unit: "ms", most: 30 },
      import: { label: "import", unit: "ms", most: 30 },
      requireMemory: { label: "require, memory", unit: "MiB", most: 20 },
      importMemory: { label: "import, memory", unit: "MiB", most: 20 },
      first: { label: "require, addon, new store and the first job", unit: "ms" },
      firstMemory: { label: "the same, memory", unit: "MiB" },
    },
    async run({ directory, folder }) {
      const samples = {};
      const all = scripts(directory, folder);
      for (const [name, text] of Object.entries(all)) {
        writeFileSync(join(folder, name), text);
        samples[name] = [];
      }
      // In turn, so that a disturbance meets all of them. The first round fills the caches of the file system.
      for (let round = 0; round <= PROCESSES; round++) {
        for (const name of Object.keys(all)) {
          const { stdout } = await run(process.execPath, [join(folder, name)], { cwd: folder });
          if (round > 0) samples[name].push(JSON.parse(stdout));
        }
      }
      const ms = (name) => median(samples[name].map((sample) => sample.ms));
      const mib = (name) => median(samples[name].map((sample) => sample.mib));
      return {
        require: ms("require.cjs"),
        import: ms("import.mjs"),
        requireMemory: mib("require.cjs") - mib("empty.cjs"),
        importMemory: mib("import.mjs") - mib("empty.mjs"),
        first: ms("first.cjs"),
        firstMemory: mib("first.cjs") - mib("empty.cjs"),
      };
    },
  },
];
