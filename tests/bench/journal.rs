//! The journal: what it costs to keep every event and call on disk.
//!
//! `cargo bench --bench journal` prints: CPU time for an event with a call at 20,000 events/s, the time
//! that durability adds before a script has its event, how long a start with 100,000 unfinished events
//! takes, and how large the database becomes under an hour of 1,000 events/s (its 3.6 million events at
//! full speed). `cargo bench --bench journal -- cost latency` runs some of it. Linux only: CPU times come
//! from /proc.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use argon_host::inbox::{self, Event, Inbox, Place, Settings, Subscription, Sync};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

const RATE: u64 = 20_000;
const UNFINISHED: u64 = 100_000;
const HOUR: u64 = 3_600_000;
/// One handler in so many takes as long as [`LONG`] events; the others end at once.
const SLOW: u64 = 1000;
const LONG: u64 = 60_000;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let parts: [(&str, fn()); 5] = [
        ("bare", bare),
        ("cost", cost),
        ("latency", latency),
        ("recovery", recovery),
        ("size", size),
    ];
    for (name, part) in parts {
        // Cargo adds an option of its own.
        if !wanted.iter().any(|word| !word.starts_with('-')) || wanted.iter().any(|w| w == name) {
            part();
        }
    }
}

/// What SQLite alone costs on this machine for what the journal must at least do in the plainest layout:
/// a row for the event, a row for its call, and both deleted again, so many events in a transaction.
fn bare() {
    for sync in ["NORMAL", "FULL"] {
        for batch in [200, 20, 1] {
            let home = Home::new();
            let database = rusqlite::Connection::open(home.path()).expect("a database");
            let begin = format!(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = {sync};
                 CREATE TABLE event (id INTEGER PRIMARY KEY, payload TEXT NOT NULL);
                 CREATE TABLE call (event INTEGER NOT NULL, position TEXT NOT NULL, answer TEXT NOT NULL,
                                    PRIMARY KEY (event, position)) WITHOUT ROWID;"
            );
            database.execute_batch(&begin).expect("tables");
            let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
                let mut statement = database.prepare_cached(sql).expect("a statement");
                statement.execute(values).expect("it is done");
            };
            let payload = payload();
            let answer = "{\"ok\":{\"messageId\":\"9007199254740993\"}}";
            let position = "on:messageCreate#0:0";
            let count = if batch == 1 { 10_000 } else { 100_000_u64 };
            let before = cpu("self");
            for first in (0..count).step_by(batch) {
                run("BEGIN IMMEDIATE", &[]);
                for id in first..first + batch as u64 {
                    run("INSERT INTO event VALUES (?1, ?2)", &[&id, &payload]);
                    run(
                        "INSERT INTO call VALUES (?1, ?2, ?3)",
                        &[&id, &position, &answer],
                    );
                    if let Some(id) = id.checked_sub(batch as u64) {
                        run("DELETE FROM call WHERE event = ?1", &[&id]);
                        run("DELETE FROM event WHERE id = ?1", &[&id]);
                    }
                }
                run("COMMIT", &[]);
            }
            println!(
                "bare SQLite, {sync}, two inserts and two deletes, {batch} events in a transaction: {:.1} µs \
                 CPU for an event",
                (cpu("self") - before).as_secs_f64() * 1e6 / count as f64,
            );
        }
    }
}

/// CPU time for an event and a call: an event is appended, committed and handed out; its call's intent
/// is committed, its answer written down, the event finished.
fn cost() {
    for sync in [Sync::Normal, Sync::Full] {
        let home = Home::new();
        let inbox = home.open(sync);
        let seconds = 8;
        let count = RATE * seconds;
        let taker = Taker::start(&inbox, count, 0);
        paced(&inbox, 0..RATE, RATE);
        // The first second warms up.
        taker.reached(RATE);
        let (journal, log) = (cpu_of("argon-journal"), cpu_of("argon-log"));
        let (process, began) = (cpu("self"), Instant::now());
        paced(&inbox, RATE..count, RATE);
        taker.finished();
        let took = began.elapsed();
        let events = (count - RATE) as f64;
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / events;
        println!(
            "cost, {sync:?}: {:.2} µs CPU of the journal's thread for an event with a call, {:.2} µs of \
             the one that works its log in, {:.2} µs of the whole process, generator and taker \
             included; {:.0} events/s",
            micros(cpu_of("argon-journal") - journal),
            micros(cpu_of("argon-log") - log),
            micros(cpu("self") - process),
            events / took.as_secs_f64(),
        );
        close(inbox);
    }
}

