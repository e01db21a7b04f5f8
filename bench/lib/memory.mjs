// What the measures of memory share.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { quantile, sorted } from "./stats.mjs";

const share = Number(process.env.MASTER_AGENT_BENCH_SHARE ?? 1);

/** A number of texts; MASTER_AGENT_BENCH_SHARE=0.01 tries the measures with a hundredth of them, which says nothing about the targets. */
export const part = (count, least = 100) => Math.max(least, Math.round(count * share));

/** The metadata of document `index`: 1 % have one tenant, 50 % one kind, 10 % a year of one decade. */
export const metadata = (index) => ({
  tenant: `t${index % 100}`,
  kind: index % 2 === 0 ? "note" : "mail",
  // Not in step with the others.
  year: 1925 + ((Math.imul(index, 2_654_435_761) >>> 8) % 100),
});

export const FILTERS = {
  none: undefined,
  selective: { tenant: "t42" },
  broad: { kind: "note" },
  range: { year: { gte: 2000, lt: 2010 } },
};

/** The same as conditions of SQL. */
export const CONDITIONS = {
  none: undefined,
  selective: "tenant = 't42'",
  broad: "kind = 'note'",
  range: "year >= 2000 AND year < 2010",
};

export const FILTER_LABELS = { none: "no filter", selective: "filter of 1 %", broad: "filter of 50 %", range: "a decade (10 %)" };

/** Calls `step` with each item and answers with the p50 and p95 of how long it took. */
export async function percentiles(items, step) {
  const samples = [];
  for (const item of items) {
    const begun = performance.now();
    await step(item);
    samples.push(performance.now() - begun);
  }
  return quantiles(samples);
}

export function quantiles(samples) {
  const ms = sorted(samples);
  return { p50: quantile(ms, 0.5), p95: quantile(ms, 0.95) };
}

/** Waits until the indexes have everything; answers with seconds, or with nothing if that took longer than `limit`. */
export async function settled(collection, limit) {
  const begun = performance.now();
  const seconds = () => (performance.now() - begun) / 1000;
  while (seconds() < limit) {
    const { unindexedRows, indexes } = await collection.stats();
    if (indexes.length > 0 && unindexedRows === 0) return seconds();
    await sleep(500);
  }
  return undefined;
}

/** MiB of memory of this process: now, and at most so far. */
export function resident() {
  try {
    const status = readFileSync("/proc/self/status", "utf8");
    const of = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1024;
    return { now: of("VmRSS"), most: of("VmHWM") };
  } catch {
    return { now: process.memoryUsage.rss() / 2 ** 20, most: process.resourceUsage().maxRSS / 1024 };
  }
}

/** The scores of all `rows` vectors in `data` against a vector: the `count` best places, and the score of the last of them. */
export function exact(data, vector, count) {
  const dimensions = vector.length;
  const best = [];
  let least = Number.NEGATIVE_INFINITY;
  for (let row = 0, at = 0; at < data.length; row++, at += dimensions) {
    let score = 0;
    for (let place = 0; place < dimensions; place++) score += data[at + place] * vector[place];
    if (best.length === count && score <= least) continue;
    best.push({ row, score });
    best.sort((left, right) => right.score - left.score);
    best.length = Math.min(best.length, count);
    least = best.length === count ? best[count - 1].score : Number.NEGATIVE_INFINITY;
  }
  return best;
}

/** The share of `wanted` that is among `found`. */
export const recall = (found, wanted) => wanted.filter((one) => found.includes(one)).length / wanted.length;
