//! `argon.d.luau`: type definitions for editors, the hand-written part around what the contract gives.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::contract::{
    ENUMS, EVENTS, Event, FLAGS, Field, INTERFACES, ROUTES, Retry, Route, Shape, Type, Union,
};

/// The hand-written part, with the places where the generated ones go.
const LIBRARIES: &str = include_str!("../../stdlib/libraries.d.luau");

/// Fields of events that a script sees in another form than the wire has.
const SEEN_AS: &[(&str, &str, &str)] = &[
    // The platform's list, and each value under its component's customId.
    ("modalSubmit", "values", "{ [any]: any }"),
];

/// Fields of events that the host adds.
const ADDED: &[(&str, &str, &str)] = &[
    ("ready", "synthetic", "boolean?"),
    ("messageCreate", "recovered", "boolean?"),
    ("modalSubmit", "modalInteractionId", "string?"),
];

/// Who reads the definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// `argon.d.luau`. Elements of the lists of events are not typed in it: the analyser infers a
    /// handler's parameter before it knows the event, and lists of two element types never fit each
    /// other, so that right handlers without an annotation would be refused.
    Editor,
    /// The checker of this program, which is told what each handler gets.
    Checker,
}

/// The whole of the definitions.
pub fn luau(reader: Reader) -> String {
    let mut out = String::from(
        "-- Types of the argon-host script API. Made by `argon-host types`; do not edit.\n\n\
         --- A 64-bit id: scripts get a string, and may pass a string or a whole number.\n\
         export type Id = string | number\n",
    );
    for names in ENUMS {
        let union = words(names.names());
        let _ = write!(out, "\nexport type {} = {union}\n", names.name);
    }
    for flags in FLAGS {
        let _ = write!(
            out,
            "\n--- A set: what is in it is true.\nexport type {} = {{\n",
            flags.name
        );
        for (_, name) in flags.values {
            let _ = writeln!(out, "\t{name}: boolean?,");
        }
        out.push_str("}\n");
    }
    let of_event = match reader {
        Reader::Editor => Side::Untyped,
        Reader::Checker => Side::Answer,
    };
    let of_routes = Shapes::of_routes().objects;
    let shapes = Shapes::of_everything();
    for shape in shapes.objects.values() {
        let _ = write!(out, "\nexport type {} = {{\n", shape.name);
        let side = match of_routes.contains_key(shape.name) {
            true => Side::Answer,
            false => of_event,
        };
        fields(&mut out, shape.fields, side);
        out.push_str("}\n");
    }
    for union in shapes.unions.values() {
        self::union(&mut out, union);
    }
    for event in EVENTS {
        self::event(&mut out, event, of_event);
    }
    let all: Vec<_> = EVENTS.iter().map(|event| event.payload.name).collect();
    let _ = write!(out, "\nexport type Event =\n\t{}\n", all.join("\n\t| "));
    event_types(&mut out);
    out.push('\n');
    let (declared, members) = LIBRARIES.split_once(MEMBERS).unwrap_or((LIBRARIES, ""));
    let members = members
        .split(MEMBERS)
        .filter_map(|part| part.split_once('\n'));
    let members: BTreeMap<&str, &str> = members.collect();
    for line in declared
        .trim_end()
        .lines()
        .skip_while(|line| !line.is_empty())
        .skip(1)
    {
        match line.trim() {
            "--@routes" => routes(&mut out, &members),
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

/// The declaration of `script` for one whose `config` has this value: what bot.toml has is typed,
/// other keys may be anything. `None` when bot.toml says nothing about it.
pub fn script_with(config: &Value) -> Option<String> {
    let keys = config.as_object().filter(|keys| !keys.is_empty())?;
    Some(format!("declare script: Script<{}>\n", keyed(keys)))
}

fn keyed(keys: &Map<String, Value>) -> String {
    let mut out = String::from("{ ");
    for (name, value) in keys {
        let _ = write!(out, "read [{name:?}]: {}, ", type_of_value(value));
    }
    out.push_str("[string]: any }");
    out
}

fn type_of_value(value: &Value) -> String {
    match value {
        Value::Null => "any".to_owned(),
        Value::Bool(_) => "boolean".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Object(keys) => keyed(keys),
        Value::Array(items) => {
            let types: BTreeSet<_> = items.iter().map(type_of_value).collect();
            match types.first() {
                Some(one) if types.len() == 1 => format!("{{ {one} }}"),
                _ => "{ any }".to_owned(),
            }
        }
    }
}

/// The keys of a type that the contract gives, by the name of the type; none for others.
pub fn keys_of(ty: &str) -> Vec<&'static str> {
    let event = EVENTS.iter().find(|event| event.payload.name == ty);
    let shape = event.map(|event| event.payload);
    let shape = shape.or_else(|| Shapes::of_everything().objects.get(ty).copied());
    let fields = shape.map_or(&[][..], |shape| shape.fields);
    let methods = event.map(method_names).unwrap_or_default();
    fields
        .iter()
        .map(|field| field.name)
        .chain(methods)
        .collect()
}

/// What begins the members that the host adds to an interface of the platform.
const MEMBERS: &str = "\n--@members ";

/// Where editors find the modules of `@std`, below the folder of the scripts. Hidden, so that they are
/// no scripts; the host reads its own.
pub const STD_FOLDER: &str = ".std";

/// `.luaurc` for a folder of scripts.
pub fn luaurc() -> String {
    format!(
        "{{\n\t\"languageMode\": \"strict\",\n\t\"lint\": {{ \"*\": true }},\n\t\"aliases\": {{ \"std\": \"./{STD_FOLDER}\" }}\n}}\n"
    )
}

/// Which way a value goes: scripts may give ids as numbers, and get them as strings.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Side {
    /// A parameter.
    Question,
    /// Part of an answer or an event.
    Answer,
    /// Part of an event alone, for [`Reader::Editor`].
    Untyped,
}

/// Objects and unions that routes and events carry, by name.
#[derive(Default)]
pub(super) struct Shapes {
    pub(super) objects: BTreeMap<&'static str, &'static Shape>,
    pub(super) unions: BTreeMap<&'static str, &'static Union>,
}

impl Shapes {
    /// Those of the routes.
    fn of_routes() -> Self {
        let mut shapes = Self::default();
        for route in ROUTES {
            for field in route.params() {
                shapes.reach(&field.ty);
            }
            shapes.reach_shape(route.response);
        }
        shapes
    }

    /// Those of the routes and events.
    pub(super) fn of_everything() -> Self {
        let mut shapes = Self::of_routes();
        for event in EVENTS {
            for field in event.payload.fields {
                shapes.reach(&field.ty);
            }
        }
        shapes
    }

    fn reach_shape(&mut self, shape: Option<&'static Shape>) {
        if let Some(shape) = shape
            && self.objects.insert(shape.name, shape).is_none()
        {
            for field in shape.fields {
                self.reach(&field.ty);
            }
        }
    }

    fn reach(&mut self, ty: &Type) {
        match ty {
            Type::Object(shape) => self.reach_shape(Some(shape)),
            Type::List(of) | Type::Map(of) => self.reach(of),
            Type::Union(union) => {
                self.unions.insert(union.name, union);
            }
            _ => {}
        }
    }
}

/// A type as Luau writes it.
pub(super) fn name_of(ty: &Type, side: Side) -> String {
    match ty {
        Type::String | Type::Guid | Type::Time => "string".to_owned(),
        Type::Id64 if side == Side::Question => "Id".to_owned(),
        Type::Id64 => "string".to_owned(),
        Type::Int32 | Type::Uint32 | Type::Int64 | Type::Float => "number".to_owned(),
        Type::Bool => "boolean".to_owned(),
        Type::Any => "any".to_owned(),
        Type::Choice(known) => words(known.iter().copied()),
        Type::Enum(names) => names.name.to_owned(),
        Type::Flags(flags) => flags.name.to_owned(),
        Type::Object(shape) => shape.name.to_owned(),
        Type::Union(union) => union.name.to_owned(),
        Type::List(_) if side == Side::Untyped => "{ any }".to_owned(),
        Type::List(of) => format!("{{ {} }}", name_of(of, side)),
        Type::Map(of) => format!("{{ [string]: {} }}", name_of(of, side)),
    }
}

fn words<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = names.map(|name| format!("\"{name}\"")).collect();
    quoted.join(" | ")
}

