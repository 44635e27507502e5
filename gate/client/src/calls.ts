import { WasmverseError, unavailable } from "./error.js";

/** A call, as the application asks for it. */
export interface Asked {
  type: string;
  object: string;
  method: string;
  payload?: unknown;
  key?: string | undefined;
}

interface Waiting {
  asked: Asked;
  /** When it is over, whatever happens; on the clock that nobody sets. */
  until: number;
  sent: boolean;
  resolve(payload: unknown): void;
  reject(error: WasmverseError): void;
  timer: ReturnType<typeof setTimeout>;
}

/** How much longer than the gate this side waits for a deadline to be answered. */
const GRACE_MS = 2_000;
/** The longest that timers can wait: beyond it they would fire at once. */
const TIMER_MS_MAX = 2 ** 31 - 1 - GRACE_MS;

/** Calls that have no answer yet, in the order in which they were made. */
export class Calls {
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;

  /** Takes a call in; `send` takes its frame if it can go at once. */
  make(asked: Asked, timeoutMs: number, send: ((frame: string) => void) | undefined): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const ms = Math.min(Math.max(Math.ceil(timeoutMs), 1), TIMER_MS_MAX);
      const id = ++this.#lastId;
      const timer = setTimeout(() => this.#expire(id), ms);
      const waiting = { asked, until: performance.now() + ms, sent: false, resolve, reject, timer };
      this.#waiting.set(id, waiting);
      if (send === undefined) return;
      try {
        this.#send(id, waiting, send);
      } catch (error) {
        // What cannot be written as JSON goes nowhere.
        this.#take(id);
        reject(error);
      }
    });
  }

  /** Sends what waited for a connection. */
  sendAll(send: (frame: string) => void): void {
    for (const [id, waiting] of [...this.#waiting]) {
      if (waiting.sent) continue;
      try {
        this.#send(id, waiting, send);
      } catch (error) {
        this.#take(id)?.reject(error as WasmverseError);
      }
    }
  }

  resolve(id: number, payload: unknown): void {
    this.#take(id)?.resolve(payload);
  }

  reject(id: number, error: WasmverseError): void {
    this.#take(id)?.reject(error);
  }

  /** The connection broke: nobody knows what became of the calls that were sent. */
  breakOff(): void {
    for (const [id, { sent }] of [...this.#waiting]) {
      if (sent) this.reject(id, unavailable("the connection broke before the answer came", true));
    }
  }

  /** No connection comes any more. */
  close(): void {
    for (const [id, { sent }] of [...this.#waiting]) {
      this.reject(id, unavailable("the client was closed", sent));
    }
  }

  #send(id: number, waiting: Waiting, send: (frame: string) => void): void {
    // The deadline is that of the application: time that was spent waiting is not given again.
    const left = Math.max(1, Math.ceil(waiting.until - performance.now()));
    const frame = JSON.stringify({ op: "call", id, ...waiting.asked, timeout: `${left}ms` });
    waiting.sent = true;
    send(frame);
  }

  #expire(id: number): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    const giveUp = () => {
      const message = waiting.sent ? "no answer came within the deadline" : "no connection came within the deadline";
      this.reject(id, new WasmverseError({ code: "timeout", message, maybe_executed: waiting.sent }));
    };
    // The gate knows better what became of it.
    if (waiting.sent) waiting.timer = setTimeout(giveUp, GRACE_MS);
    else giveUp();
  }

  /** The call of that id, which is over. */
  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    clearTimeout(waiting?.timer);
    return waiting;
  }
}
