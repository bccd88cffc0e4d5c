// Cuts what a microphone or a file plays into pieces of 20 ms, mixed down to one channel, for the encoder.

const FRAMES = 960;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Float32Array(FRAMES);
    this.filled = 0;
  }

  process([input]) {
    if (input.length === 0) return true; // nothing is connected
    for (let i = 0; i < input[0].length; i++) {
      let sum = 0;
      for (const channel of input) sum += channel[i];
      this.piece[this.filled++] = sum / input.length;
      if (this.filled === FRAMES) {
        this.port.postMessage(this.piece, [this.piece.buffer]);
        this.piece = new Float32Array(FRAMES);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);
