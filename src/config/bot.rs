//! `[bot]`: the token from its three possible places, and nothing of it in any problem.

use std::ops::Range;
use std::path::Path;

use toml::de::DeTable;

use super::expand::{Env, expand};
use super::problem::Problem;
use super::read::{Reader, Section};
use super::{Bot, Secret, ServerUrl, keys};

/// Hides the token before the first problem is noted, because it may share its line with others.
pub fn hide_tokens(reader: &mut Reader<'_>, root: &DeTable<'_>) {
    let bot = root.get("bot").and_then(|node| node.get_ref().as_table());
    if let Some(node) = bot.and_then(|bot| bot.get("token")) {
        reader.hide(node.span());
    }
}

/// Takes the token out of texts that quote expanded values: `${ARGON_TOKEN}` may stand in a wrong place.
pub fn scrub(problems: &mut [Problem], root: &DeTable<'_>, env: &Env<'_>) {
    let token = root
        .get("bot")
        .and_then(|node| node.get_ref().as_table()?.get("token")?.get_ref().as_str())
        .and_then(|raw| expand(raw, env).ok());
    let Some(token) = token
        .as_deref()
        .map(str::trim)
        .filter(|token| token.len() > 3)
    else {
        return;
    };
    for problem in problems {
        let texts = [
            Some(&mut problem.message),
            problem.help.as_mut(),
            problem.source_line.as_mut(),
        ];
        for text in texts.into_iter().flatten() {
            if text.contains(token) {
                *text = text.replace(token, "[redacted]");
            }
        }
    }
}

/// Reads the section. `complete` is false when the file has syntax errors, so that a key that is
/// missing may only be unreadable.
pub fn bot<'t>(
    reader: &mut Reader<'_>,
    root: &'t DeTable<'t>,
    path: &Path,
    url: &ServerUrl,
    env: &Env<'_>,
    complete: bool,
) -> Bot {
    let section = reader.section(root, &keys::BOT);
    let name = reader
        .read(&section, "name", Reader::text)
        .unwrap_or_else(|| {
            path.file_stem().map_or_else(
                || "bot".to_owned(),
                |stem| stem.to_string_lossy().into_owned(),
            )
        });
    let token = match url {
        // Not needed, so that a variable or a file that is missing does no harm.
        ServerUrl::Embedded => embedded_token(reader, &section, env),
        ServerUrl::Remote(_) => remote_token(reader, &section, path, complete),
    };
    if let Some(token) = &token
        && name.contains(token.expose())
    {
        let message = "\"name\" in [bot] contains the token";
        let help = "the name is printed in logs: give another one".to_owned();
        reader.hide(section.span("name"));
        reader.error(section.span("name"), message, Some(help));
    }
    Bot { name, token }
}

fn embedded_token<'t>(
    reader: &mut Reader<'_>,
    section: &Section<'t>,
    env: &Env<'_>,
) -> Option<Secret> {
    both_tokens(reader, section);
    if section.has("token_file") {
        reader.read(section, "token_file", Reader::string);
    }
    let node = section.node("token")?;
    let Some(raw) = node.get_ref().as_str() else {
        return reader
            .read(section, "token", Reader::string)
            .map(Secret::new);
    };
    let token = expand(raw, env).ok()?;
    let token = token.trim();
    (!token.is_empty()).then(|| Secret::new(token))
}

fn remote_token<'t>(
    reader: &mut Reader<'_>,
    section: &Section<'t>,
    path: &Path,
    complete: bool,
) -> Option<Secret> {
    if both_tokens(reader, section) {
        return None;
    }
    let key = if section.has("token_file") {
        "token_file"
    } else {
        "token"
    };
    let span = section.span(key);
    let token = if key == "token_file" {
        let named = reader.read(section, key, Reader::text)?;
        if has_token_shape(named.trim()) {
            let message = "\"token_file\" in [bot] holds a token, not the name of a file";
            reader.hide(span.clone());
            reader.error(span, message, Some("write it as \"token\"".to_owned()));
            return None;
        }
        let file = path.parent().unwrap_or(Path::new("")).join(named);
        read_token_file(reader, span.clone(), &file)?
    } else if section.has("token") {
        reader.read(section, key, Reader::string)?
    } else {
        if complete {
            let message = "\"token\" in [bot] is missing";
            let help = "write token = \"${ARGON_TOKEN}\" and set that variable, or token_file = \"…\"; only url = \"embedded\" needs none";
            reader.error(span, message, Some(help.to_owned()));
        }
        return None;
    };
    let token = token.trim();
    let what = if key == "token" {
        "the token"
    } else {
        "the token in the file"
    };
    if token.is_empty() {
        let help = "it is the text that the platform showed when the bot was created".to_owned();
        reader.error(span, format!("{what} is empty"), Some(help));
        return None;
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let help = "copy it again, without spaces, line breaks and the word Bot".to_owned();
        reader.error(
            span,
            format!("{what} has characters that no token has"),
            Some(help),
        );
        return None;
    }
    if !has_token_shape(token) {
        let help =
            "a token is 32 hexadecimal digits, a colon and a secret of letters, digits, - and _";
        let message = format!("{what} does not look like one");
        reader.warn(span, message, Some(help.to_owned()));
    }
    Some(Secret::new(token))
}

fn both_tokens(reader: &mut Reader<'_>, section: &Section<'_>) -> bool {
    let both = section.has("token") && section.has("token_file");
    if both {
        let message = "[bot] has both \"token\" and \"token_file\"";
        let help = "keep one of them".to_owned();
        reader.error(section.span("token_file"), message, Some(help));
    }
    both
}

fn read_token_file(reader: &mut Reader<'_>, span: Range<usize>, file: &Path) -> Option<String> {
    match std::fs::read_to_string(file) {
        Ok(text) => {
            if readable_by_all(file) {
                let message = format!("everybody on this machine can read {}", file.display());
                let help = format!("chmod 600 {}", file.display());
                reader.warn(span, message, Some(help));
            }
            Some(text)
        }
        Err(error) => {
            let message = format!("the token file {} cannot be read: {error}", file.display());
            let help = "the path is relative to the configuration file".to_owned();
            reader.error(span, message, Some(help));
            None
        }
    }
}

#[cfg(unix)]
fn readable_by_all(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn readable_by_all(_file: &Path) -> bool {
    false
}

/// 32 hexadecimal digits, a colon, and base64url (protocol.md, "REST").
fn has_token_shape(token: &str) -> bool {
    token.split_once(':').is_some_and(|(id, secret)| {
        let secret = secret.trim_end_matches('=');
        id.len() == 32
            && id.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !secret.is_empty()
            && secret
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    })
}
