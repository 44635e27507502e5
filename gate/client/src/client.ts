import { WasmverseError } from "./error.js";
import type { ObjectOf } from "./object.js";
import type { FromGate, Socket, SocketConstructor } from "./wire.js";

/** How a client is doing. */
export type State = "connecting" | "open" | "reconnecting" | "closed";

export interface ClientOptions {
  /** The constructor of sockets; none: that of the platform. */
  WebSocket?: SocketConstructor;
  /** How long a call may take, in milliseconds. */
  timeoutMs?: number;
  /** A link on which nothing comes for so long is dead, in milliseconds. */
  quietMs?: number;
  /** Between two tries to come back: at first, and at most, in milliseconds. */
  backoffMs?: { min: number; max: number };
}

export interface CallOptions {
  /** How long the call may take, in milliseconds. */
  timeoutMs?: number;
  /** Makes the call exactly once in effect (durable types). */
  key?: string;
}

/** What a client tells whoever listens. */
export interface Events {
  /** An object pushed something. */
  push: { event: string; payload: unknown };
  /** Pushes were missed: so many, or nobody knows. */
  gap: { missed: number | null };
  /** There is a session; `isNew`: another than before, so objects do not know this client yet. */
  session: { clientId: string; isNew: boolean };
  state: State;
}

interface Waiting {
  frame: string;
  sent: boolean;
  resolve(payload: unknown): void;
  reject(error: WasmverseError): void;
  timer: ReturnType<typeof setTimeout>;
}

type Listener<K extends keyof Events> = (happening: Events[K]) => void;

/** How much longer than the gate this side waits for a deadline to be answered. */
const GRACE_MS = 2_000;
/** The session was resumed by another connection. */
const REPLACED = 4001;

/** A session with a gate. It connects at once, and comes back until it is closed. */
export class Client {
  readonly #url: string;
  readonly #make: SocketConstructor;
  readonly #options: Required<Omit<ClientOptions, "WebSocket">>;
  readonly #listeners = new Map<keyof Events, Set<Listener<any>>>();
  readonly #waiting = new Map<number, Waiting>();
  #socket: Socket | undefined;
  #state: State = "connecting";
  #session: { token: string; clientId: string; seq: number } | undefined;
  #lastId = 0;
  #pauseMs: number;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #quiet: ReturnType<typeof setTimeout> | undefined;

