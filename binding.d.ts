// Generated from src/ by `npm run build`: do not edit. The public types are in index.d.ts.

/**
 * Which binding artifact the generated loader actually loaded: `'native'` for
 * a native addon, otherwise the `platformArchABI` of the WASI flavor. Every
 * flavor napi-rs can build is listed, because `NAPI_RS_NATIVE_LIBRARY_PATH`
 * can point the loader at a WASI artifact this package does not build itself.
 */
export declare const __napiBindingTarget: 'native' | 'wasm32-wasi' | 'wasm32-wasip1'

export declare class Memory {
  /** Opens nothing yet. `on_event` gets JSON. */
  constructor(options: string, onEvent: (arg: string) => void)
  /** Answers one request, a JSON text, with the rows of numbers that belong to it. */
  call(request: string, vectors?: Float32Array | undefined | null): Promise<MemoryReply>
  /** Lets calls that are under way end, and lets go of all files. */
  close(): Promise<MemoryReply>
  /**
   * Lets all threads out of the library that runs models, and nobody in: for the end of the process, which takes the library down.
   * After two seconds it ends the process itself, with this status.
   */
  static leaveModels(status: number): void
}

export declare class Session {
  constructor(options: NativeOptions, wake: () => void)
  submit(request: number, jobs: string): void
  settle(outcomes: string): void
  request(request: number, body: string): void
  wait(request: number, jobId: string): void
  forget(request: number): void
  alive(): void
  drain(): string
  /** Looks for some 20 microseconds whether there is something to drain. `wake` is not called from here until the next drain. */
  look(): boolean
  /** Gives back what the session holds. With `wait` it returns when the store knows of it, or after half a second. */
  shutdown(wait: boolean): void
}

/** What a call answers: `error` and `value` are JSON. */
export interface MemoryReply {
  error?: string
  value?: string
  /** Rows of numbers that belong to the value, one after the other. */
  vectors?: Float32Array
}

export interface NativeOptions {
  /** The folder of the embedded store; not looked at where there is a URL. */
  folder: string
  /** The URL of a Redis server. */
  url?: string
  /** How long an operation waits for a server that is away, in milliseconds. */
  timeout?: number
  queue: string
  /** "process" or "power". */
  durability: string
  /** How the worker of this session is shown. */
  name: string
}
