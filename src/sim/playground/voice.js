// Voice channels and calls of this window: which lines are open, and how one joins, leaves, calls and hangs up.
//
// A line belongs to the person who opened it: whoever this window becomes later, it goes on until that
// person leaves, or the window closes; then the server lets them leave.

import { get, post } from "./api.js";
import { notice } from "./dom.js";
import { Line } from "./line.js";
import { member, state, watch } from "./store.js";

const lines = new Map(); // key of a room and a person -> Line
const opening = new Set(); // keys
let calls = new Map(); // callId -> { callId, userId, botId, state, reason, since }
const listeners = [];

/** Runs `listener(what)` when lines or calls have changed; `what` is "levels" when only levels have. */
export const onVoiceChange = (listener) => listeners.push(listener);
const tell = (what) => listeners.forEach((listener) => listener(what));

const keyOf = (roomId, userId) => `${roomId} ${userId}`;

/** The open line into a room as this person, or null. */
export const lineOf = (roomId, userId = state.me) => lines.get(keyOf(roomId, userId)) ?? null;
/** Every open line of this window. */
export const openLines = () => [...lines.values()];
/** Whether the present person's line into this room is being opened. */
export const isOpening = (roomId) => opening.has(keyOf(roomId, state.me));

async function openLine(userId, room) {
  const key = keyOf(room.channelId ?? room.callId, userId);
  if (opening.has(key) || lines.has(key)) return;
  opening.add(key);
  tell();
  try {
    const onEnd = () => {
      if (lines.get(key) === line) lines.delete(key);
      tell();
    };
    const line = new Line({ userId, room, onChange: tell, onEnd });
    // Two people of one window in one room: one pair of ears is enough.
    line.deaf = openLines().some((other) => other.room.channelId === room.channelId && !other.deaf);
    await line.open();
    if (!line.ended) lines.set(key, line);
  } catch (error) {
    notice(`No sound: ${error.message}`);
  } finally {
    opening.delete(key);
    tell();
  }
}

/** Joins a voice channel as the present person, with sound. */
export async function join(channelId) {
  const userId = state.me;
  try {
    if (member(userId)?.voiceChannelId !== channelId) await post("voice", { userId, channelId });
  } catch (error) {
    notice(`You cannot join: ${error.message}`);
    return;
  }
  await openLine(userId, { channelId });
}

/** Leaves the voice channel. */
export async function leave(userId) {
  try {
    await post("voice", { userId, leave: true });
  } catch (error) {
    notice(error.message);
  }
}

/** Speaks into a line; `file` is null for the microphone. What is said already ends. */
export async function speakInto(line, file) {
  try {
    await (file ? line.speakFile(file) : line.speakLive());
  } catch (error) {
    notice(`You cannot speak: ${error.message}`);
  }
}

// --- calls

const OPEN = ["ringing", "accepted"];
/** Whether a call rings or is going on. */
export const isOpenCall = (call) => OPEN.includes(call.state);

/** The present person's latest call, if it is to be shown, or null. */
export const myCall = () => [...calls.values()].findLast(({ userId }) => userId === state.me) ?? null;

/** Calls a bot as the present person. */
export async function call(botId) {
  try {
    await post("call", { userId: state.me, botId, locale: navigator.language });
  } catch (error) {
    notice(`The call failed: ${error.message}`);
  }
}

/** Ends a call. */
export async function hangUp({ userId, callId }) {
  try {
    await post("hangup", { userId, callId });
  } catch (error) {
    notice(error.message);
  }
}

/** Shows a call that is over no more. */
export function dismissCall({ callId }) {
  calls.delete(callId);
  tell();
}

/** Connects the sound of one's accepted call. */
export const hearCall = ({ userId, callId }) => openLine(userId, { callId });

/** Takes a call's news in. The window that is the caller hears an accepted call at once. */
export function onCall(event) {
  const known = calls.get(event.callId);
  calls.delete(event.callId); // the latest stands last
  for (const old of [...calls.values()]) if (old.userId === event.userId && !isOpenCall(old)) calls.delete(old.callId);
  calls.set(event.callId, { ...event, since: Date.now(), before: known ?? null });
  if (event.state === "accepted" && event.userId === state.me) void hearCall(event);
  if (!isOpenCall(event)) lineOf(event.callId, event.userId)?.close();
  tell();
}

/** Reads the calls that are going on anew: a server that has started anew has none. */
export async function refreshCalls() {
  const open = (await get("calls")).calls.filter(isOpenCall);
  const now = Date.now();
  calls = new Map(open.map((each) => [each.callId, { ...each, since: calls.get(each.callId)?.since ?? now, before: null }]));
  tell();
}

// --- the ends of lines that nobody asked for

// The server has closed a line whose person has left by another way: a kick, another window, a test.
watch("world", () => {
  for (const line of openLines()) {
    const { channelId } = line.room;
    if (channelId && member(line.userId)?.voiceChannelId !== channelId) line.close();
  }
  tell();
});
