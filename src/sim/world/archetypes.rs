//! Archetypes, the platform's roles. A space's first one is everybody's.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Fault, Id, Show, World, forms, wire};

/// A role.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Archetype {
    /// Identity.
    pub id: Id,
    /// Name.
    pub name: String,
    /// 0xRRGGBB.
    pub colour: i32,
    /// Whether everybody has it.
    pub is_default: bool,
    /// Whether messages can mention it.
    pub is_mentionable: bool,
    /// Mask of [`crate::contract::ENTITLEMENTS`].
    #[serde(with = "forms::number")]
    pub permissions: u64,
}

/// What becomes different about an archetype, or what a new one is like; what is `None` stays.
#[derive(Debug, Default)]
pub struct ArchetypeChange {
    /// Name, not empty.
    pub name: Option<String>,
    /// 0xRRGGBB.
    pub colour: Option<i32>,
    /// Whether messages can mention it.
    pub is_mentionable: Option<bool>,
    /// Mask of [`crate::contract::ENTITLEMENTS`].
    pub permissions: Option<u64>,
}

impl World {
    /// Makes an archetype, or changes the one with that id (control API).
    pub fn set_archetype(
        &mut self,
        space: Id,
        id: Option<Id>,
        change: ArchetypeChange,
    ) -> Result<Id, Fault> {
        if change
            .name
            .as_ref()
            .is_some_and(|name| name.trim().is_empty())
        {
            return Err(Fault::bad("name must not be empty"));
        }
        let place = self.space_mut(space);
        let place = place.ok_or_else(|| Fault::missing("there is no such space"))?;
        let (at, kind) = match id {
            Some(id) => {
                let at = place.archetypes.iter().position(|known| known.id == id);
                let at = at.ok_or_else(|| Fault::missing("the space has no such archetype"))?;
                (at, "archetypeUpdate")
            }
            None => {
                let name = change.name.clone();
                place.archetypes.push(Archetype {
                    id: Id::new_v4(),
                    name: name.ok_or_else(|| Fault::bad("a new archetype needs a name"))?,
                    colour: super::setup::GREY,
                    is_default: false,
                    is_mentionable: true,
                    permissions: super::setup::EVERYONE,
                });
                (place.archetypes.len() - 1, "archetypeCreate")
            }
        };
        let archetype = &mut place.archetypes[at];
        if let Some(name) = change.name {
            archetype.name = name;
        }
        archetype.colour = change.colour.unwrap_or(archetype.colour);
        archetype.is_mentionable = change.is_mentionable.unwrap_or(archetype.is_mentionable);
        archetype.permissions = change.permissions.unwrap_or(archetype.permissions);
        let id = archetype.id;
        // One payload goes to every bot, so that it shows no more than the least of them may see.
        let shown = wire::archetype(space, archetype, false);
        self.tell(space, kind, json!({ "archetype": shown, "spaceId": space }));
        self.show(Show::World);
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::ArchetypeChange;
    use crate::sim::world::testing::{events, world};

    #[test]
    fn archetypes_are_made_and_changed_with_an_event_each() {
        let (mut world, _, _) = world();
        let space = world.default_space().expect("a space");
        let new = ArchetypeChange {
            name: Some("builder".to_owned()),
            ..ArchetypeChange::default()
        };
        let id = world.set_archetype(space, None, new).expect("new");
        let grey = ArchetypeChange {
            colour: Some(0x12_34_56),
            permissions: Some(1),
            ..ArchetypeChange::default()
        };
        world.set_archetype(space, Some(id), grey).expect("known");
        let told = events(&mut world);
        assert_eq!(told[0].0, "archetypeCreate");
        assert_eq!(told[1].0, "archetypeUpdate");
        assert_eq!(told[1].1["archetype"]["colour"], 0x12_34_56);
        assert!(told[1].1["archetype"]["permissions"].is_null());
        let nameless = world.set_archetype(space, None, ArchetypeChange::default());
        assert!(nameless.is_err());
    }
}
