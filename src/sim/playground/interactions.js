// Commands, clicks and choices on their way to a bot and back, as this window started them.
//
// A started interaction waits until the bot does something with it: an ack, a modal, or a message or edit
// by that bot in the same channel count as the answer, a defer asks for patience, and the server says when
// its time is over. Each of these states is shown. A reply carries no interaction id on this platform: the oldest waiting interaction of
// that bot in the channel is taken as the answered one. The server takes all of them for answered then, so
// the platform's lifetime ends the others here too.

import { post } from "./api.js";
import { byId, h } from "./dom.js";
import { icon } from "./icons.js";
import { member, state, watch } from "./store.js";

// How long one may read that all went well.
const GOOD_NEWS_MS = 2500;
// The platform's 60 s, and a little for the server to say so first.
const LIFETIME_MS = 62_000;

const waiting = [];
const listeners = [];
let calls = 0;
let early = [];

/** Runs `listener(channelId, messageId)` when the state of a control on that message changes. */
export const onPlaceChange = (listener) => listeners.push(listener);

/** Opens a modal; set by the modal's module, which also starts interactions. */
let showModal = () => {};
export const onModal = (handler) => (showModal = handler);

/**
 * Starts an interaction as the present person. `label` is what the person did; `place` names the message
 * and control, if it came from one. Resolves to whether the server took it.
 */
export async function interact({ path, body, botId, label, place = null, channelId = state.channelId }) {
  const entry = { began: Date.now(), id: null, userId: state.me, channelId, botId, label, place, phase: "sent" };
  waiting.push(entry);
  show(entry);
  setTimeout(() => isOpen(entry) && waiting.includes(entry) && finish(entry, "expired"), LIFETIME_MS);
  calls++;
  try {
    entry.id = (await post(path, { userId: entry.userId, ...body })).interactionId;
    return true;
  } catch (error) {
    finish(entry, "failed", error.message);
    return false;
  } finally {
    // The bot may be faster than the answer to this call: what came for an unknown id is looked at now.
    calls--;
    const again = early;
    early = [];
    for (const event of again) onInteractionEvent(event);
  }
}

/** Takes ack, defer, modal and expired in. */
export function onInteractionEvent(event) {
  const entry = waiting.find((each) => each.id === event.interactionId);
  if (!entry) {
    if (calls > 0 && event.userId === state.me) early.push(event);
    return;
  }
  if (event.type === "ack") finish(entry, "acked");
  else if (event.type === "defer") {
    entry.phase = "deferred";
    show(entry);
  } else if (event.type === "expired") {
    if (isOpen(entry)) finish(entry, "expired");
  } else if (event.type === "modal") {
    finish(entry, "answered");
    showModal(event);
  }
}

/** Takes a message or edit in: a bot's sign of life. */
export function onBotMessage({ channelId, sender }) {
  if (!sender.isBot) return;
  const entry = waiting.find((each) => each.botId === sender.userId && each.channelId === channelId && isOpen(each));
  if (entry) finish(entry, "answered");
}

/** Forgets everything, for a server that has started anew. */
export function forgetInteractions() {
  for (const entry of waiting.splice(0)) if (entry.place) tellPlace(entry);
  early = [];
  render();
}

const isOpen = ({ phase }) => phase === "sent" || phase === "deferred";

/** Whether a control waits for its bot. */
export const isBusy = (messageId, controlId) =>
  waiting.some((each) => each.place?.messageId === messageId && each.place.controlId === controlId && each.userId === state.me && isOpen(each));

function finish(entry, phase, note = "") {
  Object.assign(entry, { phase, note, took: Date.now() - entry.began });
  show(entry);
  if (phase === "answered" || phase === "acked") setTimeout(() => drop(entry), GOOD_NEWS_MS);
  else if (waiting.filter((each) => !isOpen(each)).length > 5) drop(waiting.find((each) => !isOpen(each)));
}

function drop(entry) {
  const at = waiting.indexOf(entry);
  if (at >= 0) waiting.splice(at, 1);
  show(entry);
}

function show(entry) {
  render();
  if (entry.place) tellPlace(entry);
}

const tellPlace = ({ channelId, place }) => listeners.forEach((listener) => listener(channelId, place.messageId));

function words({ phase, note, took }, bot) {
  switch (phase) {
    case "sent": return ` waits for ${bot}…`;
    case "deferred": return `: ${bot} is working on it…`;
    case "acked": return `: ${bot} acknowledged it after ${took} ms`;
    case "answered": return `: ${bot} answered after ${took} ms`;
    case "expired": return `: ${bot} did not answer in time`;
    default: return ` failed: ${note}`;
  }
}

const SIGNS = { acked: "✓", answered: "✓", expired: "!", failed: "!" };

// A control shows by itself that it waits.
const worthALine = ({ place, phase }) => !place || phase !== "sent";

function render() {
  const mine = waiting.filter((each) => each.userId === state.me && each.channelId === state.channelId && worthALine(each));
  byId("interactions").replaceChildren(...mine.map((entry) => {
    const bot = member(entry.botId)?.displayName ?? "the bot";
    return h("p", { class: `interaction ${entry.phase}` },
      h("span", { class: "sign", "aria-hidden": "true" }, SIGNS[entry.phase] ?? ""),
      h("span", {}, h("b", {}, entry.label), words(entry, bot)),
      isOpen(entry) ? null : h("button", { class: "icon", "aria-label": "Dismiss", onclick: () => drop(entry) }, icon("close")));
  }));
}

watch("me", render);
watch("place", render);
