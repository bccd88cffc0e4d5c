//! `stdlib/REFERENCE.md`: every command, config key, library, route, event, type, limit and error code.

use std::fmt::Write as _;

use super::libraries::{LIBRARIES, Library};
use super::luau::{Shapes, Side, method_names, name_of};
use super::standard::{STD_DOCS, StdDoc};
use super::watching;
use crate::config::keys;
use crate::contract::{
    self, ENUMS, ERROR_CODES, EVENTS, Event, FLAGS, Field, INTENT_FLAGS, INTENTS, INTERFACES,
    Interface, Limit, ROUTES, Retry, Route, Type, limits,
};
use crate::limits::{BOUNDS, NATIVES};
use crate::sim;
use crate::sim::behaviour::Behaviour;

/// The commands of the program: usage and meaning.
const COMMANDS: &[(&str, &str)] = &[
    (
        "argon-host run [CONFIG…]",
        "Runs the bot of each config file (default `bot.toml`) until Ctrl-C or SIGTERM; a folder means every `*.toml` in it.",
    ),
    (
        "argon-host check [CONFIG…]",
        "Reads configs and scripts without connecting and prints every problem with its place and the way out.",
    ),
    (
        "argon-host sim [--listen ADDR] [--bot NAME]…",
        "Runs the embedded Argon server alone, for any bot in any language. `--world FILE` says who and what is there (see [World files](#world-files)), `--bot NAME` and `--unverified` who may log in beside that, `--fault SPEC` and `--chaos SEED` what goes wrong (see [Faults](#faults)), `--dialect documented` and `--replay documented` which of its ways the server has (see [Dialects](#dialects)), `--limits FACTOR` or `--limits off` what becomes of the rate limits. `--state FILE` keeps the world in a file, written every second while something changes and at the end; the next start goes on from there, and `--world` counts only while there is no such file. Time stands still while the server does not run.",
    ),
    (
        "argon-host kv export [CONFIG]",
        "Writes every key of the bot's key-value stores to stdout, a JSON object a line.",
    ),
    (
        "argon-host kv import FILE [CONFIG]",
        "Stores every key of such a file (`-` is stdin), all of them or none. The bot must not run.",
    ),
    (
        "argon-host failures [CONFIG]",
        "Shows the recordings of events whose handlers failed, newest first, a JSON object a line: payload, calls with their answers, errors. `redact` under `[state]` leaves fields out.",
    ),
    (
        "argon-host replay EVENT-ID|FILE [CONFIG]",
        "Runs recorded events through the scripts as they are now, without a connection: the handlers get the recorded answers, and every call is shown with its arguments. What is asked differently than it was recorded has no answer and raises an error with the code `not_recorded`. An id is of an event whose handlers failed, or that is not finished; a file has lines of `argon-host failures` (`-` is stdin). `--script NAME` takes the recordings of one script. The exit code is 1 if a handler fails. What a script had in its variables is not in a recording, time that handlers wait for is left out, and there is no voice.",
    ),
    (
        "argon-host types [DIR]",
        "Writes `argon.d.luau` and `.luaurc`, so that editors complete and check scripts.",
    ),
];

/// How a call fails, and how a script goes on.
const FAILURE: &str = r#"local ok, failure: any = pcall(function()
	argon.messages.send{ channelId = "1", text = "Hi" }
end)
if not ok then
	print(failure.route, failure.status, failure.code, failure.message, failure.retryAfter)
end
"#;

