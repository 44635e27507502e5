// The page: what is on it, and what happens when someone types. Text is text, never HTML.

import "./style.css";
import { Chat, words, type Message } from "./chat";

function part<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found as T;
}

const [door, room] = [part("door"), part("chat")];
const [enter, say] = [part<HTMLFormElement>("enter"), part<HTMLFormElement>("say")];
const [userInput, roomInput, textInput] = [part<HTMLInputElement>("user"), part<HTMLInputElement>("room"), part<HTMLInputElement>("text")];
const [messages, members, state, problem, trouble] = [part("messages"), part("members"), part("state"), part("problem"), part("trouble")];
const newer = part<HTMLButtonElement>("newer");
const title = document.title;
let unread = 0;

function element(name: string, className: string, text: string): HTMLElement {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function isAtEnd(): boolean {
  return messages.scrollHeight - messages.scrollTop - messages.clientHeight < 40;
}

function toEnd(): void {
  messages.scrollTop = messages.scrollHeight;
  unread = 0;
  newer.hidden = true;
}

function add(line: HTMLElement): void {
  const follow = isAtEnd();
  messages.append(line);
  if (follow) return toEnd();
  unread += 1;
  newer.textContent = `${unread} new`;
  newer.hidden = false;
}

function show(message: Message): void {
  const line = document.createElement("li");
  const at = new Date(message.at_micros / 1000);
  const time = element("time", "", at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  time.setAttribute("datetime", at.toISOString());
  line.append(element("bdi", "who", message.user), time, element("span", "text", message.text));
  add(line);
}

const chat = new Chat(location.origin, {
  state(now) {
    state.classList.toggle("lost", now === "reconnecting");
    state.textContent = { connecting: "connecting…", open: "connected", reconnecting: "connection lost: reconnecting…", closed: "closed" }[now];
  },
  message: show,
  members(names) {
    members.replaceChildren(...names.map((name) => element("li", "", name)));
  },
  note: (text) => add(element("li", "note", text)),
  trouble: (text) => (trouble.textContent = text),
});

async function listRooms(): Promise<void> {
  try {
    const rooms = await chat.rooms();
    part("rooms").replaceChildren(...rooms.map(({ name }) => Object.assign(document.createElement("option"), { value: name })));
    part("open").replaceChildren(
      ...rooms.map(({ name, members }) => {
        const button = element("button", "", `${name} (${members})`);
        button.setAttribute("type", "button");
        button.addEventListener("click", () => {
          roomInput.value = name;
          if (userInput.value.trim() === "") userInput.focus();
          else enter.requestSubmit();
        });
        const item = document.createElement("li");
        item.append(button);
        return item;
      }),
    );
  } catch (error) {
    problem.textContent = words(error);
  }
}

enter.addEventListener("submit", async (event) => {
  event.preventDefault();
  const [user, name] = [userInput.value.trim(), roomInput.value.trim()];
  if (user === "" || name === "") return;
  problem.textContent = trouble.textContent = "";
  messages.replaceChildren();
  part("name").textContent = name;
  try {
    await chat.enter(user, name);
  } catch (error) {
    problem.textContent = words(error);
    return;
  }
  localStorage.setItem("user", user);
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  document.title = `${name} – ${title}`;
  door.hidden = true;
  room.hidden = false;
  toEnd();
  textInput.focus();
});

say.addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = textInput.value;
  if (text.trim() === "") return;
  textInput.value = "";
  trouble.textContent = "";
  try {
    await chat.say(text);
  } catch (error) {
    trouble.textContent = words(error);
    // What was not sent is not lost either.
    if (textInput.value === "") textInput.value = text;
  }
});

part("leave").addEventListener("click", async () => {
  room.hidden = true;
  door.hidden = false;
  document.title = title;
  history.replaceState(null, "", location.pathname);
  userInput.focus();
  try {
    await chat.leave();
  } catch (error) {
    problem.textContent = words(error);
  }
  await listRooms();
});

newer.addEventListener("click", toEnd);
messages.addEventListener("scroll", () => {
  if (isAtEnd()) toEnd();
});

userInput.value = localStorage.getItem("user") ?? "";
if (location.hash.length > 1) roomInput.value = decodeURIComponent(location.hash.slice(1));
(userInput.value === "" ? userInput : roomInput).focus();
await listRooms();
