// A real browser with the chat in it, and the lines by which a script and its test talk.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import assert from "node:assert/strict";

const gate = createRequire(new URL("../../gate/package.json", import.meta.url));
const { chromium } = gate("playwright-core");

/** How long anything may take on a slow machine. */
export const PATIENCE_MS = 30_000;
export const url = process.argv[2];

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Tells the test something. */
export function say(line) {
  console.log(line);
}

/** Waits until the test says this. */
export async function hear(line) {
  const { value } = await lines.next();
  assert.equal(value, line);
}

/** Runs a script in a browser of its own, and ends the process with what became of it. */
export async function inBrowser(work) {
  const browser = await chromium.launch({
    executablePath: process.env.WASMVERSE_CHROMIUM ?? "/usr/bin/chromium",
    args: FLAGS,
    timeout: PATIENCE_MS,
  });
  try {
    await work(browser);
    await browser.close();
    process.exit(0);
  } catch (error) {
    console.error(error);
    for (const page of browser.contexts().flatMap((context) => context.pages())) {
      const shows = await page.locator("body").innerText({ timeout: 1000 }).catch(String);
      console.error(`---- the page ${page.url()} shows\n${shows}`);
    }
    process.exit(1);
  }
}

/** A page of the chat. Whatever it complains of is kept: there must be nothing. */
export async function open(browser, { at = url, hash = "", before, ...options } = {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("dialog", (dialog) => {
    complaints.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective}`));
  });
  await before?.(page);
  await page.goto(`${at}/${hash}`);
  return { page, complaints };
}

/** Goes into a room through the door. */
export async function enter(page, user, room = "general") {
  await page.getByLabel("Your name").fill(user);
  await page.getByLabel("Room", { exact: true }).fill(room);
  await page.getByRole("button", { name: "Enter", exact: true }).click();
  await page.locator("#chat").waitFor();
}

export async function send(page, text) {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.keyboard.press("Enter");
}

/** Waits until a list of the page is exactly this. */
export async function shows(page, what, selector, wanted) {
  const read = () => page.locator(selector).allTextContents();
  const until = Date.now() + PATIENCE_MS;
  let seen = await read();
  while (JSON.stringify(seen) !== JSON.stringify(wanted)) {
    if (Date.now() > until) assert.deepEqual(seen, wanted, what);
    await page.evaluate(() => new Promise(requestAnimationFrame));
    seen = await read();
  }
}

export const texts = (page, wanted) => shows(page, "the messages", "#messages .text", wanted);
export const members = (page, wanted) => shows(page, "the members", "#members li", wanted);
export const notes = (page, wanted) => shows(page, "the notes", "#messages .note", wanted);
export const status = (page, wanted) => shows(page, "the status", "#state", [wanted]);

/** Calls a method of a room, as a client without a session. */
export async function call(room, method, argument) {
  const path = `${url}/v1/objects/ChatRoom/${encodeURIComponent(room)}/${method}`;
  const answer = await fetch(path, { method: "POST", body: JSON.stringify(argument) });
  assert.ok(answer.ok, `${method}: ${answer.status}`);
  return answer.status === 204 ? undefined : answer.json();
}