/// The whole reference.
pub fn reference() -> String {
    let mut out = String::from(
        "# Reference\n\nGenerated from the sources; `UPDATE_REFERENCE=1 cargo test --test definitions` rewrites it.\n\n\
         [Commands](#commands) · [bot.toml](#bottoml) · [Libraries](#libraries) · [Modules](#modules) · [Routes](#routes) · \
         [Events](#events) · [Intents](#intents) · [Types](#types) · [Limits](#limits) · \
         [Error codes](#error-codes) · [World files](#world-files) · [The embedded server](#the-embedded-server) · [Dialects](#dialects) · [Faults](#faults) · [Control API](#control-api) · [Admin server](#admin-server)\n",
    );
    commands(&mut out);
    config(&mut out);
    out.push_str("\n## Libraries\n");
    for library in LIBRARIES {
        self::library(&mut out, library);
    }
    out.push_str(
        "\n## Modules\n\n`require(\"@std/NAME\")` gives a module that is built in. Their types are theirs: \
         `argon-host types` puts them beside your scripts, where editors find them.\n",
    );
    for module in STD_DOCS {
        self::module(&mut out, module);
    }
    routes(&mut out);
    out.push_str(
        "\n## Events\n\nEvery event has `type` and `id` beside its fields. Fields and events that are not listed \
         here are passed through. Numbers of enums arrive as names, bit masks as sets, 64-bit ids as \
         strings.\n",
    );
    for event in EVENTS {
        self::event(&mut out, event);
    }
    intents(&mut out);
    types(&mut out);
    self::limits(&mut out);
    bounds(&mut out);
    out.push_str("\n## Error codes\n\nWhat `code` of a failed call may be, with its HTTP status. The host's own codes have the status 0.\n\n");
    table(&mut out, &["Code", "Status", "Meaning"]);
    for code in ERROR_CODES {
        row(
            &mut out,
            &[&quoted(code.code), &code.status.to_string(), code.doc],
        );
    }
    world_files(&mut out);
    behaviour(&mut out);
    dialects(&mut out);
    faults(&mut out);
    control(&mut out);
    watching::admin(&mut out);
    // Between a table and a heading one empty line is enough.
    out.replace("\n\n\n", "\n\n")
}

fn behaviour(out: &mut String) {
    out.push_str(
        "\n## The embedded server\n\nWhat it does for each route and each event, and the tests that show it. A bot may do \
         what it was granted in the space and what the channel's overrides leave of that; what it lacks is a 403 \
         `insufficient_permissions` with the entitlement's name. A space that the bot is not in is `not_a_member`. People \
         of the control API need the entitlements of their archetypes.\n\n",
    );
    table(out, &["Route", "Does", "Shown by"]);
    rows(out, sim::behaviour::ROUTES);
    out.push('\n');
    table(out, &["Event", "Comes", "Shown by"]);
    rows(out, sim::behaviour::EVENTS);
}

fn rows(out: &mut String, rows: &[Behaviour]) {
    for behaviour in rows {
        let tests: Vec<_> = behaviour.tests.iter().map(|test| quoted(test)).collect();
        let subject = quoted(behaviour.subject);
        row(out, &[&subject, behaviour.does, &tests.join(", ")]);
    }
}

fn dialects(out: &mut String) {
    out.push_str(
        "\n## Dialects\n\nThe platform's server and its documentation disagree here and there. The embedded server does \
         what the real one does; with `argon-host sim --dialect documented`, or `dialect = \"documented\"` under \
         `[server]` in bot.toml, it does what the documentation says. A bot should get on with both. `--replay` \
         chooses the line about events that were missed alone.\n\n",
    );
    table(out, &["About", "Server", "Documentation"]);
    for row in sim::DIFFERENCES {
        self::row(out, &[row.about, row.server, row.documented]);
    }
}

