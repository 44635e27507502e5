// A wire to the gate that can be cut.

import { connect, createServer } from "node:net";

/** Listens on a port of its own; `cut` ends what is connected, `hold` takes nothing until `go`. */
export async function wire(to) {
  const { hostname, port } = new URL(to);
  const open = new Set();
  let held = false;
  const server = createServer((client) => {
    if (held) return void client.destroy();
    const gate = connect(Number(port), hostname);
    for (const [from, into] of [[client, gate], [gate, client]]) {
      open.add(from);
      from.on("data", (data) => into.write(data));
      from.on("end", () => into.end());
      from.on("error", () => into.destroy());
      from.on("close", () => open.delete(from));
    }
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const cut = () => open.forEach((socket) => socket.destroy());
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    cut,
    hold() {
      held = true;
      cut();
    },
    go: () => (held = false),
    close() {
      cut();
      server.close();
    },
  };
}
