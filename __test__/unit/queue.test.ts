/** The task queue over a fake session. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FakeSession, freshStore, useFakeSession } from "../helpers/fake-session.ts";
import { api } from "../helpers/ts.ts";

useFakeSession();
const { TaskQueue, getTaskQueue } = api;

async function filled(names: string[]) {
  const queue = new TaskQueue({ store: freshStore() });
  await queue.addBulk(names.map((name, index) => ({ name, payload: index, opts: name === "later" ? { delay: 60_000 } : {} })));
  return queue;
}

describe("TaskQueue", () => {
  test("adds and finds jobs", async () => {
    await using queue = new TaskQueue({ store: freshStore(), defaultJobOptions: { attempts: 2 } });
    const handle = await queue.add("a", { x: 1 }, { jobId: "mine", metadata: { by: "me" } });
    const job = await queue.get(handle);
    assert.equal(job?.jobId, "mine");
    assert.equal(job?.taskId, "mine");
    assert.deepEqual(job?.input, { x: 1 });
    assert.deepEqual(job?.metadata, { by: "me" });
    assert.equal(job?.state, "waiting");
    assert.equal(job?.options.attempts, 2);
    assert.equal(await queue.getJob("none"), null);
    assert.deepEqual(
      (await queue.getMany(["mine", "none"])).map((found) => found?.jobId),
      ["mine", undefined],
    );
  });

  test("lists page by page, state after state", async () => {
    await using queue = await filled(["a", "later", "a", "b", "a", "later"]);
    const all: string[] = [];
    let pages = 0;
    let cursor: string | undefined;
    do {
      const page = await queue.list({ limit: 2, cursor });
      assert.ok(page.jobs.length <= 2);
      all.push(...page.jobs.map((job) => job.jobId));
      cursor = page.cursor;
      pages += 1;
    } while (cursor !== undefined);
    assert.deepEqual(all, ["1", "3", "4", "5", "2", "6"]);
    assert.ok(pages >= 3);
    const ids = async (options: Parameters<typeof queue.jobs>[0]) => {
      const found: string[] = [];
      for await (const job of queue.jobs(options)) found.push(job.jobId);
      return found;
    };
    assert.deepEqual(await ids({ limit: 1 }), all);
    assert.deepEqual(await ids({ state: "waiting", agentType: "a", limit: 1 }), ["1", "3", "5"]);
    assert.deepEqual(await ids({ state: ["completed", "delayed"] }), ["2", "6"]);
    await assert.rejects(queue.list({ state: "failed", cursor: "waiting:0:1" }), { details: { field: "options.cursor" } });
  });

  test("counts, all together and by agent type", async () => {
    await using queue = await filled(["a", "later", "a", "b"]);
    const none = { waiting: 0, delayed: 0, active: 0, completed: 0, failed: 0, cancelled: 0, dead: 0 };
    assert.deepEqual(await queue.counts(), { ...none, waiting: 3, delayed: 1 });
    assert.deepEqual(await queue.getJobCounts("a"), { ...none, waiting: 2 });
    assert.deepEqual(await queue.counts("nobody"), none);
    assert.deepEqual((await queue.countsByAgent())["later"], { ...none, delayed: 1 });
  });

  test("pauses and resumes", async () => {
    await using queue = await filled([]);
    assert.equal(await queue.isPaused(), false);
    await queue.pause();
    assert.equal(await queue.isPaused(), true);
    await queue.resume();
    assert.equal(await queue.isPaused(), false);
  });

  test("repeats what the engine does in slices", async () => {
    await using queue = await filled(["a", "a", "a", "later", "a", "a", "later"]);
    assert.equal(await queue.drain(), 5);
    assert.equal(await queue.drain({ delayed: true }), 2);
    await queue.addBulk(Array.from({ length: 9 }, () => ({ name: "a" })));
    assert.equal(await queue.clean({ state: "waiting", limit: 3 }), 3);
    assert.equal(await queue.clean({ state: "waiting" }), 6);
    assert.equal(await queue.clean(), 0);
    await queue.addBulk(Array.from({ length: 5 }, () => ({ name: "a" })));
    await queue.obliterate({ force: true });
    assert.deepEqual((await queue.list()).jobs, []);
  });

  test("changes single jobs", async () => {
    await using queue = await filled(["a", "later", "a"]);
    await queue.promote("2");
    assert.equal((await queue.get("2"))?.state, "waiting");
    await assert.rejects(queue.promote("2"), { code: "ERR_JOB_STATE", details: { jobId: "2" } });
    assert.equal(await queue.cancel("1", "no"), true);
    assert.equal(await queue.cancel("1"), false);
    assert.equal((await queue.get("1"))?.error?.code, "ERR_TASK_CANCELLED");
    await queue.retry("1");
    assert.equal((await queue.get("1"))?.state, "waiting");
    await queue.remove("3");
    assert.equal(await queue.get("3"), null);
    for (const change of ["remove", "retry", "promote", "cancel", "logs"] as const) {
      await assert.rejects(queue[change]("none"), { code: "ERR_JOB_NOT_FOUND", details: { jobId: "none" } });
    }
    assert.deepEqual(await queue.logs("1"), []);
    assert.deepEqual(await queue.workers(), []);
    assert.deepEqual(await queue.queues(), [queue.name]);
  });

  test("is one object per store until it is closed, unless it is set up otherwise", async () => {
    const store = freshStore();
    const queue = getTaskQueue({ store });
    assert.equal(getTaskQueue({ store }), queue);
    assert.notEqual(getTaskQueue({ store, queue: "other" }), queue);
    assert.notEqual(getTaskQueue({ store, payloadLimit: 10 }), queue);
    await queue.add("a");
    const session = FakeSession.opened.at(-1);
    await queue.close();
    await queue.close();
    assert.deepEqual(session?.calls.at(-1), ["request", '{"op":"close","timeout":30000}']);
    await assert.rejects(queue.add("a"), { code: "ERR_CLOSED" });
    assert.notEqual(getTaskQueue({ store }), queue);
  });
});
