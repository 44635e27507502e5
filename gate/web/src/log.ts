// What was said: it follows the end, unless someone reads further up.

import { element, part } from "./page";
import type { Message } from "./transcript";

/** Lines that are kept on the page. */
const LINES_MAX = 2000;
const NEAR_PX = 40;

const lines = part("messages");
const newer = part<HTMLButtonElement>("newer");
let follows = true;
let unread = 0;
/** Where it was scrolled to. */
let place = 0;

export function clear(): void {
  lines.replaceChildren();
  toEnd();
}

export function toEnd(): void {
  follows = true;
  unread = 0;
  newer.hidden = true;
  lines.scrollTop = lines.scrollHeight;
  place = lines.scrollTop;
}

export function show(message: Message, isOwn: boolean): void {
  const line = document.createElement("li");
  line.classList.toggle("own", isOwn);
  const at = new Date(message.at_micros / 1000);
  const time = element("time", "", at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  time.setAttribute("datetime", at.toISOString());
  time.title = at.toLocaleString();
  const head = element("div", "head", "");
  head.append(element("bdi", "who", message.user), time);
  line.append(head, element("span", "text", message.text));
  add(line);
}

/** Something that happened. A name may be written in any direction, and ends where it ends. */
export function note(who: string, what: string): void {
  const line = element("li", "note", "");
  if (who !== "") line.append(element("bdi", "", who), " ");
  line.append(what);
  add(line);
}

function add(line: HTMLElement): void {
  lines.append(line);
  while (lines.childElementCount > LINES_MAX) lines.firstElementChild?.remove();
  if (follows) return toEnd();
  unread += 1;
  newer.textContent = `${unread} new ↓`;
  newer.hidden = false;
}

newer.addEventListener("click", toEnd);
lines.addEventListener("scroll", () => {
  const away = lines.scrollHeight - lines.scrollTop - lines.clientHeight;
  // Only who scrolls up wants to stay: lines may also have become fewer to see.
  if (away < NEAR_PX) toEnd();
  else if (lines.scrollTop < place) follows = false;
  place = lines.scrollTop;
});
// A keyboard that appears on a phone takes the end out of sight.
new ResizeObserver(() => {
  if (follows) toEnd();
}).observe(lines);
