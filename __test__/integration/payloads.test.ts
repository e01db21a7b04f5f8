/** What goes in comes out: any JSON, any text, large values, and schemas that say what is taken. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type MasterAgentError, registerSubAgent, unregisterSubAgent } from "master-agent";
import * as v from "valibot";
import { z } from "zod";
import { workerProcess } from "../helpers/child.ts";
import { afterwards } from "../helpers/cleanup.ts";
import { size } from "../helpers/long.ts";
import { agentFor, masterFor, queueOf } from "../helpers/masters.ts";
import { storeFor } from "../helpers/place.ts";

const TEXTS = [
  "",
  "plain",
  "ünïcödé 漢字 ελληνικά עברית العربية",
  "👩‍👩‍👧‍👦 🏳️‍🌈 𝒳",
  "\u0000 NUL \u0000",
  "\u0001\u001f\u007f\u0080\u2028\u2029\ufeff",
  "\ud800 lone \udfff surrogates \udc00\ud800",
  '"quotes" \\back\\slashes\\ </script> \n\r\t',
  "__proto__",
];

test("texts of every kind survive as input, output, metadata, progress and error", async (t) => {
  const master = masterFor(t);
  const queue = queueOf(t, master);
  const agentType = agentFor(t, async (input, { metadata, progress }) => {
    await progress(input);
    return { input, metadata };
  });
  for (const text of TEXTS) {
    const input = { [text]: [text, { deep: text }] };
    const handle = await master.spawn({ agentType, input, metadata: { text } });
    const result = await master.waitForJob(handle);
    assert.deepEqual(result.output, { input, metadata: { text } });
    const job = await queue.get(handle);
    assert.deepEqual([job?.input, job?.output, job?.metadata, job?.progress], [input, result.output, { text }, input]);
  }
  const failing = agentFor<string>(t, (input) => Promise.reject(new Error(input)));
  for (const text of TEXTS) {
    const result = await master.waitForJob(await master.spawn({ agentType: failing, input: text, attempts: 1 }));
    assert.equal(result.error?.message, text.toWellFormed());
  }
});

test("names of every kind are kept, and those that no store could keep are refused", async (t) => {
  const master = masterFor(t);
  for (const text of TEXTS.slice(1)) {
    const spawning = master.spawn({ agentType: `nobody ${text}`, jobId: `job ${text}`, taskId: `task ${text}` });
    if (!text.isWellFormed()) {
      await assert.rejects(spawning, { code: "ERR_INPUT_INVALID" });
      continue;
    }
    const handle = await spawning;
    assert.equal(handle.jobId, `job ${text}`);
    const job = await master.status(handle);
    assert.deepEqual([job?.jobId, job?.taskId, job?.agentType], [`job ${text}`, `task ${text}`, `nobody ${text}`]);
    assert.equal(await master.cancel(handle), true);
  }
});

test("any JSON value survives, also through another process", async (t) => {
  const folder = storeFor(t);
  await workerProcess(t, { folder, master: { concurrency: 20 }, agents: { echo: {} } });
  const master = masterFor(t, { store: folder, autostart: false });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.jsonValue({ maxDepth: 6 }), { minLength: 1, maxLength: 20 }), async (values) => {
      const handles = await master.spawnParallel(values.map((input) => ({ agentType: "echo", input, removeOnComplete: false })));
      const results = await master.waitForJobs(handles);
      results.forEach((result, index) => {
        // As JSON itself does it: -0 becomes 0.
        assert.deepEqual(result.output, JSON.parse(JSON.stringify(values[index])));
      });
    }),
    { numRuns: size(25, 500) },
  );
});

test("a payload of 10 MB goes through, one over the limit is refused", async (t) => {
  const master = masterFor(t);
  const text = "0123456789".repeat(1_000_000);
  const agentType = agentFor<{ text: string }>(t, (input) => input.text);
  assert.equal(await master.run({ agentType, input: { text } }), text);
  await assert.rejects(master.spawn({ agentType, input: { text: text + text } }), (error: MasterAgentError) => {
    assert.equal(error.code, "ERR_INPUT_TOO_LARGE");
    assert.match(error.message, /^input /);
    return true;
  });
  const small = masterFor(t, { payloadLimit: 1_000, store: master.store });
  const long = agentFor<number>(t, (length) => "x".repeat(length));
  assert.equal(((await small.run({ agentType: long, input: 900 })) as string).length, 900);
  await assert.rejects(small.spawn({ agentType: long, input: "ü".repeat(500) }), { code: "ERR_INPUT_TOO_LARGE" });
});

test("a result over the limit fails its task at once", async (t) => {
  const master = masterFor(t, { payloadLimit: 1_000 });
  const agentType = agentFor(t, () => "x".repeat(2_000));
  const result = await master.waitForJob(await master.spawn({ agentType }));
  assert.deepEqual([result.state, result.attempts, result.error?.code], ["failed", 1, "ERR_TASK_RESULT"]);
  assert.match(result.error?.message ?? "", /output is larger than the payload limit of 1000 bytes/);
});

for (const [library, inputSchema] of [
  ["zod", z.object({ name: z.string().min(1), count: z.coerce.number().default(1) })],
  [
    "valibot",
    v.object({
      name: v.pipe(v.string(), v.minLength(1)),
      count: v.optional(v.pipe(v.union([v.string(), v.number()]), v.transform(Number)), 1),
    }),
  ],
] as const) {
  test(`an input that does not fit a ${library} schema is refused by spawn, and a fitting one is given as the schema makes it`, async (t) => {
    const master = masterFor(t);
    const agent = registerSubAgent({
      agentType: `checked-by-${library}`,
      inputSchema,
      run: (input: { name: string; count: number }) => input,
    });
    afterwards(t, () => unregisterSubAgent(agent));
    assert.deepEqual(await master.run(agent, { name: "a", count: "7" } as never), { name: "a", count: 7 });
    assert.deepEqual(await master.run({ agentType: agent.agentType, input: { name: "b" } }), { name: "b", count: 1 });
    for (const input of [undefined, {}, { name: "" }, { name: 7 }, "text", null]) {
      await assert.rejects(master.spawn({ agentType: agent.agentType, input }), (error: MasterAgentError) => {
        assert.equal(error.code, "ERR_INPUT_SCHEMA");
        assert.match(error.message, new RegExp(`checked-by-${library}.*input`));
        assert.ok(Array.isArray(error.details?.issues) && error.details.issues.length > 0);
        return true;
      });
    }
    await assert.rejects(
      master.spawnParallel([
        { agentType: agent.agentType, input: { name: "fits" } },
        { agentType: agent.agentType, input: {} },
      ]),
      { code: "ERR_INPUT_SCHEMA" },
    );
    assert.equal((await queueOf(t, master).counts()).completed, 2, "nothing of it was added");
  });
}

test("an input that came from elsewhere and does not fit fails its task for good", async (t) => {
  const folder = storeFor(t);
  const elsewhere = await workerProcess(t, { folder, start: false, agents: {} });
  const master = masterFor(t, { store: folder });
  let runs = 0;
  const agent = registerSubAgent({
    agentType: "strict",
    inputSchema: z.object({ n: z.number() }),
    run: ({ n }: { n: number }) => {
      runs += 1;
      return n;
    },
  });
  afterwards(t, () => unregisterSubAgent(agent));
  const handle = await elsewhere.call<{ jobId: string }>("master", "spawn", { agentType: "strict", input: { n: "seven" } });
  const result = await master.waitForJob(handle.jobId);
  assert.deepEqual([result.state, result.attempts, result.error?.code, runs], ["failed", 1, "ERR_INPUT_SCHEMA", 0]);
});
