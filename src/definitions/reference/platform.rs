//! The platform: routes, events, intents, types, limits and error codes, from the contract.

use std::fmt::Write as _;

use super::{code, link, quoted, row, table};
use crate::contract::{
    ENUMS, ERROR_CODES, EVENTS, Event, FLAGS, Field, INTENT_FLAGS, INTENTS, INTERFACES, Interface,
    Limit, ROUTES, Retry, Route, Type, limits,
};
use crate::definitions::luau::{Shapes, Side, method_names, name_of};

/// How a call fails, and how a script goes on.
const FAILURE: &str = r#"local ok, failure: any = pcall(function()
	argon.messages.send{ channelId = "1", text = "Hi" }
end)
if not ok then
	print(failure.route, failure.status, failure.code, failure.message, failure.retryAfter)
end
"#;

pub(super) fn routes(out: &mut String) {
    out.push_str(
        "\n## Routes\n\nEvery route of the platform is a function that takes one table of parameters and returns the \
         platform's answer. It suspends the coroutine that calls it. Unknown or missing parameters, wrong types and values \
         over a limit raise before anything is sent; so does, with the code `permission_denied`, a route that the script's \
         `allow` and `deny` in bot.toml do not permit. `randomId` is filled in. A call of a handler that runs again after a \
         crash is not sent again when its answer is known; what becomes of one whose answer is not known stands with the \
         route. `{ retry = true }` as a second argument has it sent again all the same, also when only the answer \
         was lost: better twice than not at all. What fails with `unreachable` or `rate_limited` took no effect; \
         of what fails with `lost_response` or `uncertain` (the answer was lost, and it could not be repeated) \
         nobody knows. A failed call \
         raises an error value:\n",
    );
    code(out, FAILURE);
    for interface in INTERFACES {
        self::interface(out, interface);
        for route in ROUTES
            .iter()
            .filter(|route| route.interface.name == interface.name)
        {
            self::route(out, route);
        }
    }
}

fn interface(out: &mut String, interface: &Interface) {
    let _ = write!(
        out,
        "\n### argon.{}\n\n{} `{}` v{}, {} requests a minute.\n",
        interface.luau_name(),
        interface.doc,
        interface.name,
        interface.version,
        interface.per_minute
    );
}

fn route(out: &mut String, route: &Route) {
    let _ = write!(
        out,
        "\n#### argon.{}\n\n{} `{} {}`",
        route.permission_name(),
        route.doc,
        route.method.as_str(),
        route.path()
    );
    if let Some(permission) = route.permission {
        let _ = write!(out, ". Needs `{permission}`");
    }
    if route.privileged {
        out.push_str(". Verified bots only");
    }
    out.push_str(".\n\n");
    fields(out, "Parameter", route.params(), Side::Question);
    let answer = match route.response {
        Some(shape) => link(shape.name),
        None => "nothing".to_owned(),
    };
    let _ = writeln!(out, "Returns {answer}.");
    if !route.errors.is_empty() {
        let codes: Vec<_> = route.errors.iter().map(|code| quoted(code)).collect();
        let _ = writeln!(out, "Errors: {}.", codes.join(", "));
    }
    let _ = writeln!(out, "After a crash: {}.", after_a_crash(route));
}

/// What becomes of a call that was sent and whose answer is not known.
fn after_a_crash(route: &Route) -> String {
    match route.retry {
        Retry::Idempotent => "sent again, which does no harm".to_owned(),
        Retry::RandomId => {
            "sent again with the same `randomId`, which the platform recognises for 90 \
             seconds and more; later it raises `uncertain`"
                .to_owned()
        }
        Retry::Settles { code, .. } => {
            format!(
                "sent again; the refusal {} then counts as success",
                quoted(code)
            )
        }
        Retry::Never => "not sent again, it raises `uncertain`".to_owned(),
    }
}

