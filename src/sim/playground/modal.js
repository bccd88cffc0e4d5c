// A bot's modal as a dialog. Every component says what is wrong with it before anything is sent, and what
// was filled in stays until the server has taken it. A submission needs no answer and cannot get an ack,
// so nothing waits for one.

import { post } from "./api.js";
import { bounds, choicesOf, countHint, multiSelect, singleSelect } from "./controls.js";
import { byId, h } from "./dom.js";
import { onModal } from "./interactions.js";

const dialog = byId("modal");
const queue = [];

/** Lets modals open; several at once come one after another. */
export function startModals() {
  onModal((event) => {
    queue.push(event);
    if (!dialog.open) next();
  });
  dialog.addEventListener("close", () => {
    if (dialog.open) return; // the event comes late, and the next one is open already
    dialog.replaceChildren();
    next();
  });
}

function next() {
  const event = queue.shift();
  if (!event) return;
  const { modal, modalInteractionId, userId } = event;
  const fields = modal.components.map(field);
  const refused = h("p", { class: "error", role: "alert" });
  const button = h("button", { class: "primary" }, "Submit");

  const submit = async (submitted) => {
    submitted.preventDefault();
    const wrong = fields.filter((each) => !each.check());
    if (wrong.length > 0) {
      wrong[0].focus();
      return;
    }
    const values = Object.fromEntries(fields.map((each) => [each.customId, each.values()]));
    button.disabled = true;
    refused.textContent = "";
    try {
      await post("submit", { userId, modalInteractionId, values });
      if (dialog.contains(button)) dialog.close(); // Escape may have been faster
    } catch (error) {
      refused.textContent = `Not submitted: ${error.message}`;
      button.disabled = false;
    }
  };
  dialog.replaceChildren(h("form", { onsubmit: submit, novalidate: true },
    h("header", {}, h("h2", { id: "modal-title" }, modal.title), h("small", {}, `from ${event.botName}`)),
    h("div", { class: "fields" }, fields.map(({ element }) => element)),
    refused,
    h("footer", {}, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), button)));
  dialog.showModal();
  fields[0]?.focus();
}

let serial = 0;

// A component as `{ element, values, check, focus }`: `values` is what is sent, `check` shows and returns
// whether it is right.
function field(component) {
  const id = `field-${serial++}`;
  const error = h("small", { class: "error", id: `${id}-error` });
  const make = { textInput, checkbox }[component.type] ?? selection;
  const { input, body, values, problem, hint } = make(component, id);
  input.setAttribute("aria-describedby", `${id}-error`);
  const check = () => {
    const wrong = problem();
    error.textContent = wrong;
    input.setAttribute("aria-invalid", String(wrong !== ""));
    return wrong === "";
  };
  const about = component.description ? h("small", {}, component.description) : null;
  const label = [component.label, component.required && component.type !== "checkbox" ? h("span", { class: "required", title: "Required" }, " *") : null];
  const element = component.type === "checkbox"
    ? h("div", { class: "field" }, h("label", { class: "check" }, input, h("span", {}, label)), about, error)
    : input.matches("input, select, textarea")
      ? h("div", { class: "field" }, h("label", { for: id }, label), about, body, h("div", { class: "field-foot" }, error, hint))
      : h("fieldset", { class: "field" }, h("legend", {}, label), about, body, h("div", { class: "field-foot" }, error, hint));
  element.addEventListener("change", check);
  return { customId: component.customId, element, values, check, focus: () => (input.matches("input, select, textarea") ? input : input.querySelector("input"))?.focus() };
}

function textInput(component, id) {
  const long = component.style === "paragraph";
  const input = h(long ? "textarea" : "input", { id, rows: long ? "4" : null, type: long ? null : "text", placeholder: component.placeholder, maxlength: component.maxLength, "aria-required": component.required ? "true" : null });
  input.value = component.value ?? "";
  const hint = h("small", { class: "count" });
  const count = () => (hint.textContent = component.maxLength ? `${input.value.length} / ${component.maxLength}` : "");
  input.addEventListener("input", count);
  count();
  const problem = () => {
    const { length } = input.value;
    if (length === 0) return component.required ? "Please fill this in." : "";
    if (component.minLength && length < component.minLength) return `At least ${component.minLength} characters.`;
    if (component.maxLength && length > component.maxLength) return `At most ${component.maxLength} characters.`;
    return "";
  };
  return { input, body: input, hint, problem, values: () => [input.value] };
}

function checkbox(component) {
  const input = h("input", { type: "checkbox", checked: Boolean(component.default) });
  const problem = () => (component.required && !input.checked ? "Please tick this." : "");
  return { input, body: input, problem, values: () => [String(input.checked)] };
}

function selection(component, id) {
  const choices = choicesOf(component);
  const limits = bounds(component);
  const problem = (count) => {
    if (count === 0) return component.required && limits.min > 0 ? countHint(0, limits) : "";
    return countHint(count, limits);
  };
  if (limits.max === 1) {
    const input = singleSelect(choices, { id, empty: component.placeholder || "Choose…", "aria-required": component.required ? "true" : null });
    const values = () => (input.value ? [input.value] : []);
    return { input, body: input, values, problem: () => problem(values().length) };
  }
  const { element, values } = multiSelect(choices, id);
  element.classList.add("boxed");
  const hint = h("small", {}, limits.min === limits.max ? `choose ${limits.max}` : `choose ${limits.min} to ${limits.max}`);
  return { input: element, body: element, hint, values, problem: () => problem(values().length) };
}
