// A visit to a room: from entering to leaving, whatever becomes of the connection.

import { WasmverseError, type ObjectOf } from "@wasmverse/client";
import { Transcript, wentBack, type Message } from "./transcript";

interface Joined {
  room: string;
  members: string[];
  recent: Message[];
}

export type ChatRoom = {
  join: (who: { user: string }) => Joined;
  leave: (who: { user: string }) => void;
  send_message: (said: { user: string; text: string }) => Message;
  recent_messages: (range: { after_seq?: number; limit?: number }) => Message[];
  members: () => string[];
};

/** What the page is told. */
export interface View {
  message(message: Message): void;
  members(names: string[]): void;
  /** Who, if it is somebody, and what became of them. */
  note(who: string, what: string): void;
  /** Whether what is shown may lack something. */
  behind(is: boolean): void;
  trouble(error: unknown): void;
  /** The visit is over, and why. */
  gone(why: string): void;
}

/** Messages that are read at once when some were missed. */
const PAGE = 200;
/** Before what did not work is tried again, in milliseconds. */
const PAUSE_MS = 500;
/** What was refused, but not executed, is tried again for so long, in milliseconds. */
const SAY_WITHIN_MS = 10_000;

export class Visit {
  readonly #transcript = new Transcript();
  #isOver = false;
  #isBehind = false;
  #catchingUp: Promise<void> | undefined;
  #readsMembers = false;
  #membersChanged = false;

  constructor(
    readonly user: string,
    readonly room: string,
    private readonly object: ObjectOf<ChatRoom>,
    private readonly view: View,
  ) {}

  /** Joins, and shows the latest messages. */
  async enter(): Promise<void> {
    for (let triesLeft = 4; ; triesLeft--) {
      try {
        await this.#join();
        break;
      } catch (error) {
        // To join twice is to join once.
        if (!isPassing(error) || this.#isOver || triesLeft === 0) throw error;
        await pause(error);
      }
    }
    // What was pushed before the answer came is not next to anything.
    if (this.#isBehind) void this.catchUp();
  }

  async leave(): Promise<void> {
    this.#isOver = true;
    await this.object.call("leave", { user: this.user });
  }

  /** The page is somewhere else. */
  end(): void {
    this.#isOver = true;
  }

  pushed(event: string, payload: Message): void {
    if (this.#isOver || payload?.room !== this.room) return;
    if (event === "message") return this.#hear(payload);
    if (event !== "joined" && event !== "left") return;
    if (payload.user !== this.user) this.view.note(payload.user, event);
    this.#readMembers();
  }

  /** Says something, at most once: what may have been said is never said again unasked. */
  async say(text: string): Promise<void> {
    const until = performance.now() + SAY_WITHIN_MS;
    for (;;) {
      if (this.#isOver) throw new Error("You have left the room.");
      try {
        return this.#hear(await this.object.call("send_message", { user: this.user, text }));
      } catch (error) {
        if (!isPassing(error) || error.maybeExecuted || until < performance.now()) throw error;
        if (isNoMember(error)) await this.catchUp();
        else await pause(error);
      }
    }
  }

  /** Joins again and shows what was missed; what does not work now is tried again. */
  catchUp(): Promise<void> {
    this.#isBehind = true;
    // Before the room was entered there is nothing to catch up with.
    if (this.#isOver || this.#transcript.mark === undefined) return Promise.resolve();
    this.#catchingUp ??= this.#catchUp();
    return this.#catchingUp;
  }

  async #catchUp(): Promise<void> {
    this.view.behind(true);
    while (this.#isBehind && !this.#isOver) {
      this.#isBehind = false;
      try {
        await this.#join();
      } catch (error) {
        if (!isPassing(error)) {
          this.view.trouble(error);
          break;
        }
        this.#isBehind = true;
        await pause(error);
      }
    }
    this.#catchingUp = undefined;
    if (!this.#isOver) this.view.behind(this.#isBehind);
  }

  async #join(): Promise<void> {
    // Pushes go on meanwhile: only what was shown before the room answered says how old it is.
    const before = this.#transcript.mark;
    const { members, recent } = await this.object.call("join", { user: this.user });
    if (this.#isOver) return;
    this.view.members(members);
    if (before === undefined || wentBack(before, recent)) {
      if (before !== undefined) this.view.note("", "The room went back to an older state.");
      this.#transcript.unseen(recent).forEach((message) => this.view.message(message));
      return this.#transcript.begin(recent);
    }
    const first = recent[0];
    if (first !== undefined && first.seq <= before.seq + 1) return this.#showPage(recent);
    for (;;) {
      const range = { after_seq: this.#transcript.mark?.seq ?? 0, limit: PAGE };
      const page = await this.object.call("recent_messages", range);
      if (this.#isOver) return;
      this.#showPage(page);
      if (page.length < PAGE) return;
    }
  }

  #showPage(page: Message[]): void {
    for (const message of page) {
      const last = this.#transcript.mark?.seq ?? 0;
      if (message.seq <= last) continue;
      const forgotten = message.seq - last - 1;
      if (forgotten > 0) this.view.note("", `${forgotten} messages are no longer kept.`);
      this.#show(message);
    }
  }

  #hear(message: Message): void {
    const step = this.#transcript.step(message);
    if (step === "show") this.#show(message);
    else if (step === "ask") void this.catchUp();
  }

  #show(message: Message): void {
    this.#transcript.shown(message);
    this.view.message(message);
  }

  /** Reads who is there: once at a time, however many come and go. */
  #readMembers(): void {
    this.#membersChanged = true;
    if (this.#readsMembers || this.#transcript.mark === undefined) return;
    this.#readsMembers = true;
    const read = async () => {
      while (this.#membersChanged && !this.#isOver) {
        this.#membersChanged = false;
        const members = await this.object.call("members");
        if (this.#isOver) return;
        this.view.members(members);
        // Another window of this user left, and took this one along.
        if (!members.includes(this.user) && this.#catchingUp === undefined) {
          this.#isOver = true;
          this.view.gone("You left this room in another window.");
        }
      }
    };
    // To join again brings the members, too.
    read().catch(() => this.catchUp()).finally(() => (this.#readsMembers = false));
  }
}

/** Whether it may work a moment later. */
function isPassing(error: unknown): error is WasmverseError {
  if (!(error instanceof WasmverseError)) return false;
  return isNoMember(error) || ["unavailable", "overloaded", "timeout", "unauthenticated"].includes(error.code);
}

function isNoMember(error: WasmverseError): boolean {
  return error.application?.code === "not-a-member";
}

function pause(error: unknown): Promise<void> {
  const ms = (error instanceof WasmverseError ? error.retryAfterMs : undefined) ?? PAUSE_MS;
  return new Promise((resolve) => setTimeout(resolve, ms));
}
