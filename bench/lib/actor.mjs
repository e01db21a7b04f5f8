// A process that does what it is told, so that two libraries are measured in turns without sharing a process:
// `const peer = await actor(new URL("./peers.mjs", import.meta.url), options)`, then `await peer.call(name, argument)`.
// The module's default export takes the options and answers with the functions that can be called.
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

const self = fileURLToPath(import.meta.url);

/** Starts one. `cpu` of its `stop()` is what it used, in seconds. */
export async function actor(module, options, settings = {}) {
  const child = fork(self, [module.href], { stdio: ["ignore", 2, 2, "ipc"], serialization: "advanced", ...settings });
  const waiting = [];
  const settle = (message) => {
    const { resolve, reject } = waiting.shift();
    if (message.error !== undefined) reject(new Error(message.error));
    else resolve(message.value);
  };
  child.on("message", settle);
  child.on("exit", (code, signal) => {
    for (const { reject } of waiting.splice(0)) reject(new Error(`${module.href} ended with ${signal ?? code}`));
  });
  const send = (message) =>
    new Promise((resolve, reject) => {
      waiting.push({ resolve, reject });
      child.send(message);
    });
  await send({ options });
  return {
    call: (name, argument) => send({ name, argument }),
    stop: () => send({ stop: true }),
    kill: () => child.kill("SIGKILL"),
  };
}

if (process.argv[1] === self && process.send) {
  let functions;
  process.on("message", async ({ options, name, argument, stop }) => {
    try {
      if (functions === undefined) {
        functions = await (await import(process.argv[2])).default(options);
        process.send({});
      } else if (stop) {
        await functions.close?.();
        const { user, system } = process.cpuUsage();
        process.send({ value: (user + system) / 1e6 }, () => process.exit());
      } else {
        process.send({ value: await functions[name](argument) });
      }
    } catch (error) {
      process.send({ error: error?.stack ?? String(error) });
    }
  });
}
