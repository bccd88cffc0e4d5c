//! `${VAR}` and `${VAR:-default}` in the strings of bot.toml.

/// Where the values of variables come from.
pub type Env<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Why a text could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// The variable has no value and the text gives no default.
    #[error("the environment variable {0} is not set")]
    Unset(String),
    /// A `${` without its `}`.
    #[error("\"${{\" without \"}}\"")]
    Open,
    /// `${…}` around something that is no variable's name.
    #[error("\"${{…}}\" wants the name of an environment variable: letters, digits and _")]
    Name,
}

/// Replaces `${VAR}` by the variable's value, `${VAR:-default}` by the default when the variable is
/// unset or empty, and `$$` by `$`. Values are not expanded again.
pub fn expand(text: &str, env: &Env<'_>) -> Result<String, ExpandError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inside) = rest.strip_prefix('{') {
            let (inside, after) = inside.split_once('}').ok_or(ExpandError::Open)?;
            let (name, default) = match inside.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (inside, None),
            };
            if !is_name(name) {
                return Err(ExpandError::Name);
            }
            match (env(name), default) {
                (Some(value), None) => out.push_str(&value),
                (Some(value), Some(_)) if !value.is_empty() => out.push_str(&value),
                (_, Some(default)) => out.push_str(default),
                (None, None) => return Err(ExpandError::Unset(name.to_owned())),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "A" => Some("1".into()),
            "EMPTY" => Some(String::new()),
            "TRICK" => Some("${A}".into()),
            _ => None,
        }
    }

    #[test]
    fn variables_defaults_and_dollars() {
        let ok = |text: &str| expand(text, &env).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(ok("x${A}y${A}"), "x1y1");
        assert_eq!(ok("${NO:-z}"), "z");
        assert_eq!(ok("${NO:-}"), "");
        assert_eq!(ok("${EMPTY:-z}"), "z");
        assert_eq!(ok("${EMPTY}"), "");
        assert_eq!(ok("$${A} $5 a$"), "${A} $5 a$");
        assert_eq!(ok("${TRICK}"), "${A}");
    }

    #[test]
    fn what_cannot_be_expanded_is_named() {
        assert_eq!(
            expand("${NO}", &env),
            Err(ExpandError::Unset("NO".to_owned()))
        );
        assert_eq!(expand("${A", &env), Err(ExpandError::Open));
        assert_eq!(expand("${}", &env), Err(ExpandError::Name));
        assert_eq!(expand("${1A}", &env), Err(ExpandError::Name));
        assert_eq!(expand("${A b}", &env), Err(ExpandError::Name));
    }
}
