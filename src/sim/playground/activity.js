// Everything that happens between the bots and the server, as it happens: requests of bots, events to bots,
// and what the host says of its scripts. The newest stand at the bottom, and the view stays there while it is
// there.
//
// Entries are kept as data, at most KEEP; the rows of those that the filter lets through are made only
// while somebody looks, once a frame.

import { get } from "./api.js";
import { byId, h } from "./dom.js";
import { parseExactly, printJson } from "./json.js";
import { member, state } from "./store.js";

const KEEP = 600;
const KINDS = [
  { kind: "request", title: "Requests" },
  { kind: "event", title: "Events" },
  { kind: "notice", title: "Scripts and host" },
];
const rows = byId("activity-rows");
const hidden = new Set();
let wanted = "";
let entries = [];
let paused = false;
let unseenErrors = 0;
let drawn = 0; // entries before this one have their row, if the filter lets them through
let isSeen = () => false;

/** Starts the list; `open` brings it into sight, `seen` says whether it is. */
export function startActivity({ open, seen }) {
  isSeen = seen;
  byId("activity-kinds").replaceChildren(...KINDS.map(({ kind, title }) => h("label", { class: "check" },
    h("input", { type: "checkbox", checked: true, onchange: (event) => (event.target.checked ? hidden.delete(kind) : hidden.add(kind), drawAnew()) }), h("span", {}, title))));
  byId("activity-filter").addEventListener("input", (event) => {
    wanted = event.target.value.trim().toLowerCase();
    drawAnew();
  });
  byId("activity-pause").addEventListener("click", ({ target }) => {
    paused = !paused;
    target.setAttribute("aria-pressed", String(paused));
    target.textContent = paused ? "Go on" : "Pause";
    if (!paused) draw();
  });
  byId("activity-clear").addEventListener("click", () => {
    entries = [];
    drawAnew();
  });
  byId("script-errors").addEventListener("click", open);
}

/** Takes a line of the inspector's feed in. */
export function onLine(line) {
  tellError(line);
  entries.push(line);
  if (entries.length > KEEP + 100) {
    const gone = entries.length - KEEP;
    entries.splice(0, gone);
    drawn = Math.max(0, drawn - gone);
  }
  draw();
}

/** Begins with what happened before this page looked. */
export async function refreshActivity() {
  const meanwhile = [];
  entries = meanwhile;
  drawAnew();
  const [{ requests }, { notices }] = await Promise.all([get("requests", {}, parseExactly), get("notices")]);
  if (entries !== meanwhile) return; // a newer reading has begun
  const before = [...requests.slice(-KEEP / 2).map((each) => ({ type: "request", ...each })), ...notices];
  before.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  const known = new Set(before.map(keyOf));
  entries = [...before, ...meanwhile.filter((each) => !known.has(keyOf(each)))];
  unseenErrors = 0;
  entries.forEach(tellError);
  drawAnew();
}

const keyOf = ({ type, n, at }) => `${type} ${n ?? at}`;

// --- errors are told wherever one looks

function tellError({ type, gravity, script, bot }) {
  if (type !== "notice" || gravity !== "error" || isSeen()) return;
  unseenErrors++;
  const sign = byId("script-errors");
  sign.hidden = false;
  const words = unseenErrors === 1 ? `An error in ${script ?? bot ?? "the host"}` : `${unseenErrors} errors in scripts`;
  sign.replaceChildren("⚠", h("span", { class: "words" }, ` ${words}`));
}

function seeErrors() {
  unseenErrors = 0;
  byId("script-errors").hidden = true;
}

// --- rows

let due = false;

/** Makes the rows that are missing, when somebody looks. */
export function draw() {
  if (due || paused || !isSeen()) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    if (!isSeen()) return;
    seeErrors();
    const box = byId("activity-list");
    const follow = box.scrollHeight - box.scrollTop - box.clientHeight < 60;
    rows.append(...entries.slice(drawn).filter(isWanted).map(row));
    drawn = entries.length;
    while (rows.childElementCount > KEEP) rows.firstElementChild.remove();
    byId("activity-empty").hidden = rows.childElementCount > 0;
    if (follow) box.scrollTop = box.scrollHeight;
  });
}

