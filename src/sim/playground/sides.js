// The columns beside the chat. Channels stand on the left; on the right there is one of members and
// inspector, or nothing. Where the window is too narrow for a column, it slides over the chat and goes
// again with Escape or a click beside it.

import { byId } from "./dom.js";

const RIGHT = ["members", "inspector"];
const STORE = "argon-playground-side";
const listeners = [];
const body = document.body;
const hasColumns = matchMedia("(min-width: 1001px)");

/** Runs `listener` when another side is shown. */
export const onSide = (listener) => listeners.push(listener);

/** The side that is shown: `members`, `inspector`, `channels` (narrow windows only) or null. */
export const shownSide = () => (hasColumns.matches ? body.dataset.right : body.dataset.drawer) || null;

/** Starts the columns. */
export function startSides() {
  const stored = localStorage.getItem(STORE);
  body.dataset.right = RIGHT.includes(stored) || stored === "" ? stored : "inspector";
  for (const name of ["channels", ...RIGHT]) byId(`show-${name}`).addEventListener("click", () => openSide(shownSide() === name ? null : name));
  for (const name of RIGHT) byId(`hide-${name}`).addEventListener("click", () => openSide(null));
  byId("backdrop").addEventListener("click", () => openSide(null));
  addEventListener("keydown", (event) => event.key === "Escape" && !event.defaultPrevented && body.dataset.drawer && openSide(null));
  hasColumns.addEventListener("change", () => openSide(hasColumns.matches ? body.dataset.right : null));
  show(hasColumns.matches ? body.dataset.right : null);
}

/** Shows a side; null shows none. */
export function openSide(name) {
  const before = shownSide();
  show(name);
  if (hasColumns.matches) {
    localStorage.setItem(STORE, name ?? "");
    return;
  }
  // What slides over the chat takes the focus, and gives it back.
  const inside = (each) => each.checkVisibility({ visibilityProperty: true });
  if (name) [...byId(name).querySelectorAll("button, select, [tabindex='0']")].find(inside)?.focus();
  else if (before) byId(`show-${before}`).focus();
}

function show(name) {
  if (hasColumns.matches) {
    body.dataset.right = name ?? "";
    delete body.dataset.drawer;
  } else if (name) body.dataset.drawer = name;
  else delete body.dataset.drawer;
  byId("backdrop").hidden = hasColumns.matches || !name;
  for (const each of ["channels", ...RIGHT]) byId(`show-${each}`).setAttribute("aria-expanded", String(each === name));
  for (const listener of listeners) listener();
}
