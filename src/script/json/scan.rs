//! A scanner of JSON tokens (RFC 8259), strict about grammar.
//!
//! It borrows text and owns nothing: every value that it returns is `Copy`, so a frame that a Luau
//! error unwinds has nothing to drop. It never panics; every index is checked.

/// What is wrong with a document, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub message: &'static str,
    pub offset: usize,
}

/// A string between its quotes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Text<'a> {
    /// Without escapes: the text itself.
    Plain(&'a str),
    /// With escapes that [`unescape`] resolves; their syntax has been checked.
    Escaped(&'a str),
}

/// A number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number<'a> {
    /// As written; `-0` as `0` when it is an integer.
    pub text: &'a str,
    /// Without fraction and exponent.
    pub integer: bool,
    /// The nearest double.
    pub value: f64,
}

/// Integers up to here, and their negatives, are exact as a double.
pub(super) const EXACT: f64 = 9_007_199_254_740_992.0;

/// A position in a document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// An error at the current position.
    #[cold]
    pub fn fault(&self, message: &'static str) -> Fault {
        Fault {
            message,
            offset: self.at,
        }
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The first byte of the next token, which stays there.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other,
            }
        }
    }

    /// Steps over the byte that [`Self::peek`] showed.
    #[inline]
    pub fn skip(&mut self) {
        self.at += 1;
    }

    /// Steps over this byte, or fails.
    #[inline]
    pub fn expect(&mut self, byte: u8, message: &'static str) -> Result<(), Fault> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.fault(message))
        }
    }

    /// Steps over this text if it comes next.
    #[inline]
    pub fn accept(&mut self, token: &str) -> bool {
        let rest = self.text.as_bytes().get(self.at..);
        let found = rest.is_some_and(|rest| rest.starts_with(token.as_bytes()));
        if found {
            self.at += token.len();
        }
        found
    }

    /// Steps over `null`, `true` or `false`.
    #[inline]
    pub fn literal(&mut self, word: &'static str) -> Result<(), Fault> {
        if self.accept(word) {
            Ok(())
        } else {
            Err(self.fault("expected a JSON value"))
        }
    }

    /// Fails unless nothing but white space is left.
    pub fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.fault("unexpected text after the JSON document")),
        }
    }

    /// The string that starts here with its quote.
    #[inline]
    pub fn string(&mut self) -> Result<Text<'a>, Fault> {
        let start = self.at + 1;
        self.at = start;
        let mut escaped = false;
        loop {
            self.seek_special();
            match self.byte() {
                Some(b'"') => {
                    // Both ends are beside ASCII quotes, so they are character boundaries.
                    let text = self.text.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(if escaped {
                        Text::Escaped(text)
                    } else {
                        Text::Plain(text)
                    });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.fault("control character inside a string")),
                None => return Err(self.fault("the document ends inside a string")),
            }
        }
    }

    /// Moves to the next quote, backslash or control character, eight bytes at a time.
    #[inline]
    fn seek_special(&mut self) {
        const ONES: u64 = u64::MAX / 255;
        const HIGH: u64 = ONES * 128;
        let bytes = self.text.as_bytes();
        while let Some(chunk) = bytes.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let chunk = u64::from_le_bytes(*chunk);
            let quote = chunk ^ (ONES * u64::from(b'"'));
            let slash = chunk ^ (ONES * u64::from(b'\\'));
            // The classic zero-byte test. A borrow may light up bytes above the first hit, never
            // below it, and only the first is used.
            let hits = ((quote.wrapping_sub(ONES) & !quote)
                | (slash.wrapping_sub(ONES) & !slash)
                | (chunk.wrapping_sub(ONES * 0x20) & !chunk))
                & HIGH;
            if hits != 0 {
                self.at += (hits.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
        }
        while let Some(byte) = self.byte() {
            if matches!(byte, b'"' | b'\\' | 0..0x20) {
                return;
            }
            self.at += 1;
        }
    }

    /// Checks the escape that starts here with its backslash and steps over it.
    fn escape(&mut self) -> Result<(), Fault> {
        self.at += 1;
        match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.fault("\\u needs four hexadecimal digits"));
                }
                self.at += 5;
            }
            _ => return Err(self.fault("unknown escape in a string")),
        }
        Ok(())
    }

    /// The number that starts here with a digit or a minus sign.
    #[inline]
    pub fn number(&mut self) -> Result<Number<'a>, Fault> {
        let start = self.at;
        let negative = self.byte() == Some(b'-');
        if negative {
            self.at += 1;
        }
        let mut value: u64 = 0;
        let first = self.at;
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - first;
        if digits == 0 {
            return Err(self.fault("expected a digit"));
        }
        if digits > 1 && self.text.as_bytes().get(first) == Some(&b'0') {
            self.at = first;
            return Err(self.fault("a number must not start with 0"));
        }
        let integer = !matches!(self.byte(), Some(b'.' | b'e' | b'E'));
        if !integer {
            self.fraction()?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        // 15 digits stay below 2^53.
        if integer && digits <= 15 {
            let value = value as f64;
            return Ok(if value == 0.0 {
                Number {
                    text: "0",
                    integer,
                    value,
                }
            } else {
                Number {
                    text,
                    integer,
                    value: if negative { -value } else { value },
                }
            });
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Number {
                text,
                integer,
                value,
            }),
            _ => {
                self.at = start;
                Err(self.fault("number out of range"))
            }
        }
    }

    fn fraction(&mut self) -> Result<(), Fault> {
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.fault("expected a digit"));
        }
        Ok(())
    }
}

/// Writes the text of an escaped string to `out`, which it clears first. A surrogate without its
/// partner becomes U+FFFD.
pub(super) fn unescape(raw: &str, out: &mut Vec<u8>) {
    out.clear();
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let mut chars = escape.chars();
        chars.next();
        let simple = match chars.next() {
            Some('b') => 0x08,
            Some('f') => 0x0c,
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('u') => {
                let (character, after) = surrogates(escape);
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = after;
                continue;
            }
            // `"`, `\` and `/` stand for themselves; the scanner let nothing else pass.
            other => other.map_or(b'\\', |c| c as u8),
        };
        out.push(simple);
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

/// The character of the `\uXXXX` (or pair of them) at the start, and what follows.
fn surrogates(escape: &str) -> (char, &str) {
    let unit = |text: &str| -> Option<u32> {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        u32::from_str_radix(digits, 16).ok()
    };
    let after = escape.get(6..).unwrap_or_default();
    let Some(first) = unit(escape) else {
        return (char::REPLACEMENT_CHARACTER, after);
    };
    if let (0xd800..=0xdbff, Some(second @ 0xdc00..=0xdfff)) = (first, unit(after)) {
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        return (character, after.get(6..).unwrap_or_default());
    }
    let character = char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER);
    (character, after)
}
