//! The program: its commands and bot.toml.

use std::fmt::Write as _;

use super::{quoted, row, table};
use crate::config::keys::{SECTIONS, SectionKeys};

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
        "Runs the embedded Argon server alone, for any bot in any language. `--world FILE` says who and what is there (see [World files](#world-files)), `--bot NAME` and `--unverified` who may log in beside that, `--fault SPEC` and `--chaos SEED` what goes wrong (see [Faults](#faults)), `--dialect documented` and `--replay documented` which of its ways the server has (see [Dialects](#dialects)), `--limits FACTOR` or `--limits off` what becomes of the rate limits, `--voice-status type` that the voice sockets are those of the platform's older build. `--state FILE` keeps the world in a file, written every second while something changes and at the end; the next start goes on from there, and `--world` counts only while there is no such file. Time stands still while the server does not run.",
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

pub(super) fn commands(out: &mut String) {
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

pub(super) fn config(out: &mut String) {
    out.push_str(
        "\n## bot.toml\n\nPaths are relative to the file. `${VAR}` and `${VAR:-default}` in a string expand from the \
         environment, `$$` is a dollar sign. Durations are written `\"500ms\"`, `\"10s\"`, `\"2m\"`, `\"1h\"`, sizes \
         `\"512KiB\"`, `\"64MiB\"`, `\"1GiB\"`.\n",
    );
    for section in SECTIONS {
        let _ = write!(
            out,
            "\n### Section `[{}]`\n\n{}\n\n",
            section.name, section.doc
        );
        self::keys(out, section);
    }
}

pub(super) fn keys(out: &mut String, section: &SectionKeys) {
    table(out, &["Key", "Type", "Default", "Meaning"]);
    for key in section.keys {
        let default = match key.default {
            "" => String::new(),
            default => quoted(default),
        };
        row(out, &[&quoted(key.name), key.ty, &default, key.doc]);
    }
}
