//! Messages: writing, replies, edits, reactions, formats; the keyboard; names for everything; the server's
//! absence.

use serde_json::json;

use crate::page::Page;
use crate::support::{self, Process, Sim, World, embedded_bot, run_embedded};

const PING: &str = r#"
    argon.on("messageCreate", function(event)
        if event.message.text == "!ping" then event:reply("pong") end
    end)
"#;

#[tokio::test]
async fn a_message_is_answered_replied_to_edited_and_reacted_to() {
    let dir = embedded_bot(&[("ping.luau", PING)], "");
    let (_host, world) = run_embedded(dir.path(), &[]).await;
    let page = Page::open(&world.base).await;
    page.write("!ping").await;
    page.reads(".message .text", "pong").await;
    page.reads(".message .reply-line", "Ada !ping").await;

    let pong = "[...document.querySelectorAll('.message')].at(-1)";
    page.js(&format!("{pong}.focus()")).await;
    page.click_at(&format!("{pong}.querySelector('[aria-label=Reply]')"))
        .await;
    page.reads("#context", "Replying to demo").await;
    page.write("thanks, **really**").await;
    page.until(
        "the reply is there, in bold",
        "[...document.querySelectorAll('.message')].at(-1).querySelector('strong')?.textContent === 'really'",
    )
    .await;
    page.reads(".message .reply-line", "demo pong").await;

    // The arrow takes one's own last message back into the write box.
    page.key("ArrowUp").await;
    page.reads("#context", "Editing your message").await;
    page.js("document.querySelector('#write').select()").await;
    page.write("thanks a lot").await;
    page.reads(".message .text", "thanks a lot (edited)").await;

    page.js(&format!("{pong}.focus()")).await;
    page.click_at(&format!(
        "{pong}.querySelector('[aria-label=\"Add a reaction\"]')"
    ))
    .await;
    page.click(".popup button", "🎉").await;
    page.sees(".reaction[aria-pressed=true]", "🎉 1").await;
    page.click(".reaction", "🎉 1").await;
    page.until(
        "the reaction is taken back",
        "!document.querySelector('.reaction[aria-pressed]')",
    )
    .await;
    page.done();
}

#[tokio::test]
async fn every_kind_of_entity_shows_and_nothing_becomes_markup() {
    let sim = Sim::start().await;
    let world = World::at(&sim.base).await;
    let page = Page::open(&sim.base).await;
    let boris = world.person(1);
    let text = "<img src=x onerror=alert(1)> bold italic under struck code quoted hidden Boris all mods #tag 1/2 1st caps mail@example.com example.com";
    let span = |kind: &str, word: &str, more: serde_json::Value| {
        let at = text.find(word).expect("a word of the text");
        let mut entity = json!({ "type": kind, "offset": at, "length": word.len() });
        for (name, value) in more.as_object().into_iter().flatten() {
            entity[name] = value.clone();
        }
        entity
    };
    let none = || json!({});
    let extra = |kind: &str, more: serde_json::Value| {
        let mut entity = json!({ "type": kind, "offset": 0, "length": 0 });
        for (name, value) in more.as_object().into_iter().flatten() {
            entity[name] = value.clone();
        }
        entity
    };
    let entities = json!([
        span("bold", "bold", none()),
        span("italic", "italic", none()),
        span("underline", "under", json!({ "colour": 0xff_00_00 })),
        span("strikethrough", "struck", none()),
        span("monospace", "code", none()),
        span("quote", "quoted", json!({ "quotedUserId": boris })),
        span("spoiler", "hidden", none()),
        span("mention", "Boris", json!({ "userId": boris })),
        span("mentionEveryone", "all", none()),
        span("mentionRole", "mods", json!({ "archetypeId": boris })),
        span("hashtag", "#tag", json!({ "hashtag": "tag" })),
        span(
            "fraction",
            "1/2",
            json!({ "numerator": 1, "denominator": 2 })
        ),
        span("ordinal", "1st", none()),
        span("capitalized", "caps", none()),
        span(
            "email",
            "mail@example.com",
            json!({ "email": "mail@example.com" })
        ),
        span(
            "url",
            " example.com",
            json!({ "domain": "example.com", "path": "/x" })
        ),
        extra(
            "attachment",
            json!({
                "contentType": "image/png", "fileId": boris, "fileName": "cat.png", "fileSize": 2048,
                "thumbHash": "", "width": 4, "height": 3,
            })
        ),
        extra("gif", none()),
    ]);
    let message = json!({
        "userId": world.person(0), "channelId": world.channel("general"), "text": text,
        "entities": entities,
    });
    world.act("message", message).await;
    for (selector, shown) in [
        (".text", "<img src=x onerror=alert(1)>"),
        (".text strong", "bold"),
        (".text em", "italic"),
        (".text u", "under"),
        (".text s", "struck"),
        (".text code", "code"),
        (".text blockquote", "quoted"),
        (".text .mention", "Boris"),
        (".text .mention.of-me", "all"),
        (".text .mention", "mods"),
        (".text .mention", "#tag"),
        (".text .fraction", "1/2"),
        (".text .ordinal", "1st"),
        (".text .capitalized", "caps"),
        (
            ".text a[href='mailto:mail@example.com']",
            "mail@example.com",
        ),
        (".text a[href='https://example.com/x']", "example.com"),
        (".attachment", "cat.png"),
        (".attachment", "GIF"),
    ] {
        page.reads(selector, shown).await;
    }
    assert_eq!(
        page.js("document.querySelector('#timeline img')").await,
        json!(null)
    );
    page.click(".spoiler", "Hidden: press to show").await;
    page.reads(".spoiler.open", "hidden").await;

    for (kind, more, words) in [
        (
            "systemCallStarted",
            json!({ "callId": boris, "callerId": boris }),
            "Boris started a call.",
        ),
        (
            "systemCallEnded",
            json!({ "callId": boris, "callerId": boris, "durationSeconds": 7 }),
            "ended after 7 s",
        ),
        (
            "systemCallTimeout",
            json!({ "callId": boris, "callerId": boris }),
            "Nobody answered",
        ),
        (
            "systemUserJoined",
            json!({ "userId": boris }),
            "Boris joined.",
        ),
    ] {
        let message = json!({
            "userId": world.person(0), "channelId": world.channel("general"), "text": "",
            "entities": [extra(kind, more)],
        });
        world.act("message", message).await;
        page.reads(".message .system", words).await;
    }
    page.done();
}

