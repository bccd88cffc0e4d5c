//! What a fault is, and how people write one: as JSON for the control API, as `kind:key=value,…` on the
//! command line and in bot.toml. Both are read against the one table [`KINDS`].

use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::kinds::{self, COUNT, FieldType, GOING_AWAY, KINDS};
use super::sse::Form;
use crate::config::suggest::did_you_mean;
use crate::contract::INTERFACES;

/// The interface of the event stream.
pub(super) const STREAM: &str = "IEvents";

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Answers with a status before the act.
    Answer(u16),
    /// Waits before the act.
    Delay(Duration),
    /// Cuts the connection after the act.
    Lose,
    /// Cuts a stream.
    Drop,
    /// Ends a stream.
    End,
    /// A stream without bytes.
    Stall(Duration),
    /// An event in another form.
    Sse(Form),
    /// An event twice.
    Duplicate,
    /// Two events in the other order.
    Reorder,
    /// A voice socket is not opened.
    VoiceRefuse(u16),
    /// What an open voice socket meets.
    Voice(VoiceFault),
}

/// What a voice socket meets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum VoiceFault {
    /// It is closed with that code.
    Close(u16),
    /// It is cut without a close frame.
    Cut,
    /// It is neither read nor written for a while.
    Stall(Duration),
    /// It is told an error and closed.
    Error,
}

/// A fault that can be armed.
///
/// ```
/// let fault: argon_host::sim::FaultSpec = "answer:interface=IMessages,status=503,count=3".parse()?;
/// let wrong = "anwser:status=503".parse::<argon_host::sim::FaultSpec>();
/// assert!(wrong.is_err_and(|error| error.to_string().contains("did you mean \"answer\"?")));
/// # Ok::<(), argon_host::sim::FaultError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FaultSpec {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) interface: Option<&'static str>,
    pub(super) count: u32,
}

/// Why something is no fault; says what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FaultError(String);

fn wrong<T>(message: impl Into<String>) -> Result<T, FaultError> {
    Err(FaultError(message.into()))
}

/// `: did you mean "…"?`, or the whole list.
fn instead(name: &str, candidates: impl Iterator<Item = &'static str> + Clone) -> String {
    did_you_mean(name, candidates.clone()).unwrap_or_else(|| {
        let all: Vec<_> = candidates.collect();
        format!("there are {}", all.join(", "))
    })
}

impl FaultSpec {
    /// Reads `{kind, …}`.
    ///
    /// # Errors
    /// Says which field is wrong and what it may be.
    pub fn from_json(fields: &Map<String, Value>) -> Result<Self, FaultError> {
        let Some(name) = fields.get("kind").and_then(Value::as_str) else {
            return wrong("a fault needs a kind, such as \"drop\"");
        };
        let Some(row) = KINDS.iter().find(|row| row.name == name) else {
            let names = KINDS.iter().map(|row| row.name);
            return wrong(format!(
                "there is no fault {name:?}: {}",
                instead(name, names)
            ));
        };
        let known = row.needs.iter().chain(row.may).copied().chain([COUNT]);
        for field in fields.keys().filter(|field| *field != "kind") {
            if !known.clone().any(|known| known == field) {
                return wrong(format!(
                    "a fault \"{name}\" has no {field:?}: {}",
                    instead(field, known.clone())
                ));
            }
        }
        if let Some(missing) = row.needs.iter().find(|field| !fields.contains_key(**field)) {
            return wrong(format!("a fault \"{name}\" needs {missing:?}"));
        }
        let kind = match row.name {
            "answer" | "refuse" => Kind::Answer(status(fields)?),
            "delay" => Kind::Delay(wait(fields)?),
            "lose" => Kind::Lose,
            "drop" => Kind::Drop,
            "end" => Kind::End,
            "stall" => Kind::Stall(wait(fields)?),
            "sse" => Kind::Sse(form(fields)?),
            "duplicate" => Kind::Duplicate,
            "voiceRefuse" => Kind::VoiceRefuse(status(fields)?),
            "voiceClose" => Kind::Voice(VoiceFault::Close(close_code(fields)?)),
            "voiceCut" => Kind::Voice(VoiceFault::Cut),
            "voiceStall" => Kind::Voice(VoiceFault::Stall(wait(fields)?)),
            "voiceError" => Kind::Voice(VoiceFault::Error),
            _ => Kind::Reorder,
        };
        let interface = match row.name {
            "refuse" => Some(STREAM),
            _ => interface(fields)?,
        };
        if kind == Kind::Lose && interface == Some(STREAM) {
            return wrong("the event stream has no answer to lose: use \"drop\"");
        }
        Ok(Self {
            name: row.name,
            kind,
            interface,
            count: integer(fields, COUNT)?.map_or(1, |count| count as u32),
        })
    }

