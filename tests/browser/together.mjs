// One of three in a room.

import assert from "node:assert/strict";
import { enter, hear, inBrowser, members, notes, open, say, send, texts } from "./browser.mjs";

await inBrowser(async (browser) => {
  const { page, complaints } = await open(browser);
  await enter(page, "carol");
  await members(page, ["alice", "bob", "carol"]);
  say("in");
  await hear("all said something");
  await texts(page, ["from alice", "from bob"]);
  await send(page, "from carol");
  const all = ["from alice", "from bob", "from carol"];
  await texts(page, all);
  say("said");
  await hear("bob left");
  await members(page, ["alice", "carol"]);
  await notes(page, ["bob left"]);
  await page.reload();
  await members(page, ["alice", "carol"]);
  await texts(page, all);
  say("again");
  // Who leaves in one window leaves in all.
  const other = await open(browser);
  await enter(other.page, "carol");
  await texts(other.page, all);
  await other.page.getByRole("button", { name: "Leave" }).click();
  await other.page.getByRole("button", { name: "general 1 member" }).waitFor();
  await page.getByRole("alert").filter({ hasText: "You left this room in another window." }).waitFor();
  assert.deepEqual([...complaints, ...other.complaints], []);
});
