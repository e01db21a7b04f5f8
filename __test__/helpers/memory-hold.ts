/** Processes that write to a memory, and the account of what they intended and what was acknowledged. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { createEmbeddingFunction, Memory, type MemoryOptions } from "master-agent";
import { CHUNKING, groupOf, textOf, versionOf, wordEmbedding } from "../fixtures/memory-words.mjs";
import { afterwards } from "./cleanup.ts";
import { userEnvironment } from "./environment.ts";
import { PATIENCE } from "./long.ts";

const fixtures = join(dirname(fileURLToPath(import.meta.url)), "..", "fixtures");

/** A memory with vectors that cost nothing, closed with the test. */
export function memoryFor(t: TestContext, path: string, options: MemoryOptions = {}): Memory {
  const memory = new Memory({ path, embedding: wordEmbedding({ createEmbeddingFunction }), chunking: CHUNKING, ...options });
  afterwards(t, () => memory.close());
  return memory;
}

/** A line of a process: what it is about, an operation, ids, and a number. */
export type Line = [kind: string, operation: string, ids: string[], version: number, at?: string];

/** A process that runs one of the fixtures, and its lines. */
export class MemoryProcess {
  readonly lines: Line[] = [];
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  stderr = "";
  readonly #child: ChildProcess;
  readonly #waiting = new Set<() => void>();
  #over = false;

  constructor(t: TestContext, fixture: string, settings: object) {
    const child = spawn(process.execPath, [join(fixtures, fixture), JSON.stringify(settings)], { env: userEnvironment() });
    this.#child = child;
    afterwards(t, () => this.kill());
    let rest = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        this.lines.push(JSON.parse(line) as Line);
      }
      this.#look();
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    child.stdin.on("error", () => {});
    this.ended = new Promise((resolve) => {
      child.on("close", (code, signal) => {
        this.#over = true;
        this.#look();
        resolve({ code, signal });
      });
    });
  }

  #look(): void {
    for (const look of this.#waiting) {
      look();
    }
  }

  /** Waits until there is a line that fits. */
  async says(fits: (line: Line) => boolean, limit = 2 * PATIENCE): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.#waiting.delete(look);
        clearTimeout(timer);
      };
      const look = (): void => {
        if (this.lines.some(fits)) {
          end();
          resolve();
        } else if (this.#over) {
          end();
          reject(new Error(`the process ended: ${this.stderr}`));
        }
      };
      const timer = setTimeout(() => {
        end();
        reject(new Error(`the process did not say it within ${limit} ms: ${this.stderr}`));
      }, limit);
      this.#waiting.add(look);
      look();
    });
  }

  send(text: string): void {
    this.#child.stdin?.write(text);
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    this.#child.kill(signal);
    return this.ended;
  }
}

/** What was done to a document last. */
export interface Op {
  version: number;
  deleted: boolean;
}

interface State {
  /** The last that was acknowledged, or found to have been done. */
  done?: Op;
  /** What was intended after it; whether it was done is not known. */
  open: Op[];
}

/** What the processes of one test did, one after the other. */
export class Account {
  readonly #documents = new Map<string, State>();
  acknowledged = 0;

  /** Takes the lines of a process. */
  take(lines: readonly Line[]): Set<string> {
    const touched = new Set<string>();
    for (const [kind, operation, ids, version] of lines) {
      if (kind !== "intended" && kind !== "done") {
        continue;
      }
      for (const id of ids) {
        touched.add(id);
        const state: State = this.#documents.get(id) ?? { open: [] };
        this.#documents.set(id, state);
        const op = { version, deleted: operation === "delete" };
        if (kind === "intended") {
          state.open.push(op);
        } else {
          this.acknowledged += 1;
          state.done = op;
          state.open = state.open.filter((open) => open.version > version);
        }
      }
    }
    return touched;
  }

  /** Settles what was under way when a process died: the memory shows what became of it. */
  async settle(memory: Memory, touched: ReadonlySet<string>): Promise<void> {
    const ids = [...touched];
    const found = await memory.getMany(ids);
    ids.forEach((id, index) => {
      const state = this.#documents.get(id) as State;
      const document = found[index] ?? null;
      const nothing = { version: 0, deleted: true };
      const possible = [state.done ?? nothing, ...state.open];
      const what = document === null ? "nothing" : `version ${versionOf(document.text)}`;
      const op = possible.findLast((one) =>
        document === null ? one.deleted : !one.deleted && one.version === versionOf(document.text),
      );
      assert.ok(op !== undefined, `${id} is ${what}; possible is ${JSON.stringify(possible)}`);
      if (document !== null) {
        assert.equal(document.text, textOf(id, op.version));
        assert.deepEqual(document.metadata, { group: groupOf(id), version: op.version });
      }
      state.done = op;
      state.open = [];
    });
  }

  /** The documents that are there, with their versions. */
  live(): Map<string, number> {
    const live = new Map<string, number>();
    for (const [id, { done }] of this.#documents) {
      if (done !== undefined && !done.deleted) {
        live.set(id, done.version);
      }
    }
    return live;
  }

  /** The number of the next document. */
  get next(): number {
    return Math.max(-1, ...[...this.#documents.keys()].map((id) => Number(id.slice(1)))) + 1;
  }

  /** Some of the documents, with versions that are later than all that were intended. */
  some(count: number): { id: string; version: number }[] {
    const all = [...this.#documents].map(([id, { done }]) => ({ id, version: done?.version ?? 0 }));
    return all.sort(() => Math.random() - 0.5).slice(0, count);
  }

  /** Every document is there once, by every way to it: list, count, and searches for passages in these groups. */
  async check(memory: Memory, groups: ReadonlySet<string>): Promise<void> {
    const live = this.live();
    const listed = new Map<string, number>();
    const passages = new Map<string, string[]>();
    for await (const { id, text, chunks } of memory.documents({ limit: 1_000 })) {
      assert.ok(!listed.has(id), `${id} is listed twice`);
      listed.set(id, versionOf(text));
      assert.equal(text, textOf(id, versionOf(text)));
      const group = groupOf(id);
      if (groups.has(group)) {
        const places = passages.get(group) ?? [];
        passages.set(group, places);
        places.push(...chunks.map((_, index) => `${id} ${index} of v${versionOf(text)}`));
      }
    }
    const lost = [...live].filter(([id, version]) => listed.get(id) !== version);
    const more = [...listed].filter(([id]) => !live.has(id));
    assert.deepEqual({ lost, more }, { lost: [], more: [] });
    assert.equal(await memory.count(), live.size);
    for (const group of groups) {
      for (const mode of ["vector", "text"] as const) {
        const hits = await memory.search("harbour boat", { filter: { group }, chunks: true, limit: 1_000, mode });
        const found = hits.map(({ id, chunk, text }) => `${id} ${chunk.index} of v${versionOf(text)}`);
        assert.deepEqual(found.sort(), (passages.get(group) ?? []).sort(), `passages of ${group} by ${mode}`);
      }
    }
  }
}
