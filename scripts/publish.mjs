// Publishes the packages of the platforms and of the bundled model, and then the main one. Runs in the release workflow, where the addons are in artifacts/.
// What is published already is left out, so that a release that stopped half-way can be run again. With --dry-run it only packs.
import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildBundle, buildTypes, generated } from "./build.mjs";
import { read } from "./lib/digest.mjs";
import { fail, node, root, run, tool } from "./lib/env.mjs";
import { placeRuntime, platformOf } from "./lib/runtime.mjs";
import { installPackages } from "./setup.mjs";

const { values } = parseArgs({ options: { tag: { type: "string" }, "dry-run": { type: "boolean", default: false } } });
const { name, version, napi } = JSON.parse(read("package.json"));
if (values.tag !== `v${version}`) fail(`The tag ${values.tag} is not that of package.json, v${version}.`);

const must = async (running, what) => {
  if ((await running).code !== 0) fail(`${what} failed: see above.`);
};
const cli = (...args) => node([tool("@napi-rs", "cli", "dist", "cli.js"), ...args]);

async function publish(folder, packageName) {
  if (values["dry-run"]) return must(run("npm", ["pack", "--dry-run", folder]), `Packing ${packageName}`);
  const { code } = await run("npm", ["view", `${packageName}@${version}`, "version"], { quiet: true, silent: true });
  if (code === 0) return process.stdout.write(`${packageName} ${version} is published already\n`);
  const distTag = version.includes("-") ? ["--tag", "next"] : [];
  await must(run("npm", ["publish", folder, "--access", "public", "--provenance", ...distTag]), `Publishing ${packageName}`);
}

await installPackages();
const before = generated.map(read);
if (!((await buildBundle()) && (await buildTypes()))) fail("The build failed: see above.");
if (generated.some((path, place) => read(path) !== before[place]))
  fail("A generated file is out of date: run `npm run build` and commit.");
await must(cli("artifacts", "--output-dir", "artifacts", "--npm-dir", "npm"), "Sorting the addons into npm/");

const folders = napi.targets.map((triple) => platformOf(triple));
for (const folder of folders) {
  const { main } = JSON.parse(read(`npm/${folder}/package.json`));
  // The main package must never be published without one of them.
  if (!existsSync(join(root, "npm", folder, main))) fail(`${main} is missing in npm/${folder}.`);
  copyFileSync(join(root, "LICENSE"), join(root, "npm", folder, "LICENSE"));
  await placeRuntime(folder, join(root, "npm", folder), { publish: true });
}
for (const folder of folders) await publish(`./npm/${folder}`, `${name}-${folder}`);
const model = JSON.parse(read("npm/model-all-minilm-l6-v2/package.json")).name;
await publish("./npm/model-all-minilm-l6-v2", model);
// Not in the clone's package.json, where it is used from its folder and a registry need not have it yet.
await must(run("npm", ["pkg", "set", `dependencies.${model}=${version}`]), "Preparing package.json");
// Adds the packages of the platforms to package.json as optional dependencies.
await must(
  cli("pre-publish", "--npm-dir", "npm", "--skip-optional-publish", "--no-gh-release", "--tag-style", "npm"),
  "Preparing package.json",
);
await publish(".", name);
