// One run of one measure, in a process of its own: `node child.mjs <measure> <directory of the package> <folder> [help]`.
// What comes out goes to the parent as a message; without a parent it is printed, so that a profiler can start this.
import { fork } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { measures } from "./measures/index.mjs";

const [, self, name, directory, folder, role] = process.argv;
const measure = measures.find((measure) => measure.name === name);
const tell = (message) => (process.send ? process.send(message) : console.log(message));
const cpu = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

let helpersCpu = 0;
const notes = {};
const context = {
  directory,
  folder,
  load: () => createRequire(import.meta.url)(directory),
  note: (note) => Object.assign(notes, note),
  async helper(of) {
    const child = fork(fileURLToPath(import.meta.url), [of, directory, folder, "help"], { stdio: "inherit" });
    await once(child, "message");
    return async () => {
      child.send("stop");
      const [message] = await once(child, "message");
      helpersCpu += message.cpu;
      await once(child, "exit");
    };
  },
};

if (measure === undefined || self === undefined) {
  console.error(`There is no measure ${name}. There are: ${measures.map((measure) => measure.name).join(", ")}.`);
  process.exitCode = 1;
} else if (role === "help") {
  const stop = await measure.help(context);
  tell("ready");
  await once(process, "message");
  await stop();
  tell({ cpu: cpu() });
  process.disconnect();
} else {
  const values = await measure.run(context);
  tell({ values, notes, cpu: cpu() + helpersCpu });
}
