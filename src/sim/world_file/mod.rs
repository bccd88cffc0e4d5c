//! A world from a file: spaces, channels, archetypes, people and bots, written in TOML.
//!
//! [`load`] gives a whole [`Plan`] whose references all lead somewhere, or every problem of the file at
//! once, each with line, column and the way out. A key that is not in the tables of [`keys`] is an error.

pub mod keys;
mod read;

use std::collections::HashSet;
use std::path::Path;

use super::world::{
    ArchetypePlan, BotPlan, ChannelPlan, EVERYBODYS, OverridePlan, PersonPlan, Plan, SpacePlan,
};
use crate::config::{Problem, Secret, Severity};
use crate::contract::{CHANNEL_TYPE, ENTITLEMENTS};
use read::{Reader, Section, Text};

/// An archetype's colour unless the file says another.
const GREY: i32 = 0x99_aa_b5;

/// Reads a world file.
///
/// # Errors
/// Every problem of the file, by line.
pub fn load(path: &Path) -> Result<Plan, Vec<Problem>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot be read: {error}");
        let problem = Problem::of_file(Severity::Error, path, message);
        vec![problem.help("name an existing world file, saved as UTF-8")]
    })?;
    parse(path, &text)
}

/// Reads the text of a world file; `path` is for the problems.
pub fn parse(path: &Path, text: &str) -> Result<Plan, Vec<Problem>> {
    let mut reader = Reader::new(path, text);
    let root = reader.parse();
    // After a syntax error nothing further is certain.
    if reader.problems.is_empty() {
        let file = root.get_ref();
        let label = "a world file".to_owned();
        let file = reader.section(file, root.span(), &keys::FILE, label);
        let plan = plan(&mut reader, &file);
        if plan.spaces.is_empty() && reader.problems.is_empty() {
            let problem = Problem::of_file(Severity::Error, path, "has no space");
            let help = "write [[space]] and its name, and [[space.channel]] below it";
            reader.problems.push(problem.help(help));
        }
        if reader.problems.is_empty() {
            return Ok(plan);
        }
    }
    let mut problems = reader.problems;
    Problem::sort(&mut problems);
    Err(problems)
}

fn plan(reader: &mut Reader<'_>, file: &Section<'_>) -> Plan {
    let mut plan = Plan::default();
    let mut names = Names::new("space");
    for section in reader.sections(file, "space", &keys::SPACE) {
        let name = names.take(reader, &section);
        let archetypes = archetypes(reader, &section);
        let space = SpacePlan {
            name,
            description: reader.text(&section, "description").map(|(_, text)| text),
            channels: channels(reader, &section, &archetypes),
            archetypes,
        };
        plan.spaces.push(space);
    }
    let mut names = Names::new("person");
    let mut usernames = HashSet::new();
    for section in reader.sections(file, "person", &keys::PERSON) {
        let person = person(reader, &section, &plan.spaces, &mut names);
        take_username(reader, &section, &mut usernames, &person.username);
        plan.people.push(person);
    }
    let mut names = Names::new("bot");
    for section in reader.sections(file, "bot", &keys::BOT) {
        let bot = bot(reader, &section, &plan.spaces, &mut names);
        take_username(reader, &section, &mut usernames, &bot.username);
        let others = plan.bots.iter().filter_map(|other| other.token.as_ref());
        if others
            .clone()
            .any(|token| Some(token) == bot.token.as_ref())
        {
            let message = "another bot has the same token".to_owned();
            reader.error(section.span, message, None);
        }
        plan.bots.push(bot);
    }
    plan
}

/// Notes a username that somebody has, or that is empty, unless the name is missing anyway.
fn take_username(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    taken: &mut HashSet<String>,
    username: &str,
) {
    let message = if !section.has("name") {
        return;
    } else if username.is_empty() {
        "the name has no letter to make a username of".to_owned()
    } else if !taken.insert(username.to_owned()) {
        format!("the username \"{username}\" is taken")
    } else {
        return;
    };
    let help = match section.has("username") {
        true => "choose another one",
        false => "choose another name",
    };
    reader.error(section.span.clone(), message, Some(help.to_owned()));
}

fn channels(
    reader: &mut Reader<'_>,
    space: &Section<'_>,
    archetypes: &[ArchetypePlan],
) -> Vec<ChannelPlan> {
    let mut names = Names::new("channel of this space");
    let mut channels = Vec::new();
    for section in reader.sections(space, "channel", &keys::CHANNEL) {
        let name = names.take(reader, &section);
        let kind = match reader.text(&section, "type") {
            None => 0,
            Some(text) => CHANNEL_TYPE.number(&text.1).unwrap_or_else(|| {
                let names: Vec<_> = CHANNEL_TYPE.names().collect();
                reader.unknown(&text, "channel type", names.iter().copied());
                0
            }),
        };
        channels.push(ChannelPlan {
            name,
            kind,
            description: reader.text(&section, "description").map(|(_, text)| text),
            slow_mode: reader.duration(&section, "slow_mode"),
            overrides: overrides(reader, &section, archetypes),
        });
    }
    channels
}

