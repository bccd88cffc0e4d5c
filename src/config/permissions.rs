//! Which API calls a script may make: `allow` and `deny` of `[script.NAME]`.
//!
//! A pattern is a route (`messages.send`), every route of an interface (`messages.*`), or `*`. `deny`
//! wins over `allow`. Both readers of the rule, what runs a script and what checks it, ask here, so
//! that they say the same.

use super::Script;

/// The permissions of one script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// Patterns of the calls it may make.
    pub allow: Vec<String>,
    /// Patterns of the calls it may not make.
    pub deny: Vec<String>,
}

impl Default for Permissions {
    /// Everything.
    fn default() -> Self {
        Script::default().permissions()
    }
}

impl Script {
    /// The script's permissions.
    pub fn permissions(&self) -> Permissions {
        Permissions {
            allow: self.allow.clone(),
            deny: self.deny.clone(),
        }
    }
}

impl Permissions {
    /// Whether the script may call the route of that name (`messages.send`).
    pub fn allows(&self, route: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| covers(pattern, route));
        !any(&self.deny) && any(&self.allow)
    }

    /// What to write into bot.toml so that `script` may call `route`: the whole lines, as they should
    /// be, and the section that they belong to.
    pub fn remedy(&self, script: &str, route: &str) -> String {
        let mut allow = self.allow.clone();
        let deny: Vec<String> = self
            .deny
            .iter()
            .filter(|pattern| !covers(pattern, route))
            .cloned()
            .collect();
        // Where everything was denied, only this one is meant to open.
        if self.deny.iter().any(|pattern| pattern == "*") {
            allow.retain(|pattern| pattern != "*");
        }
        if !allow.iter().any(|pattern| covers(pattern, route)) {
            allow.push(route.to_owned());
        }
        let mut lines = Vec::new();
        if allow != self.allow {
            lines.push(format!("allow = {}", list(&allow)));
        }
        if deny != self.deny {
            lines.push(format!("deny = {}", list(&deny)));
        }
        format!(
            "write {} under [script.{}] in bot.toml",
            lines.join(" and "),
            key(script)
        )
    }
}

fn covers(pattern: &str, route: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => route.starts_with(prefix),
        None => pattern == route,
    }
}

fn list(patterns: &[String]) -> String {
    let quoted: Vec<_> = patterns
        .iter()
        .map(|pattern| format!("\"{pattern}\""))
        .collect();
    format!("[{}]", quoted.join(", "))
}

/// A name as TOML writes it in a header.
pub(super) fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permissions(allow: &[&str], deny: &[&str]) -> Permissions {
        let owned = |patterns: &[&str]| patterns.iter().map(|&p| p.to_owned()).collect();
        Permissions {
            allow: owned(allow),
            deny: owned(deny),
        }
    }

    #[test]
    fn everything_is_allowed_by_default_and_deny_wins() {
        assert!(Permissions::default().allows("members.kick"));
        let some = permissions(&["*"], &["members.kick", "reactions.*"]);
        assert!(some.allows("members.ban") && some.allows("messages.send"));
        assert!(!some.allows("members.kick") && !some.allows("reactions.add"));
        let named = permissions(&["messages.*"], &[]);
        assert!(named.allows("messages.send") && !named.allows("members.kick"));
        assert!(!permissions(&[], &[]).allows("messages.send"));
    }

    #[test]
    fn the_remedy_is_the_line_that_opens_this_call() {
        for (allow, deny, line) in [
            (
                &["messages.*"][..],
                &[][..],
                "write allow = [\"messages.*\", \"members.kick\"] under [script.mod] in bot.toml",
            ),
            (
                &["*"],
                &["members.kick", "reactions.*"],
                "write deny = [\"reactions.*\"] under [script.mod] in bot.toml",
            ),
            (
                &["messages.*"],
                &["members.*"],
                "write allow = [\"messages.*\", \"members.kick\"] and deny = [] under [script.mod] in bot.toml",
            ),
            (
                &["*"],
                &["*"],
                "write allow = [\"members.kick\"] and deny = [] under [script.mod] in bot.toml",
            ),
        ] {
            let before = permissions(allow, deny);
            assert!(!before.allows("members.kick"));
            assert_eq!(before.remedy("mod", "members.kick"), line);
        }
        let odd = permissions(&[], &[]).remedy("my bot", "members.kick");
        assert!(odd.contains("[script.\"my bot\"]"), "{odd}");
    }
}
