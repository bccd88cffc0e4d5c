//! The mixer stepped by hand, with feeds that the test writes.

use std::sync::Arc;

use super::track::{EDGE, Options, State, Track, View};
use super::{Command, Event, Events, Mixer};
use crate::allocator;
use crate::voice::packet::RATE;
use crate::voice::source::feed::Feed;
use crate::voice::source::feed::testing::{finished, live, written};

const FRAME: usize = 960;

struct Desk {
    mixer: Mixer,
    events: Events,
    out: Vec<f32>,
}

fn options() -> Options {
    Options {
        volume: 1.0,
        normal: 1.0,
        fade_in: 0,
        crossfade: 0,
        duck: None,
        start: 0,
    }
}

/// A sine of 0.5, one channel, as a whole file.
fn tone(hz: f32, samples: usize) -> Feed {
    finished(
        (0..samples).map(|at| 0.5 * (at as f32 * hz * std::f32::consts::TAU / RATE as f32).sin()),
    )
}

impl Desk {
    fn new() -> Self {
        Self {
            mixer: Mixer::new(1, FRAME),
            events: Events::with_capacity(256),
            out: Vec::new(),
        }
    }

    fn track(&self, id: u64, feed: Feed, length: usize, options: Options) -> Box<Track> {
        let view = Arc::new(View::new(Some(length as u64)));
        Box::new(Track::new(id, view, Box::new(feed), options))
    }

    fn command(&mut self, command: Command) {
        self.mixer.command(command, &mut self.events);
    }

    fn play(&mut self, id: u64, feed: Feed, length: usize, options: Options) {
        let track = self.track(id, feed, length, options);
        self.command(Command::Play(track));
    }

    fn queue(&mut self, id: u64, feed: Feed, length: usize, options: Options) {
        let track = self.track(id, feed, length, options);
        self.command(Command::Queue(track));
    }

    /// Mixes so many frames.
    fn mix(&mut self, frames: usize) -> &[f32] {
        let begin = self.out.len();
        for _ in 0..frames {
            let mut frame = [0.0; FRAME];
            self.mixer.settle(&mut self.events);
            self.mixer.mix(&mut frame, &mut self.events);
            self.out.extend(frame);
        }
        &self.out[begin..]
    }

    fn over(&mut self) -> Vec<(u64, State)> {
        let mut over = Vec::new();
        while let Some(event) = self.events.heard(0) {
            if let Event::Over(track, state) = event {
                assert_eq!(track.view.state(), state);
                over.push((track.id, state));
            }
        }
        over
    }

    /// The largest step between two samples beyond what the tones themselves do.
    fn largest_jump(&self) -> f32 {
        // Second differences: small for slow tones, large at a click.
        let bend = |three: &[f32]| (three[2] - 2.0 * three[1] + three[0]).abs();
        self.out.windows(3).map(bend).fold(0.0, f32::max)
    }
}

/// −60 dBFS.
const CLICK: f32 = 0.001;

#[test]
fn every_sample_of_a_track_is_heard_once_and_in_its_place() {
    let mut desk = Desk::new();
    let samples: Vec<f32> = (0..5_000).map(|at| (at % 100) as f32 / 200.0).collect();
    desk.play(1, finished(samples.iter().copied()), 5_000, options());
    desk.mix(7);
    assert_eq!(desk.out[..5_000], samples);
    assert!(desk.out[5_000..].iter().all(|sample| *sample == 0.0));
    assert_eq!(desk.over(), [(1, State::Finished)]);
    assert!(desk.mixer.is_idle());
}

#[test]
fn the_queue_goes_on_at_the_very_next_sample() {
    let mut desk = Desk::new();
    desk.queue(
        1,
        finished(std::iter::repeat_n(0.25, 1_500)),
        1_500,
        options(),
    );
    desk.queue(
        2,
        finished(std::iter::repeat_n(-0.25, 1_300)),
        1_300,
        options(),
    );
    desk.queue(3, finished(std::iter::repeat_n(0.5, 10)), 10, options());
    desk.mix(4);
    let expected = [vec![0.25; 1_500], vec![-0.25; 1_300], vec![0.5; 10]].concat();
    assert_eq!(desk.out[..expected.len()], expected);
    let over: Vec<u64> = desk.over().into_iter().map(|(id, _)| id).collect();
    assert_eq!(over, [1, 2, 3]);
}

