// Plays what one person says: decoded samples come in by the port, a small jitter buffer evens out how they
// arrive, and what really leaves for the speakers is measured.
//
// It begins when LEAD samples wait (or nothing has come for a while, for short sounds), goes silent when it
// runs dry and then waits for LEAD again. When more than MOST wait (the tab slept, two clocks drift), the
// oldest are left out, so that one never hears the past.

const LEAD = 48 * 60;
const MOST = 48 * 400;
const MEASURE = 48 * 50; // frames between two reports
const AUDIBLE = 1e-3; // -60 dBFS

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.chunks = []; // [left, right]
    this.at = 0; // in the first chunk
    this.waiting = 0; // frames in all chunks
    this.playing = false;
    this.idle = 0; // frames since the last chunk came
    this.heard = 0; // audible frames so far
    this.power = 0;
    this.measured = 0;
    this.wasSilent = true;
    this.port.onmessage = ({ data }) => {
      this.chunks.push(data);
      this.waiting += data[0].length;
      this.idle = 0;
      while (this.waiting > MOST) this.drop();
    };
  }

  drop() {
    this.waiting -= this.chunks.shift()[0].length - this.at;
    this.at = 0;
  }

  process(_inputs, [[left, right]]) {
    this.idle += left.length;
    if (!this.playing && this.waiting > 0) this.playing = this.waiting >= LEAD || this.idle > LEAD;
    for (let i = 0; this.playing && i < left.length; i++) {
      if (this.chunks.length === 0) {
        this.playing = false;
        break;
      }
      const [l, r] = this.chunks[0];
      left[i] = l[this.at];
      right[i] = r[this.at];
      this.measure(left[i], right[i]);
      this.waiting--;
      if (++this.at === l.length) {
        this.chunks.shift();
        this.at = 0;
      }
    }
    this.measured += left.length;
    if (this.measured >= MEASURE) this.report();
    return true;
  }

  measure(left, right) {
    this.power += (left * left + right * right) / 2;
    if (Math.abs(left) > AUDIBLE || Math.abs(right) > AUDIBLE) this.heard++;
  }

  report() {
    const level = Math.sqrt(this.power / this.measured);
    const silent = level === 0;
    if (!(silent && this.wasSilent)) this.port.postMessage({ level, heard: this.heard });
    this.wasSilent = silent;
    this.power = 0;
    this.measured = 0;
  }
}

registerProcessor("playback", Playback);
