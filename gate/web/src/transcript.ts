// What of a room was shown, so that each message is shown once, and in order.

export interface Message {
  room: string;
  user: string;
  text: string;
  at_micros: number;
  seq: number;
}

/** The last message that was shown. */
export interface Mark {
  seq: number;
  at: number;
}

/** What to do about a message that came: it is next, was shown, or the room must be asked. */
export type Step = "show" | "known" | "ask";

export class Transcript {
  /** None: nothing was read yet, so nothing is next. */
  #mark: Mark | undefined;

  get mark(): Mark | undefined {
    return this.#mark;
  }

  step({ seq, at_micros }: Message): Step {
    if (this.#mark === undefined) return "ask";
    if (seq === this.#mark.seq + 1) return "show";
    // Said later under a number of before: the room forgot some of what was shown.
    return seq > this.#mark.seq || at_micros > this.#mark.at ? "ask" : "known";
  }

  shown({ seq, at_micros }: Message): void {
    this.#mark = { seq, at: Math.max(at_micros, this.#mark?.at ?? 0) };
  }

  /** The room is as new as this; what it says from now on comes after it. */
  begin(latest: Message[]): void {
    const last = latest.at(-1);
    this.#mark = { seq: last?.seq ?? 0, at: Math.max(last?.at_micros ?? 0, this.#mark?.at ?? 0) };
  }

  /** Of the latest messages of a room, those that were not shown. */
  unseen(latest: Message[]): Message[] {
    const mark = this.#mark;
    return mark === undefined ? latest : latest.filter(({ at_micros }) => at_micros > mark.at);
  }
}

/** Whether a room that had shown `mark` before it answered these is an older one. */
export function wentBack(mark: Mark | undefined, latest: Message[]): boolean {
  if (mark === undefined || mark.seq === 0) return false;
  const last = latest.at(-1);
  if (last === undefined || last.seq < mark.seq) return true;
  const same = latest.find(({ seq }) => seq === mark.seq);
  return same !== undefined && same.at_micros > mark.at;
}