#[test]
fn nothing_clicks() {
    let mut desk = Desk::new();
    desk.play(
        1,
        tone(100.0, 96_000),
        96_000,
        Options {
            fade_in: 480,
            ..options()
        },
    );
    desk.mix(5);
    desk.command(Command::Volume(1, 0.2, 0));
    desk.mix(5);
    desk.command(Command::Pause(1));
    desk.mix(3);
    desk.command(Command::Resume(1));
    desk.mix(5);
    // A jump to a place with another phase.
    desk.command(Command::Seek(
        1,
        Box::new(finished(
            (0..48_000).map(|at| 0.5 * (at as f32 * 0.013 + 2.0).cos()),
        )),
        0,
    ));
    desk.mix(5);
    desk.play(
        2,
        tone(150.0, 48_000),
        48_000,
        Options {
            duck: Some(0.1),
            start: 1,
            ..options()
        },
    );
    desk.mix(5);
    desk.command(Command::Duck(true));
    desk.mix(10);
    desk.command(Command::Duck(false));
    desk.mix(5);
    desk.command(Command::StopAll);
    desk.mix(3);
    assert!(desk.mixer.is_idle());
    let jump = desk.largest_jump();
    assert!(jump < CLICK, "{jump}");
}

#[test]
fn a_crossfade_overlaps_and_does_not_click() {
    let mut desk = Desk::new();
    desk.queue(1, tone(100.0, 24_000), 24_000, options());
    desk.queue(
        2,
        tone(130.0, 24_000),
        24_000,
        Options {
            crossfade: 9_600,
            ..options()
        },
    );
    desk.mix(50);
    let heard = desk
        .out
        .iter()
        .rposition(|sample| *sample != 0.0)
        .unwrap_or(0);
    let overlap = 48_000 - heard;
    assert!((9_600 - 2 * FRAME..=9_601).contains(&overlap), "{overlap}");
    assert_eq!(desk.over(), [(1, State::Finished), (2, State::Finished)]);
    // Where the last file itself ends is not the crossfade's matter.
    desk.out.truncate(heard - 1);
    let jump = desk.largest_jump();
    assert!(jump < CLICK, "{jump}");
}

#[test]
fn a_track_that_is_stopped_while_it_crossfades_is_stopped() {
    let mut desk = Desk::new();
    desk.queue(1, tone(100.0, 4_800), 4_800, options());
    let crossfade = Options {
        crossfade: 4_800,
        ..options()
    };
    desk.queue(2, tone(130.0, 24_000), 24_000, crossfade);
    desk.mix(1);
    desk.command(Command::Resume(1));
    desk.command(Command::Stop(1, 0));
    desk.mix(2);
    assert_eq!(desk.over(), [(1, State::Stopped)]);
}

#[test]
fn a_pause_loses_no_sample() {
    let mut desk = Desk::new();
    desk.play(1, tone(100.0, 20 * FRAME), 20 * FRAME, options());
    desk.mix(3);
    desk.command(Command::Pause(1));
    desk.mix(5);
    assert!(desk.mixer.is_idle());
    let at = 3 * FRAME + EDGE as usize;
    desk.command(Command::Resume(1));
    let resumed = desk.mix(1).to_vec();
    // After the fade it is where it would have been.
    let expected =
        0.5 * ((at + EDGE as usize) as f32 * 100.0 * std::f32::consts::TAU / RATE as f32).sin();
    assert!(
        (resumed[EDGE as usize] - expected).abs() < 1e-3,
        "{} {expected}",
        resumed[EDGE as usize]
    );
}

