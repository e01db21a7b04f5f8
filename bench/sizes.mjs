// Which crates an addon consists of: `node bench/sizes.mjs <addon with symbols> [lines]`. The addon of the profile `profiling` has
// symbols (README.md beside this file). A generic function counts for the crate that it is of, not for the one that uses it.
import { spawnSync } from "node:child_process";
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { table } from "./lib/report.mjs";

const run = (program, args) => {
  const { status, stdout } = spawnSync(program, args, { encoding: "utf8", maxBuffer: 2 ** 30 });
  return status === 0 ? stdout : undefined;
};

/** Bytes of the sections of a library; nothing without binutils. */
export function sections(file) {
  const text = run("size", ["-A", file]);
  if (text === undefined) return undefined;
  const found = {};
  for (const [, name, bytes] of text.matchAll(/^(\.[\w.]+)\s+(\d+)/gm)) found[name] = Number(bytes);
  return found;
}

/** The crate of a demangled name; what is not Rust is `C and C++`. */
export function crateOf(name, mangled) {
  if (!/^_(R|ZN)/.test(mangled)) return "C and C++";
  // What drops a value, or calls a closure, belongs to the crate of that value.
  const own = name.replace(/^core::ptr::drop_(?:in_place|glue)</, "<");
  // `<a::B as c::D>::e` is of the crate a, `<&mut [a::B] as …>` too; `<T as c::D>::e` and `<(C0,C1) as c::D>::e` are of c.
  const type = /^[<&*[({\s]*(?:(?:mut|dyn|const|unsafe|impl|fn|extern|"C")[\s(&*[<]+)*([A-Za-z_]\w*)/.exec(own)?.[1];
  if (type === undefined || !/^(?:[A-Z]\d*|[iuf]\d+|[iu]size|bool|char|str)$/.test(type)) return type ?? "other";
  return /^[^:]*? as ([a-z_]\w*)::/.exec(own)?.[1] ?? type;
}

/** Bytes of code by crate. */
export function byCrate(file) {
  const raw = run("nm", ["-S", "--defined-only", "--no-demangle", file]);
  const plain = run("nm", ["-S", "--defined-only", "--demangle=rust", file]) ?? run("nm", ["-S", "--defined-only", "-C", file]);
  if (raw === undefined || plain === undefined) throw new Error(`nm of binutils could not read ${file}`);
  const names = plain.split("\n");
  const bytes = new Map();
  const seen = new Set();
  for (const [index, line] of raw.split("\n").entries()) {
    const [, address, size, kind, mangled] = /^(\w+) (\w+) (\w) (.+)$/.exec(line) ?? [];
    if (mangled === undefined || !/[tTwW]/.test(kind) || seen.has(address)) continue;
    // Several names may be of one function.
    seen.add(address);
    const crate = crateOf(names[index].split(" ").slice(3).join(" "), mangled);
    bytes.set(crate, (bytes.get(crate) ?? 0) + Number.parseInt(size, 16));
  }
  return bytes;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [file, lines = "40"] = process.argv.slice(2);
  if (file === undefined) {
    console.error("usage: node bench/sizes.mjs <addon with symbols> [lines]");
    process.exit(2);
  }
  const found = sections(file);
  if (found !== undefined) {
    const large = Object.entries(found).filter(([name, bytes]) => bytes > 1e5 && !name.startsWith(".debug"));
    console.log(
      `${table([["section", "MB"], ...large.map(([name, bytes]) => [name, (bytes / 1e6).toFixed(1)])], (column) => column === 1)}\n`,
    );
  }
  const crates = [...byCrate(file)].sort(([, left], [, right]) => right - left);
  const all = crates.reduce((sum, [, bytes]) => sum + bytes, 0);
  if (all === 0) {
    console.error(`${file} has no symbols: take the addon of the profile \`profiling\``);
    process.exit(1);
  }
  const rows = crates
    .slice(0, Number(lines))
    .map(([name, bytes]) => [name, (bytes / 1e6).toFixed(2), ((bytes / all) * 100).toFixed(1)]);
  console.log(table([["crate", "MB of code", "%"], ...rows, ["all", (all / 1e6).toFixed(2), "100"]], (column) => column > 0));
}
