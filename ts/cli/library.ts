/**
 * The library as the command line uses it: through its public entry, loaded when a command needs it, so that `--help`
 * and `--version` work where the addon does not.
 */
import { createRequire } from "node:module";

/** The public face of the package. */
export type Library = typeof import("master-agent");

/** The library that this command line came with. */
export function ownLibrary(): Library {
  return require("master-agent") as Library;
}

/** The version of this command line. */
export function ownVersion(): string {
  return (require("master-agent/package.json") as { version: string }).version;
}

/**
 * The library that a module imports: a command line that is installed elsewhere (globally, say) must register and run in the
 * same copy as the module. The own one where the module finds none.
 */
export function libraryOf(file: string): { library: Library; version: string } {
  const load = createRequire(file);
  try {
    load.resolve("master-agent");
  } catch {
    return { library: ownLibrary(), version: ownVersion() };
  }
  return {
    library: load("master-agent") as Library,
    version: (load("master-agent/package.json") as { version: string }).version,
  };
}
