import { Calls } from "./calls.js";
import { WasmverseError, unavailable } from "./error.js";
import { Feed } from "./feed.js";
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

type Listener<K extends keyof Events> = (happening: Events[K]) => void;

/** The session was resumed by another connection. */
const REPLACED = 4001;

/** A session with a gate. It connects at once, and comes back until it is closed. */
export class Client {
  readonly #url: string;
  readonly #make: SocketConstructor;
  readonly #options: Required<Omit<ClientOptions, "WebSocket">>;
  readonly #listeners = new Map<keyof Events, Set<Listener<any>>>();
  readonly #calls = new Calls();
  #socket: Socket | undefined;
  #state: State = "connecting";
  #session: { token: string; clientId: string; seq: number } | undefined;
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
    this.#url = new URL("v1/ws?opening=frame", withSlash(url)).href.replace(/^http/, "ws");
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

  /**
   * What objects push from now on, as it comes, until the client is closed or the loop is left.
   * A loop that falls far behind fails with `overloaded`.
   */
  events(): AsyncIterableIterator<Events["push"]> {
    const stop: (() => void)[] = [];
    const feed = new Feed<Events["push"]>(() => stop.forEach((end) => end()));
    stop.push(this.on("push", (push) => feed.add(push)));
    stop.push(this.on("state", (state) => state === "closed" && feed.end()));
    if (this.#state === "closed") feed.end();
    return feed;
  }

  /** An object by type and id, with the methods of its type if they are given. */
  object<T = Record<string, (argument?: any) => any>>(type: string, id: string): ObjectOf<T> {
    return {
      call: (method: string, ...rest: unknown[]) => this.call(type, id, method, rest[0], rest[1] as CallOptions),
    } as ObjectOf<T>;
  }

  /**
   * Calls a method as this client. While there is no connection the call waits for one; it fails
   * with `unavailable`, and `maybeExecuted`, if the connection breaks before the answer. It is
   * never repeated by itself.
   */
  call(type: string, object: string, method: string, payload?: unknown, options: CallOptions = {}): Promise<unknown> {
    if (this.#state === "closed") return Promise.reject(unavailable("the client is closed", false));
    const asked = { type, object, method, payload, key: options.key };
    const timeoutMs = options.timeoutMs ?? this.#options.timeoutMs;
    return this.#calls.make(asked, timeoutMs, this.#state === "open" ? this.#send : undefined);
  }

  /** Ends it; calls under way fail. */
  close(): void {
    if (this.#state === "closed") return;
    clearTimeout(this.#retry);
    clearTimeout(this.#quiet);
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close(1000);
    // Nobody makes a call any more that would wait for ever.
    this.#become("closed");
    this.#calls.close();
  }

  #connect(): void {
    const socket = new this.#make(this.#url);
    this.#socket = socket;
    const isCurrent = () => this.#socket === socket;
    socket.onopen = () => {
      if (!isCurrent()) return;
      const session = this.#session;
      const first = session === undefined
        ? { op: "open" }
        : { op: "resume", session: session.token, seq: session.seq };
      socket.send(JSON.stringify(first));
    };
    socket.onmessage = (event: { data: unknown }) => {
      if (isCurrent()) this.#hear(JSON.parse(String(event.data)) as FromGate);
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
    // Somebody else is this client now: to take it back would only be answered in kind.
    if (replaced) this.#session = undefined;
    this.#become("reconnecting");
    this.#calls.breakOff();
    const { min, max } = this.#options.backoffMs;
    const pause = this.#pauseMs * (0.5 + Math.random() / 2);
    this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, min), max);
    this.#retry = setTimeout(() => this.#connect(), pause);
  }

  #hear(frame: FromGate): void {
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
        // What its listeners call goes first: a new client joins before it speaks.
        this.#tell("session", { clientId: frame.client_id, isNew });
        return this.#calls.sendAll(this.#send);
      }
      case "push":
        if (this.#session === undefined || frame.seq <= this.#session.seq) return;
        this.#session.seq = frame.seq;
        return this.#tell("push", { event: frame.event, payload: frame.payload });
      case "gap":
        if (this.#session !== undefined) this.#session.seq = frame.seq ?? this.#session.seq + (frame.missed ?? 1);
        return this.#tell("gap", { missed: frame.missed });
      case "reply":
        return this.#calls.resolve(frame.id, frame.payload);
      case "error":
        if (frame.id !== null) this.#calls.reject(frame.id, new WasmverseError(frame.error));
        return;
      case "heartbeat":
        return;
    }
  }

  readonly #send = (frame: string): void => this.#socket?.send(frame);

  #become(state: State): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#tell("state", state);
  }

  #tell<K extends keyof Events>(what: K, happening: Events[K]): void {
    for (const listener of [...(this.#listeners.get(what) ?? [])]) {
      try {
        listener(happening);
      } catch (error) {
        // It is the application's own, and must not keep others from hearing.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

function withSlash(url: string | URL): string {
  const text = String(url);
  return text.endsWith("/") ? text : `${text}/`;
}
