// Builds what the package consists of, each part only when something that it is made from has changed:
//   the addon      src/, crates/ → master-agent.<platform>.node, binding.js, binding.d.ts
//   the bundle     ts/           → dist/index.cjs
//   the commands   ts/cli/       → dist/cli.cjs
//   the entry      ts/           → index.mjs
//   the contract   ts/           → index.d.ts
//
//   node scripts/build.mjs                the everyday profile
//   node scripts/build.mjs --release      what most benchmarks are run on
//   node scripts/build.mjs --dist         what is published: the same optimised across crates, for 15 more minutes and 12 GB of memory
//   node scripts/build.mjs --dist --target <triple> [--cross-compile]   for another platform: the addon only
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { digest, filesOf, read, write } from "./lib/digest.mjs";
import { ci, fail, isMain, node, root, run, tool } from "./lib/env.mjs";
import { setup } from "./setup.mjs";

/** The profile that the options of a command ask for. */
export const profileOf = ({ dist, release }) => (dist ? "dist" : release ? "release" : "dev");

/** Files that are written by the build and committed. */
export const generated = ["binding.js", "binding.d.ts", "index.mjs", "index.d.ts"];

const manifest = () => JSON.parse(read("package.json"));
const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;

/** Where the addon of a profile is kept, beside the copy at the root that is loaded. */
const nativeFolder = (profile) => `dist/native/${profile}`;

/** A fingerprint of all that the addon of `profile` is built from. */
async function addonDigest(profile) {
  const { output } = await run("rustc", ["--version", "--verbose"], { quiet: true });
  const { version, napi } = manifest();
  return digest(
    ["Cargo.toml", "Cargo.lock", "build.rs", ".cargo", "src", "crates"],
    [profile, output, version, JSON.stringify(napi)],
  );
}

const addonIn = (folder) =>
  existsSync(join(root, folder)) ? readdirSync(join(root, folder)).find((name) => name.endsWith(".node")) : undefined;

function copyInOneStep(from, to) {
  if (existsSync(to) && readFileSync(to).equals(readFileSync(from))) return;
  // A process that has the old file loaded keeps it.
  const half = `${to}.${process.pid}.tmp`;
  copyFileSync(from, half);
  renameSync(half, to);
}

/**
 * Builds the addon for this machine as every other cargo command here builds: `napi build` would name the target, and cargo keeps what is
 * built for a named target apart, so that LanceDB would be built once for the addon and once more for the tests.
 */
async function compile(profile, folder) {
  const { generateTypeDef, parseTriple, writeJsBinding } = await import("@napi-rs/cli");
  const { output: version } = await run("rustc", ["--version", "--verbose"], { quiet: true });
  const target = parseTriple(/^host: (\S+)$/m.exec(version)[1]);
  const described = await run("cargo", ["metadata", "--format-version", "1", "--no-deps"], { quiet: true });
  if (described.code !== 0) return false;
  const built = JSON.parse(described.output.slice(described.output.indexOf("{"))).target_directory;
  // The macros write the types that JavaScript sees while the crate is compiled: it is, when they are not there.
  const definitions = join(built, "napi-rs", `master-agent-${profile}`);
  mkdirSync(definitions, { recursive: true });
  const env = { NAPI_TYPE_DEF_TMP_FOLDER: definitions };
  if (!existsSync(join(definitions, "master-agent"))) env.NAPI_FORCE_BUILD_MASTER_AGENT = String(Date.now());
  const flags = ["--profile", profile, ...(ci ? ["--locked"] : [])];
  const { code } = await run("cargo", ["build", "--package", "master-agent", ...flags], { env });
  if (code !== 0) return false;
  const { name, napi, version: own } = manifest();
  const names = { win32: "master_agent.dll", darwin: "libmaster_agent.dylib" };
  const library = join(built, profile === "dev" ? "debug" : profile, names[target.platform] ?? "libmaster_agent.so");
  copyInOneStep(library, join(root, folder, `${napi.binaryName}.${target.platformArchABI}.node`));
  const { exports, dts } = await generateTypeDef({
    typeDefDir: definitions,
    configDtsHeader: napi.dtsHeader,
    constEnum: napi.constEnum,
    cwd: root,
    declareBindingTarget: true,
  });
  write(`${folder}/binding.d.ts`, dts);
  await writeJsBinding({
    platform: true,
    idents: exports,
    jsBinding: "binding.js",
    binaryName: napi.binaryName,
    packageName: name,
    version: own,
    outputDir: join(root, folder),
  });
  return true;
}

