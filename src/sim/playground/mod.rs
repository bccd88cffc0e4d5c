//! The playground: a chat client in the browser, in which a bot's author acts as any person, and an
//! inspector of what goes on between bots and server.
//!
//! Plain ES modules and style sheets, embedded in the binary as they are: no build step, no framework, and
//! no request to any other server ([`POLICY`] forbids it). The page speaks the control API under `/_sim`
//! and nothing else. It never turns text into HTML.
//!
//! | module | owns |
//! |---|---|
//! | `app` | joins the others: whom each event of the server concerns |
//! | `store` | what the page knows: world, messages, person, channel; one writer |
//! | `api`, `json` | calls and the event stream, with reconnects; JSON with whole 64-bit integers |
//! | `richtext`, `markup` | entities to DOM; typed markup to entities |
//! | `timeline`, `message` | the list and its scrolling; one message |
//! | `controls`, `modal`, `commands` | buttons and selects; a bot's form; slash commands and their options |
//! | `interactions` | what waits for a bot, and how it ends |
//! | `composer`, `typing` | the write box and its suggestions; who is typing |
//! | `sides`, `sidebar`, `presence` | the columns; channels and people; how people are there |
//! | `voice`, `voicepanel` | voice channels and calls: what is open, and how it looks |
//! | `line`, `audio` | one person's line into a room; Opus to samples and back, in the browser |
//! | `playback-worklet`, `capture-worklet` | what runs on the browser's audio thread |
//! | `inspector`, `activity`, `gauges`, `faults` | its tabs: what happens; rate limits; faults and time |
//! | `dom`, `icons` | elements, avatars, popups; signs |

/// One file that the server hands out.
pub struct File {
    /// The path of the request.
    pub path: &'static str,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The content.
    pub body: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// The content security policy of the page: everything from this server, nothing from another, no
/// script and no style in the page's text, no text as HTML, and no frame around it.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

macro_rules! asset {
    ($kind:expr, $name:literal) => {
        File {
            path: concat!("/playground/", $name),
            content_type: $kind,
            body: include_str!($name),
        }
    };
}

/// Every file of the playground; the page itself is `/`.
pub static FILES: &[File] = &[
    File {
        path: "/",
        content_type: HTML,
        body: include_str!("index.html"),
    },
    asset!(CSS, "style.css"),
    asset!(CSS, "voice.css"),
    asset!(CSS, "inspector.css"),
    asset!(JS, "activity.js"),
    asset!(JS, "api.js"),
    asset!(JS, "app.js"),
    asset!(JS, "audio.js"),
    asset!(JS, "capture-worklet.js"),
    asset!(JS, "commands.js"),
    asset!(JS, "composer.js"),
    asset!(JS, "controls.js"),
    asset!(JS, "dom.js"),
    asset!(JS, "faults.js"),
    asset!(JS, "gauges.js"),
    asset!(JS, "icons.js"),
    asset!(JS, "inspector.js"),
    asset!(JS, "interactions.js"),
    asset!(JS, "json.js"),
    asset!(JS, "line.js"),
    asset!(JS, "markup.js"),
    asset!(JS, "message.js"),
    asset!(JS, "modal.js"),
    asset!(JS, "playback-worklet.js"),
    asset!(JS, "presence.js"),
    asset!(JS, "richtext.js"),
    asset!(JS, "sidebar.js"),
    asset!(JS, "sides.js"),
    asset!(JS, "store.js"),
    asset!(JS, "timeline.js"),
    asset!(JS, "typing.js"),
    asset!(JS, "voice.js"),
    asset!(JS, "voicepanel.js"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn has(path: &str) -> bool {
        FILES.iter().any(|file| file.path == path)
    }

    /// What stands between `before` and the next quote, for each place where `before` occurs.
    fn quoted<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
        text.split(before)
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect()
    }

    #[test]
    fn every_file_that_the_page_asks_for_is_in_the_table() {
        for page in FILES.iter().filter(|file| file.content_type == HTML) {
            for attribute in ["src=\"", "href=\""] {
                for address in quoted(page.body, attribute) {
                    let inside = address.starts_with('#') || address.starts_with("data:");
                    assert!(inside || has(address), "{} asks for {address}", page.path);
                }
            }
        }
        for module in FILES.iter().filter(|file| file.content_type == JS) {
            for name in quoted(module.body, "from \"") {
                let path = name.replacen("./", "/playground/", 1);
                assert!(has(&path), "{} imports {name}", module.path);
            }
        }
    }

    #[test]
    fn no_file_is_in_the_table_twice() {
        for (at, file) in FILES.iter().enumerate() {
            let first = FILES.iter().position(|other| other.path == file.path);
            assert_eq!(first, Some(at), "{}", file.path);
        }
    }

    #[test]
    fn every_element_that_a_module_looks_up_is_in_the_page() {
        let page = FILES[0].body;
        for module in FILES.iter().filter(|file| file.content_type == JS) {
            for id in quoted(module.body, "byId(\"") {
                assert!(
                    page.contains(&format!("id=\"{id}\"")),
                    "{}: {id}",
                    module.path
                );
            }
        }
    }

    #[test]
    fn no_module_writes_html() {
        for module in FILES.iter().filter(|file| file.content_type == JS) {
            for way in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
            ] {
                assert!(!module.body.contains(way), "{}: {way}", module.path);
            }
        }
    }
}
