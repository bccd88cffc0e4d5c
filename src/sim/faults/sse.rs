//! Events in forms that a reader of server-sent events must live with: pure bytes to bytes.
//!
//! A form either writes an event in another legal way (line ends, comments, several data lines, a
//! character in two pieces), so that a correct reader sees the same event, or puts a strange event
//! before it, which a correct reader passes on or skips without losing the one after it.

use bytes::Bytes;

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A `messageCreate` whose data is no JSON goes before the event.
    BadJson,
    /// Characters are cut in the middle, the halves written apart.
    SplitUtf8,
    /// Lines end with a carriage return.
    Cr,
    /// Lines end with a carriage return and a line feed.
    Crlf,
    /// Comments stand before, in and after the event.
    Comments,
    /// The data takes several lines.
    Multiline,
    /// The next stream begins with a byte order mark.
    Bom,
    /// An event with a megabyte of data goes before the event.
    Big,
    /// An event of a type that nobody knows goes before the event.
    UnknownType,
}

/// Data of [`Form::Big`], bytes.
const BIG: usize = 1 << 20;
/// The most pieces that [`Form::SplitUtf8`] cuts one event into.
const MOST_PIECES: usize = 8;
/// UTF-8's byte order mark.
pub const BOM: &[u8] = b"\xef\xbb\xbf";

impl Form {
    /// Every form with its name and its doc.
    pub const ALL: &[(Form, &str, &str)] = &[
        (
            Form::BadJson,
            "badJson",
            "an extra event whose data is no JSON",
        ),
        (
            Form::SplitUtf8,
            "splitUtf8",
            "characters cut in the middle, the halves sent apart",
        ),
        (Form::Cr, "cr", "lines that end with a carriage return"),
        (
            Form::Crlf,
            "crlf",
            "lines that end with carriage return and line feed",
        ),
        (
            Form::Comments,
            "comments",
            "comments before, in and after the event",
        ),
        (Form::Multiline, "multiline", "data on several lines"),
        (
            Form::Bom,
            "bom",
            "a byte order mark at the beginning of the next stream",
        ),
        (Form::Big, "big", "an extra event with 1 MiB of data"),
        (
            Form::UnknownType,
            "unknownType",
            "an extra event of an unknown type",
        ),
    ];

    /// The form of that name.
    pub fn named(name: &str) -> Option<Form> {
        let mut forms = Self::ALL.iter();
        forms
            .find(|(_, known, _)| *known == name)
            .map(|(form, ..)| *form)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        let mut forms = Self::ALL.iter();
        forms
            .find(|(form, ..)| *form == self)
            .map_or("", |(_, name, _)| name)
    }
}

/// The events of a chunk. Each ends with an empty line, and no line within one is empty.
pub fn events(chunk: &[u8]) -> Vec<Bytes> {
    let mut events = Vec::new();
    let mut from = 0;
    for at in 1..chunk.len() {
        if chunk[at - 1] == b'\n' && chunk[at] == b'\n' && at > from {
            events.push(Bytes::copy_from_slice(&chunk[from..=at]));
            from = at + 1;
        }
    }
    if from < chunk.len() {
        events.push(Bytes::copy_from_slice(&chunk[from..]));
    }
    events
}

/// Writes an event in that form; the pieces must leave apart from each other.
pub fn write(event: &Bytes, form: Form) -> Vec<Bytes> {
    match form {
        Form::BadJson => before(event, "messageCreate", "{\"spaceId\": \"unfinished"),
        Form::UnknownType => before(event, "somethingNew", "{\"new\":true}"),
        Form::Big => {
            let data = format!("{{\"filler\":\"{}\"}}", "x".repeat(BIG));
            before(event, "somethingBig", &data)
        }
        Form::SplitUtf8 => split(event),
        Form::Cr => vec![with_line_ends(event, b"\r")],
        Form::Crlf => vec![with_line_ends(event, b"\r\n")],
        Form::Comments => {
            let mut out = b": before\n".to_vec();
            for line in event.split_inclusive(|&byte| byte == b'\n') {
                if line != b"\n" {
                    out.extend_from_slice(b":\n");
                }
                out.extend_from_slice(line);
            }
            out.extend_from_slice(b": after\n\n");
            vec![out.into()]
        }
        Form::Multiline => vec![multiline(event)],
        // Only a stream's beginning can have one.
        Form::Bom => vec![event.clone()],
    }
}

