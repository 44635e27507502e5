// One object in JavaScript that uses every item of the contract. What each method does stands in
// ../README.md; the other languages do the same.
import clients from "wasmverse:object/clients";
import log from "wasmverse:object/log";
import objects from "wasmverse:object/objects";
import reminders from "wasmverse:object/reminders";
import storage from "wasmverse:object/storage";
import system from "wasmverse:object/system";
import turn from "wasmverse:object/turn";

const bytes = (text) => Uint8Array.fromBase64(btoa(unescape(encodeURIComponent(text))));
const text = (data) => {
  let raw = "";
  for (let at = 0; at < data.length; at += 4096) {
    raw += String.fromCharCode(...data.subarray(at, at + 4096));
  }
  return decodeURIComponent(escape(raw));
};
const failure = (kind, code, message, more = {}) => ({
  kind,
  code,
  message,
  details: new Uint8Array(0),
  maybeExecuted: false,
  retryAfterMillis: 0,
  attributes: [],
  ...more,
});

let me = null;
let value = 0;

function objectRef(words) {
  const slash = words.indexOf("/");
  return { typeName: words.slice(0, slash), id: words.slice(slash + 1) };
}

// `Type/id method rest of the line`
function request(line, options = []) {
  const [to, method, ...rest] = line.split(" ");
  return { to: objectRef(to), method, payload: bytes(rest.join(" ")), options };
}

function wordOf(attempt) {
  try {
    attempt();
    return "ok";
  } catch (error) {
    return error.payload.kind;
  }
}

const methods = {
  echo: (payload) => payload,
  add(payload) {
    const by = text(payload);
    if (!/^-?\d{1,15}$/.test(by)) throw failure("invalid-argument", "", `not a number: ${by}`);
    value += Number(by);
    return bytes(String(value));
  },
  value: () => bytes(String(value)),
  me: () => bytes(`${me.typeName}/${me.id}`),
  fail(payload) {
    throw failure("", "out-of-stock", "the shelf is empty", {
      details: payload,
      retryAfterMillis: 250,
      attributes: [["shelf", "7"]],
    });
  },
  pretend(payload) {
    throw failure(text(payload), "", "not what the platform says");
  },
  relay: (payload) => objects.call(request(text(payload))),
  relay_within: (payload) => {
    const line = text(payload);
    const space = line.indexOf(" ");
    return objects.call(request(line.slice(space + 1), [["timeout", line.slice(0, space)]]));
  },
  relay_many(payload) {
    const answers = objects.callMany(text(payload).split("\n").map((line) => request(line)));
    const lines = answers.map(({ tag, val }) => (tag === "ok" ? `ok ${text(val)}` : `err ${val.kind}`));
    return bytes(lines.join("\n"));
  },
  send(payload) {
    objects.send(request(text(payload)));
  },
  make(payload) {
    objects.create(objectRef(text(payload)));
  },
  unmake(payload) {
    objects.delete(objectRef(text(payload)));
  },
  there: (payload) => bytes(String(objects.exists(objectRef(text(payload))))),
  shout(payload) {
    clients.broadcast("shout", payload);
  },
  whisper(payload) {
    const [to, ...rest] = text(payload).split(" ");
    clients.push([to], "whisper", bytes(rest.join(" ")));
  },
  note(payload) {
    log.write("warn", text(payload), [["from", "golden"]]);
  },
  now: () => bytes(String(system.nowMicros())),
  random: (payload) => system.randomBytes(Number(text(payload))),
  who() {
    const caller = turn.caller();
    const lines = [
      `id ${turn.id()}`,
      `caller ${caller ? `${caller.typeName}/${caller.id}` : "-"}`,
      `client ${turn.client() ?? "-"}`,
      `left ${turn.deadlineMicros() > system.nowMicros()}`,
      `key ${turn.idempotencyKey() ?? "-"}`,
      `trace ${turn.traceparent() ?? "-"}`,
      `revision ${turn.revision()}`,
      `read-only ${turn.readOnly()}`,
    ];
    return bytes(lines.join("\n"));
  },
  storage() {
    const words = [
      wordOf(() => storage.set("a", bytes("1"))),
      wordOf(() => storage.get("a")),
      wordOf(() => storage.scan("", "", 10)),
      wordOf(() => storage.delete("a")),
    ];
    return bytes(words.join(" "));
  },
  reminders() {
    const words = [
      wordOf(() => reminders.set("tea", "every 5s", "value", new Uint8Array(0))),
      wordOf(() => reminders.pending()),
      wordOf(() => reminders.cancel("tea")),
    ];
    return bytes(words.join(" "));
  },
  crash() {
    throw new Error("the golden crash");
  },
};

const readOnly = ["echo", "value", "me", "peek"];

export const guest = {
  describe: () =>
    JSON.stringify({
      type: "GoldenJs",
      revision: "golden-1",
      schema: 1,
      durability: "volatile",
      encoding: "bytes",
      methods: [...Object.keys(methods), "peek"].map((name) => ({
        name,
        mode: readOnly.includes(name) ? "read-only" : "write",
      })),
    }),
  activate(object, state) {
    me = object;
    if (!state) return;
    if (state.schema !== 1) {
      throw failure("", "unknown-schema", `written by schema ${state.schema}`);
    }
    value = Number(text(state.data));
  },
  handle(method, payload) {
    if (method === "peek") method = "shout";
    const run = methods[method];
    if (!run) throw failure("", "no-such-method", `no method ${method}`);
    return run(payload) ?? new Uint8Array(0);
  },
  snapshot: () => ({ schema: 1, data: bytes(String(value)) }),
  deactivate(why) {
    log.write("info", `leaving: ${why}`, []);
  },
};
