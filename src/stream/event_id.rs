//! The ids of the stream's events (protocol.md, "Events"): what they say about place and order.

use crate::inbox::Scope;

/// What an SSE id says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventId<'a> {
    /// No id was sent.
    None,
    /// The `ready` event.
    Ready,
    /// A place in the order of one scope: `{space}_{sequence}` or `direct_{sequence}`.
    Sequenced(Scope, u64),
    /// A heartbeat's `{space}:{sequence},…`.
    Cursor(&'a str),
    /// Something that this version does not know; passed through.
    Other,
}

impl<'a> EventId<'a> {
    /// Reads an id. Never fails: what it does not know is [`EventId::Other`].
    pub fn parse(id: &'a str) -> Self {
        if id.is_empty() {
            return Self::None;
        }
        if id == "ready" {
            return Self::Ready;
        }
        if let Some((scope, sequence)) = id.rsplit_once('_')
            && let Some(scope) = scope_of(scope)
            && let Ok(sequence) = sequence.parse()
        {
            return Self::Sequenced(scope, sequence);
        }
        if id.contains(':') {
            return Self::Cursor(id);
        }
        Self::Other
    }
}

/// The positions in a heartbeat's cursor; parts that cannot be read are left out.
pub fn cursor_positions(cursor: &str) -> impl Iterator<Item = (Scope, u64)> {
    cursor.split(',').filter_map(|part| {
        let (scope, sequence) = part.trim().rsplit_once(':')?;
        Some((scope_of(scope)?, sequence.parse().ok()?))
    })
}

fn scope_of(text: &str) -> Option<Scope> {
    if text == "direct" {
        return Some(Scope::Direct);
    }
    guid(text).map(Scope::Space)
}

/// A GUID with or without dashes, upper or lower case, so that the platform's two spellings compare
/// equal.
pub fn guid(text: &str) -> Option<u128> {
    let mut value = 0u128;
    let mut digits = 0;
    for byte in text.bytes() {
        if byte == b'-' {
            continue;
        }
        let digit = char::from(byte).to_digit(16)?;
        value = value << 4 | u128::from(digit);
        digits += 1;
        if digits > 32 {
            return None;
        }
    }
    (digits == 32).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: &str = "0f8fad5bd9cb469fa16570867728950e";

    #[test]
    fn each_form_of_an_id_is_told_apart() {
        let space = Scope::Space(0x0f8f_ad5b_d9cb_469f_a165_7086_7728_950e);
        let id = format!("{SPACE}_42");
        assert_eq!(EventId::parse(&id), EventId::Sequenced(space, 42));
        let dashed = "0F8FAD5B-D9CB-469F-A165-70867728950E_42";
        assert_eq!(EventId::parse(dashed), EventId::Sequenced(space, 42));
        assert_eq!(
            EventId::parse("direct_7"),
            EventId::Sequenced(Scope::Direct, 7)
        );
        assert_eq!(EventId::parse("ready"), EventId::Ready);
        assert_eq!(EventId::parse(""), EventId::None);
        let cursor = format!("{SPACE}:42");
        assert_eq!(EventId::parse(&cursor), EventId::Cursor(&cursor));
        for other in ["x_1", "direct_", "direct_-1", "_", "17", "é_1"] {
            assert_eq!(EventId::parse(other), EventId::Other, "{other}");
        }
    }

    #[test]
    fn a_cursor_lists_positions_and_skips_what_it_cannot_read() {
        let cursor = format!("{SPACE}:42,nonsense,direct:3,{SPACE}:x");
        let positions: Vec<_> = cursor_positions(&cursor).collect();
        assert_eq!(positions.len(), 2);
        assert_eq!(positions[0].1, 42);
        assert_eq!(positions[1], (Scope::Direct, 3));
    }
}
