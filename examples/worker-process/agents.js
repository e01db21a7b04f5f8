// Sub-agents for worker processes. Start as many as you like, each in a terminal of its own:
//
//   npx master-agent worker examples/worker-process/agents.js
//
// and give them work with `npx tsx examples/worker-process/producer.ts`.
import { createHash } from "node:crypto";

/** Whatever a module exports that has an agentType and run() is served: objects, classes, arrays of them. */
export class Hasher {
  agentType = "hash";

  run({ text }) {
    return { hash: createHash("sha256").update(text).digest("hex"), worker: process.pid };
  }
}

export const reverser = {
  agentType: "reverse",
  run: ({ text }) => ({ text: [...text].reverse().join(""), worker: process.pid }),
};
