/** The smallest sub-agent, to try a set-up with. */
import type { ISubAgent, TaskContext } from "./types";

/** Returns its input: agent type `echo`. */
export class EchoSubAgent<Input = unknown> implements ISubAgent<Input, { echo: Input }> {
  readonly agentType: string = "echo";

  run(input: Input, _context?: TaskContext): { echo: Input } {
    return { echo: input };
  }
}
