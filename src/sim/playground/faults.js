// Switches for what can go wrong, made from the server's own list of faults; and time, which can be let pass.

import { get, post, remove } from "./api.js";
import { byId, h, notice } from "./dom.js";
import { icon } from "./icons.js";

const EVERY_MS = 1000;
const ON = { request: "Requests", stream: "The event stream", event: "Events", voice: "Voice", everything: "Everything" };
const STEPS = [[8, "8 s"], [60, "1 min"], [600, "10 min"], [7200, "2 h"]]; // typing, interactions and windows, positions, voice tokens
let kinds = null;
let timer = null;
let isSeen = () => false;

/** Wires what stands there always; `seen` says whether it is in sight. */
export function startFaults(seen) {
  isSeen = seen;
  byId("fault-form").addEventListener("submit", arm);
  byId("fault-kind").addEventListener("change", drawFields);
  byId("time-steps").replaceChildren(...STEPS.map(([seconds, title]) => h("button", { type: "button", class: "control", onclick: () => pass(seconds, title) }, title)));
}

/** Shows the tab, and what is armed again and again while it is in sight. */
export async function showFaults() {
  clearTimeout(timer);
  try {
    if (!kinds) {
      ({ kinds } = await get("faults/kinds"));
      drawKinds();
    }
    drawArmed(await get("faults"));
  } catch { /* the banner tells that the server is away */ }
  clearTimeout(timer);
  if (isSeen()) timer = setTimeout(showFaults, EVERY_MS);
}

// --- the form: one kind at a time, with the fields that the kind has

const chosenKind = () => kinds?.find(({ kind }) => kind === byId("fault-kind").value);

function drawKinds() {
  const groups = Map.groupBy(kinds, ({ on }) => on);
  byId("fault-kind").replaceChildren(...[...groups].map(([on, group]) =>
    h("optgroup", { label: ON[on] ?? on }, group.map(({ kind }) => h("option", { value: kind }, kind)))));
  drawFields();
}

function drawFields() {
  const { doc, fields } = chosenKind();
  byId("fault-doc").textContent = doc.replaceAll("`", "");
  byId("fault-fields").replaceChildren(...fields.map(field));
}

function field({ name, type, required, doc, least, most, choices, default: preset }) {
  const input = choices
    ? h("select", { name, required }, required ? null : h("option", { value: "" }, "Any"), choices.map(({ value, doc: about }) => h("option", { value, title: about }, value)))
    : h("input", { name, required, type: type === "integer" || type === "number" ? "number" : "text", min: least, max: most, step: type === "number" ? "any" : null, placeholder: preset ?? null, autocomplete: "off", "data-type": type });
  return h("label", { class: "field" }, h("span", {}, name, required ? h("span", { class: "required", title: "Required" }, " *") : null), input, doc ? h("small", {}, doc) : null);
}

async function arm(event) {
  event.preventDefault();
  const fault = { kind: chosenKind().kind };
  for (const input of byId("fault-fields").querySelectorAll("[name]")) {
    if (input.value !== "") fault[input.name] = input.type === "number" ? Number(input.value) : input.value;
  }
  try {
    await post("fault", fault);
  } catch (error) {
    notice(`The fault is not armed: ${error.message}`);
  }
  await showFaults();
}

// --- what is armed

function drawArmed({ faults, chaos, struck }) {
  const items = faults.map(({ id, kind, left, ...fields }) => item(
    [h("b", {}, kind), " ", Object.entries(fields).map(([name, value]) => `${name} ${value}`).join(", "), " ", h("small", {}, left === 1 ? "once" : `${left} times`)],
    `Take ${kind} back`, { id }));
  if (chaos !== null) items.push(item([h("b", {}, "chaos"), ` seed ${chaos}`], "End chaos and take all faults back", {}));
  const list = byId("faults-armed");
  const print = JSON.stringify([faults, chaos]);
  if (list.dataset.print !== print) {
    list.dataset.print = print;
    list.replaceChildren(...items);
  }
  byId("faults-none").hidden = items.length > 0;
  byId("faults-clear").hidden = items.length < 2;
  byId("faults-clear").onclick = () => clear({});
  byId("faults-struck").textContent = struck === 1 ? "1 fault has struck." : `${struck} faults have struck.`;
  const count = document.querySelector("#count-faults");
  count.hidden = items.length === 0;
  count.textContent = items.length > 0 ? String(items.length) : "";
}

const item = (what, label, query) => h("li", {}, h("span", {}, what), h("button", { class: "icon", "aria-label": label, title: label, onclick: () => clear(query) }, icon("close")));

async function clear(query) {
  try {
    await remove("faults", query);
  } catch (error) {
    notice(error.message);
  }
  await showFaults();
}

// --- time

async function pass(seconds, title) {
  try {
    await post("time", { advance: seconds });
    byId("time-said").textContent = `${title} passed.`;
  } catch (error) {
    notice(error.message);
  }
}
