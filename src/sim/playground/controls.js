// Buttons and selects: on messages here, and the selects and their choices for modals and command forms.

import { closePopup, h, popup, popupOf } from "./dom.js";
import { icon } from "./icons.js";
import { interact, isBusy } from "./interactions.js";
import { archetype, member, space, state } from "./store.js";

/** What a select of this type lets people choose from. */
export function choicesOf({ type, options }) {
  const here = space();
  switch (type) {
    case "userSelect":
    case "user": return (here?.members ?? []).map((each) => ({ value: each.userId, label: each.displayName, description: each.isBot ? "Bot" : `@${each.username}` }));
    case "archetypeSelect":
    case "role": return (here?.archetypes ?? []).map((each) => ({ value: each.archetypeId, label: each.name }));
    case "channelSelect":
    case "channel": return (here?.channels ?? []).map((each) => ({ value: each.channelId, label: `# ${each.name}` }));
    default: return options ?? [];
  }
}

/** How many values a select takes, as `{ min, max }`. */
export function bounds({ minValues, maxValues }) {
  const max = maxValues ?? 1;
  return { min: Math.min(minValues ?? 1, max), max };
}

/** A native select for one value; `empty` is the label of "nothing chosen". */
export function singleSelect(choices, { empty, ...props }) {
  const chosen = choices.find((each) => each.default)?.value ?? "";
  const select = h("select", props, h("option", { value: "" }, empty),
    choices.map(({ value, label, description }) => h("option", { value }, description ? `${label} (${description})` : label)));
  select.value = chosen;
  return select;
}

/** Check boxes for several values. `values()` is what is ticked, in the order of the choices. */
export function multiSelect(choices, name) {
  const boxes = choices.map((each) => h("input", { type: "checkbox", name, value: each.value, checked: Boolean(each.default) }));
  const element = h("div", { class: "choices" }, choices.map(({ label, description }, i) =>
    h("label", {}, boxes[i], h("span", {}, label, description ? h("small", {}, description) : null))));
  return { element, boxes, values: () => boxes.filter((box) => box.checked).map((box) => box.value) };
}

/** Says what is wrong with the number of chosen values, or "". */
export function countHint(count, { min, max }) {
  if (count < min) return min === max ? `Choose ${min === 1 ? "one" : min}.` : `Choose at least ${min}.`;
  if (count > max) return `Choose at most ${max}.`;
  return "";
}

/** The rows of controls of a message. */
export function controlRows(message) {
  if (!message.controls?.length) return null;
  return h("div", { class: "controls" }, message.controls.map((row) =>
    h("div", { class: "control-row" }, row.controls.map((control) => (control.type === "button" ? button(message, control) : select(message, control))))));
}

// Why the present person may not use a control, or null.
function barrier({ disabled, requiredArchetypeId: required }) {
  if (disabled) return "Disabled";
  if (!required || member(state.me)?.archetypeIds.includes(required)) return null;
  return `Only for ${archetype(required)?.name ?? "an archetype that is not here"}`;
}

// What stands on a control that one may not use: a screen reader says why, too.
const barred = (why) => (why ? { disabled: true, title: why, "aria-description": why } : {});
const lock = (control) => (control.requiredArchetypeId ? icon("lock") : null);

function button(message, control) {
  const style = {};
  if (control.colour) {
    const { l, c, h: hue } = control.colour;
    style["--fill"] = `oklch(${l} ${c} ${hue})`;
    style["--ink"] = l > 0.62 ? "#10131a" : "#fff"; // whichever keeps more than 3:1 over the whole range
  }
  const look = { class: control.colour ? "control coloured" : "control", style };
  if (control.variant === "link") {
    const why = barrier(control);
    const safe = /^https?:\/\//i.test(control.url ?? "") && !why;
    return h("a", { ...look, href: safe ? control.url : null, role: safe ? null : "link", "aria-disabled": safe ? null : "true", target: "_blank", rel: "noopener noreferrer", title: why ?? control.url }, lock(control), control.label, icon("window"));
  }
  const busy = isBusy(message.messageId, control.id);
  const click = () => {
    if (isBusy(message.messageId, control.id)) return;
    void interact({
      path: "click",
      body: { channelId: message.channelId, messageId: message.messageId, controlId: control.id },
      botId: message.sender.userId,
      channelId: message.channelId,
      label: `“${control.label}”`,
      place: { messageId: message.messageId, controlId: control.id },
    });
  };
  return h("button", { ...look, type: "button", ...barred(barrier(control)), "aria-busy": busy ? "true" : null, "data-key": `b:${control.id}`, onclick: click }, lock(control), control.label);
}

function select(message, control) {
  const choices = choicesOf(control);
  const { min, max } = bounds(control);
  const name = control.placeholder || "Choose";
  const send = (values) => interact({
    path: "select",
    body: { channelId: message.channelId, messageId: message.messageId, customId: control.customId, values },
    botId: message.sender.userId,
    channelId: message.channelId,
    label: `“${name}”`,
    place: { messageId: message.messageId, controlId: control.customId },
  });
  const common = { ...barred(barrier(control)), "aria-busy": isBusy(message.messageId, control.customId) ? "true" : null, "data-key": `s:${control.customId}` };
  if (max === 1) {
    const element = singleSelect(choices, { empty: name, "aria-label": name, class: "control", ...common });
    element.addEventListener("change", () => {
      if (element.value) void send([element.value]);
      else if (min === 0) void send([]);
    });
    return element;
  }
  const opener = h("button", { type: "button", class: "control chooser", "aria-haspopup": "dialog", "aria-expanded": "false", ...common }, lock(control), name);
  opener.addEventListener("click", () => {
    if (popupOf(opener)) closePopup(true);
    else popup(opener, several(choices, { min, max }, name, send));
  });
  return opener;
}

function several(choices, limits, name, send) {
  const { element, boxes, values } = multiSelect(choices, "value");
  const hint = h("span", { class: "hint", role: "status" });
  const apply = h("button", { class: "primary" }, "Apply");
  const check = () => {
    const count = values().length;
    const wrong = countHint(count, limits);
    hint.textContent = wrong || `${count} of at most ${limits.max}`;
    apply.disabled = Boolean(wrong);
    for (const box of boxes) box.disabled = !box.checked && count >= limits.max;
  };
  check();
  const submit = (event) => {
    event.preventDefault();
    closePopup(true);
    void send(values());
  };
  return h("form", { onsubmit: submit, onchange: check, role: "dialog", "aria-label": name }, element, h("footer", {}, hint, apply));
}
