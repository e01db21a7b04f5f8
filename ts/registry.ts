/** The sub-agents of this environment (a process, or one of its worker threads). Who runs them is `worker.ts`. */
import { invalid, MasterAgentError } from "./errors";
import { boolean, integer, name, options, show } from "./options";
import { isStandardSchema, type StandardSchema } from "./schema";
import type { AnySubAgent, ISubAgent, RegisterOptions, SubAgentTypes } from "./types";

/** A registered sub-agent, as workers use it. */
export interface Registration {
  readonly agent: ISubAgent;
  readonly concurrency: number | null;
  readonly schema: StandardSchema | undefined;
}

type AgentOf<T extends string> = T extends keyof SubAgentTypes ? SubAgentTypes[T] : ISubAgent;

/** The registered sub-agents by agent type, to be read. */
export class SubAgentRegistry implements Iterable<[string, ISubAgent]> {
  readonly #entries: ReadonlyMap<string, Registration>;

  /** @internal */
  constructor(entries: ReadonlyMap<string, Registration>) {
    this.#entries = entries;
  }

  /** How many are registered. */
  get size(): number {
    return this.#entries.size;
  }

  /** The sub-agent of an agent type. */
  get<T extends (keyof SubAgentTypes & string) | (string & {})>(agentType: T): AgentOf<T> | undefined {
    return this.#entries.get(agentType)?.agent as AgentOf<T> | undefined;
  }

  /** Whether an agent type has a sub-agent. */
  has(agentType: string): boolean {
    return this.#entries.has(agentType);
  }

  /** The agent types, in the order in which they were registered. */
  keys(): IterableIterator<string> {
    return this.#entries.keys();
  }

  /** The sub-agents. */
  *values(): IterableIterator<ISubAgent> {
    for (const { agent } of this.#entries.values()) {
      yield agent;
    }
  }

  /** Agent types with their sub-agents. */
  *entries(): IterableIterator<[string, ISubAgent]> {
    for (const [agentType, { agent }] of this.#entries) {
      yield [agentType, agent];
    }
  }

  [Symbol.iterator](): IterableIterator<[string, ISubAgent]> {
    return this.entries();
  }
}

const registrations = new Map<string, Registration>();
const registry = new SubAgentRegistry(registrations);
const listeners = new Set<() => void>();

/** What is registered for an agent type. */
export function registrationOf(agentType: string): Registration | undefined {
  return registrations.get(agentType);
}

/** What workers serve: agent types with their limits. */
export function servedAgents(): [agentType: string, limit: number | null][] {
  return Array.from(registrations, ([agentType, { concurrency }]) => [agentType, concurrency]);
}

/** Calls `listener` after every change; returns what ends that. */
export function onRegistryChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}

const REGISTER_KEYS: ReadonlySet<keyof RegisterOptions> = new Set<keyof RegisterOptions>(["concurrency", "replace"]);

/**
 * Makes a sub-agent known in this process. Running workers serve it at once.
 *
 * @returns the sub-agent itself, to be passed to `spawn` and `run` with its types.
 * @throws {@link MasterAgentError} `ERR_AGENT_EXISTS` if another one is registered for its type.
 *
 * @example
 * const upper = registerSubAgent({
 *   agentType: "upper",
 *   run: (input: { text: string }) => input.text.toUpperCase(),
 * });
 */
export function registerSubAgent<A extends AnySubAgent>(agent: A, registerOptions?: RegisterOptions): A {
  if (typeof agent !== "object" || agent === null) {
    const advice = typeof agent === "function" ? "; pass an instance: registerSubAgent(new MySubAgent())" : "";
    throw invalid("agent", `must be an object with agentType and run(), not ${show(agent)}${advice}`);
  }
  const agentType = name(agent.agentType, "agent.agentType");
  if (typeof agent.run !== "function") {
    throw invalid("agent.run", `must be a function, not ${show(agent.run)}`);
  }
  const schema: unknown = agent.inputSchema;
  if (schema !== undefined && schema !== null && !isStandardSchema(schema)) {
    throw invalid("agent.inputSchema", `must be a Standard Schema v1 (with "~standard"), not ${show(schema)}`);
  }
  const { concurrency, replace } = options(registerOptions, "options", REGISTER_KEYS);
  const limit = concurrency === undefined ? null : integer(concurrency, "options.concurrency", 1, 100_000);
  const mayReplace = replace !== undefined && boolean(replace, "options.replace");
  const present = registrations.get(agentType);
  if (present !== undefined && present.agent !== (agent as unknown) && !mayReplace) {
    throw new MasterAgentError(
      "ERR_AGENT_EXISTS",
      `A sub-agent is registered for ${JSON.stringify(agentType)} already; unregister it first, or pass { replace: true }`,
      { details: { agentType } },
    );
  }
  registrations.set(agentType, {
    agent: agent as unknown as ISubAgent,
    concurrency: limit,
    schema: isStandardSchema(schema) ? schema : undefined,
  });
  changed();
  return agent;
}

/**
 * Takes a sub-agent, or the one of an agent type, out of this process. What it runs now goes on to its end.
 *
 * @returns whether it was registered.
 */
export function unregisterSubAgent(agent: string | AnySubAgent): boolean {
  let agentType: unknown = agent;
  if (typeof agent === "object" && agent !== null) {
    agentType = agent.agentType;
    const present = typeof agentType === "string" ? registrations.get(agentType) : undefined;
    if (present !== undefined && present.agent !== (agent as unknown)) {
      return false;
    }
  }
  const removed = registrations.delete(name(agentType, "agentType"));
  if (removed) {
    changed();
  }
  return removed;
}

/** The sub-agents that are registered in this process, to be read; it follows later changes. */
export function getSubAgentRegistry(): SubAgentRegistry {
  return registry;
}

function changed(): void {
  for (const listener of listeners) {
    listener();
  }
}
