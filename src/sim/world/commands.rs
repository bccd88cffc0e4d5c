//! Slash commands. Registering does not merge: a name that the bot has in a space already crashes the
//! platform's server, a global one is there twice.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Fault, Id, Show, World};
use crate::contract::limits::{COMMAND_DESCRIPTION, COMMAND_NAME, COMMANDS_PER_SCOPE};
use crate::contract::shapes::BOT_COMMAND_OPTION;
use crate::sim::params::within_limits;

/// A slash command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Command {
    /// Identity.
    pub id: Id,
    /// Whose it is.
    pub bot: Id,
    /// The scope; `None` is everywhere.
    pub space: Option<Id>,
    /// Lower-case.
    pub name: String,
    /// One line.
    pub description: String,
    /// In the contract's form; `None` as it was registered.
    pub options: Option<Vec<Value>>,
    /// Whether everybody may use it.
    pub default_permission: bool,
}

/// A command to be.
#[derive(Debug)]
pub struct NewCommand {
    /// The scope; `None` is everywhere.
    pub space: Option<Id>,
    /// Stored in lower case.
    pub name: String,
    /// One line.
    pub description: String,
    /// In the contract's form.
    pub options: Option<Vec<Value>>,
    /// Whether everybody may use it.
    pub default_permission: bool,
}

impl World {
    /// The commands of a bot, oldest first.
    pub fn commands_of(&self, bot: Id) -> impl Iterator<Item = &Command> {
        self.commands
            .iter()
            .filter(move |command| command.bot == bot)
    }

    /// The commands that people can use in a space: of the bots that are in it, global or its own.
    pub fn commands_in(&self, space: Id) -> impl Iterator<Item = &Command> {
        self.commands.iter().filter(move |command| {
            command.space.is_none_or(|scope| scope == space)
                && self
                    .space(space)
                    .is_some_and(|space| space.member(command.bot).is_some())
        })
    }

    /// A bot adds a command.
    pub fn register_command(&mut self, bot: Id, new: NewCommand) -> Result<&Command, Fault> {
        if let Some(space) = new.space {
            self.space_for(bot, space, 0)?;
        }
        let name = new.name.to_lowercase();
        let letters =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if !(1..=COMMAND_NAME).contains(&name.len()) || !name.chars().all(letters) {
            return Err(Fault::code("invalid_name"));
        }
        check_description(&new.description)?;
        check_options(new.options.as_deref())?;
        let scope: Vec<&Command> = self
            .commands_of(bot)
            .filter(|command| command.space == new.space)
            .collect();
        if scope.len() >= COMMANDS_PER_SCOPE {
            return Err(Fault::code("command_limit"));
        }
        let is_there = scope.iter().any(|command| command.name == name);
        if is_there && !(new.space.is_none() && self.quirks.global_commands_repeat) {
            return Err(Fault::Crash("invalid_name"));
        }
        self.show(Show::Commands);
        self.commands.push(Command {
            id: Id::new_v4(),
            bot,
            space: new.space,
            name,
            description: new.description,
            options: new.options,
            default_permission: new.default_permission,
        });
        self.commands.last().ok_or(Fault::Crash("not_found"))
    }

    /// A bot changes a command; what is `None` stays.
    pub fn update_command(
        &mut self,
        bot: Id,
        id: Id,
        description: Option<String>,
        options: Option<Vec<Value>>,
        default_permission: Option<bool>,
    ) -> Result<&Command, Fault> {
        let at = self.position(bot, id)?;
        if let Some(description) = &description {
            check_description(description)?;
        }
        check_options(options.as_deref())?;
        self.show(Show::Commands);
        let command = &mut self.commands[at];
        if let Some(description) = description {
            command.description = description;
        }
        if options.is_some() {
            command.options = options;
        }
        if let Some(permission) = default_permission {
            command.default_permission = permission;
        }
        Ok(command)
    }

    /// A bot removes a command.
    pub fn delete_command(&mut self, bot: Id, id: Id) -> Result<(), Fault> {
        let at = self.position(bot, id)?;
        self.commands.remove(at);
        self.show(Show::Commands);
        Ok(())
    }

    fn position(&self, bot: Id, id: Id) -> Result<usize, Fault> {
        self.commands
            .iter()
            .position(|command| command.id == id && command.bot == bot)
            .ok_or_else(|| Fault::code("not_found"))
    }
}

fn check_description(text: &str) -> Result<(), Fault> {
    if text.encode_utf16().count() > COMMAND_DESCRIPTION {
        return Err(Fault::code("invalid_description"));
    }
    Ok(())
}

/// The platform documents no code for a bad option; its names and descriptions have the limits of a
/// command's, so an option breaks them with the crash of an unchecked insert.
fn check_options(options: Option<&[Value]>) -> Result<(), Fault> {
    for option in options.unwrap_or_default() {
        within_limits(option, &BOT_COMMAND_OPTION, "option")
            .map_err(|_| Fault::Crash("validation_error"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::NewCommand;
    use crate::sim::world::testing::world;
    use crate::sim::world::{Fault, Id};

    fn new(name: &str, space: Option<Id>) -> NewCommand {
        NewCommand {
            space,
            name: name.to_owned(),
            description: "What it does".to_owned(),
            options: None,
            default_permission: true,
        }
    }

    #[test]
    fn a_name_is_unique_in_a_space_but_not_globally() {
        let (mut world, bot, _) = world();
        let space = world.default_space();
        let mut register = |name, space| world.register_command(bot, new(name, space)).map(drop);
        register("Roll", space).expect("new");
        assert_eq!(register("roll", space), Err(Fault::Crash("invalid_name")));
        register("roll", None).expect("global");
        register("roll", None).expect("global twice");
        let names: Vec<&str> = world.commands_of(bot).map(|c| &*c.name).collect();
        assert_eq!(names, ["roll", "roll", "roll"]);
    }

    #[test]
    fn names_and_descriptions_have_limits() {
        let (mut world, bot, _) = world();
        for name in ["", "two words", "é", &"x".repeat(33)] {
            let fault = world
                .register_command(bot, new(name, None))
                .expect_err("no");
            assert_eq!(fault.error(), Some("invalid_name"), "{name}");
        }
        let long = NewCommand {
            description: "x".repeat(101),
            ..new("ok", None)
        };
        let fault = world.register_command(bot, long).expect_err("no");
        assert_eq!(fault.error(), Some("invalid_description"));
        for n in 0..50 {
            world
                .register_command(bot, new(&format!("c{n}"), None))
                .expect("room");
        }
        let fault = world
            .register_command(bot, new("c50", None))
            .expect_err("no");
        assert_eq!(fault.error(), Some("command_limit"));
        let space = world.default_space();
        assert!(world.register_command(bot, new("c50", space)).is_ok());
    }

    #[test]
    fn what_an_update_leaves_out_stays() {
        let (mut world, bot, _) = world();
        let id = world.register_command(bot, new("a", None)).expect("new").id;
        let text = Some("Else".to_owned());
        let command = world
            .update_command(bot, id, text, None, None)
            .expect("own");
        assert_eq!(
            (&*command.description, command.default_permission),
            ("Else", true)
        );
        let other = Id::nil();
        assert!(world.update_command(other, id, None, None, None).is_err());
        world.delete_command(bot, id).expect("own");
        let gone = world.delete_command(bot, id).expect_err("gone");
        assert_eq!(gone.error(), Some("not_found"));
    }
}
