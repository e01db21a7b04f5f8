// The sub-agents of the workers. Whatever a module exports that has an agentType and run() is served.
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

export const hello = {
  agentType: "hello",
  async run({ name }, { signal }) {
    await sleep(50, undefined, { signal });
    return { text: `Hello, ${name}!`, worker: hostname() };
  },
};
