// The compiler of protocol buffers that the build of LanceDB calls. It comes from the crates registry, as everything else that
// cargo builds: the crates `protoc-bin-vendored-*` carry the binary, one for each platform.
import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cache, fail, root, run } from "./env.mjs";

const version = "3.3.0";

/** Platform and processor of Node.js → end of the name of the crate, and the SHA-256 of its binary. */
const binaries = {
  "darwin-arm64": ["macos-aarch_64", "765ccb18be73e565bfc3e2ad94e85039ca28f928b3e62b487e51b7b8fdf1dcfb"],
  "darwin-x64": ["macos-x86_64", "56ba0f583d8761975d177670a3375564fd2bf5a7d96182a9d0c3b818a893c0ff"],
  "linux-arm64": ["linux-aarch_64", "cb89a125fd3d6c1ee86ee65a2bcbd7c3ac7c3fab1a806e0c466f162882053cb7"],
  "linux-x64": ["linux-x86_64", "f6ee22d65361338459208da8bff801c9ca689741cba9187b34990dd45198f864"],
  // Windows on arm64 runs it too.
  "win32-arm64": ["win32", "ab254642d458b8f307f5a2aefd87f9f7ec426c5c1c5e551e68a845dc14113c0e"],
  "win32-x64": ["win32", "ab254642d458b8f307f5a2aefd87f9f7ec426c5c1c5e551e68a845dc14113c0e"],
};

const program = process.platform === "win32" ? "protoc.exe" : "protoc";
const own = "Or install protoc yourself and set PROTOC to its path.";

const sha256 = (path) => createHash("sha256").update(readFileSync(path)).digest("hex");

/** Where `cargo` has put the sources of the crate. */
async function fetchCrate(crate) {
  const folder = join(cache, "protoc-fetch");
  mkdirSync(folder, { recursive: true });
  // A workspace of its own, so that no manifest above it is asked.
  const manifest = `[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n\n[workspace]\n\n[lib]\npath = "lib.rs"\n\n[dependencies]\n${crate} = "=${version}"\n`;
  writeFileSync(join(folder, "Cargo.toml"), manifest);
  writeFileSync(join(folder, "lib.rs"), "");
  const args = ["metadata", "--format-version", "1", "--quiet"];
  const { code, output } = await run("cargo", args, { cwd: folder, quiet: true, silent: true });
  const line = output.split("\n").find((text) => text.startsWith("{"));
  const found = code === 0 && line && JSON.parse(line).packages.find(({ name }) => name === crate);
  if (!found) fail(`${output.trim()}\n\nCargo could not fetch the crate ${crate} ${version}, which carries protoc. ${own}`);
  rmSync(folder, { recursive: true, force: true });
  return join(found.manifest_path, "..");
}

/** Copies what is in `from` to `to`, which is either there as a whole or not at all. */
function place(from, to) {
  const half = `${to}.${process.pid}.tmp`;
  mkdirSync(join(half, "bin"), { recursive: true });
  copyFileSync(join(from, "bin", program), join(half, "bin", program));
  chmodSync(join(half, "bin", program), 0o755);
  cpSync(join(from, "include"), join(half, "include"), { recursive: true });
  rmSync(to, { recursive: true, force: true });
  renameSync(half, to);
}

/**
 * Puts protoc where `.cargo/config.toml` says it is, for every call of cargo in this clone, and keeps a copy beside the
 * other caches. Who sets PROTOC uses that one.
 */
export async function installProtoc() {
  if (process.env.PROTOC) {
    if (existsSync(process.env.PROTOC)) return;
    fail(`PROTOC is ${process.env.PROTOC}, which does not exist. Set it to the path of protoc, or not at all.`);
  }
  const [suffix, sum] = binaries[`${process.platform}-${process.arch}`] ?? [];
  if (!suffix) fail(`No crate carries protoc for ${process.platform} on ${process.arch}. ${own}`);
  const kept = join(cache, "protoc");
  const wanted = join(root, "dist", "protoc");
  const good = (folder) =>
    existsSync(join(folder, "include")) &&
    existsSync(join(folder, "bin", program)) &&
    sha256(join(folder, "bin", program)) === sum;
  if (good(wanted)) return;
  if (!good(kept)) {
    const crate = `protoc-bin-vendored-${suffix}`;
    const source = await fetchCrate(crate);
    if (!good(source)) fail(`The protoc in ${source} is not the one that ${crate} ${version} is known to carry. ${own}`);
    place(source, kept);
  }
  place(kept, wanted);
}
