// The chat as a client of the gate: which rooms there are, and the one that is visited.

import { Client, WasmverseError, type State } from "@wasmverse/client";
import type { Message } from "./transcript";
import { Visit, type ChatRoom, type View } from "./visit";

type ChatLobby = { list_rooms: () => { name: string; members: number }[] };

export class Chat {
  readonly #client: Client;
  readonly #view: View;
  #visit: Visit | undefined;

  constructor(url: string, view: View, state: (now: State) => void) {
    this.#view = view;
    this.#client = new Client(url);
    this.#client.on("state", state);
    this.#client.on("push", ({ event, payload }) => this.#visit?.pushed(event, payload as Message));
    this.#client.on("gap", () => void this.#visit?.catchUp());
    this.#client.on("session", ({ isNew }) => {
      // Objects do not know the new client yet.
      if (isNew) void this.#visit?.catchUp();
    });
  }

  async rooms(): Promise<{ name: string; members: number }[]> {
    return this.#client.object<ChatLobby>("ChatLobby", "main").call("list_rooms");
  }

  /** Goes to a room; what is pushed is heard from the very beginning. */
  async enter(user: string, room: string): Promise<Visit> {
    const visit = new Visit(user, room, this.#client.object<ChatRoom>("ChatRoom", room), this.#view);
    this.#visit?.end();
    this.#visit = visit;
    try {
      await visit.enter();
    } catch (error) {
      visit.end();
      if (this.#visit === visit) this.#visit = undefined;
      throw error;
    }
    return visit;
  }
}

/** What went wrong, for people. */
export function words(error: unknown): string {
  if (!(error instanceof WasmverseError)) return error instanceof Error ? error.message : String(error);
  if (error.code === "not-found") {
    return "The chat is not deployed here: wasmverse deploy objects/chat-room objects/chat-lobby";
  }
  return error.message;
}
