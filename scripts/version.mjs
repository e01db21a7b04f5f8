// Runs in `npm version`: carries the version of package.json into Cargo.toml, Cargo.lock, the platform packages and binding.js.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { read, write } from "./lib/digest.mjs";
import { fail, root, run } from "./lib/env.mjs";
import { setup } from "./setup.mjs";

await setup();
const { version } = JSON.parse(read("package.json"));
write("Cargo.toml", read("Cargo.toml").replace(/(\[workspace\.package\]\nversion = )"[^"]*"/, `$1"${version}"`));
for (const platform of readdirSync(join(root, "npm"))) {
  const path = `npm/${platform}/package.json`;
  const manifest = JSON.parse(readFileSync(join(root, path), "utf8"));
  write(path, `${JSON.stringify({ ...manifest, version }, null, 2)}\n`);
}
if ((await run("cargo", ["update", "--workspace"])).code !== 0) fail("Cargo.lock could not be brought to the new version.");
if (!(await build())) fail("The build failed: see above.");
const written = ["Cargo.toml", "Cargo.lock", "npm", "binding.js"];
if ((await run("git", ["add", ...written])).code !== 0) fail("git add failed: see above.");
