//! From the tree of a file to a [`Config`]: one function for each section.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::address::is_loopback;
use super::bot::{bot, hide_tokens, scrub};
use super::expand::Env;
use super::hosts::{self, Hosts};
use super::keys::{self, TOP_LEVEL};
use super::problem::{Problem, Severity};
use super::read::{Node, Reader, Section};
use super::suggest::{did_you_mean, nearest};
use super::{
    Admin, Config, Dialect, Events, Intents, Limits, MOST_MEMORY, Reload, Script, Scripts, Server,
    ServerUrl, State,
};
use crate::contract::{self, INTENTS, ROUTES};

/// The first events of a version by which it is judged.
const MOST_ROLLBACK: i64 = 20;
/// The least backlog: a few of the largest events.
const LEAST_BACKLOG: u64 = 32 << 20;
/// The least key-value store: one value of the largest.
const LEAST_KV: u64 = 1 << 20;
/// The least memory in which a VM with the libraries starts.
const LEAST_MEMORY: u64 = 1 << 20;
/// The most handler runs of a script: each may hold a coroutine and a request.
const MOST_HANDLERS: i64 = 100_000;

/// What one file holds, whether or not it can be used.
pub struct Inspection {
    /// The configuration, with defaults in the place of what is wrong; `None` when the file cannot be
    /// read at all.
    pub config: Option<Config>,
    /// Every problem, by line.
    pub problems: Vec<Problem>,
}

/// Reads one configuration file and the token's file, if it names one. `env` looks environment
/// variables up. Gives the configuration with warnings, or else every problem of the file.
pub fn load(path: &Path, env: &Env<'_>) -> Result<(Config, Vec<Problem>), Vec<Problem>> {
    let Inspection { config, problems } = inspect(path, env);
    match config {
        Some(config) if !problems.iter().any(Problem::is_error) => Ok((config, problems)),
        _ => Err(problems),
    }
}

/// As [`load`], for those who go on in spite of errors, such as the checker.
pub fn inspect(path: &Path, env: &Env<'_>) -> Inspection {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("cannot be read: {error}");
            let help = match error.kind() {
                std::io::ErrorKind::NotFound => "name an existing configuration file",
                std::io::ErrorKind::InvalidData => "save it as UTF-8",
                _ => "check that it is a file and that you may read it",
            };
            let problem = Problem::of_file(Severity::Error, path, message).help(help);
            return Inspection {
                config: None,
                problems: vec![problem],
            };
        }
    };
    let mut reader = Reader::new(path, &text, env);
    let root = reader.parse();
    let broken: Vec<usize> = reader.problems.iter().map(|problem| problem.line).collect();
    let root = root.get_ref();
    hide_tokens(&mut reader, root);
    let config = read(&mut reader, path, root, env, broken.is_empty());
    // On a line that is no TOML, and for keys that may stand on one, nothing further is certain.
    let mut seen = 0;
    reader.problems.retain(|problem| {
        seen += 1;
        broken.is_empty()
            || seen <= broken.len()
            || (problem.line != 0 && !broken.contains(&problem.line))
    });
    let mut problems = reader.problems;
    scrub(&mut problems, root, env);
    Problem::sort(&mut problems);
    Inspection {
        config: Some(config),
        problems,
    }
}

fn read<'t>(
    reader: &mut Reader<'_>,
    path: &Path,
    root: &'t DeTable<'t>,
    env: &Env<'_>,
    complete: bool,
) -> Config {
    for (key, node) in root {
        let name: &str = key.get_ref();
        if TOP_LEVEL.contains(&name) {
            continue;
        }
        let section = matches!(node.get_ref(), DeValue::Table(_));
        let kind = if section { "section" } else { "key" };
        let help = did_you_mean(name, TOP_LEVEL.iter().copied()).or_else(|| {
            let home = keys::SECTIONS.iter().find(|s| s.key(name).is_some())?;
            Some(format!("\"{name}\" belongs in [{}]", home.name))
        });
        let message = format!("unknown {kind} \"{name}\"");
        reader.error(key.span(), message, help);
    }

    let folder = path.parent().unwrap_or(Path::new(""));
    let server = server(reader, root, folder);
    let bot = bot(reader, root, path, &server.url, env, complete);
    let limits_section = reader.section(root, &keys::LIMITS);
    let limits = limits(reader, &limits_section, &Limits::default());
    let script = scripts_by_name(reader, root, &limits);

    let section = reader.section(root, &keys::STATE);
    let state = state(reader, &section, folder);
    let section = reader.section(root, &keys::ADMIN);
    let listen = reader.read(&section, "listen", Reader::address);
    if listen.is_some_and(|listen| !listen.ip().is_loopback()) {
        let message =
            "\"listen\" in [admin] lets other machines see the bots and reload their scripts";
        let help = "use 127.0.0.1, unless something in front of it decides who may".to_owned();
        reader.warn(section.span("listen"), message, Some(help));
    }
    let admin = Admin { listen };
    Config {
        path: path.to_owned(),
        bot,
        events: events(reader, root, &server.url),
        scripts: scripts(reader, root, path, folder),
        server,
        limits,
        script,
        state,
        admin,
    }
}

