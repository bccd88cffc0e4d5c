// The write box: sending, replying, editing, telling that one types, and the suggestions for / and @.

import { post } from "./api.js";
import { commandIn, matching, runCommand } from "./commands.js";
import { byId, h, notice } from "./dom.js";
import { icon } from "./icons.js";
import { mentionable, parseMarkup } from "./markup.js";
import { excerpt } from "./message.js";
import { channel, state, watch } from "./store.js";
import { toNewest } from "./timeline.js";

// The platform ends a typing sign after 8 s; said again well before that.
const TYPING_AGAIN_MS = 4000;
const MOST_SUGGESTIONS = 8;

const write = byId("write");
const list = byId("suggestions");
const contextBar = byId("context");
let context = null; // { kind: "reply" | "edit", message }
let suggestions = [];
let chosen = 0;
let dismissed = ""; // the word for which Escape closed the suggestions

/** Wires the write box. */
export function startComposer() {
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    void submit();
  });
  write.addEventListener("input", () => {
    resize();
    suggest();
    tellTyping();
  });
  write.addEventListener("click", suggest);
  write.addEventListener("keydown", onKey);
  write.addEventListener("blur", closeSuggestions);
  watch("place", () => {
    setContext(null);
    stopTyping();
    label();
  });
  watch("me", () => {
    stopTyping();
    if (context?.kind === "edit") setContext(null);
  });
  watch("world", label);
  watch("commands", () => document.activeElement === write && suggest());
}

function label() {
  const here = channel();
  const voice = here?.type === "voice";
  byId("composer").hidden = voice;
  const hint = matchMedia("(max-width: 700px)").matches ? "" : ", or / for a command";
  write.placeholder = here ? `Message #${here.name}${hint}` : "";
}

/** Begins a reply to a message. */
export const startReply = (message) => setContext({ kind: "reply", message });

/** Begins to edit a message of one's own. The platform's edits carry text and no entities. */
export function startEdit(message) {
  setContext({ kind: "edit", message });
  setText(message.text);
}

function setContext(next) {
  if (context?.kind === "edit" && next?.kind !== "edit") setText("");
  context = next;
  contextBar.hidden = !next;
  if (!next) return;
  const what = next.kind === "edit" ? "Editing your message: an edit is plain text" : ["Replying to ", h("b", {}, next.message.sender.displayName), " ", excerpt(next.message)];
  contextBar.replaceChildren(h("span", {}, what), h("button", { type: "button", class: "icon", "aria-label": "Cancel", onclick: () => (setContext(null), write.focus()) }, icon("close")));
  write.focus();
}

function setText(text) {
  write.value = text;
  resize();
  closeSuggestions();
}

function resize() {
  write.style.height = "auto";
  write.style.height = `${Math.min(write.scrollHeight + 2, innerHeight * 0.35)}px`;
}

async function submit() {
  const source = write.value.trim();
  if (!source || !state.me || !state.channelId) return;
  stopTyping();
  const typed = context?.kind !== "edit" && commandIn(source);
  if (typed) {
    setText("");
    runCommand(typed.command, typed.rest, () => write.focus());
    return;
  }
  const before = { context, source: write.value };
  const place = { userId: state.me, channelId: state.channelId };
  setText("");
  setContext(null);
  try {
    if (before.context?.kind === "edit") await post("edit", { ...place, messageId: before.context.message.messageId, text: source });
    else {
      const { text, entities } = parseMarkup(source);
      await post("message", { ...place, text, ...(entities.length ? { entities } : {}), ...(before.context ? { replyTo: before.context.message.messageId } : {}) });
      toNewest();
    }
  } catch (error) {
    notice(`Not sent: ${error.message}`);
    if (write.value === "" && state.channelId === place.channelId) {
      setContext(before.context);
      setText(before.source);
    }
  }
}

function onKey(event) {
  if (event.isComposing) return;
  if (!list.hidden && suggestions.length > 0) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      choose((chosen + step + suggestions.length) % suggestions.length);
      return;
    }
    if ((event.key === "Enter" && !event.shiftKey) || (event.key === "Tab" && !event.shiftKey)) {
      event.preventDefault();
      suggestions[chosen].pick();
      return;
    }
  }
  if (event.key === "Escape") {
    if (!list.hidden) {
      dismissed = wordHere();
      closeSuggestions();
    } else setContext(null);
  } else if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    void submit();
  } else if (event.key === "ArrowUp" && write.value === "" && !context) {
    const own = state.messages.get(state.channelId)?.findLast(({ sender }) => sender.userId === state.me);
    if (own) {
      event.preventDefault();
      startEdit(own);
    }
  }
}

// --- suggestions

const beforeCaret = () => write.value.slice(0, write.selectionStart);
const wordHere = () => /(?:^\/\S*|(?:^|\s)@[^\s@]*)$/.exec(beforeCaret())?.[0] ?? "";

function suggest() {
  const word = wordHere();
  if (word !== dismissed) dismissed = "";
  if (!word || dismissed) {
    closeSuggestions();
    return;
  }
  suggestions = word.startsWith("/") && context?.kind !== "edit" ? slash(word.slice(1)) : mentions(word.trimStart().slice(1).toLowerCase());
  const none = word === "/" ? "No commands yet: a bot registers them." : null;
  list.replaceChildren(...suggestions.map(({ label, about, side, pick }, i) => h("li", {
    role: "option",
    id: `suggestion-${i}`,
    "aria-selected": "false",
    onpointerdown: (event) => event.preventDefault(), // the write box keeps the focus
    onpointermove: () => i !== chosen && choose(i),
    onclick: pick,
  }, h("b", {}, label), h("span", {}, about), h("small", {}, side))));
  if (suggestions.length === 0 && none) list.append(h("li", { class: "none" }, none));
  list.hidden = list.childElementCount === 0;
  write.setAttribute("aria-expanded", String(!list.hidden));
  if (suggestions.length > 0) choose(0);
}

function choose(index) {
  chosen = index;
  [...list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === index)));
  list.children[index].scrollIntoView({ block: "nearest" });
  write.setAttribute("aria-activedescendant", `suggestion-${index}`);
}

function closeSuggestions() {
  list.hidden = true;
  suggestions = [];
  write.setAttribute("aria-expanded", "false");
  write.removeAttribute("aria-activedescendant");
}

const slash = (typed) => matching(typed).map((command) => ({
  label: `/${command.name}`,
  about: command.description,
  side: command.botName,
  pick: () => {
    setText("");
    stopTyping();
    runCommand(command, "", () => write.focus());
  },
}));

const mentions = (typed) => mentionable()
  .filter(({ name, alias }) => name.toLowerCase().startsWith(typed) && !alias)
  .sort((a, b) => a.name.localeCompare(b.name))
  .slice(0, MOST_SUGGESTIONS)
  .map(({ name, about }) => ({
    label: `@${name}`,
    about: "",
    side: about,
    pick: () => {
      const start = beforeCaret().length - typed.length;
      write.setRangeText(`${name} `, start, write.selectionStart, "end");
      closeSuggestions();
    },
  }));

// --- the typing sign

let typing = null; // { place, at }

function tellTyping() {
  if (write.value === "" || write.value.startsWith("/")) {
    stopTyping();
    return;
  }
  if (typing && Date.now() - typing.at < TYPING_AGAIN_MS) return;
  typing = { place: { userId: state.me, channelId: state.channelId }, at: Date.now() };
  post("typing", typing.place).catch(() => {}); // a sign of courtesy: its loss needs no words
}

function stopTyping() {
  if (!typing) return;
  post("typing", { ...typing.place, stop: true }).catch(() => {});
  typing = null;
}
