// Connections are cut, and the gate notices nothing but that.

import assert from "node:assert/strict";
import { call, enter, inBrowser, members, notes, open, send, shows, status, texts, url } from "./browser.mjs";
import { wire } from "./wire.mjs";

await inBrowser(async (browser) => {
  const cable = await wire(url);
  const { page, complaints } = await open(browser, { at: cable.url });
  const clients = [];
  page.on("websocket", (socket) => {
    socket.on("framereceived", ({ payload }) => {
      const frame = JSON.parse(payload);
      if (frame.op === "session") clients.push(frame.client_id);
    });
  });
  await page.reload();
  await enter(page, "carol");
  // The page of before had a session, too.
  clients.splice(0, clients.length - 1);
  await call("general", "join", { user: "dave" });
  const said = [];
  for (let round = 0; round < 5; round++) {
    cable.hold();
    await status(page, "connection lost: reconnecting…");
    for (let n = 0; n < 3; n++) {
      const text = `${round}.${n}`;
      said.push(text);
      await call("general", "send_message", { user: "dave", text });
    }
    const own = `own ${round}`;
    await send(page, own);
    cable.go();
    await status(page, "connected");
    said.push(own);
    await texts(page, said);
  }
  assert.equal(clients.length, 6);
  assert.equal(new Set(clients).size, 1, "the client is the same");
  await members(page, ["carol", "dave"]);
  // Nobody saw it leave or come again.
  await notes(page, ["dave joined"]);
  await shows(page, "what waits", "#outbox li", []);
  assert.deepEqual(complaints.filter((line) => !/WebSocket|ERR_CONNECTION|ERR_EMPTY/.test(line)), []);
  cable.close();
});