fn state<'t>(reader: &mut Reader<'_>, section: &Section<'t>, folder: &Path) -> State {
    let mut size = |key, least: u64| {
        reader.read(section, key, |reader, what, node| {
            let value = reader.size(what, node)?;
            if value < least {
                let help = format!("write at least \"{}MiB\"", least >> 20);
                reader.error(node.span(), format!("{what} is too small"), Some(help));
            }
            (value >= least).then_some(value)
        })
    };
    let backlog = size("backlog", LEAST_BACKLOG);
    let kv = size("kv", LEAST_KV);
    let dir = reader.read(section, "dir", Reader::text);
    let sync_full = reader.read(section, "sync", |reader, what, node| {
        let text = reader.text(what, node)?;
        match text.as_str() {
            "normal" => Some(false),
            "full" => Some(true),
            _ => {
                let help = "write \"normal\" or \"full\"".to_owned();
                reader.error(
                    node.span(),
                    format!("{what} is neither of its two words"),
                    Some(help),
                );
                None
            }
        }
    });
    let redact = reader.read(section, "redact", |reader, what, node| {
        let paths = reader.strings(what, node)?;
        for (span, path) in &paths {
            if path.split('.').any(str::is_empty) {
                let help = "a path is names with dots between them: \"message.text\", \"user.*\"";
                let message = format!("\"{path}\" is no path of a field");
                reader.error(span.clone(), message, Some(help.to_owned()));
            }
        }
        Some(paths.into_iter().map(|(_, path)| path).collect())
    });
    State {
        dir: folder.join(dir.unwrap_or_else(|| ".argon".to_owned())),
        backlog: backlog.unwrap_or(256 << 20),
        kv: kv.unwrap_or(64 << 20),
        sync_full: sync_full.unwrap_or_default(),
        redact: redact.unwrap_or_default(),
    }
}

fn server<'t>(reader: &mut Reader<'_>, root: &'t DeTable<'t>, folder: &Path) -> Server {
    let section = reader.section(root, &keys::SERVER);
    let url = reader.read(&section, "url", server_url);
    if matches!(url, Some(ServerUrl::Remote(_))) {
        for key in ["listen", "dialect", "faults", "chaos", "state"] {
            if section.has(key) {
                let message = format!(
                    "\"{key}\" in [server] has no effect: the server is not the embedded one"
                );
                let help = "remove it, or set url = \"embedded\"".to_owned();
                reader.warn(section.span(key), message, Some(help));
            }
        }
    }
    let listen = reader.read(&section, "listen", Reader::address);
    let faults = reader.read(&section, "faults", Reader::strings);
    let faults = faults.into_iter().flatten();
    Server {
        url: url.unwrap_or(ServerUrl::Embedded),
        listen: listen.unwrap_or_else(|| std::net::SocketAddr::from(([127, 0, 0, 1], 7400))),
        dialect: reader
            .read(&section, "dialect", dialect)
            .unwrap_or_default(),
        faults: faults
            .map(|(span, text)| reader.foreign(span, text))
            .collect(),
        chaos: reader.read(&section, "chaos", seed),
        state: reader
            .read(&section, "state", Reader::text)
            .map(|state| folder.join(state)),
    }
}

