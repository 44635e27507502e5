// A scripted gate behind the page, which answers late, early, twice or never.

import assert from "node:assert/strict";
import { enter, inBrowser, notes, open, send, shows, texts } from "./browser.mjs";

const message = (seq, at = seq) => ({ room: "general", user: "dave", text: `${seq}@${at}`, at_micros: at * 1e6, seq });
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => message(from + n));
const said = (...messages) => messages.flat().map(({ text }) => text);

/** Takes what the page asks for, one after another; what it need not wait for is answered at once. */
class Gate {
  asked = [];
  #wake = () => {};
  #seq = 0;
  #client = 0;

  take(socket) {
    this.socket = socket;
    socket.onMessage((text) => {
      const frame = JSON.parse(text);
      if (frame.op !== "call") {
        this.#seq = frame.seq ?? 0;
        if (frame.op === "open") this.#client += 1;
        const id = `g/${this.#client}`;
        return this.#tell({ op: "session", client_id: id, session: id, seq: this.#seq });
      }
      if (frame.method === "list_rooms") return this.reply(frame, []);
      this.asked.push(frame);
      this.#wake();
    });
  }

  async next(method) {
    while (this.asked.length === 0) await new Promise((wake) => (this.#wake = wake));
    const frame = this.asked.shift();
    assert.equal(frame.method, method);
    return frame;
  }

  push = (payload) => this.#tell({ op: "push", seq: ++this.#seq, event: "message", payload });
  gap = () => this.#tell({ op: "gap", seq: ++this.#seq, missed: 1 });
  reply = ({ id }, payload) => this.#tell({ op: "reply", id, payload });
  refuse = ({ id }, code) => this.#tell({ op: "error", id, error: { code, message: code, maybe_executed: false } });
  joined = (frame, recent) => this.reply(frame, { room: "general", members: ["carol"], recent });
  #tell = (frame) => this.socket.send(JSON.stringify(frame));
}

/** What comes while the page joins or reads what it missed. */
async function catchingUp(page, gate) {
  const asks = async () => gate.next("join");
  let join = await asks();
  // Impatience joins no second time.
  await page.getByLabel("Room", { exact: true }).press("Enter");
  gate.push(message(3));
  gate.joined(join, range(1, 3));
  // It cannot know that nothing is missing, and asks once more.
  gate.joined(await asks(), range(1, 3));
  await texts(page, said(range(1, 3)));
  gate.push(message(5));
  join = await asks();
  gate.push(message(4));
  gate.joined(join, range(1, 5));
  await texts(page, said(range(1, 5)));
  gate.gap();
  join = await asks();
  gate.push(message(6));
  // This answer is older than the push.
  gate.joined(join, range(1, 5));
  await texts(page, said(range(1, 6)));
  gate.gap();
  gate.joined(await asks(), range(300, 349));
  const reading = await gate.next("recent_messages");
  assert.deepEqual(reading.payload, { after_seq: 6, limit: 200 });
  gate.push(message(350));
  gate.reply(reading, range(100, 299));
  gate.reply(await gate.next("recent_messages"), range(300, 350));
  // The push came before its time, and made it ask again.
  gate.joined(await asks(), range(301, 350));
  const all = said(range(1, 6), range(100, 350));
  await texts(page, all);
  await notes(page, ["93 messages are no longer kept."]);
  gate.push(message(8, 400));
  gate.joined(await asks(), [message(7), message(8, 400), message(9, 401)]);
  gate.push(message(10, 402));
  await texts(page, [...all, ...said(message(8, 400), message(9, 401), message(10, 402))]);
  await notes(page, ["93 messages are no longer kept.", "The room went back to an older state."]);
}

/** Nothing is said twice unasked, and nothing that was typed is lost. */
async function saying(page, gate) {
  await send(page, "refused at first");
  gate.refuse(await gate.next("send_message"), "unauthenticated");
  gate.reply(await gate.next("send_message"), message(11, 500));
  await shows(page, "what waits", "#outbox .text", []);
  await send(page, "who knows");
  await gate.next("send_message");
  await gate.socket.close({ code: 1001, reason: "the gate ends" });
  await page.getByRole("alert").filter({ hasText: "It may have been sent" }).waitFor();
  await send(page, "another");
  const other = await gate.next("send_message");
  assert.equal(other.payload.text, "another", "it is not said again by itself");
  gate.reply(other, message(12, 501));
  await shows(page, "what waits", "#outbox .text", ["who knows"]);
  await page.getByRole("button", { name: "Send again" }).click();
  const again = await gate.next("send_message");
  assert.equal(again.payload.text, "who knows");
  gate.reply(again, message(13, 502));
  await shows(page, "what waits", "#outbox .text", []);
  await page.locator("#messages .text", { hasText: "13@502" }).waitFor();
}

await inBrowser(async (browser) => {
  const gate = new Gate();
  const { page, complaints } = await open(browser, { before: (page) => page.routeWebSocket("**/v1/ws?*", (it) => gate.take(it)) });
  await Promise.all([enter(page, "carol"), catchingUp(page, gate)]);
  await saying(page, gate);
  assert.deepEqual(gate.asked, []);
  assert.deepEqual(complaints, []);
});
