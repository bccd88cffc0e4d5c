//! Which interactions are this bot's: the platform sends them to every bot of a space.
//!
//! A command is ours when we registered its id; while one of that name is being registered, its id may be
//! on its way, behind a use of it. A control is ours when we sent its message: known from
//! the answers to our own sends, else asked for once and remembered. When nobody can tell, the
//! interaction passes, because a bot that ignores its users is worse than one that sees an event too
//! many.
//!
//! At most [`MESSAGES`] messages are remembered; those not used for longest go first.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::event_id::guid;

/// Messages remembered as ours or not.
pub const MESSAGES: usize = 20_000;

/// Whose interaction an event is.
#[derive(Debug, PartialEq, Eq)]
pub enum Owner {
    /// Ours, or nothing that has an owner.
    Us,
    /// Another bot's.
    Other,
    /// A command of that name is being registered: the answer tells.
    Awaited,
    /// Only the author of that message can tell.
    AuthorOf {
        /// The channel of the message.
        channel_id: String,
        /// The message.
        message_id: i64,
    },
}

/// What is known about owners.
#[derive(Debug, Default)]
pub struct Ownership {
    /// None until the commands are in place, and when it is not known what became of one: then every
    /// command passes.
    commands: Option<HashSet<u128>>,
    /// The names, lower-case, of commands that are being registered.
    awaited: HashSet<String>,
    messages: Recent,
}

impl Ownership {
    /// These are the bot's commands, all of them; none when that is not known. Nothing is being
    /// registered any more.
    pub fn set_commands(&mut self, ids: Option<impl IntoIterator<Item = String>>) {
        self.awaited.clear();
        self.commands = ids.map(|ids| ids.into_iter().filter_map(|id| readable(&id)).collect());
    }

    /// Commands of these names, lower-case, are being registered.
    pub fn await_commands(&mut self, names: impl IntoIterator<Item = String>) {
        self.awaited.extend(names);
    }

    /// This command is the bot's, beside the others.
    pub fn add_command(&mut self, id: &str) {
        if let Some(commands) = &mut self.commands {
            commands.extend(readable(id));
        }
    }

    /// Whether the message is this bot's.
    pub fn remember(&mut self, message_id: i64, ours: bool) {
        self.messages.insert(message_id, ours);
    }

    /// Whose event this is. Only interactions are parsed; one that cannot be read passes, and the
    /// scripts report it.
    pub fn owner(&mut self, kind: &str, payload: &str) -> Owner {
        match kind {
            "commandInteraction" => self.owner_of_command(payload),
            "controlInteraction" | "selectInteraction" => self.owner_of_control(payload),
            _ => Owner::Us,
        }
    }

    fn owner_of_command(&self, payload: &str) -> Owner {
        let Some(ours) = &self.commands else {
            return Owner::Us;
        };
        match serde_json::from_str::<Command>(payload) {
            Ok(command) => match guid(&command.command_id) {
                Some(id) if ours.contains(&id) => Owner::Us,
                Some(_) if self.awaited.contains(&command.command_name.to_lowercase()) => {
                    Owner::Awaited
                }
                Some(_) => Owner::Other,
                None => Owner::Us,
            },
            Err(_) => Owner::Us,
        }
    }

