//! CPU of one event from the inbox to a Luau handler that checks a prefix, decoding included.
//! `cargo bench --bench dispatch`

use std::sync::Arc;
use std::time::{Duration, Instant};

use argon_host::config::Secret;
use argon_host::contract::Route;
use argon_host::inbox::{Event, Inbox, Place};
use argon_host::rest;
use argon_host::script::{Host, Identity, Settings};

const PAYLOAD: &str = include_str!("data/message_create.json");
const EVENTS: u64 = 200_000;

struct Deaf;

impl rest::Observer for Deaf {
    fn succeeded(&self, _: &'static Route, _: &bytes::Bytes) {}
    fn unauthorized(&self) {}
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for (name, script) in [
        ("no handler", "argon.on('ready', print)"),
        (
            "a handler that checks a prefix",
            "argon.on('messageCreate', function(event)
                 if string.sub(event.message.text or '', 1, 1) == '!' then print('command') end
             end)",
        ),
        (
            "a handler that waits once",
            "argon.on('messageCreate', function(event) task.wait() end)",
        ),
    ] {
        if std::env::args()
            .skip(1)
            .any(|word| !word.starts_with('-') && !name.contains(&word))
        {
            continue;
        }
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("bench.luau"), script).expect("a file");
        let client = rest::Client::new(rest::Settings {
            base_url: "http://127.0.0.1:9".into(),
            token: Secret::new("x"),
            segment: Duration::from_secs(10),
            observer: Arc::new(Deaf),
        })
        .expect("a client");
        let inbox = Inbox::new();
        let settings = Settings::of_folder(dir.path());
        let runtime = tokio::runtime::Handle::current();
        let host = Host::load(settings, client, Arc::clone(&inbox), runtime)
            .await
            .expect("loaded");
        host.open(Identity {
            user_id: "nobody".into(),
            username: "nobody".into(),
        });
        let begin = (Instant::now(), cpu());
        for id in 0..EVENTS {
            inbox
                .append(
                    Event {
                        id: format!("0123456789abcdef0123456789abcdef_{id}"),
                        kind: "messageCreate".into(),
                        payload: PAYLOAD.into(),
                        received: Instant::now(),
                    },
                    Place::Id,
                )
                .await;
        }
        while inbox.progress().done < EVENTS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let wall = begin.0.elapsed();
        println!(
            "{name:<32} {:>8.2} µs CPU  {:>8.2} µs wall, an event",
            (cpu() - begin.1) / EVENTS as f64 * 1e6,
            wall.as_secs_f64() / EVENTS as f64 * 1e6,
        );
    }
}

/// CPU seconds of this process, from the system's clock ticks (1/100 s).
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|t| t.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(12) + ticks(13)) / 100.0
}
