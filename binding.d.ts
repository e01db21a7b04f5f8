// Generated from src/ by `npm run build`: do not edit. The public types are in index.d.ts.

/**
 * Which binding artifact the generated loader actually loaded: `'native'` for
 * a native addon, otherwise the `platformArchABI` of the WASI flavor. Every
 * flavor napi-rs can build is listed, because `NAPI_RS_NATIVE_LIBRARY_PATH`
 * can point the loader at a WASI artifact this package does not build itself.
 */
export declare const __napiBindingTarget: 'native' | 'wasm32-wasi' | 'wasm32-wasip1'

export declare class Session {
  constructor(options: NativeOptions, wake: () => void)
  submit(request: number, jobs: string): void
  settle(outcomes: string): void
  request(request: number, body: string): void
  wait(request: number, jobId: string): void
  forget(request: number): void
  alive(): void
  drain(): string
  shutdown(): void
}

export interface NativeOptions {
  /** The folder of the embedded store. */
  folder: string
  queue: string
  /** "process" or "power". */
  durability: string
  /** How the worker of this session is shown. */
  name: string
}
