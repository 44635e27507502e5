// The built client in a browser, from the page's own site.

import assert from "node:assert/strict";
import { inBrowser, open, say, url } from "./browser.mjs";
import { wire } from "./wire.mjs";

await inBrowser(async (browser) => {
  const cable = await wire(url);
  const { page, complaints } = await open(browser, { at: cable.url });
  await page.exposeFunction("cut", cable.cut);
  const outcome = await page.evaluate(async () => {
    const [client, { claims }] = await Promise.all([import("/client/index.js"), import("/claims.js")]);
    return claims(client, location.origin, {}, window.cut, "page");
  });
  assert.deepEqual(complaints.filter((line) => !/WebSocket/.test(line)), []);
  say(outcome);
});