    fn owner_of_control(&mut self, payload: &str) -> Owner {
        let Ok(control) = serde_json::from_str::<Control>(payload) else {
            return Owner::Us;
        };
        match self.messages.get(control.message_id) {
            Some(true) => Owner::Us,
            Some(false) => Owner::Other,
            None => Owner::AuthorOf {
                channel_id: control.channel_id,
                message_id: control.message_id,
            },
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Command {
    command_id: String,
    #[serde(default)]
    command_name: String,
}

/// The command's id, if it is one.
fn readable(id: &str) -> Option<u128> {
    let parsed = guid(id);
    if parsed.is_none() {
        tracing::warn!(%id, "a command's id is not a GUID, so that its uses cannot be told apart");
    }
    parsed
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Control {
    channel_id: String,
    #[serde(deserialize_with = "id64")]
    message_id: i64,
}

/// An int64 id, sent as a number or as a string.
fn id64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    struct Id;

    impl Visitor<'_> for Id {
        type Value = i64;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an int64 id")
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<i64, E> {
            Ok(value)
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<i64, E> {
            i64::try_from(value).map_err(E::custom)
        }

        fn visit_str<E: de::Error>(self, value: &str) -> Result<i64, E> {
            value.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_any(Id)
}

/// A bounded map in two generations: what is used moves to the young one; when that is full, the old
/// one is dropped. So at least the [`MESSAGES`] / 2 used last are there, at constant cost.
#[derive(Debug, Default)]
struct Recent {
    young: HashMap<i64, bool>,
    old: HashMap<i64, bool>,
}

impl Recent {
    fn get(&mut self, id: i64) -> Option<bool> {
        if let Some(&ours) = self.young.get(&id) {
            return Some(ours);
        }
        let ours = self.old.remove(&id)?;
        self.insert(id, ours);
        Some(ours)
    }

    fn insert(&mut self, id: i64, ours: bool) {
        if self.young.len() >= MESSAGES / 2 && !self.young.contains_key(&id) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, ours);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
    const THEIRS: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

    fn command(id: &str) -> String {
        format!(
            r#"{{"commandId":"{id}","commandName":"roll","options":[{{"commandId":1}}],"new":{{}}}}"#
        )
    }

    fn control(message_id: &str) -> String {
        format!(
            r#"{{"channelId":"c","controlId":"x","messageId":{message_id},"user":{{"userId":"u"}}}}"#
        )
    }

    #[test]
    fn only_commands_that_we_registered_are_ours() {
        let mut ownership = Ownership::default();
        ownership.set_commands(Some([OURS.to_uppercase()]));
        let owner = |ownership: &mut Ownership, id: &str| {
            ownership.owner("commandInteraction", &command(id))
        };
        assert_eq!(owner(&mut ownership, OURS), Owner::Us);
        assert_eq!(owner(&mut ownership, &OURS.replace('-', "")), Owner::Us);
        assert_eq!(owner(&mut ownership, THEIRS), Owner::Other);
        ownership.set_commands(Some([]));
        assert_eq!(owner(&mut ownership, OURS), Owner::Other);
        ownership.set_commands(None::<[String; 0]>);
        assert_eq!(owner(&mut ownership, THEIRS), Owner::Us);
    }

    #[test]
    fn the_id_of_a_command_that_is_being_registered_may_be_on_its_way() {
        let mut ownership = Ownership::default();
        ownership.set_commands(Some([]));
        let of = |ownership: &mut Ownership, id: &str, name: &str| {
            let payload = format!(r#"{{"commandId":"{id}","commandName":"{name}"}}"#);
            ownership.owner("commandInteraction", &payload)
        };
        ownership.await_commands(["roll".to_owned()]);
        assert_eq!(of(&mut ownership, OURS, "Roll"), Owner::Awaited);
        assert_eq!(of(&mut ownership, OURS, "other"), Owner::Other);
        ownership.add_command(OURS);
        assert_eq!(of(&mut ownership, OURS, "roll"), Owner::Us);
        assert_eq!(of(&mut ownership, THEIRS, "roll"), Owner::Awaited);
        ownership.set_commands(Some([OURS.to_owned()]));
        assert_eq!(of(&mut ownership, OURS, "roll"), Owner::Us);
        assert_eq!(of(&mut ownership, THEIRS, "roll"), Owner::Other);
    }

    #[test]
    fn before_the_first_synchronisation_every_command_passes() {
        let mut ownership = Ownership::default();
        let payload = command(THEIRS);
        assert_eq!(ownership.owner("commandInteraction", &payload), Owner::Us);
    }

    #[test]
    fn controls_go_by_the_author_of_their_message() {
        let mut ownership = Ownership::default();
        ownership.remember(9_007_199_254_740_993, true);
        ownership.remember(5, false);
        for kind in ["controlInteraction", "selectInteraction"] {
            let mut owner = |id: &str| ownership.owner(kind, &control(id));
            assert_eq!(owner("9007199254740993"), Owner::Us);
            assert_eq!(owner("\"9007199254740993\""), Owner::Us);
            assert_eq!(owner("5"), Owner::Other);
            let unknown = Owner::AuthorOf {
                channel_id: "c".into(),
                message_id: 6,
            };
            assert_eq!(owner("6"), unknown);
        }
    }

    #[test]
    fn what_cannot_be_read_and_what_has_no_owner_passes() {
        let mut ownership = Ownership::default();
        ownership.set_commands(Some([]));
        for (kind, payload) in [
            ("commandInteraction", "{"),
            ("commandInteraction", r#"{"commandId":"no guid"}"#),
            ("controlInteraction", r#"{"channelId":"c"}"#),
            ("selectInteraction", r#"{"channelId":"c","messageId":1.5}"#),
            ("modalSubmit", "{}"),
            ("somethingNew", &command(THEIRS)),
        ] {
            assert_eq!(
                ownership.owner(kind, payload),
                Owner::Us,
                "{kind} {payload}"
            );
        }
    }

    #[test]
    fn messages_are_bounded_and_used_ones_stay() {
        let mut recent = Recent::default();
        recent.insert(-1, true);
        for id in 0..3 * MESSAGES as i64 {
            recent.insert(id, id % 2 == 0);
            assert_eq!(recent.get(-1), Some(true), "in use after {id}");
            assert!(recent.young.len() + recent.old.len() <= MESSAGES);
        }
        assert_eq!(recent.get(0), None);
        assert_eq!(recent.get(3 * MESSAGES as i64 - 1), Some(false));
    }
}
