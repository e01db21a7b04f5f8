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
      side.on("data", (piece) => this.#carry(pair, other, piece, from));
      side.on("close", () => this.#cut(pair));
    }
  }

  #carry(pair: Pair, to: Socket, piece: Buffer, from: "client" | "server"): void {
    const wire = this.#wire;
    const write = (): void => {
      if (!to.destroyed) {
        to.write(piece);
      }
    };
    // What came before goes first.
    if (wire.kind === "stall" || this.#held.length > 0) {
      this.#held.push(write);
    } else if (wire.kind === "delay") {
      setTimeout(write, wire.ms);
    } else if (wire.kind === "halve" && wire.from === from) {
      this.#wire = { kind: "pass" };
      to.end(piece.subarray(0, piece.length >> 1), () => this.#cut(pair));
    } else {
      write();
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
