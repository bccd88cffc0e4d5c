//! What one connection plays, as packets made ahead for the pacer.
//!
//! [`Program::fill`] keeps [`AHEAD`] of packets ready: the only packet of a track that plays alone goes
//! through untouched, everything else is mixed and encoded. When nothing plays, [`TAIL`] frames of
//! silence end the audio (so that listeners' decoders come to rest), and the lane rests.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use bytes::Bytes;
use rtrb::Producer;

use super::encoder::{Encoder, Settings};
use super::mixer::{Command, Event, Events, Mixer, Starving};
use super::pacer::Frame;
use super::packet::{self, RATE};
use super::stats::Counters;

/// What is ready for the pacer, samples: 60 ms. A command is heard after that time.
const AHEAD: u64 = RATE as u64 * 60 / 1000;
/// Frames of silence behind the last sound.
const TAIL: u8 = 5;
/// Slots of the ring to the pacer: more than [`AHEAD`] of the shortest packets.
pub const FRAMES: usize = 64;
/// Slots of the ring with events. A step waits until it has room for what it may tell.
pub const EVENTS: usize = 256;

/// What [`Program::fill`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// The pacer, or a command.
    Nothing,
    /// A file that is being read: look again soon.
    Data,
}

/// The ends of a program's channels.
pub struct Ends {
    /// From the connection's handle.
    pub commands: Receiver<Command>,
    /// To the connection's session, which `wake` wakes.
    pub events: Producer<Event>,
    /// To the pacer.
    pub frames: Producer<Frame>,
    /// Wakes the session. Must not block.
    pub wake: Box<dyn Fn() + Send>,
    /// What is counted.
    pub counters: Arc<Counters>,
}

/// The maker of one connection's packets.
pub struct Program {
    /// Identity.
    pub id: u64,
    mixer: Mixer,
    /// Made when it is needed first: most of what a connection holds.
    encoder: Option<Encoder>,
    settings: Settings,
    ends: Ends,
    /// What the mixer tells, until it is heard.
    events: Events,
    mix: Box<[f32]>,
    /// Frames of silence that were sent behind the last sound; beyond [`TAIL`] it rests.
    silent: u8,
    /// Something was sent since the last rest.
    running: bool,
    /// The encoder still has the last milliseconds of sound: it looks ahead.
    held: bool,
    /// Frames that the pacer had missed when it was asked last.
    missed: u64,
}

impl Program {
    /// A program that rests.
    ///
    /// # Errors
    /// When libopus does not take the settings.
    pub fn new(id: u64, settings: Settings, ends: Ends) -> Result<Self, opus::Error> {
        let channels = settings.channels();
        // Whether libopus takes them is known at once.
        Encoder::new(&settings)?;
        ends.counters.complexity.set(u64::from(settings.complexity));
        Ok(Self {
            id,
            mixer: Mixer::new(channels, settings.frame as usize),
            encoder: None,
            mix: vec![0.0; settings.frame as usize * channels].into(),
            settings,
            ends,
            events: Events::with_capacity(EVENTS),
            silent: TAIL + 1,
            running: false,
            held: false,
            missed: 0,
        })
    }

    /// Makes packets until enough are ready. `begun` is called when the lane has something to send after
    /// a rest.
    pub fn fill(&mut self, cap: u8, begun: &mut dyn FnMut()) -> Wants {
        let wants = self.make(cap, begun);
        self.tell();
        wants
    }

    /// Tells what has been heard by now.
    fn tell(&mut self) {
        let mut told = false;
        while !self.ends.events.is_full()
            && let Some(event) = self.events.heard(self.ends.counters.paced.get())
        {
            // It is not full.
            let _ = self.ends.events.push(event);
            told = true;
        }
        if told {
            (self.ends.wake)();
        }
    }

