/** The `master-agent` command: reads the arguments, runs the command, and turns what fails into an exit code. */
import { readArguments } from "./arguments";
import { report } from "./failure";
import { changeJobs, listJobs, showJob, showStatus } from "./inspect";
import { ownVersion } from "./library";
import { runMemory } from "./memory-commands";
import { guardOutput, print, printError } from "./terminal";
import { UsageError } from "./values";
import { runWorker } from "./worker";

/** Runs the command line. Exit codes: 0 done, 1 failed, 2 not understood. */
export async function main(args: readonly string[]): Promise<void> {
  let works = false;
  guardOutput(() => works);
  let command = "";
  const asked = { json: args.includes("--json"), verbose: args.includes("--verbose") };
  try {
    const request = readArguments(args);
    if (request.kind === "version") {
      print(ownVersion());
      return;
    }
    if (request.kind === "help") {
      print(request.text);
      return;
    }
    const { name, operands, values } = request;
    command = name;
    switch (name) {
      case "worker":
        works = true;
        await runWorker(operands, values, args);
        break;
      case "status":
        await showStatus(values);
        break;
      case "jobs list":
        await listJobs(values);
        break;
      case "jobs show":
        await showJob(operands, values);
        break;
      case "jobs retry":
      case "jobs cancel":
      case "jobs remove":
        await changeJobs(name, operands, values);
        break;
      default:
        await runMemory(name, operands, values);
    }
  } catch (error) {
    if (error instanceof UsageError) {
      const topic = [error.topic, command].find((one) => one !== "");
      const hint = error.message.includes("\n")
        ? ""
        : `\nmaster-agent${topic === undefined ? "" : ` ${topic}`} --help tells what there is.`;
      printError(error.message + hint);
      process.exitCode = 2;
      return;
    }
    report(error, asked);
    process.exitCode = 1;
  }
}
