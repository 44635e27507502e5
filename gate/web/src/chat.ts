// The room one is in: what was said, each message once, whatever becomes of the connection.

import { Client, WasmverseError, type State } from "@wasmverse/client";

export interface Message {
  room: string;
  user: string;
  text: string;
  at_micros: number;
  seq: number;
}

interface Joined {
  room: string;
  members: string[];
  recent: Message[];
}

type ChatRoom = {
  join: (who: { user: string }) => Joined;
  leave: (who: { user: string }) => void;
  send_message: (said: { user: string; text: string }) => Message;
  recent_messages: (range: { after_seq?: number; limit?: number }) => Message[];
  members: () => string[];
};

type ChatLobby = { list_rooms: () => { name: string; members: number }[] };

/** What the page is told. */
export interface View {
  state(state: State): void;
  message(message: Message): void;
  members(names: string[]): void;
  note(text: string): void;
  trouble(text: string): void;
}

/** Messages that are read at once when some were missed. */
const PAGE = 200;

export class Chat {
  readonly #client: Client;
  readonly #view: View;
  #user = "";
  #room: string | undefined;
  #last = { seq: 0, at: 0 };
  #catchingUp: Promise<void> = Promise.resolve();

  constructor(url: string, view: View) {
    this.#view = view;
    this.#client = new Client(url);
    this.#client.on("state", (state) => view.state(state));
    this.#client.on("push", ({ event, payload }) => this.#pushed(event, payload as Message));
    this.#client.on("gap", () => this.#catchUp());
    this.#client.on("session", ({ isNew }) => {
      // Objects do not know the new client yet; what was said meanwhile comes first.
      if (isNew && this.#room !== undefined) this.#catchUp(() => this.#join());
    });
  }

  async rooms(): Promise<{ name: string; members: number }[]> {
    return this.#client.object<ChatLobby>("ChatLobby", "main").call("list_rooms");
  }

  async enter(user: string, room: string): Promise<void> {
    this.#user = user;
    this.#room = room;
    this.#last = { seq: 0, at: 0 };
    try {
      await this.#join();
    } catch (error) {
      this.#room = undefined;
      throw error;
    }
  }

  async leave(): Promise<void> {
    const room = this.#room;
    this.#room = undefined;
    if (room !== undefined) await this.#object(room).call("leave", { user: this.#user });
  }

  async say(text: string): Promise<void> {
    const room = this.#room;
    if (room === undefined) return;
    const said = { user: this.#user, text };
    try {
      await this.#object(room).call("send_message", said);
    } catch (error) {
      const forgotten = error instanceof WasmverseError && error.application?.code === "not-a-member";
      if (!forgotten) throw error;
      await this.#join();
      await this.#object(room).call("send_message", said);
    }
  }

  #object(room: string) {
    return this.#client.object<ChatRoom>("ChatRoom", room);
  }

  async #join(): Promise<void> {
    const room = this.#room;
    if (room === undefined) return;
    const joined = await this.#object(room).call("join", { user: this.#user });
    if (this.#room !== room) return;
    joined.recent.forEach((message) => this.#show(message));
    this.#view.members(joined.members);
  }

  #pushed(event: string, payload: Message): void {
    if (payload.room !== this.#room) return;
    if (event === "message") this.#show(payload);
    else if (event === "joined" || event === "left") {
      if (payload.user !== this.#user) this.#view.note(`${payload.user} ${event}`);
      void this.#readMembers();
    }
  }

  async #readMembers(): Promise<void> {
    const room = this.#room;
    if (room === undefined) return;
    try {
      const members = await this.#object(room).call("members");
      if (this.#room === room) this.#view.members(members);
    } catch {
      // The next one who comes or goes brings the list again.
    }
  }

  /** Reads what was missed, then does what comes next; one after another. */
  #catchUp(next: () => Promise<void> = async () => {}): void {
    const work = async () => {
      try {
        for (;;) {
          const room = this.#room;
          if (room === undefined) return;
          const range = { after_seq: this.#last.seq, limit: PAGE };
          const messages = await this.#object(room).call("recent_messages", range);
          if (this.#room !== room) return;
          messages.forEach((message) => this.#show(message));
          if (messages.length < PAGE) break;
        }
        await next();
      } catch (error) {
        this.#view.trouble(words(error));
      }
    };
    this.#catchingUp = this.#catchingUp.then(work);
  }

  /** Each message once; a room that was set back to an earlier state counts on from there. */
  #show(message: Message): void {
    const { seq, at } = this.#last;
    if (message.seq <= seq && message.at_micros <= at) return;
    this.#last = { seq: message.seq, at: message.at_micros };
    this.#view.message(message);
  }
}

/** What went wrong, for people. */
export function words(error: unknown): string {
  if (!(error instanceof WasmverseError)) return String(error);
  if (error.code === "not-found") {
    return "The chat is not deployed here: wasmverse deploy objects/chat-room objects/chat-lobby";
  }
  return error.maybeExecuted ? `${error.message}. It may have been sent all the same.` : error.message;
}
