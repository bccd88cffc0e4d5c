// Building blocks of the page. Every string becomes a text node or an attribute, never HTML: nothing that
// a person or a bot writes can turn into markup.

import { icon } from "./icons.js";

/** Creates an element. `on…` properties are listeners, `null` and `false` leave an attribute out. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2).toLowerCase(), value);
    else if (name === "value") element.value = value;
    else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...solid(children));
  return element;
}

/** Gives an element these children and no others; lists are taken apart, `null` and `false` left out. */
export const fill = (element, ...children) => element.replaceChildren(...solid(children));

const solid = (children) => children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

/** The element with this id, which index.html promises. */
export const byId = (id) => document.getElementById(id);

/** A hue in degrees that stays the same for the same id. */
function hueOf(id) {
  let hash = 0;
  for (const char of id) hash = (hash * 31 + char.codePointAt(0)) >>> 0;
  return hash % 360;
}

/** A picture of a member: the avatar if this server has it (the page asks no other), else initials. */
export function avatar(member) {
  const name = member.displayName || member.username || "?";
  if (member.avatarUrl && /^(\/(?!\/)|data:image\/)/.test(member.avatarUrl)) {
    return h("img", { class: "avatar", src: member.avatarUrl, alt: "" });
  }
  const initials = name.split(/\s+/).map((word) => [...word][0] ?? "").slice(0, 2).join("").toUpperCase();
  return h("span", { class: "avatar", "aria-hidden": "true", style: { "--hue": String(hueOf(member.userId)) } }, initials);
}

/** The sign beside a bot's name. */
export const botBadge = (member) =>
  member.isBot ? h("span", { class: "badge", title: member.verified ? "A verified bot" : "A bot" }, member.verified ? "✓ BOT" : "BOT") : null;

/** A colour of the API (a 24-bit number, or a CSS colour) as CSS, or null. */
export function cssColour(colour) {
  if (typeof colour === "number") return `#${(colour & 0xffffff).toString(16).padStart(6, "0")}`;
  return typeof colour === "string" && CSS.supports("color", colour) ? colour : null;
}

/** A point in time: short for reading, whole in the tooltip. */
export function timeTag(iso) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return h("time", {}, "");
  const short = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return h("time", { datetime: iso, title: date.toLocaleString() }, short);
}

/** Names a day as people do. */
export function dayName(date) {
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(date).setHours(0, 0, 0, 0)) / 864e5);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return date.toLocaleDateString([], { weekday: "long", day: "numeric", month: "long", year: "numeric" });
}

/** Tells of something that went wrong; goes away by itself. */
export function notice(text) {
  const element = h("p", {}, text, h("button", { class: "icon", "aria-label": "Dismiss", onclick: () => element.remove() }, icon("close")));
  byId("notices").append(element);
  while (byId("notices").childElementCount > 4) byId("notices").firstElementChild.remove();
  setTimeout(() => element.remove(), 10_000);
}

/** Shows one popup at a time beside `anchor`; Escape and a click elsewhere close it. */
export function popup(anchor, content) {
  closePopup();
  const box = h("div", { class: "popup", onkeydown: (event) => event.key === "Escape" && (event.stopPropagation(), closePopup(true)) }, content);
  document.body.append(box);
  const at = anchor.getBoundingClientRect();
  const left = Math.min(at.left, innerWidth - box.offsetWidth - 8);
  const above = at.bottom + box.offsetHeight + 8 > innerHeight;
  box.style.left = `${Math.max(8, left)}px`;
  box.style.top = `${Math.max(8, above ? at.top - box.offsetHeight - 4 : at.bottom + 4)}px`;
  anchor.setAttribute("aria-expanded", "true");
  const outside = (event) => !box.contains(event.target) && event.target !== anchor && closePopup();
  document.addEventListener("pointerdown", outside);
  open = { box, anchor, outside };
  box.querySelector("input, button")?.focus();
}

let open = null;

/** Closes the popup, and gives the focus back to what opened it if asked to. */
export function closePopup(refocus = false) {
  if (!open) return false;
  const { box, anchor, outside } = open;
  open = null;
  document.removeEventListener("pointerdown", outside);
  box.remove();
  anchor.setAttribute("aria-expanded", "false");
  if (refocus) anchor.focus();
  return true;
}

/** Whether the popup belongs to this element. */
export const popupOf = (anchor) => open?.anchor === anchor;
