// Inputs and outputs are typed from a sub-agent, or from SubAgentTypes, through to the result.
import {
  EchoSubAgent,
  type ErrorCode,
  getSubAgentRegistry,
  getTaskQueue,
  type ISubAgent,
  type JobHandle,
  MasterAgent,
  registerSubAgent,
  type StandardSchema,
  type StoreHealth,
  type TaskContext,
} from "master-agent";

class MySubAgent {
  agentType = "my-agent";
  async run(input: { query: string }) {
    return { answer: input.query.toUpperCase(), at: new Date(), opt: undefined as string | undefined };
  }
}
class Typed {
  agentType = "typed" as const;
  run(input: number, { signal, progress }: TaskContext): string | null {
    void signal;
    void progress(1);
    return input > 1 ? "a" : null;
  }
}
declare const schema: StandardSchema<{ n: string }, { n: number }>;
class WithSchema {
  agentType = "schema";
  inputSchema = schema;
  async run(input: { n: number }) {
    return [input.n];
  }
}
declare module "master-agent" {
  interface SubAgentTypes {
    typed: Typed;
  }
}
type Eq<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const yes = <T extends true>(_?: T) => {};
export async function f() {
  const my = registerSubAgent(new MySubAgent());
  const master = new MasterAgent();
  const h = await master.spawn({ agentType: "my-agent", input: { query: "x" } });
  const r = await master.waitForJob(h.jobId);
  if (r.success) {
    const o: unknown = r.output;
    void o;
  } else {
    r.error.message;
  }
  const out = await master.run(my, { query: "x" });
  yes<Eq<typeof out, { answer: string; at: string; opt: string | undefined }>>();
  // @ts-expect-error: the input has another type
  await master.run(my, { query: 1 });
  const t = await master.run({ agentType: "typed", input: 3 });
  yes<Eq<typeof t, string | null>>();
  // @ts-expect-error: the input has another type
  await master.run({ agentType: "typed", input: "3" });
  const t2 = await master.run("typed", 3, { timeout: 5 });
  yes<Eq<typeof t2, string | null>>();
  // @ts-expect-error: the input has another type
  await master.run("typed", "3");
  const s = registerSubAgent(new WithSchema(), { concurrency: 3 });
  const so = await master.run(s, { n: "1" });
  yes<Eq<typeof so, number[]>>();
  // @ts-expect-error: the input has another type
  await master.spawn(s, { n: 1 });
  const [a, b] = await master.spawnParallel([
    { agentType: "typed", input: 3 },
    { agentType: "free", input: "anything" },
  ]);
  yes<Eq<typeof a, JobHandle<string | null>>>();
  yes<Eq<typeof b, JobHandle<unknown>>>();
  const [ra, rb] = await master.waitForJobs([a, b.jobId]);
  if (ra.success) yes<Eq<typeof ra.output, string | null>>();
  if (rb.success) yes<Eq<typeof rb.output, unknown>>();
  const tasks = [1, 2].map((n) => ({ agentType: "x", input: { n } }));
  const hs = await master.spawnParallel(tasks);
  const rs = await master.waitForJobs(hs);
  void rs.length;
  const rs2 = await master.waitForJobs(hs.map((x) => x.jobId));
  void rs2;
  registerSubAgent(new EchoSubAgent());
  registerSubAgent({ agentType: "lit", run: (i: { text: string }) => i.text });
  registerSubAgent({
    agentType: "lit",
    async run(_i, ctx: TaskContext) {
      await ctx.spawn({ agentType: "typed", input: 1 });
      await ctx.spawn(s, { n: "" });
    },
  });
  const i: ISubAgent<{ a: 1 }, number> = { agentType: "i", run: () => 1 };
  registerSubAgent(i);
  registerSubAgent<ISubAgent>({ agentType: "i", run: () => 1 });
  master
    .on("task:completed", (e) => e.output)
    .once("task:retrying", (e) => e.delay)
    .off("health", () => {});
  for await (const e of master.events()) if (e.type === "task:failed") e.error.code;
  await getTaskQueue().add("typed", 3, { delay: 3 });
  const health = await master.health({ timeout: 500 });
  yes<Eq<typeof health, StoreHealth>>();
  yes<Eq<typeof health.status, "ok" | "unreachable" | "failing">>();
  if (health.error !== null) yes<Eq<typeof health.error.code, ErrorCode>>();
  // @ts-expect-error: no such option
  await getTaskQueue().health({ limit: 500 });
  yes<Eq<ReturnType<typeof f2>, Typed | undefined>>();
}
function f2() {
  return getSubAgentRegistry().get("typed");
}
// @ts-expect-error: the input has another type
registerSubAgent({ agentType: "none" });
