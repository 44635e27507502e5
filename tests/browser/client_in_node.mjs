// The built client in Node, with the sockets of the package `ws`.

import { createRequire } from "node:module";
import * as client from "../../gate/client/dist/index.js";
import { claims } from "./claims.mjs";
import { wire } from "./wire.mjs";

const WebSocket = createRequire(new URL("../../gate/package.json", import.meta.url))("ws");
const cable = await wire(process.argv[2]);
console.log(await claims(client, cable.url, { WebSocket }, cable.cut, "node"));
cable.close();
process.exit(0);
