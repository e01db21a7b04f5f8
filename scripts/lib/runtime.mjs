// ONNX Runtime, the library that runs the embedding model. It lies beside the addon: at the root of the clone, and in the packages of
// npm/ that are published. It is taken from a registry, checked against the checksum here, and never built or fetched by a user.
//
//   node scripts/lib/runtime.mjs [platform] [folder]     puts it into a folder (of this machine, at the root)
//
// PyPI's onnxruntime is the smaller build (no WebGPU: 29 MB against 46 MB on Linux x64). Where there is no pip, the npm package
// onnxruntime-node serves for development; its install script is not run.
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inflateRawSync } from "node:zlib";
import { cache, fail, isMain, root, run } from "./env.mjs";

const wheelVersion = "1.31.1";
const npmVersion = "1.30.0";

/** Folder in npm/ → the name of the library there; then where each registry has it, with the SHA-256. */
const libraries = {
  "darwin-arm64": {
    file: "libonnxruntime.dylib",
    wheel: [
      "macosx_14_0_arm64",
      `libonnxruntime.${wheelVersion}.dylib`,
      "d586cbe89effc085a09d3341b3cfbd5c322517f9d397aeb20814af21433f2b36",
    ],
    npm: [`darwin/arm64/libonnxruntime.${npmVersion}.dylib`, "685d2be5dba1309c89d3a5324b7fd06a5c42f1a61bfea32d14c4cc28d072121d"],
  },
  "linux-arm64-gnu": {
    file: "libonnxruntime.so",
    wheel: [
      "manylinux_2_28_aarch64",
      `libonnxruntime.so.${wheelVersion}`,
      "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467",
    ],
    npm: ["linux/arm64/libonnxruntime.so.1", "1f549d46250b005580b597f4164984aaf75b3bcb9f3aeb07c7f8a8fe60b23c76"],
  },
  "linux-x64-gnu": {
    file: "libonnxruntime.so",
    wheel: [
      "manylinux_2_28_x86_64",
      `libonnxruntime.so.${wheelVersion}`,
      "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3",
    ],
    npm: ["linux/x64/libonnxruntime.so.1", "ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23"],
  },
  "win32-arm64-msvc": {
    file: "onnxruntime.dll",
    wheel: ["win_arm64", "onnxruntime.dll", "dc9e2fe646a72829386a24ac9185a7a4e26d7dbe5dc433d41df063603c00bbc7"],
    npm: ["win32/arm64/onnxruntime.dll", "6c3a2abf5c6aca11c48a0d338a91af309f2266f25ce2e4084e6a87bbcb0fbfd0"],
  },
  "win32-x64-msvc": {
    file: "onnxruntime.dll",
    wheel: ["win_amd64", "onnxruntime.dll", "e45f61e50d8650885452be538a00bb14a715e46a1bc3691000ce947e89ed0306"],
    npm: ["win32/x64/onnxruntime.dll", "508c362f5673483dd3a086379c392795b2e42d10d5e6f3f90ebd7ac21c97af67"],
  },
};

/** What has to be said of it wherever it is passed on: name beside the library, and name in the wheel. */
const notices = { "onnxruntime-LICENSE.txt": "LICENSE", "onnxruntime-ThirdPartyNotices.txt": "ThirdPartyNotices.txt" };

const sum = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** The line of an output that says what went wrong. */
const gist = (output) => {
  const lines = output.trim().split("\n");
  return lines.find((line) => /^(npm error|ERROR)/.test(line) && !/^npm error (code|errno)/.test(line)) ?? lines.at(-1);
};

/** The folder in npm/ for a Rust target. */
export function platformOf(triple) {
  const [, arch, system] = /^(x86_64|aarch64)-(.+)$/.exec(triple);
  const cpu = { x86_64: "x64", aarch64: "arm64" }[arch];
  const rest = {
    "unknown-linux-gnu": ["linux", "gnu"],
    "unknown-linux-musl": ["linux", "musl"],
    "apple-darwin": ["darwin"],
    "pc-windows-msvc": ["win32", "msvc"],
  };
  const [os, libc] = rest[system];
  return [os, cpu, libc].filter(Boolean).join("-");
}

/** The folder in npm/ for this machine. */
export function hostPlatform() {
  const { platform, arch } = process;
  if (platform === "win32") return `win32-${arch}-msvc`;
  if (platform !== "linux") return `${platform}-${arch}`;
  return `linux-${arch}-${process.report.getReport().header.glibcVersionRuntime === undefined ? "musl" : "gnu"}`;
}

/** The files that a package of npm/ has besides the addon. There is no ONNX Runtime for musl. */
export function runtimeFiles(platform) {
  const library = libraries[platform];
  return library ? [library.file, ...Object.keys(notices)] : [];
}

/** Name → bytes of those entries of a zip archive that `wanted` accepts. */
function unzip(archive, wanted) {
  const entries = new Map();
  let end = archive.length - 22;
  while (end >= 0 && archive.readUInt32LE(end) !== 0x06054b50) end -= 1;
  if (end < 0) throw new Error("it is no zip archive");
  let at = archive.readUInt32LE(end + 16);
  for (let count = archive.readUInt16LE(end + 10); count > 0; count -= 1) {
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((offset) => archive.readUInt16LE(at + offset));
    const name = archive.toString("utf8", at + 46, at + 46 + nameLength);
    if (wanted(name)) {
      const local = archive.readUInt32LE(at + 42);
      const start = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
      const bytes = archive.subarray(start, start + archive.readUInt32LE(at + 20));
      entries.set(name, archive.readUInt16LE(at + 10) === 8 ? inflateRawSync(bytes) : bytes);
    }
    at += 46 + nameLength + extraLength + commentLength;
  }
  return entries;
}

