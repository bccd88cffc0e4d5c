//! `stdlib/REFERENCE.md`: every command, config key, library, route, event, type, limit and error code.

mod platform;
mod program;
mod scripts;
mod server;
mod watching;

use std::fmt::Write as _;

/// The whole reference.
pub fn reference() -> String {
    let mut out = String::from(
        "# Reference\n\nGenerated from the sources; `UPDATE_REFERENCE=1 cargo test --test definitions` rewrites it.\n\n\
         [Commands](#commands) · [bot.toml](#bottoml) · [Libraries](#libraries) · [Modules](#modules) · [Routes](#routes) · \
         [Events](#events) · [Intents](#intents) · [Types](#types) · [Limits](#limits) · \
         [Error codes](#error-codes) · [World files](#world-files) · [The embedded server](#the-embedded-server) · [Dialects](#dialects) · [Faults](#faults) · [Control API](#control-api) · [Admin server](#admin-server)\n",
    );
    let write = [
        program::commands,
        program::config,
        scripts::libraries,
        scripts::modules,
        platform::routes,
        platform::events,
        platform::intents,
        platform::types,
        platform::limits,
        scripts::bounds,
        platform::error_codes,
        server::world_files,
        server::behaviour,
        server::dialects,
        server::faults,
        server::control,
        watching::admin,
    ];
    for part in write {
        part(&mut out);
    }
    // Between a table and a heading one empty line is enough.
    out.replace("\n\n\n", "\n\n")
}

fn code(out: &mut String, text: &str) {
    let _ = write!(out, "\n```luau\n{text}```\n");
}

fn quoted(text: &str) -> String {
    format!("`{text}`")
}

fn link(name: &str) -> String {
    format!("[{name}](#{})", name.to_lowercase())
}

fn table(out: &mut String, titles: &[&str]) {
    row(out, titles);
    row(out, &vec!["---"; titles.len()]);
}

/// A line of a table; a `|` in a cell would end it.
fn row(out: &mut String, cells: &[&str]) {
    for cell in cells {
        let _ = write!(out, "| {} ", cell.replace('|', "\\|"));
    }
    out.push_str("|\n");
}
