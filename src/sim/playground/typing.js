// Who is typing (or thinking, uploading, searching) in the open channel.

import { byId } from "./dom.js";
import { state, watch } from "./store.js";

// The platform ends a sign after 8 s; a lost end must not leave it standing.
const LIFETIME_MS = 9000;
const DOING = { thinking: "thinking", uploading: "uploading", searching: "searching" };
const signs = new Map(); // "channel user" -> { channelId, userId, displayName, doing, timer }

const keyOf = ({ channelId, userId }) => `${channelId} ${userId}`;

/** Takes a typing event in. */
export function onTyping(event) {
  endTyping(event);
  const doing = DOING[String(event.kind ?? "").toLowerCase()] ?? "typing";
  signs.set(keyOf(event), { ...event, doing, timer: setTimeout(() => endTyping(event), LIFETIME_MS) });
  render();
}

/** Ends somebody's sign: it was stopped, or what they were typing has come. */
export function endTyping(event) {
  const sign = signs.get(keyOf(event));
  if (!sign) return;
  clearTimeout(sign.timer);
  signs.delete(keyOf(event));
  render();
}

function render() {
  const here = [...signs.values()].filter(({ channelId, userId }) => channelId === state.channelId && userId !== state.me);
  const words = here.map(({ displayName, doing }) => `${displayName} is ${doing}`);
  byId("typing").textContent = words.length > 3 ? "Several members are typing…" : words.length > 0 ? `${words.join(", ")}…` : "";
}

watch("place", render);
watch("me", render);
