//! The inspector: what happens, rate limits, errors of scripts, faults.

use serde_json::{Value, json};

use crate::page::Page;
use crate::support::{Sim, World, embedded_bot, run_embedded};

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

    let answer = format!("{send}.querySelector('pre + pre').textContent");
    let answer = page.js(&answer).await;
    let answer = answer.as_str().expect("a text");
    let id = sent["answer"]["messageId"].to_string();
    assert!(answer.starts_with("200\n"), "{answer}");
    assert!(answer.contains(&format!("\"messageId\": {id}")), "{answer}");

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

/// Every way to choose a kind of fault: the fields that must be filled, each with its least value; a field
/// with choices, with each of them.
fn choices(kind: &Value) -> Vec<Vec<(String, Value)>> {
    let fields = kind["fields"].as_array().expect("fields").iter();
    let mut ways = vec![Vec::new()];
    for field in fields.filter(|field| field["required"] == true) {
        let name = field["name"].as_str().expect("a name").to_owned();
        let values: Vec<Value> = match field["choices"].as_array() {
            Some(choices) => choices.iter().map(|each| each["value"].clone()).collect(),
            None => vec![field["least"].clone()],
        };
        let extended = |way: &Vec<_>| {
            let (way, name) = (way.clone(), name.clone());
            let with = move |value: &Value| [&way[..], &[(name.clone(), value.clone())]].concat();
            values.iter().map(with).collect::<Vec<_>>()
        };
        ways = ways.iter().flat_map(extended).collect();
    }
    ways
}

/// No bot is there, so that nothing strikes before it is seen.
#[tokio::test]
async fn every_kind_of_fault_is_armed_and_taken_back_from_the_page() {
    let sim = Sim::start().await;
    let world = World::at(&sim.base).await;
    let page = Page::open(&world.base).await;
    page.click("[role=tab]", "Faults").await;
    page.reads("#faults-none", "Nothing is armed.").await;

    let kinds = world.get("faults/kinds").await;
    for kind in kinds["kinds"].as_array().expect("a list") {
        let name = kind["kind"].as_str().expect("a name");
        for way in choices(kind) {
            page.choose("#fault-kind", name).await;
            for (field, value) in &way {
                let selector = format!("#fault-fields [name={field}]");
                match value {
                    Value::String(choice) => page.choose(&selector, choice).await,
                    number => {
                        page.js(&format!("document.querySelector('{selector}').focus()"))
                            .await;
                        page.types(&number.to_string()).await;
                    }
                }
            }
            page.click("#fault-form button", "Arm").await;
            page.reads("#faults-armed li b", name).await;

            let armed = world.get("faults").await;
            let back = if name == "chaos" {
                assert_eq!(armed["chaos"], way[0].1);
                "End chaos and take all faults back".to_owned()
            } else {
                let faults = armed["faults"].as_array().expect("a list");
                assert_eq!(faults.len(), 1, "{armed}");
                assert_eq!(
                    (&faults[0]["kind"], &faults[0]["left"]),
                    (&name.into(), &1.into())
                );
                for (field, value) in &way {
                    assert_eq!(faults[0][field].as_f64(), value.as_f64(), "{armed}");
                    assert_eq!(faults[0][field].as_str(), value.as_str(), "{armed}");
                }
                format!("Take {name} back")
            };
            page.click("#faults-armed button", &back).await;
            page.reads("#faults-none", "Nothing is armed.").await;
            let left = world.get("faults").await;
            assert_eq!(
                (&left["faults"], &left["chaos"]),
                (&json!([]), &Value::Null)
            );
        }
    }
    assert_eq!(world.get("faults").await["struck"], 0);
    page.done();
}

#[tokio::test]
async fn gauges_say_that_limits_are_lifted() {
    let sim = Sim::start_with(&["--limits", "off"]).await;
    let page = Page::open(&sim.base).await;
    page.click("[role=tab]", "Limits").await;
    page.reads(".gauge", "0, no limit").await;
    page.until(
        "no gauge is full",
        "document.querySelectorAll('.bar').length > 10 && [...document.querySelectorAll('.bar')].every((bar) => bar.dataset.full === '' && !/null|NaN/.test(bar.parentElement.textContent))",
    )
    .await;
    page.done();
}
