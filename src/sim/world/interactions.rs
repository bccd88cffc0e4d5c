//! Interactions: what people do with commands and controls, and what the bots answer.
//!
//! An interaction lives [`INTERACTION_LIFETIME`] and belongs to the bot that registered the command or
//! sent the message. `Ack` and `Defer` leave it open, a modal (see `modals`) uses it up. Who hears of an
//! interaction is a quirk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::controls::{check_choice, is_button};
use super::entitlements::{COMMANDS, MANAGE_BOTS, lacks};
use super::options::{check_options, check_subjects};
use super::{Fault, Id, Message, Show, World, forms};
use crate::contract::CONTROL_TYPE;
use crate::contract::limits::INTERACTION_LIFETIME;
use crate::sim::clock::Now;

/// An interaction that can be answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Interaction {
    /// Whose turn it is to answer.
    pub bot: Id,
    /// The space it happened in.
    pub space: Id,
    /// The channel it happened in.
    pub channel: Id,
    /// Who did it.
    pub user: Id,
    /// When it is over.
    #[serde(with = "forms::moment")]
    pub expires: Instant,
    /// Whether the bot has answered, which asking for patience is not: the playground says so when
    /// nobody does.
    answered: bool,
}

impl World {
    fn begin(&mut self, bot: Id, space: Id, channel: Id, user: Id, now: Now) -> Id {
        self.begin_as(Id::new_v4(), bot, space, channel, user, now)
    }

    pub(super) fn begin_as(
        &mut self,
        id: Id,
        bot: Id,
        space: Id,
        channel: Id,
        user: Id,
        now: Now,
    ) -> Id {
        self.interactions.insert(
            id,
            Interaction {
                bot,
                space,
                channel,
                user,
                expires: now.mono + INTERACTION_LIFETIME,
                answered: false,
            },
        );
        self.timers_changed = true;
        id
    }

    /// The fields that every interaction event has.
    pub(super) fn interaction_event(&self, id: Id, space: Id, channel: Id, user: Id) -> Value {
        let voice = self.voice_state(user).map(|state| {
            json!({
                "channelId": state.channel,
                "joinedAt": state.joined.to_string(),
                "state": state.state,
            })
        });
        json!({
            "channelId": channel,
            "interactionId": id,
            "spaceId": space,
            "user": self.wire_user(user),
            "voiceState": voice,
        })
    }

    /// A person runs a slash command, named by id or by name (control API).
    pub fn run_command(
        &mut self,
        user: Id,
        channel: Id,
        id: Option<Id>,
        name: Option<&str>,
        options: &BTreeMap<String, Value>,
        now: Now,
    ) -> Result<Id, Fault> {
        let (space, _) = self.member_channel(user, channel, COMMANDS)?;
        let command = self
            .commands_in(space)
            .find(|command| match (id, name) {
                (Some(id), _) => command.id == id,
                (None, Some(name)) => command.name == name.to_lowercase(),
                (None, None) => false,
            })
            .ok_or_else(|| Fault::missing("no bot in the space has this command"))?;
        let place = self
            .space(space)
            .ok_or_else(|| Fault::missing("there is no such space"))?;
        let may_all = place.entitlements(user) & MANAGE_BOTS != 0;
        if !command.default_permission && !may_all {
            return Err(lacks(MANAGE_BOTS));
        }
        let values = check_options(command, options, place).map_err(Fault::bad)?;
        let (bot, command_id, command_name) = (command.bot, command.id, command.name.clone());
        let id = self.begin(bot, space, channel, user, now);
        let mut payload = self.interaction_event(id, space, channel, user);
        payload["commandId"] = json!(command_id);
        payload["commandName"] = command_name.into();
        payload["options"] = values.into();
        self.tell_interaction(bot, channel, "commandInteraction", payload);
        Ok(id)
    }

    /// A control of a message that the person may use (control API).
    fn usable_control(
        &self,
        user: Id,
        channel: Id,
        message: i64,
        named: impl Fn(&Value) -> bool,
    ) -> Result<(Id, &Message, &Value), Fault> {
        let (space, place) = self.member_channel(user, channel, 0)?;
        let message = place
            .message(message)
            .ok_or_else(|| Fault::missing("there is no such message in the channel"))?;
        let rows = message.controls.iter().flatten();
        let control = rows
            .filter_map(|row| row["controls"].as_array())
            .flatten()
            .find(|control| named(control))
            .ok_or_else(|| Fault::missing("the message has no such control"))?;
        if control["disabled"].as_bool() == Some(true) {
            return Err(Fault::bad("the control is disabled"));
        }
        if let Some(archetype) = control["requiredArchetypeId"].as_str() {
            let has = self
                .space(space)
                .and_then(|space| space.member(user))
                .is_some_and(|member| {
                    member
                        .archetypes
                        .iter()
                        .any(|id| id.to_string() == archetype)
                });
            if !has {
                return Err(Fault::bad("the control is for another archetype"));
            }
        }
        Ok((space, message, control))
    }

