/** Reads what was written on the command line. */
import { parseArgs } from "node:util";
import {
  COMMANDS,
  type CommandName,
  type CommandSpec,
  GROUPS,
  type Group,
  groupOverview,
  helpOf,
  isGroup,
  NAMES,
  OPTIONS,
  type OptionName,
  type OptionSpec,
  overview,
  within,
} from "./commands";
import { guess, list, UsageError, type Values } from "./values";

/** What was asked for. */
export type Request =
  | { kind: "help"; text: string }
  | { kind: "version" }
  | { kind: "command"; name: CommandName; operands: string[]; values: Values };

/** Reads the arguments after the program's name. */
export function readArguments(args: readonly string[]): Request {
  const known = Object.entries(OPTIONS).map(([name, option]: [string, OptionSpec]) => [
    name,
    { type: option.value === undefined ? "boolean" : "string", ...(option.short === undefined ? {} : { short: option.short }) },
  ]);
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(known) as Record<string, { type: "boolean" | "string"; short?: string }>,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const words: string[] = [];
  const given: { name: string; written: string; value: string | undefined; inline: boolean }[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") {
      words.push(token.value);
    } else if (token.kind === "option") {
      given.push({ name: token.name, written: token.rawName, value: token.value, inline: token.inlineValue === true });
    }
  }
  const wants = (name: OptionName): boolean => given.some((option) => option.name === name);
  const asksHelp = words[0] === "help";
  if (asksHelp) {
    words.shift();
  }
  if (words.length === 0) {
    if (!asksHelp && !wants("help") && wants("version")) {
      return { kind: "version" };
    }
    if (asksHelp || wants("help")) {
      return { kind: "help", text: overview() };
    }
    refuseUnknown(given, ["help", "version"], "");
    throw new UsageError(`Which command?\n\n${overview()}`);
  }
  const name = commandOf(words);
  if (isGroup(name)) {
    if (asksHelp || wants("help")) {
      return { kind: "help", text: groupOverview(name) };
    }
    throw new UsageError(`Which command?\n\n${groupOverview(name)}`, name);
  }
  if (asksHelp || wants("help")) {
    return { kind: "help", text: helpOf(name) };
  }
  const command: CommandSpec = COMMANDS[name];
  const values = refuseUnknown(given, command.options, name);
  const operands = words.slice(name.split(" ").length);
  if (operands.length < command.least) {
    throw new UsageError(`${name} needs ${command.operands}`, name);
  }
  if (operands.length > command.most) {
    const surplus = operands.slice(command.most).join(" ");
    throw new UsageError(`${name} takes ${command.most === 0 ? "no arguments" : command.operands}: what is ${surplus}?`, name);
  }
  return { kind: "command", name, operands, values };
}

/** The command that words begin with, or the group where only that is there. */
function commandOf(words: readonly string[]): CommandName | Group {
  const [first = "", second] = words;
  if (!isGroup(first)) {
    const name = NAMES.find((one) => one === first);
    if (name === undefined) {
      const single = NAMES.filter((one) => !one.includes(" "));
      // The second word of a command is often taken for the first one.
      const meant = GROUPS.filter((group) => within(group).includes(first)).map((group) => `${group} ${first}`);
      throw new UsageError(
        `There is no command ${first}.${meant.length === 0 ? guess(first, [...single, ...GROUPS, "help"]) : ` Did you mean ${meant.join(" or ")}?`}`,
      );
    }
    return name;
  }
  if (second === undefined) {
    return first;
  }
  const name = NAMES.find((one) => one === `${first} ${second}`);
  if (name === undefined) {
    throw new UsageError(`There is no command ${first} ${second}.${guess(second, within(first), `${first} `)}`, first);
  }
  return name;
}

function refuseUnknown(
  given: readonly { name: string; written: string; value: string | undefined; inline: boolean }[],
  allowed: readonly OptionName[],
  topic: string,
): Values {
  const values: Values = {};
  for (const { name, written, value, inline } of given) {
    const option = allowed.find((one) => one === name);
    if (option === undefined) {
      const where =
        Object.hasOwn(OPTIONS, name) && topic !== "" ? `${topic} has no option ${written}.` : `There is no option ${written}.`;
      throw new UsageError(where + guess(name, allowed, "--"), topic);
    }
    const spec: OptionSpec = OPTIONS[option];
    if (spec.value === undefined) {
      if (inline) {
        throw new UsageError(`${written} takes no value.`, topic);
      }
      values[option] = true;
      continue;
    }
    if (value === undefined || value === "" || (!inline && value.startsWith("-"))) {
      throw new UsageError(`${written} needs a value: ${written} <${spec.value}>.`, topic);
    }
    values[option] = spec.many === true ? [...list(values[option]), value] : value;
  }
  return values;
}
