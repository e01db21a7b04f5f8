// The package as it is measured: a copy, so that a build that runs meanwhile does not change it.
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";

const FILES = ["package.json", "index.js", "index.mjs", "binding.js", "dist/index.cjs"];
/** What memory needs besides: the runtime library beside the addon, and the model. */
const LIBRARY = /^(lib)?onnxruntime\.(so|dll|dylib)$/;
const MODEL = "npm/model-all-minilm-l6-v2";

/** Copies what an installation of the package in `root` consists of, with its release addon, to `to`. */
export function copyPackage(root, to) {
  const native = join(root, "dist", "native", "release");
  const addon = existsSync(native) ? readdirSync(native).find((name) => name.endsWith(".node")) : undefined;
  if (addon === undefined) throw new Error(`${native} has no addon: run \`npm run build:release\` in ${root} first`);
  for (const file of FILES) {
    mkdirSync(dirname(join(to, file)), { recursive: true });
    copyFileSync(join(root, file), join(to, file));
  }
  copyFileSync(join(native, addon), join(to, addon));
  for (const name of readdirSync(root).filter((name) => LIBRARY.test(name))) copyFileSync(join(root, name), join(to, name));
  if (existsSync(join(root, MODEL))) cpSync(join(root, MODEL), join(to, MODEL), { recursive: true });
  return to;
}
