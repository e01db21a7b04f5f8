// Makes a fresh clone ready: checks the tools that have to be there, installs the packages of package-lock.json, and fetches protoc and
// ONNX Runtime. Does nothing when all are there already.
import { existsSync, readFileSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { digest, read, write } from "./lib/digest.mjs";
import { fail, isMain, root, run } from "./lib/env.mjs";
import { installProtoc } from "./lib/protoc.mjs";
import { hostPlatform, placeRuntime } from "./lib/runtime.mjs";

const stamp = "node_modules/.master-agent-setup";

async function checkTools() {
  const [major] = process.versions.node.split(".").map(Number);
  if (major < 20) fail(`Node.js 20 or newer is needed, this is ${process.version}. Install one from https://nodejs.org.`);
  for (const [program, args, advice] of [
    ["cargo", ["--version"], "Install Rust from https://rustup.rs."],
    ["cargo", ["fmt", "--version"], "Install it with `rustup component add rustfmt`."],
    ["cargo", ["clippy", "--version"], "Install it with `rustup component add clippy`."],
  ]) {
    const { code } = await run(program, args, { quiet: true });
    if (code !== 0) fail(`\`${program} ${args.join(" ")}\` failed. ${advice}`);
  }
}

// Tests and examples import "master-agent" as a user does. A link does for folders with a package.json of their own what
// Node's self-reference does for the others.
function linkSelf() {
  const link = join(root, "node_modules", "master-agent");
  try {
    if (realpathSync(link) === realpathSync(root)) return;
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
  rmSync(link, { recursive: true, force: true });
  symlinkSync(process.platform === "win32" ? root : "..", link, "junction");
}

/** Brings node_modules to what package-lock.json says. */
export async function installPackages() {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const { dependencies, devDependencies, optionalDependencies, overrides } = manifest;
  const declared = JSON.stringify([dependencies, devDependencies, optionalDependencies, overrides]);
  const wanted = digest(["package-lock.json", ".npmrc"], [declared, process.platform, process.arch, process.versions.modules]);
  if (read(stamp) !== wanted || !existsSync(join(root, "node_modules", "typescript", "package.json"))) {
    // Scripts of packages are not run: none of the tools needs its own.
    const { code } = await run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    if (code !== 0)
      fail("npm ci failed: see above. It needs a package registry, and a package-lock.json that agrees with package.json.");
    write(stamp, wanted);
  }
  linkSelf();
}

/** Makes the clone ready for everything that the scripts here do. */
export async function setup() {
  await checkTools();
  await installPackages();
  await installProtoc();
  // Beside the addon, where it is looked for.
  await placeRuntime(hostPlatform(), root);
}

if (isMain(import.meta.url)) {
  await setup();
  process.stdout.write("tools and packages are in place\n");
}
