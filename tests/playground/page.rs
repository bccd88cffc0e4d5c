//! A page of the playground, used as a person does: by what it shows, mouse and keyboard.

use std::path::Path;

use serde_json::{Value, json};

use crate::chromium::{Browser, browser};
use crate::support::PATIENCE;

/// Finds what a person would call so: by its label, or by its text.
const FIND: &str = r#"
    (kind, name) => [...document.querySelectorAll(kind)].filter((each) => each.checkVisibility())
        .find((each) => (each.getAttribute("aria-label") ?? each.textContent).trim() === name)
"#;

fn evaluate(expression: &str) -> Value {
    json!({
        "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true,
    })
}

fn value(expression: &str, answer: &Value) -> Value {
    if let Some(exception) = answer.get("exceptionDetails") {
        panic!("{expression}: {exception}");
    }
    answer["result"]["value"].clone()
}

/// One page in a browser context of its own.
pub struct Page {
    browser: &'static Browser,
    session: String,
    base: String,
}

impl Page {
    /// Opens the playground of that server and waits until it has read the world.
    pub async fn open(base: &str) -> Self {
        Self::open_at(base, "", (1280, 800)).await
    }

    /// [`Page::open`] in a window of that size; `hash` is the part of the address that says who and where.
    pub async fn open_at(base: &str, hash: &str, size: (u32, u32)) -> Self {
        let browser = browser();
        let context = browser
            .command(None, "Target.createBrowserContext", json!({}))
            .await;
        let target = json!({
            "url": "about:blank", "browserContextId": context["browserContextId"],
            "newWindow": true,
        });
        let target = browser.command(None, "Target.createTarget", target).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.command(None, "Target.attachToTarget", attach).await;
        let session = attached["sessionId"].as_str().expect("a session");
        let page = Self {
            browser,
            session: session.to_owned(),
            base: base.trim_end_matches('/').to_owned(),
        };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.command(&format!("{domain}.enable"), json!({})).await;
        }
        let metrics = json!({
            "width": size.0, "height": size.1, "deviceScaleFactor": 1, "mobile": false,
        });
        page.command("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        // What slides in is there at once.
        let still = json!({ "name": "prefers-reduced-motion", "value": "reduce" });
        page.command("Emulation.setEmulatedMedia", json!({ "features": [still] }))
            .await;
        let url = format!("{}/{hash}", page.base);
        page.command("Page.navigate", json!({ "url": url })).await;
        page.until(
            "the page has read the world",
            "document.querySelector('#channel-list button') && document.querySelector('#me').value",
        )
        .await;
        page
    }

    async fn command(&self, method: &str, params: Value) -> Value {
        let answer = self.browser.command(Some(&self.session), method, params);
        tokio::time::timeout(PATIENCE, answer)
            .await
            .unwrap_or_else(|_| panic!("{method} was never answered"))
    }

    /// The value of an expression; waits for a promise.
    pub async fn js(&self, expression: &str) -> Value {
        let answer = self.command("Runtime.evaluate", evaluate(expression));
        value(expression, &answer.await)
    }

