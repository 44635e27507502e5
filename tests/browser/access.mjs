// By keyboard alone, on a phone, and for those who hear the page.

import assert from "node:assert/strict";
import { call, enter, inBrowser, open, texts } from "./browser.mjs";

const focused = (page) => page.evaluate(() => document.activeElement?.id ?? "");

async function byKeyboard(browser) {
  const { page, complaints } = await open(browser, { hash: "#desk" });
  assert.equal(await focused(page), "user");
  await page.keyboard.type("carol");
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "room");
  const outline = await page.locator("#room").evaluate((it) => getComputedStyle(it).outlineStyle);
  assert.notEqual(outline, "none", "the focus is to be seen");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.locator("#chat").waitFor();
  assert.equal(await focused(page), "text");
  await page.keyboard.type("by hand");
  await page.keyboard.press("Enter");
  await texts(page, ["by hand"]);
  assert.equal(await focused(page), "text");
  await page.keyboard.press("Shift+Tab");
  assert.equal(await focused(page), "messages", "what was said can be scrolled");
  assert.deepEqual(complaints, []);
}

async function heard(browser) {
  const { page, complaints } = await open(browser);
  for (const name of ["Your name", "Room"]) await page.getByRole("textbox", { name, exact: true }).or(page.getByRole("combobox", { name, exact: true })).waitFor();
  await enter(page, "dave");
  await page.getByRole("textbox", { name: "Message", exact: true }).waitFor();
  await page.getByRole("status").filter({ hasText: "connected" }).waitFor();
  assert.equal(await page.getByRole("log").getAttribute("aria-live"), "polite");
  const nameless = await page.$$eval("input, button", (all) =>
    all.filter((it) => !it.labels?.length && !it.textContent && !it.ariaLabel && !it.hidden).map((it) => it.id),
  );
  assert.deepEqual(nameless, []);
  assert.deepEqual(complaints, []);
}

async function fits(page, what) {
  const { width, height } = page.viewportSize();
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= width, `${what}: ${wide} is wider than ${width}`);
  for (const selector of ["#text", "#say button", "#leave"]) {
    const box = await page.locator(selector).boundingBox();
    const inside = box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height;
    assert.ok(inside, `${what}: ${selector} is at ${JSON.stringify(box)}`);
  }
  const lines = await page.locator("#messages").boundingBox();
  assert.ok(lines.height > 150, `${what}: ${lines.height} are left for what is said`);
}

async function onPhone(browser) {
  const { page, complaints } = await open(browser, { viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true });
  await enter(page, "erin", "crowd");
  await fits(page, "empty");
  for (let n = 0; n < 40; n++) await call("crowd", "join", { user: `${"w".repeat(n)} ${n}` });
  for (let n = 0; n < 200; n++) await call("crowd", "send_message", { user: "erin", text: `message ${n}` });
  await call("crowd", "send_message", { user: "erin", text: "x".repeat(500) });
  await page.locator("#messages .text", { hasText: "xxx" }).waitFor();
  assert.equal(await page.locator("#messages .text").count(), 201);
  await fits(page, "a crowd");
  const rest = await page.locator("#messages").evaluate((it) => it.scrollHeight - it.scrollTop - it.clientHeight);
  assert.ok(rest < 2, `the end is ${rest} away`);
  await page.locator("#text").tap();
  await page.keyboard.type("tapped");
  await page.locator("#say button").tap();
  await page.locator("#messages .text", { hasText: "tapped" }).waitFor();
  // Who reads further up is not carried away.
  await page.locator("#messages").evaluate((it) => (it.scrollTop = 0));
  await page.evaluate(() => new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next))));
  await call("crowd", "send_message", { user: "erin", text: "later" });
  await page.getByRole("button", { name: "1 new" }).waitFor();
  assert.equal(await page.locator("#messages").evaluate((it) => it.scrollTop), 0);
  await page.getByRole("button", { name: "1 new" }).tap();
  await page.getByRole("button", { name: "1 new" }).waitFor({ state: "hidden" });
  assert.deepEqual(complaints, []);
}

await inBrowser(async (browser) => {
  await byKeyboard(browser);
  await heard(browser);
  await onPhone(browser);
});
