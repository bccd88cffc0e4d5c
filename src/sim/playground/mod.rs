//! The playground: a chat client in the browser, in which a bot's author acts as any person.
//!
//! Plain ES modules and one style sheet, embedded in the binary as they are: no build step, no framework,
//! and no request to any other server (the page's own content security policy forbids it). The page speaks
//! the control API under `/_sim` and nothing else. It never turns text into HTML.
//!
//! | module | owns |
//! |---|---|
//! | `app` | joins the others: whom each event of the server concerns |
//! | `store` | what the page knows: world, messages, person, channel; one writer |
//! | `api` | calls and the event stream, with reconnects |
//! | `richtext`, `markup` | entities to DOM; typed markup to entities |
//! | `timeline`, `message` | the list and its scrolling; one message |
//! | `controls`, `modal`, `commands` | buttons and selects; a bot's form; slash commands and their options |
//! | `interactions` | what waits for a bot, and how it ends |
//! | `composer`, `typing` | the write box and its suggestions; who is typing |
//! | `sidebar`, `requests` | channels, people, voice; the bots' calls |
//! | `dom` | elements, avatars, popups |

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

/// Every file of the playground; the page itself is `/`.
pub static FILES: &[File] = &[
    file("/", HTML, include_str!("index.html")),
    file("/playground/style.css", CSS, include_str!("style.css")),
    file("/playground/api.js", JS, include_str!("api.js")),
    file("/playground/app.js", JS, include_str!("app.js")),
    file("/playground/commands.js", JS, include_str!("commands.js")),
    file("/playground/composer.js", JS, include_str!("composer.js")),
    file("/playground/controls.js", JS, include_str!("controls.js")),
    file("/playground/dom.js", JS, include_str!("dom.js")),
    file(
        "/playground/interactions.js",
        JS,
        include_str!("interactions.js"),
    ),
    file("/playground/markup.js", JS, include_str!("markup.js")),
    file("/playground/message.js", JS, include_str!("message.js")),
    file("/playground/modal.js", JS, include_str!("modal.js")),
    file("/playground/requests.js", JS, include_str!("requests.js")),
    file("/playground/richtext.js", JS, include_str!("richtext.js")),
    file("/playground/sidebar.js", JS, include_str!("sidebar.js")),
    file("/playground/store.js", JS, include_str!("store.js")),
    file("/playground/timeline.js", JS, include_str!("timeline.js")),
    file("/playground/typing.js", JS, include_str!("typing.js")),
];

const fn file(path: &'static str, content_type: &'static str, body: &'static str) -> File {
    File {
        path,
        content_type,
        body,
    }
}

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
