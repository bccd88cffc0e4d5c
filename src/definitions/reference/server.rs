//! The embedded server: what it does, where it differs, what can go wrong, and how it is controlled.

use std::fmt::Write as _;

use super::program::keys;
use super::{quoted, row, table};
use crate::sim;
use crate::sim::behaviour::Behaviour;

pub(super) fn behaviour(out: &mut String) {
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

pub(super) fn dialects(out: &mut String) {
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

pub(super) fn faults(out: &mut String) {
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

pub(super) fn control(out: &mut String) {
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

pub(super) fn world_files(out: &mut String) {
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
