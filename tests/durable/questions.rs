//! Questions of `@std/confirm` that were asked before the process ended.

use serde_json::{Value, json};

use crate::restart::{CONFIG, run, said, start};
use crate::support::{Sim, World, bot};

/// The id of the first button of the one message of the bot that has buttons.
async fn button(world: &World) -> (Value, Value) {
    let channel = world.channel("general");
    let page = world.get(&format!("messages?channelId={channel}")).await;
    let messages = page["messages"].as_array().expect("messages");
    let mut asked = messages.iter().filter_map(|message| {
        let id = message["controls"][0]["controls"][0]["id"].clone();
        id.is_string().then(|| (message["messageId"].clone(), id))
    });
    let found = asked.next().expect("a message with buttons");
    assert!(asked.next().is_none(), "it is asked once: {page}");
    found
}

#[tokio::test]
async fn a_question_of_before_the_crash_is_answered_after_it() {
    is_answered_after("KILL").await;
}

#[tokio::test]
async fn a_question_of_before_a_clean_stop_is_answered_after_it() {
    is_answered_after("TERM").await;
}

/// A bot that waits for an answer ends by this signal and is started again.
async fn is_answered_after(signal: &str) {
    let sim = Sim::start().await;
    let script = r#"local confirm = require("@std/confirm")
    argon.on("messageCreate", function(event)
        local sure = confirm.ask(event, "Sure?")
        event:reply(`answered {sure} {event.replayed}`)
    end)"#;
    let dir = bot(CONFIG, &[("asks.luau", script)]);
    let world = World::at(&sim.base).await;
    let mut events = world.events().await;
    let mut process = run(dir.path(), &sim).await;
    world.write(0, "general", "reset").await;
    assert_eq!(events.bot_message().await["text"], "Sure?");
    let before = button(&world).await;
    process.signal(signal);
    process.ended().await;

    let mut process = start(dir.path(), &sim);
    process.line("not finished when the bot ended").await;
    process.line("live after").await;
    let (message, control) = button(&world).await;
    assert_eq!((&message, &control), (&before.0, &before.1));
    let click = json!({
        "userId": world.person(0), "channelId": world.channel("general"),
        "messageId": message, "controlId": control,
    });
    world.act("click", click).await;
    assert_eq!(events.bot_message().await["text"], "answered true true");
    assert_eq!(said(&world).await.len(), 2);
    process.signal("TERM");
    process.ended().await;
}