    fn make(&mut self, cap: u8, begun: &mut dyn FnMut()) -> Wants {
        while self.events.may_step() {
            self.events.now = self.ends.counters.made.get();
            while self.events.may_step()
                && let Ok(command) = self.ends.commands.try_recv()
            {
                self.mixer.command(command, &mut self.events);
            }
            if !self.events.may_step() {
                break;
            }
            // First, because it is the usual case.
            if self.ahead() >= AHEAD || self.ends.frames.is_full() {
                return Wants::Nothing;
            }
            self.mixer.settle(&mut self.events);
            if self.mixer.is_idle() {
                if self.silent > TAIL {
                    return Wants::Nothing;
                }
                if std::mem::take(&mut self.held) {
                    let frame = self.encode(cap);
                    self.push(frame, begun);
                    continue;
                }
                self.silent += 1;
                let over = self.silent > TAIL;
                self.running = !over;
                self.push(if over { Frame::Rest } else { Frame::Silence }, begun);
                continue;
            }
            let frame = match self.mixer.packet() {
                Some(Ok(packet))
                    if packet::parse(&packet.data).is_ok_and(packet::Layout::is_dtx) =>
                {
                    Frame::Packet(Bytes::new(), packet.samples)
                }
                Some(Ok(packet)) => Frame::Packet(packet.data, packet.samples),
                Some(Err(Starving)) => return Wants::Data,
                None => {
                    let frame = self.settings.frame;
                    let wanted = frame as usize;
                    // Rather a gap in one track than silence for all.
                    let short = self.running && self.ahead() < u64::from(frame);
                    let ready = self.mixer.is_ready(wanted)
                        || (short && self.mixer.is_partly_ready(wanted));
                    if ready {
                        self.held = true;
                        self.encode(cap)
                    } else if !self.running && self.mixer.has_pushed() {
                        // Less than a frame: if the script pushes more meanwhile, there is no gap.
                        Frame::Silence
                    } else {
                        return Wants::Data;
                    }
                }
            };
            self.silent = 0;
            self.push(frame, begun);
        }
        // The events have not been heard, or not taken: they will, and then there is room.
        Wants::Data
    }

    /// Samples that are ready and not sent.
    fn ahead(&self) -> u64 {
        let counters = &self.ends.counters;
        counters.made.get().saturating_sub(counters.paced.get())
    }

    fn push(&mut self, frame: Frame, begun: &mut dyn FnMut()) {
        let samples = match &frame {
            Frame::Packet(_, samples) => *samples,
            Frame::Silence => packet::SILENCE_SAMPLES,
            Frame::Rest => 0,
        };
        self.ends.counters.made.add(u64::from(samples));
        // It is not full: `make` looked.
        let _ = self.ends.frames.push(frame);
        if samples > 0 && !std::mem::replace(&mut self.running, true) {
            begun();
        }
    }

    fn encode(&mut self, cap: u8) -> Frame {
        let began = Instant::now();
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            // Fails only without memory: it took the settings before.
            none => match Encoder::new(&self.settings) {
                Ok(made) => none.insert(made),
                Err(_) => return Frame::Silence,
            },
        };
        let complexity = self.settings.complexity.min(cap);
        encoder.set_complexity(complexity);
        self.ends.counters.complexity.set(u64::from(complexity));
        self.events.now += u64::from(self.settings.frame);
        self.mixer.mix(&mut self.mix, &mut self.events);
        let frame = match encoder.encode(&self.mix) {
            // DTX: nothing is sent.
            Ok(packet) if packet.len() <= 2 => Frame::Packet(Bytes::new(), self.settings.frame),
            Ok(packet) => Frame::Packet(Bytes::copy_from_slice(packet), self.settings.frame),
            Err(_) => Frame::Silence,
        };
        self.ends.counters.note_encoding(began.elapsed());
        frame
    }

    /// Whether the pacer has missed a frame since this was asked last.
    pub fn has_missed(&mut self) -> bool {
        let missed = self.ends.counters.missed.get();
        std::mem::replace(&mut self.missed, missed) != missed
    }
}