/** Builds the addon for another platform, which `flags` name. */
async function compileElsewhere(profile, folder, flags) {
  const args = ["build", "--platform", "--output-dir", folder, "--js", "binding.js", "--dts", "binding.d.ts"];
  if (profile !== "dev") args.push("--profile", profile);
  args.push(...flags, "--", "--package", "master-agent");
  if (ci) args.push("--locked");
  return (await node([tool("@napi-rs", "cli", "dist", "cli.js"), ...args])).code === 0;
}

/** Builds the addon with `npm run build`'s or another profile; `extra` goes to `napi build`, which builds for other platforms. */
export async function buildAddon({ profile, extra = [] }) {
  const started = performance.now();
  const folder = nativeFolder(profile);
  const stamp = `${folder}/stamp`;
  const wanted = await addonDigest(profile);
  const native = extra.length === 0;
  const fresh = native && read(stamp) === wanted && addonIn(folder) !== undefined;
  if (!fresh) {
    mkdirSync(join(root, folder), { recursive: true });
    const done = native ? await compile(profile, folder) : await compileElsewhere(profile, folder, extra);
    if (!done) return false;
  }
  for (const name of ["binding.js", "binding.d.ts"]) {
    const text = read(`${folder}/${name}`)?.replaceAll("\r\n", "\n");
    if (text !== undefined) write(name, text);
  }
  for (const name of readdirSync(join(root, folder)).filter((name) => name.endsWith(".node")))
    copyInOneStep(join(root, folder, name), join(root, name));
  if (!fresh && native) write(stamp, wanted);
  process.stdout.write(`addon (${profile}): ${fresh ? "unchanged" : `built in ${seconds(started)}`}\n`);
  return true;
}

/** The folder of the addon that is closest to the published one and built from what is in the tree now. */
export async function publishableAddon() {
  for (const profile of ["dist", "release", "dev"])
    if (read(`${nativeFolder(profile)}/stamp`) === (await addonDigest(profile))) return join(root, nativeFolder(profile));
  return root;
}

const bundleOptions = {
  absWorkingDir: root,
  entryPoints: ["ts/index.ts"],
  bundle: true,
  platform: "node",
  target: "node20",
  external: ["../binding.js"],
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
  outdir: "dist",
  tsconfig: "tsconfig.json",
  write: false,
};

/** The command line uses the library as any program does, and shares its state with the modules that it loads. */
const cliOptions = { ...bundleOptions, entryPoints: { cli: "ts/cli/main.ts" }, external: ["master-agent"], metafile: true };

/** What must be said of the packages that are in a bundle: their licences, as comments. */
function notices({ inputs }) {
  const folders = Object.keys(inputs).flatMap((path) => /^.*\bnode_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []);
  return [...new Set(folders)].sort().map((folder) => {
    const { name, version } = JSON.parse(read(`${folder}/package.json`));
    const file = readdirSync(join(root, folder)).find((entry) => /^licen[cs]e\b/i.test(entry));
    const text = read(`${folder}/${file}`).replaceAll("\r\n", "\n").replaceAll("*/", "* /").trim();
    return `\n/*\n${name} ${version}\n\n${text}\n*/\n`;
  });
}

const esbuild = () => createRequire(import.meta.url)(tool("esbuild"));

/** The names of the values (not of the types) that ts/index.ts exports. */
async function exportedValues() {
  // The metafile lists the exports of an ES module alone.
  const { metafile } = await esbuild().build({ ...bundleOptions, format: "esm", metafile: true, logLevel: "silent" });
  return Object.values(metafile.outputs)
    .flatMap((output) => output.exports)
    .sort();
}