fn dialect<'t>(reader: &mut Reader<'_>, what: &str, node: &'t Node<'t>) -> Option<Dialect> {
    let text = reader.text(what, node)?;
    let dialect = Dialect::named(&text);
    if dialect.is_none() {
        let help = did_you_mean(&text, Dialect::NAMES)
            .unwrap_or_else(|| "write \"server\" or \"documented\"".to_owned());
        reader.error(node.span(), format!("{what} is no dialect"), Some(help));
    }
    dialect
}

fn seed<'t>(reader: &mut Reader<'_>, what: &str, node: &'t Node<'t>) -> Option<u64> {
    let seed = reader.integer(what, node)?;
    let valid = u64::try_from(seed).ok();
    if valid.is_none() {
        reader.error(node.span(), format!("{what} must not be negative"), None);
    }
    valid
}

fn server_url<'t>(reader: &mut Reader<'_>, what: &str, node: &'t Node<'t>) -> Option<ServerUrl> {
    let text = reader.text(what, node)?;
    if text == "embedded" {
        return Some(ServerUrl::Embedded);
    }
    let help = || {
        Some("write \"embedded\", or an address such as \"https://gateway.argon.zone\"".to_owned())
    };
    let parsed = reqwest::Url::parse(&text).ok();
    let Some(url) = parsed.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    else {
        reader.error(
            node.span(),
            format!("{what} is neither \"embedded\" nor an http or https address"),
            did_you_mean(&text, ["embedded"]).or_else(help),
        );
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        let message = format!("{what} contains a user name or password");
        reader.hide(node.span());
        reader.error(
            node.span(),
            message,
            Some("the token is all that the platform wants".to_owned()),
        );
        return None;
    }
    if url.query().is_some() || url.fragment().is_some() {
        let message = format!("{what} has something behind the path");
        reader.error(node.span(), message, help());
        return None;
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        let message = format!("{what} is not encrypted: the token travels readable by all");
        reader.warn(node.span(), message, Some("use https".to_owned()));
    }
    Some(ServerUrl::Remote(text.trim_end_matches('/').to_owned()))
}

fn events<'t>(reader: &mut Reader<'_>, root: &'t DeTable<'t>, url: &ServerUrl) -> Events {
    let section = reader.section(root, &keys::EVENTS);
    let intents = reader.read(&section, "intents", |reader, what, node| {
        intents(reader, what, node, url)
    });
    let catch_up = reader.read(&section, "catch_up", Reader::duration);
    Events {
        intents: intents.unwrap_or(Intents::Auto),
        catch_up: catch_up.unwrap_or(Duration::from_secs(600)),
    }
}

fn intents<'t>(
    reader: &mut Reader<'_>,
    what: &str,
    node: &'t Node<'t>,
    url: &ServerUrl,
) -> Option<Intents> {
    const HELP: &str = "write \"auto\", or a list such as [\"messages\", \"commands\"]";
    match node.get_ref() {
        DeValue::Array(_) => {}
        DeValue::String(_) => {
            if reader.string(what, node)? == "auto" {
                return Some(Intents::Auto);
            }
            let message = format!("{what} is neither \"auto\" nor a list");
            reader.error(node.span(), message, Some(HELP.to_owned()));
            return None;
        }
        _ => {
            let message = format!("{what} must be \"auto\" or a list");
            reader.error(node.span(), message, Some(HELP.to_owned()));
            return None;
        }
    }
    let names = reader.strings(what, node)?;
    if names.is_empty() {
        let message = format!("{what} is empty: the platform refuses a stream without intents");
        reader.error(node.span(), message, Some(HELP.to_owned()));
        return None;
    }
    let mut known = Vec::new();
    for (span, name) in names {
        let Some(intent) = contract::intent(&name) else {
            let all = || INTENTS.iter().map(|intent| intent.name);
            let help = did_you_mean(&name, all()).unwrap_or_else(|| {
                format!("the intents are {}", all().collect::<Vec<_>>().join(", "))
            });
            reader.error(span, format!("unknown intent \"{name}\""), Some(help));
            continue;
        };
        if intent.privileged && *url != ServerUrl::Embedded {
            let message = format!("only verified bots may ask for the intent \"{name}\"");
            let help = "without verification the platform refuses the stream".to_owned();
            reader.warn(span, message, Some(help));
        }
        known.push(intent);
    }
    (!known.is_empty()).then_some(Intents::Only(known))
}

