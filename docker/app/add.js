// Gives work to the workers and says who did how much of it: `docker compose run --rm --entrypoint node worker add.js`.
import { MasterAgent } from "master-agent";

const master = new MasterAgent({ autostart: false });
const tasks = Array.from({ length: 100 }, (_, index) => ({ agentType: "hello", input: { name: `number ${index}` } }));
const results = await master.waitForJobs(await master.spawnParallel(tasks), { timeout: 60_000 });
const shares = {};
for (const { success, output } of results) {
  const who = success ? output.worker : "failed";
  shares[who] = (shares[who] ?? 0) + 1;
}
process.stdout.write(`${JSON.stringify(shares)}\n`);
await master.close();