/// From the append of an event to its taker having it.
fn latency() {
    for sync in [Sync::Normal, Sync::Full] {
        for rate in [100, 1000, 20_000] {
            let home = Home::new();
            let inbox = home.open(sync);
            let count = rate * 5;
            let taker = Taker::start(&inbox, count, 0);
            paced(&inbox, 0..count, rate);
            let mut times = taker.finished();
            times.sort_unstable();
            let at = |part: usize| times[times.len() * part / 1000].as_secs_f64() * 1e3;
            println!(
                "latency, {sync:?}, {rate} events/s: {:.3} ms median, {:.3} ms p99, {:.3} ms p99.9",
                at(500),
                at(990),
                at(999),
            );
            close(inbox);
        }
    }
}

/// From the opening of a database with unfinished events to the first in a script's hands.
fn recovery() {
    let home = Home::new();
    let inbox = home.open(Sync::Normal);
    let subscription = subscribe(&inbox);
    full_speed(&inbox, 0..UNFINISHED);
    // Handed out and never finished.
    while subscription.take().is_none() {
        thread::yield_now();
    }
    drop(subscription);
    close(inbox);
    let began = Instant::now();
    let inbox = home.open(Sync::Normal);
    let opened = began.elapsed();
    let subscription = subscribe(&inbox);
    let first = next(&subscription);
    let took = began.elapsed();
    assert!(first.is_replayed() && first.id.ends_with("_0"));
    println!(
        "recovery of {UNFINISHED} unfinished events, {:.0} MiB: {:.0} ms before the first is handed out \
         ({:.0} ms of it opening)",
        home.bytes() as f64 / 1048576.0,
        took.as_secs_f64() * 1e3,
        opened.as_secs_f64() * 1e3,
    );
    drop(first);
    close(inbox);
}

/// The events of an hour at 1,000 events/s, at full speed.
fn size() {
    let home = Home::new();
    let inbox = home.open(Sync::Normal);
    let taker = Taker::start(&inbox, HOUR, LONG);
    let began = Instant::now();
    let mut most = 0;
    for part in 0..HOUR / 10_000 {
        // Within the backlog: beyond it the oldest would be dropped, and never be finished.
        taker.reached(part * 10_000);
        full_speed(&inbox, part * 10_000..(part + 1) * 10_000);
        most = most.max(home.bytes());
    }
    taker.finished();
    println!(
        "size under {HOUR} events with a call each, one handler in {SLOW} taking {LONG} events: at most \
         {:.1} MiB with its log; {:.1} MiB at the end; {:.0} s",
        most as f64 / 1048576.0,
        home.bytes() as f64 / 1048576.0,
        began.elapsed().as_secs_f64(),
    );
    close(inbox);
    println!("… and {:.1} MiB closed", home.bytes() as f64 / 1048576.0);
}

/// A folder with one bot's database.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        // Beside the binary: /tmp may be memory.
        let beside = std::env::current_exe().expect("a path");
        let beside = beside.parent().expect("a folder");
        Self(tempfile::tempdir_in(beside).expect("a folder"))
    }

    fn path(&self) -> PathBuf {
        inbox::path_in(self.0.path(), "bench")
    }

    fn open(&self, sync: Sync) -> Arc<Inbox> {
        let settings = Settings {
            backlog: 1 << 30,
            sync,
            ..Settings::default()
        };
        let opened = inbox::open(&self.path()).expect("it opens");
        opened.start("bench", false, settings).expect("it starts").0
    }

    fn bytes(&self) -> u64 {
        let files = fs::read_dir(self.0.path()).expect("the folder");
        let bytes = |entry: std::io::Result<fs::DirEntry>| {
            entry
                .and_then(|entry| entry.metadata())
                .map_or(0, |data| data.len())
        };
        files.map(bytes).sum()
    }
}

fn close(inbox: Arc<Inbox>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(inbox.close());
}

fn subscribe(inbox: &Inbox) -> Subscription {
    let subscription = inbox.subscribe("bench", thread::current());
    subscription.want(["messageCreate"]);
    subscription
}

fn next(subscription: &Subscription) -> inbox::Delivery {
    loop {
        match subscription.take() {
            Some(delivery) => return delivery,
            None => thread::park(),
        }
    }
}

/// Appends events, as many in a second as `rate` says, in steps of a millisecond or one by one.
fn paced(inbox: &Inbox, events: std::ops::Range<u64>, rate: u64) {
    let began = Instant::now();
    let step = (rate / 1000).max(1);
    for (number, at) in (0u64..).zip(events.clone().step_by(step as usize)) {
        let due = began + Duration::from_secs_f64((number * step) as f64 / rate as f64);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        full_speed(inbox, at..(at + step).min(events.end));
    }
}

