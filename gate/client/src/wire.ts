import type { ErrorShape } from "./error.js";

/** What a gate sends. */
export type FromGate =
  | { op: "session"; client_id: string; session: string; seq?: number }
  | { op: "push"; seq: number; event: string; payload: unknown }
  | { op: "gap"; missed: number | null; seq?: number }
  | { op: "heartbeat"; seq: number }
  | { op: "reply"; id: number; payload: unknown }
  | { op: "error"; id: number | null; error: ErrorShape };

/** The part of a WebSocket that a client needs: that of browsers, of Node 22, of the package `ws`. */
export interface Socket {
  readonly readyState: number;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

/** Makes a socket to an address. */
export type SocketConstructor = new (url: string) => Socket;
