//! The VM under its limits: `cargo bench --bench vm [-- create | turns | natives | latency]`.
//!
//! * create: what a script costs in memory and CPU time, its thread included; and, to compare, a thread alone and
//!   a bare sandboxed VM, with Luau's libraries only, on a thread of its own
//! * turns: a turn of a loop in a plain VM and in ours
//! * natives: the worst that Luau's own natives do in one call within the default memory limit and the largest;
//!   what takes long here must be in `limits::NATIVES`
//! * latency: a script that answers at once, alone and beside two that compute for ever

use std::sync::{Arc, Barrier, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon_host::config::{MOST_MEMORY, Secret};
use argon_host::contract::Route;
use argon_host::inbox::{Event, Inbox, Place};
use argon_host::limits::NATIVES;
use argon_host::rest;
use argon_host::script::{Host, Identity, ScriptSettings, Settings};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

const PAYLOAD: &str = include_str!("data/message_create.json");

struct Deaf;

impl rest::Observer for Deaf {
    fn succeeded(&self, _: &'static Route, _: &bytes::Bytes) {}
    fn unauthorized(&self) {}
}

fn folder(scripts: &[(String, String)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, source) in scripts {
        std::fs::write(dir.path().join(format!("{name}.luau")), source).expect("a file");
    }
    dir
}

async fn host(
    scripts: &[(String, String)],
    settings: ScriptSettings,
) -> (tempfile::TempDir, Host, Arc<Inbox>) {
    let dir = folder(scripts);
    let (host, inbox) = host_of(&dir, settings).await;
    (dir, host, inbox)
}

async fn host_of(dir: &tempfile::TempDir, settings: ScriptSettings) -> (Host, Arc<Inbox>) {
    let client = rest::Client::new(rest::Settings {
        base_url: "http://127.0.0.1:9".into(),
        token: Secret::new("x"),
        segment: Duration::from_secs(10),
        observer: Arc::new(Deaf),
    })
    .expect("a client");
    let inbox = Inbox::new();
    let settings = Settings {
        default: settings,
        ..Settings::of_folder(dir.path())
    };
    let runtime = tokio::runtime::Handle::current();
    let host = Host::load(settings, client, Arc::clone(&inbox), runtime)
        .await
        .expect("a folder");
    host.open(Identity {
        user_id: "bot".into(),
        username: "bot".into(),
    });
    (host, inbox)
}

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let subscriber = tracing_subscriber::registry().with(Ear);
    tracing::subscriber::set_global_default(subscriber).expect("the only one");
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    for (label, source) in created() {
        if wanted.iter().any(|word| word == label) {
            return create_one(label, &source).await;
        }
    }
    for label in COMPARED {
        if wanted.iter().any(|word| word == label) {
            return create_compared(label);
        }
    }
    if wants("create") {
        create();
    }
    if wants("turns") {
        turns().await;
    }
    if wants("natives") {
        natives();
    }
    if wants("latency") {
        latency().await;
    }
}

fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or_default()
}