/** The files of a platform by name, from PyPI's wheel. Undefined, with the reason in `tried`, when that does not work. */
async function fromWheel({ file, wheel: [tag, entry, checksum] }, folder, tried) {
  const pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"];
  const args = [
    ...pip,
    "--implementation",
    "cp",
    "--python-version",
    "3.12",
    "--platform",
    tag,
    "--dest",
    folder,
    `onnxruntime==${wheelVersion}`,
  ];
  for (const python of process.platform === "win32" ? ["python", "py"] : ["python3", "python"]) {
    const { code, output } = await run(python, args, { quiet: true, silent: true });
    const wheel = readdirSync(folder).find((name) => name.endsWith(".whl"));
    if (code !== 0 || wheel === undefined) {
      tried.push(`${python} -m pip: ${gist(output)}`);
      continue;
    }
    const names = { [file]: `onnxruntime/capi/${entry}` };
    for (const [name, original] of Object.entries(notices)) names[name] = `onnxruntime/${original}`;
    const entries = unzip(readFileSync(join(folder, wheel)), (name) => Object.values(names).includes(name));
    const files = Object.entries(names).map(([name, original]) => [name, entries.get(original)]);
    if (files.every(([, bytes]) => bytes) && sum(files[0][1]) === checksum) return files;
    tried.push(`${wheel}: ${entry} has another checksum than scripts/lib/runtime.mjs says`);
    return undefined;
  }
  return undefined;
}

/** The same from the npm package, which carries no notices. */
async function fromNpm({ file, npm: [entry, checksum] }, folder, tried) {
  const name = `onnxruntime-node@${npmVersion}`;
  const packed = await run("npm", ["pack", name, "--ignore-scripts", "--pack-destination", folder], {
    quiet: true,
    silent: true,
  });
  const tarball = readdirSync(folder).find((found) => found.endsWith(".tgz"));
  const path = `package/bin/napi-v6/${entry}`;
  const unpacked = tarball && (await run("tar", ["-xzf", tarball, path], { cwd: folder, quiet: true, silent: true }));
  if (packed.code !== 0 || !unpacked || unpacked.code !== 0) {
    tried.push(`npm pack ${name}: ${gist((unpacked ?? packed).output)}`);
    return undefined;
  }
  const bytes = readFileSync(join(folder, path));
  if (sum(bytes) === checksum) return [[file, bytes]];
  tried.push(`${name}: ${entry} has another checksum than scripts/lib/runtime.mjs says`);
  return undefined;
}

/** Whether the library in `folder` is the one of a registry; what is published must be the smaller one, with its notices. */
function isGood(platform, folder, publish) {
  const { file, wheel, npm } = libraries[platform];
  const path = join(folder, file);
  if (!existsSync(path)) return false;
  const checksum = sum(readFileSync(path));
  if (checksum === wheel[2]) return Object.keys(notices).every((name) => existsSync(join(folder, name)));
  return !publish && checksum === npm[1];
}

function copyInOneStep(from, to) {
  const half = `${to}.${process.pid}.tmp`;
  copyFileSync(from, half);
  // A process that has the old file loaded keeps it.
  renameSync(half, to);
}

/**
 * Puts the library for `platform` into `folder`, and says whether there is one. `publish`: only the build that is published will do.
 */
export async function placeRuntime(platform, folder, { publish = false } = {}) {
  const library = libraries[platform];
  if (!library) return false;
  if (isGood(platform, folder, publish)) return true;
  const kept = join(cache, "onnxruntime", platform);
  if (!isGood(platform, kept, publish)) {
    const scratch = mkdtempSync(join(tmpdir(), "master-agent-runtime-"));
    const tried = [];
    try {
      const files = (await fromWheel(library, scratch, tried)) ?? (publish ? undefined : await fromNpm(library, scratch, tried));
      if (!files)
        fail(
          `ONNX Runtime for ${platform} could not be fetched from a registry:\n  ${tried.join("\n  ")}\n` +
            `It needs pip (any Python 3) or npm, and a connection to PyPI or to the npm registry, once: it is then kept in ${kept}.`,
        );
      mkdirSync(kept, { recursive: true });
      for (const [name, bytes] of files) {
        writeFileSync(join(scratch, name), bytes);
        copyInOneStep(join(scratch, name), join(kept, name));
      }
    } finally {
      rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
    }
  }
  mkdirSync(folder, { recursive: true });
  for (const name of runtimeFiles(platform))
    if (existsSync(join(kept, name))) copyInOneStep(join(kept, name), join(folder, name));
  return true;
}

if (isMain(import.meta.url)) {
  const [platform = hostPlatform(), folder = root] = process.argv.slice(2);
  const placed = await placeRuntime(platform, folder);
  process.stdout.write(placed ? `ONNX Runtime for ${platform} is in ${folder}\n` : `there is no ONNX Runtime for ${platform}\n`);
}
