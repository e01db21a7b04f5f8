// A reporter of node:test that prints nothing and closes with one line of JSON: what passed, failed and was left out.
// The counts of Node's own summary are not used: they take a file without tests for a test that passed, and do not miss the
// tests of a file whose process ended with code 0 in the middle.
import { resolve } from "node:path";

export default async function* counter(events) {
  const count = { passed: 0, failed: 0, skipped: 0, notes: [] };
  // File → names of the tests that are announced and have not ended.
  const open = new Map();
  for await (const { type, data } of events) {
    // A diagnostic message, say, is of no test.
    if (typeof data.name !== "string") continue;
    const wholeFile = data.nesting === 0 && data.file !== undefined && resolve(data.name) === data.file;
    const suite = data.details?.type === "suite";
    if (type === "test:enqueue" && !wholeFile) {
      const names = open.get(data.file) ?? [];
      open.set(data.file, [...names, data.name]);
    } else if (type === "test:complete" && !wholeFile) {
      const names = open.get(data.file) ?? [];
      const place = names.indexOf(data.name);
      if (place >= 0) names.splice(place, 1);
    } else if (type === "test:pass" || type === "test:fail") {
      if (data.skip !== undefined || data.todo !== undefined) {
        if (!suite) count.skipped += 1;
      } else if (type === "test:fail") {
        // A suite or file whose tests failed says so a second time; one whose hook failed or that cannot be loaded says it alone.
        if (data.details?.error?.failureType !== "subtestsFailed") count.failed += 1;
      } else if (wholeFile) {
        count.failed += 1;
        count.notes.push(`${data.name} has no test that ran to its end`);
      } else if (!suite) {
        count.passed += 1;
      }
    }
  }
  for (const [file, names] of open) {
    if (names.length === 0) continue;
    count.failed += 1;
    count.notes.push(`${file} ended before these did: ${names.join(", ")}`);
  }
  yield `${JSON.stringify(count)}\n`;
}