fn process_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What is created: a label, and the source.
fn created() -> [(&'static str, String); 2] {
    let lines = "local function handle(event)\n  if event.message.text == 'x' then\n    event:reply('y')\n  end\nend\n";
    let long = format!("{}argon.on('messageCreate', print)\n", lines.repeat(40));
    [("empty", String::new()), ("200-lines", long)]
}

/// Each kind in a process of its own, in which nothing is left of the others.
fn create() {
    let program = std::env::current_exe().expect("this program");
    let labels = created().map(|(label, _)| label);
    for label in COMPARED.iter().chain(&labels) {
        let status = std::process::Command::new(&program).arg(label).status();
        assert!(status.expect("a process").success());
    }
}

fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How many are created at once.
const SCRIPTS: usize = 200;
/// What scripts are compared with.
const COMPARED: [&str; 2] = ["thread", "bare"];

fn create_compared(label: &str) {
    let has_vm = label == "bare";
    let bare = move || {
        has_vm.then(|| {
            let lua = mlua::Lua::new();
            lua.sandbox(true).expect("a sandbox");
            lua
        })
    };
    let (ready, go) = (
        Arc::new(Barrier::new(SCRIPTS + 1)),
        Arc::new(Barrier::new(SCRIPTS + 1)),
    );
    drop(bare());
    let (memory, cpu) = (status("VmRSS:"), process_cpu());
    let threads: Vec<_> = (0..SCRIPTS)
        .map(|_| {
            let (ready, go) = (Arc::clone(&ready), Arc::clone(&go));
            let thread = std::thread::Builder::new().name("compared".into());
            let spawned = thread.spawn(move || {
                let _bare = bare();
                ready.wait();
                go.wait();
            });
            spawned.expect("a thread")
        })
        .collect();
    ready.wait();
    let cpu = process_cpu() - cpu;
    println!(
        "a {}: {} KiB resident and {:?} of CPU time each ({SCRIPTS} of them)",
        if has_vm {
            "bare sandboxed VM on a thread"
        } else {
            "thread alone"
        },
        (status("VmRSS:") - memory) / SCRIPTS as u64,
        cpu / SCRIPTS as u32
    );
    go.wait();
    for thread in threads {
        thread.join().expect("it ends");
    }
}

async fn create_one(label: &str, source: &str) {
    // What the process needs once is not a script's.
    let first = folder(&[("first".into(), source.to_owned())]);
    let first = host_of(&first, ScriptSettings::default()).await;
    let scripts: Vec<_> = (0..SCRIPTS)
        .map(|n| (format!("s{n}"), source.to_owned()))
        .collect();
    let scripts = folder(&scripts);
    let (memory, cpu) = (status("VmRSS:"), process_cpu());
    let running = host_of(&scripts, ScriptSettings::default()).await;
    let cpu = process_cpu() - cpu;
    println!(
        "a script ({label}): {} KiB resident and {:?} of CPU time each, VM, libraries and thread ({SCRIPTS} of them)",
        (status("VmRSS:") - memory) / SCRIPTS as u64,
        cpu / SCRIPTS as u32
    );
    drop((first, running));
}

async fn turns() {
    const TURNS: u32 = 100_000_000;
    let loops = [
        ("an empty loop", format!("for i = 1, {TURNS} do end")),
        (
            "a loop that calls",
            format!("local function f() end for i = 1, {TURNS} do f() end"),
        ),
        (
            "a loop that allocates",
            format!("for i = 1, {} do local t = {{}} end", TURNS / 10),
        ),
    ];
    for (label, source) in loops {
        let turns = if label.ends_with("allocates") {
            TURNS / 10
        } else {
            TURNS
        };
        let lua = mlua::Lua::new();
        lua.sandbox(true).expect("a sandbox");
        let begun = Instant::now();
        lua.load(&source).exec().expect("it runs");
        let plain = begun.elapsed();
        let settings = ScriptSettings {
            load_time: Duration::from_secs(120),
            ..ScriptSettings::default()
        };
        let begun = Instant::now();
        let running = host(&[("turns".into(), source)], settings).await;
        let ours = begun.elapsed();
        drop(running);
        let each = |time: Duration| time.as_nanos() as f64 / f64::from(turns);
        println!(
            "{label}: {:.2} ns a turn in a plain VM, {:.2} ns under a budget",
            each(plain),
            each(ours)
        );
    }
}

/// Calls that do as much as one can within the memory limit. Each is made in a VM of its own.
const WORST: &[(&str, &str, &str)] = &[
    ("string.rep", "", "string.rep('ab', 4e7 * K)"),
    (
        "..",
        "local s = string.rep('a', 4e7 * K)",
        "local t = s .. 'b'",
    ),
    (
        "string.sub",
        "local s = string.rep('a', 4e7 * K)",
        "string.sub(s, 2)",
    ),
    (
        "string.lower",
        "local s = string.rep('A', 4e7 * K)",
        "string.lower(s)",
    ),
    (
        "string.reverse",
        "local s = string.rep('ab', 2e7 * K)",
        "string.reverse(s)",
    ),
    (
        "string.byte",
        "local s = string.rep('a', 9e5)",
        "string.byte(s, 1, -1)",
    ),
    (
        "string.char",
        "local t = table.create(9e5, 65)",
        "string.char(unpack(t))",
    ),
    (
        "string <",
        "local s, t = string.rep('a', 2e7 * K) .. 'b', string.rep('a', 2e7 * K) .. 'c'",
        "local x = s < t",
    ),
    (
        "string.format %q",
        "local s = string.rep('a', 1.6e7 * K)",
        "string.format('%q', s)",
    ),
    (
        "string.split",
        "local s = string.rep('a,', 1e6 * K)",
        "string.split(s, ',')",
    ),
    (
        "tonumber",
        "local s = string.rep('9', 6e7 * K)",
        "tonumber(s)",
    ),
    (
        "arithmetic on a text",
        "local s = string.rep('9', 6e7 * K)",
        "local x = s + 1",
    ),
    (
        "utf8.len",
        "local s = string.rep('ä', 4e7 * K)",
        "utf8.len(s)",
    ),
    (
        "utf8.codes",
        "local s = string.rep('\\x80', 6e7 * K)",
        "pcall(function() for _ in utf8.codes(s) do end end)",
    ),
    (
        "utf8.char",
        "local t = table.create(9e5, 1000)",
        "utf8.char(unpack(t))",
    ),
    ("table.create", "", "table.create(5e6 * K, 1)"),
    (
        "table.clone",
        "local t = table.create(2.5e6 * K, 1)",
        "table.clone(t)",
    ),
    (
        "table.clear",
        "local t = table.create(5e6 * K, 1)",
        "table.clear(t)",
    ),
    (
        "table.insert at 1",
        "local t = table.create(2.5e6 * K, 1)",
        "table.insert(t, 1, 0)",
    ),
    (
        "table.remove at 1",
        "local t = table.create(5e6 * K, 1)",
        "table.remove(t, 1)",
    ),
    (
        "table.unpack",
        "local t = table.create(9e5, 1)",
        "select('#', unpack(t))",
    ),
    (
        "table.pack",
        "local t = table.create(9e5, 1)",
        "table.pack(unpack(t))",
    ),
    (
        "table.maxn",
        "local t = table.create(5e6 * K, 1)",
        "table.maxn(t)",
    ),
    (
        "next over a hole",
        "local t = table.create(5e6 * K, nil) t[1] = 1",
        "next(t, 1)",
    ),
    (
        "next over an emptied hash",
        "local t = {} for i = 1, 1e6 * K do t[i * 3] = 1 end for i = 1, 1e6 * K do t[i * 3] = nil end",
        "next(t)",
    ),
    (
        "growing a hash",
        "local t = {} for i = 1, 524288 * K do t[i + 0.5] = 1 end",
        "t[0.25] = 1",
    ),
    ("buffer.create", "", "buffer.create(9e7 * K)"),
    (
        "buffer.fill",
        "local b = buffer.create(9e7 * K)",
        "buffer.fill(b, 0, 1)",
    ),
    (
        "buffer.copy",
        "local b = buffer.create(9e7 * K)",
        "buffer.copy(b, 0, b, 1, 89999999 * K)",
    ),
    (
        "buffer.tostring",
        "local b = buffer.create(4e7 * K)",
        "buffer.tostring(b)",
    ),
    (
        "math.max",
        "local t = table.create(9e5, 1)",
        "math.max(unpack(t))",
    ),
    (
        "pattern over 16 MiB",
        "local s = string.rep('a', 16777216)",
        "string.find(s, '^a*b')",
    ),
    (
        "a class over a text",
        "local s, p = string.rep('b', 167772), '^[' .. string.rep('a', 97) .. 'b]*$'",
        "string.find(s, p)",
    ),
    (
        "captures of a text",
        "local s, p = string.rep('b', 5e5), '^' .. string.rep('(', 32) .. '.*' .. string.rep(')', 32)",
        "string.match(s, p)",
    ),
    (
        "a full collection",
        "t = {} for i = 1, 8e5 * K do t[i] = {} end",
        "collectgarbage('collect')",
    ),
    (
        "error with a huge text",
        "local s = string.rep('a', 3e7 * K)",
        "pcall(error, s)",
    ),
    (
        "a traceback of a deep stack",
        "",
        "local function f(n) if n == 0 then debug.traceback() else return (f(n - 1)) end end f(15000)",
    ),
    (
        "a colliding text",
        "local t = {} for i = 1, 4e5 * K do t[i] = 'key' .. i end",
        "local s = 'key' .. 'x'",
    ),
];

/// Luau's own natives, in CPU time, at the default memory limit and at the largest. What we have replaced can
/// be ended meanwhile.
fn natives() {
    let default = ScriptSettings::default().memory as u64;
    for memory in [default, MOST_MEMORY] {
        println!(
            "with {} MiB, and half as much again for garbage:",
            memory >> 20
        );
        for (label, before, call) in WORST {
            let lua = mlua::Lua::new();
            lua.set_memory_limit((memory + memory / 2) as usize)
                .expect("a limit");
            let clock = lua.create_function(|_, ()| Ok(thread_cpu().as_secs_f64() * 1e3));
            lua.globals()
                .set("clock", clock.expect("a function"))
                .expect("a global");
            let scale = memory / default;
            let source = format!(
                "local K = {scale}\n{before}\nlocal begun = clock()\n{call}\nreturn clock() - begun"
            );
            let ours = NATIVES.iter().any(|native| {
                *label == native.name || *label == format!("{}.{}", native.library, native.name)
            });
            match lua.load(source).eval::<f64>() {
                Ok(time) => println!(
                    "{label:<28} {time:>8.1} ms{}",
                    match (ours, time > 100.0) {
                        (true, _) => "  (replaced)",
                        (false, true) => "  <- too long",
                        (false, false) => "",
                    }
                ),
                Err(error) => println!(
                    "{label:<28} {}",
                    error.to_string().lines().next().unwrap_or_default()
                ),
            }
        }
    }
}

/// When `pong` was said.
static PONGS: LazyLock<Mutex<Vec<Instant>>> = LazyLock::new(Mutex::default);

struct Ear;

impl<S: tracing::Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct Pong(bool);
        impl tracing::field::Visit for Pong {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0 |= field.name() == "message" && format!("{value:?}") == "pong";
            }
        }
        if event.metadata().target() != "script" {
            return;
        }
        let mut pong = Pong(false);
        event.record(&mut pong);
        if pong.0 {
            PONGS
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(Instant::now());
        } else if *event.metadata().level() <= tracing::Level::WARN {
            eprintln!("{event:?}");
        }
    }
}

