/** The rules of dependency between the crates. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Crate, crates } from "./repository.ts";

const rootCrate = "master-agent";
const prefix = "master-agent-";

/** What a crate may build on. An adapter is any crate named store-*. */
const allowed: Record<string, readonly string[]> = {
  core: [],
  store: ["core"],
  queue: ["core", "store"],
  models: ["core"],
  workspace: ["core"],
  monitor: ["core", "store"],
  collab: ["core", "store"],
  memory: ["core", "store"],
  agents: ["core", "store", "queue", "models"],
  workflow: ["core", "store", "queue", "agents", "models"],
  server: ["core", "store", "queue", "agents", "workflow", "monitor", "collab", "memory"],
};
const adapter = ["core", "store"];

/** Libraries that only one crate may know, so that replacing one touches one crate. */
const single = ["redis", "rusqlite", "lancedb", "fastembed", "genai", "yrs", "axum", "tokio-postgres", "sqlx"];

const all = crates();
const short = (crate: Crate) => crate.name.slice(prefix.length);
const members = all.filter((crate) => crate.name !== rootCrate);
const shipped = (crate: Crate) => crate.dependencies.filter(({ kind }) => kind !== "dev");

describe("crates", () => {
  test("the workspace has its parts", () => {
    for (const name of ["core", "store", "store-sqlite", "queue"])
      assert.ok(
        members.some((crate) => short(crate) === name),
        name,
      );
    assert.ok(all.some(({ name }) => name === rootCrate));
  });

  for (const crate of members) {
    test(`${short(crate)} builds only on what it may`, () => {
      assert.ok(crate.name.startsWith(prefix), `${crate.name} is not named ${prefix}…`);
      const may = short(crate).startsWith("store-") ? adapter : allowed[short(crate)];
      assert.ok(may, `${short(crate)} has no place in the rules: add it to them and to ARCHITECTURE.md`);
      const own = shipped(crate).filter(({ name }) => name.startsWith(rootCrate));
      for (const { name } of own) assert.ok(may.includes(name.slice(prefix.length)), `${crate.name} → ${name}`);
    });

    test(`the tests of ${short(crate)} know no adapter`, () => {
      const foreign = crate.dependencies.filter(({ kind, name }) => kind === "dev" && name.startsWith(`${prefix}store-`));
      // Adapters never know each other, and whatever is above the port is tested over the model.
      assert.deepEqual(foreign, []);
    });
  }

  test("napi is in the root alone", () => {
    const users = members.filter((crate) => crate.dependencies.some(({ name }) => /^napi\b/.test(name)));
    assert.deepEqual(users.map(short), []);
    assert.ok(all.find(({ name }) => name === rootCrate)?.dependencies.some(({ name }) => name === "napi"));
  });

  for (const library of single) {
    test(`${library} is in at most one crate`, () => {
      const users = all.filter((crate) => crate.dependencies.some(({ name }) => name === library)).map(({ name }) => name);
      assert.ok(users.length <= 1, `${library} is in ${users.join(" and ")}`);
      assert.ok(!users.includes(rootCrate), `${library} is in the root, which only composes`);
    });
  }

  test("core does no input or output", () => {
    const core = members.find((crate) => short(crate) === "core");
    assert.ok(core);
    const doers = ["tokio", "reqwest", "hyper", "mio", "notify", "async-std", "rusqlite", "parking_lot"];
    assert.deepEqual(
      core.dependencies.filter(({ name }) => doers.includes(name)),
      [],
    );
  });

  test("only the root names adapters", () => {
    const users = members.filter((crate) => shipped(crate).some(({ name }) => name.startsWith(`${prefix}store-`)));
    assert.deepEqual(users.map(short), []);
  });
});
