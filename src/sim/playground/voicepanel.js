// What one sees of voice: the panel of a voice channel, the card of a call, and the bar of open lines. Levels
// move without drawing anything anew.

import { avatar, botBadge, byId, fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { soundProblem } from "./audio.js";
import { call, dismissCall, hangUp, hearCall, isOpenCall, isOpening, join, leave, lineOf, myCall, onVoiceChange, openLines, speakInto } from "./voice.js";
import { channel, enter, member, space, state, watch } from "./store.js";

const LOUD = 0.01; // -40 dBFS: from here on somebody is speaking
const FLOOR_DB = -60; // the lower end of the meters

/** Starts the panel, the card and the bar. */
export function startVoicePanel() {
  for (const topic of ["world", "place", "me"]) watch(topic, render);
  onVoiceChange((what) => (what === "levels" ? soon() : render()));
  setInterval(tick, 1000);
}

/** Who is in a voice channel. */
export const inVoice = (channelId) => (space()?.members ?? []).filter((each) => each.voiceChannelId === channelId);

function render() {
  const focused = document.activeElement?.dataset?.voiceKey;
  renderChannel();
  renderCall();
  renderLines();
  showLevels();
  if (focused) document.querySelector(`[data-voice-key="${CSS.escape(focused)}"]`)?.focus();
}

// --- the panel of the open channel

function renderChannel() {
  const here = channel();
  const panel = byId("voice");
  panel.hidden = here?.type !== "voice";
  if (panel.hidden) {
    panel.replaceChildren();
    return;
  }
  const there = inVoice(here.channelId);
  const me = member(state.me);
  const isHere = me?.voiceChannelId === here.channelId;
  const line = lineOf(here.channelId);
  const problem = soundProblem();
  fill(panel,
    problem ? h("p", { class: "hint" }, problem) : null,
    there.length > 0
      ? h("ul", { class: "speakers", "aria-label": "In this channel" }, there.map((each) => speakerCard(each, here.channelId)))
      : h("p", { class: "empty" }, "Nobody is in here. Join, and bots hear of it; what is said here is heard on this page."),
    h("div", { class: "voice-actions" }, line
      ? [...lineControls(line), h("button", { class: "control danger", "data-voice-key": "leave", onclick: () => leave(state.me) }, `Leave as ${me.displayName}`)]
      : [
        h("button", { class: "primary", "data-voice-key": "join", disabled: !me || isOpening(here.channelId), onclick: () => join(here.channelId) }, isHere ? "Connect the sound" : `Join as ${me?.displayName ?? "nobody"}`),
        isHere ? h("button", { class: "control", "data-voice-key": "leave", onclick: () => leave(state.me) }, `Leave as ${me.displayName}`) : null,
      ]));
}

function speakerCard(each, roomId) {
  return h("li", { class: "speaker", "data-speaker": each.userId, "data-room": roomId },
    avatar(each),
    h("span", { class: "name" }, each.displayName, botBadge(each)),
    h("small", {}, each.userId === state.me ? "You" : `@${each.username}`),
    meter(each.displayName));
}

const meter = (name) => h("span", { class: "level", role: "meter", "aria-label": `Loudness of ${name}`, "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": "0" }, h("span", {}));

// Microphone, file, and hearing on or off.
function lineControls(line) {
  const live = line.speaking === "microphone";
  const picker = h("input", { type: "file", accept: "audio/*,.ogg,.opus", hidden: true, "data-voice-file": "" });
  picker.addEventListener("change", () => {
    if (picker.files[0]) void speakInto(line, picker.files[0]);
    picker.value = "";
  });
  const playing = line.speaking && !live;
  return [
    h("button", { class: live ? "control on" : "control", "aria-pressed": String(live), "data-voice-key": "microphone", onclick: () => (live ? line.silence() : speakInto(line, null)) }, icon("microphone"), live ? "Microphone on" : "Microphone"),
    playing
      ? h("button", { class: "control on", "data-voice-key": "file", onclick: () => line.silence() }, icon("stop"), `Stop ${line.speaking}`)
      : h("button", { class: "control", "data-voice-key": "file", onclick: () => picker.click() }, icon("file"), "Speak a file…"),
    picker,
    h("button", { class: "control", "aria-pressed": String(line.deaf), "data-voice-key": "deaf", onclick: () => line.setDeaf(!line.deaf) }, icon(line.deaf ? "soundOff" : "sound"), line.deaf ? "Sound is off" : "Sound off"),
  ];
}

// --- the card of a call

const WORDS = { ringing: "· it rings ", accepted: "· in a call ", rejected: "· did not take the call", timedOut: "· did not answer" };

function renderCall() {
  const card = byId("call");
  const mine = myCall();
  card.hidden = !mine;
  if (!mine) {
    card.replaceChildren();
    return;
  }
  const bot = member(mine.botId) ?? { userId: mine.botId, displayName: "The bot", username: "" };
  const me = member(mine.userId);
  const open = isOpenCall(mine);
  const line = lineOf(mine.callId, mine.userId);
  card.className = `call ${mine.state}`;
  fill(card,
    h("span", { class: "speaker", "data-speaker": bot.userId, "data-room": mine.callId }, avatar(bot), meter(bot.displayName)),
    h("p", { role: "status" },
      h("b", {}, bot.displayName), " ", callWords(mine),
      open ? h("span", { id: "call-time", "aria-hidden": "true" }, clock(mine)) : null),
    mine.state === "accepted" && me ? h("span", { class: "speaker", "data-speaker": me.userId, "data-room": mine.callId }, avatar(me), meter("you")) : null,
    h("div", { class: "voice-actions" },
      line ? lineControls(line) : null,
      mine.state === "accepted" && !line ? h("button", { class: "control", disabled: isOpening(mine.callId), onclick: () => hearCall(mine) }, "Connect the sound") : null,
      open
        ? h("button", { class: "control danger", "data-voice-key": "hangup", onclick: () => hangUp(mine) }, "Hang up")
        : [h("button", { class: "control", "data-voice-key": "again", onclick: () => call(mine.botId) }, "Call again"), h("button", { class: "icon", "aria-label": "Dismiss", onclick: () => dismissCall(mine) }, icon("close"))]));
}

function callWords({ state: how, reason, before, since }) {
  const why = reason ? `: ${reason}` : "";
  if (how !== "ended") return WORDS[how] + why;
  return before?.state === "accepted" ? `· the call is over after ${span(since - before.since)}${why}` : `· the call is over${why}`;
}

const span = (ms) => `${Math.floor(ms / 60_000)}:${String(Math.floor(ms / 1000) % 60).padStart(2, "0")}`;
const clock = ({ since }) => span(Date.now() - since);

function tick() {
  const mine = myCall();
  const shown = document.getElementById("call-time");
  if (shown && mine) shown.textContent = clock(mine);
}

// --- the bar of open lines, in sight wherever one is

function renderLines() {
  const bar = byId("lines");
  const open = openLines().filter(({ room }) => room.channelId);
  bar.hidden = open.length === 0;
  bar.replaceChildren(...open.map((line) => {
    const { channelId } = line.room;
    const name = channel(channelId)?.name ?? "another space";
    const who = member(line.userId)?.displayName ?? "";
    const live = line.speaking === "microphone";
    return h("div", { class: "line" },
      h("button", { class: "where", title: "Show the channel", onclick: () => enter(channelId) }, h("b", {}, icon("sound"), name), h("small", {}, `as ${who}`)),
      h("button", { class: live ? "icon on" : "icon", "aria-pressed": String(live), "aria-label": "Microphone", title: live ? "Microphone is on" : "Microphone is off", onclick: () => (live ? line.silence() : speakInto(line, null)) }, icon("microphone")),
      h("button", { class: "icon", "aria-label": `Leave ${name}`, title: "Leave", onclick: () => leave(line.userId) }, icon("close")));
  }));
}

// --- levels

let due = false;
function soon() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    showLevels();
  });
}

// What a line says of oneself, or one that hears says of others.
function levelOf({ room, speaker }) {
  const there = openLines().filter((line) => (line.room.channelId ?? line.room.callId) === room);
  const line = there.find(({ userId }) => userId === speaker) ?? there.find(({ deaf }) => !deaf);
  return line?.levels.get(speaker) ?? {};
}

function showLevels() {
  for (const element of document.querySelectorAll("[data-speaker]")) {
    const { level = 0, heard = 0 } = levelOf(element.dataset);
    const part = level > 0 ? Math.max(0, 1 - 20 * Math.log10(level) / FLOOR_DB) : 0;
    element.classList.toggle("speaking", level > LOUD);
    // How many audible samples have left for the speakers: what the tests of the page look at.
    element.dataset.heard = String(heard);
    const gauge = element.querySelector(".level");
    if (!gauge) continue;
    gauge.setAttribute("aria-valuenow", String(Math.round(part * 100)));
    gauge.firstElementChild.style.setProperty("--part", part.toFixed(3));
  }
}
