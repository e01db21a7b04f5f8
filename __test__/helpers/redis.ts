/** Real Redis servers for tests: one, a primary with a replica and sentinels, a cluster of three; gone when the test has ended. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import {
  RedisClient,
  type RedisProcess,
  RedisReplyError,
  redisAdvice,
  redisProgram,
  startRedis,
} from "../../scripts/lib/redis.mjs";
import { afterwards } from "./cleanup.ts";
import { folderFor } from "./place.ts";
import { until } from "./until.ts";

export { RedisClient, RedisReplyError };

type Argument = string | number;

/** The reason to leave a test out: there is no Redis for Windows. Elsewhere a missing one is a failure that says what to install. */
export const withoutRedis: string | false = process.platform === "win32" && redisProgram() === undefined ? redisAdvice : false;

/** What is written to disk: nothing, or every command before it is answered, or once a second. */
export type Persistence = "none" | "always" | "everysec";

const persistence: Record<Persistence, Argument[]> = {
  none: ["--save", "", "--appendonly", "no"],
  always: ["--save", "", "--appendonly", "yes", "--appendfsync", "always"],
  everysec: ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"],
};

export interface ServerOptions {
  persistence?: Persistence;
  /** More arguments of redis-server. */
  args?: readonly Argument[];
  /** Asked for by the server, and sent by `call`. */
  password?: string;
}

/** A server, and commands to it past the package. */
export class Server {
  readonly process: RedisProcess;
  readonly #password: string | undefined;
  #client: RedisClient | undefined;

  constructor(process: RedisProcess, password?: string) {
    this.process = process;
    this.#password = password;
  }

  get port(): number {
    return this.process.port;
  }

