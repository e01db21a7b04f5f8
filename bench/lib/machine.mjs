// The machine that a result was measured on, and what else it was doing meanwhile.
import { availableParallelism, cpus, loadavg, platform, release, totalmem } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

/** A short description. */
export function machine() {
  const cores = cpus();
  return {
    cores: availableParallelism(),
    cpu: cores[0]?.model.trim() ?? "unknown",
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    os: `${platform()} ${release()}`,
    node: process.version,
  };
}

/** The load average of the last minute. */
export const load = () => loadavg()[0];

/** Starts counting the time that all cores of the machine were busy; the answer gives it in core-seconds, with the seconds that passed. */
export function busyClock() {
  const read = () => cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0) / 1000;
  const busy = read();
  const begun = performance.now();
  return () => ({ busy: read() - busy, seconds: (performance.now() - begun) / 1000 });
}

/** Waits up to `limit` seconds until other programs leave the machine alone; says whether they do. */
export async function quiet(limit) {
  const until = performance.now() + limit * 1000;
  for (;;) {
    const clock = busyClock();
    await sleep(1_500);
    const { busy, seconds } = clock();
    if (busy / seconds < 0.1) return true;
    if (performance.now() > until) return false;
  }
}
