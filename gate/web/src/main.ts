// The page: a door to enter by, and a room. What happens when someone types or comes back.

import "./style.css";
import type { State } from "@wasmverse/client";
import { Chat, words } from "./chat";
import * as log from "./log";
import * as outbox from "./outbox";
import { element, part } from "./page";
import * as rooms from "./rooms";
import type { Visit } from "./visit";

const [door, room] = [part("door"), part("chat")];
const [enter, say] = [part<HTMLFormElement>("enter"), part<HTMLFormElement>("say")];
const [userInput, roomInput, textInput] = [part<HTMLInputElement>("user"), part<HTMLInputElement>("room"), part<HTMLInputElement>("text")];
const [members, status, problem, trouble] = [part("members"), part("state"), part("problem"), part("trouble")];
const title = document.title;
/** Between two looks at which rooms there are, in milliseconds. */
const LOOK_MS = 5_000;
let visit: Visit | undefined;
let user = "";
let isEntering = false;
let connection: State = "connecting";
let wasConnected = false;
let isBehind = false;
let noList = "";

const chat = new Chat(
  location.origin,
  {
    message: (message) => log.show(message, message.user === user),
    members(names) {
      members.replaceChildren(...names.map((name) => element("li", "", name)));
      part("members-title").textContent = `Members (${names.length})`;
    },
    note: log.note,
    behind(is) {
      isBehind = is;
      showStatus();
      if (!is) trouble.textContent = "";
    },
    trouble: (error) => (trouble.textContent = words(error)),
    gone: (why) => toDoor(why),
  },
  (now) => {
    connection = now;
    wasConnected ||= now === "open";
    showStatus();
    void listRooms();
  },
);

function showStatus(): void {
  const away = wasConnected ? "connection lost: reconnecting…" : "no connection: trying again…";
  const open = isBehind ? "back: catching up…" : "connected";
  status.textContent = { connecting: "connecting…", open, reconnecting: away, closed: "closed" }[connection];
  status.className = connection === "open" && !isBehind ? "good" : connection === "reconnecting" ? "lost" : "";
}

async function listRooms(): Promise<void> {
  if (door.hidden || document.hidden || connection !== "open") return;
  try {
    rooms.show(await chat.rooms(), (name) => {
      roomInput.value = name;
      if (userInput.value.trim() === "") userInput.focus();
      else enter.requestSubmit();
    });
  } catch (error) {
    if (problem.textContent === "") problem.textContent = noList = words(error);
    return;
  }
  // What kept the list away is over.
  if (problem.textContent === noList) problem.textContent = noList = "";
}

async function goIn(): Promise<void> {
  const [name, where] = [userInput.value.trim(), roomInput.value.trim()];
  if (name === "" || where === "" || isEntering) return;
  isEntering = true;
  enter.setAttribute("aria-busy", "true");
  problem.textContent = trouble.textContent = "";
  user = name;
  isBehind = false;
  log.clear();
  outbox.clear();
  try {
    visit = await chat.enter(name, where);
    showRoom(visit);
  } catch (error) {
    problem.textContent = words(error);
  } finally {
    isEntering = false;
    enter.removeAttribute("aria-busy");
  }
}

function showRoom({ user, room: name }: Visit): void {
  localStorage.setItem("user", user);
  // A page that is loaded again is in the same room again.
  sessionStorage.setItem("room", name);
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  part("name").replaceChildren(element("bdi", "", name));
  // The name ends where it ends, in whatever direction it is written.
  document.title = `\u2068${name}\u2069 – ${title}`;
  door.hidden = true;
  room.hidden = false;
  log.toEnd();
  textInput.focus();
}

function toDoor(why: string): void {
  visit = undefined;
  isBehind = false;
  showStatus();
  room.hidden = true;
  door.hidden = false;
  document.title = title;
  sessionStorage.removeItem("room");
  history.replaceState(null, "", location.pathname);
  problem.textContent = why;
  userInput.focus();
}

async function goOut(): Promise<void> {
  const left = visit?.leave();
  toDoor("");
  try {
    await left;
  } catch (error) {
    problem.textContent = words(error);
  }
  await listRooms();
}

/** The room that the address names; one that makes no sense names none. */
function addressed(): string {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

enter.addEventListener("submit", (event) => {
  event.preventDefault();
  void goIn();
});

say.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = textInput.value;
  if (text.trim() === "" || visit === undefined) return;
  textInput.value = "";
  trouble.textContent = "";
  log.toEnd();
  outbox.post(visit, text);
});

setInterval(() => void listRooms(), LOOK_MS);

part("leave").addEventListener("click", () => void goOut());

addEventListener("hashchange", async () => {
  const name = addressed();
  if (name === "" || name === visit?.room) return;
  const goesOn = visit !== undefined;
  if (goesOn) await goOut();
  roomInput.value = name;
  if (goesOn) void goIn();
});

userInput.value = localStorage.getItem("user") ?? "";
const name = addressed();
if (name !== "") roomInput.value = name;
(userInput.value === "" ? userInput : roomInput).focus();
showStatus();
if (name !== "" && sessionStorage.getItem("room") === name && userInput.value !== "") void goIn();
