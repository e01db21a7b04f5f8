/**
 * Looks at every Markdown and source file of a repository with three kinds of sub-agent, one task per file and kind; then
 * puts its Markdown into a memory, and answers three questions with the passages that are found.
 *
 *   npm run quickstart                                        this repository
 *   npm run quickstart -- ../other                            another folder
 *   npm run quickstart -- --ask "What survives a crash?"      a question of your own
 *
 * Run it again: what is done stays done, and only files that changed are looked at. Stop it with Ctrl-C, or with kill -9,
 * and run it again: it goes on where it was.
 */
import { createHash } from "node:crypto";
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { getTaskQueue, type JobHandle, MasterAgent, MasterAgentError, registerSubAgent, type TaskResult } from "master-agent";
import { type FileInput, LinkChecker, Outliner, Statistician } from "./quickstart/agents.ts";
import { filesOf, type SourceFile } from "./quickstart/files.ts";
import { indexAndAsk } from "./quickstart/memory.ts";
import { Progress, showResults } from "./quickstart/screen.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { store: { type: "string", default: ".quickstart" }, ask: { type: "string", multiple: true, default: [] } },
});
const root = resolve(positionals[0] ?? ".");

// 1. Sub-agents are objects with an agentType and run(). With the first one, a worker starts in this process.
const agents = [registerSubAgent(new Outliner()), registerSubAgent(new Statistician()), registerSubAgent(new LinkChecker())];
const master = new MasterAgent({ store: values.store, concurrency: 8 });
const queue = getTaskQueue({ store: values.store });
const stopped = new AbortController();

/** The id of a job says what it does and on what: the same task is never added a second time. */
function jobId(agent: { agentType: string; revision: number }, file: SourceFile): string {
  const content = createHash("sha256").update(`${agent.revision}\0${root}\0${file.path}\0`).update(file.content).digest("hex");
  return `${agent.agentType}:${file.path.slice(-150)}:${content.slice(0, 16)}`;
}

async function main(): Promise<void> {
  const files = filesOf(root);
  if (files.length === 0) {
    throw new Error(`There is no Markdown or source file in ${root}.`);
  }
  const tasks = files.flatMap((file) =>
    agents.map((agent) => ({
      agentType: agent.agentType,
      jobId: jobId(agent, file),
      input: { root, path: file.path } satisfies FileInput,
      attempts: 5,
      backoff: { type: "exponential" as const, delay: 50, jitter: 0.5 },
    })),
  );
  console.log(`${files.length} files in ${root}, ${tasks.length} tasks for ${agents.length} sub-agents`);

  // 2. Spawning is durable: from here on the tasks survive the end of this process.
  const handles = await master.spawnParallel(tasks);
  const before = await earlier(handles);
  const done = before.size;
  const left = handles.filter((handle) => !isNew(handle)).length - done;
  if (done > 0) {
    console.log(`Already done in an earlier run: ${done}. New or changed: ${handles.length - done - left}.`);
  }
  if (left > 0) {
    console.log(`Left over from a run that was interrupted: ${left}.`);
  }

  // 3. Results come as they are ready, also those of earlier runs.
  const progress = new Progress(handles.length, done);
  master.on("task:retrying", () => progress.retried());
  stopInOrder(progress);
  const began = performance.now();
  const results = await Promise.all(
    handles.map(async (handle) => {
      const result = await master.waitForJob(handle);
      progress.ended();
      return result;
    }),
  );
  progress.stop();

  showResults(results as TaskResult[], { files, before });
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`${handles.length - done} tasks in ${seconds} s. Run it again: only files that changed are looked at.`);

  // 4. Memory: documents in, the right passages out, with the model that comes with the package.
  const path = join(master.store, "lancedb");
  await indexAndAsk(files, { path, root, questions: values.ask, signal: stopped.signal });

  const place = relative(".", master.store) || ".";
  console.log(`\nState is in ${place}; remove it to begin anew. Look into it:`);
  console.log(`  npx master-agent status --store ${place}`);
  console.log(`  npx master-agent memory search "your question" --path ${relative(".", path)}`);
  if (results.some(({ success }) => !success)) {
    process.exitCode = 1;
  }
}

const isNew = (handle: JobHandle): boolean => handle.existing !== true;

/** The jobs that earlier runs have done. A task that failed then gets another chance. */
async function earlier(handles: readonly JobHandle[]): Promise<Set<string>> {
  const jobs = await queue.getMany(handles.filter((handle) => !isNew(handle)));
  const done = new Set<string>();
  for (const job of jobs) {
    if (job?.state === "completed") {
      done.add(job.jobId);
    } else if (job?.state === "failed" || job?.state === "dead" || job?.state === "cancelled") {
      await queue.retry(job.jobId);
    }
  }
  return done;
}

/** Ctrl-C lets running tasks end; the others stay where they are, for the next run. Pressed again, it ends at once. */
function stopInOrder(progress: Progress): void {
  let since: number | undefined;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      const now = performance.now();
      if (since === undefined) {
        since = now;
        progress.stop();
        stopped.abort();
        void master.close({ timeout: 5_000 });
      } else if (now - since > 500) {
        // What comes sooner is the same key press: npm passes on what the terminal has sent to all.
        process.exit(130);
      }
    });
  }
}

// Whoever read this has what it wanted (`| head`). The tasks are safe.
process.stdout.on("error", () => process.exit());
try {
  await main();
} catch (error) {
  if (error instanceof MasterAgentError && ["ERR_CLOSED", "ERR_WAIT_ABORTED"].includes(error.code)) {
    console.log("Stopped. Nothing is lost: run it again to go on.");
  } else {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
} finally {
  await Promise.all([master.close(), queue.close()]);
}
