/** What tests of broken disks and folders need of the machine. */
import { execFileSync } from "node:child_process";
import type { TestContext } from "node:test";
import { afterwards } from "./cleanup.ts";

export const isRoot = process.getuid?.() === 0;
export const isLinux = process.platform === "linux";

/** A user without rights of its own. */
export const NOBODY = 65_534;

/** Why a test that mounts something is skipped here; `false` where it is not. */
export const CANNOT_MOUNT = isRoot && isLinux ? false : "mounting needs root on Linux";

/** Mounts something at the folder until the test has ended. Skips the test, and says so, where that is refused. */
export function mounted(t: TestContext, folder: string, ...args: string[]): boolean {
  try {
    execFileSync("mount", [...args, folder], { stdio: "pipe" });
  } catch (error) {
    t.skip(`nothing can be mounted here: ${String(error)}`);
    return false;
  }
  afterwards(t, () => execFileSync("umount", ["--lazy", folder]));
  return true;
}

/** Mounts a disk of a few megabytes there. */
export function smallDisk(t: TestContext, folder: string): boolean {
  return mounted(t, folder, "-t", "tmpfs", "-o", "size=3m", "tmpfs");
}

/** Makes room on the disk of `smallDisk`. */
export function enlarge(folder: string): void {
  execFileSync("mount", ["-o", "remount,size=64m", folder]);
}
