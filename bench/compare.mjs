// Measures the queue on Redis beside BullMQ on the same Redis: `npm run bench:compare -- [options]`. See README.md beside this file.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { installRedis, redisAdvice } from "../scripts/lib/redis.mjs";
import { measures } from "./compare/measures.mjs";
import { persistences, server } from "./compare/server.mjs";
import { actor } from "./lib/actor.mjs";
import { busyClock, load, machine, quiet } from "./lib/machine.mjs";
import { copyPackage } from "./lib/package.mjs";
import { machineLine, show, table } from "./lib/report.mjs";
import { median, summary } from "./lib/stats.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(here);
const loads = ["idle", "busy"];

const { values: options } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    rounds: { type: "string", default: "5" },
    persistence: { type: "string", default: "none,everysec" },
    load: { type: "string", default: "idle,busy" },
    share: { type: "string", default: "1" },
    json: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
    wait: { type: "string", default: "60" },
    folder: { type: "string", default: tmpdir() },
    package: { type: "string" },
    embedded: { type: "boolean", default: false },
    out: { type: "string", default: join(here, "results-compare.json") },
  },
});

const say = (text) => process.stderr.write(`${text}\n`);

function fail(message) {
  say(message);
  process.exit(1);
}

const number = (name, least) => {
  const value = Number(options[name]);
  if (!(value >= least)) fail(`--${name} must be a number of at least ${least}, not ${options[name]}`);
  return value;
};

function words(name, known) {
  const asked = options[name].split(",");
  const strange = asked.find((word) => !known.includes(word));
  if (strange !== undefined) fail(`--${name} takes ${known.join(" and ")}, not ${strange}`);
  return asked;
}

function selected() {
  const asked = (options.only ?? []).flatMap((names) => names.split(","));
  const fits = (name) => asked.some((one) => (one.endsWith("*") ? name.startsWith(one.slice(0, -1)) : name === one));
  const found = asked.length === 0 ? measures : measures.filter(({ name }) => fits(name));
  if (found.length === 0)
    fail(`No measure is named ${asked.join(", ")}. There are: ${measures.map(({ name }) => name).join(", ")}.`);
  return found;
}

/** What everything needs that does not come with the clone. Nothing of it goes to standard output. */
async function prepare() {
  if (!(await installRedis())) fail(redisAdvice);
  const stdio = ["ignore", 2, 2];
  if (!existsSync(join(here, "compare", "node_modules", "bullmq"))) {
    const { status } = spawnSync("npm", ["install", "--ignore-scripts", "--no-save"], { cwd: join(here, "compare"), stdio });
    if (status !== 0) fail("BullMQ could not be installed: see above.");
  }
  if (options.package !== undefined) return;
  const { status } = spawnSync(process.execPath, [join(root, "scripts", "build.mjs"), "--release"], { cwd: root, stdio });
  if (status !== 0) fail("The build failed: see above.");
}

/** One core that computes until it is told to end. */
function busyCore() {
  // It ends with this process, also where that is killed.
  const compute = "const of = process.ppid; while (process.ppid === of) for (let n = 0; n < 1e8; n++);";
  const child = spawn(process.execPath, ["--eval", compute], { stdio: "ignore" });
  return () => child.kill("SIGKILL");
}

const share = number("share", 0);
/** A count for this run; what is left of it still fits the batches. */
const scaled = (count) => Math.max(1, Math.round(count * share));

const sides = [
  { name: "BullMQ", module: new URL("./compare/bullmq.mjs", import.meta.url) },
  { name: "master-agent", module: new URL("./compare/ours.mjs", import.meta.url) },
];

