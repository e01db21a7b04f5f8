/**
 * Every code block of README.md and docs/ does what the page says.
 *
 * - `ts` and `js`: a whole program. It is run in an empty folder and must end by itself with code 0; `ts` is checked by a strict
 *   compiler first. A `text` block right below is what it prints.
 * - `ts name.ts`, `js name.js`: a file of the page, for the page's commands.
 * - `ts fragment`, `js fragment`: an excerpt. Its syntax is checked, no more.
 * - `sh`: commands, run in order in one folder per page with the files of the page. A trailing `&` leaves one running to the
 *   end of the page, when it must have printed something, gets SIGTERM and must end with code 0. A `text` block below is what
 *   the others print.
 *
 * Where a page says `redis://localhost:6379`, it means a server that is started here, which is empty for each page.
 */
import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import ts from "typescript";
import { type RedisProcess, startRedis } from "../../scripts/lib/redis.mjs";
import { withoutRedis } from "../helpers/redis.ts";
import { type Block, blocksOf, matches, pages, root } from "./markdown.ts";
import { type Outcome, runNode, Scratch, Service } from "./programs.ts";

const scratch = new Scratch();

/** The address that pages show. */
const REDIS = "redis://localhost:6379";
let redis: RedisProcess | undefined;
const needsRedis = ({ code }: Block): boolean => code.includes(REDIS);
const withoutServer = (some: readonly Block[]): string | false => (some.some(needsRedis) ? withoutRedis : false);

/** What a page shows, with the address of the server that there is: a database for each page. */
const here = (text: string, page: string): string =>
  text.replaceAll(REDIS, () => `redis://127.0.0.1:${redis?.port}/${pages.indexOf(page)}`);

const blocks = pages.flatMap(blocksOf);
const isProgram = ({ language }: Block): boolean => language === "ts" || language === "js";
const programs = blocks.filter((block) => isProgram(block) && !block.fragment && block.file === undefined);
const fragments = blocks.filter((block) => isProgram(block) && block.fragment);
const files = blocks.filter((block) => block.file !== undefined);

/** Commands that are not run here, with the reason. */
const NOT_RUN: Readonly<Record<string, string>> = {
  "npm install master-agent": "needs a registry; __test__/package installs the tarballs",
  "npm run quickstart": "builds the repository, in which this test runs",
  "npm test": "is what runs this test",
  "npx master-agent memory add ./docs": "has no such folder here; docs/cli.md runs the like",
  'npx master-agent memory search "what happens when a worker dies?"': "finds what the line above has added",
};

const folderOf = (page: string): string => page.replaceAll(/[/.]/g, "-");

