//! Slash commands of all scripts, brought in line with the platform by List and the smallest set of
//! Register, Update and Delete.
//!
//! A command is known by its name (lower-case) and scope (global, or one space); these two never
//! change, everything else is compared in a normal form, because the platform answers with enums as
//! numbers or names, absent or null, and fills in defaults. Fields that a script leaves out are not
//! compared: the platform's default stands. Deletes go first, so that the limit of 50 commands in a
//! scope is not in the way of the new ones.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::contract;
use crate::contract::shapes;
use crate::contract::{Field, Type};
use crate::rest;

/// The id that the platform uses for no id.
const NO_ID: &str = "00000000-0000-0000-0000-000000000000";

/// A slash command that a script registered.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandSpec {
    /// The script that answers it.
    pub script: String,
    /// The name, lower-case.
    pub name: String,
    /// The space it is for; `None` is global.
    pub space_id: Option<String>,
    /// The parameters of `ICommands/Register`.
    pub definition: Map<String, Value>,
}

/// What tells commands apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandKey {
    /// The name, lower-case.
    pub name: String,
    /// The space it is for; `None` is global.
    pub space_id: Option<String>,
    /// The script that answers it.
    pub script: String,
}

/// A command that the platform knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The platform's id, which interactions carry.
    pub id: String,
    /// Which command it is.
    pub key: CommandKey,
}

impl CommandSpec {
    /// Name and scope.
    pub(super) fn key(&self) -> (&str, Option<&str>) {
        (&self.name, self.space_id.as_deref())
    }

    /// The scope for people.
    pub(super) fn scope(&self) -> String {
        match &self.space_id {
            Some(space) => format!("space {space}"),
            None => "global".to_owned(),
        }
    }
}

/// One call on the way to what the scripts want.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Remove the command with this id.
    Delete {
        /// The platform's id.
        id: String,
    },
    /// Change the command with this id to what the script wants.
    Update {
        /// The platform's id.
        id: String,
        /// Parameters of `ICommands/Update`.
        params: Map<String, Value>,
        /// The index in the wanted list.
        wanted: usize,
    },
    /// Add a command.
    Register {
        /// Parameters of `ICommands/Register`.
        params: Map<String, Value>,
        /// The index in the wanted list.
        wanted: usize,
    },
    /// Leave it as it is.
    Keep {
        /// The platform's id.
        id: String,
        /// The index in the wanted list.
        wanted: usize,
    },
}

/// The steps from what exists (the `commands` of `ICommands/List`) to what is wanted.
pub fn plan(wanted: &[CommandSpec], existing: &[Value]) -> Vec<Step> {
    let mut taken = BTreeSet::new();
    let mut deletes = Vec::new();
    let mut others = Vec::new();
    for command in existing {
        let Some(id) = text(command, "commandId") else {
            continue;
        };
        let name = text(command, "name").unwrap_or_default().to_lowercase();
        let space = scope_of(command.get("spaceId"));
        let index = wanted.iter().position(|want| {
            want.name == name && same_id(want.space_id.as_deref(), space.as_deref())
        });
        match index {
            // The platform lets a global command be registered twice: the second one goes.
            Some(index) if taken.insert(index) => {
                others.push(compare(id, command, index, &wanted[index]));
            }
            _ => deletes.push(Step::Delete { id }),
        }
    }
    let new = wanted
        .iter()
        .enumerate()
        .filter(|(index, _)| !taken.contains(index))
        .map(|(wanted, want)| Step::Register {
            params: want.definition.clone(),
            wanted,
        });
    deletes.into_iter().chain(others).chain(new).collect()
}