  /** What the package is given as its `store`. */
  get url(): string {
    return `redis://${this.#password === undefined ? "" : `:${this.#password}@`}127.0.0.1:${this.port}/0`;
  }

  /** Sends a command; connects anew where the last connection is gone. */
  async call<T = unknown>(...args: Argument[]): Promise<T> {
    if (this.#client === undefined) {
      const client = await RedisClient.connect(this.port);
      if (this.#password !== undefined) {
        await client.call("AUTH", this.#password);
      }
      this.#client = client;
    }
    try {
      return (await this.#client.call(...args)) as T;
    } catch (error) {
      if (!(error instanceof RedisReplyError)) {
        this.#forget();
      }
      throw error;
    }
  }

  async info(...sections: string[]): Promise<Record<string, string | number>> {
    await this.call("PING");
    return (this.#client as RedisClient).info(...sections);
  }

  /** The connections of others, by their ids. */
  async clients(): Promise<string[]> {
    const own = await this.call<number>("CLIENT", "ID");
    const list = await this.call<string>("CLIENT", "LIST", "TYPE", "normal");
    const pushed = await this.call<string>("CLIENT", "LIST", "TYPE", "pubsub");
    const ids = `${list}\n${pushed}`.split("\n").flatMap((line) => /^id=(\d+) /.exec(line)?.[1] ?? []);
    return ids.filter((id) => id !== String(own));
  }

  /** Cuts a connection of somebody else; says whether it was still there. */
  async cut(id: string): Promise<boolean> {
    return (await this.call<number>("CLIENT", "KILL", "ID", id)) === 1;
  }

  #forget(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  /** Ends it; SIGTERM lets it write what it has. */
  async end(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#forget();
    await this.process.end(signal);
  }

  /** Starts it again on the same port and folder. */
  async begin(options?: { loaded?: boolean }): Promise<void> {
    this.#forget();
    await this.process.start(options);
  }

  async restart(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    await this.end(signal);
    await this.begin();
  }
}

/** Starts a server on a free port with a folder of its own. */
export async function redisFor(t: TestContext, options: ServerOptions = {}): Promise<Server> {
  const { password } = options;
  const process = await startRedis({
    folder: folderFor(t),
    args: [
      ...persistence[options.persistence ?? "none"],
      ...(password === undefined ? [] : ["--requirepass", password, "--masterauth", password]),
      ...(options.args ?? []),
    ],
  });
  const server = new Server(process, password);
  afterwards(t, () => server.end());
  return server;
}

/** How long sentinels wait before they take a primary for dead, in milliseconds. */
const DOWN_AFTER = 500;
const SERVICE = "primary";

/** A primary and a replica, watched by three sentinels. */
export interface SentinelGroup {
  servers: [Server, Server];
  sentinels: Server[];
  /** What the package is given as its `store`. */
  url: string;
  /** The server that the sentinels take for the primary. */
  primary(): Promise<Server>;
  /** Ends the primary and waits until the other one is it. */
  failOver(): Promise<Server>;
  /** Waits until a server that came back has all of the primary. */
  followed(server: Server): Promise<void>;
}

/** What a server says of its part in the copying; undefined while its part changes: it cuts its clients, and loads what it is sent. */
async function part(server: Server): Promise<Record<string, string | number> | undefined> {
  try {
    return await server.info("replication");
  } catch (error) {
    if (error instanceof RedisReplyError && error.code !== "LOADING") {
      throw error;
    }
    return undefined;
  }
}

export async function sentinelFor(
  t: TestContext,
  { sentinelPassword, ...options }: ServerOptions & { sentinelPassword?: string } = {},
): Promise<SentinelGroup> {
  const first = await redisFor(t, options);
  const second = await redisFor(t, { ...options, args: [...(options.args ?? []), "--replicaof", "127.0.0.1", first.port] });
  const sentinels: Server[] = [];
  for (let i = 0; i < 3; i++) {
    sentinels.push(await sentinel(t, first.port, options.password, sentinelPassword));
  }
  const port = async (): Promise<number> => {
    const [, found] = await (sentinels[0] as Server).call<string[]>("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE);
    return Number(found);
  };
  const primary = async (): Promise<Server> => ((await port()) === first.port ? first : second);
  const followed = async (server: Server): Promise<void> => {
    await until("the replica has all of the primary", async () => (await part(server))?.master_link_status === "up");
  };
  await followed(second);
  await until("every sentinel knows the others and the replica", async () => {
    const states = await Promise.all(sentinels.map((one) => one.call<string[]>("SENTINEL", "MASTER", SERVICE)));
    return states.every((state) => field(state, "num-other-sentinels") === "2" && field(state, "num-slaves") === "1");
  });
  const addresses = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(",");
  const credentials = options.password === undefined ? "" : `:${options.password}@`;
  return {
    servers: [first, second],
    sentinels,
    url: `redis+sentinel://${credentials}${addresses}/${SERVICE}/0${sentinelPassword === undefined ? "" : `?sentinelPassword=${sentinelPassword}`}`,
    primary,
    async failOver() {
      const before = await primary();
      await before.end();
      const after = before === first ? second : first;
      const leads = async (): Promise<boolean> => (await primary()) === after && (await part(after))?.role === "master";
      await until("the replica is the primary", leads);
      return after;
    },
    followed,
  };
}

/** The value that follows a name in a flat list. */
const field = (list: readonly string[], name: string): string | undefined => list[list.indexOf(name) + 1];

async function sentinel(t: TestContext, watched: number, password?: string, own?: string): Promise<Server> {
  const folder = folderFor(t);
  const file = join(folder, "sentinel.conf");
  const lines = [
    `sentinel monitor ${SERVICE} 127.0.0.1 ${watched} 2`,
    `sentinel down-after-milliseconds ${SERVICE} ${DOWN_AFTER}`,
    `sentinel failover-timeout ${SERVICE} 3000`,
    ...(password === undefined ? [] : [`sentinel auth-pass ${SERVICE} ${password}`]),
    ...(own === undefined ? [] : [`requirepass ${own}`]),
  ];
  // It writes what it learns into the file.
  writeFileSync(file, `${lines.join("\n")}\n`);
  const process = await startRedis({ folder, args: [file, "--sentinel"] });
  const server = new Server(process, own);
  afterwards(t, () => server.end());
  return server;
}

/** How many slots a cluster has. */
const SLOTS = 16_384;

/** Three primaries that share the slots. */
export interface Cluster {
  nodes: Server[];
  /** What the package is given as its `store`. */
  url: string;
  slotOf(key: string): Promise<number>;
  ownerOf(slot: number): Promise<Server>;
  /** Moves a slot with its keys, one after the other, as `redis-cli --cluster reshard` does; `during` runs half-way. */
  move(slot: number, to: Server, during?: () => Promise<void>): Promise<void>;
}

export async function clusterFor(t: TestContext, options: ServerOptions = {}): Promise<Cluster> {
  const nodes: Server[] = [];
  for (let i = 0; i < 3; i++) {
    const args = ["--cluster-enabled", "yes", "--cluster-node-timeout", 2_000, ...(options.args ?? [])];
    nodes.push(await redisFor(t, { ...options, args }));
  }
  const [first] = nodes as [Server, ...Server[]];
  const share = Math.ceil(SLOTS / nodes.length);
  for (const [index, node] of nodes.entries()) {
    const slots = Array.from({ length: Math.min(share, SLOTS - index * share) }, (_, slot) => index * share + slot);
    await node.call("CLUSTER", "ADDSLOTS", ...slots);
    await node.call("CLUSTER", "SET-CONFIG-EPOCH", index + 1);
    if (node !== first) {
      await node.call("CLUSTER", "MEET", "127.0.0.1", first.port);
    }
  }
  await until("all nodes know of all slots", async () => {
    const infos = await Promise.all(nodes.map((node) => node.call<string>("CLUSTER", "INFO")));
    return infos.every((info) => info.includes("cluster_state:ok") && info.includes("cluster_known_nodes:3"));
  });
  const ownerOf = async (slot: number): Promise<Server> => {
    const ranges = await first.call<[number, number, [string, number]][]>("CLUSTER", "SLOTS");
    const range = ranges.find(([from, to]) => from <= slot && slot <= to);
    return nodes.find(({ port }) => port === range?.[2][1]) as Server;
  };
  return {
    nodes,
    url: `redis+cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(",")}`,
    slotOf: (key) => first.call<number>("CLUSTER", "KEYSLOT", key),
    ownerOf,
    async move(slot, to, during) {
      const from = await ownerOf(slot);
      const [fromId, toId] = await Promise.all([from, to].map((node) => node.call<string>("CLUSTER", "MYID")));
      await to.call("CLUSTER", "SETSLOT", slot, "IMPORTING", fromId as string);
      await from.call("CLUSTER", "SETSLOT", slot, "MIGRATING", toId as string);
      let moved = 0;
      for (;;) {
        const keys = await from.call<string[]>("CLUSTER", "GETKEYSINSLOT", slot, 1);
        if (keys.length === 0) {
          break;
        }
        await from.call("MIGRATE", "127.0.0.1", to.port, "", 0, 10_000, "KEYS", ...keys);
        moved += 1;
        if (moved === 1) {
          await during?.();
        }
      }
      for (const node of [to, from, ...nodes.filter((one) => one !== to && one !== from)]) {
        await node.call("CLUSTER", "SETSLOT", slot, "NODE", toId as string);
      }
    },
  };
}