/** Where a block is written, below the scratch folder. */
function placeOf(block: Block): string {
  const page = folderOf(block.page);
  if (block.file !== undefined) return join(page, block.file);
  const isCommonJs = block.language === "js" && /\brequire\(/.test(block.code);
  return join(page, `line-${block.line}`, `main.${isCommonJs ? "cjs" : block.language}`);
}

/** What the compiler says about each file, by its path below the scratch folder. */
const complaints = new Map<string, string[]>();

/** Compiles all TypeScript in one go; JavaScript is written beside it. */
function compile(paths: string[]): void {
  const program = ts.createProgram(
    paths.map((path) => join(scratch.folder, path)),
    {
      target: ts.ScriptTarget.ES2022,
      lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts"],
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      types: ["node"],
      typeRoots: [join(root, "node_modules", "@types")],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      noImplicitOverride: true,
      verbatimModuleSyntax: true,
      skipLibCheck: false,
    },
  );
  for (const { file, messageText, start } of [...ts.getPreEmitDiagnostics(program), ...program.emit().diagnostics]) {
    const path = file === undefined ? "" : file.fileName.slice(scratch.folder.length + 1);
    const line = file === undefined || start === undefined ? 0 : file.getLineAndCharacterOfPosition(start).line + 1;
    const text = `line ${line} of the block: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`;
    complaints.set(path, [...(complaints.get(path) ?? []), text]);
  }
}

/** Fails with what the compiler says about a block. */
function assertTyped(block: Block): void {
  assert.deepEqual(complaints.get(placeOf(block)) ?? [], [], `${block.page}:${block.line}`);
}

function assertEndedWell({ code, signal, stdout, stderr }: Outcome, where: string): void {
  assert.equal(signal, null, `${where}: did not end by itself\n${stdout}${stderr}`);
  assert.equal(code, 0, `${where}: ended with ${code}\n${stdout}${stderr}`);
}

function assertPrints(stdout: string, { output, page, line }: Block): void {
  if (output === undefined || matches(stdout, output)) return;
  assert.equal(stdout, output, `${page}:${line}: prints something else than the page shows`);
}

before(async () => {
  if (blocks.some(needsRedis) && withoutRedis === false) {
    const folder = scratch.write("redis/about.txt", "The data of the server of these tests.").replace(/about.txt$/, "");
    redis = await startRedis({ folder, args: ["--save", "", "--appendonly", "yes", "--databases", pages.length + 1] });
  }
  for (const block of [...programs, ...files]) scratch.write(placeOf(block), here(block.code, block.page));
  compile([...programs, ...files].map(placeOf).filter((path) => path.endsWith(".ts")));
});
after(async () => {
  await redis?.end();
  scratch.remove();
});

test("what the compiler says belongs to a block", () => {
  const known = new Set([...programs, ...files].map(placeOf));
  const elsewhere = [...complaints].filter(([path]) => !known.has(path));
  assert.deepEqual(elsewhere, []);
});

test("there are blocks, and of known kinds", () => {
  assert.ok(programs.length > 20, `${programs.length} programs`);
  const strange = blocks.filter(({ language }) => !["ts", "js", "sh", "text", "json", "sql"].includes(language));
  assert.deepEqual(
    strange.map(({ page, line, language }) => `${page}:${line}: ${language}`),
    [],
  );
});

describe("programs", { concurrency: 2 }, () => {
  for (const block of programs) {
    test(`${block.page}:${block.line}`, { skip: withoutServer([block]) }, async () => {
      assertTyped(block);
      const path = join(scratch.folder, placeOf(block));
      const outcome = await runNode([path.replace(/\.ts$/, ".js")], join(path, ".."));
      assertEndedWell(outcome, `${block.page}:${block.line}`);
      assertPrints(outcome.stdout, block);
    });
  }
});

describe("fragments", () => {
  for (const { page, line, code } of fragments) {
    test(`${page}:${line}`, () => {
      const { diagnostics = [] } = ts.transpileModule(`async () => {\n${code}\n}`, { reportDiagnostics: true });
      assert.deepEqual(
        diagnostics.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n")),
        [],
      );
    });
  }
});

interface Command {
  env: Record<string, string>;
  words: string[];
  service: boolean;
}

/** Reads `NAME=value program word 'quoted word' &`. There is no shell behind it: what else a shell does is refused. */
function parse(line: string): Command {
  const words = [...line.matchAll(/'([^']*)'|"([^"$`\\]*)"|([^\s'"]+)/g)].map((match) => match[1] ?? match[2] ?? match[3] ?? "");
  const service = words.at(-1) === "&";
  if (service) words.pop();
  const env: Record<string, string> = {};
  while (/^\w+=/.test(words[0] ?? "")) {
    const [name = "", ...value] = (words.shift() ?? "").split("=");
    env[name] = value.join("=");
  }
  assert.doesNotMatch(words.join(" "), /[;|<>$`*]/, `the commands of the documentation are plain ones: ${line}`);
  return { env, words, service };
}

/** The arguments for Node.js, where the command is one that may be run here. */
function nodeArguments([program, ...rest]: string[], line: string): string[] {
  if (program === "node") return rest;
  if (program === "npx" && rest[0] === "master-agent") return [join(root, "bin", "master-agent.js"), ...rest.slice(1)];
  throw new Error(`\`${line}\` is neither run here nor in the list of what is not run`);
}

/** Runs one line; gives what it prints. */
async function runLine(line: string, cwd: string, services: [line: string, service: Service][]): Promise<string> {
  const { env, words, service } = parse(line);
  if (words[0] === "cp" && words[1] === "-r" && words.length === 4) {
    cpSync(join(cwd, words[2] ?? ""), join(cwd, words[3] ?? ""), { recursive: true });
    return "";
  }
  const args = nodeArguments(words, line);
  if (service) {
    services.push([line, new Service(args, cwd, env)]);
    return "";
  }
  const outcome = await runNode(args, cwd, env);
  assertEndedWell(outcome, line);
  return outcome.stdout;
}

async function runCommands(page: string): Promise<void> {
  const cwd = join(scratch.folder, folderOf(page));
  const services: [line: string, service: Service][] = [];
  const outcomes: [line: string, outcome: Outcome][] = [];
  try {
    for (const block of blocks.filter((one) => one.page === page && one.language === "sh")) {
      let printed = "";
      const lines = block.code.split("\n").map((line) => line.replace(/(^|\s)#.*$/, "").trim());
      for (const line of lines)
        if (line !== "" && NOT_RUN[line] === undefined) printed += await runLine(here(line, page), cwd, services);
      assertPrints(printed, block);
    }
  } finally {
    for (const [line, service] of services) outcomes.push([line, await service.end()]);
  }
  for (const [line, outcome] of outcomes) assertEndedWell(outcome, line);
}

describe("commands", { concurrency: 2 }, () => {
  for (const page of pages.filter((one) => blocks.some((block) => block.page === one && block.language === "sh"))) {
    test(page, { skip: withoutServer(blocks.filter((block) => block.page === page && block.language === "sh")) }, async () => {
      for (const block of files.filter((file) => file.page === page)) assertTyped(block);
      await runCommands(page);
    });
  }
});

test("the list of commands that are not run has no leftovers", () => {
  const lines = blocks
    .filter(({ language }) => language === "sh")
    .flatMap(({ code }) => code.split("\n").map((line) => line.trim()));
  for (const line of Object.keys(NOT_RUN)) assert.ok(lines.includes(line), line);
});
