/** The closed set of errors: the same names everywhere. */
export type ErrorCode =
  | "application"
  | "not-found"
  | "already-exists"
  | "invalid-argument"
  | "denied"
  | "unauthenticated"
  | "cycle"
  | "overloaded"
  | "timeout"
  | "trapped"
  | "unavailable"
  | "internal";

/** An error as the gate writes it. */
export interface ErrorShape {
  code: ErrorCode;
  message: string;
  object?: string;
  retry_after_ms?: number;
  maybe_executed?: boolean;
  application?: { code: string; details?: unknown };
}

/** Why a call brought no result. */
export class WasmverseError extends Error {
  override readonly name = "WasmverseError";
  /** One of the closed set. */
  readonly code: ErrorCode;
  /** Whether the call may have been executed all the same. */
  readonly maybeExecuted: boolean;
  /** When to try again, if that makes sense. */
  readonly retryAfterMs: number | undefined;
  /** The object, `Type/id`. */
  readonly object: string | undefined;
  /** What the object itself said; its code says what went wrong. */
  readonly application: { code: string; details?: unknown } | undefined;

  constructor(shape: ErrorShape) {
    super(shape.message);
    this.code = shape.code;
    this.maybeExecuted = shape.maybe_executed ?? false;
    this.retryAfterMs = shape.retry_after_ms;
    this.object = shape.object;
    this.application = shape.application;
  }
}

/** No connection, or one that broke. */
export function unavailable(message: string, maybeExecuted: boolean): WasmverseError {
  return new WasmverseError({ code: "unavailable", message, maybe_executed: maybeExecuted });
}
