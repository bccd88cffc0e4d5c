// The frame around the messages: channels, who one is, members by archetype and how they come and go, and the
// channel's heading.

import { post } from "./api.js";
import { avatar, botBadge, byId, cssColour, fill, h, notice } from "./dom.js";
import { icon } from "./icons.js";
import { doing, statusDot } from "./presence.js";
import { openSide, shownSide } from "./sides.js";
import { addressAs, become, channel, enter, member, people, space, state, watch } from "./store.js";
import { call } from "./voice.js";
import { inVoice } from "./voicepanel.js";

const KINDS = [
  { type: "text", title: "Text", sign: "text" },
  { type: "announcement", title: "Announcements", sign: "megaphone" },
  { type: "voice", title: "Voice", sign: "sound" },
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
  if (shownSide() === "channels") openSide(null);
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
      }, icon(sign), h("span", { class: "name" }, name), unread ? h("span", { class: "count", "aria-label": `${unread} unread` }, String(unread)) : null), voiceList(channelId));
    }))];
  }));
  if (focused) byId("channel-list").querySelector(`[data-channel="${CSS.escape(focused)}"]`)?.focus();
}

function voiceList(channelId) {
  const there = inVoice(channelId);
  return there.length > 0 ? h("ul", { class: "in-voice", "aria-label": "In this channel" }, there.map((each) => h("li", { "data-speaker": each.userId, "data-room": channelId }, avatar(each), h("span", { class: "name" }, each.displayName)))) : null;
}

function renderHeading() {
  const here = channel();
  const kind = KINDS.find(({ type }) => type === here?.type);
  fill(byId("channel-name"), kind ? icon(kind.sign) : null, here?.name ?? "No channel");
  byId("channel-about").textContent = here?.description ?? "";
  document.title = here ? `${here.name} · ${member(state.me)?.displayName ?? ""} · Argon playground` : "Argon playground";
  byId("timeline-box").hidden = here?.type === "voice";
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
  const about = doing(each) || `@${each.username}${roles ? ` · ${roles}` : ""}`;
  const who = [h("span", { class: "with-status" }, avatar(each), statusDot(each)), h("span", { class: "name" }, h("b", {}, each.displayName), botBadge(each), h("small", {}, about))];
  if (each.isBot) {
    const ring = each.verified && h("button", { class: "icon", "aria-label": `Call ${each.displayName}`, title: `Call ${each.displayName}`, onclick: () => call(each.userId) }, icon("call"));
    return h("li", { class: "member" }, h("div", { class: "who" }, who), ring);
  }
  const isMe = each.userId === state.me;
  return h("li", { class: "member" },
    h("button", { class: "who", "aria-pressed": String(isMe), title: isMe ? "This is you" : `Write as ${each.displayName}`, onclick: () => become(each.userId) }, who),
    isMe ? h("span", { class: "badge" }, "YOU") : [h("button", { class: "icon", "aria-label": `${each.displayName} leaves the space`, title: `${each.displayName} leaves the space`, onclick: () => leave(each) }, icon("close")), h("a", { class: "icon", href: addressAs(each.userId), target: "_blank", "aria-label": `A second window as ${each.displayName}`, title: `A second window as ${each.displayName}` }, icon("window"))]);
}
