//! The inspector: what happens, rate limits, errors of scripts, faults.

use serde_json::json;

use crate::page::Page;
use crate::support::{embedded_bot, run_embedded};

const SCRIPT: &str = r#"
argon.on("messageCreate", function(event)
    if event.message.text == "!ping" then
        event:reply("pong")
    elseif event.message.text == "!fail" then
        error("broken on purpose")
    end
end)
"#;

#[tokio::test]
async fn requests_and_events_show_up_as_they_happen() {
    let dir = embedded_bot(&[("ping.luau", SCRIPT)], "");
    let (_host, world) = run_embedded(dir.path(), &[]).await;
    let page = Page::open(&world.base).await;
    // What happened before the page was there.
    page.reads(".entry.request", "IBotSelf/GetMe").await;
    page.reads(".entry.notice", "1 script loaded: ping").await;

    page.write("!ping").await;
    page.reads(".message .text", "pong").await;
    page.reads(".entry.event", "messageCreate to Playground")
        .await;
    page.reads(".entry.request", "IMessages/Send demobot200")
        .await;
    let send = "[...document.querySelectorAll('.entry.request')].find((each) => each.textContent.includes('IMessages/Send'))";
    page.click_at(&format!("{send}.querySelector('summary')"))
        .await;
    let detail = page
        .until(
            "it opens",
            &format!(
                "{send}.querySelector('details').open && {send}.querySelector('pre').textContent"
            ),
        )
        .await;
    let detail = detail.as_str().expect("a text");
    assert!(detail.starts_with("POST /IMessages/v1/Send\n"), "{detail}");
    assert!(detail.contains("\"text\": \"pong\""), "{detail}");
    // A 64-bit id is shown whole, in the place of what JavaScript's numbers make of it.
    let log = world.get("requests").await;
    let logged = log["requests"].as_array().expect("a list").iter();
    let sent = logged
        .rev()
        .find(|each| each["path"] == "/IMessages/v1/Send")
        .expect("there");
    let id = sent["body"]["randomId"].to_string();
    assert!(
        detail.contains(&format!("\"randomId\": {id}")),
        "{detail} {id}"
    );

    page.js("document.querySelector('#activity-filter').focus()")
        .await;
    page.types("getme").await;
    page.until(
        "the filter leaves one",
        "document.querySelectorAll('.entry').length === 1",
    )
    .await;
    page.done();
}

#[tokio::test]
async fn gauges_move_with_the_requests() {
    let dir = embedded_bot(&[("ping.luau", SCRIPT)], "");
    let (_host, world) = run_embedded(dir.path(), &[]).await;
    let page = Page::open(&world.base).await;
    page.click("[role=tab]", "Limits").await;
    let gauge = |name: &str, used: u32| {
        format!(
            "document.querySelector('[data-gauge=\"{name}\"]')?.getAttribute('aria-valuenow') === '{used}'"
        )
    };
    page.until("the stream is one request", &gauge("At the same time", 1))
        .await;
    page.until("nothing was sent", &gauge("IMessages", 0)).await;
    for _ in 0..3 {
        page.write("!ping").await;
    }
    page.until("three were sent", &gauge("IMessages", 3)).await;
    page.reads(".gauge", "3 back in").await;
    world.act("time", json!({ "advance": 60 })).await;
    page.until("they have come back", &gauge("IMessages", 0))
        .await;
    page.done();
}

#[tokio::test]
async fn an_error_of_a_script_is_told_with_file_and_line() {
    let dir = embedded_bot(&[("ping.luau", SCRIPT)], "");
    let (_host, world) = run_embedded(dir.path(), &[]).await;
    let page = Page::open(&world.base).await;
    page.click("#chat-head button", "Members").await;
    page.write("!fail").await;
    // Told wherever one looks; the click shows it.
    page.click("#script-errors", "⚠ An error in ping").await;
    page.reads(".entry.error .place", "ping.luau:6").await;
    page.reads(".entry.error", "broken on purpose").await;
    page.until(
        "seen is seen",
        "document.querySelector('#script-errors').hidden",
    )
    .await;
    page.done();
}

#[tokio::test]
async fn faults_are_switched_on_from_the_page_and_strike() {
    let dir = embedded_bot(&[("ping.luau", SCRIPT)], "");
    let (_host, world) = run_embedded(dir.path(), &[]).await;
    let page = Page::open(&world.base).await;
    page.click("[role=tab]", "Faults").await;
    // Every kind of the server can be chosen.
    let kinds = world.get("faults/kinds").await;
    let kinds = kinds["kinds"].as_array().expect("a list").len();
    page.until(
        "all kinds are there",
        &format!("document.querySelectorAll('#fault-kind option').length === {kinds}"),
    )
    .await;
    page.choose("#fault-kind", "answer").await;
    page.js("document.querySelector('#fault-fields [name=status]').focus()")
        .await;
    page.types("503").await;
    page.choose("#fault-fields [name=interface]", "IMessages")
        .await;
    page.click("#fault-form button", "Arm").await;
    page.reads(
        "#faults-armed li",
        "answer interface IMessages, status 503 once",
    )
    .await;
    assert_eq!(world.get("faults").await["faults"][0]["status"], 503);

    page.write("!ping").await;
    page.reads("#faults-struck", "1 fault has struck.").await;
    page.reads("#faults-none", "Nothing is armed.").await;
    page.reads(".message .text", "pong").await;
    page.click("[role=tab]", "Activity").await;
    page.reads(".entry.bad", "IMessages/Send").await;
    page.reads(".entry .fault", "answer").await;

    // Armed and taken back; chaos, too.
    page.click("[role=tab]", "Faults").await;
    page.choose("#fault-kind", "chaos").await;
    page.js("document.querySelector('#fault-fields [name=seed]').focus()")
        .await;
    page.types("7").await;
    page.click("#fault-form button", "Arm").await;
    page.reads("#faults-armed li", "chaos seed 7").await;
    page.click("#faults-armed button", "End chaos and take all faults back")
        .await;
    page.reads("#faults-none", "Nothing is armed.").await;
    assert_eq!(world.get("faults").await["chaos"], json!(null));
    page.done();
}