    /// As [`Self::from_json`] reads it, with `left` in the place of `count`.
    pub(super) fn to_json(&self, left: u32) -> Map<String, Value> {
        let mut shown = Map::from_iter([("kind".to_owned(), json!(self.name))]);
        if let Some(interface) = self.interface {
            shown.insert("interface".to_owned(), json!(interface));
        }
        match self.kind {
            Kind::Answer(status) | Kind::VoiceRefuse(status) => {
                shown.insert("status".to_owned(), json!(status))
            }
            Kind::Delay(wait) | Kind::Stall(wait) | Kind::Voice(VoiceFault::Stall(wait)) => {
                shown.insert("seconds".to_owned(), json!(wait.as_secs_f64()))
            }
            Kind::Voice(VoiceFault::Close(code)) => shown.insert("code".to_owned(), json!(code)),
            Kind::Sse(form) => shown.insert("form".to_owned(), json!(form.name())),
            Kind::Lose | Kind::Drop | Kind::End | Kind::Duplicate | Kind::Reorder => None,
            Kind::Voice(VoiceFault::Cut | VoiceFault::Error) => None,
        };
        shown.insert("left".to_owned(), json!(left));
        shown
    }
}

impl FromStr for FaultSpec {
    type Err = FaultError;

    /// `kind` or `kind:key=value,key=value`.
    fn from_str(spec: &str) -> Result<Self, FaultError> {
        let (kind, rest) = spec.split_once(':').unwrap_or((spec, ""));
        let mut fields = Map::from_iter([("kind".to_owned(), json!(kind.trim()))]);
        for pair in rest.split(',').filter(|pair| !pair.trim().is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return wrong(format!(
                    "{pair:?} is not key=value: write a fault as \"answer:interface=IMessages,status=503,count=3\""
                ));
            };
            let value = value.trim();
            let value = match (value.parse::<u64>(), value.parse::<f64>()) {
                (Ok(number), _) => json!(number),
                (_, Ok(number)) => json!(number),
                _ => json!(value),
            };
            if fields.insert(key.trim().to_owned(), value).is_some() {
                return wrong(format!("{:?} is given twice", key.trim()));
            }
        }
        Self::from_json(&fields)
    }
}

/// A whole number in the range of its field; `None` when it is not given.
fn integer(fields: &Map<String, Value>, name: &str) -> Result<Option<u64>, FaultError> {
    let ty = kinds::field(name).map(|field| field.ty);
    match (fields.get(name), ty) {
        (None, _) => Ok(None),
        (Some(value), Some(FieldType::Integer(least, most))) => match value.as_u64() {
            Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => wrong(format!("{name} is a whole number from {least} to {most}")),
        },
        _ => wrong(format!("{name} is no whole number")),
    }
}

fn status(fields: &Map<String, Value>) -> Result<u16, FaultError> {
    Ok(integer(fields, "status")?.unwrap_or_default() as u16)
}

fn close_code(fields: &Map<String, Value>) -> Result<u16, FaultError> {
    let code = integer(fields, "code")?.map_or(GOING_AWAY, |code| code as u16);
    match code {
        // RFC 6455, 7.4: reserved, or never sent.
        1004..=1006 | 1015..=2999 => wrong(format!(
            "the code {code} cannot be sent: use 1001, or one from 3000 on"
        )),
        _ => Ok(code),
    }
}

