// The gate ends and comes back while the page is open.

import assert from "node:assert/strict";
import { enter, hear, inBrowser, members, open, say, send, shows, status, texts } from "./browser.mjs";

await inBrowser(async (browser) => {
  const { page, complaints } = await open(browser);
  await enter(page, "carol");
  await status(page, "connected");
  await send(page, "before");
  await texts(page, ["before"]);
  say("in");
  await hear("killed");
  await status(page, "connection lost: reconnecting…");
  // What is typed now waits.
  await send(page, "typed meanwhile");
  await page.locator("#outbox .text", { hasText: "typed meanwhile" }).waitFor();
  say("lost");
  await status(page, "connected");
  await page.locator("#messages .text", { hasText: "from elsewhere" }).waitFor();
  await page.locator("#messages .text", { hasText: "typed meanwhile" }).waitFor();
  say("back");
  await hear("all said something");
  await page.locator("#messages .text", { hasText: "at last" }).waitFor();
  const seen = await page.locator("#messages .text").allTextContents();
  assert.deepEqual([...seen].sort(), ["at last", "before", "from elsewhere", "typed meanwhile"]);
  await members(page, ["alice", "carol"]);
  await shows(page, "what waits", "#outbox li", []);
  // The browser itself says that nobody answered.
  assert.deepEqual(complaints.filter((line) => !/WebSocket|ERR_CONNECTION/.test(line)), []);
});
