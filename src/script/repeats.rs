//! Errors that repeat, told as counts.
//!
//! The first error of its kind is told in full. The same one again (same place, same message but for
//! its digits) is counted, and each [`WINDOW`] tells how often it came: a handler that fails on every
//! event writes one line in ten seconds, not thousands. An error that stayed away for a window is told
//! in full again. At most [`KINDS`] kinds are known at once; what comes beyond them is counted together,
//! so that memory and log are bounded whatever a script does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime;
use tracing::Instrument;

use super::errors::Trouble;

/// How long repeats are counted before they are told.
const WINDOW: Duration = Duration::from_secs(10);
/// Kinds of errors that are told apart.
const KINDS: usize = 64;
/// Characters of a message that tell errors apart, and that a count repeats.
const HEADLINE: usize = 200;

/// The repeats of one script.
pub(super) struct Repeats {
    script: String,
    runtime: runtime::Handle,
    counts: Arc<Mutex<Counts>>,
}

impl Repeats {
    pub(super) fn new(script: &str, runtime: runtime::Handle) -> Self {
        Self {
            script: script.to_owned(),
            runtime,
            counts: Arc::default(),
        }
    }

    /// Whether an error is to be told in full; otherwise it is counted.
    pub(super) fn is_new(&self, trouble: &Trouble) -> bool {
        let mut counts = lock(&self.counts);
        let new = counts.note(headline(trouble));
        if counts.begun.is_none() {
            counts.begun = Some(Instant::now());
            let script = self.script.clone();
            let all = Arc::clone(&self.counts);
            let windows = async move {
                let mut open = true;
                while open {
                    tokio::time::sleep(WINDOW).await;
                    let mut counts = lock(&all);
                    counts.tell(&script);
                    open = counts.begun.is_some();
                }
            };
            self.runtime.spawn(windows.in_current_span());
        }
        new
    }

    /// Tells what was counted: the script ends.
    pub(super) fn flush(&self) {
        lock(&self.counts).tell(&self.script);
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is counted of one kind.
struct Count {
    /// How it was told the first time, shortened.
    headline: String,
    again: u64,
}

#[derive(Default)]
struct Counts {
    /// By headline without digits.
    kinds: HashMap<String, Count>,
    /// Errors beyond [`KINDS`].
    others: u64,
    /// Since when this window counts; nothing is known without one.
    begun: Option<Instant>,
}

impl Counts {
    /// Counts an error, or answers that it is a new one.
    fn note(&mut self, headline: String) -> bool {
        let kind = headline.replace(|c: char| c.is_ascii_digit(), "");
        if let Some(known) = self.kinds.get_mut(&kind) {
            known.again += 1;
            return false;
        }
        if self.kinds.len() >= KINDS {
            self.others += 1;
            return false;
        }
        self.kinds.insert(kind, Count { headline, again: 0 });
        true
    }

    /// Ends a window: what was counted, and what repeats stays known for the next one.
    fn close(&mut self) -> Vec<(String, u64)> {
        let mut told: Vec<(String, u64)> = Vec::new();
        self.kinds.retain(|_, count| {
            let again = std::mem::take(&mut count.again);
            if again > 0 {
                told.push((count.headline.clone(), again));
            }
            again > 0
        });
        told.sort();
        match std::mem::take(&mut self.others) {
            0 => {}
            others => told.push((format!("errors of more than {KINDS} kinds"), others)),
        }
        told
    }

    fn tell(&mut self, script: &str) {
        let seconds = self
            .begun
            .take()
            .map_or(0, |begun| begun.elapsed().as_secs().max(1));
        for (headline, again) in self.close() {
            self.begun = Some(Instant::now());
            let times = if again == 1 { "time" } else { "times" };
            tracing::error!(target: "script", script = %script, again,
                "{headline}: again {again} {times} in {seconds} s");
        }
    }
}

/// Place and first line of an error.
fn headline(trouble: &Trouble) -> String {
    let message = trouble.message.lines().next().unwrap_or_default();
    let text = match &trouble.place {
        Some(place) => format!("{place}: {message}"),
        None => message.to_owned(),
    };
    text.chars().take(HEADLINE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_new_and_the_rest_is_counted_until_it_stays_away() {
        let mut counts = Counts::default();
        assert!(counts.note("a.luau:3: no user 5".into()));
        assert!(!counts.note("a.luau:3: no user 61".into()));
        assert!(!counts.note("a.luau:3: no user 7".into()));
        assert!(counts.note("a.luau:3: no space".into()));
        assert_eq!(counts.close(), [("a.luau:3: no user 5".to_owned(), 2)]);
        assert!(!counts.note("a.luau:3: no user 5".into()), "it goes on");
        assert!(
            counts.note("a.luau:3: no space".into()),
            "it had stayed away"
        );
        counts.close();
        assert_eq!(counts.close(), []);
        assert!(counts.kinds.is_empty());
    }

    #[test]
    fn kinds_beyond_the_bound_are_counted_together() {
        let mut counts = Counts::default();
        let kind = |n: usize| "x".repeat(n);
        let told = (1..=2 * KINDS).filter(|&n| counts.note(kind(n))).count();
        assert_eq!((told, counts.kinds.len()), (KINDS, KINDS));
        assert_eq!(
            counts.close(),
            [(format!("errors of more than {KINDS} kinds"), KINDS as u64)]
        );
    }
}
