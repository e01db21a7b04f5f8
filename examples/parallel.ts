/** Many tasks at once, of different kinds, with results that are typed by the sub-agent. Run it with `npx tsx examples/parallel.ts`. */
import { MasterAgent, registerSubAgent } from "master-agent";

const upper = registerSubAgent({
  agentType: "upper",
  run: (input: { text: string }) => ({ text: input.text.toUpperCase() }),
});
const measure = registerSubAgent({
  agentType: "measure",
  async run(input: { text: string }) {
    if (input.text === "") {
      throw new RangeError("there is nothing to measure");
    }
    return input.text.length;
  },
});

await using master = new MasterAgent({ concurrency: 10 });

// The outputs have the types of what run() returns.
const shout = await master.spawn(upper, { text: "hello" });
const length = await master.spawn(measure, { text: "hello" });
const [shouted, measured] = await master.waitForJobs([shout, length], { timeout: 10_000 });
if (shouted.success && measured.success) {
  console.log(`${shouted.output.text} has ${measured.output.toFixed(0)} letters`);
}

// A thousand tasks are one call, and one commit.
const handles = await master.spawnParallel(
  Array.from({ length: 1_000 }, (_, index) => ({ agentType: "measure", input: { text: "x".repeat(index + 1) } })),
);
const results = await master.waitForJobs(handles);
const total = results.reduce((sum, result) => sum + (result.success ? Number(result.output) : 0), 0);
console.log(`${results.length} tasks, ${total} letters`);

// A task that fails is a result too.
const empty = await master.spawn(measure, { text: "" }, { attempts: 2, backoff: 10 });
const failed = await master.waitForJob(empty);
if (!failed.success) {
  console.log(`failed after ${failed.attempts} attempts: ${failed.error.name}: ${failed.error.message}`);
}