    /// A person clicks a button (control API).
    pub fn click(
        &mut self,
        user: Id,
        channel: Id,
        message: i64,
        control: &str,
        now: Now,
    ) -> Result<Id, Fault> {
        let (space, sent, found) = self.usable_control(user, channel, message, |known| {
            is_button(known) && known["id"] == control
        })?;
        let (bot, kind) = (sent.sender, found["type"].clone());
        let id = self.begin(bot, space, channel, user, now);
        let mut payload = self.interaction_event(id, space, channel, user);
        payload["controlId"] = control.into();
        payload["controlType"] = kind;
        payload["messageId"] = message.into();
        self.tell_interaction(bot, channel, "controlInteraction", payload);
        Ok(id)
    }

    /// A person chooses from a select (control API).
    pub fn select(
        &mut self,
        user: Id,
        channel: Id,
        message: i64,
        custom_id: &str,
        values: &[String],
        now: Now,
    ) -> Result<Id, Fault> {
        let (space, sent, found) = self.usable_control(user, channel, message, |known| {
            !is_button(known) && known["customId"] == custom_id
        })?;
        check_choice(found, values).map_err(Fault::bad)?;
        if let Some(place) = self.space(space) {
            let kind = found["type"].as_i64().unwrap_or(-1);
            let kind = CONTROL_TYPE.name_of(kind).unwrap_or("unknown");
            check_subjects(place, kind.trim_end_matches("Select"), values).map_err(Fault::bad)?;
        }
        let (bot, kind) = (sent.sender, found["type"].clone());
        let id = self.begin(bot, space, channel, user, now);
        let mut payload = self.interaction_event(id, space, channel, user);
        payload["controlType"] = kind;
        payload["customId"] = custom_id.into();
        payload["messageId"] = message.into();
        payload["values"] = json!(values);
        self.tell_interaction(bot, channel, "selectInteraction", payload);
        Ok(id)
    }

    pub(super) fn open_interaction(
        &mut self,
        bot: Id,
        id: Id,
        now: Now,
    ) -> Result<&mut Interaction, Fault> {
        self.interactions
            .get_mut(&id)
            .filter(|open| open.bot == bot && open.expires > now.mono)
            .ok_or_else(|| Fault::code("interaction_not_found"))
    }

    /// A bot confirms an interaction (`kind` is `ack`) or asks for patience (`defer`).
    pub fn acknowledge(
        &mut self,
        bot: Id,
        id: Id,
        kind: &'static str,
        now: Now,
    ) -> Result<(), Fault> {
        let open = self.open_interaction(bot, id, now)?;
        // Who asks for patience still owes an answer.
        open.answered |= kind == "ack";
        let user = open.user;
        self.show(Show::Answer {
            kind,
            interaction: id,
            user,
            bot,
        });
        Ok(())
    }

    /// A bot has replied or edited in the channel: a reply names no interaction, so every one that is
    /// open there counts as answered.
    pub fn answered_in(&mut self, bot: Id, channel: Id) {
        for open in self.interactions.values_mut() {
            if open.bot == bot && open.channel == channel {
                open.answered = true;
            }
        }
    }

