// A reporter of node:test that prints nothing and closes with one line of JSON: what passed, failed and was left out.
// The counts of Node's own summary are not used: they take a file without tests for a test that passed.
import { resolve } from "node:path";

export default async function* counter(events) {
  const count = { passed: 0, failed: 0, skipped: 0, empty: [] };
  for await (const { type, data } of events) {
    if (type !== "test:pass" && type !== "test:fail") continue;
    const wholeFile = data.nesting === 0 && data.file !== undefined && resolve(data.name) === data.file;
    const suite = data.details?.type === "suite";
    if (data.skip !== undefined || data.todo !== undefined) {
      if (!suite) count.skipped += 1;
    } else if (type === "test:fail") {
      // A suite or file whose tests failed says so a second time; one whose hook failed or that cannot be loaded says it alone.
      if (data.details?.error?.failureType !== "subtestsFailed") count.failed += 1;
    } else if (wholeFile) {
      count.failed += 1;
      count.empty.push(data.name);
    } else if (!suite) {
      count.passed += 1;
    }
  }
  yield `${JSON.stringify(count)}\n`;
}