fn overrides(
    reader: &mut Reader<'_>,
    channel: &Section<'_>,
    archetypes: &[ArchetypePlan],
) -> Vec<OverridePlan> {
    let known = archetypes.iter().map(|known| known.name.as_str());
    let known: Vec<&str> = std::iter::once(EVERYBODYS)
        .chain(known.filter(|name| *name != EVERYBODYS))
        .collect();
    let mut rules = Vec::new();
    for section in reader.sections(channel, "override", &keys::OVERRIDE) {
        let Some(name) = reader.needed(&section, "archetype") else {
            continue;
        };
        if !known.contains(&name.1.as_str()) {
            reader.unknown(&name, "archetype", known.iter().copied());
        }
        rules.push(OverridePlan {
            archetype: name.1,
            allow: entitlements(reader, &section, "allow").unwrap_or_default(),
            deny: entitlements(reader, &section, "deny").unwrap_or_default(),
        });
    }
    rules
}

fn archetypes(reader: &mut Reader<'_>, space: &Section<'_>) -> Vec<ArchetypePlan> {
    let mut names = Names::new("archetype of this space");
    let mut archetypes = Vec::new();
    for section in reader.sections(space, "archetype", &keys::ARCHETYPE) {
        let name = names.take(reader, &section);
        let colour = match reader.text(&section, "colour") {
            None => GREY,
            Some((span, text)) => colour(&text).unwrap_or_else(|| {
                let help = "write it as \"#2ecc71\"".to_owned();
                reader.error(span, "\"colour\" is no colour", Some(help));
                GREY
            }),
        };
        let mentionable = reader.boolean(&section, "mentionable", name != EVERYBODYS);
        archetypes.push(ArchetypePlan {
            name,
            colour,
            mentionable,
            permissions: entitlements(reader, &section, "permissions"),
        });
    }
    archetypes
}

fn colour(text: &str) -> Option<i32> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
    i32::from_str_radix(digits, 16)
        .ok()
        .filter(|&value| value >= 0)
}

