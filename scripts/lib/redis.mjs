// Redis for tests and benchmarks: where its binary is, how it is installed where it is missing, a server on a free port with a folder of
// its own, and a client that sends commands as they are. No dependencies.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isMain, run } from "./env.mjs";

/** Names under which the server is installed. Valkey is the same to us. */
const programs = ["redis-server", "valkey-server"];

const answers = (program) => spawnSync(program, ["--version"], { stdio: "ignore" }).status === 0;

let found;

/** The program that serves Redis: MASTER_AGENT_REDIS_SERVER, or what is installed. Undefined where there is none. */
export function redisProgram() {
  found ??= process.env.MASTER_AGENT_REDIS_SERVER || programs.find(answers);
  return found;
}

/** What to say where there is none. */
export const redisAdvice =
  "There is no redis-server. Install it (Debian and Ubuntu: `apt-get install redis-server`, macOS: `brew install redis`), " +
  "or set MASTER_AGENT_REDIS_SERVER to the path of a redis-server or valkey-server.";

const isRoot = () => process.getuid?.() === 0;

/** How this system installs it, as lists of commands; empty where we do not know. */
function installers() {
  if (process.platform === "darwin") return answers("brew") ? [["brew", "install", "redis"]] : [];
  if (process.platform !== "linux" || spawnSync("apt-get", ["--version"], { stdio: "ignore" }).status !== 0) return [];
  // Asking for a password would hang a build server.
  const before = isRoot() ? [] : ["sudo", "-n"];
  const apt = [...before, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
  return [
    [...apt, "update", "--quiet"],
    [...apt, "install", "--yes", "--quiet", "--no-install-recommends", "redis-server"],
  ];
}

/** Installs redis-server where it is missing and the system has a way to do so; says whether it is there. */
export async function installRedis() {
  if (redisProgram() !== undefined) return true;
  for (const [program, ...args] of installers()) {
    // A list of packages that could not be renewed may still do.
    const { code } = await run(program, args, { quiet: true });
    if (code !== 0 && args.includes("install")) return false;
  }
  return redisProgram() !== undefined;
}

/** A port that is free now, with the one that is 10,000 above it: a node of a cluster uses both. */
export async function freePort() {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 12_000);
    if ((await isFree(port)) && (await isFree(port + 10_000))) return port;
  }
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** An error that the server answered with; `code` is its first word, such as MOVED. */
export class RedisReplyError extends Error {
  constructor(text) {
    super(text);
    this.name = "RedisReplyError";
    this.code = text.split(" ", 1)[0];
  }
}

/** Replies in what the server sends, with what is left of it. Integers are numbers, strings are UTF-8. */
class Replies {
  #rest = Buffer.alloc(0);

  /** All complete replies of what came so far. */
  take(chunk) {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const replies = [];
    for (let at = 0; ; ) {
      const reply = this.#read(at);
      if (reply === undefined) {
        this.#rest = this.#rest.subarray(at);
        return replies;
      }
      at = reply.end;
      replies.push(reply.value);
    }
  }

  #read(at) {
    const line = this.#rest.indexOf("\r\n", at);
    if (line < 0) return undefined;
    const text = this.#rest.toString("utf8", at + 1, line);
    const end = line + 2;
    switch (String.fromCharCode(this.#rest[at])) {
      case "+":
        return { value: text, end };
      case "-":
        return { value: new RedisReplyError(text), end };
      case ":":
        return { value: Number(text), end };
      case "$": {
        const length = Number(text);
        if (length < 0) return { value: null, end };
        if (this.#rest.length < end + length + 2) return undefined;
        return { value: this.#rest.toString("utf8", end, end + length), end: end + length + 2 };
      }
      case "*": {
        const count = Number(text);
        if (count < 0) return { value: null, end };
        const value = [];
        let next = end;
        for (let index = 0; index < count; index++) {
          const part = this.#read(next);
          if (part === undefined) return undefined;
          value.push(part.value);
          next = part.end;
        }
        return { value, end: next };
      }
      default:
        throw new Error(`the server sent no reply of Redis: ${text}`);
    }
  }
}

const encode = (args) => `*${args.length}\r\n${args.map((arg) => `$${Buffer.byteLength(String(arg))}\r\n${arg}\r\n`).join("")}`;

/** One connection that sends commands in order. */
export class RedisClient {
  #socket;
  #waiting = [];
  #replies = new Replies();
  /** Gets what nobody asked for: the lines of MONITOR, messages of a channel. */
  onPush = () => {};

  constructor(socket) {
    this.#socket = socket;
    socket.on("data", (chunk) => {
      for (const value of this.#replies.take(chunk)) {
        const waiting = this.#waiting.shift();
        if (waiting === undefined) this.onPush(value);
        else if (value instanceof RedisReplyError) waiting.reject(value);
        else waiting.resolve(value);
      }
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error("the connection to Redis was closed"));
    });
  }

  /** Connects; fails at once where nobody listens. */
  static async connect(port, host = "127.0.0.1") {
    const socket = connect({ port, host, noDelay: true });
    await once(socket, "connect");
    return new RedisClient(socket);
  }

  /** Sends a command; answers with its reply. */
  call(...args) {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(new Error("the connection to Redis was closed"));
      this.#waiting.push({ resolve, reject });
      this.#socket.write(encode(args));
    });
  }

  /** The fields of sections of INFO; numbers where they are. */
  async info(...sections) {
    const fields = {};
    // Before version 7 it takes one section.
    for (const section of sections.length === 0 ? ["everything"] : sections) {
      for (const line of (await this.call("INFO", section)).split("\r\n")) {
        const colon = line.indexOf(":");
        if (colon < 0 || line.startsWith("#")) continue;
        const text = line.slice(colon + 1);
        fields[line.slice(0, colon)] = text !== "" && !Number.isNaN(Number(text)) ? Number(text) : text;
      }
    }
    return fields;
  }

  close() {
    this.#socket.destroy();
  }
}