fn compare(id: String, existing: &Value, wanted: usize, want: &CommandSpec) -> Step {
    let params = ["description", "defaultPermission", "options"]
        .into_iter()
        .filter_map(|name| {
            let value = want.definition.get(name).filter(|value| !value.is_null())?;
            Some((name.to_owned(), value.clone()))
        })
        // A command without options is one with none: that, too, is a difference.
        .chain(
            (!want.definition.contains_key("options")).then(|| ("options".to_owned(), json!([]))),
        );
    let mut params: Map<String, Value> = params.collect();
    let differs = params.iter().any(|(name, value)| {
        let field = shapes::BOT_COMMAND.field(name);
        let existing = existing.get(name).unwrap_or(&Value::Null);
        normal(field, value) != normal(field, existing)
    });
    if differs {
        params.insert("commandId".to_owned(), Value::String(id.clone()));
        Step::Update { id, params, wanted }
    } else {
        Step::Keep { id, wanted }
    }
}

/// A value as both sides would write it: enums as numbers, absent members and their defaults gone,
/// members in alphabetical order.
fn normal(field: Option<&Field>, value: &Value) -> Value {
    match field {
        Some(field) => normal_type(&field.ty, value),
        None => value.clone(),
    }
}

fn normal_type(ty: &Type, value: &Value) -> Value {
    match (ty, value) {
        (Type::List(_), Value::Null) => json!([]),
        (Type::List(of), Value::Array(items)) => {
            items.iter().map(|item| normal_type(of, item)).collect()
        }
        (Type::Enum(names), Value::String(name)) => names
            .number(name)
            .map_or_else(|| value.clone(), |number| Value::from(number as f64)),
        (Type::Object(shape), Value::Object(members)) => {
            let mut all = std::collections::BTreeMap::new();
            for (name, value) in members {
                let field = shape
                    .fields
                    .iter()
                    .find(|f| f.name.eq_ignore_ascii_case(name));
                let value = normal(field, value);
                let default = match &value {
                    Value::Null => true,
                    Value::Bool(on) => !on && field.is_some_and(|field| field.optional),
                    Value::Array(items) => items.is_empty(),
                    _ => false,
                };
                if !default {
                    all.insert(field.map_or(name.as_str(), |field| field.name), value);
                }
            }
            all.into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<Map<_, _>>()
                .into()
        }
        // `5` and `5.0` are one number.
        (_, Value::Number(number)) => number.as_f64().map_or_else(|| value.clone(), Value::from),
        _ => value.clone(),
    }
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

fn scope_of(value: Option<&Value>) -> Option<String> {
    value
        .and_then(Value::as_str)
        .filter(|id| !id.is_empty() && *id != NO_ID)
        .map(str::to_owned)
}

fn same_id(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
        (None, None) => true,
        _ => false,
    }
}

/// Why the commands could not be brought in line.
#[derive(Debug, thiserror::Error)]
#[error("cannot bring {what} in line: {source}")]
pub struct SyncError {
    /// `the commands`, or the one that was refused.
    pub what: String,
    /// What the platform said.
    pub source: rest::Error,
}

/// What a synchronisation did.
#[derive(Debug, Default)]
pub struct Synced {
    /// The commands that are now known to the platform, with their ids.
    pub commands: Vec<Registered>,
    /// Calls made beside List.
    pub changes: usize,
    /// What could not be brought in line; everything else is in place.
    pub failed: Vec<SyncError>,
    /// A command may be registered under an id that is not known: the answer did not come.
    pub is_unsure: bool,
    /// The names, with a slash, of commands that nobody wants and that stay for now.
    pub left_out: Vec<String>,
}

/// Whether another attempt may do what one could not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Again {
    /// It would fail the same way, or there is nothing to do.
    Never,
    /// Perhaps, and not before long.
    Later,
    /// When the platform is well again.
    Soon,
}

impl Synced {
    /// Whether another attempt may do what this one could not.
    pub fn again(&self) -> Again {
        let all = self.failed.iter().map(SyncError::again);
        all.max().unwrap_or(Again::Never)
    }
}

impl SyncError {
    /// Whether it may be mended by waiting. A bare 500 is how the platform refuses what is wrong with a
    /// command, but now and then a fault of its own.
    pub fn again(&self) -> Again {
        match self.source.status {
            500 => Again::Later,
            _ if self.source.may_pass_by_waiting() => Again::Soon,
            _ => Again::Never,
        }
    }
}

