// The page's sound: one audio context, and Opus to samples and back with WebCodecs.
//
// The server passes Opus packets on as they are; decoding happens here, for each speaker apart. A listener
// is `{ packet, close }`, a speaker `{ close }`.

const RATE = 48_000; // Hz; what Opus on this platform uses
const DTX_BYTES = 2; // packets of at most this size carry no sound
const MICROSECONDS = 1e6 / RATE;
// Application "audio" and discontinuous transmission: what people's clients on the platform send.
const ENCODER = { codec: "opus", sampleRate: RATE, numberOfChannels: 1, bitrate: 64_000, opus: { frameDuration: 20_000, usedtx: true } };

/** Why this browser cannot carry sound here, or "". */
export function soundProblem() {
  if (!window.isSecureContext) return "Sound needs a secure address: open the page as http://localhost or http://127.0.0.1.";
  if (!window.AudioDecoder || !window.AudioEncoder || !window.AudioWorkletNode) return "This browser has no WebCodecs, which decode and encode the sound here.";
  return "";
}

let starting = null;

// Made by the first use, which is a click: browsers let no page make sound before.
function context() {
  starting ??= (async () => {
    const made = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
    await Promise.all(["playback", "capture"].map((name) => made.audioWorklet.addModule(`/playground/${name}-worklet.js`)));
    return made;
  })().catch((error) => {
    starting = null;
    throw error;
  });
  return starting;
}

/** Gets sound ready; to be called by a click. */
export async function startSound() {
  const problem = soundProblem();
  if (problem) throw new Error(problem);
  const made = await context();
  if (made.state !== "running") await made.resume();
}

/** Plays one person's packets; `onLevel({ level, heard })` tells what left for the speakers. */
export async function listener(onLevel) {
  const audio = await context();
  const player = new AudioWorkletNode(audio, "playback", { numberOfInputs: 0, outputChannelCount: [2] });
  player.port.onmessage = ({ data }) => onLevel(data);
  player.connect(audio.destination);
  let decoder = null;
  let frames = 0;
  const play = (data) => {
    const channel = (planeIndex) => {
      const samples = new Float32Array(data.numberOfFrames);
      data.copyTo(samples, { planeIndex, format: "f32-planar" });
      return samples;
    };
    const left = channel(0);
    const right = data.numberOfChannels > 1 ? channel(1) : left.slice();
    data.close();
    player.port.postMessage([left, right], [left.buffer, right.buffer]);
  };
  const packet = (bytes) => {
    if (bytes.byteLength <= DTX_BYTES) return;
    if (decoder?.state !== "configured") {
      // After a packet that it could not read, a decoder is closed for good: the next one begins anew.
      decoder = new AudioDecoder({ output: play, error: () => {} });
      decoder.configure({ codec: "opus", sampleRate: RATE, numberOfChannels: 2 });
    }
    decoder.decode(new EncodedAudioChunk({ type: "key", timestamp: Math.round(frames * MICROSECONDS), data: bytes }));
    frames += 960; // the decoder wants time to grow; how much does not matter to it
  };
  const close = () => {
    if (decoder?.state === "configured") decoder.close();
    player.disconnect();
  };
  return { packet, close };
}

/** Encodes what `connect(audio, node)` plays into the node; `onPacket` gets the packets, `onLevel` the level. */
export async function speaker({ connect, onPacket, onLevel }) {
  const audio = await context();
  const encoder = new AudioEncoder({
    output: (chunk) => {
      const bytes = new Uint8Array(chunk.byteLength);
      chunk.copyTo(bytes);
      onPacket(bytes);
    },
    error: () => {},
  });
  encoder.configure(ENCODER);
  const node = new AudioWorkletNode(audio, "capture", { channelCount: 2, outputChannelCount: [1] });
  node.connect(audio.destination); // silent; a node that leads nowhere need not run
  let frames = 0;
  node.port.onmessage = ({ data }) => {
    if (encoder.state !== "configured") return;
    onLevel(Math.sqrt(data.reduce((sum, sample) => sum + sample * sample, 0) / data.length));
    encoder.encode(new AudioData({ format: "f32", sampleRate: RATE, numberOfFrames: data.length, numberOfChannels: 1, timestamp: Math.round(frames * MICROSECONDS), data }));
    frames += data.length;
  };
  const disconnect = await connect(audio, node);
  const close = () => {
    node.port.onmessage = null;
    disconnect();
    node.disconnect();
    if (encoder.state === "configured") encoder.close();
    onLevel(0);
  };
  return { close };
}

/** The microphone as a source for `speaker`. */
export function microphone() {
  return async (audio, node) => {
    if (!navigator.mediaDevices) throw new Error("This page may not use a microphone.");
    const media = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    const source = audio.createMediaStreamSource(media);
    source.connect(node);
    return () => {
      source.disconnect();
      for (const track of media.getTracks()) track.stop();
    };
  };
}

/** A sound file as a source for `speaker`; `onEnd` runs when it has been played. */
export function soundFile(file, onEnd) {
  return async (audio, node) => {
    const bytes = await file.arrayBuffer();
    let buffer;
    try {
      buffer = await audio.decodeAudioData(bytes);
    } catch {
      throw new Error(`${file.name} is no sound that this browser can read.`);
    }
    const source = new AudioBufferSourceNode(audio, { buffer });
    source.connect(node);
    source.onended = onEnd;
    source.start();
    return () => {
      source.onended = null;
      source.stop();
      source.disconnect();
    };
  };
}
