/** Loads the modules of `worker` and finds the sub-agents in what they export. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, extname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { AnySubAgent, MasterAgentError } from "master-agent";
import type { Library } from "./library";
import { guess } from "./values";

const JAVASCRIPT = [".js", ".mjs", ".cjs"];
const TYPESCRIPT = [".ts", ".mts", ".cts", ".tsx"];

/** A path of the command line as the file it names, or an error that says what is wrong with it. */
export function moduleFile(path: string, { MasterAgentError }: Library): string {
  const file = resolve(path);
  const fault = (problem: string): MasterAgentError =>
    new MasterAgentError("ERR_CLI_MODULE", `${file} ${problem}`, { details: { file } });
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined) {
    throw fault(`does not exist.${near(file)}`);
  }
  if (!stat.isFile()) {
    throw fault("is a folder; name a module in it.");
  }
  if (![...JAVASCRIPT, ...TYPESCRIPT].includes(extname(file))) {
    throw fault(`is not a module: its name must end with ${[...JAVASCRIPT, ...TYPESCRIPT].join(", ")}.`);
  }
  return file;
}

function near(file: string): string {
  const folder = dirname(file);
  if (!existsSync(folder)) {
    return ` Nor does its folder.`;
  }
  const others = readdirSync(folder).filter((name) => [...JAVASCRIPT, ...TYPESCRIPT].includes(extname(name)));
  return guess(basename(file), others);
}

/** Runs a module and gives what it exports. */
export async function loadModule(file: string, { MasterAgentError }: Library): Promise<Record<string, unknown>> {
  if (TYPESCRIPT.includes(extname(file)) && !(await readsTypeScript(file))) {
    throw new MasterAgentError(
      "ERR_CLI_MODULE",
      `${file} is TypeScript, which Node.js ${process.version} does not read by itself. ` +
        "Install tsx in the project (npm install --save-dev tsx), use Node.js 22.18 or newer, or name the compiled module.",
      { details: { file } },
    );
  }
  try {
    return (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  } catch (cause) {
    throw new MasterAgentError("ERR_CLI_MODULE", `${file} could not be loaded: ${problemOf(cause, file)}`, {
      cause,
      details: { file },
    });
  }
}

/** Makes imports of TypeScript work, with the tsx of the module's project or of the current folder, else with what Node.js has. */
async function readsTypeScript(file: string): Promise<boolean> {
  for (const from of [file, join(process.cwd(), "package.json")]) {
    let hooks: string;
    try {
      hooks = createRequire(from).resolve("tsx");
    } catch {
      continue;
    }
    // As `node --import tsx` does it.
    await import(pathToFileURL(hooks).href);
    return true;
  }
  return Boolean((process.features as { typescript?: unknown }).typescript);
}

/** What a module threw when it was loaded. */
function problemOf(cause: unknown, file: string): string {
  if (!(cause instanceof Error)) {
    return String(cause);
  }
  // Node.js tells where a syntax error is only when it ends the program.
  const place = cause instanceof SyntaxError && JAVASCRIPT.includes(extname(file)) ? placeOf(file) : undefined;
  return `${cause.name}: ${cause.message}${place === undefined ? "" : `, at ${place}`}`;
}

function placeOf(file: string): string | undefined {
  const { stderr } = spawnSync(process.execPath, ["--check", file], { encoding: "utf8" });
  return /^(?:file:\/\/)?(\S.*:\d+)$/m.exec(stderr)?.[1];
}

interface Found {
  /** How the module calls it. */
  label: string;
  agent: AnySubAgent;
}

/** Registers what the module exports and has not registered itself. Gives what is worth a warning. */
export function registerExports(file: string, exports: Record<string, unknown>, library: Library): string[] {
  const { MasterAgentError, getSubAgentRegistry, registerSubAgent } = library;
  const registry = getSubAgentRegistry();
  const warnings: string[] = [];
  const first = new Map<string, string>();
  for (const { label, agent } of subAgentsIn(exports, warnings)) {
    const other = first.get(agent.agentType);
    if (other !== undefined) {
      throw new MasterAgentError(
        "ERR_CLI_MODULE",
        `${file} exports two sub-agents for ${JSON.stringify(agent.agentType)}: ${other} and ${label}. Give them different agent types.`,
        { details: { file, agentType: agent.agentType } },
      );
    }
    if (registry.has(agent.agentType)) {
      // The module's own registration goes before: it may have options.
      continue;
    }
    try {
      registerSubAgent(agent);
    } catch (cause) {
      const problem = cause instanceof Error ? cause.message : String(cause);
      throw new MasterAgentError("ERR_CLI_MODULE", `${file}: its export ${label} cannot be registered: ${problem}`, {
        cause,
        details: { file },
      });
    }
    first.set(agent.agentType, label);
  }
  return warnings;
}

function subAgentsIn(exports: Record<string, unknown>, warnings: string[]): Found[] {
  const found: Found[] = [];
  const seen = new Set<unknown>();
  const classes = new Map<unknown, string>();
  const look = (label: string, value: unknown, deeper: number): void => {
    if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) {
      return;
    }
    seen.add(value);
    if (typeof value === "function") {
      if (typeof (value.prototype as { run?: unknown } | undefined)?.run === "function") {
        classes.set(value, label);
      }
    } else if (isSubAgent(value)) {
      found.push({ label, agent: value });
    } else if (deeper > 0 && Array.isArray(value)) {
      for (const [index, one] of value.entries()) {
        look(`${label}[${index}]`, one, deeper - 1);
      }
    } else if (deeper > 0 && label === "default") {
      // `module.exports = { a, b }`, and its like as an ES module.
      for (const [name, one] of Object.entries(value)) {
        look(name, one, deeper - 1);
      }
    }
  };
  for (const [name, value] of Object.entries(exports)) {
    look(name, value, 2);
  }
  // A class beside its own instance is there for its type.
  const instances = new Set(found.map(({ agent }) => (agent as object).constructor));
  for (const [made, label] of classes) {
    if (instances.has(made as () => unknown)) {
      continue;
    }
    try {
      const agent: unknown = new (made as new () => unknown)();
      if (isSubAgent(agent)) {
        found.push({ label, agent });
      }
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      warnings.push(`the class ${label} is left out, it cannot be made without arguments (${problem}); export an instance`);
    }
  }
  return found;
}

function isSubAgent(value: unknown): value is AnySubAgent {
  const { agentType, run } = value as { agentType?: unknown; run?: unknown };
  return agentType !== undefined && typeof run === "function";
}