/// A table of fields, if there are any.
fn fields<'f>(out: &mut String, title: &str, fields: impl Iterator<Item = &'f Field>, side: Side) {
    let mut fields = fields.peekable();
    if fields.peek().is_none() {
        return;
    }
    let side_title = if side == Side::Question {
        "Required"
    } else {
        "Always"
    };
    table(out, &[title, "Type", side_title, "Limit"]);
    for field in fields {
        let always = if field.optional { "no" } else { "yes" };
        let limit = limit(field.limit);
        row(
            out,
            &[
                &quoted(field.name),
                &type_text(&field.ty, side),
                always,
                &limit,
            ],
        );
    }
    out.push('\n');
}

/// A type with links to what it is made of.
fn type_text(ty: &Type, side: Side) -> String {
    match ty {
        Type::Object(shape) => link(shape.name),
        Type::Union(union) => link(union.name),
        Type::Enum(names) => link(names.name),
        Type::Flags(flags) => format!("set of {}", link(flags.name)),
        Type::List(of) => format!("list of {}", type_text(of, side)),
        Type::Map(of) => format!("table of {} by name", type_text(of, side)),
        Type::Id64 if side == Side::Question => "id (string or number)".to_owned(),
        Type::Id64 => "id (string)".to_owned(),
        Type::Guid => "id (string)".to_owned(),
        Type::Time => "time (ISO 8601)".to_owned(),
        Type::Int32 | Type::Uint32 | Type::Int64 => "whole number".to_owned(),
        Type::Choice(_) => name_of(ty, side),
        other => name_of(other, side),
    }
}

fn limit(limit: Limit) -> String {
    match limit {
        Limit::None => String::new(),
        Limit::Length(least, most) => format!("{least} to {most} characters"),
        Limit::Count(least, most) => format!("{least} to {most} elements"),
        Limit::Range(least, most) => format!("{least} to {most}"),
        Limit::Below(least, most) => format!("{least} to below {most}"),
    }
}

pub(super) fn events(out: &mut String) {
    out.push_str(
        "\n## Events\n\nEvery event has `type` and `id` beside its fields. Fields and events that are not listed \
         here are passed through. Numbers of enums arrive as names, bit masks as sets, 64-bit ids as \
         strings.\n",
    );
    for event in EVENTS {
        self::event(out, event);
    }
}

fn event(out: &mut String, event: &Event) {
    let intent = match event.intent {
        Some(intent) => format!("Intent {}.", quoted(intent)),
        None => "Comes whatever the intents.".to_owned(),
    };
    let _ = write!(out, "\n### {}\n\n{} {intent}", event.name, event.doc);
    let methods: Vec<_> = method_names(event)
        .iter()
        .map(|name| quoted(name))
        .collect();
    if !methods.is_empty() {
        let _ = write!(out, " Methods: {}.", methods.join(", "));
    }
    out.push_str("\n\n");
    fields(out, "Field", event.payload.fields.iter(), Side::Answer);
}

pub(super) fn intents(out: &mut String) {
    out.push_str("\n## Intents\n\nWith `intents = \"auto\"` the host asks for those that the scripts' handlers need.\n\n");
    table(out, &["Intent", "Bit", "Verified bots only", "Events"]);
    for intent in INTENTS {
        let events = EVENTS
            .iter()
            .filter(|event| event.intent == Some(intent.name));
        let events: Vec<_> = events.map(|event| link(event.name)).collect();
        let privileged = if intent.privileged { "yes" } else { "no" };
        row(
            out,
            &[
                &quoted(intent.name),
                &intent.bit.to_string(),
                privileged,
                &events.join(", "),
            ],
        );
    }
}

