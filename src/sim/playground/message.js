// One message as a list item: author, reply, text, controls, reactions and what one may do with it.

import { post } from "./api.js";
import { controlRows } from "./controls.js";
import { avatar, botBadge, closePopup, h, notice, popup, popupOf, timeTag } from "./dom.js";
import { icon } from "./icons.js";
import { extras, richText } from "./richtext.js";
import { member, message as lookUp, state } from "./store.js";

const EMOJI = ["👍", "👎", "❤️", "🎉", "😄", "😂", "😮", "😢", "😡", "🙏", "👀", "🔥", "✅", "❌", "⭐", "🚀", "💡", "🎲", "☕", "🐛", "1️⃣", "2️⃣", "3️⃣", "4️⃣"];
const SAME_BREATH_MS = 5 * 60_000;

/** Whether a message follows the one before it closely enough to go without a heading of its own. */
export function continues(previous, next) {
  return Boolean(previous) && previous.sender.userId === next.sender.userId && !next.replyTo
    && new Date(next.timeSent) - new Date(previous.timeSent) < SAME_BREATH_MS;
}

/** Renders a message; `actions` has `reply(message)`, `edit(message)` and `jump(messageId)`. */
export function messageItem(message, { compact, actions }) {
  const { sender } = message;
  const known = member(sender.userId) ?? sender;
  const hasText = message.text !== "" && !(message.entities ?? []).some(({ type }) => type.startsWith("system"));
  return h("li", { class: compact ? "message compact" : "message", "data-id": message.messageId, tabindex: "-1" },
    message.replyTo ? replyLine(message, actions) : null,
    h("div", { class: "gutter" }, compact ? timeTag(message.timeSent) : avatar({ ...known, ...sender })),
    h("article", { "aria-label": `Message of ${sender.displayName}` },
      compact ? null : h("header", {}, h("b", { class: "author" }, sender.displayName), botBadge(known), timeTag(message.timeSent)),
      hasText ? body(message) : null,
      extras(message.entities),
      controlRows(message),
      reactionRow(message)),
    toolbar(message, actions));
}

function body({ text, entities, edited }) {
  const element = richText(text, entities);
  if (edited) element.append(" ", h("small", { class: "edited" }, "(edited)"));
  return element;
}

function replyLine(message, actions) {
  const original = lookUp(message.channelId, message.replyTo);
  if (!original) return h("div", { class: "reply-line" }, "↱ an earlier message");
  return h("button", { class: "reply-line", "data-key": "reply-line", "aria-label": `Reply to ${original.sender.displayName}: show the message`, onclick: () => actions.jump(message.replyTo) },
    "↱ ", h("b", {}, original.sender.displayName), " ", excerpt(original));
}

/** The beginning of a message as one line; what is hidden there stays hidden. */
export function excerpt({ text, entities }) {
  let plain = text;
  for (const { type, offset, length } of entities ?? []) {
    // A bot may say that something is hidden where there is no text.
    const [from, to] = [offset, offset + length].map((at) => Math.min(Math.max(at, 0), text.length));
    if (type === "spoiler" && from < to) plain = plain.slice(0, from) + "▒".repeat(to - from) + plain.slice(to);
  }
  plain = plain.replace(/\s+/g, " ");
  return plain.length > 90 ? `${[...plain].slice(0, 90).join("")}…` : plain || "(no text)";
}

function reactionRow(message) {
  if (!message.reactions?.length) return null;
  return h("div", { class: "reactions" },
    message.reactions.map(({ emoji, count, userIds }) => {
      const mine = userIds.includes(state.me);
      const who = userIds.map((id) => member(id)?.displayName ?? "somebody").join(", ");
      return h("button", { class: "reaction", "aria-pressed": String(mine), "aria-label": `${emoji} ${count}`, title: who, "data-key": `r:${emoji}`, onclick: () => react(message, emoji, mine) }, emoji, h("span", {}, String(count)));
    }),
    picker(message, "reaction add", "r:add"));
}

async function react({ channelId, messageId }, emoji, remove) {
  try {
    await post("react", { userId: state.me, channelId, messageId, emoji, ...(remove ? { remove: true } : {}) });
  } catch (error) {
    notice(`The reaction failed: ${error.message}`);
  }
}

function picker(message, className, key) {
  const opener = h("button", { class: className, "aria-label": "Add a reaction", title: "Add a reaction", "aria-haspopup": "dialog", "aria-expanded": "false", "data-key": key }, icon("react"));
  const choose = (emoji) => {
    closePopup(true);
    const now = lookUp(message.channelId, message.messageId) ?? message;
    const mine = now.reactions?.some((each) => each.emoji === emoji && each.userIds.includes(state.me));
    void react(message, emoji, Boolean(mine));
  };
  opener.addEventListener("click", () => {
    if (popupOf(opener)) return closePopup(true);
    const other = h("input", { "aria-label": "Another emoji", placeholder: "Another…", maxlength: "32" });
    const submit = (event) => {
      event.preventDefault();
      if (other.value.trim()) choose(other.value.trim());
    };
    return popup(opener, h("div", { role: "dialog", "aria-label": "Reactions" },
      h("div", { class: "emoji-grid" }, EMOJI.map((emoji) => h("button", { class: "icon", "aria-label": emoji, onclick: () => choose(emoji) }, emoji))),
      h("form", { onsubmit: submit }, other)));
  });
  return opener;
}

function toolbar(message, actions) {
  const own = message.sender.userId === state.me;
  return h("div", { class: "toolbar", role: "group", "aria-label": "Actions" },
    picker(message, "icon", "t:react"),
    h("button", { class: "icon", "aria-label": "Reply", title: "Reply", "data-key": "t:reply", onclick: () => actions.reply(message) }, icon("reply")),
    own ? h("button", { class: "icon", "aria-label": "Edit", title: "Edit", "data-key": "t:edit", onclick: () => actions.edit(message) }, icon("edit")) : null);
}