fn before(event: &Bytes, kind: &str, data: &str) -> Vec<Bytes> {
    let extra = format!("event: {kind}\ndata: {data}\n\n");
    vec![extra.into(), event.clone()]
}

/// A comment that has characters of several bytes comes first, so that there is always one to cut.
fn split(event: &Bytes) -> Vec<Bytes> {
    let mut text = ": äöü €\n".as_bytes().to_vec();
    text.extend_from_slice(event);
    // The last characters, so that data with some is cut rather than the comment alone.
    let cuts: Vec<usize> = (1..text.len())
        .rev()
        .filter(|&at| text[at] & 0xc0 == 0x80)
        .take(MOST_PIECES - 1)
        .collect();
    let mut pieces = Vec::new();
    let mut from = 0;
    for at in cuts.into_iter().rev().chain([text.len()]) {
        pieces.push(Bytes::copy_from_slice(&text[from..at]));
        from = at;
    }
    pieces
}

fn with_line_ends(event: &Bytes, end: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(event.len() + 8);
    for &byte in event.iter() {
        match byte {
            b'\n' => out.extend_from_slice(end),
            byte => out.push(byte),
        }
    }
    out.into()
}

/// A line break after the first brace of the data and one before the last: white space to JSON.
fn multiline(event: &Bytes) -> Bytes {
    let mut out = Vec::with_capacity(event.len() + 16);
    for line in event.split_inclusive(|&byte| byte == b'\n') {
        match line.strip_prefix(b"data: {") {
            Some(rest) if rest.ends_with(b"}\n") => {
                out.extend_from_slice(b"data: {\ndata: ");
                out.extend_from_slice(&rest[..rest.len() - 2]);
                out.extend_from_slice(b"\ndata: }\n");
            }
            _ => out.extend_from_slice(line),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Form, events, write};
    use crate::sim::events::frame;
    use crate::sim::quirks::Quirks;

    /// A reader of server-sent events by the book, over whole text: type and data of each event.
    fn read(pieces: &[Bytes]) -> Vec<(String, String)> {
        let text = String::from_utf8(pieces.concat()).expect("whole text");
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let mut found = Vec::new();
        let (mut kind, mut data) = (String::new(), Vec::new());
        for line in text.split('\n') {
            if line.is_empty() {
                if !data.is_empty() {
                    found.push((std::mem::take(&mut kind), data.join("\n")));
                    data.clear();
                }
            } else if let Some(value) = line.strip_prefix("event: ") {
                kind = value.to_owned();
            } else if let Some(value) = line.strip_prefix("data: ") {
                data.push(value.to_owned());
            }
        }
        found
    }

    #[test]
    fn every_form_keeps_the_event_itself() {
        for payload in ["{\"text\":\"Grüße 🎲\"}", "{}"] {
            let event = frame(Quirks::default(), "messageCreate", payload, "a_1");
            for &(form, name, _) in Form::ALL {
                let pieces = write(&event, form);
                let events = read(&pieces);
                let (kind, data) = events.last().expect(name);
                let data: serde_json::Value = serde_json::from_str(data).expect(name);
                let wanted: serde_json::Value = serde_json::from_str(payload).expect("JSON");
                assert_eq!((kind.as_str(), data), ("messageCreate", wanted), "{name}");
            }
        }
    }

    #[test]
    fn split_utf8_cuts_within_a_character() {
        for payload in ["{\"text\":\"Grüße 🎲\"}", "{}"] {
            let pieces = write(
                &frame(Quirks::default(), "x", payload, "a_1"),
                Form::SplitUtf8,
            );
            assert!(pieces.len() > 1);
            let halves = pieces
                .iter()
                .filter(|piece| std::str::from_utf8(piece).is_err());
            assert!(halves.count() > 1);
        }
    }

    #[test]
    fn a_chunk_is_cut_into_its_events() {
        let one = frame(Quirks::default(), "a", "{}", "a_1");
        let two = frame(Quirks::default(), "b", "{}\n", "a_2");
        assert_eq!(events(&[one.clone(), two.clone()].concat()), [one, two]);
        assert!(events(b"").is_empty());
    }
}
