/** What a test leaves behind is taken away in the reverse order of its coming: a folder after those who use it. */
import type { TestContext } from "node:test";

const steps = new WeakMap<TestContext, (() => unknown)[]>();

/** Runs `step` when the test has ended, before the steps that were given earlier. */
export function afterwards(t: TestContext, step: () => unknown): void {
  const present = steps.get(t);
  if (present !== undefined) {
    present.push(step);
    return;
  }
  const own = [step];
  steps.set(t, own);
  t.after(async () => {
    const failures: unknown[] = [];
    for (let next = own.pop(); next !== undefined; next = own.pop()) {
      try {
        await next();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) {
      throw failures[0];
    }
  });
}
