/** What the manifests say agrees: versions, platforms, licence, entries. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { runtimeFiles } from "../../scripts/lib/runtime.mjs";
import { crates, list, read, readJson, root } from "./repository.ts";

interface Manifest {
  name: string;
  version: string;
  license: string;
  main: string;
  files: string[];
  os?: string[];
  cpu?: string[];
  libc?: string[];
  engines: Record<string, string>;
  repository: { url: string };
  publishConfig: { access: string; provenance: boolean };
  dependencies?: Record<string, string>;
  napi: { binaryName: string; targets: string[] };
}

const main = readJson<Manifest>("package.json");

/** Rust target → folder in npm/ with its os, cpu and libc. */
const platforms: Record<string, { folder: string; os: string; cpu: string; libc?: string }> = {
  "x86_64-unknown-linux-gnu": { folder: "linux-x64-gnu", os: "linux", cpu: "x64", libc: "glibc" },
  "aarch64-unknown-linux-gnu": { folder: "linux-arm64-gnu", os: "linux", cpu: "arm64", libc: "glibc" },
  "x86_64-unknown-linux-musl": { folder: "linux-x64-musl", os: "linux", cpu: "x64", libc: "musl" },
  "aarch64-unknown-linux-musl": { folder: "linux-arm64-musl", os: "linux", cpu: "arm64", libc: "musl" },
  "aarch64-apple-darwin": { folder: "darwin-arm64", os: "darwin", cpu: "arm64" },
  "x86_64-pc-windows-msvc": { folder: "win32-x64-msvc", os: "win32", cpu: "x64" },
  "aarch64-pc-windows-msvc": { folder: "win32-arm64-msvc", os: "win32", cpu: "arm64" },
};

const modelFolder = "model-all-minilm-l6-v2";

/** What model.json says of the files of the model. */
interface ModelFiles {
  files: Record<string, { bytes: number; sha256: string }>;
}

describe("manifests", () => {
  test("every crate has the version of the package", () => {
    for (const crate of crates()) assert.equal(crate.version, main.version, crate.name);
  });

  test("npm/ has a package for each target and one for the model, and no other", () => {
    assert.deepEqual([...main.napi.targets].sort(), Object.keys(platforms).sort());
    const folders = Object.values(platforms).map(({ folder }) => folder);
    assert.deepEqual(
      list("npm").filter((name) => name !== ".gitignore"),
      [...folders, modelFolder].sort(),
    );
  });

  for (const { folder, os, cpu, libc } of Object.values(platforms)) {
    test(`npm/${folder} describes its platform`, () => {
      const own = readJson<Manifest>(`npm/${folder}/package.json`);
      const addon = `${main.napi.binaryName}.${folder}.node`;
      assert.equal(own.name, `${main.name}-${folder}`);
      assert.equal(own.version, main.version);
      assert.equal(own.license, main.license);
      assert.equal(own.main, addon);
      assert.deepEqual(own.files, [addon, ...runtimeFiles(folder)]);
      assert.deepEqual(own.os, [os]);
      assert.deepEqual(own.cpu, [cpu]);
      assert.deepEqual(own.libc, libc === undefined ? undefined : [libc]);
      assert.deepEqual(own.engines, main.engines);
      assert.deepEqual(own.repository, main.repository);
      assert.deepEqual(own.publishConfig, main.publishConfig);
      assert.match(read(`npm/${folder}/README.md`), new RegExp(`^# ${own.name}\n`));
    });

    test(`binding.js looks for ${folder}`, () => {
      const text = read("binding.js");
      assert.ok(text.includes(`require('./${main.napi.binaryName}.${folder}.node')`));
      assert.ok(text.includes(`require('${main.name}-${folder}')`));
    });
  }

  describe(`npm/${modelFolder}`, () => {
    const folder = `npm/${modelFolder}`;
    const own = readJson<Manifest>(`${folder}/package.json`);
    const described = readJson<ModelFiles>(`${folder}/model.json`).files;

    test("describes the model", () => {
      assert.equal(own.name, `${main.name}-${modelFolder}`);
      assert.equal(own.version, main.version);
      assert.equal(own.license, "Apache-2.0");
      assert.equal(own.main, "model.json");
      assert.deepEqual(own.files, ["NOTICE", "model.json", ...Object.keys(described)]);
      assert.deepEqual([own.os, own.cpu, own.libc, own.dependencies], [undefined, undefined, undefined, undefined]);
      assert.deepEqual(own.engines, main.engines);
      assert.equal(own.repository.url, main.repository.url);
      assert.deepEqual(own.publishConfig, main.publishConfig);
      assert.match(read(`${folder}/README.md`), new RegExp(`^# ${own.name}\n`));
      assert.match(read(`${folder}/LICENSE`), /^\s*Apache License\s+Version 2\.0/);
      // Apache-2.0 asks that changes are told.
      assert.match(read(`${folder}/NOTICE`), /sentence-transformers\/all-MiniLM-L6-v2[\s\S]*Changes made here/);
    });

    test("is where the bundle looks for it", () => {
      assert.ok(read("ts/native.ts").includes(`"${own.name}"`));
    });

    test("has the files that model.json describes", () => {
      assert.deepEqual(Object.keys(described).sort(), ["model.onnx", "tokenizer.json"]);
      for (const [file, { bytes, sha256 }] of Object.entries(described)) {
        const content = readFileSync(join(root, folder, file));
        assert.equal(content.length, bytes, file);
        assert.equal(createHash("sha256").update(content).digest("hex"), sha256, file);
      }
    });

    test("takes at most 26 MB", () => {
      // What npm adds to `files` by itself counts too.
      const packed = [...own.files, "LICENSE", "README.md", "package.json"];
      const bytes = packed.reduce((sum, file) => sum + statSync(join(root, folder, file)).size, 0);
      assert.ok(bytes <= 26_000_000, `${bytes} bytes`);
    });
  });

  test("a clone needs no package to run: publishing adds that of the model", () => {
    assert.deepEqual(main.dependencies ?? {}, {});
    assert.match(read("scripts/publish.mjs"), /dependencies\.\$\{model\}=\$\{version\}/);
  });

  test("package-lock.json names no host to fetch from", () => {
    const { packages } = readJson<{ packages: Record<string, { resolved?: string }> }>("package-lock.json");
    assert.deepEqual(
      Object.values(packages).filter(({ resolved }) => resolved !== undefined),
      [],
    );
  });
});
