// A line into one room as one person: hears everybody else there and speaks into it. A room is a voice
// channel or a call. The server closes the line when the person is in the room no more.

import { listener, microphone, soundFile, speaker, startSound } from "./audio.js";

const ID_BYTES = 16;
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Who sent a message of the server: its first bytes as a user id. */
function senderOf(bytes) {
  const digits = [...bytes.subarray(0, ID_BYTES)].map((byte) => HEX[byte]).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** One person's line. `onChange` runs when something that is shown has changed, `onEnd` when it has ended. */
export class Line {
  /** `room` is `{ channelId }` or `{ callId }`. Reads well: `await new Line(…).open()`. */
  constructor({ userId, room, onChange, onEnd }) {
    Object.assign(this, { userId, room, onChange, onEnd });
    /** userId -> { level, heard }: what is heard of others and said by oneself, 0 to 1 */
    this.levels = new Map();
    /** null, "microphone" or a file's name */
    this.speaking = null;
    this.deaf = false;
    this.ended = false;
    this.listeners = new Map(); // userId -> promise of a listener
    this.speaker = null;
  }

  /** Opens it; fails when the person is not in the room, or there can be no sound. */
  async open() {
    await startSound();
    const query = new URLSearchParams({ userId: this.userId, ...this.room, leave: "true" });
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/_sim/sound?${query}`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = () => reject(new Error("There is no line to this room."));
    });
    socket.onmessage = ({ data }) => typeof data !== "string" && void this.hear(new Uint8Array(data));
    socket.onclose = () => this.close();
    if (socket.readyState !== WebSocket.OPEN) this.close();
    return this;
  }

  async hear(message) {
    const userId = senderOf(message);
    if (this.deaf) return;
    if (!this.listeners.has(userId)) this.listeners.set(userId, listener((report) => this.measured(userId, report)));
    (await this.listeners.get(userId)).packet(message.subarray(ID_BYTES));
  }

  measured(userId, report) {
    this.levels.set(userId, report);
    this.onChange("levels");
  }

  /** Stops or goes on hearing. */
  setDeaf(deaf) {
    this.deaf = deaf;
    this.levels.forEach((report) => (report.level = 0));
    this.onChange();
  }

  /** Speaks with the microphone. */
  speakLive = () => this.speak("microphone", microphone());

  /** Speaks a sound file to its end. */
  speakFile = (file) => this.speak(file.name, soundFile(file, () => this.silence()));

  async speak(name, connect) {
    this.silence();
    this.speaking = name;
    this.onChange();
    const onLevel = (level) => this.measured(this.userId, { level, heard: 0 });
    const onPacket = (bytes) => this.socket.readyState === WebSocket.OPEN && this.socket.send(bytes);
    try {
      const begun = await speaker({ connect, onPacket, onLevel });
      if (this.speaking === name && !this.ended) this.speaker = begun;
      else begun.close(); // it was stopped while it began
    } catch (error) {
      if (this.speaking === name) this.silence();
      throw error;
    }
  }

  /** Says nothing any more. */
  silence() {
    this.speaker?.close();
    this.speaker = null;
    this.speaking = null;
    this.onChange();
  }

  /** Ends the line. */
  close() {
    if (this.ended) return;
    this.ended = true;
    this.silence();
    this.socket.onclose = null;
    this.socket.close();
    for (const each of this.listeners.values()) each.then(({ close }) => close(), () => {});
    this.levels.clear();
    this.onEnd();
  }
}
