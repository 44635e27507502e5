// The client against a scripted gate whose sockets are cut at every point.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, WasmverseError } from "../dist/index.js";

/** A gate with one session, and sockets that end when the test says so. */
function gate() {
  const pushed = [];
  const all = [];
  class Socket {
    readyState = 0;
    sent = [];
    constructor() {
      all.push(this);
      queueMicrotask(() => this.onopen?.({}));
    }
    send(text) {
      const frame = JSON.parse(text);
      this.sent.push(frame);
      if (frame.op === "open") this.say({ op: "session", client_id: "g/1", session: "secret", seq: 0 });
      if (frame.op === "resume") {
        this.say({ op: "session", client_id: "g/1", session: "secret", seq: frame.seq });
        pushed.filter(({ seq }) => seq > frame.seq).forEach((frame) => this.say(frame));
      }
    }
    say(frame) {
      this.onmessage?.({ data: JSON.stringify(frame) });
    }
    cut(code = 1006) {
      this.onclose?.({ code });
    }
    close() {}
  }
  return {
    Socket,
    get socket() {
      return all.at(-1);
    },
    all,
    push(payload, { arrives = true } = {}) {
      const frame = { op: "push", seq: pushed.length + 1, event: "message", payload };
      pushed.push(frame);
      if (arrives) this.socket.say(frame);
    },
  };
}

const options = (fake) => ({ WebSocket: fake.Socket, backoffMs: { min: 1, max: 2 } });

function opened(client) {
  return new Promise((resolve) => {
    const end = client.on("session", (session) => (end(), resolve(session)));
  });
}

test("pushes come once and in order, wherever the connection is cut", async () => {
  const fake = gate();
  const client = new Client("http://gate", options(fake));
  const seen = [];
  client.on("push", ({ payload }) => seen.push(payload));
  assert.deepEqual(await opened(client), { clientId: "g/1", isNew: true });
  for (let round = 0; round < 5; round++) {
    for (let arrived = 0; arrived <= 3; arrived++) {
      for (let n = 0; n < 3; n++) fake.push(seen.length, { arrives: n < arrived });
      const back = opened(client);
      fake.socket.cut();
      assert.equal(client.state, "reconnecting");
      assert.deepEqual(await back, { clientId: "g/1", isNew: false });
    }
  }
  assert.equal(seen.length, 60);
  client.close();
});

test("a call that was under way may have been executed, one that waits is sent later", async () => {
  const fake = gate();
  const client = new Client("http://gate", options(fake));
  await opened(client);
  const lost = client.call("Counter", "a", "add", 1);
  const back = opened(client);
  fake.socket.cut();
  await assert.rejects(lost, (error) => error instanceof WasmverseError && error.code === "unavailable" && error.maybeExecuted);
  const waiting = client.object("Counter", "a").call("add", 2, { key: "k", timeoutMs: 1000 });
  await back;
  const frame = fake.socket.sent.at(-1);
  assert.deepEqual([frame.op, frame.method, frame.payload, frame.key], ["call", "add", 2, "k"]);
  assert.ok(parseInt(frame.timeout) <= 1000, "time that was spent waiting is not given again");
  fake.socket.say({ op: "reply", id: frame.id, payload: 7 });
  assert.equal(await waiting, 7);
  client.close();
});

test("errors carry what the gate says", async () => {
  const fake = gate();
  const client = new Client("http://gate", options(fake));
  await opened(client);
  const call = client.call("BankAccount", "a", "withdraw", 5);
  const error = { code: "application", message: "no", object: "BankAccount/a", retry_after_ms: 5, maybe_executed: false, application: { code: "insufficient-funds", details: { missing: 5 } } };
  fake.socket.say({ op: "error", id: fake.socket.sent.at(-1).id, error });
  await assert.rejects(call, (seen) => {
    assert.deepEqual([seen.code, seen.application, seen.retryAfterMs, seen.object], ["application", error.application, 5, "BankAccount/a"]);
    return true;
  });
  client.close();
});

