//! Masks what may be a token in a source line before anybody sees it.

use std::ops::Range;

/// A copy of `line` in which nothing of a token is left. Masked are: every part of the token's own
/// value (`secret`, byte range inside the line); the value of a key whose name looks like one for a
/// secret, misspelt or not; and whatever has the shape of a token, wherever it stands.
pub fn mask_line(line: &str, secret: Option<Range<usize>>) -> String {
    if let Some(range) = secret {
        // The key itself is no secret; one before it on the same line may be.
        let before = line.get(..range.start).unwrap_or_default();
        let (before, equals) = before.split_at(before.rfind('=').unwrap_or(before.len()));
        let after = line.get(range.end..).unwrap_or_default();
        return format!(
            "{}{equals}[redacted]{}",
            mask_line(before, None),
            mask_line(after, None)
        );
    }
    let secret_key = line
        .match_indices('=')
        .map(|(at, _)| &line[..at])
        .find(|before| is_secret_key(before));
    match secret_key {
        Some(before) => format!("{}= [redacted]", mask_shapes(before)),
        None => mask_shapes(line),
    }
}

/// Whether a key, perhaps with others before it, names something secret.
fn is_secret_key(key: &str) -> bool {
    let key = key
        .rsplit(['.', '{', ','])
        .next()
        .unwrap_or(key)
        .trim_matches(|c: char| !c.is_alphanumeric())
        .to_lowercase();
    key.contains("tok") || key.contains("secret") || strsim::damerau_levenshtein(&key, "token") <= 2
}

/// Masks words with 24 and more hexadecimal digits in a row, together with what hangs on them.
fn mask_shapes(line: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '=');
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while !rest.is_empty() {
        let start = rest.find(word).unwrap_or(rest.len());
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
        let (candidate, after) = rest.split_at(end);
        let mut run = 0;
        let hex = candidate.chars().any(|c| {
            run = if c.is_ascii_hexdigit() { run + 1 } else { 0 };
            run >= 24
        });
        out.push_str(if hex { "[redacted]" } else { candidate });
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::mask_line;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef:c2VjcmV0LXNlY3JldA";

    #[test]
    fn no_part_of_a_token_is_left() {
        for line in [
            format!("token = \"{TOKEN}\""),
            format!("tokn = \"{TOKEN}\""),
            "toke = 'plain secret'".to_owned(),
            "bot = { nam = 'x', tkoen = 'plain' }".to_owned(),
            "TOKEN=\"plain secret\" # plain secret".to_owned(),
            format!("bot = {{ name = \"x\", token = \"{TOKEN}\" }}"),
            TOKEN.to_owned(),
            format!("name = \"{TOKEN}\""),
        ] {
            let masked = mask_line(&line, None);
            assert!(masked.contains("[redacted]"), "{masked}");
            for part in ["0123456789abcdef", "c2VjcmV0", "plain"] {
                assert!(!masked.contains(part), "{masked}");
            }
        }
        let line = "bot = { token = 'plain', nam = 'x' }";
        let start = line.find("'plain'").unwrap_or(0);
        assert_eq!(
            mask_line(line, Some(start..start + 7)),
            "bot = { token = [redacted], nam = 'x' }"
        );
    }

    #[test]
    fn ordinary_lines_stay_readable() {
        for line in [
            "nmae = \"demo\"",
            "[server]",
            "url = \"https://gateway.argon.zone\"",
            "drain = \"10\"",
        ] {
            assert_eq!(mask_line(line, None), line);
        }
    }
}
