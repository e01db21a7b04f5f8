/**
 * The modules of ts/ for tests. They are loaded by `require`: what a test replaces in one of them is then seen by the others,
 * which an `import` of each would load a second time.
 */
import { createRequire } from "node:module";

const load = createRequire(import.meta.url);

export const api = load("../../ts/index.ts") as typeof import("../../ts/index.ts");
export const errors = load("../../ts/errors.ts") as typeof import("../../ts/errors.ts");
export const failure = load("../../ts/failure.ts") as typeof import("../../ts/failure.ts");
export const native = load("../../ts/native.ts") as typeof import("../../ts/native.ts");
export const options = load("../../ts/options.ts") as typeof import("../../ts/options.ts");
export const payload = load("../../ts/payload.ts") as typeof import("../../ts/payload.ts");
export const connection = load("../../ts/connection.ts") as typeof import("../../ts/connection.ts");
export const lookout = load("../../ts/lookout.ts") as typeof import("../../ts/lookout.ts");
