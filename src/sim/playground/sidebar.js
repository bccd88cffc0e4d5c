// The frame around the messages: channels, who one is, members by archetype and how they come and go, the
// channel's heading, the voice panel, and the drawers that hold the sides on narrow screens.

import { post } from "./api.js";
import { avatar, botBadge, byId, cssColour, h, notice } from "./dom.js";
import { addressAs, become, channel, enter, member, people, space, state, watch } from "./store.js";

const KINDS = [
  { type: "text", title: "Text", sign: "#" },
  { type: "announcement", title: "Announcements", sign: "📣" },
  { type: "voice", title: "Voice", sign: "🔊" },
];

/** Wires the frame. */
export function startSidebar() {
  byId("me").addEventListener("change", (event) => become(event.target.value));
  byId("space-picker").addEventListener("change", (event) => {
    const next = state.spaces.find(({ spaceId }) => spaceId === event.target.value);
    const first = next?.channels.find(({ type }) => type === "text") ?? next?.channels[0];
    if (first) void go(first.channelId);
  });
  watch("world", () => {
    renderSpaces();
    renderChannels();
    renderHeading();
    renderPeople();
  });
  watch("place", () => {
    renderChannels();
    renderHeading();
    renderPeople();
  });
  watch("unread", renderChannels);
  watch("me", () => {
    renderPeople();
    renderHeading();
  });
  byId("newcomer").addEventListener("submit", join);
  startDrawers();
}

// Somebody new joins the space, which bots hear of.
async function join(event) {
  event.preventDefault();
  const name = byId("newcomer-name");
  const displayName = name.value.trim();
  if (!displayName || !state.spaceId) return;
  name.value = "";
  try {
    await post("member", { spaceId: state.spaceId, displayName });
  } catch (error) {
    if (name.value === "") name.value = displayName;
    notice(`${displayName} could not join: ${error.message}`);
  }
}

async function leave({ userId, displayName }) {
  try {
    await post("member", { userId, leave: true });
    byId("newcomer-name").focus(); // the button has gone with its row
  } catch (error) {
    notice(`${displayName} could not leave: ${error.message}`);
  }
}

async function go(channelId) {
  openDrawer(null);
  try {
    await enter(channelId);
  } catch (error) {
    notice(`The channel does not open: ${error.message}`);
  }
}

function renderSpaces() {
  const picker = byId("space-picker");
  byId("space-name").textContent = space()?.name ?? "Argon playground";
  byId("space-name").title = space()?.description ?? "";
  picker.hidden = state.spaces.length < 2;
  picker.replaceChildren(...state.spaces.map(({ spaceId, name }) => h("option", { value: spaceId }, name)));
  picker.value = state.spaceId ?? "";
}

function renderChannels() {
  const focused = document.activeElement?.dataset?.channel;
  byId("channel-list").replaceChildren(...KINDS.flatMap(({ type, title, sign }) => {
    const channels = (space()?.channels ?? []).filter((each) => each.type === type);
    if (channels.length === 0) return [];
    return [h("h3", {}, title), h("ul", {}, channels.map(({ channelId, name, description }) => {
      const unread = channelId === state.channelId ? 0 : state.unread.get(channelId) ?? 0;
      return h("li", {}, h("button", {
        class: unread ? "channel unread" : "channel",
        "data-channel": channelId,
        "aria-current": channelId === state.channelId ? "page" : null,
        title: description || null,
        onclick: () => go(channelId),
      }, h("span", { class: "sign", "aria-hidden": "true" }, sign), h("span", { class: "name" }, name), unread ? h("span", { class: "count", "aria-label": `${unread} unread` }, String(unread)) : null), voiceList(channelId));
    }))];
  }));
  if (focused) byId("channel-list").querySelector(`[data-channel="${CSS.escape(focused)}"]`)?.focus();
}

const inVoice = (channelId) => (space()?.members ?? []).filter((each) => each.voiceChannelId === channelId);

function voiceList(channelId) {
  const there = inVoice(channelId);
  return there.length > 0 ? h("ul", { class: "in-voice", "aria-label": "In this channel" }, there.map((each) => h("li", {}, avatar(each), h("span", { class: "name" }, each.displayName)))) : null;
}