    pub(super) fn expire_interactions(&mut self, now: Now) {
        self.modals.retain(|_, open| open.expires > now.mono);
        let mut silent = Vec::new();
        self.interactions.retain(|&id, open| {
            let over = open.expires <= now.mono;
            if over && !open.answered {
                silent.push((id, open.user));
            }
            !over
        });
        for (interaction, user) in silent {
            self.show(Show::Expired { interaction, user });
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use crate::sim::clock::Now;
    use crate::sim::world::testing::{channel, events, later, person, world};
    use crate::sim::world::{Draft, Effect, Fault, Id, NewCommand, Show, World};

    pub(in crate::sim::world) fn roll(world: &mut World, bot: Id) -> Id {
        let new = NewCommand {
            space: None,
            name: "roll".to_owned(),
            description: "Roll dice".to_owned(),
            options: Some(vec![
                json!({"name": "sides", "type": 1, "description": "How many", "required": true,
                    "choices": [{"name": "six", "value": 6}, {"name": "ten", "value": 10}]}),
                json!({"name": "for", "type": 3, "description": "Whom"}),
                json!({"name": "weight", "type": 6, "description": "How heavy",
                    "choices": [{"name": "half", "value": 0.5}, {"name": "whole", "value": 1.0}]}),
            ]),
            default_permission: true,
        };
        world.register_command(bot, new).expect("new").id
    }

    pub(in crate::sim::world) fn run(
        world: &mut World,
        options: Value,
        now: Now,
    ) -> Result<Id, Fault> {
        let (ada, general) = (person(world, "Ada"), channel(world, "general"));
        let options: BTreeMap<String, Value> = serde_json::from_value(options).expect("a map");
        world.run_command(ada, general, None, Some("roll"), &options, now)
    }

    #[test]
    fn options_are_checked_against_the_definition() {
        let (mut world, bot, now) = world();
        let command = roll(&mut world, bot);
        events(&mut world);
        for (options, what) in [
            (json!({}), "required"),
            (json!({"sides": "6"}), "integer"),
            (json!({"sides": 7}), "no choice"),
            (json!({"sides": 6, "x": 1}), "no option x"),
            (json!({"sides": 6, "weight": 2}), "no choice"),
            (json!({"sides": 6, "for": Id::nil()}), "no user"),
        ] {
            let fault = run(&mut world, options, now).expect_err("refused");
            let Fault::Refused {
                status: 400,
                message,
                ..
            } = fault
            else {
                panic!("{fault:?}");
            };
            assert!(message.contains(what), "{message}");
        }
        let boris = person(&world, "Boris");
        let id = run(&mut world, json!({"sides": 10, "for": boris}), now).expect("fine");
        let (kind, payload) = events(&mut world).remove(0);
        assert_eq!(kind, "commandInteraction");
        assert_eq!(payload["commandId"], json!(command));
        assert_eq!(payload["interactionId"], json!(id));
        assert_eq!(
            payload["options"],
            json!([{"name": "sides", "type": 1, "value": 10}, {"name": "for", "type": 3, "value": boris}])
        );
        assert_eq!(payload["voiceState"], Value::Null);
        // As JavaScript writes it.
        run(&mut world, json!({"sides": 6, "weight": 1}), now).expect("a whole number is one, too");
    }

    #[test]
    fn an_interaction_is_over_after_sixty_seconds() {
        let (mut world, bot, now) = world();
        roll(&mut world, bot);
        let id = run(&mut world, json!({"sides": 6}), now).expect("fine");
        let other = Id::nil();
        assert!(
            world.acknowledge(other, id, "ack", now).is_err(),
            "not its own"
        );
        assert!(world.acknowledge(bot, id, "ack", later(now, 59)).is_ok());
        assert!(world.acknowledge(bot, id, "defer", later(now, 59)).is_ok());
        let fault = world.acknowledge(bot, id, "ack", later(now, 60));
        assert_eq!(
            fault.expect_err("over").error(),
            Some("interaction_not_found")
        );
    }

    #[test]
    fn the_playground_hears_when_nobody_answered() {
        let (mut world, bot, now) = world();
        roll(&mut world, bot);
        let silent = run(&mut world, json!({"sides": 6}), now).expect("fine");
        let acked = run(&mut world, json!({"sides": 6}), now).expect("fine");
        let deferred = run(&mut world, json!({"sides": 6}), now).expect("fine");
        world.acknowledge(bot, acked, "ack", now).expect("open");
        world
            .acknowledge(bot, deferred, "defer", now)
            .expect("open");
        world.take_effects();
        world.expire(later(now, 60));
        let effects = world.take_effects();
        let mut expired: Vec<Id> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Show(Show::Expired { interaction, .. }) => Some(*interaction),
                _ => None,
            })
            .collect();
        let mut owed = [silent, deferred];
        expired.sort_unstable();
        owed.sort_unstable();
        assert_eq!(expired, owed, "a promise is no answer");
    }

    #[test]
    fn clicks_and_choices_reach_the_bot_that_sent_the_controls() {
        let (mut world, bot, now) = world();
        let (ada, general) = (person(&world, "Ada"), channel(&world, "general"));
        let row = |control: Value| json!({ "controls": [control] });
        let draft = Draft {
            text: "Vote".to_owned(),
            controls: Some(vec![
                row(json!({"type": 0, "variant": 0, "id": "yes", "label": "Yes"})),
                row(json!({"type": 0, "variant": 0, "id": "no", "label": "No", "disabled": true})),
                row(json!({"type": 2, "customId": "who", "maxValues": 2})),
            ]),
            ..Draft::default()
        };
        let message = world.send(bot, general, draft, Some(1), now).expect("sent");
        events(&mut world);
        let id = world
            .click(ada, general, message, "yes", now)
            .expect("there");
        world.acknowledge(bot, id, "ack", now).expect("its own");
        assert!(world.click(ada, general, message, "no", now).is_err());
        assert!(world.click(ada, general, message, "maybe", now).is_err());
        let choose = |world: &mut World, values: &[String]| {
            world.select(ada, general, message, "who", values, now)
        };
        let names = [ada.to_string(), person(&world, "Boris").to_string()];
        choose(&mut world, &names).expect("two of them");
        assert!(choose(&mut world, &[]).is_err());
        assert!(choose(&mut world, &["x".to_owned()]).is_err());
        let told = events(&mut world);
        assert_eq!(told[0].1["controlType"], 0);
        assert_eq!(told[1].0, "selectInteraction");
        assert_eq!(told[1].1["values"], json!(names));
    }
}