/// What happens in the course of a synchronisation.
#[derive(Debug)]
pub enum Progress<'a> {
    /// Commands of these names, lower-case, are about to be registered.
    Registering(Vec<String>),
    /// This one now has an id. It may be used from now on, long before the synchronisation is over: the
    /// rest may have to wait for the rate limit.
    Registered(&'a Registered),
}

/// Brings the platform's commands in line with `wanted`, and tells how far it is. Without `is_all` there may
/// be commands that are wanted and not known yet: none is deleted then.
///
/// # Errors
/// When the commands cannot be listed. A command for which a call failed is in [`Synced::failed`].
pub async fn sync(
    client: &rest::Client,
    wanted: &[CommandSpec],
    is_all: bool,
    tell: impl Fn(Progress<'_>),
) -> Result<Synced, SyncError> {
    let list = request(client, "List", Map::new())
        .await
        .map_err(|source| SyncError {
            what: "the commands".to_owned(),
            source,
        })?;
    let existing = match list.get("commands") {
        Some(Value::Array(commands)) => commands.clone(),
        _ => Vec::new(),
    };
    let mut synced = Synced::default();
    let steps = plan(wanted, &existing);
    let registered = steps.iter().filter_map(|step| match step {
        Step::Register { wanted: index, .. } => Some(wanted[*index].name.clone()),
        _ => None,
    });
    tell(Progress::Registering(registered.collect()));
    for step in steps {
        if !is_all && let Step::Delete { id } = &step {
            synced.left_out.push(named(&existing, id));
            continue;
        }
        // What is wanted and the id that it has, what it is otherwise, and what came of the call.
        let (place, what, outcome) = match step {
            Step::Keep { id, wanted } => (Some((wanted, Some(id))), String::new(), Ok(())),
            Step::Delete { id } => {
                synced.changes += 1;
                let params = Map::from_iter([("commandId".to_owned(), Value::String(id.clone()))]);
                let done = request(client, "Delete", params).await;
                (None, format!("the old command {id}"), done.map(drop))
            }
            Step::Update { id, params, wanted } => {
                synced.changes += 1;
                let done = request(client, "Update", params).await;
                // Also the command as it was before is the bot's.
                (Some((wanted, Some(id))), String::new(), done.map(drop))
            }
            Step::Register { params, wanted } => {
                synced.changes += 1;
                let done = request(client, "Register", params).await;
                let id = done.as_ref().ok().map(|answer| text(answer, "commandId"));
                synced.is_unsure |= done.as_ref().is_err_and(rest::Error::may_have_taken_effect);
                (
                    Some((wanted, id.map(Option::unwrap_or_default))),
                    String::new(),
                    done.map(drop),
                )
            }
        };
        let want = place.as_ref().map(|(index, _)| &wanted[*index]);
        if let Err(source) = outcome {
            synced.failed.push(SyncError {
                what: want.map_or(what, |want| {
                    format!(
                        "/{} ({}) of script {}",
                        want.name,
                        want.scope(),
                        want.script
                    )
                }),
                source,
            });
        }
        if let (Some(want), Some((_, Some(id)))) = (want, place) {
            let registered = Registered {
                id,
                key: CommandKey {
                    name: want.name.clone(),
                    space_id: want.space_id.clone(),
                    script: want.script.clone(),
                },
            };
            tell(Progress::Registered(&registered));
            synced.commands.push(registered);
        }
    }
    Ok(synced)
}

/// How people call the command with this id.
fn named(existing: &[Value], id: &str) -> String {
    let with_id = |command: &&Value| text(command, "commandId").as_deref() == Some(id);
    let name = existing
        .iter()
        .find(with_id)
        .and_then(|known| text(known, "name"));
    format!("/{}", name.unwrap_or_default())
}

async fn request(
    client: &rest::Client,
    name: &str,
    params: Map<String, Value>,
) -> Result<Value, rest::Error> {
    let local = |code: &str, message: String| {
        super::errors::local_failure(&format!("ICommands/{name}"), code, message)
    };
    let route = contract::route("ICommands", name)
        .ok_or_else(|| local("unknown_route", "the contract has no such route".to_owned()))?;
    let answer = client.call(rest::Call::new(route, params)?).await?;
    if answer.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&answer).map_err(|error| local("invalid_response", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(definition: Value) -> CommandSpec {
        let Value::Object(definition) = definition else {
            panic!("an object")
        };
        CommandSpec {
            script: "dice".into(),
            name: definition["name"].as_str().unwrap().into(),
            space_id: definition
                .get("spaceId")
                .and_then(Value::as_str)
                .map(str::to_owned),
            definition,
        }
    }

    fn roll() -> CommandSpec {
        want(
            json!({"name": "roll", "description": "Roll dice", "options": [
            {"name": "sides", "type": 1, "description": "How many", "required": false}]}),
        )
    }

    #[test]
    fn what_is_in_place_in_another_spelling_is_left_alone() {
        for option in [
            json!({"name": "sides", "type": "Integer", "description": "How many", "choices": null,
                   "subOptions": []}),
            json!({"type": 1, "description": "How many", "required": false, "name": "sides"}),
        ] {
            let existing = json!({"commandId": "c1", "name": "roll", "description": "Roll dice",
                "defaultPermission": true, "spaceId": null, "options": [option]});
            let steps = plan(&[roll()], &[existing]);
            assert_eq!(
                steps,
                [Step::Keep {
                    id: "c1".into(),
                    wanted: 0
                }]
            );
        }
    }

    #[test]
    fn a_changed_description_option_or_missing_option_list_is_one_update() {
        let changed = [
            json!({"commandId": "c1", "name": "Roll", "description": "Old", "options": [
                {"name": "sides", "type": 1, "description": "How many"}]}),
            json!({"commandId": "c1", "name": "roll", "description": "Roll dice", "options": [
                {"name": "sides", "type": 1, "description": "How many", "required": true}]}),
            json!({"commandId": "c1", "name": "roll", "description": "Roll dice"}),
        ];
        for existing in changed {
            let steps = plan(&[roll()], &[existing]);
            let [Step::Update { id, params, .. }] = steps.as_slice() else {
                panic!("{steps:?}")
            };
            assert_eq!((id.as_str(), &params["commandId"]), ("c1", &json!("c1")));
            assert!(!params.contains_key("name"), "the name cannot change");
        }
        // And the other way round: the script no longer has options.
        let plain = want(json!({"name": "roll", "description": "Roll dice"}));
        let existing = json!({"commandId": "c1", "name": "roll", "description": "Roll dice",
            "options": [{"name": "x", "type": 0, "description": "x"}]});
        assert!(matches!(
            plan(&[plain], &[existing]).as_slice(),
            [Step::Update { params, .. }] if params["options"] == json!([])
        ));
    }

    #[test]
    fn scopes_are_kept_apart_and_what_nobody_wants_goes_first() {
        let here = want(json!({"name": "roll", "description": "Here", "spaceId": "S1"}));
        let existing = [
            json!({"commandId": "global", "name": "roll", "description": "Here", "spaceId": NO_ID}),
            json!({"commandId": "old", "name": "gone", "description": "x"}),
        ];
        let steps = plan(std::slice::from_ref(&here), &existing);
        assert_eq!(
            steps,
            [
                Step::Delete {
                    id: "global".into()
                },
                Step::Delete { id: "old".into() },
                Step::Register {
                    params: here.definition,
                    wanted: 0
                },
            ]
        );
    }

    #[test]
    fn a_global_command_that_exists_twice_is_deleted_once() {
        let same = |id: &str| {
            json!({"commandId": id, "name": "roll", "description": "Roll dice", "options": [
                {"name": "sides", "type": 1, "description": "How many"}]})
        };
        let steps = plan(&[roll()], &[same("a"), same("b")]);
        assert_eq!(
            steps,
            [
                Step::Delete { id: "b".into() },
                Step::Keep {
                    id: "a".into(),
                    wanted: 0
                }
            ]
        );
    }
}
