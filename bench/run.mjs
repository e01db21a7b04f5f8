// Measures the package: `npm run bench -- [options]`. See README.md beside this file.
import { fork, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { busyClock, load, machine, quiet } from "./lib/machine.mjs";
import { copyPackage } from "./lib/package.mjs";
import { machineLine, met, section } from "./lib/report.mjs";
import { median, summary } from "./lib/stats.mjs";
import { measures } from "./measures/index.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(here);

const { values: options } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    runs: { type: "string", default: "5" },
    json: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
    wait: { type: "string", default: "60" },
    calm: { type: "string" },
    folder: { type: "string", default: tmpdir() },
    package: { type: "string" },
    against: { type: "string" },
    out: { type: "string", default: join(here, "results.json") },
  },
});

const say = (text) => process.stderr.write(`${text}\n`);

function fail(message) {
  say(message);
  process.exit(1);
}

function selected() {
  const names = (options.only ?? []).flatMap((names) => names.split(","));
  if (names.length === 0) return measures;
  const found = measures.filter(({ name }) =>
    names.some((wanted) => (wanted.endsWith("*") ? name.startsWith(wanted.slice(0, -1)) : name === wanted)),
  );
  if (found.length === 0)
    fail(`No measure is named ${names.join(", ")}. There are: ${measures.map(({ name }) => name).join(", ")}.`);
  return found;
}

const number = (name, least) => {
  const value = Number(options[name]);
  if (!(value >= least)) fail(`--${name} must be a number of at least ${least}, not ${options[name]}`);
  return value;
};

/** Builds the release addon if it is stale. Nothing of it goes to standard output. */
function build() {
  const { status } = spawnSync(process.execPath, [join(root, "scripts", "build.mjs"), "--release"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (status !== 0) fail("The build failed: see above.");
}

/** One run in a fresh process and an empty folder. */
async function runOnce(measure, directory) {
  const folder = mkdtempSync(join(resolve(options.folder), "master-agent-bench-"));
  const clock = busyClock();
  try {
    const child = fork(join(here, "child.mjs"), [measure.name, directory, folder], {
      execArgv: measure.flags ?? [],
      stdio: ["ignore", 2, 2, "ipc"],
    });
    let answer;
    child.on("message", (message) => {
      answer = message;
    });
    // A run that hangs is a result too, and no reason to wait for ever.
    const limit = setTimeout(() => child.kill("SIGKILL"), (measure.minutes ?? (measure.slow ? 20 : 3)) * 60_000);
    const [code, signal] = await once(child, "exit");
    clearTimeout(limit);
    if (answer === undefined || code !== 0)
      throw new Error(`${measure.name} ended with ${signal ?? code} and ${answer ? "an" : "no"} answer`);
    const { busy, seconds } = clock();
    return { ...answer, others: measure.spawns ? undefined : Math.max(0, (busy - answer.cpu) / seconds) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Repeats a run while other programs use the machine too much, a few times. */
async function calmRun(measure, directory, state) {
  for (;;) {
    const run = await runOnce(measure, directory);
    if (state.calm === undefined || run.others === undefined || run.others <= state.calm || state.repeats === 0) return run;
    state.repeats -= 1;
    state.repeated += 1;
    await quiet(state.wait);
  }
}

async function take(measure, packages, asked) {
  const runs = Math.min(asked, measure.runs ?? asked);
  const state = {
    calm: options.calm === undefined ? undefined : number("calm", 0),
    wait: number("wait", 0),
    repeats: runs * 2,
    repeated: 0,
  };
  const isQuiet = await quiet(state.wait);
  if (!isQuiet) say("  other programs keep the machine busy; measuring all the same");
  const result = { name: measure.name, title: measure.title, load: load(), quiet: isQuiet, runs, repeated: 0 };
  const taken = packages.map(() => []);
  for (let index = 0; index < runs; index++) {
    // In pairs whose order changes, where two packages are compared.
    const order = packages.map((_, place) => place);
    for (const place of index % 2 === 0 ? order : order.reverse()) {
      const run = await calmRun(measure, packages[place], state);
      taken[place].push(run);
      say(
        `  ${measure.name} ${index + 1}/${runs}${packages.length > 1 ? ["", " (against)"][place] : ""}: ${brief(measure, run.values)}`,
      );
    }
  }
  const [own, other] = taken;
  const others = own.map((run) => run.others).filter((value) => value !== undefined);
  result.repeated = state.repeated;
  if (others.length > 0) result.others = median(others);
  result.baseline = other !== undefined;
  result.notes = own.map((run) => run.notes);
  result.metrics = Object.entries(measure.metrics).flatMap(([key, metric]) => {
    const values = own.map((run) => run.values[key]).filter((value) => value !== undefined);
    if (values.length === 0) return [];
    const numbers = summary(values);
    const comparison = other && {
      against: median(other.map((run) => run.values[key])),
      ratio: median(own.map((run, index) => run.values[key] / other[index].values[key])),
    };
    return [{ key, ...metric, ...numbers, values, ...comparison, met: met(metric, numbers.median) }];
  });
  return result;
}

const brief = (measure, values) =>
  Object.entries(measure.metrics)
    .map(([key, { unit }]) => (values[key] === undefined ? "" : `${Number(values[key].toPrecision(4))} ${unit}`))
    .join(", ");

if (options.list) {
  for (const { name, title } of measures) console.log(`${name.padEnd(16)} ${title}`);
  process.exit();
}

const runs = number("runs", 1);
const chosen = selected();
if (options.package === undefined) build();
const work = mkdtempSync(join(tmpdir(), "master-agent-bench-package-"));
let missed = 0;
try {
  const packages = [copyPackage(resolve(options.package ?? root), join(work, "own"))];
  if (options.against !== undefined) packages.push(copyPackage(resolve(options.against), join(work, "against")));
  const report = { at: new Date().toISOString(), machine: machine(), results: [] };
  if (!options.json) console.log(`${machineLine(report.machine)}\n`);
  for (const measure of chosen) {
    const result = await take(measure, packages, runs);
    report.results.push(result);
    missed += result.metrics.filter((metric) => metric.met === false).length;
    if (!options.json) console.log(`${section(result)}`);
  }
  const text = `${JSON.stringify(report, null, 2)}\n`;
  mkdirSync(dirname(resolve(options.out)), { recursive: true });
  writeFileSync(resolve(options.out), text);
  if (options.json) process.stdout.write(text);
  say(missed === 0 ? "All targets are met." : `${missed} targets are missed.`);
} finally {
  rmSync(work, { recursive: true, force: true });
}