/** Bundles ts/ into dist/index.cjs and dist/cli.cjs and writes index.mjs, which names what the bundle exports. */
export async function buildBundle() {
  try {
    const bundle = await esbuild().build({
      ...bundleOptions,
      format: "cjs",
      outExtension: { ".js": ".cjs" },
      sourcemap: "linked",
    });
    const commands = await esbuild().build({ ...cliOptions, format: "cjs", outExtension: { ".js": ".cjs" } });
    const outputs = [
      ...bundle.outputFiles,
      ...commands.outputFiles.map(({ path, text }) => ({ path, text: text + notices(commands.metafile).join("") })),
    ];
    const changed = outputs.map(({ path, text }) => write(relative(root, path), text)).includes(true);
    write("index.mjs", entryModule(await exportedValues()));
    process.stdout.write(`bundle: ${changed ? "written" : "unchanged"}\n`);
    return true;
  } catch (error) {
    // Esbuild has said what is wrong with the sources.
    if (!error.errors) throw error;
    return false;
  }
}

function entryModule(names) {
  return [
    "// Generated from ts/index.ts by `npm run build`: do not edit.",
    "// Passes on the names of the CommonJS entry, so that both ways of loading share one copy of the state.",
    'import entry from "./index.js";',
    "",
    "export const {",
    ...names.map((name) => `  ${name},`),
    "} = entry;",
    "",
  ].join("\n");
}

/** What ts/index.ts exports as a type is rolled up as if it were a value, where it is a class: takes that back. */
function withTypesOnly(text, values) {
  const types = [];
  const declarations = text.replace(
    /^export (declare (?:abstract )?(?:class|const|function|let|enum) (\w+))/gm,
    (line, rest, name) => {
      if (values.includes(name)) return line;
      if (!types.includes(name)) types.push(name);
      return rest;
    },
  );
  return types.length === 0 ? text : declarations.replace(/\nexport \{\};\n$/, `\nexport type { ${types.join(", ")} };\n`);
}

/** Rolls the public types of ts/ up into index.d.ts. Type errors in ts/ end it. */
export async function buildTypes() {
  const started = performance.now();
  const output = "index.d.ts";
  const stamp = "dist/types.stamp";
  const inputs = [...filesOf("ts"), "scripts/build.mjs", "tsconfig.json", "package-lock.json"];
  const state = () => digest([...inputs, output]);
  if (read(stamp) === state()) {
    process.stdout.write("types: unchanged\n");
    return true;
  }
  const rolled = "dist/types/index.d.ts";
  const bundler = tool("dts-bundle-generator", "dist", "bin", "dts-bundle-generator.js");
  const flags = [
    "--silent",
    "--no-banner",
    "--no-check",
    "--export-referenced-types=false",
    "--project",
    "tsconfig.json",
    "--out-file",
    rolled,
  ];
  const { code } = await node([bundler, ...flags, "ts/index.ts"]);
  if (code !== 0) return false;
  const header = "// The public contract of master-agent. Generated from ts/ by `npm run build`: do not edit.\n\n";
  write(output, header + withTypesOnly(read(rolled).replaceAll("\r\n", "\n").trimStart(), await exportedValues()));
  write(stamp, state());
  process.stdout.write(`types: written in ${seconds(started)}\n`);
  return true;
}

/** Builds everything for this machine. Says whether all of it worked. */
export async function build({ profile = "dev" } = {}) {
  const addon = await buildAddon({ profile });
  const bundle = await buildBundle();
  const types = bundle && (await buildTypes());
  return addon && bundle && types;
}

if (isMain(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      release: { type: "boolean", default: false },
      dist: { type: "boolean", default: false },
      target: { type: "string" },
      "cross-compile": { type: "boolean", default: false },
    },
  });
  await setup();
  const profile = profileOf(values);
  const extra = [...(values.target ? ["--target", values.target] : []), ...(values["cross-compile"] ? ["--cross-compile"] : [])];
  const built = extra.length > 0 ? await buildAddon({ profile, extra }) : await build({ profile });
  if (!built) fail("The build failed: see above.");
}