#[tokio::test]
async fn the_keyboard_is_enough_and_everything_has_a_name() {
    let dir = embedded_bot(&[("dice.luau", crate::interactions::DICE)], "");
    let (_host, world) = run_embedded(dir.path(), &[]).await;
    let page = Page::open(&world.base).await;
    page.key("Tab").await;
    page.reads("a:focus", "Skip to the write box").await;
    page.key("Enter").await;
    page.until(
        "the write box has the focus",
        "document.querySelector('#write:focus')",
    )
    .await;
    page.types("/ro").await;
    page.reads("#suggestions [aria-selected=true]", "/roll")
        .await;
    page.key("Enter").await;
    page.until(
        "the form has the focus",
        "document.querySelector('#command-form input:focus')",
    )
    .await;
    page.types("2").await;
    page.key("Enter").await;
    page.reads(".message .text", "Ada rolls 1d2").await;
    page.until("one can write on", "document.querySelector('#write:focus')")
        .await;
    // From message to message, and back with Escape out of what was begun.
    page.js("document.querySelector('#timeline').focus()").await;
    page.key("ArrowUp").await;
    page.until(
        "the last message has the focus",
        "document.querySelector('.message:focus')",
    )
    .await;

    for tab in ["Activity", "Limits", "Faults"] {
        page.reads("[role=tab][aria-selected=true]", tab).await;
        const NEEDS: &[&str] = &[
            "button",
            "textbox",
            "searchbox",
            "combobox",
            "checkbox",
            "link",
            "tab",
            "tabpanel",
            "meter",
            "log",
            "complementary",
            "navigation",
            "listbox",
            "region",
        ];
        for (role, name) in page.accessible().await {
            let named = !NEEDS.contains(&role.as_str()) || !name.trim().is_empty();
            assert!(named, "a {role} without a name, with the tab {tab}");
        }
        page.js("document.querySelector('[role=tab][aria-selected=true]').focus()")
            .await;
        page.key("ArrowRight").await;
    }
    page.done();
}

#[tokio::test]
async fn a_narrow_window_shows_one_thing_at_a_time_and_nothing_sticks_out() {
    let sim = Sim::start().await;
    let page = Page::open_at(&sim.base, "", (400, 800)).await;
    let fits = "document.documentElement.scrollWidth <= 400 && document.querySelector('#chat').scrollWidth <= 400";
    assert_eq!(page.js(fits).await, json!(true));
    for (button, side) in [
        ("Channels", "channels"),
        ("Members", "members"),
        ("Inspector", "inspector"),
    ] {
        page.click("#chat-head button", button).await;
        let shown = format!(
            "getComputedStyle(document.querySelector('#{side}')).visibility === 'visible' && document.querySelector('#{side}').contains(document.activeElement)"
        );
        page.until(&format!("{side} is in sight"), &shown).await;
        assert_eq!(page.js(fits).await, json!(true));
        page.key("Escape").await;
        page.until(
            "it is gone, and its button has the focus",
            &format!("document.activeElement.id === 'show-{side}'"),
        )
        .await;
    }
    page.done();
}

#[tokio::test]
async fn a_server_that_goes_away_is_found_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let sim = |listen: &str| Process::start(dir.path(), &["sim", "--listen", listen], &[]);
    let mut first = sim("127.0.0.1:0");
    let base = support::last_word(&first.line("base url").await);
    let page = Page::open(&base).await;
    drop(first);
    page.reads("#offline", "The server is away").await;
    let listen = base.trim_start_matches("http://");
    let mut second = sim(listen);
    second.line("base url").await;
    page.until(
        "the page is back",
        "document.querySelector('#offline').hidden",
    )
    .await;
    page.write("still here").await;
    page.reads(".message .text", "still here").await;
    // The browser itself logs that it could not connect: the one error that is right.
}
