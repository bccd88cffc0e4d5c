//! Commands and controls name what they are about by its id, so that they outlive the process.

use serde_json::json;

use crate::restart::{CONFIG, IMPATIENT, run, start};
use crate::stored::command;
use crate::support::{Sim, World, bot};

#[tokio::test]
async fn commands_and_controls_of_before_the_restart_work_after_it() {
    let sim = Sim::start().await;
    let script = r#"argon.command{
        name = "offer", description = "Offers a choice",
        run = function(interaction)
            interaction:reply({ text = "Choose", controls = {
                { controls = {
                    { type = "button", variant = "callback", id = "offer:left", label = "Left" },
                } },
            } })
        end,
    }
    argon.onControl("offer:*", function(interaction)
        interaction:edit(`chosen {interaction.controlId} after {argon.kv.get("before")}`)
    end)
    argon.kv.update("before", function(starts) return (starts or 0) + 1 end)"#;
    let dir = bot(CONFIG, &[("offer.luau", script)]);
    let world = World::at(&sim.base).await;
    let mut events = world.events().await;
    let mut process = run(dir.path(), &sim).await;
    world.command(0, "general", "offer", json!({})).await;
    let offer = events.bot_message().await;
    assert_eq!(offer["text"], "Choose");
    process.signal("KILL");
    process.ended().await;

    let click = || {
        let body = json!({
            "userId": world.person(0), "channelId": offer["channelId"],
            "messageId": offer["messageId"], "controlId": "offer:left",
        });
        world.act("click", body)
    };
    let mut process = start(dir.path(), &sim);
    process.line("live after").await;
    click().await;
    let edited = events
        .next("the offer is edited", |event| {
            event["message"]["messageId"] == offer["messageId"]
                && event["message"]["text"] != "Choose"
        })
        .await;
    assert_eq!(edited["message"]["text"], "chosen offer:left after 2");
    // The platform knows the command still: nothing was registered anew.
    let output = process.output();
    assert!(output.contains("commands: /offer (0 changes"), "{output}");
    world.command(0, "general", "offer", json!({})).await;
    assert_eq!(events.bot_message().await["text"], "Choose");
    process.signal("TERM");
    process.ended().await;
}

#[tokio::test]
async fn a_form_that_was_opened_before_the_restart_is_submitted_after_it() {
    let sim = Sim::start().await;
    let script = r#"argon.command{ name = "tell", description = "Asks", run = function(interaction)
        interaction:modal({ customId = "feedback", title = "Feedback", components = {
            { type = "checkbox", customId = "agree", label = "Agree" },
        } })
    end }
    argon.on("messageCreate", function(event)
        -- On disk is with it whatever was to be stored before: also that the handler of the command is over.
        argon.kv.set("noted", true)
        event:reply("noted")
    end)
    argon.onModal("feedback", function(event)
        argon.messages.send({ channelId = event.channelId, text = `told {event.values.agree}` })
    end)"#;
    let dir = bot(CONFIG, &[("tell.luau", script)]);
    let world = World::at(&sim.base).await;
    let mut events = world.events().await;
    let mut process = run(dir.path(), &sim).await;
    world.command(0, "general", "tell", json!({})).await;
    let opened = events
        .next("a form", |event| event["type"] == "modal")
        .await;
    world.write(0, "general", "note").await;
    assert_eq!(events.bot_message().await["text"], "noted");
    process.signal("KILL");
    process.ended().await;

    let mut process = start(dir.path(), &sim);
    process.line("live after").await;
    let submit = json!({
        "userId": world.person(0), "modalInteractionId": opened["modalInteractionId"],
        "values": { "agree": ["true"] },
    });
    world.act("submit", submit).await;
    assert_eq!(events.bot_message().await["text"], "told true");
    process.signal("TERM");
    process.ended().await;
    // What the host keeps for itself is nobody's data.
    let (_, exported) = command(dir.path(), &["kv", "export"]).await;
    assert_eq!(exported.lines().count(), 1, "{exported}");
    assert!(exported.contains("script:tell"), "{exported}");
}

#[tokio::test]
async fn a_submission_that_comes_again_finds_the_handler_of_its_form_while_the_top_level_waits() {
    let sim = Sim::start().await;
    let script = r#"argon.command{ name = "tell", description = "Asks", run = function(interaction)
        interaction:modal({ customId = "feedback", title = "Feedback", components = {
            { type = "checkbox", customId = "agree", label = "Agree" },
        } })
    end }
    argon.onModal("feedback", function(event)
        print(`told {event.values.agree} {event.replayed}`)
        if not event.replayed then task.wait(1e9) end
    end)
    if argon.kv.get("again") then task.wait(1e9) end
    argon.kv.set("again", true)"#;
    let dir = bot(CONFIG, &[("tell.luau", script)]);
    let world = World::at(&sim.base).await;
    let mut events = world.events().await;
    let mut process = run(dir.path(), &sim).await;
    world.command(0, "general", "tell", json!({})).await;
    let opened = events
        .next("a form", |event| event["type"] == "modal")
        .await;
    let submit = json!({
        "userId": world.person(0), "modalInteractionId": opened["modalInteractionId"],
        "values": { "agree": ["true"] },
    });
    world.act("submit", submit).await;
    process.line("told true nil").await;
    process.signal("KILL");
    process.ended().await;

    std::fs::write(dir.path().join("bot.toml"), IMPATIENT).expect("a config");
    let mut process = start(dir.path(), &sim);
    process.line("told true true").await;
    process.signal("KILL");
    process.ended().await;
}