fn scripts<'t>(
    reader: &mut Reader<'_>,
    root: &'t DeTable<'t>,
    path: &Path,
    folder: &Path,
) -> Scripts {
    let section = reader.section(root, &keys::SCRIPTS);
    let named = reader.read(&section, "dir", Reader::text);
    let dir: PathBuf = folder.join(named.as_deref().unwrap_or("scripts"));
    if !dir.is_dir() {
        let message = format!(
            "the folder of the scripts, {}, does not exist",
            dir.display()
        );
        let help = "create it, or set \"dir\" in [scripts] to one that exists; the path is relative to the configuration file";
        if named.is_some() {
            reader.error(section.span("dir"), message, Some(help.to_owned()));
        } else if !section.has("dir") {
            reader
                .problems
                .push(Problem::of_file(Severity::Error, path, message).help(help));
        }
    }
    let reload = reader.read(&section, "reload", reload);
    let drain = reader.read(&section, "drain", Reader::duration);
    let rollback = reader.read(&section, "rollback", |reader, what, node| {
        let value = reader.integer(what, node)?;
        let fits = (0..=MOST_ROLLBACK).contains(&value);
        if !fits {
            let message = format!("{what} must be from 0 (never) to {MOST_ROLLBACK}");
            reader.error(node.span(), message, None);
        }
        usize::try_from(value).ok().filter(|_| fits)
    });
    Scripts {
        dir,
        reload: reload.unwrap_or_default(),
        drain: drain.unwrap_or(Duration::from_secs(10)),
        rollback: rollback.unwrap_or(3),
    }
}

fn reload<'t>(reader: &mut Reader<'_>, what: &str, node: &'t Node<'t>) -> Option<Reload> {
    if let DeValue::Boolean(watched) = node.get_ref() {
        return Some(if *watched {
            Reload::Watched
        } else {
            Reload::Off
        });
    }
    if matches!(node.get_ref(), DeValue::String(_)) && reader.string(what, node)? == "poll" {
        return Some(Reload::Polled);
    }
    let message = format!("{what} must be true, false or \"poll\"");
    reader.error(node.span(), message, None);
    None
}

fn limits(reader: &mut Reader<'_>, section: &Section<'_>, base: &Limits) -> Limits {
    let positive = |reader: &mut Reader<'_>, what: &str, node| {
        let value = reader.duration(what, node)?;
        if value.is_zero() {
            reader.error(
                node.span(),
                format!("{what} must be more than nothing"),
                None,
            );
        }
        (!value.is_zero()).then_some(value)
    };
    let memory = reader.read(section, "memory", |reader, what, node| {
        let value = reader.size(what, node)?;
        if value < LEAST_MEMORY {
            let help = Some("a script needs at least \"1MiB\"".to_owned());
            reader.error(node.span(), format!("{what} is too small"), help);
        }
        if value > MOST_MEMORY {
            let help = format!("a script may have at most \"{}MiB\"", MOST_MEMORY >> 20);
            reader.error(node.span(), format!("{what} is too large"), Some(help));
        }
        (LEAST_MEMORY..=MOST_MEMORY)
            .contains(&value)
            .then_some(value)
    });
    let cpu_per_event = reader.read(section, "cpu_per_event", positive);
    let load_time = reader.read(section, "load_time", positive);
    let handlers = reader.read(section, "handlers", |reader, what, node| {
        let value = reader.integer(what, node)?;
        let fits = (1..=MOST_HANDLERS).contains(&value);
        if !fits {
            let message = format!("{what} must be from 1 to {MOST_HANDLERS}");
            reader.error(node.span(), message, None);
        }
        usize::try_from(value).ok().filter(|_| fits)
    });
    Limits {
        memory: memory.unwrap_or(base.memory),
        cpu_per_event: cpu_per_event.unwrap_or(base.cpu_per_event),
        load_time: load_time.unwrap_or(base.load_time),
        handlers: handlers.unwrap_or(base.handlers),
    }
}

