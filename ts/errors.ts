/**
 * The one error class of the package, its closed list of codes, and the errors that user code can throw.
 * How a failure of a handler becomes a record lives in `worker.ts`.
 */

/** A code of a {@link MasterAgentError}: `ERR_<AREA>_<CAUSE>`. Each is explained in docs/errors.md. */
export type ErrorCode =
  | "ERR_INPUT_INVALID"
  | "ERR_INPUT_NOT_SERIALIZABLE"
  | "ERR_INPUT_TOO_LARGE"
  | "ERR_INPUT_SCHEMA"
  | "ERR_STORE_FULL"
  | "ERR_STORE_READ_ONLY"
  | "ERR_STORE_CORRUPT"
  | "ERR_STORE_LOCKED"
  | "ERR_STORE_OPEN"
  | "ERR_STORE_VERSION"
  | "ERR_STORE_UNREACHABLE"
  | "ERR_STORE_DENIED"
  | "ERR_STORE_FAILED"
  | "ERR_STORE_CONFLICT"
  | "ERR_JOB_NOT_FOUND"
  | "ERR_JOB_STATE"
  | "ERR_JOB_REMOVED"
  | "ERR_TASK_CANCELLED"
  | "ERR_TASK_TIMEOUT"
  | "ERR_TASK_STALLED"
  | "ERR_TASK_FAILED"
  | "ERR_TASK_RESULT"
  | "ERR_TASK_LOST"
  | "ERR_AGENT_EXISTS"
  | "ERR_MEMORY_NOT_FOUND"
  | "ERR_MEMORY_EXISTS"
  | "ERR_MEMORY_MODEL"
  | "ERR_MODEL_LOAD"
  | "ERR_MODEL_DOWNLOAD"
  | "ERR_RUNTIME_LOAD"
  | "ERR_EMBEDDING_FAILED"
  | "ERR_WAIT_TIMEOUT"
  | "ERR_WAIT_ABORTED"
  | "ERR_CLOSED"
  | "ERR_ADDON_LOAD"
  | "ERR_CLI_MODULE"
  | "ERR_INTERNAL";

/** Code → whether the same call can succeed later without a change to it. The same list as `crates/core/src/code.rs`. */
const CODES: Readonly<Record<ErrorCode, boolean>> = {
  ERR_INPUT_INVALID: false,
  ERR_INPUT_NOT_SERIALIZABLE: false,
  ERR_INPUT_TOO_LARGE: false,
  ERR_INPUT_SCHEMA: false,
  ERR_STORE_FULL: true,
  ERR_STORE_READ_ONLY: false,
  ERR_STORE_CORRUPT: false,
  ERR_STORE_LOCKED: true,
  ERR_STORE_OPEN: false,
  ERR_STORE_VERSION: false,
  ERR_STORE_UNREACHABLE: true,
  ERR_STORE_DENIED: false,
  ERR_STORE_FAILED: true,
  ERR_STORE_CONFLICT: true,
  ERR_JOB_NOT_FOUND: false,
  ERR_JOB_STATE: false,
  ERR_JOB_REMOVED: false,
  ERR_TASK_CANCELLED: false,
  ERR_TASK_TIMEOUT: true,
  ERR_TASK_STALLED: true,
  ERR_TASK_FAILED: true,
  ERR_TASK_RESULT: false,
  ERR_TASK_LOST: false,
  ERR_AGENT_EXISTS: false,
  ERR_MEMORY_NOT_FOUND: false,
  ERR_MEMORY_EXISTS: false,
  ERR_MEMORY_MODEL: false,
  ERR_MODEL_LOAD: false,
  ERR_MODEL_DOWNLOAD: true,
  ERR_RUNTIME_LOAD: false,
  ERR_EMBEDDING_FAILED: false,
  ERR_WAIT_TIMEOUT: true,
  ERR_WAIT_ABORTED: false,
  ERR_CLOSED: false,
  ERR_ADDON_LOAD: false,
  ERR_CLI_MODULE: false,
  ERR_INTERNAL: false,
};

/** All codes. */
export const ERROR_CODES: readonly ErrorCode[] = Object.freeze(Object.keys(CODES) as ErrorCode[]);

/** Whether `code` is one of this package. */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === "string" && Object.hasOwn(CODES, code);
}

/** What a {@link MasterAgentError} carries beside its message. */
export interface MasterAgentErrorOptions {
  /** What led to this error. */
  cause?: unknown;
  /** Values that belong to the error, for logs and programs. */
  details?: Readonly<Record<string, unknown>> | undefined;
  /** Overrides what the code says. */
  retryable?: boolean | undefined;
}

/** The error of every call of this package. */
export class MasterAgentError extends Error {
  /** What went wrong, for programs. */
  readonly code: ErrorCode;
  /** Whether the same call can succeed later without a change to it. */
  readonly retryable: boolean;
  /** Values that belong to the error, such as `{ field }` or `{ jobId }`. */
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(code: ErrorCode, message: string, options: MasterAgentErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.retryable = options.retryable ?? CODES[code] ?? false;
    this.details = options.details;
  }
}
Object.defineProperty(MasterAgentError.prototype, "name", { value: "MasterAgentError", configurable: true, writable: true });

/**
 * Thrown by a handler to end its task at once: no attempt follows.
 *
 * @example
 * throw new UnrecoverableError(`customer ${id} does not exist`);
 */
export class UnrecoverableError extends Error {}
Object.defineProperty(UnrecoverableError.prototype, "name", { value: "UnrecoverableError", configurable: true, writable: true });

/** An error as the addon reports it: data, so that the Error is made where the user's stack is. */
export interface NativeError {
  code: string;
  message: string;
  retryable?: boolean;
  details?: Record<string, unknown>;
}

/** A failed reply. Promises inside this package resolve with it; the public method that awaits one throws it as an Error. */
export class Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly retryable: boolean;
  readonly details: Record<string, unknown> | undefined;
  readonly cause: unknown;

  constructor(error: NativeError, cause?: unknown) {
    this.code = isErrorCode(error.code) ? error.code : "ERR_INTERNAL";
    this.message = this.code === error.code ? error.message : `${error.code}: ${error.message}`;
    this.retryable = error.retryable ?? CODES[this.code];
    this.details = error.details;
    this.cause = cause;
  }

  /** The error to throw; its stack is the caller's. */
  toError(details?: Record<string, unknown>): MasterAgentError {
    const merged = details === undefined ? this.details : { ...details, ...this.details };
    return new MasterAgentError(this.code, this.message, {
      details: merged,
      retryable: this.retryable,
      ...(this.cause === undefined ? {} : { cause: this.cause }),
    });
  }
}

/** An `ERR_INPUT_INVALID` that names the field. */
export function invalid(field: string, problem: string): MasterAgentError {
  return new MasterAgentError("ERR_INPUT_INVALID", `${field} ${problem}`, { details: { field } });
}

/** The error of every call after `close()`. */
export function closedError(what: string): MasterAgentError {
  return new MasterAgentError("ERR_CLOSED", `${what} is closed; make a new one to go on`);
}