fn faults(out: &mut String) {
    out.push_str(
        "\n## Faults\n\nWhat can go wrong between a bot and the embedded server, to see how the bot takes it: \
         `argon-host sim --fault SPEC`, or `POST /_sim/fault` while it runs, with the same fields as JSON \
         (`{\"kind\": \"answer\", \"interface\": \"IMessages\", \"status\": 503, \"count\": 3}`). `GET /_sim/faults` lists \
         what is armed, `DELETE /_sim/faults` clears it. Every fault may have a `count`, which is 1 by \
         default.\n\n",
    );
    table(out, &["SPEC", "Does"]);
    for row in sim::FAULTS {
        let needed = row.needs.iter().map(|field| format!("{field}=…"));
        let optional = row.may.iter().map(|field| format!("[{field}=…]"));
        let fields: Vec<_> = needed.chain(optional).collect();
        let spec = match fields.is_empty() {
            true => row.name.to_owned(),
            false => format!("{}:{}", row.name, fields.join(",")),
        };
        self::row(out, &[&quoted(&spec), row.doc]);
    }
    out.push_str("\nForms of `sse`: ");
    let forms = sim::Form::ALL.iter();
    let forms: Vec<_> = forms
        .map(|(_, name, doc)| format!("`{name}` ({doc})"))
        .collect();
    out.push_str(&forms.join(", "));
    out.push_str(
        ".\n\n`--chaos SEED`, or `{\"kind\": \"chaos\", \"seed\": SEED}`, mixes all of them at random: the fate of \
         the n-th request of an interface, of the n-th event, of the n-th batch of events and of the n-th voice \
         socket and packet depends on nothing but the seed and n. `GET /_sim/faults/kinds` describes every fault \
         for programs.\n",
    );
}

fn control(out: &mut String) {
    out.push_str(
        "\n## Control API\n\nWhat tests and pages do in the embedded server, below `/_sim`: JSON in and out, no token. \
         A `POST` takes its fields as a JSON object, the others take them in the query; `?` marks what may be \
         left out, and an unknown field is refused. An error is `{error, message}` with a status from 400 on. Ids \
         of messages are texts. Enums are written by their names. Only pages of the server itself and programs of \
         this machine may call.\n\n",
    );
    table(out, &["Route", "Takes", "Gives", "Does"]);
    for row in sim::CONTROL {
        let route = quoted(&format!("{} {}", row.method, row.path));
        let takes: Vec<_> = row.takes.iter().map(|name| quoted(name)).collect();
        let gives = match row.gives.starts_with('{') {
            true => quoted(row.gives),
            false => row.gives.to_owned(),
        };
        self::row(out, &[&route, &takes.join(", "), &gives, row.doc]);
    }
}

fn commands(out: &mut String) {
    out.push_str("\n## Commands\n\n");
    table(out, &["Command", "Does"]);
    for (usage, doc) in COMMANDS {
        row(out, &[&quoted(usage), doc]);
    }
    out.push_str(
        "\nExit codes: 0 done, 1 the work failed (a check found errors, the token was refused), 2 wrong usage or config, 130 ended at once by a second Ctrl-C.\n\n\
         Results go to stdout, logs to stderr. `--log FILTER`, or else the variable `RUST_LOG`, chooses what is logged (`debug`, `argon_host::rest=debug`); `--log-format json` makes each line of the log one JSON object. SIGHUP loads every script again. `HTTP_PROXY` and `HTTPS_PROXY` are heeded, except for servers on this machine.\n",
    );
}

fn config(out: &mut String) {
    out.push_str(
        "\n## bot.toml\n\nPaths are relative to the file. `${VAR}` and `${VAR:-default}` in a string expand from the \
         environment, `$$` is a dollar sign. Durations are written `\"500ms\"`, `\"10s\"`, `\"2m\"`, `\"1h\"`, sizes \
         `\"512KiB\"`, `\"64MiB\"`, `\"1GiB\"`.\n",
    );
    for section in keys::SECTIONS {
        let _ = write!(
            out,
            "\n### Section `[{}]`\n\n{}\n\n",
            section.name, section.doc
        );
        self::keys(out, section);
    }
}

fn keys(out: &mut String, section: &keys::SectionKeys) {
    table(out, &["Key", "Type", "Default", "Meaning"]);
    for key in section.keys {
        let default = match key.default {
            "" => String::new(),
            default => quoted(default),
        };
        row(out, &[&quoted(key.name), key.ty, &default, key.doc]);
    }
}

