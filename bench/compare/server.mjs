// The Redis that both sides are measured on: started anew for each run, and what it says that it used.
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { RedisClient, startRedis } from "../../scripts/lib/redis.mjs";

export const persistences = {
  none: ["--save", "", "--appendonly", "no"],
  everysec: ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"],
};

/** Starts one, with a folder below `folder`. */
export async function server({ persistence, folder }) {
  const own = mkdtempSync(join(folder, "master-agent-redis-"));
  const redis = await startRedis({ folder: own, args: [...persistences[persistence], "--maxmemory-policy", "noeviction"] });
  const client = await RedisClient.connect(redis.port);
  const used = async () => {
    const info = await client.info("cpu", "stats");
    return {
      cpu: info.used_cpu_user + info.used_cpu_sys,
      bytes: info.total_net_input_bytes + info.total_net_output_bytes,
    };
  };
  return {
    url: `redis://127.0.0.1:${redis.port}/0`,
    version: (await client.info("server")).redis_version,
    memory: async () => (await client.info("memory")).used_memory,
    /** Starts counting; the answer gives seconds of CPU and bytes of network since. */
    async meter() {
      const before = await used();
      return async () => {
        const after = await used();
        return { cpu: after.cpu - before.cpu, bytes: after.bytes - before.bytes };
      };
    },
    /** How many commands clients send within `ms`. Those of a script are its own. */
    async watch(ms) {
      const monitor = await RedisClient.connect(redis.port);
      let commands = 0;
      monitor.onPush = (line) => {
        if (!/^[\d.]+ \[\d+ lua\]/.test(line)) commands += 1;
      };
      await monitor.call("MONITOR");
      await sleep(ms);
      monitor.close();
      return commands;
    },
    async stop() {
      client.close();
      await redis.end();
      rmSync(own, { recursive: true, force: true });
    },
  };
}
