// How people are there: online, away, in a game, with what they are doing; and one's own, which one can set.

import { post } from "./api.js";
import { byId, h, notice } from "./dom.js";
import { member, state, watch } from "./store.js";

const WORDS = {
  online: "Online",
  away: "Away",
  doNotDisturb: "Do not disturb",
  inGame: "In a game",
  listen: "Listening",
  touchGrass: "Touching grass",
  offline: "Offline",
};
const DOING = { game: "Playing", software: "Using", streaming: "Streaming", listen: "Listening to" };

/** Wires one's own status. */
export function startPresence() {
  const select = byId("my-status");
  select.replaceChildren(...Object.entries(WORDS).map(([value, title]) => h("option", { value }, title)));
  select.addEventListener("change", async () => {
    try {
      await post("presence", { userId: state.me, status: select.value });
    } catch (error) {
      notice(`Your status is what it was: ${error.message}`);
      show();
    }
  });
  watch("world", show);
  watch("me", show);
}

function show() {
  byId("my-status").value = member(state.me)?.presence?.status ?? "online";
}

/** The dot of somebody's status. */
export const statusDot = ({ presence }) => h("span", { class: `presence ${presence?.status ?? "offline"}`, role: "img", "aria-label": WORDS[presence?.status] ?? "Offline", title: WORDS[presence?.status] ?? "Offline" });

/** What somebody is doing, in words, or "". */
export const doing = ({ presence }) => (presence?.activity ? `${DOING[presence.activity.kind] ?? ""} ${presence.activity.titleName}`.trim() : "");
