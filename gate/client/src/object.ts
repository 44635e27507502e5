import type { CallOptions } from "./client.js";

/** The methods of an object type: `{ add: (by: number) => number }`. */
export type Methods<T> = { [K in keyof T]: (argument: any) => unknown };

type Argument<F> = F extends () => unknown ? [] : F extends (argument: infer A) => unknown ? [A] : never;
type Result<F> = F extends (...all: any[]) => infer R ? R : never;

/** One object, by the methods of its type. */
export interface ObjectOf<T> {
  /** Calls a method: its name, its argument if it has one, and options. */
  call<K extends keyof T & string>(method: K, ...rest: [...Argument<T[K]>, CallOptions?]): Promise<Result<T[K]>>;
}