/** How long a server may take to answer after it was started, in milliseconds. */
const START_LIMIT = 60_000;

/** Ends `child` when this process is gone, however it went: the pipe closes then. */
function tie(child) {
  if (process.platform === "win32") return;
  const guard = spawn("sh", ["-c", `read line; kill -9 ${child.pid}`], { stdio: ["pipe", "ignore", "ignore"] });
  // Neither of them keeps this process alive.
  for (const handle of [guard, guard.stdin, child]) handle.unref();
  child.once("exit", () => guard.kill("SIGKILL"));
}

/** A server process. It can be ended and started again on the same port and folder. */
export class RedisProcess {
  #child;
  #ended = Promise.resolve();

  constructor({ folder, port, args = [] }) {
    this.folder = folder;
    this.port = port;
    this.args = args;
  }

  get pid() {
    return this.#child?.pid;
  }

  get log() {
    return readFileSync(join(this.folder, "redis.log"), "utf8");
  }

  get running() {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Starts it, with no configuration but the arguments; answers when it listens. `loaded: false`: it may still be reading its data. */
  async start({ loaded = true } = {}) {
    const program = redisProgram();
    if (program === undefined) throw new Error(redisAdvice);
    const own = ["--port", this.port, "--bind", "127.0.0.1", "--dir", this.folder, "--logfile", join(this.folder, "redis.log")];
    const files = this.#isFile ? 1 : 0;
    const args = [...this.args.slice(0, files), ...own, ...this.args.slice(files)].map(String);
    const child = spawn(program, args, {
      stdio: "ignore",
    });
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once("exit", resolve);
      child.once("error", resolve);
    });
    if (child.pid !== undefined) tie(child);
    const end = performance.now() + START_LIMIT;
    while (!(await this.#answers(loaded))) {
      if (!this.running) throw new Error(`${program} ended at once: ${this.#lastLines()}`);
      if (performance.now() > end) throw new Error(`${program} did not answer within ${START_LIMIT} ms: ${this.#lastLines()}`);
      await sleep(5);
    }
    return this;
  }

  /** A file of settings must be the first argument. */
  get #isFile() {
    return this.args.length > 0 && !String(this.args[0]).startsWith("--");
  }

  #lastLines() {
    try {
      return this.log.trim().split("\n").slice(-5).join("\n");
    } catch {
      return "it wrote nothing";
    }
  }

  async #answers(loaded) {
    let client;
    try {
      client = await RedisClient.connect(this.port);
      await client.call("PING");
      return true;
    } catch (error) {
      if (!(error instanceof RedisReplyError)) return false;
      return error.code === "LOADING" ? !loaded : true;
    } finally {
      client?.close();
    }
  }

  /** Ends it with a signal and waits until it is gone. SIGTERM lets it write its data. */
  async end(signal = "SIGKILL") {
    if (!this.running) return;
    this.#child.ref();
    this.#child.kill(signal);
    await this.#ended;
  }

  /** Suspends or resumes it: it is there and says nothing. */
  signal(signal) {
    this.#child?.kill(signal);
  }
}

/** Starts a server in `folder` on a free port; another program may take the port first, then it is another one. */
export async function startRedis({ folder, args = [], port }) {
  for (let tries = 0; ; tries++) {
    const server = new RedisProcess({ folder, args, port: port ?? (await freePort()) });
    try {
      return await server.start();
    } catch (error) {
      await server.end();
      if (port !== undefined || tries === 4 || !/in use/i.test(error.message)) throw error;
    }
  }
}

if (isMain(import.meta.url)) {
  const there = await installRedis();
  process.stdout.write(there ? `${redisProgram()} is there\n` : `${redisAdvice}\n`);
  process.exitCode = there ? 0 : 1;
}
