//! How punctual the pacer is, and what mixing and encoding cost:
//! `cargo bench --bench voice -- pass 500 60` (connections, seconds) sends an Ogg Opus file (stereo, packets of 20 ms) untouched,
//! `-- mix 100 60` decodes, mixes and encodes it in stereo at complexity 5, both without sockets; under
//! `taskset -c 1` all of it shares one core. `-- opus 10` is libopus alone with the same sound: how many such
//! streams one thread encodes. `-- floor 60` is how late a bare thread wakes that has the pacer's priority and
//! a deadline every 20 ms: no pacer is more punctual than that.
//! `-- sockets idle 200 5` (or `pass`, `mix`) opens whole connections to an embedded server in another
//! process, and prints their CPU time and memory. With `beside` as a further word after `pass` or `mix`, two
//! scripts compute for ever in the same process. Linux only: the memory comes from /proc.

mod bare;
mod beside;
mod sockets;
mod sound;

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use argon_host::limits::voice::COMMANDS;
use argon_host::voice::encoder::Settings;
use argon_host::voice::engine::{Engine, Seat};
use argon_host::voice::mixer::{Command, Options, Track, View};
use argon_host::voice::pacer::{Lane, Outlet};
use argon_host::voice::program::{EVENTS, Ends, FRAMES, Program};
use argon_host::voice::source::feed::{self, Plan};
use argon_host::voice::stats::Counters;
use beside::Spinners;
use bytes::Bytes;
use rtrb::RingBuffer;
use sockets::Work;
use sound::Sound;

/// Notes how late each packet is, microseconds.
struct Watch(Arc<Mutex<Vec<u32>>>);

impl Outlet for Watch {
    fn send(&mut self, _: Bytes, due: Instant) -> bool {
        let late = due.elapsed();
        // Only this thread writes while the benchmark runs.
        if let Ok(mut late_by) = self.0.try_lock() {
            late_by.push(late.as_micros().min(u128::from(u32::MAX)) as u32);
        }
        true
    }

    fn is_open(&self) -> bool {
        true
    }
}

struct Connection {
    _seat: Seat,
    commands: SyncSender<Command>,
    counters: Arc<Counters>,
    late: Arc<Mutex<Vec<u32>>>,
}

fn connect(engine: &Engine, id: u64, settings: Settings, seconds: usize) -> Connection {
    let (commands, from_handle) = sync_channel(COMMANDS);
    let (to_session, _) = RingBuffer::new(EVENTS);
    let (to_pacer, frames) = RingBuffer::new(FRAMES);
    let counters = Arc::new(Counters::default());
    let late = Arc::new(Mutex::new(Vec::with_capacity(seconds * 60)));
    let ends = Ends {
        commands: from_handle,
        events: to_session,
        frames: to_pacer,
        wake: Box::new(|| {}),
        counters: Arc::clone(&counters),
    };
    let program = Program::new(id, settings, ends).expect("settings that libopus takes");
    let lane = |maker| Lane {
        id,
        frames,
        outlet: Box::new(Watch(Arc::clone(&late))),
        maker,
        counters: Arc::clone(&counters),
    };
    let seat = engine.seat(program, lane).expect("threads");
    Connection {
        _seat: seat,
        commands,
        counters,
        late,
    }
}

/// CPU time of this process so far, by the system.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Memory of this process that is in use, bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|text| text.parse::<u64>().ok())
        .expect("a size")
        << 10
}

/// How late things were, microseconds.
fn spread(mut late: Vec<u32>) -> String {
    late.sort_unstable();
    let at = |part: f64| {
        late.get(((late.len() as f64 - 1.0) * part) as usize)
            .copied()
            .unwrap_or(0)
    };
    format!(
        "{} times, late by {} µs (median), {} (p99), {} (p99.9), {} (most), {} of them over 20 ms",
        late.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        late.iter().filter(|late| **late > 20_000).count(),
    )
}

/// Prints what that CPU time is for each connection.
fn per_connection(used: Duration, wall: Duration, connections: usize) {
    let part = used.as_secs_f64() / wall.as_secs_f64();
    println!(
        "CPU: {:.1} % of a core, {:.0} µs for each connection and second",
        part * 100.0,
        part / connections as f64 * 1e6,
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let word = |at: usize| arguments.get(at).map_or("pass", String::as_str);
    let number = |at: usize, usual: usize| {
        arguments
            .get(at)
            .and_then(|word| word.parse().ok())
            .unwrap_or(usual)
    };
    match word(0) {
        "serve" => return sockets::serve(),
        "sockets" => {
            let work = match word(1) {
                "idle" => Work::Idle,
                "mix" => Work::Mix,
                _ => Work::Pass,
            };
            return sockets::run(work, number(2, 100), number(3, 10) as u64);
        }
        "opus" => return bare::opus(number(1, 10) as u64),
        "floor" => return bare::floor(number(1, 10) as u64),
        _ => {}
    }
    let mix = word(0) == "mix";
    let (connections, seconds) = (number(1, 1), number(2, 10));
    let sound = Sound::make();
    let settings = Settings {
        complexity: 5,
        ..Settings::new(true)
    };
    let engine = Engine::default();
    let all: Vec<Connection> = (0..connections)
        .map(|id| connect(&engine, id as u64, settings, seconds))
        .collect();
    for (id, connection) in all.iter().enumerate() {
        let (sender, opened) = sync_channel(1);
        let plan = Plan {
            path: sound.path(),
            channels: settings.channels(),
            start: 0,
            looped: true,
        };
        feed::open(plan, move |opened| drop(sender.send(opened))).expect("a thread");
        let opened = opened.recv().expect("an answer").expect("the file");
        let options = Options {
            volume: if mix { 0.5 } else { 1.0 },
            normal: 1.0,
            fade_in: 0,
            crossfade: 0,
            duck: None,
            start: 0,
        };
        let view = Arc::new(View::new(None));
        let track = Track::new(id as u64, view, Box::new(opened.feed), options);
        assert!(
            connection
                .commands
                .send(Command::Play(Box::new(track)))
                .is_ok()
        );
    }
    let _spinners = arguments
        .iter()
        .any(|word| word == "beside")
        .then(|| Spinners::start(2));
    let (begun, before) = (Instant::now(), cpu());
    std::thread::sleep(Duration::from_secs(seconds as u64));
    let (wall, used) = (begun.elapsed(), cpu() - before);
    let mut late: Vec<u32> = Vec::new();
    let (mut missed, mut encoded, mut time, mut least) = (0, 0, 0, 10);
    let mut longest = 0;
    for connection in &all {
        late.extend(
            connection
                .late
                .lock()
                .expect("the pacer does not panic")
                .iter(),
        );
        missed += connection.counters.missed.get();
        encoded += connection.counters.encoded.get();
        time += connection.counters.encode_time.get();
        longest = longest.max(connection.counters.encode_longest.get());
        least = least.min(connection.counters.complexity.get());
    }
    println!(
        "{connections} connections, {:.1} s: {}; {missed} missed",
        wall.as_secs_f64(),
        spread(late),
    );
    per_connection(used, wall, connections);
    if let Some(each) = time.checked_div(encoded) {
        let each = each / 1000;
        let longest = longest / 1000;
        println!(
            "{encoded} frames mixed and encoded in {each} µs each, {longest} at most; complexity {least} at the end"
        );
    }
}
