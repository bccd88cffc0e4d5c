//! One version of a script as the host sees it: its thread's mailbox, how far it is, and its files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::Trouble;
use super::guest::Birth;
use super::registry::State;
use super::rollback::Tally;
use super::scripts::Files;
use super::state::Snapshot;
use super::thread::{self, Mail, Mailbox, Unfinished};

/// How long a thread may take to answer before it counts as stuck. A handler that only computes is ended
/// by its script's budget sooner than that.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A version that runs, or did. Dropping it ends its thread.
pub(super) struct Version {
    /// Counts the versions of a script from 1.
    pub(super) number: u64,
    /// The script's own file.
    pub(super) path: PathBuf,
    mailbox: Arc<Mailbox>,
    state: watch::Receiver<State>,
    files: Files,
    pub(super) tally: Arc<Tally>,
}

impl Version {
    /// Starts the thread; it runs the top level and waits for its turn.
    pub(super) fn start(birth: Birth) -> Self {
        let (sender, state) = watch::channel(State::Loading);
        let version = Self {
            number: birth.version,
            path: birth.entry.clone(),
            mailbox: Arc::clone(&birth.mailbox),
            state,
            files: Arc::clone(&birth.files),
            tally: Arc::clone(&birth.tally),
        };
        let failed = sender.clone();
        if let Err(error) = thread::spawn(birth, sender) {
            let trouble = Trouble::plain(format!("its thread cannot be started: {error}"));
            failed.send_replace(State::Failed(trouble));
        }
        version
    }

    pub(super) fn post(&self, mail: Mail) {
        self.mailbox.post(mail);
    }

    /// Ends whatever Luau its thread runs, at the next safepoint.
    pub(super) fn cut_off(&self) {
        self.mailbox.end();
    }

    /// How far it is.
    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// How far it is, to be followed.
    pub(super) fn states(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Whether its top level has ended well.
    pub(super) fn has_loaded(&self) -> bool {
        self.mailbox.has_loaded()
    }

    /// The files, to keep beyond the version.
    pub(super) fn files(&self) -> Files {
        Arc::clone(&self.files)
    }

    /// Completes when the top level is over, well or not; false when that takes longer than `deadline`.
    pub(super) async fn loaded(&self, deadline: tokio::time::Instant) -> bool {
        let mut state = self.state.clone();
        let over = state.wait_for(|state| *state != State::Loading);
        tokio::time::timeout_at(deadline, over).await.is_ok()
    }

    /// Completes when the thread has ended; false when that takes longer than `deadline`.
    pub(super) async fn ended(&self, deadline: tokio::time::Instant) -> bool {
        let mut state = self.state.clone();
        // The thread drops the sender when it ends.
        let ended = async { while state.changed().await.is_ok() {} };
        tokio::time::timeout_at(deadline, ended).await.is_ok()
    }

    /// Whether the thread has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.state.has_changed().is_err()
    }

    /// A copy of `script.state`, as it is now. `None` when the thread does not answer.
    pub(super) async fn copy_state(&self) -> Option<Snapshot> {
        self.ask(Mail::Copy).await
    }

    /// Ends the turn while the bot goes on: handlers may run until then, and the events of those that still
    /// do have failed. Answers the last state; `None` when the thread does not answer.
    pub(super) async fn retire(&self, until: Instant) -> Option<Snapshot> {
        self.ask(|reply| Mail::Retire {
            until,
            unfinished: Some(Unfinished::Fails),
            state: Some(reply),
        })
        .await
    }

    /// Ends the turn and lets the state go.
    pub(super) fn stop(&self, until: Instant, unfinished: Unfinished) {
        self.post(Mail::Retire {
            until,
            unfinished: Some(unfinished),
            state: None,
        });
    }

    async fn ask(&self, mail: impl FnOnce(oneshot::Sender<Snapshot>) -> Mail) -> Option<Snapshot> {
        if self.has_ended() {
            return None;
        }
        let (reply, answer) = oneshot::channel();
        self.post(mail(reply));
        let mut state = self.state.clone();
        let ended = async move { while state.changed().await.is_ok() {} };
        tokio::select! {
            biased;
            answer = answer => answer.ok(),
            () = ended => None,
            () = tokio::time::sleep(PATIENCE) => None,
        }
    }
}

impl Drop for Version {
    /// Ends the thread without waiting for anything. A version that is left behind while the bot goes on is
    /// dropped, too: what was said of its events stands.
    fn drop(&mut self) {
        self.post(Mail::Retire {
            until: Instant::now(),
            unfinished: None,
            state: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::registry::Shared;
    use super::*;

    #[test]
    fn a_version_that_is_left_behind_does_not_take_back_what_becomes_of_its_events() {
        let mailbox = Arc::<Mailbox>::default();
        let version = Version {
            number: 1,
            path: PathBuf::new(),
            mailbox: Arc::clone(&mailbox),
            state: watch::channel(State::Loaded).1,
            files: Files::default(),
            tally: Tally::new(Shared::new()),
        };
        version.stop(Instant::now(), Unfinished::Fails);
        drop(version);
        let said: Vec<_> = (mailbox.take().into_iter())
            .map(|mail| match mail {
                Mail::Retire { unfinished, .. } => unfinished,
                _ => panic!("only its end was asked for"),
            })
            .collect();
        assert_eq!(said, [Some(Unfinished::Fails), None]);
    }
}