function drawAnew() {
  rows.replaceChildren();
  byId("activity-empty").hidden = false;
  drawn = 0;
  draw();
}

const kindOf = ({ type }) => (type === "missed" ? "event" : type);

function isWanted(entry) {
  if (hidden.has(kindOf(entry))) return false;
  return wanted === "" || JSON.stringify(entry).toLowerCase().includes(wanted);
}

function row(entry) {
  const { sign, label, name, side, detail, look } = (shapes[entry.type] ?? shapes.missed)(entry);
  const head = [
    h("time", { datetime: entry.at ?? "" }, clock(entry.at)),
    h("span", { class: "sign", role: "img", "aria-label": label }, sign),
    h("span", { class: "name" }, name),
    side,
  ];
  return h("li", { class: `entry ${entry.type} ${look ?? ""}` }, detail
    ? h("details", {}, h("summary", {}, head), [detail].flat().map((text) => h("pre", {}, text)))
    : h("div", { class: "summary" }, head));
}

const clock = (iso) => {
  const date = new Date(iso ?? NaN);
  return Number.isNaN(date.getTime()) ? "" : `${date.toLocaleTimeString([], { hour12: false })}.${String(date.getMilliseconds()).padStart(3, "0")}`;
};

const shapes = {
  request({ bot, method, path, query, body, answer, status, error, fault, ms }) {
    const search = Object.keys(query ?? {}).length > 0 ? `?${new URLSearchParams(query)}` : "";
    const print = (content) => (typeof content === "string" ? content : content && printJson(content));
    const [, name, act] = /^(?:\/api\/bot)?\/(\w+)\/v\d+\/(\w+)$/.exec(path) ?? [];
    return {
      sign: "→",
      label: "Request",
      name: [h("b", {}, name ? `${name}/${act}` : path), " ", h("small", {}, bot ?? "unknown token")],
      side: [
        fault ? h("span", { class: "fault", title: "A fault struck" }, fault) : null,
        error ? h("small", {}, error) : null,
        h("span", { class: `status s${Math.floor(status / 100)}` }, String(status)),
        h("span", { class: "ms" }, `${ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms)} ms`),
      ],
      detail: [[`${method} ${path}${search}`, print(body)], [String(status), print(answer)]].map((part) => part.filter(Boolean).join("\n")),
      look: status >= 400 ? "bad" : "",
    };
  },
  event({ event, payload, spaceId, botId }) {
    const to = botId ? member(botId)?.displayName ?? "one bot" : state.spaces.find((each) => each.spaceId === spaceId)?.name ?? "a space";
    return {
      sign: "←",
      label: "Event",
      name: [h("b", {}, event), " ", h("small", {}, `to ${to}`)],
      detail: typeof payload === "string" ? payload : printJson(payload),
    };
  },
  notice({ gravity, bot, script, text }) {
    const [first, ...rest] = text.split("\n");
    const [, place, message] = /^([\w./@ -]+\.luau?:\d+(?::\d+)?): (.*)$/.exec(first) ?? [null, null, first];
    return {
      sign: { error: "✕", warning: "!", info: "·" }[gravity] ?? "·",
      label: { error: "Error", warning: "Warning", info: "News" }[gravity] ?? "News",
      name: [h("b", {}, script ?? bot ?? "host"), " ", place ? h("code", { class: "place" }, place) : null, place ? " " : null, message],
      detail: rest.length > 0 || first.length > 120 ? text : null,
      look: gravity,
    };
  },
  missed: ({ count }) => ({ sign: "…", label: "Missed", name: `${count ?? "Some"} lines came too fast and are not shown.` }),
};
