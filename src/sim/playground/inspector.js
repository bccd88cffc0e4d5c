// The inspector beside the chat: what happens between the bots and the server, how much of the rate limits
// they have used, and switches for what can go wrong. It shares its place with the list of members.
//
// Tabs follow the ARIA pattern: one of them is in the tab order, the arrow keys go from one to the next.

import { draw as showActivity, startActivity } from "./activity.js";
import { byId, h } from "./dom.js";
import { showFaults, startFaults } from "./faults.js";
import { showGauges, startGauges } from "./gauges.js";
import { onSide, openSide, shownSide } from "./sides.js";

const TABS = [
  { id: "activity", title: "Activity", show: showActivity },
  { id: "limits", title: "Limits", show: showGauges },
  { id: "faults", title: "Faults", show: showFaults },
];
const STORE = "argon-playground-inspector";

/** Starts the inspector. */
export function startInspector() {
  const buttons = TABS.map(({ id, title }) => h("button", {
    role: "tab", id: `tab-${id}`, "aria-controls": id, "data-tab": id, onclick: () => choose(id),
  }, title, h("span", { class: "count", id: `count-${id}`, hidden: true })));
  byId("inspector-tabs").replaceChildren(...buttons);
  byId("inspector-tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = TABS.findIndex(({ id }) => id === chosen);
    const next = TABS[(at + step + TABS.length) % TABS.length].id;
    choose(next);
    byId("inspector-tabs").querySelector(`[data-tab="${next}"]`).focus();
  });
  startActivity({ open: () => (openSide("inspector"), choose("activity")), seen: () => isSeen("activity") });
  startGauges(() => isSeen("limits"));
  startFaults(() => isSeen("faults"));
  onSide(look);
  document.addEventListener("visibilitychange", look);
  choose(sessionStorage.getItem(STORE));
}

let chosen = "activity";

const isSeen = (id) => chosen === id && shownSide() === "inspector" && !document.hidden;

function choose(id) {
  chosen = TABS.some((tab) => tab.id === id) ? id : TABS[0].id;
  sessionStorage.setItem(STORE, chosen);
  for (const { id: each } of TABS) {
    const tab = byId("inspector-tabs").querySelector(`[data-tab="${each}"]`);
    tab.setAttribute("aria-selected", String(each === chosen));
    tab.tabIndex = each === chosen ? 0 : -1;
    document.getElementById(each).hidden = each !== chosen;
  }
  look();
}

// Brings what has come into sight up to date.
function look() {
  for (const { id, show } of TABS) if (isSeen(id)) show();
}