/// The type of a field, with `?` when it may be absent.
fn type_of(field: &Field, side: Side) -> String {
    let name = name_of(&field.ty, side);
    match (field.optional, field.ty) {
        (true, Type::Any) | (false, _) => name,
        (true, Type::Choice(_)) => format!("({name})?"),
        (true, _) => format!("{name}?"),
    }
}

fn fields(out: &mut String, fields: &[Field], side: Side) {
    for field in fields {
        let _ = writeln!(out, "\t{}: {},", field.name, type_of(field, side));
    }
}

/// A union becomes one table with every field of its variants: editors complete that, and a literal
/// is checked against it without the guesswork of a union of tables.
fn union(out: &mut String, union: &Union) {
    let _ = write!(out, "\nexport type {} = {{\n", union.name);
    fields(out, union.common, Side::Question);
    let own: BTreeMap<_, _> = union
        .variants
        .iter()
        .flat_map(|variant| variant.fields)
        .map(|field| (field.name, name_of(&field.ty, Side::Question)))
        .collect();
    for (name, ty) in own {
        let _ = writeln!(out, "\t{name}: {ty}?,");
    }
    out.push_str("}\n");
}

fn event(out: &mut String, event: &Event, side: Side) {
    let payload = event.payload;
    let _ = write!(
        out,
        "\n--- {}\nexport type {} = {{\n",
        event.doc, payload.name
    );
    let _ = writeln!(
        out,
        "\ttype: \"{}\",\n\tid: string,\n\treplayed: boolean?,",
        event.name
    );
    for field in payload.fields {
        let other = SEEN_AS
            .iter()
            .find(|(of, name, _)| *of == event.name && *name == field.name);
        let ty = other.map_or_else(|| type_of(field, side), |(_, _, ty)| (*ty).to_owned());
        let _ = writeln!(out, "\t{}: {ty},", field.name);
    }
    for (_, name, ty) in ADDED.iter().filter(|(of, _, _)| *of == event.name) {
        let _ = writeln!(out, "\t{name}: {ty},");
    }
    methods(out, event);
    out.push_str("}\n");
}

