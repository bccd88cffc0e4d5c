// What the page knows: the world, the loaded messages, who "I" am and where. One writer (this module),
// many readers; `watch` tells the readers which topic changed.
//
// Messages are kept for channels that were opened, at most KEEP a channel; other channels only count
// unread ones. A channel that is being loaded keeps its events aside and applies them after the snapshot,
// so that nothing falls between the two.

import { get } from "./api.js";

const KEEP = 2000;
const PAGE = 200;

export const state = {
  spaces: [],
  spaceId: null,
  channelId: null,
  me: null,
  commands: [],
  /** channelId -> messages, oldest first */
  messages: new Map(),
  /** channels of which there are messages before the loaded ones */
  earlier: new Set(),
  /** channelId -> number of messages since it was last looked at */
  unread: new Map(),
};

const watchers = new Map();
const loading = new Map();

/** Runs `handler` whenever `topic` changes: world, place, me, messages, message, commands, unread. */
export function watch(topic, handler) {
  if (!watchers.has(topic)) watchers.set(topic, []);
  watchers.get(topic).push(handler);
}

function tell(topic, detail) {
  for (const handler of watchers.get(topic) ?? []) handler(detail);
}

export const space = () => state.spaces.find((each) => each.spaceId === state.spaceId) ?? null;
export const channel = (id = state.channelId) => space()?.channels.find((each) => each.channelId === id) ?? null;
export const member = (id) => space()?.members.find((each) => each.userId === id) ?? null;
export const archetype = (id) => space()?.archetypes.find((each) => each.archetypeId === id) ?? null;
export const people = () => space()?.members.filter((each) => !each.isBot) ?? [];
export const message = (channelId, id) => state.messages.get(channelId)?.find((each) => each.messageId === id) ?? null;

/** Reads the world, the commands and the open channel anew. */
export async function refresh() {
  await refreshWorld();
  state.messages.clear();
  await Promise.all([refreshCommands(), state.channelId && loadMessages(state.channelId)]);
}

/** Reads the spaces, channels and members anew. */
export async function refreshWorld() {
  state.spaces = (await get("state")).spaces;
  settle(fromHash());
  tell("world");
}

/** Reads the slash commands of the space anew. */
export async function refreshCommands() {
  const spaceId = state.spaceId;
  if (!spaceId) return;
  const { commands } = await get("commands", { spaceId });
  if (spaceId !== state.spaceId) return;
  state.commands = commands;
  tell("commands");
}

// The address carries person and place, so that a reload and a second window each keep their own.
const fromHash = () => {
  const hash = new URLSearchParams(location.hash.slice(1));
  return { me: hash.get("as"), channelId: hash.get("in") };
};

/** The address under which this page is `userId` in the channel that is open here. */
export const addressAs = (userId) => `#${new URLSearchParams({ as: userId, in: state.channelId ?? "" })}`;

/** Takes the wanted person and channel if they exist, else the present ones, else the first. */
function settle({ me, channelId }) {
  const owner = state.spaces.find((each) => each.channels.some((one) => one.channelId === channelId));
  state.spaceId = (owner ?? space() ?? state.spaces[0])?.spaceId ?? null;
  const channels = space()?.channels ?? [];
  state.channelId = [channelId, state.channelId, channels.find((each) => each.type === "text")?.channelId, channels[0]?.channelId]
    .find((id) => id && channel(id)) ?? null;
  state.me = [me, state.me, people()[0]?.userId].find((id) => id && people().some((each) => each.userId === id)) ?? null;
  if (state.me) history.replaceState(null, "", addressAs(state.me));
}

/** Becomes another person. */
export function become(userId) {
  settle({ me: userId, channelId: state.channelId });
  tell("me");
}

/** Opens a channel, of another space too. */
export async function enter(channelId) {
  const before = state.spaceId;
  settle({ me: state.me, channelId });
  state.unread.delete(state.channelId);
  tell("place");
  if (before !== state.spaceId) {
    tell("world");
    await refreshCommands();
  }
  if (state.channelId && !state.messages.has(state.channelId)) await loadMessages(state.channelId);
}

addEventListener("hashchange", () => {
  const wanted = fromHash();
  if (wanted.me && wanted.me !== state.me) become(wanted.me);
  if (wanted.channelId && wanted.channelId !== state.channelId) void enter(wanted.channelId);
});

async function loadMessages(channelId) {
  const aside = [];
  loading.set(channelId, aside);
  try {
    const { messages } = await get("messages", { channelId, limit: PAGE });
    if (loading.get(channelId) !== aside) return; // a later load has taken over
    state.messages.set(channelId, messages);
    mayHaveEarlier(channelId, messages);
    loading.delete(channelId);
    tell("messages", channelId);
    for (const apply of aside) apply();
  } finally {
    if (loading.get(channelId) === aside) loading.delete(channelId);
  }
}

function mayHaveEarlier(channelId, page) {
  if (page.length === PAGE) state.earlier.add(channelId);
  else state.earlier.delete(channelId);
}

/** Loads the messages before the oldest loaded one. */
export async function loadEarlier(channelId) {
  const list = state.messages.get(channelId);
  if (!list?.length) return;
  const before = list[0].messageId;
  const { messages } = await get("messages", { channelId, limit: PAGE, before });
  // A new load, or a flood that pushed the oldest one out, has made this page one that does not fit.
  if (state.messages.get(channelId) !== list || list[0].messageId !== before) return;
  list.unshift(...messages);
  mayHaveEarlier(channelId, messages);
  tell("messages", channelId);
}

function whenLoaded(channelId, apply) {
  const aside = loading.get(channelId);
  if (aside) aside.push(apply);
  else apply();
}

// Ids are int64 in decimal: longer is greater, then the digits decide.
const isAfter = (a, b) => a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);

/** Takes a new or edited message in. */
export function putMessage(next, isNew) {
  whenLoaded(next.channelId, () => {
    const elsewhere = next.channelId !== state.channelId;
    if (isNew && elsewhere && next.sender.userId !== state.me) {
      state.unread.set(next.channelId, (state.unread.get(next.channelId) ?? 0) + 1);
      tell("unread");
    }
    const list = state.messages.get(next.channelId);
    if (!list) return;
    const at = list.findIndex((each) => each.messageId === next.messageId);
    if (at >= 0) {
      list[at] = next;
      tell("message", next);
      return;
    }
    if (!isNew) return; // an edit of something older than what is kept
    const inOrder = list.length === 0 || isAfter(next.messageId, list.at(-1).messageId) > 0;
    list.push(next);
    if (!inOrder) list.sort((a, b) => isAfter(a.messageId, b.messageId));
    const dropped = list.length > KEEP;
    if (dropped) {
      list.splice(0, list.length - KEEP + 50);
      state.earlier.add(next.channelId);
    }
    if (inOrder && !dropped) tell("message", next);
    else tell("messages", next.channelId);
  });
}

/** Takes the new reactions of a message in. */
export function putReactions({ channelId, messageId, reactions }) {
  whenLoaded(channelId, () => {
    const known = message(channelId, messageId);
    if (!known) return;
    known.reactions = reactions;
    tell("message", known);
  });
}
