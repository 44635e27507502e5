// What the TypeScript client claims, wherever it runs: this very file is loaded by Node and by a page.

function is(seen, wanted, what) {
  const [a, b] = [seen, wanted].map((value) => JSON.stringify(value));
  if (a !== b) throw new Error(`${what}: ${a} instead of ${b}`);
}

async function fails(promise) {
  const error = await promise.then(() => undefined, (error) => error);
  if (error === undefined) throw new Error("it should have failed");
  return error;
}

/** `cut` cuts every connection of the client; `id` keeps runs apart. */
export async function claims({ Client, WasmverseError }, url, options, cut, id) {
  const client = new Client(url, { ...options, backoffMs: { min: 10, max: 100 } });
  const counter = client.object("Counter", id);
  is(await counter.call("add", 2), 2, "a call made before there is a connection");
  is(await counter.call("add", 3), 5, "a call");

  const poor = await fails(client.object("BankAccount", id).call("withdraw", 7));
  is([poor instanceof WasmverseError, poor.code, poor.application.code, poor.object, poor.maybeExecuted],
    [true, "application", "insufficient-funds", `BankAccount/${id}`, false], "an error of the object's own");
  is((await fails(client.call("Nothing", id, "m"))).code, "not-found", "an error of the system");

  const events = client.events();
  const room = client.object("ChatRoom", id);
  await room.call("join", { user: "me" });
  is((await events.next()).value, { event: "joined", payload: { room: id, user: "me" } }, "a push");

  const before = client.clientId;
  const sessions = [];
  client.on("session", ({ clientId, isNew }) => sessions.push([clientId, isNew]));
  await cut();
  await room.call("send_message", { user: "me", text: "after the cut" }).catch((error) => {
    // It may have met the cut itself.
    if (error.code !== "unavailable") throw error;
    return room.call("send_message", { user: "me", text: "after the cut" });
  });
  const { event, payload } = (await events.next()).value;
  is([event, payload.text, payload.seq], ["message", "after the cut", 1], "a push after a cut");
  is(sessions, [[before, false]], "the session goes on");

  const underWay = client.object("Mischief", id).call("wait", 20_000);
  client.close();
  const broken = await fails(underWay);
  is([broken.code, broken.maybeExecuted], ["unavailable", true], "a call that was under way");
  is((await events.next()).done, true, "the events end");
  is((await fails(counter.call("value"))).maybeExecuted, false, "a call of a closed client");
  is(client.state, "closed", "its state");
  return "all hold";
}