test("a link on which nothing comes is given up", async () => {
  const fake = gate();
  const client = new Client("http://gate", { ...options(fake), quietMs: 20 });
  await opened(client);
  await opened(client);
  assert.ok(fake.all.length >= 2);
  client.close();
});

test("a session that somebody else took over is not taken back", async () => {
  const fake = gate();
  const client = new Client("http://gate", options(fake));
  await opened(client);
  const back = opened(client);
  fake.socket.cut(4001);
  assert.equal((await back).isNew, true);
  assert.equal(fake.socket.sent[0].op, "open");
  client.close();
});

test("events are an async iterator that ends with the client", async () => {
  const fake = gate();
  const client = new Client("http://gate", options(fake));
  await opened(client);
  const seen = [];
  const reading = (async () => {
    for await (const { payload } of client.events()) seen.push(payload);
  })();
  fake.push("a");
  fake.push("b");
  await new Promise((resolve) => setImmediate(resolve));
  client.close();
  await reading;
  assert.deepEqual(seen, ["a", "b"]);
  await assert.rejects(client.call("T", "a", "m"), (error) => error.code === "unavailable" && !error.maybeExecuted);
});

test("events of before the first look are kept, and a loop that is left ends them", async () => {
  const fake = gate();
  const client = new Client("http://gate", options(fake));
  await opened(client);
  const events = client.events();
  fake.push("a");
  for await (const { payload } of events) {
    assert.equal(payload, "a");
    break;
  }
  fake.push("b");
  assert.deepEqual(await events.next(), { value: undefined, done: true });
  client.close();
});

test("a loop that falls far behind is told so", async () => {
  const fake = gate();
  const client = new Client("http://gate", options(fake));
  await opened(client);
  const events = client.events();
  for (let n = 0; n <= 10_000; n++) fake.push(n);
  const reading = (async () => {
    for await (const _ of events);
  })();
  await assert.rejects(reading, (error) => error.code === "overloaded");
  client.close();
});

test("what the gate tells twice is heard once", async () => {
  const fake = gate();
  const client = new Client("http://gate", options(fake));
  await opened(client);
  const seen = [];
  client.on("push", ({ payload }) => seen.push(payload));
  fake.push("a");
  fake.socket.say({ op: "push", seq: 1, event: "message", payload: "a" });
  fake.push("b");
  assert.deepEqual(seen, ["a", "b"]);
  client.close();
});

test("a call that found no connection in time was not executed", async () => {
  class Nowhere {
    constructor() {
      queueMicrotask(() => this.onclose({ code: 1006 }));
    }
    close() {}
  }
  const client = new Client("http://gate", { WebSocket: Nowhere, backoffMs: { min: 1, max: 2 } });
  const call = client.call("T", "a", "m", 1, { timeoutMs: 20 });
  await assert.rejects(call, (error) => error.code === "timeout" && !error.maybeExecuted);
  client.close();
});

test("what listeners of a session call goes before calls that waited", async () => {
  const fake = gate();
  const client = new Client("http://gate", options(fake));
  client.call("T", "a", "second").catch(() => {});
  client.on("session", () => client.call("T", "a", "first").catch(() => {}));
  await opened(client);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(fake.socket.sent.map(({ op, method }) => method ?? op), ["open", "first", "second"]);
  client.close();
});

test("an argument that is no JSON fails its call alone", async () => {
  const fake = gate();
  const client = new Client("http://gate", options(fake));
  const waiting = client.call("T", "a", "m", 1n);
  await assert.rejects(waiting, TypeError);
  await assert.rejects(client.call("T", "a", "m", 1n), TypeError);
  const call = client.call("T", "a", "m", 1);
  fake.socket.say({ op: "reply", id: fake.socket.sent.at(-1).id, payload: "done" });
  assert.equal(await call, "done");
  client.close();
});

test("without a WebSocket the error says what to do", { skip: "WebSocket" in globalThis }, () => {
  assert.throws(() => new Client("http://gate"), /Node 22|ws/);
});