function renderHeading() {
  const here = channel();
  const sign = KINDS.find(({ type }) => type === here?.type)?.sign ?? "";
  byId("channel-name").textContent = here ? `${sign} ${here.name}` : "No channel";
  byId("channel-about").textContent = here?.description ?? "";
  document.title = here ? `${here.name} · ${member(state.me)?.displayName ?? ""} · Argon playground` : "Argon playground";
  const voice = byId("voice");
  const isVoice = here?.type === "voice";
  voice.hidden = !isVoice;
  byId("timeline-box").hidden = isVoice;
  voice.replaceChildren();
  if (!isVoice) return;
  const me = member(state.me);
  const name = me?.displayName ?? "Nobody";
  const there = inVoice(here.channelId);
  const act = async (leave) => {
    try {
      await post("voice", { userId: state.me, channelId: here.channelId, ...(leave ? { leave: true } : {}) });
    } catch (error) {
      notice(error.message);
    }
  };
  voice.append(
    h("p", {}, "A voice channel. Bots see people join and leave; there is no sound on this page."),
    h("p", { role: "status" }, there.length > 0 ? `In here: ${there.map(({ displayName }) => displayName).join(", ")}` : "Nobody is in here."),
    me?.voiceChannelId === here.channelId
      ? h("button", { class: "control", onclick: () => act(true) }, `Leave as ${name}`)
      : h("button", { class: "primary", onclick: () => act(false) }, `Join as ${name}`));
}

function renderPeople() {
  const me = member(state.me);
  byId("my-avatar").replaceChildren(me ? avatar(me) : "");
  byId("me").replaceChildren(...people().map(({ userId, displayName }) => h("option", { value: userId }, displayName)));
  byId("me").value = state.me ?? "";

  const here = space();
  const members = here?.members ?? [];
  const placed = new Set();
  const groups = [];
  // Each member stands once, under the rarest archetype that they have; bots have a group of their own.
  const holders = ({ archetypeId }) => members.filter((each) => each.archetypeIds.includes(archetypeId)).length;
  const rarestFirst = [...(here?.archetypes ?? [])].sort((a, b) => holders(a) - holders(b));
  for (const { archetypeId, name, colour } of rarestFirst) {
    const group = members.filter((each) => !each.isBot && !placed.has(each.userId) && each.archetypeIds.includes(archetypeId));
    for (const { userId } of group) placed.add(userId);
    groups.push({ title: name, colour: cssColour(colour), group });
  }
  const rolesOf = ({ archetypeIds }) => rarestFirst.filter(({ archetypeId }) => archetypeIds.includes(archetypeId)).map(({ name }) => name).join(", ");
  groups.push({ title: "Others", colour: null, group: members.filter((each) => !each.isBot && !placed.has(each.userId)) });
  groups.push({ title: "Bots", colour: null, group: members.filter((each) => each.isBot) });
  byId("member-list").replaceChildren(...groups.filter(({ group }) => group.length > 0).flatMap(({ title, colour, group }) => [
    h("h3", {}, colour ? h("span", { class: "dot", style: { background: colour } }) : null, `${title} · ${group.length}`),
    h("ul", {}, group.map((each) => memberItem(each, rolesOf(each)))),
  ]));
}

function memberItem(each, roles) {
  const who = [avatar(each), h("span", { class: "name" }, h("b", {}, each.displayName), botBadge(each), h("small", {}, `@${each.username}${roles ? ` · ${roles}` : ""}`))];
  if (each.isBot) return h("li", { class: "member" }, h("div", { class: "who" }, who));
  const isMe = each.userId === state.me;
  return h("li", { class: "member" },
    h("button", { class: "who", "aria-pressed": String(isMe), title: isMe ? "This is you" : `Write as ${each.displayName}`, onclick: () => become(each.userId) }, who),
    isMe ? h("span", { class: "badge" }, "YOU") : [h("button", { class: "icon", "aria-label": `${each.displayName} leaves the space`, title: `${each.displayName} leaves the space`, onclick: () => leave(each) }, "✕"), h("a", { class: "icon", href: addressAs(each.userId), target: "_blank", "aria-label": `A second window as ${each.displayName}`, title: `A second window as ${each.displayName}` }, "↗")]);
}

// --- drawers: on narrow screens one side at a time slides in; on wide ones CSS shows both all the time

const DRAWERS = ["channels", "members"];

function startDrawers() {
  for (const name of DRAWERS) byId(`show-${name}`).addEventListener("click", () => openDrawer(document.body.dataset.drawer === name ? null : name));
  byId("backdrop").addEventListener("click", () => openDrawer(null));
  addEventListener("keydown", (event) => event.key === "Escape" && document.body.dataset.drawer && openDrawer(null));
}

function openDrawer(name) {
  const before = document.body.dataset.drawer;
  if (name) document.body.dataset.drawer = name;
  else delete document.body.dataset.drawer;
  byId("backdrop").hidden = !name;
  for (const each of DRAWERS) byId(`show-${each}`).setAttribute("aria-expanded", String(each === name));
  if (name) byId(name).querySelector(".scroll button")?.focus();
  else if (before) byId(`show-${before}`).focus();
}