/// Appends events as they come from one read of a socket.
fn full_speed(inbox: &Inbox, events: std::ops::Range<u64>) {
    for id in events {
        let event = Event {
            id: format!("space_{id}"),
            kind: "messageCreate".into(),
            payload: payload(),
            received: Instant::now(),
        };
        let place = Place::Sequence {
            scope: inbox::Scope::Direct,
            sequence: id,
            anew: id == 0,
        };
        wait_for(inbox.push(event, place));
    }
    inbox.wake();
}

/// A payload of the size of a messageCreate.
fn payload() -> String {
    const TEXT: &str = "what people write to each other in a channel, ";
    format!(
        r#"{{"spaceId":"5e9a1f0c-2d3b-4a59-6877-8695a4b3c2d1","message":{{"text":"{}"}}}}"#,
        TEXT.repeat(33)
    )
}

/// A script's thread as the journal sees it: takes events, makes a call in each, finishes them.
struct Taker {
    thread: thread::JoinHandle<Vec<Duration>>,
    taken: Arc<AtomicU64>,
}

impl Taker {
    /// One for so many events. With `long`, one event in [`SLOW`] is finished only so many events later.
    fn start(inbox: &Arc<Inbox>, count: u64, long: u64) -> Self {
        let taken = Arc::new(AtomicU64::new(0));
        let (told, inbox, ready) = (Arc::clone(&taken), Arc::clone(inbox), thread::current());
        let thread = thread::spawn(move || {
            let subscription = subscribe(&inbox);
            told.store(1, Ordering::Release);
            ready.unpark();
            take(&subscription, count, long, &told)
        });
        while taken.load(Ordering::Acquire) == 0 {
            thread::park();
        }
        Self { thread, taken }
    }

    fn reached(&self, count: u64) {
        while self.taken.load(Ordering::Acquire) < count {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// How long each event took to come.
    fn finished(self) -> Vec<Duration> {
        self.thread.join().expect("it ends")
    }
}

fn take(subscription: &Subscription, count: u64, long: u64, told: &AtomicU64) -> Vec<Duration> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut calls = FuturesUnordered::new();
    let mut held = std::collections::VecDeque::new();
    let mut times = Vec::new();
    let mut taken = 0;
    let mut finished = 0;
    while finished < count {
        let mut idle = true;
        while let Some(delivery) = subscription.take() {
            idle = false;
            taken += 1;
            told.store(taken, Ordering::Release);
            if long == 0 {
                times.push(delivery.received.elapsed());
            }
            let call = delivery.ledger().intend("on:messageCreate#0:0", taken);
            calls.push(async move {
                call.await.expect("it is written down");
                delivery
            });
        }
        while let Poll::Ready(Some(delivery)) =
            calls.poll_next_unpin(&mut Context::from_waker(&waker))
        {
            idle = false;
            let answer = Bytes::from_static(b"{\"ok\":{\"messageId\":\"9007199254740993\"}}");
            delivery
                .ledger()
                .answered("on:messageCreate#0:0", 1, answer);
            held.push_back((finished, delivery));
            finished += 1;
            if long == 0 || finished % SLOW != 0 {
                let (_, delivery) = held.pop_back().expect("it was put there");
                delivery.done();
            }
            while held
                .front()
                .is_some_and(|(since, _)| since + long < finished)
            {
                let (_, delivery) = held.pop_front().expect("it is there");
                delivery.done();
            }
        }
        if idle {
            thread::park();
        }
    }
    for (_, delivery) in held {
        delivery.done();
    }
    times
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait_for<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Time that the threads of a process, or one of them, had a CPU.
fn cpu(task: &str) -> Duration {
    let tasks = Path::new("/proc").join(task).join("task");
    let tasks = fs::read_dir(tasks).expect("/proc");
    tasks
        .map(|task| time_of(&task.expect("a task").path()))
        .sum()
}

/// The same of the threads of that name.
fn cpu_of(thread: &str) -> Duration {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc");
    let is_meant = |path: &PathBuf| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == thread)
    };
    (tasks.map(|task| task.expect("a task").path()))
        .filter(is_meant)
        .map(|path| time_of(&path))
        .sum()
}

/// The first number of schedstat: nanoseconds on a CPU.
fn time_of(task: &Path) -> Duration {
    let stat = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    let nanoseconds = stat.split_whitespace().next().map(str::parse);
    Duration::from_nanos(nanoseconds.and_then(Result::ok).unwrap_or_default())
}
