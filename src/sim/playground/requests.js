// The panel of the bots' calls. It asks the server once a second while it is open and the page is seen.

import { get } from "./api.js";
import { byId, h } from "./dom.js";

const EVERY_MS = 1000;
const KEEP_ROWS = 300;
const panel = byId("requests");
const rows = byId("request-rows");
let last = 0;
let timer = null;

// 64-bit ids stay what they were: JavaScript's numbers would round them, so integers that are too long pass
// as texts with a mark, which goes when they are shown.
const MARK = "\u{e000}";
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const parseExactly = (json) => JSON.parse(json.replace(TOKEN, (token) => (/^-?\d{16,}$/.test(token) ? `"${MARK}${token}"` : token)));
const print = (value) => JSON.stringify(value, null, 2).replace(new RegExp(`"${MARK}(-?\\d+)"`, "g"), "$1");

/** Wires the panel. */
export function startRequests() {
  panel.addEventListener("toggle", () => {
    clearTimeout(timer);
    if (panel.open) void poll();
  });
}

/** Begins at the first call again: a server that has started anew counts anew. */
export function restartRequests() {
  last = 0;
  rows.replaceChildren();
  byId("request-count").textContent = "";
}

async function poll() {
  clearTimeout(timer);
  if (!document.hidden) {
    try {
      add((await get("requests", { after: String(last) }, parseExactly)).requests);
    } catch { /* the banner tells that the server is away */ }
  }
  if (panel.open) timer = setTimeout(poll, EVERY_MS);
}

function add(requests) {
  const fresh = requests.filter(({ n }) => n > last);
  if (fresh.length === 0) return;
  const box = rows.closest(".scroll");
  const follow = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  last = fresh.at(-1).n;
  rows.append(...fresh.slice(-KEEP_ROWS).map(row));
  while (rows.childElementCount > KEEP_ROWS) rows.firstElementChild.remove();
  byId("request-count").textContent = `· ${last}`;
  if (follow) box.scrollTop = box.scrollHeight;
}

// The last row opens below the edge of the panel.
const show = ({ target }) => target.open && target.scrollIntoView({ block: "nearest" });

function row({ n, bot, method, path, query, body, status, error, ms }) {
  const search = typeof query === "string" ? query : new URLSearchParams(query ?? {}).toString();
  const content = typeof body === "string" ? body : body && print(body);
  const detail = [search && `?${search}`, content].filter(Boolean).join("\n");
  const name = [h("b", {}, method), " ", path];
  return h("tr", {},
    h("td", { class: "number" }, String(n)),
    h("td", {}, bot ?? "–"),
    h("td", {}, detail ? h("details", { ontoggle: show }, h("summary", {}, name), h("pre", {}, detail)) : name),
    h("td", {}, h("span", { class: `status s${Math.floor(status / 100)}` }, String(status)), error ? h("small", {}, " ", error) : null),
    h("td", { class: "number" }, ms === undefined || ms === null ? "" : String(Math.round(ms * 10) / 10)));
}
