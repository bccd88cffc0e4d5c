// Text with entities as DOM. Entities may nest, overlap and be wrong; the text always comes out whole.
//
// Algorithm: the ends of all spans cut the text into pieces; each piece has the set of spans that cover
// it, in one fixed order. Going through the pieces, a stack of open elements is cut back to what two
// neighbours have in common and grown again, so that nesting stays nested and an overlap is split once.

import { cssColour, h } from "./dom.js";
import { archetype, member, state } from "./store.js";

// Where two spans cover the same text, the earlier one in this list goes outside.
const OUTSIDE_FIRST = ["quote", "spoiler", "url", "email", "mention", "mentionRole", "mentionEveryone", "hashtag"];
const rank = (type) => (OUTSIDE_FIRST.includes(type) ? OUTSIDE_FIRST.indexOf(type) : OUTSIDE_FIRST.length);

/** Renders `text` with its `entities`. */
export function richText(text, entities) {
  const spans = (entities ?? [])
    .map((entity) => ({ entity, start: snap(text, entity.offset), end: snap(text, entity.offset + entity.length) }))
    .filter(({ start, end }) => start < end)
    .sort((a, b) => a.start - b.start || b.end - a.end || rank(a.entity.type) - rank(b.entity.type));
  const cuts = [...new Set([0, text.length, ...spans.flatMap(({ start, end }) => [start, end])])].sort((a, b) => a - b);

  const root = h("div", { class: "text" });
  let stack = [];
  let afterBlock = false;
  for (let i = 0; i + 1 < cuts.length; i++) {
    const covering = spans.filter(({ start, end }) => start <= cuts[i] && end >= cuts[i + 1]);
    let common = 0;
    while (common < stack.length && stack[common].span === covering[common]) common++;
    afterBlock ||= stack.slice(common).some(({ element }) => element.matches("blockquote, .code-block"));
    stack.length = common;
    let piece = text.slice(cuts[i], cuts[i + 1]);
    // The block already ends the line; its newline would show as an empty one.
    if (afterBlock && piece.startsWith("\n")) piece = piece.slice(1);
    afterBlock = false;
    for (const span of covering.slice(common)) {
      const { element, inner } = open(span, text.slice(span.start, span.end));
      (stack.at(-1)?.inner ?? root).append(element);
      stack.push({ span, element, inner });
    }
    (stack.at(-1)?.inner ?? root).append(piece);
  }
  return root;
}

// Into the text, and never between the halves of a surrogate pair.
function snap(text, offset) {
  const at = Math.max(0, Math.min(text.length, Math.trunc(Number(offset)) || 0));
  const code = text.charCodeAt(at);
  return code >= 0xdc00 && code <= 0xdfff && at > 0 ? at - 1 : at;
}

function open({ entity, start, end }, covered) {
  if (entity.type === "spoiler") return spoiler(`${start}-${end}`);
  const element = plain(entity, covered);
  return { element, inner: element };
}

function plain(entity, covered) {
  switch (entity.type) {
    case "bold": return h("strong");
    case "italic": return h("em");
    case "strikethrough": return h("s");
    case "underline": return h("u", { style: { "text-decoration-color": cssColour(entity.colour) ?? "currentcolor" } });
    case "monospace": return h("code", { class: covered.includes("\n") ? "code-block" : null });
    case "quote": return h("blockquote", { title: nameOf(entity.quotedUserId) });
    case "url": return link(address(entity), covered);
    case "email": return link(`mailto:${entity.email ?? covered}`, covered);
    case "mention": return h("span", { class: entity.userId === state.me ? "mention of-me" : "mention", title: nameOf(entity.userId) ?? "Nobody here" });
    case "mentionEveryone": return h("span", { class: "mention of-me" });
    case "mentionRole": {
      const role = archetype(entity.archetypeId);
      const mine = member(state.me)?.archetypeIds.includes(entity.archetypeId);
      return h("span", { class: mine ? "mention of-me" : "mention", title: role ? `Everybody who is ${role.name}` : "Unknown archetype" });
    }
    case "hashtag": return h("span", { class: "mention", title: entity.hashtag });
    case "fraction": return h("span", { class: "fraction" });
    case "ordinal": return h("span", { class: "ordinal" });
    case "capitalized": return h("span", { class: "capitalized" });
    default: return h("span", { title: entity.type }); // a newer kind: the text matters, its look can wait
  }
}

const nameOf = (userId) => member(userId)?.displayName ?? null;

function address({ domain = "", path = "" }) {
  return /^https?:\/\//i.test(domain) ? domain + path : `https://${domain}${path}`;
}

// Only these schemes: an address that runs script stays plain text.
function link(href, covered) {
  let url = null;
  try {
    url = new URL(href);
  } catch { /* stays null */ }
  if (!url || !["http:", "https:", "mailto:"].includes(url.protocol)) return h("span", { title: "Not a web address" }, "");
  return h("a", { href: url.href, target: "_blank", rel: "noopener noreferrer", title: url.href === covered ? null : url.href });
}

// A spoiler that other formatting cuts apart opens as one: its parts share `group`.
function spoiler(group) {
  const inner = h("span", { inert: true });
  const element = h("span", { class: "spoiler", role: "button", tabindex: "0", "aria-label": "Hidden: press to show", "data-group": group }, inner);
  const reveal = (event) => {
    if (element.classList.contains("open") || (event.type === "keydown" && event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    event.stopPropagation();
    for (const part of element.closest(".text").querySelectorAll(`.spoiler[data-group="${group}"]`)) {
      part.classList.add("open");
      for (const name of ["role", "tabindex", "aria-label"]) part.removeAttribute(name);
      part.firstElementChild.removeAttribute("inert");
    }
  };
  element.addEventListener("click", reveal);
  element.addEventListener("keydown", reveal);
  return { element, inner };
}

/** What the entities say beside the text: attachments and system lines, as elements. */
export function extras(entities) {
  return (entities ?? []).map((entity) => {
    const name = (id) => nameOf(id) ?? "Somebody";
    switch (entity.type) {
      case "attachment":
      case "gif": return attachment(entity);
      case "systemUserJoined": return system(`${name(entity.userId)} joined${entity.inviterId ? `, invited by ${name(entity.inviterId)}` : ""}.`);
      case "systemCallStarted": return system(`${name(entity.callerId)} started a call.`);
      case "systemCallEnded": return system(`The call of ${name(entity.callerId)} ended after ${entity.durationSeconds ?? 0} s.`);
      case "systemCallTimeout": return system(`Nobody answered the call of ${name(entity.callerId)}.`);
      default: return null;
    }
  }).filter(Boolean);
}

const system = (text) => h("p", { class: "system" }, text);

function attachment({ type, fileName, fileSize, contentType, width, height }) {
  const facts = [contentType, width && height && `${width} × ${height}`, Number(fileSize) > 0 && bytes(Number(fileSize))];
  return h("div", { class: "attachment" }, h("strong", {}, fileName ?? (type === "gif" ? "GIF" : "Attachment")), h("small", {}, facts.filter(Boolean).join(" · ")));
}

const bytes = (n) => (n < 1024 ? `${n} B` : n < 1048576 ? `${(n / 1024).toFixed(1)} KiB` : `${(n / 1048576).toFixed(1)} MiB`);
