//! What is wrong only between the bots of one process.

use super::{Config, Problem, Secret, ServerUrl, Severity};

/// Bots that cannot run beside each other, or not be told apart. Two streams with one token share the
/// events between them, and each may end up deaf: that is an error.
pub fn conflicts<'c>(configs: impl IntoIterator<Item = &'c Config>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut seen: Vec<&Config> = Vec::new();
    for config in configs {
        if let Some(other) = seen.iter().find(|other| same_account(other, config)) {
            let message = format!("{} has the same token", other.path.display());
            let problem = Problem::of_file(Severity::Error, &config.path, message);
            problems.push(problem.help(
                "a bot can have one event stream: give each its own token, or leave one of them out",
            ));
        } else if let Some(other) = seen.iter().find(|other| other.bot.name == config.bot.name) {
            let name = &config.bot.name;
            let same_state = other.state.dir == config.state.dir;
            let other = other.path.display();
            let message = format!("{other} describes a bot of the name \"{name}\", too");
            let (severity, help) = match same_state {
                true => (
                    Severity::Error,
                    "set \"name\" in [bot]: the state of both would be one file",
                ),
                false => (
                    Severity::Warning,
                    "set \"name\" in [bot], so that logs tell them apart",
                ),
            };
            let problem = Problem::of_file(severity, &config.path, message);
            problems.push(problem.help(help));
        }
        let shares = |other: &&&Config| {
            let embedded = |config: &Config| config.server.url == ServerUrl::Embedded;
            embedded(other) && embedded(config) && other.server.listen == config.server.listen
        };
        for other in seen.iter().filter(shares) {
            for (key, differs) in [
                ("chaos", differ(&other.server.chaos, &config.server.chaos)),
                ("state", differ(&other.server.state, &config.server.state)),
                ("dialect", other.server.dialect != config.server.dialect),
            ] {
                if differs {
                    let other = other.path.display();
                    let message =
                        format!("{other} uses the same embedded server with another \"{key}\"");
                    let problem = Problem::of_file(Severity::Error, &config.path, message);
                    problems.push(problem.help(format!(
                        "give both the same \"{key}\", or set another \"listen\""
                    )));
                }
            }
        }
        seen.push(config);
    }
    problems
}

/// Whether both are given, and are not the same.
fn differ<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one != other)
}

fn same_account(one: &Config, other: &Config) -> bool {
    let token = |config: &Config| {
        config
            .bot
            .token
            .as_ref()
            .map(Secret::expose)
            .map(str::to_owned)
    };
    one.server.url != ServerUrl::Embedded
        && one.server.url == other.server.url
        && token(one).is_some()
        && token(one) == token(other)
}
