/** How the store is doing: one round trip, with a limit of time, whose failure is an answer. */
import type { Connection } from "./connection";
import { Failure, MasterAgentError } from "./errors";
import { options, time } from "./options";
import type { HealthOptions, StoreHealth } from "./types";

const KEYS: ReadonlySet<keyof HealthOptions> = new Set<keyof HealthOptions>(["timeout"]);

/** The engine answers this many milliseconds earlier, so that it can say why a server is away. */
const EARLIER = 100;

type Reply = StoreHealth["server"] | Failure | MasterAgentError;

/** Asks the store. What is wrong with the call, or with this package's own installation, is thrown; what is wrong with the store is told. */
export async function storeHealth(connection: Connection, healthOptions: HealthOptions | undefined): Promise<StoreHealth> {
  const { timeout } = options(healthOptions, "options", KEYS);
  const limit = timeout === undefined ? 1_000 : time(timeout, "options.timeout", 100, 3_600_000);
  const begun = performance.now();
  const reply = await ask(connection, limit);
  const latencyMs = Math.round((performance.now() - begun) * 1_000) / 1_000;
  const store = connection.config.url === undefined ? "embedded" : "redis";
  if (!(reply instanceof Failure || reply instanceof MasterAgentError)) {
    return { status: "ok", store, latencyMs, error: null, server: reply };
  }
  const error = reply instanceof Failure ? reply.toError() : reply;
  if (!error.code.startsWith("ERR_STORE_")) {
    throw error;
  }
  const status = error.code === "ERR_STORE_UNREACHABLE" ? "unreachable" : "failing";
  return { status, store, latencyMs, error, server: null };
}

async function ask(connection: Connection, limit: number): Promise<Reply> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Failure>((resolve) => {
    const give = (): void => resolve(silent(connection.config.folder, limit));
    // An answer that came while the event loop was blocked is drained before.
    timer = setTimeout(() => setImmediate(give), limit);
  });
  try {
    // The timer alone keeps the process alive: a store that hangs does not.
    const answer = connection.request(
      JSON.stringify({ op: "health", timeout: Math.max(limit - EARLIER, Math.floor(limit / 2)) }),
      false,
    );
    return (await Promise.race([answer, late])) as Reply;
  } catch (error) {
    if (error instanceof MasterAgentError) {
      return error;
    }
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function silent(place: string, limit: number): Failure {
  return new Failure({ code: "ERR_STORE_UNREACHABLE", message: `${place}: the store did not answer within ${limit} ms` });
}
