/** Handlers that misbehave: whatever they throw, return or do to their process, the task ends as it should. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TaskResult } from "master-agent";
import { script } from "../helpers/child.ts";
import { agentFor, masterFor } from "../helpers/masters.ts";
import { storeFor } from "../helpers/place.ts";

function hostile(): object {
  return new Proxy(
    {},
    {
      get() {
        throw new Error("get");
      },
      ownKeys() {
        throw new Error("ownKeys");
      },
      getPrototypeOf() {
        throw new Error("getPrototypeOf");
      },
    },
  );
}

const withGetters: object = Object.create(Error.prototype);
for (const member of ["name", "message", "stack", "code", "cause", "toString"]) {
  Object.defineProperty(withGetters, member, {
    get() {
      throw new Error(`get ${member}`);
    },
  });
}
const circular = new Error("circular");
circular.cause = circular;

const THROWN: [string, unknown, string | RegExp][] = [
  ["a string", "just text", "just text"],
  ["an empty string", "", ""],
  ["null", null, "null was thrown"],
  ["undefined", undefined, "undefined was thrown"],
  ["a number", 42, "42 was thrown"],
  ["a BigInt", 42n, "42 was thrown"],
  ["a symbol", Symbol("s"), "Symbol(s) was thrown"],
  ["a function", function f() {}, /was thrown/],
  ["a plain object", { some: "thing" }, /some.*thing/],
  ["an object without a prototype", Object.create(null), /object was thrown/],
  ["a frozen error", Object.freeze(new Error("frozen")), "frozen"],
  ["an error with throwing getters", withGetters, /thrown/],
  ["an error that is its own cause", circular, "circular"],
  ["an error with a huge message", new Error("x".repeat(5_000_000)), /^x+…$/],
  ["a proxy that throws at everything", hostile(), /thrown/],
  ["a revoked proxy", revoked(), /thrown/],
];

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

for (const [how, wrap] of [
  [
    "throws",
    (value: unknown) => {
      throw value;
    },
  ],
  ["rejects with", (value: unknown) => Promise.reject(value)],
] satisfies [string, (value: unknown) => unknown][]) {
  test(`a handler that ${how} anything fails its task`, async (t) => {
    const master = masterFor(t);
    for (const [what, value, message] of THROWN) {
      const agentType = agentFor(t, () => wrap(value));
      const result = await master.waitForJob(await master.spawn({ agentType, attempts: 2 }));
      assert.ok(!result.success, what);
      assert.deepEqual([result.state, result.attempts], ["failed", 2], what);
      assert.equal(typeof result.error.name, "string", what);
      if (typeof message === "string") {
        assert.equal(result.error.message, message, what);
      } else {
        assert.match(result.error.message, message, what);
      }
    }
  });
}

const cycle: Record<string, unknown> = {};
cycle.self = cycle;

const RETURNED: [string, unknown, RegExp][] = [
  ["a BigInt", 1n, /output is a BigInt/],
  ["a symbol", { deep: [Symbol("x")] }, /output\.deep\[0\] is a symbol/],
  ["a function", { run() {} }, /output\.run is a function/],
  ["a cycle", cycle, /output\.self refers back/],
  ["NaN", [Number.NaN], /output\[0\] is NaN/],
  ["a Map", new Map(), /output is a Map/],
  [
    "a toJSON that throws",
    {
      toJSON: () => {
        throw new Error("no");
      },
    },
    /output threw while it was read/,
  ],
  [
    "a getter that throws",
    {
      get member() {
        throw new Error("no");
      },
    },
    /output\.member threw while it was read/,
  ],
  ["a hostile proxy", { a: hostile() }, /output/],
  ["too many levels", JSON.parse(`${"[".repeat(500)}${"]".repeat(500)}`), /output.* nested deeper than 100 levels/],
];

test("a result that cannot be stored fails its task at once and names the place", async (t) => {
  const master = masterFor(t);
  for (const [what, value, message] of RETURNED) {
    for (const wrap of [() => value, async () => value]) {
      const agentType = agentFor(t, wrap);
      const result = await master.waitForJob(await master.spawn({ agentType }));
      assert.deepEqual([result.state, result.attempts, result.error?.code], ["failed", 1, "ERR_TASK_RESULT"], what);
      assert.match(result.error?.message ?? "", message, what);
    }
  }
});

test("results that JSON can hold come as JSON holds them", async (t) => {
  const master = masterFor(t);
  for (const [value, expected] of [
    [undefined, null],
    [null, null],
    [new Date(0), "1970-01-01T00:00:00.000Z"],
    [{ a: undefined, b: [undefined] }, { b: [null] }],
    [-0, 0],
    ["", ""],
    [Object.create(null), {}],
  ] as const) {
    const agentType = agentFor(t, () => value);
    assert.deepEqual(await master.run({ agentType }), expected);
  }
});

test("thenables are awaited, also those that lie", async (t) => {
  const master = masterFor(t);
  const cases: [unknown, (result: TaskResult) => void][] = [
    // biome-ignore lint/suspicious/noThenProperty: thenables are what is tried
    [{ then: (resolve: (value: unknown) => void) => resolve("thenable") }, ({ output }) => assert.equal(output, "thenable")],
    [
      {
        // biome-ignore lint/suspicious/noThenProperty: thenables are what is tried
        then(resolve: (value: unknown) => void, reject: (error: unknown) => void) {
          resolve("first");
          reject(new Error("second"));
          throw new Error("third");
        },
      },
      ({ output }) => assert.equal(output, "first"),
    ],
    [
      {
        // biome-ignore lint/suspicious/noThenProperty: thenables are what is tried
        get then() {
          throw new Error("then");
        },
      },
      ({ error }) => assert.equal(error?.message, "then"),
    ],
  ];
  for (const [value, check] of cases) {
    const agentType = agentFor(t, () => value);
    check(await master.waitForJob(await master.spawn({ agentType, attempts: 1 })));
  }
});

test("a handler can end its process: in the middle, in a promise, or by an uncaught exception", async (t) => {
  const source = (body: string) => `
    api.registerSubAgent({ agentType: "other", run: () => new Promise(() => {}) });
    api.registerSubAgent({ agentType: "end", run: ${body} });
    const master = new api.MasterAgent({ store: args[0], lease: 86_400_000, autostart: false });
    const other = await master.spawn({ agentType: "other" });
    const end = await master.spawn({ agentType: "end" });
    say([other.jobId, end.jobId]);
    await master.start();
  `;
  for (const [body, code] of [
    ["() => process.exit(3)", 3],
    ["async () => { await null; process.exit(4); }", 4],
    ["() => new Promise(() => setTimeout(() => process.exit(5), 5))", 5],
    ["() => { setTimeout(() => { throw new Error('uncaught'); }, 5); return new Promise(() => {}); }", 1],
    ["() => { void Promise.reject(new Error('unhandled')); return new Promise(() => {}); }", 1],
  ] as const) {
    const store = storeFor(t);
    const end = await script(t, source(body), [store]);
    assert.deepEqual([end.code, end.signal], [code, null], `${body}: ${end.stderr}`);
    assert.doesNotMatch(end.stderr, /panicked/);
    const master = masterFor(t, { store, autostart: false });
    for (const jobId of end.lines[0] as string[]) {
      const job = await master.status(jobId);
      assert.deepEqual([job?.state, job?.stalls], ["waiting", 1], `${body}: given back at once, and counted`);
    }
    await master.close();
  }
});

test("a handler may close its own master, unregister itself, or exit the loop of another", async (t) => {
  const source = `
    const master = new api.MasterAgent({ store: args[0] });
    const results = [];
    api.registerSubAgent({ agentType: "unregister", run() { return api.unregisterSubAgent("unregister"); } });
    results.push(await master.run({ agentType: "unregister" }));
    api.registerSubAgent({ agentType: "stop", async run(_input, { signal }) { void master.stop({ timeout: 0 }); await new Promise((r) => signal.addEventListener("abort", r)); } });
    const handle = await master.spawn({ agentType: "stop" });
    while (master.working || master.running > 0 || (await master.status(handle)).state !== "waiting") await new Promise((r) => setTimeout(r, 5));
    results.push("stopped");
    api.registerSubAgent({ agentType: "close", async run() { await master.close({ timeout: 200 }); } });
    api.unregisterSubAgent("stop");
    await master.start();
    results.push(await master.waitForJob(await master.spawn({ agentType: "close" })).catch((error) => error.code));
    say(results);
  `;
  const end = await script(t, source, [storeFor(t)]);
  assert.deepEqual([end.code, end.lines], [0, [[true, "stopped", "ERR_CLOSED"]]], end.stderr);
});
