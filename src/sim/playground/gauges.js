// The rate limits as the server counts them: a gauge for each interface and bot, and how many requests run
// at once. Read anew while somebody looks, each second and soon after a request.

import { get } from "./api.js";
import { byId, h } from "./dom.js";

const EVERY_MS = 1000;
const SOON_MS = 150;
let timer = null;
let isSeen = () => false;

/** Starts the gauges; `seen` says whether they are in sight. */
export const startGauges = (seen) => (isSeen = seen);

/** Shows the gauges, and again and again while they are in sight. */
export function showGauges() {
  plan(0);
}

/** A request has been made: what is in sight changes soon. */
export function onRequest() {
  if (isSeen()) plan(SOON_MS);
}

function plan(ms) {
  clearTimeout(timer);
  timer = setTimeout(read, ms);
}

async function read() {
  if (!isSeen()) return;
  try {
    draw((await get("limits")).bots);
  } catch { /* the banner tells that the server is away */ }
  plan(EVERY_MS);
}

const drawn = new Map(); // what is measured -> its gauge, so that screen readers and eyes keep their place

function draw(bots) {
  const box = byId("gauges");
  byId("gauges-empty").hidden = bots.length > 0;
  const names = bots.map(({ bot }) => bot).join(" ");
  if (box.dataset.bots !== names) {
    box.dataset.bots = names;
    drawn.clear();
    box.replaceChildren(...bots.map(section));
  }
  for (const { bot, running, concurrent, interfaces } of bots) {
    set(`${bot} at once`, { used: running, limit: concurrent, note: running > 0 ? "" : "idle" });
    for (const { interface: name, used, limit, nextBack, nextBackMs } of interfaces) {
      set(`${bot} ${name}`, { used, limit, note: nextBack === null ? "" : `${nextBack} back in ${Math.ceil(nextBackMs / 1000)} s` });
    }
  }
}

function section({ bot, interfaces }) {
  return h("section", { "aria-label": `Limits of ${bot}` },
    h("h3", {}, bot),
    gauge(`${bot} at once`, "At the same time"),
    interfaces.map(({ interface: name }) => gauge(`${bot} ${name}`, name)));
}

function gauge(key, name) {
  const numbers = h("span", { class: "numbers" });
  const note = h("small", {});
  const bar = h("span", { class: "bar", role: "meter", "aria-label": name, "aria-valuemin": "0", "data-gauge": name }, h("span", {}));
  drawn.set(key, { numbers, note, bar });
  return h("div", { class: "gauge" }, h("span", { class: "name" }, name), note, numbers, bar);
}

function set(key, { used, limit, note }) {
  const parts = drawn.get(key);
  if (!parts) return;
  parts.numbers.textContent = `${used} / ${limit}`;
  parts.note.textContent = note;
  parts.bar.setAttribute("aria-valuemax", String(limit));
  parts.bar.setAttribute("aria-valuenow", String(used));
  parts.bar.setAttribute("aria-valuetext", `${used} of ${limit}`);
  parts.bar.dataset.full = used >= limit ? "full" : used >= limit * 0.8 ? "nearly" : "";
  parts.bar.firstElementChild.style.setProperty("--part", String(Math.min(1, used / limit)));
}
