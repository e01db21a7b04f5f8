/** What the manifests say agrees: versions, platforms, licence, entries. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { runtimeFiles } from "../../scripts/lib/runtime.mjs";
import { crates, list, read, readJson } from "./repository.ts";

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

describe("manifests", () => {
  test("every crate has the version of the package", () => {
    for (const crate of crates()) assert.equal(crate.version, main.version, crate.name);
  });

  test("npm/ has a package for each target and no other", () => {
    assert.deepEqual([...main.napi.targets].sort(), Object.keys(platforms).sort());
    const folders = Object.values(platforms).map(({ folder }) => folder);
    assert.deepEqual(
      list("npm").filter((name) => name !== ".gitignore"),
      folders.sort(),
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

  test("nothing is installed with the package", () => {
    assert.deepEqual(main.dependencies ?? {}, {});
  });

  test("package-lock.json names no host to fetch from", () => {
    const { packages } = readJson<{ packages: Record<string, { resolved?: string }> }>("package-lock.json");
    assert.deepEqual(
      Object.values(packages).filter(({ resolved }) => resolved !== undefined),
      [],
    );
  });
});
