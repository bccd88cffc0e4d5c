//! Modals: opened by a bot, filled in by a person.
//!
//! A modal that was opened waits [`MODAL_LIFETIME`] for its submission, whose `interactionId` is the
//! `modalInteractionId`. What an invalid modal does and what a submission carries are quirks.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::controls::{check_answer, check_modal};
use super::{Fault, Id, Show, World, forms};
use crate::sim::clock::Now;

/// How long an opened modal can be submitted. The platform does not say; a person needs some minutes.
pub const MODAL_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// A modal that a person sees.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OpenModal {
    /// The definition, in the contract's form.
    pub definition: Value,
    /// The bot that opened it.
    pub bot: Id,
    /// Who sees it.
    pub user: Id,
    space: Id,
    channel: Id,
    #[serde(with = "forms::moment")]
    pub(super) expires: Instant,
}

impl World {
    /// The modal with that interaction id.
    pub fn open_modal(&self, id: Id) -> Option<&OpenModal> {
        self.modals.get(&id)
    }

    /// A person submits a modal (control API).
    pub fn submit(
        &mut self,
        user: Id,
        modal: Id,
        values: &BTreeMap<String, Vec<String>>,
        now: Now,
    ) -> Result<Id, Fault> {
        let open = self
            .modals
            .get(&modal)
            .filter(|open| open.user == user)
            .ok_or_else(|| Fault::missing("this person has no such modal open"))?;
        let components = open.definition["components"].as_array();
        let components = components.map_or(&[][..], Vec::as_slice);
        let known: HashSet<&str> = components.iter().filter_map(custom_id).collect();
        if let Some(name) = values.keys().find(|name| !known.contains(name.as_str())) {
            return Err(Fault::bad(format!("the modal has no component {name}")));
        }
        let mut filled = Vec::new();
        for component in components {
            let id = custom_id(component).unwrap_or_default();
            let given = values.get(id).map_or(&[][..], Vec::as_slice);
            check_answer(component, given).map_err(Fault::bad)?;
            let given = values.get(id);
            filled.push(json!({ "customId": id, "values": given }));
        }
        let (bot, space, channel) = (open.bot, open.space, open.channel);
        let custom_id = match self.quirks.modal_ids {
            true => json!(modal),
            false => open.definition["customId"].clone(),
        };
        self.modals.remove(&modal);
        if !self.quirks.modal_ids {
            self.begin_as(modal, bot, space, channel, user, now);
        }
        let mut payload = self.interaction_event(modal, space, channel, user);
        payload["customId"] = custom_id;
        payload["values"] = filled.into();
        self.tell_interaction(bot, channel, "modalSubmit", payload);
        Ok(modal)
    }

    /// A bot opens a form for the person, which uses the interaction up.
    pub fn open_form(&mut self, bot: Id, id: Id, definition: Value, now: Now) -> Result<Id, Fault> {
        self.open_interaction(bot, id, now)?;
        let is_valid = check_modal(&definition).is_ok();
        if !is_valid && !self.quirks.invalid_modal_is_used_up {
            return Err(Fault::code("validation_error"));
        }
        let used = self.interactions.remove(&id);
        let Some(used) = used.filter(|_| is_valid) else {
            return Err(Fault::Crash("validation_error"));
        };
        let modal = Id::new_v4();
        self.modals.insert(
            modal,
            OpenModal {
                definition,
                bot,
                user: used.user,
                space: used.space,
                channel: used.channel,
                expires: now.mono + MODAL_LIFETIME,
            },
        );
        self.timers_changed = true;
        self.show(Show::Modal {
            interaction: id,
            modal,
        });
        Ok(modal)
    }
}

fn custom_id(component: &Value) -> Option<&str> {
    component["customId"].as_str()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use crate::sim::world::Fault;
    use crate::sim::world::interactions::tests::{roll, run};
    use crate::sim::world::testing::{events, person, world};

    #[test]
    fn a_modal_uses_the_interaction_up_and_its_submission_carries_its_id() {
        let (mut world, bot, now) = world();
        roll(&mut world, bot);
        let id = run(&mut world, json!({"sides": 6}), now).expect("fine");
        let form = json!({"customId": "form", "title": "T",
            "components": [{"type": 0, "customId": "text", "label": "L", "required": true}]});
        let modal = world.open_form(bot, id, form, now).expect("valid");
        assert!(world.acknowledge(bot, id, "ack", now).is_err(), "used up");
        assert!(world.acknowledge(bot, modal, "ack", now).is_err(), "no ack");
        events(&mut world);

        let ada = person(&world, "Ada");
        let empty = world.submit(ada, modal, &BTreeMap::new(), now);
        assert!(empty.is_err(), "a required field is empty");
        let values = BTreeMap::from([("text".to_owned(), vec!["hello".to_owned()])]);
        world.submit(ada, modal, &values, now).expect("filled in");
        let (kind, payload) = events(&mut world).remove(0);
        assert_eq!(kind, "modalSubmit");
        assert_eq!(payload["customId"], json!(modal));
        assert_eq!(payload["interactionId"], json!(modal));
        assert_eq!(
            payload["values"],
            json!([{"customId": "text", "values": ["hello"]}])
        );
        assert!(world.submit(ada, modal, &values, now).is_err(), "once");
    }

    #[test]
    fn an_invalid_modal_crashes_and_still_uses_the_interaction_up() {
        let (mut world, bot, now) = world();
        roll(&mut world, bot);
        let id = run(&mut world, json!({"sides": 6}), now).expect("fine");
        let bad = world.open_form(bot, id, Value::Null, now);
        assert_eq!(bad, Err(Fault::Crash("validation_error")));
        assert!(world.acknowledge(bot, id, "ack", now).is_err());
    }
}
