import { WasmverseError } from "./error.js";

/** What nobody has read yet; a loop that is slower than this is told so. */
const LENGTH_MAX = 10_000;

/** Things that come by themselves, as an async iterator. It gathers them from the moment it is made. */
export class Feed<T> implements AsyncIterableIterator<T> {
  #queue: T[] = [];
  #readers: ((next: IteratorResult<T>) => void)[] = [];
  #failure: WasmverseError | undefined;
  #ended = false;
  readonly #onEnd: () => void;

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  add(value: T): void {
    if (this.#ended) return;
    const reader = this.#readers.shift();
    if (reader !== undefined) return reader({ value, done: false });
    if (this.#queue.push(value) <= LENGTH_MAX) return;
    const message = `nobody read events while ${LENGTH_MAX} came`;
    this.#failure = new WasmverseError({ code: "overloaded", message });
    this.end();
  }

  /** Nothing comes any more; what is there can still be read. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd();
    this.#readers.splice(0).forEach((resolve) => resolve({ value: undefined, done: true }));
  }

  next(): Promise<IteratorResult<T>> {
    if (this.#queue.length > 0) return Promise.resolve({ value: this.#queue.shift()!, done: false });
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) return Promise.reject(failure);
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.#readers.push(resolve));
  }

  /** The loop was left. */
  return(): Promise<IteratorResult<T>> {
    this.#queue = [];
    this.#failure = undefined;
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
