// Formats the Rust and the TypeScript sources, and applies the fixes of the linter that cannot change a meaning.
import { fail, node, run, tool } from "./lib/env.mjs";
import { setup } from "./setup.mjs";

await setup();
const rust = await run("cargo", ["fmt", "--all"]);
const typescript = await node([tool("@biomejs", "biome", "bin", "biome"), "check", "--write"]);
if (rust.code !== 0 || typescript.code !== 0) fail("Not everything could be formatted or fixed: see above.");
