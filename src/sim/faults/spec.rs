//! What a fault is, and how people write one: as JSON for the control API, as `kind:key=value,…` on the
//! command line. Both are read against the one table [`KINDS`].

use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::sse::Form;
use crate::config::suggest::did_you_mean;
use crate::contract::INTERFACES;

/// The most that a fault may wait, seconds.
const LONGEST: f64 = 3_600.0;
/// The interface of the event stream.
pub(super) const STREAM: &str = "IEvents";

/// One kind of fault, for reading and for the reference.
#[derive(Debug)]
pub struct KindRow {
    /// How it is written.
    pub name: &'static str,
    /// The fields it needs.
    pub needs: &'static [&'static str],
    /// The fields it may have beside `count`.
    pub may: &'static [&'static str],
    /// What it does, one line for the reference. `count` is 1 unless it is given.
    pub doc: &'static str,
}

const fn row(
    name: &'static str,
    needs: &'static [&'static str],
    may: &'static [&'static str],
    doc: &'static str,
) -> KindRow {
    KindRow {
        name,
        needs,
        may,
        doc,
    }
}

/// Every kind of fault.
pub static KINDS: &[KindRow] = &[
    row(
        "answer",
        &["status"],
        &["interface"],
        "The next `count` requests are answered with the status (400 to 599) before they take effect. Without `interface`: of any interface but the stream's.",
    ),
    row(
        "delay",
        &["seconds"],
        &["interface"],
        "The next `count` requests wait before they take effect.",
    ),
    row(
        "lose",
        &[],
        &["interface"],
        "The next `count` requests take effect, then the connection is cut without an answer.",
    ),
    row(
        "refuse",
        &["status"],
        &[],
        "The next `count` attempts to open an event stream are answered with the status.",
    ),
    row(
        "drop",
        &[],
        &[],
        "`count` event streams are cut in the middle of the answer: those that are open, then the next ones.",
    ),
    row(
        "end",
        &[],
        &[],
        "`count` event streams end in good order: those that are open, then the next ones.",
    ),
    row(
        "stall",
        &["seconds"],
        &[],
        "`count` event streams stay open and carry no byte for a while.",
    ),
    row(
        "sse",
        &["form"],
        &[],
        "The next `count` events are written in an unusual or damaged form; `bom` takes the next `count` streams.",
    ),
    row(
        "duplicate",
        &[],
        &[],
        "The next `count` events are sent twice.",
    ),
    row(
        "reorder",
        &[],
        &[],
        "`count` events change places with the one after them, where two leave together.",
    ),
];

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
        let known = row.needs.iter().chain(row.may).copied().chain(["count"]);
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
            count: count(fields)?,
        })
    }

    /// As [`Self::from_json`] reads it, with `left` in the place of `count`.
    pub(super) fn to_json(&self, left: u32) -> Map<String, Value> {
        let mut shown = Map::from_iter([("kind".to_owned(), json!(self.name))]);
        if let Some(interface) = self.interface {
            shown.insert("interface".to_owned(), json!(interface));
        }
        match self.kind {
            Kind::Answer(status) => shown.insert("status".to_owned(), json!(status)),
            Kind::Delay(wait) | Kind::Stall(wait) => {
                shown.insert("seconds".to_owned(), json!(wait.as_secs_f64()))
            }
            Kind::Sse(form) => shown.insert("form".to_owned(), json!(form.name())),
            Kind::Lose | Kind::Drop | Kind::End | Kind::Duplicate | Kind::Reorder => None,
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

fn status(fields: &Map<String, Value>) -> Result<u16, FaultError> {
    match fields.get("status").and_then(Value::as_u64) {
        Some(status @ 400..=599) => Ok(status as u16),
        _ => wrong("status is a whole number from 400 to 599"),
    }
}

fn wait(fields: &Map<String, Value>) -> Result<Duration, FaultError> {
    match fields.get("seconds").and_then(Value::as_f64) {
        Some(seconds) if (0.0..=LONGEST).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => wrong("seconds is a number from 0 to 3600"),
    }
}

fn count(fields: &Map<String, Value>) -> Result<u32, FaultError> {
    let Some(count) = fields.get("count") else {
        return Ok(1);
    };
    match count.as_u64().map(u32::try_from) {
        Some(Ok(count @ 1..)) => Ok(count),
        _ => wrong("count is a whole number from 1 on"),
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

    use super::{FaultSpec, KINDS};

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
        assert_eq!(error("drop:count=0"), "count is a whole number from 1 on");
        assert_eq!(error("drop:count=1,count=2"), "\"count\" is given twice");
        assert!(error("stall:5").contains("is not key=value"));
        assert!(error("lose:interface=IEvents").contains("use \"drop\""));
        assert!(error("delay:seconds=-1").starts_with("seconds is a number"));
    }
}
