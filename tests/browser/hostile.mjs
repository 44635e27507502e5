// Names and texts that want to be more than text.

import assert from "node:assert/strict";
import { call, enter, inBrowser, members, notes, open, texts } from "./browser.mjs";

const IMAGE = "<img src=x onerror=alert(1)>";
const ROOM = `${IMAGE}"'&\u202e🦀`;
const TEXTS = [
  IMAGE, "<script>alert(1)</script>", "</li></ol><iframe src=javascript:alert(1)>", "javascript:alert(1)",
  "&lt;b&gt;", "\u202egnihton\u202c", "\u200f\u2066🦀👩‍👩‍👧", "two\nlines", "{{1}} ${1}",
];
const NAMES = [`${IMAGE}`, "\u202ebob", "<b>🦀</b>"];

/** How many elements there are of each kind that no text of ours makes. */
const foreign = (page) => page.locator("img, iframe, b, body script, svg, object, #messages a").count();

await inBrowser(async (browser) => {
  const { page, complaints } = await open(browser, { hash: `#${encodeURIComponent(ROOM)}` });
  assert.equal(await page.getByLabel("Room", { exact: true }).inputValue(), ROOM);
  await enter(page, "carol", ROOM);
  assert.equal(await page.locator("#name").textContent(), ROOM);
  assert.equal(await page.title(), `\u2068${ROOM}\u2069 – Wasmverse chat`);
  for (const user of NAMES) await call(ROOM, "join", { user });
  await notes(page, NAMES.map((name) => `${name} joined`));
  await members(page, [...NAMES, "carol"].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
  for (const text of TEXTS) await call(ROOM, "send_message", { user: IMAGE, text });
  await texts(page, TEXTS);
  await call(ROOM, "send_message", { user: IMAGE, text: "\u001b[2J\u0000\u0007\u007f\u009b" });
  await texts(page, [...TEXTS, "␛[2J␀␇␡\ufffd"]);
  assert.equal(await foreign(page), 0);
  // The same once more, as what was said before, and in the list of rooms.
  await page.reload();
  await texts(page, [...TEXTS, "␛[2J␀␇␡\ufffd"]);
  assert.equal(await page.locator("#messages .who").first().textContent(), IMAGE);
  assert.equal(await foreign(page), 0);
  await page.getByRole("button", { name: "Leave" }).click();
  await page.locator("#open bdi").filter({ hasText: IMAGE }).waitFor();
  assert.equal(await foreign(page), 0);
  // An address that makes no sense names no room.
  const odd = await open(browser, { hash: "#%E0%A4%A" });
  assert.equal(await odd.page.getByLabel("Room", { exact: true }).inputValue(), "general");
  assert.deepEqual([...complaints, ...odd.complaints], []);
});