/// The methods that fit an event.
pub(super) fn method_names(event: &Event) -> Vec<&'static str> {
    let payload = event.payload;
    let interaction = payload.field("interactionId").is_some();
    let message = payload.field("messageId").is_some() || payload.field("message").is_some();
    let mut names = Vec::new();
    if interaction || message {
        names.extend(["reply", "edit"]);
    }
    if message {
        names.push("react");
    }
    // A submitted modal takes none of these on the platform.
    if interaction && event.name != "modalSubmit" {
        names.extend(["ack", "defer", "modal"]);
    }
    names
}

fn methods(out: &mut String, event: &Event) {
    for name in method_names(event) {
        let ty = match name {
            "reply" if event.payload.field("interactionId").is_some() => {
                "(self: any, content: string | MessageContent, options: ReplyOptions?) -> ReplyResponse"
            }
            "reply" => {
                "(self: any, content: string | MessageContent, options: ReplyOptions?) -> SendMessageResponse"
            }
            "edit" => "(self: any, content: string | MessageEdit) -> ()",
            "react" => "(self: any, emoji: string) -> ()",
            "modal" => "(self: any, definition: ModalDefinitionV1) -> ModalResponse",
            _ => "(self: any) -> ()",
        };
        let _ = writeln!(out, "\t{name}: {ty},");
    }
}

/// The type of each event by its name, which `on`, `once` and `waitFor` look up. (An overload for each
/// event would say the same, but 29 of them are more than Luau's analyser takes.)
fn event_types(out: &mut String) {
    out.push_str("\nexport type EventTypes = {\n\t[\"*\"]: any,\n");
    for event in EVENTS {
        let _ = writeln!(out, "\t{}: {},", event.name, event.payload.name);
    }
    out.push_str("}\n");
}

/// Every interface with its routes, and with `members` by its name. The stream is the host's.
fn routes(out: &mut String, members: &BTreeMap<&str, &str>) {
    for interface in INTERFACES {
        let routes: Vec<&Route> = ROUTES
            .iter()
            .filter(|route| {
                route.interface.name == interface.name && route.label() != "IEvents/Stream"
            })
            .collect();
        if routes.is_empty() {
            continue;
        }
        let _ = writeln!(
            out,
            "\t--- {}\n\t{}: {{",
            interface.doc,
            interface.luau_name()
        );
        for route in routes {
            let answer = route.response.map_or("()", |shape| shape.name);
            let mut params = params(route);
            if matches!(route.retry, Retry::Never | Retry::RandomId) {
                // Not an optional parameter: `pcall(argon.messages.send, params)` would lack it.
                params.push_str(", ...CallOptions");
            }
            let _ = writeln!(
                out,
                "\t\t--- {}\n\t\t{}: ({params}) -> {answer},",
                route.doc,
                route.luau_name()
            );
        }
        let added = members.get(interface.luau_name().as_str());
        let lines = added.into_iter().flat_map(|lines| lines.trim().lines());
        for line in lines {
            let _ = writeln!(out, "\t\t{line}");
        }
        out.push_str("\t},\n");
    }
}

fn params(route: &Route) -> String {
    let fields: Vec<_> = route
        .params()
        .map(|field| format!("read {}: {}", field.name, type_of(field, Side::Question)))
        .collect();
    let table = format!("{{ {} }}", fields.join(", "));
    if fields.is_empty() {
        "params: {}?".to_owned()
    } else if route.params().all(|field| field.optional) {
        format!("params: {table}?")
    } else {
        format!("params: {table}")
    }
}