pub(super) fn types(out: &mut String) {
    out.push_str("\n## Types\n");
    let shapes = Shapes::of_everything();
    for shape in shapes.objects.values() {
        let _ = write!(out, "\n### {}\n\n", shape.name);
        fields(out, "Field", shape.fields.iter(), Side::Answer);
    }
    for union in shapes.unions.values() {
        let _ = write!(
            out,
            "\n### {}\n\nIts `{}` says which fields it has.\n\n",
            union.name, union.tag
        );
        fields(out, "Field of all", union.common.iter(), Side::Question);
        table(out, &["Kind", "Fields beside"]);
        for tag in union.tags.names() {
            let own: Vec<_> = union
                .own_fields(tag)
                .iter()
                .map(|field| {
                    format!(
                        "{}: {}",
                        quoted(field.name),
                        type_text(&field.ty, Side::Question)
                    )
                })
                .collect();
            row(out, &[&quoted(tag), &own.join(", ")]);
        }
    }
    for names in ENUMS {
        let _ = write!(out, "\n### {}\n\n", names.name);
        let values: Vec<_> = names
            .values
            .iter()
            .map(|(number, name)| format!("{} ({number})", quoted(name)))
            .collect();
        let _ = writeln!(out, "One of {}.", values.join(", "));
    }
    // Intents have a section of their own.
    for flags in FLAGS.iter().filter(|flags| flags.name != INTENT_FLAGS.name) {
        let _ = write!(out, "\n### {}\n\n", flags.name);
        let values: Vec<_> = flags
            .values
            .iter()
            .map(|(mask, name)| format!("{} (bit {})", quoted(name), mask.trailing_zeros()))
            .collect();
        let _ = writeln!(out, "Any of {}.", values.join(", "));
    }
}

pub(super) fn limits(out: &mut String) {
    out.push_str("\n## Limits\n\n");
    let seconds = |time: std::time::Duration| format!("{} s", time.as_secs());
    let rows: &[(&str, String)] = &[
        ("Window of the rate limits", seconds(limits::RATE_WINDOW)),
        ("Segments of a window", limits::RATE_SEGMENTS.to_string()),
        (
            "Requests of a bot at the same time, its event stream included",
            limits::CONCURRENT_REQUESTS.to_string(),
        ),
        (
            "An interaction can be answered for",
            seconds(limits::INTERACTION_LIFETIME),
        ),
        (
            "A `randomId` is remembered for",
            seconds(limits::RANDOM_ID_LIFETIME),
        ),
        (
            "Typing ends by itself after",
            seconds(limits::TYPING_LIFETIME),
        ),
        (
            "Rows of controls on a message",
            limits::CONTROL_ROWS.to_string(),
        ),
        (
            "Buttons in a row; a select stands alone",
            limits::BUTTONS_PER_ROW.to_string(),
        ),
        (
            "Components of a modal",
            limits::MODAL_COMPONENTS.to_string(),
        ),
        (
            "Commands in one scope (global, or one space)",
            limits::COMMANDS_PER_SCOPE.to_string(),
        ),
        (
            "Different emoji on a message",
            limits::REACTIONS_PER_MESSAGE.to_string(),
        ),
        (
            "Messages in a page of history, and without `limit`",
            format!("{} and {}", limits::HISTORY_PAGE.0, limits::HISTORY_PAGE.1),
        ),
    ];
    table(out, &["What", "Limit"]);
    for (what, limit) in rows {
        row(out, &[what, limit]);
    }
    out.push_str("\nRequests a minute of a bot that is not verified:\n\n");
    table(out, &["Interface", "Requests"]);
    for interface in INTERFACES {
        let name = quoted(&format!("argon.{}", interface.luau_name()));
        row(out, &[&name, &interface.per_minute.to_string()]);
    }
}

pub(super) fn error_codes(out: &mut String) {
    out.push_str("\n## Error codes\n\nWhat `code` of a failed call may be, with its HTTP status. The host's own codes have the status 0.\n\n");
    table(out, &["Code", "Status", "Meaning"]);
    for code in ERROR_CODES {
        row(
            out,
            &[&quoted(code.code), &code.status.to_string(), code.doc],
        );
    }
}