    /// Waits until an expression is true, looked at again whenever the document changes.
    pub async fn until(&self, what: &str, expression: &str) -> Value {
        let script = format!(
            "new Promise((resolve) => {{
                const look = () => {{
                    let value = null;
                    try {{ value = {expression}; }} catch {{ /* not there yet */ }}
                    if (!value) return false;
                    observer.disconnect();
                    resolve(value instanceof Node ? true : value);
                    return true;
                }};
                const observer = new MutationObserver(look);
                if (!look()) observer.observe(document, {{
                    subtree: true, childList: true, attributes: true, characterData: true,
                }});
            }})"
        );
        let seen = self
            .browser
            .command(Some(&self.session), "Runtime.evaluate", evaluate(&script));
        match tokio::time::timeout(PATIENCE, seen).await {
            Ok(answer) => value(expression, &answer),
            Err(_) => panic!(
                "never happened: {what} ({expression}); the page says:\n{}\n{:#?}",
                self.js("document.body.innerText").await,
                self.problems()
            ),
        }
    }

    /// Waits for something of that kind and name.
    pub async fn sees(&self, kind: &str, name: &str) {
        let expression = format!("({FIND})({}, {})", json!(kind), json!(name));
        self.until(&format!("{kind} {name:?}"), &expression).await;
    }

    /// Waits until an element's text contains something.
    pub async fn reads(&self, selector: &str, text: &str) {
        let expression = format!(
            "[...document.querySelectorAll({})].some((each) => each.checkVisibility() && each.textContent.includes({}))",
            json!(selector),
            json!(text)
        );
        self.until(&format!("{selector} reads {text:?}"), &expression)
            .await;
    }

    /// Clicks with the mouse, in the middle of what a person would call so.
    pub async fn click(&self, kind: &str, name: &str) {
        self.sees(kind, name).await;
        self.click_at(&format!("({FIND})({}, {})", json!(kind), json!(name)))
            .await;
    }

    /// Clicks what the expression gives.
    pub async fn click_at(&self, element: &str) {
        let place = self
            .js(&format!(
                "(() => {{
                    const element = {element};
                    element.scrollIntoView({{ block: 'nearest' }});
                    const box = element.getBoundingClientRect();
                    return [box.x + box.width / 2, box.y + box.height / 2];
                }})()"
            ))
            .await;
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({
                "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1,
            });
            self.command("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Types into what has the focus.
    pub async fn types(&self, text: &str) {
        self.command("Input.insertText", json!({ "text": text }))
            .await;
    }

    /// Presses a key.
    pub async fn key(&self, name: &str) {
        let (code, text) = match name {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            "Escape" => (27, ""),
            "ArrowUp" => (38, ""),
            "ArrowDown" => (40, ""),
            "ArrowRight" => (39, ""),
            other => panic!("a new key {other}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({
                "type": kind, "key": name, "code": name, "windowsVirtualKeyCode": code,
            });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = text.into();
            }
            self.command("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Writes into the write box and sends.
    pub async fn write(&self, text: &str) {
        self.js("document.querySelector('#write').focus()").await;
        self.types(text).await;
        self.key("Enter").await;
    }

    /// Runs a slash command, with what follows its name. The suggestion shows that the page knows it.
    pub async fn run(&self, name: &str, rest: &str) {
        self.js("document.querySelector('#write').focus()").await;
        self.types(&format!("/{name}")).await;
        self.reads("#suggestions li", &format!("/{name}")).await;
        if !rest.is_empty() {
            self.types(&format!(" {rest}")).await;
        }
        self.key("Enter").await;
    }

    /// Chooses an option of a select by its text, once it is there: some are filled by an answer of the server.
    pub async fn choose(&self, selector: &str, option: &str) {
        let there = format!(
            "[...document.querySelector({}).options].some((each) => each.textContent === {})",
            json!(selector),
            json!(option)
        );
        self.until(option, &there).await;
        let script = format!(
            "(() => {{
                const select = document.querySelector({});
                const option = [...select.options].find((each) => each.textContent === {});
                select.focus();
                select.value = option.value;
                select.dispatchEvent(new Event('input', {{ bubbles: true }}));
                select.dispatchEvent(new Event('change', {{ bubbles: true }}));
            }})()",
            json!(selector),
            json!(option)
        );
        self.js(&script).await;
    }

    /// Gives a file to a file input.
    pub async fn give_file(&self, selector: &str, path: &Path) {
        let find = json!({ "expression": format!("document.querySelector({})", json!(selector)) });
        let found = self.command("Runtime.evaluate", find).await;
        // By the object: the page may draw its panel anew in between.
        let files = json!({ "objectId": found["result"]["objectId"], "files": [path] });
        self.command("DOM.setFileInputFiles", files).await;
    }

    /// What screen readers are told: roles and names of everything.
    pub async fn accessible(&self) -> Vec<(String, String)> {
        let tree = self.command("Accessibility.getFullAXTree", json!({})).await;
        let nodes = tree["nodes"].as_array().expect("a tree").iter();
        let nodes = nodes.filter(|node| node["ignored"] == false);
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        nodes
            .map(|node| (text(&node["role"]), text(&node["name"])))
            .collect()
    }

    /// Errors in the page's console.
    fn problems(&self) -> Vec<Value> {
        let said = self.browser.said(&self.session).into_iter();
        let is_problem = |message: &Value| match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => message["params"]["type"] == "error",
            Some("Log.entryAdded") => message["params"]["entry"]["level"] == "error",
            _ => false,
        };
        said.filter(is_problem).collect()
    }

    /// The end of a test: the console has no errors, and nothing came from elsewhere.
    pub fn done(self) {
        let problems = self.problems();
        assert!(problems.is_empty(), "the console says {problems:#?}");
        for message in self.browser.said(&self.session) {
            if message["method"] == "Network.requestWillBeSent" {
                let url = message["params"]["request"]["url"].as_str();
                let url = url.expect("an address");
                let inside = url.starts_with(&self.base) || url.starts_with("data:");
                assert!(inside || url == "about:blank", "the page asked for {url}");
            }
        }
    }
}
