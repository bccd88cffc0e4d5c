//! Scripts that compute for ever in this process, as the host runs them.

use std::sync::Arc;
use std::time::Duration;

use argon_host::config::Secret;
use argon_host::inbox::Inbox;
use argon_host::rest;
use argon_host::script::{Host, Identity, ScriptSettings, Settings};

use crate::sockets::Nobody;

/// They spin until this is dropped.
pub struct Spinners {
    _host: Host,
    _runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

impl Spinners {
    pub fn start(scripts: usize) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        for n in 0..scripts {
            let source = "task.delay(0, function() while true do end end)";
            std::fs::write(folder.path().join(format!("spins{n}.luau")), source).expect("a file");
        }
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let host = runtime.block_on(async {
            let client = rest::Client::new(rest::Settings {
                base_url: "http://127.0.0.1:9".into(),
                token: Secret::new("x"),
                segment: Duration::from_secs(10),
                observer: Arc::new(Nobody),
            });
            let settings = Settings {
                default: ScriptSettings {
                    cpu_per_event: Duration::from_secs(3600),
                    ..ScriptSettings::default()
                },
                ..Settings::of_folder(folder.path())
            };
            let client = client.expect("a client");
            let handle = tokio::runtime::Handle::current();
            let host = Host::load(settings, client, Inbox::new(), handle).await;
            let host = host.expect("a folder");
            host.open(Identity {
                user_id: "bot".into(),
                username: "bot".into(),
            });
            host
        });
        Self {
            _host: host,
            _runtime: runtime,
            _folder: folder,
        }
    }
}
