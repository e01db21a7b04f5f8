// The types of what the tests take from redis.mjs.
export function redisProgram(): string | undefined;
export const redisAdvice: string;
export function freePort(): Promise<number>;

export class RedisReplyError extends Error {
  readonly code: string;
}

export type RedisReply = string | number | null | RedisReply[];

export class RedisClient {
  static connect(port: number, host?: string): Promise<RedisClient>;
  onPush: (value: RedisReply) => void;
  call(...args: (string | number)[]): Promise<RedisReply>;
  info(...sections: string[]): Promise<Record<string, string | number>>;
  close(): void;
}

export interface RedisPlace {
  folder: string;
  args?: readonly (string | number)[];
  port?: number;
}

export class RedisProcess {
  constructor(place: RedisPlace & { port: number });
  readonly folder: string;
  readonly port: number;
  args: readonly (string | number)[];
  readonly pid: number | undefined;
  readonly log: string;
  readonly running: boolean;
  start(options?: { loaded?: boolean }): Promise<RedisProcess>;
  end(signal?: NodeJS.Signals): Promise<void>;
  signal(signal: NodeJS.Signals): void;
}

export function startRedis(place: RedisPlace): Promise<RedisProcess>;
