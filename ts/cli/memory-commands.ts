/** Which function does which command of `memory`. */
import type { CommandName } from "./commands";
import { addFiles } from "./memory-add";
import {
  deleteDocuments,
  dropCollection,
  exportDocuments,
  importDocuments,
  optimizeMemory,
  reindexMemory,
} from "./memory-change";
import { listCollections, listDocuments, showDocument, showStats } from "./memory-look";
import { searchMemory } from "./memory-search";
import type { Values } from "./values";

/** The commands of the group. */
export type MemoryCommand = Extract<CommandName, `memory ${string}`>;

const COMMANDS: Record<MemoryCommand, (operands: readonly string[], values: Values) => Promise<void>> = {
  "memory add": addFiles,
  "memory search": searchMemory,
  "memory list": (_, values) => listDocuments(values),
  "memory get": showDocument,
  "memory delete": deleteDocuments,
  "memory export": exportDocuments,
  "memory import": importDocuments,
  "memory stats": (_, values) => showStats(values),
  "memory collections": (_, values) => listCollections(values),
  "memory optimize": (_, values) => optimizeMemory(values),
  "memory reindex": (_, values) => reindexMemory(values),
  "memory drop": dropCollection,
};

/** `master-agent memory …`. */
export async function runMemory(name: MemoryCommand, operands: readonly string[], values: Values): Promise<void> {
  await COMMANDS[name](operands, values);
}
