//! What the scripts of a bot have in common, and what they tell the host: their registrations and
//! their state.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::watch;

use super::commands::{CommandKey, CommandSpec, Registered};
use crate::contract;

/// Who the bot is on the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The bot's user id: the sender of its own messages.
    pub user_id: String,
    /// The bot's user name.
    pub username: String,
}

/// What one script has registered. Event types are never taken back: an intent that was asked for
/// once stays, because changing it costs a reconnect.
#[derive(Debug, Clone, Default)]
pub(super) struct Own {
    pub(super) events: BTreeSet<String>,
    pub(super) commands: Vec<CommandSpec>,
}

/// What all scripts together have registered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Registrations {
    /// Event types that have a handler; `*` stands for every type.
    pub events: BTreeSet<String>,
    /// Slash commands, one for each name and scope.
    pub commands: Vec<CommandSpec>,
    /// Commands that two scripts claim; the first one (by script name) has it.
    pub conflicts: Vec<Conflict>,
}

impl Registrations {
    /// The intents that these handlers need, as the stream's mask. `*` needs every intent that is not
    /// privileged; privileged ones come with the type that needs them.
    pub fn intents(&self) -> u64 {
        let mask = |name: &str| contract::intent(name).map_or(0, contract::Intent::mask);
        let mut intents = 0;
        for event in &self.events {
            if event == "*" {
                intents |= contract::INTENTS
                    .iter()
                    .filter(|intent| !intent.privileged)
                    .fold(0, |all, intent| all | intent.mask());
            } else if let Some(intent) = contract::event(event).and_then(|known| known.intent) {
                intents |= mask(intent);
            }
        }
        intents
    }
}

/// A command that two scripts register.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the scripts {first} and {second} both register the command /{name} ({scope}): rename one of them"
)]
pub struct Conflict {
    /// The command's name.
    pub name: String,
    /// `global`, or the space.
    pub scope: String,
    /// The script that keeps it.
    pub first: String,
    /// The script that does not get it.
    pub second: String,
}

/// Where a script stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its top level runs (or waits) still.
    Loading,
    /// Its top level has ended well.
    Loaded,
    /// It could not be loaded, or the host had to end it.
    Failed(super::Trouble),
}

/// What a script's thread tells about itself.
#[derive(Debug, Default)]
pub(super) struct Status {
    /// Events that a handler began to work on.
    pub(super) events: AtomicU64,
    /// Errors that no handler caught.
    pub(super) errors: AtomicU64,
    /// Runs that were ended because they used more CPU time than they may.
    pub(super) ended: AtomicU64,
    /// CPU time of its thread, in microseconds; a little late.
    pub(super) cpu: AtomicU64,
    /// Bytes of its VM, garbage included; a little late.
    pub(super) memory: AtomicU64,
}

/// What every script of a bot can see.
pub(super) struct Shared {
    identity: RwLock<Option<Arc<Identity>>>,
    /// The host has opened the doors: events may be handed out.
    pub(super) open: AtomicBool,
    /// Commands by the id that the platform gave them.
    command_ids: RwLock<Arc<HashMap<String, CommandKey>>>,
    scripts: Mutex<BTreeMap<String, Own>>,
    registrations: watch::Sender<Registrations>,
}

impl Shared {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            identity: RwLock::default(),
            open: AtomicBool::new(false),
            command_ids: RwLock::default(),
            scripts: Mutex::default(),
            registrations: watch::channel(Registrations::default()).0,
        })
    }

    pub(super) fn identity(&self) -> Option<Arc<Identity>> {
        self.identity
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_identity(&self, identity: Identity) {
        *self
            .identity
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(identity));
    }

    pub(super) fn command_ids(&self) -> Arc<HashMap<String, CommandKey>> {
        self.command_ids
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_command_ids(&self, commands: &[Registered]) {
        let ids = commands
            .iter()
            .map(|command| (command.id.clone(), command.key.clone()))
            .collect();
        *self
            .command_ids
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(ids);
    }

    pub(super) fn registrations(&self) -> watch::Receiver<Registrations> {
        self.registrations.subscribe()
    }

    fn scripts(&self) -> MutexGuard<'_, BTreeMap<String, Own>> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A script's registrations have changed.
    pub(super) fn publish(&self, script: &str, own: Own) {
        let mut scripts = self.scripts();
        scripts.insert(script.to_owned(), own);
        self.send(&scripts);
    }

    /// A script is gone before it could do anything.
    pub(super) fn withdraw(&self, script: &str) {
        let mut scripts = self.scripts();
        if scripts.remove(script).is_some() {
            self.send(&scripts);
        }
    }

    fn send(&self, scripts: &BTreeMap<String, Own>) {
        let union = union(scripts);
        self.registrations.send_if_modified(|known| {
            let changed = *known != union;
            if changed {
                for conflict in &union.conflicts {
                    if !known.conflicts.contains(conflict) {
                        tracing::error!(target: "script", script = %conflict.second, "{conflict}");
                    }
                }
                *known = union;
            }
            changed
        });
    }
}

fn union(scripts: &BTreeMap<String, Own>) -> Registrations {
    let mut all = Registrations::default();
    for own in scripts.values() {
        all.events.extend(own.events.iter().cloned());
        for command in &own.commands {
            let known = all
                .commands
                .iter()
                .find(|known| known.key() == command.key());
            match known {
                Some(first) => all.conflicts.push(Conflict {
                    name: command.name.clone(),
                    scope: command.scope(),
                    first: first.script.clone(),
                    second: command.script.clone(),
                }),
                None => all.commands.push(command.clone()),
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Map;

    fn own(events: &[&str], commands: &[(&str, &str)]) -> Own {
        Own {
            events: events.iter().map(|&event| event.to_owned()).collect(),
            commands: commands
                .iter()
                .map(|&(script, name)| CommandSpec {
                    script: script.into(),
                    name: name.into(),
                    space_id: None,
                    definition: Map::new(),
                })
                .collect(),
        }
    }

    #[test]
    fn intents_follow_from_the_events_that_have_handlers() {
        let shared = Shared::new();
        let seen = shared.registrations();
        shared.publish("a", own(&["messageCreate", "ready"], &[]));
        assert_eq!(seen.borrow().intents(), 1);
        shared.publish("b", own(&["*"], &[]));
        assert_eq!(seen.borrow().intents(), 12253);
        shared.publish("c", own(&["presenceUpdate"], &[]));
        assert_eq!(seen.borrow().intents(), 12253 | 32);
    }

    #[test]
    fn a_command_of_two_scripts_goes_to_the_first_and_names_both() {
        let shared = Shared::new();
        shared.publish("b", own(&[], &[("b", "roll")]));
        shared.publish("a", own(&[], &[("a", "roll"), ("a", "flip")]));
        let seen = shared.registrations();
        let seen = seen.borrow();
        let owners: Vec<_> = seen
            .commands
            .iter()
            .map(|c| (&*c.script, &*c.name))
            .collect();
        assert_eq!(owners, [("a", "roll"), ("a", "flip")]);
        assert_eq!(
            seen.conflicts[0].to_string(),
            "the scripts a and b both register the command /roll (global): rename one of them"
        );
    }
}