async fn latency() {
    const EVENTS: usize = 1500;
    let good = (
        "good".to_owned(),
        "argon.on('messageCreate', function() print('pong') end)".to_owned(),
    );
    let spins = |n: usize| {
        (
            format!("spins{n}"),
            "task.delay(0, function() while true do end end)".to_owned(),
        )
    };
    let both = "argon.on('messageCreate', function() print('pong') end) task.delay(0, function() while true do end end)";
    for (label, scripts) in [
        ("alone", vec![good.clone()]),
        (
            "beside two scripts that spin",
            vec![good, spins(1), spins(2)],
        ),
        (
            "in a script that spins itself",
            vec![("both".to_owned(), both.to_owned())],
        ),
    ] {
        let settings = ScriptSettings {
            cpu_per_event: Duration::from_secs(3600),
            ..ScriptSettings::default()
        };
        let (_dir, host, inbox) = host(&scripts, settings).await;
        let mut times = Vec::new();
        for n in 0..EVENTS {
            PONGS.lock().unwrap_or_else(PoisonError::into_inner).clear();
            let begun = Instant::now();
            inbox
                .append(
                    Event {
                        id: n.to_string(),
                        kind: "messageCreate".into(),
                        payload: PAYLOAD.into(),
                        received: begun,
                    },
                    Place::Id,
                )
                .await;
            // Within the quota of lines.
            tokio::time::sleep(Duration::from_millis(6)).await;
            if let Some(&at) = PONGS.lock().unwrap_or_else(PoisonError::into_inner).first() {
                times.push(at - begun);
            } else {
                times.push(Duration::from_millis(6));
            }
        }
        times.sort();
        let ms = |share: usize| times[times.len() * share / 1000].as_secs_f64() * 1e3;
        println!(
            "{label}: p50 {:.3} ms, p99 {:.3} ms, worst {:.3} ms (6 means or later)",
            ms(500),
            ms(990),
            ms(999)
        );
        host.stop(Duration::ZERO).await;
    }
}
