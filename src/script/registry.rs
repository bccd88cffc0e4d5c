//! What the scripts of a bot have in common, and what they tell the host: their registrations and
//! their state.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::{Notify, watch};

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

/// What one version of a script has registered. Event types are not taken back while it runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Own {
    pub(super) events: BTreeSet<String>,
    pub(super) commands: Vec<CommandSpec>,
}

/// What all scripts together have registered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Registrations {
    /// Event types that have a handler, each with the scripts that have one; `*` stands for every type.
    pub events: BTreeMap<String, BTreeSet<String>>,
    /// Slash commands, one for each name and scope.
    pub commands: Vec<CommandSpec>,
    /// Commands that two scripts claim; the first one (by script name) has it.
    pub conflicts: Vec<Conflict>,
}

impl Registrations {
    /// The handlers that get nothing without these intents (a mask): script and event type.
    pub fn in_need_of(&self, intents: u64) -> BTreeSet<(String, String)> {
        let intent_of = |event: &str| contract::intent(contract::event(event)?.intent?);
        let needs = |event: &&String| intent_of(event).is_some_and(|i| i.mask() & intents != 0);
        let events = self.events.iter().filter(|(event, _)| needs(event));
        events
            .flat_map(|(event, scripts)| scripts.iter().map(|s| (s.clone(), event.clone())))
            .collect()
    }

    /// The intents that these handlers need, as the stream's mask. `*` needs every intent that is not
    /// privileged; privileged ones come with the type that needs them.
    pub fn intents(&self) -> u64 {
        let mask = |name: &str| contract::intent(name).map_or(0, contract::Intent::mask);
        let mut intents = 0;
        for event in self.events.keys() {
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
    /// It failed again and again, and is left alone for a while; the text says why.
    Paused(String),
}

/// What every script of a bot can see.
pub(super) struct Shared {
    identity: RwLock<Option<Arc<Identity>>>,
    /// The host has opened the doors: events may be handed out.
    pub(super) open: AtomicBool,
    /// Commands by the id that the platform gave them.
    command_ids: RwLock<Arc<HashMap<String, CommandKey>>>,
    book: Mutex<Book>,
    registrations: watch::Sender<Registrations>,
    /// How often versions have had their turn.
    pub(super) swaps: watch::Sender<u64>,
    /// Woken when a script's thread has something for the keeper to look at.
    pub(super) news: Notify,
}

/// What the versions of all scripts have registered.
#[derive(Default)]
struct Book {
    versions: BTreeMap<(String, u64), Own>,
    /// The version of each script that counts.
    active: BTreeMap<String, u64>,
}

impl Book {
    fn union(&self) -> Registrations {
        let active = self.active.iter().filter_map(|(script, version)| {
            let own = self.versions.get(&(script.clone(), *version))?;
            Some((&**script, own))
        });
        union(active)
    }
}

impl Shared {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            identity: RwLock::default(),
            open: AtomicBool::new(false),
            command_ids: RwLock::default(),
            book: Mutex::default(),
            registrations: watch::channel(Registrations::default()).0,
            swaps: watch::Sender::default(),
            news: Notify::new(),
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

    pub(super) fn add_command_id(&self, command: &Registered) {
        let mut ids = self
            .command_ids
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut ids).insert(command.id.clone(), command.key.clone());
    }

    /// The script that has the command of that name and scope now.
    pub(super) fn owner_of(&self, name: &str, space: Option<&str>) -> Option<String> {
        let all = self.registrations.borrow();
        let mut commands = all.commands.iter();
        let known =
            commands.find(|known| known.name == name && known.space_id.as_deref() == space)?;
        Some(known.script.clone())
    }

    pub(super) fn registrations(&self) -> watch::Receiver<Registrations> {
        self.registrations.subscribe()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A version begins to load.
    pub(super) fn enlist(&self, script: &str, version: u64) {
        let key = (script.to_owned(), version);
        self.book().versions.insert(key, Own::default());
    }

    /// Whether no later version of the script loads or runs.
    pub(super) fn is_newest(&self, script: &str, version: u64) -> bool {
        let later = (script.to_owned(), version + 1)..=(script.to_owned(), u64::MAX);
        self.book().versions.range(later).next().is_none()
    }

    /// The registrations of a script's version have changed. They count once the version is active;
    /// those of a version that was withdrawn do not.
    pub(super) fn publish(&self, script: &str, version: u64, own: Own) {
        let mut book = self.book();
        let Some(known) = book.versions.get_mut(&(script.to_owned(), version)) else {
            return;
        };
        *known = own;
        if book.active.get(script) == Some(&version) {
            self.send(&book);
        }
    }

    /// The types of events that a version has handlers for so far.
    pub(super) fn events_of(&self, script: &str, version: u64) -> BTreeSet<String> {
        let key = (script.to_owned(), version);
        let own = self.book().versions.get(&key).cloned();
        own.map(|own| own.events).unwrap_or_default()
    }

    /// From now on these versions count, in one step, and those before them are of the past; without a
    /// version the script has nothing.
    pub(super) fn activate<'a>(&self, changes: impl IntoIterator<Item = (&'a str, Option<u64>)>) {
        let mut book = self.book();
        for (script, version) in changes {
            match version {
                Some(version) => book.active.insert(script.to_owned(), version),
                None => book.active.remove(script),
            };
            book.versions.retain(|(name, number), _| {
                name != script || version.is_some_and(|version| *number >= version)
            });
        }
        self.send(&book);
    }