fn world_files(out: &mut String) {
    out.push_str(
        "\n## World files\n\nThe world that `argon-host sim --world FILE` begins with. Names are all it takes: ids \
         derive from them and are the same in every run. A bot without a token gets a fresh one, which is printed.\n",
    );
    for section in sim::WORLD_SECTIONS {
        let _ = write!(
            out,
            "\n### Section `[[{}]]`\n\n{}\n\n",
            section.name, section.doc
        );
        keys(out, section);
    }
}

fn library(out: &mut String, library: &Library) {
    let _ = write!(out, "\n### {}\n\n{}\n\n", library.name, library.doc);
    for member in library.members {
        let _ = writeln!(
            out,
            "- `{}{}`: {}",
            member.path, member.signature, member.doc
        );
    }
    code(out, library.example);
}

fn module(out: &mut String, module: &StdDoc) {
    let _ = write!(out, "\n### @std/{}\n\n{}\n\n", module.name, module.doc);
    for (signature, doc) in module.members {
        let _ = writeln!(out, "- `{signature}`: {doc}");
    }
    code(out, module.example);
}

fn code(out: &mut String, text: &str) {
    let _ = write!(out, "\n```luau\n{text}```\n");
}

fn routes(out: &mut String) {
    out.push_str(
        "\n## Routes\n\nEvery route of the platform is a function that takes one table of parameters and returns the \
         platform's answer. It suspends the coroutine that calls it. Unknown or missing parameters, wrong types and values \
         over a limit raise before anything is sent; so does, with the code `permission_denied`, a route that the script's \
         `allow` and `deny` in bot.toml do not permit. `randomId` is filled in. A call of a handler that runs again after a \
         crash is not sent again when its answer is known; what becomes of one whose answer is not known stands with the \
         route. `{ retry = true }` as a second argument has it sent again all the same, also when only the answer \
         was lost: better twice than not at all. A failed call \
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

fn intents(out: &mut String) {
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

fn types(out: &mut String) {
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

fn bounds(out: &mut String) {
    out.push_str(
        "\n### Limits of a script\n\nBeside what `[limits]` sets. A script that is over one of them harms nobody else.\n\n",
    );
    table(out, &["What", "At most", "Beyond that"]);
    for bound in BOUNDS {
        row(out, &[bound.what, &bound.most.to_string(), bound.beyond]);
    }
    out.push_str(
        "\nA handler that computes for longer than two milliseconds lets the other handlers of its script run in \
         between, unless it is inside a coroutine of its own, a sort comparator, a `gsub` callback or a metamethod; \
         the top level is never interrupted before its first wait. CPU time counts for a handler and what it starts \
         together; what goes on in the background after the handler has ended has `cpu_per_event` between two \
         waits. Past it, every safepoint raises until nothing of the run is left.\n\n\
         ### Luau's functions with bounds\n\nThese differ from Luau's own, because a function that cannot be ended \
         could hold a script, its reload and the shutdown for as long as it runs. `getfenv`, `setfenv`, `loadstring` \
         and most of `os` and `debug` are not there; `collectgarbage` knows `\"count\"` only.\n\n",
    );
    table(out, &["Function", "Here", "Why"]);
    for native in NATIVES {
        let name = match native.library {
            "" => format!("`{}`", native.name),
            library => format!("`{library}.{}`", native.name),
        };
        row(out, &[&name, native.rule, native.reason]);
    }
}

fn limits(out: &mut String) {
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
    for interface in contract::INTERFACES {
        let name = quoted(&format!("argon.{}", interface.luau_name()));
        row(out, &[&name, &interface.per_minute.to_string()]);
    }
}

pub(super) fn quoted(text: &str) -> String {
    format!("`{text}`")
}

fn link(name: &str) -> String {
    format!("[{name}](#{})", name.to_lowercase())
}

pub(super) fn table(out: &mut String, titles: &[&str]) {
    row(out, titles);
    row(out, &vec!["---"; titles.len()]);
}

/// A line of a table; a `|` in a cell would end it.
pub(super) fn row(out: &mut String, cells: &[&str]) {
    for cell in cells {
        let _ = write!(out, "| {} ", cell.replace('|', "\\|"));
    }
    out.push_str("|\n");
}
