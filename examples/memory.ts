/** Documents in, the right passages out, without a server, a key or a download. Run it with `npx tsx examples/memory.ts`. */
import { MasterAgent, Memory, registerSubAgent } from "master-agent";

interface Note {
  source: "user" | "web";
  year: number;
  tags?: string[];
}

await using memory = new Memory<Note>({ path: "./data/lancedb", collection: "notes" });

// Many documents are one call. One with an id that is there already is replaced: running this again adds nothing twice.
await memory.addMany(
  [
    { id: "lift", text: "The lift in the north wing is out of order until Friday.", metadata: { source: "user", year: 2026 } },
    { id: "coffee", text: "Coffee beans are kept above the sink.", metadata: { source: "user", year: 2024, tags: ["kitchen"] } },
    { id: "parking", text: "Visitors leave their cars behind the building.", metadata: { source: "web", year: 2020 } },
  ],
  { onProgress: ({ done, total }) => console.log(`${done} of ${total} are in`) },
);

// Found by meaning and by words together, best first.
for (const { id, text } of await memory.search("where can I park?", { limit: 1 })) {
  console.log(`${id}: ${text}`);
}

// Filters are data, checked against the type of the metadata, and applied before the search.
const recent = await memory.search("the building", { filter: { source: "user", year: { gte: 2025 } } });
console.log(`from users, since 2025: ${recent.map(({ id }) => id).join(", ")}`);

// Sub-agents have the memory of their master, whose calls end with the task.
const librarian = registerSubAgent({
  agentType: "librarian",
  run: async (question: string, context) => (await context.memory.search(question, { limit: 1 }))[0]?.text ?? "nobody knows",
});
await using master = new MasterAgent({ memory });
console.log(`the librarian says: ${await master.run(librarian, "what is broken?")}`);

console.log(`${await memory.deleteMany({ source: "web" })} removed, ${await memory.count()} left`);
