// How large the packages are that a user installs.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { sections } from "../sizes.mjs";

const MB = 1e6;
const isRuntime = (name) => /^(lib)?onnxruntime\.(so|dll|dylib)$/.test(name);
const isAddon = (name) => name.endsWith(".node");
const size = (file) => statSync(file).size / MB;
const compressed = (file) => gzipSync(readFileSync(file), { level: 9 }).length / MB;

export default [
  {
    name: "memory-size",
    title: "sizes of the packages of the platform and of the model (MB of 1,000,000 bytes)",
    runs: 1,
    metrics: {
      platform: { label: "platform package: addon and runtime library", unit: "MB", most: 150 },
      platformPacked: { label: "the same, compressed as npm does", unit: "MB" },
      addon: { label: "addon", unit: "MB" },
      addonPacked: { label: "the same, compressed", unit: "MB" },
      runtime: { label: "runtime library", unit: "MB" },
      runtimePacked: { label: "the same, compressed", unit: "MB" },
      code: { label: "addon: code (.text)", unit: "MB" },
      unwind: { label: "addon: unwind tables (.eh_frame, .eh_frame_hdr, .gcc_except_table)", unit: "MB" },
      constants: { label: "addon: constants (.rodata, .data.rel.ro, .rela.dyn)", unit: "MB" },
      model: { label: "model package", unit: "MB", most: 26 },
      modelPacked: { label: "the same, compressed", unit: "MB" },
    },
    async run({ directory, note }) {
      const names = readdirSync(directory);
      const [addon] = names.filter(isAddon).map((name) => join(directory, name));
      const [runtime] = names.filter(isRuntime).map((name) => join(directory, name));
      const folder = join(directory, "npm", "model-all-minilm-l6-v2");
      const model = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
      const sum = (files, of) => files.reduce((total, file) => total + of(file), 0);
      const platform = [addon, runtime].filter((file) => file !== undefined);
      const parts = sections(addon);
      if (parts === undefined) note({ sections: "no program `size` of binutils" });
      const of = (...wanted) => parts && wanted.reduce((total, name) => total + (parts[name] ?? 0), 0) / MB;
      return {
        platform: sum(platform, size),
        platformPacked: sum(platform, compressed),
        addon: size(addon),
        addonPacked: compressed(addon),
        ...(runtime && { runtime: size(runtime), runtimePacked: compressed(runtime) }),
        code: of(".text"),
        unwind: of(".eh_frame", ".eh_frame_hdr", ".gcc_except_table"),
        constants: of(".rodata", ".data.rel.ro", ".rela.dyn"),
        ...(model.length > 0 && { model: sum(model, size), modelPacked: sum(model, compressed) }),
      };
    },
  },
];
