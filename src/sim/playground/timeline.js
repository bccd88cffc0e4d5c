// The messages of the open channel. One list item a message, replaced in place when it changes; the view
// stays at the newest message while it is there, and where it is otherwise.

import { byId, dayName, h, notice } from "./dom.js";
import { onPlaceChange } from "./interactions.js";
import { continues, messageItem } from "./message.js";
import { channel, loadEarlier, message as lookUp, state, watch } from "./store.js";

const NEAR_PX = 80;
const list = byId("timeline");
const newest = byId("newest");
let unseen = 0;
let actions = {};

/** Starts the timeline; `reply` and `edit` are what its messages offer. */
export function startTimeline({ reply, edit }) {
  actions = { reply, edit, jump };
  watch("place", renderAll);
  watch("world", renderAll);
  watch("me", renderAll);
  watch("messages", (channelId) => channelId === state.channelId && renderAll());
  watch("message", renderOne);
  onPlaceChange((channelId, messageId) => {
    const known = lookUp(channelId, messageId);
    if (known) renderOne(known);
  });
  newest.addEventListener("click", () => {
    toNewest();
    byId("write").focus();
  });
  list.addEventListener("scroll", () => atNewest() && seen());
  list.addEventListener("keydown", onArrow);
  // Pictures, the write box and the window change heights; whoever is at the newest message stays there.
  let stay = true;
  list.addEventListener("scroll", () => (stay = atNewest()));
  new ResizeObserver(() => stay && toNewest()).observe(list);
}

// The arrow keys go from message to message; a message's toolbar takes part in the tab order only while
// its message has the focus, so that Tab does not walk through hundreds of buttons.
function onArrow(event) {
  const step = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" }[event.key];
  if (!step || !(event.target === list || event.target.matches(".message"))) return;
  let item = event.target === list ? list.lastElementChild : event.target[step];
  while (item && !item.matches(".message")) item = item[step];
  if (!item) return;
  event.preventDefault();
  item.focus();
}

const atNewest = () => list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_PX;

/** Goes to the newest message. */
export function toNewest() {
  list.scrollTop = list.scrollHeight;
  seen();
}

function seen() {
  unseen = 0;
  newest.hidden = atNewest();
  newest.textContent = "↓ Newest";
}

let shown = null;

function renderAll() {
  const follow = shown !== state.channelId || atNewest();
  const top = list.scrollTop;
  shown = state.channelId;
  const messages = state.messages.get(state.channelId);
  const items = state.earlier.has(state.channelId) && messages?.length ? [earlier()] : [];
  let previous = null;
  for (const message of messages ?? []) {
    items.push(...itemsFor(previous, message));
    previous = message;
  }
  if (messages?.length === 0) items.push(h("li", { class: "empty" }, `Nothing here yet. Write the first message${channel()?.type === "text" ? ", or / for a command" : ""}.`));
  list.replaceChildren(...items);
  if (follow) toNewest();
  else list.scrollTop = top;
}

function earlier() {
  const show = async () => {
    const height = list.scrollHeight;
    const oldest = state.messages.get(state.channelId)[0].messageId;
    try {
      await loadEarlier(state.channelId);
    } catch (error) {
      notice(`Earlier messages do not come: ${error.message}`);
      return;
    }
    // What was on the screen stays there, and the keyboard goes on from it.
    list.scrollTop += list.scrollHeight - height;
    itemOf(oldest)?.focus({ preventScroll: true });
  };
  return h("li", { class: "earlier" }, h("button", { class: "control", onclick: show }, "Show earlier messages"));
}

const dayOf = ({ timeSent }) => new Date(timeSent).toDateString();

function itemsFor(previous, message) {
  const newDay = !previous || dayOf(previous) !== dayOf(message);
  const item = messageItem(message, { compact: !newDay && continues(previous, message), actions });
  return newDay ? [h("li", { class: "day" }, h("span", {}, dayName(new Date(message.timeSent)))), item] : [item];
}

const itemOf = (messageId) => list.querySelector(`.message[data-id="${CSS.escape(messageId)}"]`);

function renderOne(message) {
  if (message.channelId !== state.channelId) return;
  const messages = state.messages.get(state.channelId);
  const old = itemOf(message.messageId);
  const follow = atNewest();
  if (old) replace(old, messageItem(message, { compact: old.classList.contains("compact"), actions }));
  else {
    list.querySelector(".empty")?.remove();
    list.append(...itemsFor(messages.at(-2) ?? null, message));
  }
  if (follow || (!old && message.sender.userId === state.me)) toNewest();
  else if (!old) {
    unseen++;
    newest.hidden = false;
    newest.textContent = `↓ ${unseen} new`;
  }
}

// Keeps the focus on the same button and open spoilers open when a message is drawn anew.
function replace(old, next) {
  const hadFocus = old.contains(document.activeElement);
  const key = hadFocus ? document.activeElement.dataset.key : null;
  const sameText = old.querySelector(".text")?.textContent === next.querySelector(".text")?.textContent;
  const open = sameText ? [...old.querySelectorAll(".spoiler.open")].map((each) => each.dataset.group) : [];
  old.replaceWith(next);
  for (const group of open) next.querySelector(`.spoiler:not(.open)[data-group="${group}"]`)?.click();
  if (hadFocus) next.focus({ preventScroll: true });
  if (key) next.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

function jump(messageId) {
  const item = itemOf(messageId);
  if (!item) return;
  item.scrollIntoView({ block: "center" });
  item.classList.remove("flash");
  requestAnimationFrame(() => item.classList.add("flash"));
}