fn wait(fields: &Map<String, Value>) -> Result<Duration, FaultError> {
    let ty = kinds::field("seconds").map(|field| field.ty);
    let seconds = fields.get("seconds").and_then(Value::as_f64);
    match (seconds, ty) {
        (Some(seconds), Some(FieldType::Number(least, most)))
            if (least..=most).contains(&seconds) =>
        {
            Ok(Duration::from_secs_f64(seconds))
        }
        (_, Some(FieldType::Number(least, most))) => {
            wrong(format!("seconds is a number from {least} to {most}"))
        }
        _ => wrong("seconds is no number"),
    }
}

fn form(fields: &Map<String, Value>) -> Result<Form, FaultError> {
    let name = fields.get("form").and_then(Value::as_str).unwrap_or("");
    let forms = Form::ALL.iter().map(|(_, name, _)| *name);
    match Form::named(name) {
        Some(form) => Ok(form),
        None => wrong(format!(
            "there is no form {name:?}: {}",
            instead(name, forms)
        )),
    }
}

fn interface(fields: &Map<String, Value>) -> Result<Option<&'static str>, FaultError> {
    let Some(name) = fields.get("interface") else {
        return Ok(None);
    };
    let name = name.as_str().unwrap_or("");
    let mut names = INTERFACES.iter().map(|interface| interface.name);
    match names.clone().find(|known| *known == name) {
        Some(name) => Ok(Some(name)),
        None => {
            let help = did_you_mean(name, names.by_ref())
                .unwrap_or_else(|| "write it as in IMessages".to_owned());
            wrong(format!("there is no interface {name:?}: {help}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::FaultSpec;
    use crate::sim::faults::KINDS;

    fn error(spec: &str) -> String {
        spec.parse::<FaultSpec>()
            .expect_err("a mistake")
            .to_string()
    }

    #[test]
    fn the_command_line_and_the_control_api_read_the_same() {
        let spec: FaultSpec = "delay: interface=IMessages, seconds=0.5, count=3"
            .parse()
            .expect("a fault");
        let json = json!({ "kind": "delay", "interface": "IMessages", "seconds": 0.5, "count": 3 });
        let same = FaultSpec::from_json(json.as_object().expect("an object"));
        assert_eq!(Ok(spec), same);
    }

    #[test]
    fn every_kind_of_the_table_can_be_read() {
        for row in KINDS {
            let fields: Vec<_> = row
                .needs
                .iter()
                .chain(row.may)
                .map(|field| match *field {
                    "status" => "status=503",
                    "seconds" => "seconds=1",
                    "form" => "form=crlf",
                    "interface" => "interface=IMessages",
                    "code" => "code=4000",
                    other => panic!("a new field {other}"),
                })
                .collect();
            let spec = format!("{}:{}", row.name, fields.join(","));
            let fault = spec.parse::<FaultSpec>().expect(&spec);
            assert_eq!(fault.name, row.name);
            assert_eq!(fault.count, 1);
        }
    }

    #[test]
    fn a_mistake_names_the_way_out() {
        assert_eq!(
            error("dorp"),
            "there is no fault \"dorp\": did you mean \"drop\"?"
        );
        assert_eq!(
            error("answer:statsu=503"),
            "a fault \"answer\" has no \"statsu\": did you mean \"status\"?"
        );
        assert_eq!(error("answer"), "a fault \"answer\" needs \"status\"");
        assert_eq!(
            error("answer:status=200"),
            "status is a whole number from 400 to 599"
        );
        assert_eq!(
            error("lose:interface=IMessage"),
            "there is no interface \"IMessage\": did you mean \"IMessages\"?"
        );
        assert_eq!(
            error("sse:form=crfl"),
            "there is no form \"crfl\": did you mean \"crlf\"?"
        );
        assert_eq!(
            error("drop:count=0"),
            "count is a whole number from 1 to 4294967295"
        );
        assert!(error("voiceClose:code=1006").contains("cannot be sent"));
        assert_eq!(error("drop:count=1,count=2"), "\"count\" is given twice");
        assert!(error("stall:5").contains("is not key=value"));
        assert!(error("lose:interface=IEvents").contains("use \"drop\""));
        assert!(error("delay:seconds=-1").starts_with("seconds is a number"));
    }
}