#[test]
fn a_track_that_runs_dry_fades_and_comes_back() {
    let mut desk = Desk::new();
    let (mut to, feed) = written(48_000);
    let mut write = |from: usize, count: usize| {
        for at in from..from + count {
            let _ = to.push(0.5 * (at as f32 * 100.0 * std::f32::consts::TAU / RATE as f32).sin());
        }
    };
    desk.play(1, feed, 48_000, options());
    write(0, 2_000);
    desk.mix(4);
    write(2_000, 4_000);
    desk.mix(4);
    let jump = desk.largest_jump();
    // The fade at a gap is short: 5 ms.
    assert!(jump < 10.0 * CLICK, "{jump}");
}

#[test]
fn a_track_of_the_queue_is_paused_and_made_softer_before_its_turn() {
    let mut desk = Desk::new();
    let two_frames = || finished(std::iter::repeat_n(0.25, 2 * FRAME));
    desk.queue(1, two_frames(), 2 * FRAME, options());
    let crossfade = Options {
        crossfade: 480,
        ..options()
    };
    desk.queue(2, two_frames(), 2 * FRAME, crossfade);
    let other = finished(std::iter::repeat_n(0.9, 2 * FRAME));
    desk.queue(3, other, 2 * FRAME, options());
    // Nothing of what it had is heard.
    let place = Box::new(two_frames());
    desk.command(Command::Seek(3, place, 0));
    desk.command(Command::Pause(2));
    desk.command(Command::Volume(2, 0.5, 0));
    desk.command(Command::Pause(3));
    desk.command(Command::Resume(3));
    desk.mix(4);
    assert!(desk.mixer.is_idle(), "it holds the queue");
    desk.command(Command::Resume(2));
    desk.mix(4);
    let expected = [
        [0.25; 2 * FRAME],
        [0.0; 2 * FRAME],
        [0.125; 2 * FRAME],
        [0.25; 2 * FRAME],
    ];
    assert!(desk.out == expected.concat());
    let over: Vec<u64> = desk.over().into_iter().map(|(id, _)| id).collect();
    assert_eq!(over, [1, 2]);
}

#[test]
fn what_a_script_pushed_ends_when_it_is_stopped_without_waiting_for_more() {
    let mut desk = Desk::new();
    let (mut to, feed) = live(48_000);
    desk.play(1, feed, 0, options());
    for _ in 0..FRAME + 40 {
        to.push(0.5).expect("room");
    }
    desk.mix(1);
    assert!(!desk.mixer.is_ready(FRAME));
    assert!(desk.mixer.is_partly_ready(FRAME), "the rest is heard");
    desk.command(Command::StopAll);
    let last = desk.mix(1);
    assert!(last[0] > 0.4 && last[40..].iter().all(|sample| *sample == 0.0));
    desk.mix(1);
    assert_eq!(desk.over(), [(1, State::Stopped)]);
}

#[test]
fn a_tick_neither_allocates_nor_frees() {
    let mut desk = Desk::new();
    for id in 0..8 {
        desk.play(
            id,
            tone(100.0 + id as f32, 10 * FRAME),
            10 * FRAME,
            Options {
                volume: 0.1,
                ..options()
            },
        );
    }
    desk.queue(10, tone(300.0, 3 * FRAME), 3 * FRAME, options());
    desk.queue(
        11,
        tone(300.0, 3 * FRAME),
        3 * FRAME,
        Options {
            crossfade: 500,
            ..options()
        },
    );
    let commands = [
        Command::Volume(1, 0.5, 0),
        Command::Pause(2),
        Command::Duck(true),
        Command::Stop(3, 0),
        Command::Seek(4, Box::new(tone(50.0, 4 * FRAME)), 0),
        Command::Skip,
    ];
    let mut commands = commands.into_iter();
    let mut frame = [0.0; FRAME];
    let ((), requests) = allocator::count(|| {
        for _ in 0..20 {
            if let Some(command) = commands.next() {
                desk.mixer.command(command, &mut desk.events);
            }
            desk.mixer.settle(&mut desk.events);
            std::hint::black_box(desk.mixer.packet());
            desk.mixer.mix(&mut frame, &mut desk.events);
        }
    });
    assert_eq!(requests, 0);
    // It did something: everything but what pauses is over.
    assert_eq!(desk.over().len(), 9);
}