  /** `url`: where the gate is (`http://127.0.0.1:8080`). */
  constructor(url: string | URL, options: ClientOptions = {}) {
    const make = options.WebSocket ?? (globalThis as { WebSocket?: SocketConstructor }).WebSocket;
    if (make === undefined) {
      throw new TypeError("there is no WebSocket here: use Node 22, or pass that of the package `ws` as an option");
    }
    this.#make = make;
    this.#url = new URL("v1/ws", withSlash(url)).href.replace(/^http/, "ws");
    this.#options = {
      timeoutMs: options.timeoutMs ?? 30_000,
      quietMs: options.quietMs ?? 40_000,
      backoffMs: options.backoffMs ?? { min: 200, max: 5_000 },
    };
    this.#pauseMs = this.#options.backoffMs.min;
    this.#connect();
  }

  get state(): State {
    return this.#state;
  }

  /** What objects push to; none before the session is open. No secret. */
  get clientId(): string | undefined {
    return this.#session?.clientId;
  }

  /** Listens; the answer ends it. */
  on<K extends keyof Events>(what: K, listener: Listener<K>): () => void {
    const listeners = this.#listeners.get(what) ?? new Set();
    this.#listeners.set(what, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /** What objects push, as it comes, until the client is closed or the loop is left. */
  async *events(): AsyncGenerator<Events["push"]> {
    const queue: Events["push"][] = [];
    let wake = () => {};
    const stop = [
      this.on("push", (push) => (queue.push(push), wake())),
      this.on("state", () => wake()),
    ];
    try {
      for (;;) {
        const next = queue.shift();
        if (next !== undefined) yield next;
        else if (this.#state === "closed") return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      stop.forEach((end) => end());
    }
  }

  /** An object by type and id, with the methods of its type if they are given. */
  object<T = Record<string, (argument?: any) => any>>(type: string, id: string): ObjectOf<T> {
    return {
      call: (method: string, ...rest: unknown[]) => this.call(type, id, method, rest[0], rest[1] as CallOptions),
    } as ObjectOf<T>;
  }

  /**
   * Calls a method as this client. While there is no connection the call waits for one; it fails
   * with `unavailable`, and `maybeExecuted`, if the connection breaks before the answer.
   */
  call(type: string, object: string, method: string, payload?: unknown, options: CallOptions = {}): Promise<unknown> {
    if (this.#state === "closed") return Promise.reject(unavailable("the client is closed", false));
    const id = ++this.#lastId;
    const timeoutMs = options.timeoutMs ?? this.#options.timeoutMs;
    const { key } = options;
    const frame = JSON.stringify({ op: "call", id, type, object, method, payload, key, timeout: `${timeoutMs}ms` });
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const { sent } = this.#take(id) ?? { sent: true };
        const message = "no answer came within the deadline";
        reject(new WasmverseError({ code: "timeout", message, maybe_executed: sent }));
      }, timeoutMs + GRACE_MS);
      const waiting: Waiting = { frame, sent: false, resolve, reject, timer };
      this.#waiting.set(id, waiting);
      if (this.#state === "open") this.#send(waiting);
    });
  }

  /** Ends it; calls under way fail. */
  close(): void {
    if (this.#state === "closed") return;
    clearTimeout(this.#retry);
    clearTimeout(this.#quiet);
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close(1000);
    this.#failAll((waiting) => unavailable("the client was closed", waiting.sent), true);
    this.#become("closed");
  }

  #connect(): void {
    const socket = new this.#make(this.#url);
    this.#socket = socket;
    const isCurrent = () => this.#socket === socket;
    socket.onopen = () => {
      if (!isCurrent()) return;
      const session = this.#session;
      const first = session === undefined
        ? { op: "open", heartbeat: true }
        : { op: "resume", session: session.token, seq: session.seq, heartbeat: true };
      socket.send(JSON.stringify(first));
    };
    socket.onmessage = (event: { data: unknown }) => {
      if (isCurrent()) this.#take_in(JSON.parse(String(event.data)) as FromGate);
    };
    socket.onerror = () => {};
    socket.onclose = (event: { code?: number }) => {
      if (isCurrent()) this.#lost(event.code === REPLACED);
    };
    this.#listenForLife();
  }

  /** A link on which nothing comes is dead, whatever it says of itself. */
  #listenForLife(): void {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => {
      const socket = this.#socket;
      if (socket === undefined) return;
      this.#lost(false);
      socket.close();
    }, this.#options.quietMs);
  }

  #lost(replaced: boolean): void {
    this.#socket = undefined;
    clearTimeout(this.#quiet);
    this.#failAll(() => unavailable("the connection broke before the answer came", true), false);
    // Somebody else is this client now: to take it back would only be answered in kind.
    if (replaced) this.#session = undefined;
    this.#become("reconnecting");
    const { min, max } = this.#options.backoffMs;
    const pause = this.#pauseMs * (0.5 + Math.random() / 2);
    this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, min), max);
    this.#retry = setTimeout(() => this.#connect(), pause);
  }

  #take_in(frame: FromGate): void {
    this.#listenForLife();
    switch (frame.op) {
      case "session": {
        const before = this.#session;
        const isNew = before?.clientId !== frame.client_id;
        this.#session = {
          token: frame.session,
          clientId: frame.client_id,
          seq: isNew ? (frame.seq ?? 0) : before!.seq,
        };
        this.#pauseMs = this.#options.backoffMs.min;
        this.#become("open");
        this.#tell("session", { clientId: frame.client_id, isNew });
        for (const waiting of [...this.#waiting.values()]) if (!waiting.sent) this.#send(waiting);
        return;
      }
      case "push":
        if (this.#session !== undefined) this.#session.seq = frame.seq;
        return this.#tell("push", { event: frame.event, payload: frame.payload });
      case "gap":
        if (this.#session !== undefined) this.#session.seq = frame.seq ?? this.#session.seq + (frame.missed ?? 1);
        return this.#tell("gap", { missed: frame.missed });
      case "reply":
        return this.#take(frame.id)?.resolve(frame.payload);
      case "error":
        if (frame.id !== null) this.#take(frame.id)?.reject(new WasmverseError(frame.error));
        return;
      case "heartbeat":
        return;
    }
  }

  #send(waiting: Waiting): void {
    waiting.sent = true;
    this.#socket?.send(waiting.frame);
  }

  /** The call of that id, which is over. */
  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    clearTimeout(waiting?.timer);
    return waiting;
  }

  #failAll(why: (waiting: Waiting) => WasmverseError, all: boolean): void {
    for (const [id, waiting] of [...this.#waiting]) {
      if (all || waiting.sent) this.#take(id)?.reject(why(waiting));
    }
  }

  #become(state: State): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#tell("state", state);
  }

  #tell<K extends keyof Events>(what: K, happening: Events[K]): void {
    for (const listener of [...(this.#listeners.get(what) ?? [])]) listener(happening);
  }
}

function unavailable(message: string, maybeExecuted: boolean): WasmverseError {
  return new WasmverseError({ code: "unavailable", message, maybe_executed: maybeExecuted });
}

function withSlash(url: string | URL): string {
  const text = String(url);
  return text.endsWith("/") ? text : `${text}/`;
}
