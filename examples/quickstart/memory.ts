/** The documents of a folder in a memory, and questions that their passages answer. */
import { extname } from "node:path";
import { Memory } from "master-agent";
import type { SourceFile } from "./files.ts";
import { showAnswer, showIndexed, showIndexing } from "./screen.ts";

/** What is kept beside each document. */
type Metadata = { root: string; path: string };

/** Asked about this repository. */
const OWN_QUESTIONS = [
  "What happens to a task when the process that runs it is killed?",
  "How long does a failed task wait before it is tried again?",
  "How do I look only in documents with certain metadata?",
];
/** Asked about any other. */
const QUESTIONS = ["What is this about?", "How is it installed?", "What can be configured?"];

/** Where the memory is, what it is asked, and what ends it early. */
interface Settings {
  path: string;
  root: string;
  questions: readonly string[];
  signal: AbortSignal;
}

/** Adds the Markdown files that are new or have changed, then asks. The model comes with the package: nothing is fetched. */
export async function indexAndAsk(files: readonly SourceFile[], { path, root, questions, signal }: Settings): Promise<void> {
  const documents = files
    .filter((file) => extname(file.path).toLowerCase() === ".md")
    .map((file) => ({ id: `${root}/${file.path}`, text: file.content.toString("utf8"), metadata: { root, path: file.path } }));
  if (documents.length === 0) {
    return;
  }
  await using memory = new Memory<Metadata>({ path });
  const stored = await memory.getMany(
    documents.map(({ id }) => id),
    { signal },
  );
  const changed = documents.filter(({ text }, index) => stored[index]?.text !== text);
  showIndexing(documents.length, changed.length);
  if (changed.length > 0) {
    const began = performance.now();
    const added = await memory.addMany(changed, { signal });
    const passages = added.reduce((sum, { chunks }) => sum + chunks, 0);
    showIndexed(passages, performance.now() - began);
  }
  for (const question of asked(questions, documents)) {
    const start = performance.now();
    // Only documents of this folder: one memory can hold those of many.
    const hits = await memory.search(question, { limit: 3, filter: { root }, signal });
    showAnswer(question, hits, performance.now() - start);
  }
}

function asked(questions: readonly string[], documents: readonly { text: string }[]): readonly string[] {
  if (questions.length > 0) {
    return questions;
  }
  return documents.some(({ text }) => text.startsWith("# master-agent\n")) ? OWN_QUESTIONS : QUESTIONS;
}
