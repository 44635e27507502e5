// The list of open rooms beside the door.

import { button, element, part } from "./page";

export interface Room {
  name: string;
  members: number;
}

const list = part("open");
let shown = "";

/** Shows them, if they are others than before: whoever reads or points at them is left alone. */
export function show(rooms: Room[], choose: (name: string) => void): void {
  const now = JSON.stringify(rooms);
  if (now === shown) return;
  shown = now;
  const focused = [...list.children].find((line) => line.contains(document.activeElement));
  const kept = focused?.querySelector("bdi")?.textContent;
  part("rooms").replaceChildren(...rooms.map(({ name }) => Object.assign(document.createElement("option"), { value: name })));
  list.replaceChildren(...rooms.map((room) => item(room, choose)));
  part("open-rooms").hidden = rooms.length === 0;
  if (kept === undefined) return;
  [...list.querySelectorAll("button")].find((it) => it.querySelector("bdi")?.textContent === kept)?.focus();
}

function item({ name, members }: Room, choose: (name: string) => void): HTMLElement {
  const choice = button("", "", () => choose(name));
  choice.append(element("bdi", "", name), element("span", "count", members === 1 ? "1 member" : `${members} members`));
  const line = document.createElement("li");
  line.append(choice);
  return line;
}
