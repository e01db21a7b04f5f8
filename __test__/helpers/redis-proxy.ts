/** A wire to a server that can be slow, silent or cut. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { afterwards } from "./cleanup.ts";

/** What the wire does with what comes from either side. */
export type Wire =
  | { kind: "pass" }
  /** Nothing gets through, and nobody is told. */
  | { kind: "stall" }
  /** Half of the next piece gets through, then the connection is cut. Which side's: `from`. */
  | { kind: "halve"; from: "client" | "server" }
  /** Every piece is late by so many milliseconds. */
  | { kind: "delay"; ms: number }
  /** New connections are cut at once. */
  | { kind: "refuse" };

interface Pair {
  client: Socket;
  server: Socket;
}

/** One direction of a connection. What is late holds up what comes after it, as in any stream. */
class Way {
  readonly to: Socket;
  readonly #late: Buffer[] = [];
  #due = 0;

  constructor(to: Socket) {
    this.to = to;
  }

  get isLate(): boolean {
    return this.#late.length > 0;
  }

  send(piece: Buffer, ms = 0): void {
    const now = performance.now();
    this.#due = Math.max(this.#due, now + ms);
    if (this.#due <= now && !this.isLate) {
      this.#write(piece);
      return;
    }
    this.#late.push(piece);
    // Whichever timer comes first takes what came first.
    setTimeout(() => this.#write(this.#late.shift() as Buffer), this.#due - now);
  }

  #write(piece: Buffer): void {
    if (!this.to.destroyed) {
      this.to.write(piece);
    }
  }
}

export class TcpProxy {
  readonly #listener: Server;
  readonly #pairs = new Set<Pair>();
  /** What is kept back while the wire stalls. */
  #held: (() => void)[] = [];
  #wire: Wire = { kind: "pass" };
  #target: number;
  accepted = 0;

  constructor(target: number) {
    this.#target = target;
    this.#listener = createServer((client) => this.#accept(client));
  }

  async listen(): Promise<void> {
    this.#listener.listen(0, "127.0.0.1");
    await once(this.#listener, "listening");
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}/0`;
  }

  /** Where new connections lead from now on. */
  set target(port: number) {
    this.#target = port;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  #accept(client: Socket): void {
    this.accepted += 1;
    client.on("error", () => {});
    if (this.#wire.kind === "refuse") {
      client.destroy();
      return;
    }
    const server = connect({ port: this.#target, host: "127.0.0.1", noDelay: true });
    client.setNoDelay(true);
    const pair = { client, server };
    this.#pairs.add(pair);
    server.on("error", () => {});
    for (const [side, other, from] of [
      [client, server, "client"],
      [server, client, "server"],
    ] as const) {
      const way = new Way(other);
      side.on("data", (piece) => this.#carry(pair, way, piece, from));
      side.on("close", () => this.#cut(pair));
    }
  }

  #carry(pair: Pair, way: Way, piece: Buffer, from: "client" | "server"): void {
    const wire = this.#wire;
    // What came before goes first.
    if (wire.kind === "stall" || this.#held.length > 0) {
      this.#held.push(() => way.send(piece));
    } else if (wire.kind === "halve" && wire.from === from && !way.isLate) {
      this.#wire = { kind: "pass" };
      way.to.end(piece.subarray(0, piece.length >> 1), () => this.#cut(pair));
    } else {
      way.send(piece, wire.kind === "delay" ? wire.ms : 0);
    }
  }

  #cut(pair: Pair): void {
    this.#pairs.delete(pair);
    pair.client.destroy();
    pair.server.destroy();
  }

  /** Changes what the wire does; what a stall kept back goes through when it ends. */
  set(wire: Wire): void {
    this.#wire = wire;
    if (wire.kind !== "stall") {
      const held = this.#held;
      this.#held = [];
      for (const write of held) {
        write();
      }
    }
  }

  /** Cuts all connections; what was kept back is lost. */
  drop(): void {
    this.#held = [];
    for (const pair of [...this.#pairs]) {
      this.#cut(pair);
    }
  }

  async close(): Promise<void> {
    this.drop();
    this.#listener.close();
  }
}

/** Listens in front of the server on `target`. */
export async function proxyFor(t: TestContext, target: number): Promise<TcpProxy> {
  const proxy = new TcpProxy(target);
  await proxy.listen();
  afterwards(t, () => proxy.close());
  return proxy;
}