fn scripts_by_name<'t>(
    reader: &mut Reader<'_>,
    root: &'t DeTable<'t>,
    limits: &Limits,
) -> BTreeMap<String, Script> {
    let mut scripts = BTreeMap::new();
    let Some(node) = root.get("script") else {
        return scripts;
    };
    const HELP: &str =
        "[script.NAME] is the section of one script, NAME its file without extension";
    let DeValue::Table(table) = node.get_ref() else {
        reader.error(
            node.span(),
            "\"script\" must be a section",
            Some(HELP.to_owned()),
        );
        return scripts;
    };
    for (key, node) in table {
        let name: &str = key.get_ref();
        if !matches!(node.get_ref(), DeValue::Table(_)) {
            let help = match keys::SCRIPT.key(name) {
                Some(_) => {
                    format!("\"{name}\" belongs in [script.NAME], NAME being a script's name")
                }
                None => HELP.to_owned(),
            };
            let message = format!("\"{name}\" in [script] must be the section of a script");
            reader.error(key.span(), message, Some(help));
            continue;
        }
        let section = reader.open(Some(node), &keys::SCRIPT, format!("[script.{name}]"));
        scripts.insert(name.to_owned(), script(reader, &section, name, limits));
    }
    scripts
}

fn script(reader: &mut Reader<'_>, section: &Section<'_>, name: &str, base: &Limits) -> Script {
    let enabled = reader.read(section, "enabled", Reader::boolean);
    let config = reader.read(section, "config", Reader::json);
    let allow = reader.read(section, "allow", route_patterns);
    let deny = reader.read(section, "deny", route_patterns);
    let http = reader.read(section, "http", hosts);
    let rate_share = reader.read(section, "rate_share", |reader, what, node| {
        let value = reader.number(what, node)?;
        let fits = value > 0.0 && value <= 1.0;
        if !fits {
            let message = format!("{what} must be above 0 and at most 1");
            let help = "0.5 is half of each rate limit".to_owned();
            reader.error(node.span(), message, Some(help));
        }
        fits.then_some(value)
    });
    let own = section.node("limits");
    let label = format!("[script.{name}.limits]");
    let own = reader.open(own, &keys::LIMITS, label);
    let defaults = Script::default();
    Script {
        enabled: enabled.unwrap_or(defaults.enabled),
        config: config.unwrap_or(defaults.config),
        allow: allow.unwrap_or(defaults.allow),
        deny: deny.unwrap_or(defaults.deny),
        http: http.unwrap_or(defaults.http),
        rate_share: rate_share.unwrap_or(defaults.rate_share),
        limits: limits(reader, &own, base),
    }
}

/// `messages.send`, `reactions.*` or `*`.
fn route_patterns<'t>(
    reader: &mut Reader<'_>,
    what: &str,
    node: &'t Node<'t>,
) -> Option<Vec<String>> {
    let patterns = reader.strings(what, node)?;
    let mut known: Vec<String> = ROUTES.iter().map(|route| route.permission_name()).collect();
    known.extend(
        contract::INTERFACES
            .iter()
            .map(|interface| format!("{}.*", interface.luau_name())),
    );
    known.push("*".to_owned());
    for (span, pattern) in &patterns {
        if known.contains(pattern) {
            continue;
        }
        let all_of = format!("{pattern}.*");
        let help = if known.contains(&all_of) {
            format!("did you mean \"{all_of}\"?")
        } else {
            nearest(pattern, known.iter().map(String::as_str)).map_or_else(
                || "write a route such as \"messages.send\", all of an interface such as \"reactions.*\", or \"*\"".to_owned(),
                |found| format!("did you mean \"{found}\"?"),
            )
        };
        reader.error(
            span.clone(),
            format!("unknown route \"{pattern}\""),
            Some(help),
        );
    }
    Some(patterns.into_iter().map(|(_, pattern)| pattern).collect())
}

/// Hosts that a script may call.
fn hosts<'t>(reader: &mut Reader<'_>, what: &str, node: &'t Node<'t>) -> Option<Hosts> {
    let mut hosts = Vec::new();
    for (span, text) in reader.strings(what, node)? {
        match text.parse::<hosts::Entry>() {
            Ok(host) => hosts.push(host),
            Err(help) => {
                let message = format!("\"{text}\" is not a host name");
                reader.error(span, message, Some(help.to_string()));
            }
        }
    }
    Some(hosts.into_iter().collect())
}
