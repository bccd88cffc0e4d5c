//! The bot's slash commands, kept in line with what the scripts register.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::{pending, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::bot::{UNREACHABLE_PAUSE, changed};
use super::hub::Hub;
use crate::rest::Client;
use crate::script::commands::{self, Again, Progress, SyncError, Synced};
use crate::script::{self, Registrations};

/// How long a bot that starts waits for its commands. A server in good health needs less, so that they are
/// known before the first event comes; one that is not must not keep the bot from its messages, and most of
/// the time in which it recognises what was sent before a restart must be left.
const HEAD_START: Duration = Duration::from_secs(3);

/// First and longest pause before a command is tried again that the server answered with a bare 500. That
/// is mostly how it refuses a command, which no attempt mends, but also how any passing fault of it looks.
const REFUSED_PAUSE: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(3600));

/// A synchronisation that is under way.
type Syncing = Pin<Box<dyn Future<Output = Result<Synced, SyncError>> + Send>>;

/// The bot's commands at the platform.
pub(super) struct Commands {
    client: Client,
    scripts: script::Handle,
    hub: Arc<Hub>,
    registrations: watch::Receiver<Registrations>,
    under_way: Syncing,
}

impl Commands {
    /// Begins to bring them in line, and waits for that for a while.
    pub(super) async fn begin(client: Client, scripts: &script::Host, hub: Arc<Hub>) -> Self {
        let mut commands = Self {
            client,
            scripts: scripts.handle(),
            hub,
            registrations: scripts.registrations(),
            under_way: Box::pin(pending()),
        };
        let mut first = commands.sync();
        let in_time = tokio::time::timeout(HEAD_START, &mut first).await;
        commands.under_way = match in_time {
            Ok(outcome) => Box::pin(ready(outcome)),
            Err(_) => {
                tracing::warn!(
                    "the server takes more than {} s with the commands; going on without waiting for it",
                    HEAD_START.as_secs()
                );
                first
            }
        };
        commands
    }

    /// Keeps them in line. Begins with what [`Self::begin`] has left to do: nothing of it is done twice.
    pub(super) async fn follow(mut self) -> Infallible {
        let mut pauses = Pauses::default();
        // What the server refused with a 500, to be said once and not with each attempt.
        let mut said = BTreeSet::new();
        loop {
            let (again, left_out) = match (&mut self.under_way).await {
                Ok(synced) => {
                    for line in unsaid(&synced.failed, &mut said) {
                        tracing::error!("{line}");
                    }
                    let again = synced.again();
                    let left_out = !synced.left_out.is_empty();
                    let ids = synced.commands.into_iter().map(|command| command.id);
                    (self.hub).set_commands((!synced.is_unsure).then(|| ids.collect()));
                    (again, left_out)
                }
                Err(error) => {
                    tracing::warn!("{error}");
                    (Again::Soon, false)
                }
            };
            let pause = pauses.before(again);
            match (again, pause) {
                (Again::Soon, Some(pause)) => {
                    tracing::warn!("trying again with the commands in {} s", pause.as_secs());
                }
                (Again::Later, Some(pause)) if pause == REFUSED_PAUSE.0 => tracing::warn!(
                    "trying again with the commands that the server refused in {} s, then less and less \
                     often",
                    pause.as_secs()
                ),
                _ => {}
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = self.scripts.settled(), if left_out => {}
                () = changed(&mut self.registrations) => {
                    // Somebody has worked on a script: whatever is refused now is news.
                    pauses.late = REFUSED_PAUSE.0;
                    said.clear();
                }
            }
            self.under_way = self.sync();
        }
    }

