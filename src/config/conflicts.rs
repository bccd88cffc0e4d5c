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
            let other = other.path.display();
            let message = format!("{other} describes a bot of the name \"{name}\", too");
            let problem = Problem::of_file(Severity::Warning, &config.path, message);
            problems.push(problem.help("set \"name\" in [bot], so that logs tell them apart"));
        }
        let mut others = seen.iter();
        if let Some(other) = others.find(|other| is_other_dialect(other, config)) {
            let (listen, other) = (config.server.listen, other.path.display());
            let message = format!("{other} wants another dialect of the server at {listen}");
            let problem = Problem::of_file(Severity::Error, &config.path, message);
            problems.push(problem.help(
                "bots that listen at one address share one server: set the same \"dialect\" in [server], or another \"listen\"",
            ));
        }
        seen.push(config);
    }
    problems
}

/// Whether two bots share an embedded server and disagree about it.
fn is_other_dialect(one: &Config, other: &Config) -> bool {
    one.server.url == ServerUrl::Embedded
        && other.server.url == ServerUrl::Embedded
        && one.server.listen == other.server.listen
        && one.server.dialect != other.server.dialect
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