fn person(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    spaces: &[SpacePlan],
    names: &mut Names,
) -> PersonPlan {
    let name = names.take(reader, section);
    let username = reader.text(section, "username").map(|(_, text)| text);
    let username = username.unwrap_or_else(|| {
        let letters = name.chars().filter(|c| c.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect()
    });
    let at = spaces_of(reader, section, spaces);
    PersonPlan {
        username,
        archetypes: own_archetypes(reader, section, spaces, at.as_ref(), &name),
        spaces: at,
        name,
    }
}

/// The archetypes that somebody has beside everybody's.
fn own_archetypes(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    spaces: &[SpacePlan],
    at: Option<&Vec<String>>,
    name: &str,
) -> Vec<String> {
    let wanted = reader.texts(section, "archetypes").unwrap_or_default();
    let here = |space: &&SpacePlan| at.is_none_or(|at| at.contains(&space.name));
    let known = spaces
        .iter()
        .filter(here)
        .flat_map(|space| &space.archetypes);
    let known: Vec<&str> = known.map(|archetype| archetype.name.as_str()).collect();
    let mut archetypes = Vec::new();
    for text in wanted {
        if !known.contains(&text.1.as_str()) {
            reader.unknown(&text, "archetype", known.iter().copied());
        } else if text.1 == EVERYBODYS || archetypes.contains(&text.1) {
            let message = format!("\"{}\" is one of {name}'s archetypes already", text.1);
            reader.error(text.0, message, Some("leave it out".to_owned()));
        } else {
            archetypes.push(text.1);
        }
    }
    archetypes
}

fn bot(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    spaces: &[SpacePlan],
    names: &mut Names,
) -> BotPlan {
    let name = names.take(reader, section);
    let username = match name.to_ascii_lowercase().ends_with("bot") {
        true => name.clone(),
        false => format!("{name}bot"),
    };
    let token = reader.text(section, "token").map(|(span, token)| {
        if !is_token(&token) {
            let message = "\"token\" in [[bot]] has not the form of a token".to_owned();
            let help = "write 32 hexadecimal digits, a colon and letters, digits, - and _; or leave it out and take the one that is printed";
            reader.error(span, message, Some(help.to_owned()));
        }
        Secret::new(token)
    });
    let at = spaces_of(reader, section, spaces);
    BotPlan {
        username,
        token,
        verified: reader.boolean(section, "verified", true),
        archetypes: own_archetypes(reader, section, spaces, at.as_ref(), &name),
        spaces: at,
        granted: entitlements(reader, section, "entitlements"),
        required: entitlements(reader, section, "requires"),
        name,
    }
}

fn is_token(token: &str) -> bool {
    token.split_once(':').is_some_and(|(id, secret)| {
        let is_secret = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        id.len() == 32
            && id.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !secret.is_empty()
            && secret.bytes().all(is_secret)
    })
}

fn spaces_of(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    spaces: &[SpacePlan],
) -> Option<Vec<String>> {
    let wanted = reader.texts(section, "spaces")?;
    let names = spaces.iter().map(|space| space.name.as_str());
    let mut found = Vec::new();
    for text in wanted {
        match names.clone().any(|name| name == text.1) {
            true => found.push(text.1),
            false => reader.unknown(&text, "space", names.clone()),
        }
    }
    Some(found)
}

fn entitlements(reader: &mut Reader<'_>, section: &Section<'_>, key: &str) -> Option<u64> {
    let names: Vec<&str> = ENTITLEMENTS.values.iter().map(|(_, name)| *name).collect();
    let mut mask = 0;
    for text in reader.texts(section, key)? {
        match ENTITLEMENTS.mask(&text.1) {
            Some(bit) => mask |= bit,
            None => reader.unknown(&text, "entitlement", names.iter().copied()),
        }
    }
    Some(mask)
}

/// Names that must be unique.
struct Names {
    what: &'static str,
    taken: HashSet<String>,
}

impl Names {
    fn new(what: &'static str) -> Self {
        Self {
            what,
            taken: HashSet::new(),
        }
    }

    /// The section's name; an empty one when it has none, which was noted.
    fn take(&mut self, reader: &mut Reader<'_>, section: &Section<'_>) -> String {
        let Some((span, name)): Option<Text> = reader.needed(section, "name") else {
            return String::new();
        };
        if !self.taken.insert(name.clone()) {
            let message = format!("another {} has the name \"{name}\"", self.what);
            reader.error(span, message, None);
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::parse;

    fn problems(text: &str) -> Vec<String> {
        let found = parse(Path::new("world.toml"), text).expect_err("problems");
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_small_world_gets_the_defaults() {
        let text = "[[space]]\nname = \"Home\"\n[[space.channel]]\nname = \"hall\"\n\
                    [[person]]\nname = \"Ada Lovelace\"\n[[bot]]\nname = \"helper\"\n";
        let plan = parse(Path::new("world.toml"), text).expect("a world");
        assert_eq!(plan.spaces[0].channels[0].kind, 0);
        assert_eq!(plan.people[0].username, "adalovelace");
        let bot = &plan.bots[0];
        assert_eq!((bot.username.as_str(), bot.verified), ("helperbot", true));
        assert!(bot.token.is_none() && bot.granted.is_none() && bot.spaces.is_none());
    }

    #[test]
    fn every_mistake_is_named_with_its_place_and_the_way_out() {
        let text = "[[space]]\nname = \"Home\"\ndescrption = \"x\"\n\
                    [[space.channel]]\nname = \"hall\"\ntype = \"txt\"\n\
                    [[person]]\nname = \"Ada\"\nspaces = [\"Hme\"]\n\
                    [[bot]]\nverified = 1\nentitlements = [\"sendMesages\"]\n";
        let found = problems(text);
        let expected = [
            "world.toml:3:1: error: unknown key \"descrption\" in [[space]]\n  3 | descrption = \"x\"\n    | ^^^^^^^^^^\n  help: did you mean \"description\"?",
            "world.toml:6:8: error: there is no channel type \"txt\"",
            "world.toml:9:11: error: there is no space \"Hme\"",
            "world.toml:10:1: error: [[bot]] needs \"name\"",
            "world.toml:11:12: error: \"verified\" in [[bot]] must be true or false",
            "world.toml:12:17: error: there is no entitlement \"sendMesages\"",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
        assert!(found[5].contains("did you mean \"sendMessages\"?"));
    }

    #[test]
    fn names_and_tokens_are_unique_and_a_token_is_never_shown() {
        let token = format!("{}:c2VjcmV0", "0a".repeat(16));
        let text = format!(
            "[[space]]\nname = \"Home\"\n[[space]]\nname = \"Home\"\n\
             [[bot]]\nname = \"a\"\ntoken = \"{token}\"\n\
             [[bot]]\nname = \"b\"\ntoken = \"{token}\"\n\
             [[bot]]\nname = \"c\"\ntoken = \"c2VjcmV0\"\n"
        );
        let found = problems(&text);
        assert_eq!(found.len(), 3, "{found:#?}");
        assert!(found[0].contains("another space has the name \"Home\""));
        assert!(found[1].contains("another bot has the same token"));
        assert!(found[2].contains("has not the form of a token"));
        assert!(!found.concat().contains("c2VjcmV0"));
    }

    #[test]
    fn usernames_are_unique_over_people_and_bots() {
        let text = "[[space]]\nname = \"Home\"\n[[person]]\nname = \"Ada L\"\n[[person]]\nname = \"AdaL\"\n\
                    [[person]]\nname = \"!\"\n[[bot]]\nname = \"help\"\n[[bot]]\nname = \"helpbot\"\n";
        let found = problems(text);
        assert_eq!(found.len(), 3, "{found:#?}");
        assert!(found[0].contains(":5:1: error: the username \"adal\" is taken"));
        assert!(found[1].contains(":7:1: error: the name has no letter"));
        assert!(found[2].contains(":11:1: error: the username \"helpbot\" is taken"));
    }

    #[test]
    fn a_world_without_a_space_and_a_broken_file_are_refused() {
        assert!(problems("")[0].contains("has no space"));
        let broken = problems("[[space]]\nname = \n");
        assert!(broken[0].starts_with("world.toml:2:"), "{broken:?}");
    }
}
