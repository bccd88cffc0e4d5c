//! One headless Chromium for all tests of this binary, driven over the DevTools protocol.
//!
//! Commands and answers are JSON with a zero byte after each, on two pipes that the browser has as files 3
//! and 4: when this process ends, however it ends, the pipes close and the browser goes too.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::{Value, json};
use tokio::sync::oneshot;

const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--remote-debugging-pipe",
];

type Answer = Result<Value, String>;

/// The running browser.
pub struct Browser {
    commands: Mutex<ChildStdin>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
    /// What a page's console said, and the addresses it asked for, by session.
    said: HashMap<String, Vec<Value>>,
}

/// The browser of this process, started on first use.
pub fn browser() -> &'static Browser {
    static BROWSER: OnceLock<Browser> = OnceLock::new();
    BROWSER.get_or_init(start)
}

fn start() -> Browser {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join("chromium").exists())
    });
    assert!(
        found,
        "no Chromium: run the test command of the README, which installs it"
    );
    let profile = profile();
    let mut child = Command::new("sh")
        .args(["-c", "exec chromium \"$@\" 3<&0 4>&1 >/dev/null", "sh"])
        .args(FLAGS)
        .arg(format!("--user-data-dir={}", profile.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    let commands = child.stdin.take().expect("a pipe");
    let mut answers = BufReader::new(child.stdout.take().expect("a pipe"));
    std::thread::spawn(move || {
        let mut message = Vec::new();
        while answers
            .read_until(0, &mut message)
            .is_ok_and(|read| read > 0)
        {
            message.pop();
            let message = serde_json::from_slice(&std::mem::take(&mut message));
            browser().take(message.expect("JSON"));
        }
        // Dropping what waits tells everybody that the browser has gone.
        browser().inner().waiting.clear();
        let _ = child.wait();
    });
    Browser {
        commands: Mutex::new(commands),
        inner: Mutex::default(),
    }
}

/// A fresh profile; those of test processes that have ended are removed.
fn profile() -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix("chromium-"));
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another run may be doing the same.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    folder.join(format!("chromium-{}", std::process::id()))
}

impl Browser {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, message: Value) {
        let mut inner = self.inner();
        if let Some(id) = message["id"].as_u64() {
            let answer = match message.get("error") {
                Some(error) => Err(error.to_string()),
                None => Ok(message["result"].clone()),
            };
            if let Some(waiting) = inner.waiting.remove(&id) {
                let _ = waiting.send(answer);
            }
        } else if let Some(session) = message["sessionId"].as_str() {
            let said = inner.said.entry(session.to_owned()).or_default();
            said.push(message);
        }
    }

    /// Gives a command to the browser, or to the page of a session.
    pub async fn command(&self, session: Option<&str>, method: &str, params: Value) -> Value {
        let (sender, answer) = oneshot::channel();
        let mut command = json!({ "method": method, "params": params });
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        {
            let mut inner = self.inner();
            inner.last += 1;
            command["id"] = inner.last.into();
            let id = inner.last;
            inner.waiting.insert(id, sender);
        }
        {
            let commands = self.commands.lock();
            let mut commands = commands.unwrap_or_else(PoisonError::into_inner);
            let text = format!("{command}\0");
            commands.write_all(text.as_bytes()).expect("a live browser");
        }
        match answer.await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => panic!("{method}: {error}"),
            Err(_) => panic!("{method}: Chromium has ended"),
        }
    }

    /// The events of a session so far.
    pub fn said(&self, session: &str) -> Vec<Value> {
        self.inner().said.get(session).cloned().unwrap_or_default()
    }
}
