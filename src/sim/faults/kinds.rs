//! Every kind of fault with its fields, as one table: the reader checks against it, the reference prints
//! it, and `GET /_sim/faults/kinds` gives it to pages that offer switches.

use serde_json::{Value, json};

use super::sse::Form;
use crate::contract::INTERFACES;

/// What a kind of fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// REST requests.
    Request,
    /// Event streams as connections.
    Stream,
    /// Events on a stream.
    Event,
    /// Voice sockets.
    Voice,
}

impl Target {
    /// The control API's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Target::Request => "request",
            Target::Stream => "stream",
            Target::Event => "event",
            Target::Voice => "voice",
        }
    }
}

/// One kind of fault.
#[derive(Debug)]
pub struct KindRow {
    /// How it is written.
    pub name: &'static str,
    /// What it strikes.
    pub on: Target,
    /// The fields it needs.
    pub needs: &'static [&'static str],
    /// The fields it may have beside `count`.
    pub may: &'static [&'static str],
    /// What it does, one line for the reference. `count` is 1 unless it is given.
    pub doc: &'static str,
}

const fn row(
    name: &'static str,
    on: Target,
    needs: &'static [&'static str],
    may: &'static [&'static str],
    doc: &'static str,
) -> KindRow {
    KindRow {
        name,
        on,
        needs,
        may,
        doc,
    }
}

/// Every kind of fault.
pub static KINDS: &[KindRow] = &[
    row(
        "answer",
        Target::Request,
        &["status"],
        &["interface"],
        "The next `count` requests are answered with the status (400 to 599) before they take effect. Without `interface`: of any interface but the stream's.",
    ),
    row(
        "delay",
        Target::Request,
        &["seconds"],
        &["interface"],
        "The next `count` requests wait before they take effect.",
    ),
    row(
        "lose",
        Target::Request,
        &[],
        &["interface"],
        "The next `count` requests take effect, then the connection is cut without an answer.",
    ),
    row(
        "refuse",
        Target::Stream,
        &["status"],
        &[],
        "The next `count` attempts to open an event stream are answered with the status.",
    ),
    row(
        "drop",
        Target::Stream,
        &[],
        &[],
        "`count` event streams are cut in the middle of the answer: those that are open, then the next ones.",
    ),
    row(
        "end",
        Target::Stream,
        &[],
        &[],
        "`count` event streams end in good order: those that are open, then the next ones.",
    ),
    row(
        "stall",
        Target::Stream,
        &["seconds"],
        &[],
        "`count` event streams stay open and carry no byte for a while.",
    ),
    row(
        "sse",
        Target::Event,
        &["form"],
        &[],
        "The next `count` events are written in an unusual or damaged form; `bom` takes the next `count` streams.",
    ),
    row(
        "duplicate",
        Target::Event,
        &[],
        &[],
        "The next `count` events are sent twice.",
    ),
    row(
        "reorder",
        Target::Event,
        &[],
        &[],
        "`count` events change places with the one after them, where two leave together.",
    ),
    row(
        "voiceRefuse",
        Target::Voice,
        &["status"],
        &[],
        "The next `count` attempts to open a voice socket are answered with the status.",
    ),
    row(
        "voiceClose",
        Target::Voice,
        &[],
        &["code"],
        "`count` voice sockets are closed with a close frame, 1001 (going away) unless `code` says otherwise: those that are open, then the next ones.",
    ),
    row(
        "voiceCut",
        Target::Voice,
        &[],
        &[],
        "`count` voice sockets are cut without a close frame: those that are open, then the next ones.",
    ),
    row(
        "voiceStall",
        Target::Voice,
        &["seconds"],
        &[],
        "`count` voice sockets stay open, and are neither read nor written for a while.",
    ),
    row(
        "voiceError",
        Target::Voice,
        &[],
        &[],
        "`count` voice sockets are told an `error` and closed, as the platform does when it ends one.",
    ),
];

/// What a field may hold.
#[derive(Debug, Clone, Copy)]
pub enum FieldType {
    /// A whole number of the range.
    Integer(u64, u64),
    /// A number of the range.
    Number(f64, f64),
    /// One of some words, each with its doc.
    Choice(fn() -> Vec<(&'static str, Option<&'static str>)>),
}

