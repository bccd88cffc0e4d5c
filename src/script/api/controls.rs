//! `argon.onControl`, `argon.onSelect`, `argon.onModal`.
//!
//! In each of the three, a name that ends in `*` matches every id that begins like it.

use mlua::Value;

use super::{Kit, function, text};
use crate::script::dispatch::Kind;

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    for (name, event, field) in [
        ("onControl", "controlInteraction", "controlId"),
        ("onSelect", "selectInteraction", "customId"),
        ("onModal", "modalSubmit", "customId"),
    ] {
        let call = kit.function(move |guest, lua, (id, handler): (Value, Value)| {
            let pattern = Pattern::new(text(&id, &format!("argon.{name}: the id"))?);
            let function = function(handler, &format!("argon.{name}: the handler"))?;
            guest.wants(event)?;
            let kind = Kind::Identified {
                function,
                field,
                pattern,
            };
            let serial = guest.handlers.borrow_mut().add(event, kind);
            super::events::subscription(guest, lua, serial)
        })?;
        kit.argon.raw_set(name, call)?;
    }
    Ok(())
}

/// Which ids a handler is for.
pub(in crate::script) enum Pattern {
    /// Just this one.
    Exact(String),
    /// All that begin so.
    Prefix(String),
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Pattern::Exact(exact) => f.write_str(exact),
            Pattern::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl Pattern {
    fn new(text: String) -> Self {
        match text.strip_suffix('*') {
            Some(prefix) => Pattern::Prefix(prefix.to_owned()),
            None => Pattern::Exact(text),
        }
    }

    pub(in crate::script) fn matches(&self, id: &str) -> bool {
        match self {
            Pattern::Exact(exact) => exact == id,
            Pattern::Prefix(prefix) => id.starts_with(prefix.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_what_begins_like_it() {
        assert!(Pattern::new("poll:*".into()).matches("poll:3"));
        assert!(!Pattern::new("poll:*".into()).matches("poll"));
        assert!(Pattern::new("poll".into()).matches("poll"));
        assert!(!Pattern::new("poll".into()).matches("poll:3"));
    }
}
