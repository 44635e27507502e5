// What was typed and is not in the room yet: nothing is lost, and nothing is said twice unasked.

import { WasmverseError } from "@wasmverse/client";
import { words } from "./chat";
import { button, element, part } from "./page";
import type { Visit } from "./visit";

const list = part("outbox");
let last: Promise<void> = Promise.resolve();

/** Another room: what waited for the one before stays behind. */
export function clear(): void {
  list.replaceChildren();
  last = Promise.resolve();
}

/** Says a text in its turn. Until it is said, or was given up, it is to be seen. */
export function post(visit: Visit, text: string): void {
  const line = element("li", "", "");
  const status = element("span", "why", "sending…");
  line.append(element("span", "text", text), status);
  list.append(line);
  last = last.then(async () => {
    try {
      await visit.say(text);
      line.remove();
    } catch (error) {
      const maybe = error instanceof WasmverseError && error.maybeExecuted;
      const outcome = maybe ? "It may have been sent; look above before you send it again." : "Not sent.";
      line.classList.add("failed");
      status.setAttribute("role", "alert");
      status.textContent = `${outcome} (${words(error)})`;
      const end = (then: () => void) => {
        line.remove();
        part("text").focus();
        then();
      };
      line.append(
        button("plain", "Send again", () => end(() => post(visit, text))),
        button("plain", "Dismiss", () => end(() => {})),
      );
    }
  });
}
