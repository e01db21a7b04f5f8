/** Whether the long forms are wanted (`npm run test:long`), and how long those are that have one. */
export const long = process.env.MASTER_AGENT_LONG === "1";

/** The short or the long form of a number. */
export function size(short: number, inLongRuns: number): number {
  return long ? inLongRuns : short;
}

/** Milliseconds after which something that should have happened long ago counts as never: generous, machines are shared. */
export const PATIENCE = 60_000;
