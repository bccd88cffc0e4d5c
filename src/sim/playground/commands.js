// Slash commands: finding them by what is typed, and the form for their options.

import { choicesOf, singleSelect } from "./controls.js";
import { byId, h } from "./dom.js";
import { interact } from "./interactions.js";
import { state } from "./store.js";

const region = byId("command-form");

/** The commands whose name begins with `typed`, then those that contain it. */
export function matching(typed) {
  const wanted = typed.toLowerCase();
  const found = state.commands.filter(({ name }) => name.includes(wanted));
  return found.sort((a, b) => b.name.startsWith(wanted) - a.name.startsWith(wanted) || a.name.localeCompare(b.name));
}

/** The command in "/name rest", as `{ command, rest }`, or null. */
export function commandIn(line) {
  const [, name, rest] = /^\/(\S+)\s*([\s\S]*)$/.exec(line) ?? [];
  const command = name && state.commands.find((each) => each.name === name.toLowerCase());
  return command ? { command, rest: rest.trim() } : null;
}

/**
 * Runs a command at once if it has no options, else opens its form with `rest` in the first option.
 * `onDone` runs when the form is gone.
 */
export function runCommand(command, rest, onDone) {
  if (command.options.length === 0) {
    send(command, {});
    onDone();
    return;
  }
  const close = () => {
    region.hidden = true;
    region.replaceChildren();
    onDone();
  };
  const fields = command.options.map((option, i) => optionField(option, i === 0 ? rest : ""));
  const submit = (event) => {
    event.preventDefault();
    const options = {};
    for (const { name, value } of fields) {
      const chosen = value();
      if (chosen !== undefined) options[name] = chosen;
    }
    send(command, options);
    close();
  };
  const keys = (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    close();
  };
  region.setAttribute("aria-label", `Options of /${command.name}`);
  region.replaceChildren(h("form", { onsubmit: submit, onkeydown: keys },
    h("header", {}, h("b", {}, `/${command.name}`), " ", h("span", {}, command.description), h("small", {}, command.botName)),
    h("div", { class: "fields" }, fields.map(({ element }) => element)),
    h("footer", {}, h("button", { type: "button", onclick: close }, "Cancel"), h("button", { class: "primary" }, `Run /${command.name}`))));
  region.hidden = false;
  fields[0].focus();
}

function send(command, options) {
  const given = Object.entries(options).map(([name, value]) => ` ${name}: ${value}`).join("");
  void interact({
    path: "command",
    body: { channelId: state.channelId, commandId: command.commandId, options },
    botId: command.botId,
    label: `/${command.name}${given.length > 60 ? "" : given}`,
  });
}

// An option as `{ name, element, value, focus }`; `value()` has the option's type, undefined when left out.
function optionField(option, preset) {
  const input = inputFor(option, preset);
  const element = h("label", { class: "field" },
    h("span", {}, option.name, option.required ? h("span", { class: "required", title: "Required" }, " *") : null),
    input,
    option.description ? h("small", {}, option.description) : null);
  const value = () => {
    const text = input.value;
    if (text === "") return undefined;
    // Choices carry values of their own type.
    if (option.choices?.length) return option.choices[Number(text)].value;
    if (option.type === "integer" || option.type === "number") return Number(text);
    return option.type === "boolean" ? text === "true" : text;
  };
  return { name: option.name, element, value, focus: () => input.focus() };
}

function inputFor(option, preset) {
  const required = { required: option.required };
  const empty = option.required ? "Choose…" : "Not given";
  if (option.choices?.length) {
    const select = singleSelect(option.choices.map(({ name }, i) => ({ value: String(i), label: name })), { empty, ...required });
    const at = option.choices.findIndex(({ name, value }) => preset && [name, String(value)].includes(preset));
    if (at >= 0) select.value = String(at);
    return select;
  }
  switch (option.type) {
    case "integer":
    case "number": {
      const safe = option.type === "integer" ? { min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER } : {};
      return h("input", { type: "number", step: option.type === "integer" ? "1" : "any", ...safe, ...required, value: Number.isFinite(Number(preset)) ? preset : "" });
    }
    case "boolean": return singleSelect([{ value: "true", label: "Yes" }, { value: "false", label: "No" }], { empty, ...required });
    case "user":
    case "channel":
    case "role": {
      const choices = choicesOf(option);
      const select = singleSelect(choices, { empty, ...required });
      const bare = preset.replace(/^[@#]/, "").toLowerCase();
      const wanted = bare && choices.find(({ label }) => label.replace(/^# /, "").toLowerCase() === bare);
      if (wanted) select.value = wanted.value;
      return select;
    }
    default: return h("input", { type: "text", autocomplete: "off", ...required, value: preset });
  }
}