/// One field of a fault.
#[derive(Debug)]
pub struct Field {
    /// How it is written.
    pub name: &'static str,
    /// What it may hold.
    pub ty: FieldType,
    /// What it is when it is not given, for people.
    pub default: Option<u64>,
    /// One line for people.
    pub doc: &'static str,
}

/// The field that every kind may have.
pub const COUNT: &str = "count";
/// The close code of `voiceClose` when none is given: going away (RFC 6455, 7.4.1).
pub const GOING_AWAY: u16 = 1001;

/// Every field.
pub static FIELDS: &[Field] = &[
    Field {
        name: "status",
        ty: FieldType::Integer(400, 599),
        default: None,
        doc: "HTTP status of the answer.",
    },
    Field {
        name: "seconds",
        ty: FieldType::Number(0.0, 3_600.0),
        default: None,
        doc: "How long, by the world's clock.",
    },
    Field {
        name: "interface",
        ty: FieldType::Choice(|| INTERFACES.iter().map(|known| (known.name, None)).collect()),
        default: None,
        doc: "Only requests to this interface.",
    },
    Field {
        name: "form",
        ty: FieldType::Choice(|| {
            let forms = Form::ALL.iter();
            forms.map(|(_, name, doc)| (*name, Some(*doc))).collect()
        }),
        default: None,
        doc: "How the event is written.",
    },
    Field {
        name: "code",
        ty: FieldType::Integer(1_000, 4_999),
        default: Some(GOING_AWAY as u64),
        doc: "Close code of the WebSocket.",
    },
    Field {
        name: COUNT,
        ty: FieldType::Integer(1, u32::MAX as u64),
        default: Some(1),
        doc: "How often it strikes.",
    },
];

/// The field of that name. The table has every field that [`KINDS`] names (a test sees to it).
pub fn field(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}

impl Field {
    fn to_json(&self, required: bool) -> Value {
        let mut shown = json!({ "name": self.name, "required": required, "doc": self.doc });
        match self.ty {
            FieldType::Integer(least, most) => {
                shown["type"] = "integer".into();
                shown["least"] = least.into();
                shown["most"] = most.into();
            }
            FieldType::Number(least, most) => {
                shown["type"] = "number".into();
                shown["least"] = least.into();
                shown["most"] = most.into();
            }
            FieldType::Choice(choices) => {
                let choices = choices().into_iter();
                let choices = choices.map(|(value, doc)| json!({ "value": value, "doc": doc }));
                shown["type"] = "choice".into();
                shown["choices"] = choices.collect();
            }
        }
        if let Some(default) = self.default {
            shown["default"] = default.into();
        }
        shown
    }
}

/// `{kinds:[{kind, on, doc, fields:[{name, type, required, doc, least?, most?, choices?, default?}]}]}`;
/// chaos is the last kind, and strikes everything.
pub fn to_json() -> Value {
    let kinds = KINDS.iter().map(|row| {
        let shown = |names: &[&str], required| {
            let fields = names.iter().filter_map(|name| field(name));
            fields.map(|field| field.to_json(required)).collect()
        };
        let mut fields: Vec<Value> = shown(row.needs, true);
        fields.append(&mut shown(row.may, false));
        fields.append(&mut shown(&[COUNT], false));
        json!({ "kind": row.name, "on": row.on.name(), "doc": row.doc, "fields": fields })
    });
    let seed = Field {
        name: "seed",
        ty: FieldType::Integer(0, u64::MAX),
        default: None,
        doc: "The same seed gives the same faults.",
    };
    let chaos = json!({
        "kind": "chaos",
        "on": "everything",
        "doc": "Faults of every kind at random, until they are cleared.",
        "fields": [seed.to_json(true)],
    });
    json!({ "kinds": kinds.chain([chaos]).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::{KINDS, field, to_json};

    #[test]
    fn every_field_of_a_kind_is_in_the_table() {
        for row in KINDS {
            for name in row.needs.iter().chain(row.may) {
                assert!(field(name).is_some(), "{}: {name}", row.name);
            }
        }
        let shown = to_json();
        let kinds = shown["kinds"].as_array().expect("a list");
        assert_eq!(kinds.len(), KINDS.len() + 1);
        let sse = kinds.iter().find(|kind| kind["kind"] == "sse");
        let form = &sse.expect("the kind")["fields"][0];
        assert_eq!(
            (&form["type"], &form["required"]),
            (&"choice".into(), &true.into())
        );
        assert_eq!(form["choices"][0]["value"], "badJson");
    }
}