    /// A version will not have its turn, or has failed in it.
    pub(super) fn withdraw(&self, script: &str, version: u64) {
        let mut book = self.book();
        book.versions.remove(&(script.to_owned(), version));
        if book.active.get(script) == Some(&version) {
            book.active.remove(script);
            self.send(&book);
        }
    }

    fn send(&self, book: &Book) {
        let union = book.union();
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

fn union<'a>(scripts: impl Iterator<Item = (&'a str, &'a Own)>) -> Registrations {
    let mut all = Registrations::default();
    for (script, own) in scripts {
        for event in &own.events {
            let scripts = all.events.entry(event.clone()).or_default();
            scripts.insert(script.to_owned());
        }
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

    /// The first versions of these scripts are active.
    fn active(scripts: &[&str]) -> Arc<Shared> {
        let shared = Shared::new();
        for script in scripts {
            shared.enlist(script, 1);
        }
        shared.activate(scripts.iter().map(|&script| (script, Some(1))));
        shared
    }

    #[test]
    fn what_a_version_registers_counts_from_its_turn_on() {
        let shared = active(&["a", "b"]);
        let mut seen = shared.registrations();
        shared.publish("a", 1, own(&["messageCreate"], &[("a", "roll")]));
        shared.publish("b", 1, own(&[], &[("b", "flip")]));
        seen.borrow_and_update();
        shared.publish("a", 2, own(&["messageEdit"], &[]));
        assert!(!seen.has_changed().unwrap(), "nobody knows of it");
        assert!(shared.is_newest("a", 1));
        shared.enlist("a", 2);
        assert!(!shared.is_newest("a", 1) && shared.is_newest("a", 2) && shared.is_newest("b", 1));
        shared.publish("a", 2, own(&["reactionAdd"], &[("a", "dice")]));
        assert!(!seen.has_changed().unwrap(), "not its turn yet");
        shared.activate([("a", Some(2)), ("b", None)]);
        let now = seen.borrow_and_update().clone();
        assert_eq!(now.events.keys().collect::<Vec<_>>(), ["reactionAdd"]);
        assert_eq!(now.commands.len(), 1);
        assert_eq!(now.commands[0].name, "dice");
        shared.publish("a", 1, own(&["memberJoin"], &[]));
        shared.withdraw("a", 1);
        assert!(!seen.has_changed().unwrap(), "the old one is of the past");
        shared.withdraw("a", 2);
        assert!(seen.borrow().commands.is_empty());
    }

    #[test]
    fn intents_follow_from_the_events_that_have_handlers() {
        let shared = active(&["a", "b", "c"]);
        let seen = shared.registrations();
        shared.publish("a", 1, own(&["messageCreate", "ready"], &[]));
        assert_eq!(seen.borrow().intents(), 1);
        shared.publish("b", 1, own(&["*"], &[]));
        assert_eq!(seen.borrow().intents(), 12253);
        shared.publish("c", 1, own(&["presenceUpdate"], &[]));
        assert_eq!(seen.borrow().intents(), 12253 | 32);
        let need = |script: &str, event: &str| (script.to_owned(), event.to_owned());
        let messages_and_presence =
            BTreeSet::from([need("a", "messageCreate"), need("c", "presenceUpdate")]);
        assert_eq!(seen.borrow().in_need_of(0b10_0001), messages_and_presence);
        assert_eq!(seen.borrow().in_need_of(0b10), BTreeSet::new());
    }

    #[test]
    fn a_command_of_two_scripts_goes_to_the_first_and_names_both() {
        let shared = active(&["a", "b"]);
        shared.publish("b", 1, own(&[], &[("b", "roll")]));
        shared.publish("a", 1, own(&[], &[("a", "roll"), ("a", "flip")]));
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
