/** A client of Wasmverse: objects are called and push events over one session that comes back. */
export { WasmverseError, type ErrorCode, type ErrorShape } from "./error.js";
export { Client, type CallOptions, type ClientOptions, type Events, type State } from "./client.js";
export type { ObjectOf, Methods } from "./object.js";
export type { Socket, SocketConstructor } from "./wire.js";