/** One run of one side: a Redis and a process of its own. */
async function runOnce(measure, which, { persistence, load }, directory) {
  const { module } = sides[which];
  const redis = await server({ persistence, folder: resolve(options.folder) });
  const folder = mkdtempSync(join(resolve(options.folder), "master-agent-compare-"));
  const idle = load === "busy" ? busyCore() : () => {};
  try {
    const own = options.embedded && which === 1;
    const side = await actor(module, { redis: own ? folder : redis.url, directory });
    let over;
    const closed = () => {
      over ??= side.stop();
      return over;
    };
    const minutes = measure.minutes ?? 15;
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${measure.name} took longer than ${minutes} minutes`)), minutes * 60_000);
    });
    try {
      const values = await Promise.race([measure.run({ side, redis, scaled, closed }), late]);
      await Promise.race([closed(), late]);
      return { values, redis: redis.version };
    } catch (error) {
      // It may hang: nothing is asked of it any more.
      side.kill();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  } finally {
    idle();
    await redis.stop();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Targets are for whole runs on Redis. */
const judged = share === 1 && !options.embedded;

/** Whether the figures of one metric are as they should be; nothing where there is no target. */
function verdict({ most, times, share }, own, ratio) {
  if (!judged) return undefined;
  if (most !== undefined) return own <= most;
  if (times !== undefined) return ratio >= times;
  return share === undefined ? undefined : ratio <= share;
}

function targetText({ most, times, share, unit }) {
  if (most !== undefined) return `≤ ${most} ${unit}`;
  if (times !== undefined) return `≥ ${times} × BullMQ`;
  return share === undefined ? "" : `≤ 1/${Math.round(1 / share)} of BullMQ`;
}

async function take(measure, setting, rounds, directory) {
  const clock = busyClock();
  const result = { name: measure.name, title: measure.title, ...setting, load1: load(), rounds };
  const taken = [[], []];
  for (let round = 0; round < rounds; round++) {
    // In turn, and whose turn comes first changes.
    for (const which of round % 2 === 0 ? [0, 1] : [1, 0]) {
      const { values, redis } = await runOnce(measure, which, setting, directory);
      result.redis = redis;
      taken[which].push(values);
      const brief = Object.entries(measure.metrics).map(([key, { unit }]) => `${show(values[key])} ${unit}`);
      say(`  ${measure.name} ${round + 1}/${rounds} ${sides[which].name}: ${brief.join(", ")}`);
    }
  }
  const { busy, seconds } = clock();
  result.busyCores = busy / seconds;
  result.metrics = Object.entries(measure.metrics).map(([key, metric]) => {
    const [theirs, own] = taken.map((runs) => runs.map((values) => values[key]));
    const ratio = median(own.map((value, round) => value / theirs[round]));
    const [peer, ours] = [summary(theirs), summary(own)];
    return { key, ...metric, peer, ours, ratio, values: { peer: theirs, ours: own }, met: verdict(metric, ours.median, ratio) };
  });
  return result;
}

const range = ({ min, max }) => `${show(min)} – ${show(max)}`;

function section(result) {
  const head = ["what", "unit", "BullMQ", "min – max", "master-agent", "min – max", "ratio", "target", "met"];
  const rows = result.metrics.map((metric) => [
    metric.label,
    metric.unit,
    show(metric.peer.median),
    range(metric.peer),
    show(metric.ours.median),
    range(metric.ours),
    `${show(metric.ratio)} ×`,
    targetText(metric),
    metric.met === undefined ? "" : metric.met ? "yes" : "NO",
  ]);
  const circumstances = [
    `Redis ${result.redis}`,
    result.persistence === "none" ? "no persistence" : "AOF every second",
    result.load === "busy" ? "one core kept busy" : "idle machine",
    `medians of ${result.rounds} rounds`,
    `load average ${result.load1.toFixed(2)} at the start`,
  ];
  const numeric = (column) => [2, 4, 6].includes(column);
  return `${result.name}: ${result.title}\n${circumstances.join(", ")}\n\n${table([head, ...rows], numeric)}\n`;
}

if (options.list) {
  for (const { name, title } of measures) console.log(`${name.padEnd(12)} ${title}`);
  process.exit();
}

const rounds = number("rounds", 1);
const asked = { persistence: words("persistence", Object.keys(persistences)), load: words("load", loads) };
const settings = asked.persistence.flatMap((persistence) => asked.load.map((load) => ({ persistence, load })));
const chosen = selected();
await prepare();
const work = mkdtempSync(join(tmpdir(), "master-agent-compare-package-"));
let missed = 0;
try {
  const directory = copyPackage(resolve(options.package ?? root), join(work, "own"));
  const peer = JSON.parse(readFileSync(join(here, "compare", "node_modules", "bullmq", "package.json"), "utf8")).version;
  const report = {
    at: new Date().toISOString(),
    machine: machine(),
    bullmq: peer,
    embedded: options.embedded,
    share,
    results: [],
  };
  if (!options.json) console.log(`${machineLine(report.machine)}, BullMQ ${peer}\n`);
  if (!judged) say("part of the jobs, or without Redis: these figures say nothing about the targets");
  for (const [place, setting] of settings.entries()) {
    for (const measure of chosen.filter(({ everywhere }) => everywhere || place === 0)) {
      if (!(await quiet(number("wait", 0)))) say("  other programs keep the machine busy; measuring all the same");
      const result = await take(measure, setting, Math.min(rounds, measure.rounds ?? rounds), directory);
      report.results.push(result);
      missed += result.metrics.filter(({ met }) => met === false).length;
      if (!options.json) console.log(section(result));
      // What was measured is kept if a later one fails.
      writeFileSync(resolve(options.out), `${JSON.stringify(report, null, 2)}\n`);
    }
  }
  if (options.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  if (judged) say(missed === 0 ? "All targets are met." : `${missed} targets are missed.`);
} finally {
  rmSync(work, { recursive: true, force: true });
}