    /// Brings the platform's commands in line with the scripts', and tells the scripts, then the stream,
    /// their ids.
    fn sync(&mut self) -> Syncing {
        // In this order: what is settled has registered everything.
        let settled = self.scripts.are_settled();
        let wanted = self.registrations.borrow_and_update().commands.clone();
        let client = self.client.clone();
        let scripts = self.scripts.clone();
        let hub = Arc::clone(&self.hub);
        Box::pin(async move {
            let tell = |progress: Progress<'_>| match progress {
                Progress::Registering(names) => hub.await_commands(names),
                Progress::Registered(command) => {
                    scripts.command_is(command);
                    hub.add_command(&command.id);
                }
            };
            let synced = commands::sync(&client, &wanted, settled, tell).await?;
            scripts.commands_are(&synced.commands);
            say_what_is_in_place(&synced);
            Ok(synced)
        })
    }
}

/// Pauses between attempts.
struct Pauses {
    soon: Duration,
    late: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            soon: UNREACHABLE_PAUSE.0,
            late: REFUSED_PAUSE.0,
        }
    }
}

impl Pauses {
    /// The pause before the next attempt, if there is to be one.
    fn before(&mut self, again: Again) -> Option<Duration> {
        let (next, longest) = match again {
            Again::Never => {
                *self = Self::default();
                return None;
            }
            Again::Later => {
                self.soon = UNREACHABLE_PAUSE.0;
                (&mut self.late, REFUSED_PAUSE.1)
            }
            Again::Soon => (&mut self.soon, UNREACHABLE_PAUSE.1),
        };
        let pause = *next;
        *next = (pause * 2).min(longest);
        Some(pause)
    }
}

/// Completes after the pause; never without one.
async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => pending().await,
    }
}

/// Says which commands the bot has now.
fn say_what_is_in_place(synced: &Synced) {
    let mut names: Vec<_> = synced
        .commands
        .iter()
        .map(|command| format!("/{}", command.key.name))
        .collect();
    names.sort();
    if !names.is_empty() || synced.changes > 0 {
        let names = match names.is_empty() {
            true => "none".to_owned(),
            false => names.join(" "),
        };
        let changes = synced.changes;
        let noun = if changes == 1 { "change" } else { "changes" };
        tracing::info!("commands: {names} ({changes} {noun} at the server)");
    }
    if !synced.left_out.is_empty() {
        tracing::info!(
            "nobody registers these commands, but not every script has loaded: they stay until then: {}",
            synced.left_out.join(" ")
        );
    }
}

/// What could not be brought in line and was not said before. What is refused with a bare 500 is kept in
/// `said`, as long as it is.
fn unsaid(failed: &[SyncError], said: &mut BTreeSet<String>) -> Vec<String> {
    let refused = failed.iter().filter(|one| one.again() == Again::Later);
    let refused = refused.map(SyncError::to_string).collect();
    let before = std::mem::replace(said, refused);
    let lines = failed.iter().map(SyncError::to_string);
    lines.filter(|line| !before.contains(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest;

    #[test]
    fn what_is_refused_again_and_again_is_said_once() {
        let failed = |status| SyncError {
            what: format!("/roll{status}"),
            source: rest::Error {
                status,
                code: "x".to_owned(),
                message: None,
                route: String::new(),
                retry_after: None,
            },
        };
        let both = [failed(500), failed(503)];
        let mut said = BTreeSet::new();
        assert_eq!(unsaid(&both, &mut said).len(), 2);
        assert_eq!(unsaid(&both, &mut said), [both[1].to_string()]);
        assert!(unsaid(&[], &mut said).is_empty());
        assert_eq!(unsaid(&both[..1], &mut said), [both[0].to_string()]);
    }

    #[test]
    fn what_is_refused_is_tried_again_less_and_less_often() {
        let mut pauses = Pauses::default();
        let mut seconds = |again| pauses.before(again).map(|pause| pause.as_secs());
        let late = [(); 6].map(|()| seconds(Again::Later).unwrap());
        assert_eq!(late, [300, 600, 1200, 2400, 3600, 3600]);
        let soon = [(); 7].map(|()| seconds(Again::Soon).unwrap());
        assert_eq!(soon, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(seconds(Again::Later), Some(3600), "it was refused before");
        assert_eq!(seconds(Again::Soon), Some(1));
        assert_eq!(seconds(Again::Never), None);
        assert_eq!(seconds(Again::Later), Some(300));
    }
}
