//! Voice: the real binary, its scripts, and what the embedded server hears.
//!
//! `data/` has files made by `opusenc` (of `opus-tools`) and `ffmpeg` from synthesised tones:
//! half a second of 440 Hz (left) and 660 Hz (right) with each frame length, mono ones, a chain of two,
//! and a second of 1 kHz with a peak of −9 dBFS in every format.

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod files;
mod hearing;
mod hostile;
mod lost;
mod passing;
mod pushing;
mod queued;
mod renewal;
mod rooms;
mod samples;
mod sound;
mod stage;
