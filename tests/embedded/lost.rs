//! A request that took effect and whose answer was lost: what the platform recognises is sent again and has
//! one effect, what it does not recognise is sent once and the script is told, and nobody waits for long.

use serde_json::{Value, json};

use crate::faults::Bot;

/// Makes the call that the message names, and says how it went.
const SCRIPT: &str = r#"
local calls = {
    send = function(event) argon.messages.send{ channelId = event.channelId, text = "echo sent" } end,
    react = function(event) event:react("👍") end,
    create = function(event)
        argon.channels.create{ spaceId = event.spaceId, name = "made", channelType = "text" }
    end,
    kick = function(event)
        argon.members.kick{
            spaceId = event.spaceId, channelId = event.channelId,
            userId = event.message.sender.userId,
        }
    end,
}
argon.on("messageCreate", function(event)
    local text = event.message.text
    local call = calls[text]
    if not call then return end
    local ok, failure = pcall(call, event)
    print(`through with <{text}> {if ok then "well" else failure.code}`)
end)
"#;

/// The call, its interface and method, how many answers are lost; then the requests that reach the
/// server, and what the script is told.
const CASES: &[(&str, &str, &str, usize, usize, &str)] = &[
    ("send", "IMessages", "Send", 2, 3, "well"),
    ("react", "IReactions", "Add", 1, 2, "well"),
    ("create", "IChannels", "Create", 1, 1, "lost_response"),
    // As often as it is tried.
    ("send", "IMessages", "Send", 4, 4, "lost_response"),
    ("kick", "IMembers", "Kick", 1, 1, "lost_response"),
];

#[tokio::test]
async fn a_lost_answer_has_one_effect_on_every_route_and_is_not_waited_for() {
    let mut bot = Bot::with(SCRIPT, "").await;
    let mut seen = 0;
    for (text, interface, method, lost, requests, told) in CASES {
        let fault = json!({ "kind": "lose", "interface": interface, "count": lost });
        bot.world.act("fault", fault).await;
        bot.world.write(2, "general", text).await;
        // Long before the 75 s of a call's deadline.
        let line = bot.host.line("through with ").await;
        assert!(
            line.ends_with(&format!("<{text}> {told}")),
            "{text}: {line}"
        );
        let log = bot.world.get(&format!("requests?after={seen}")).await;
        let log = log["requests"].as_array().expect("requests");
        let ends = format!("{interface}/v1/{method}");
        let of_method = |request: &&Value| {
            request["path"]
                .as_str()
                .is_some_and(|path| path.ends_with(&ends))
        };
        let sent = log.iter().filter(of_method).count();
        assert_eq!(sent, *requests, "{text}");
        seen = log
            .last()
            .and_then(|request| request["n"].as_u64())
            .unwrap_or(seen);
    }
    // Two sends, of which each answer was lost at least twice: two messages.
    assert_eq!(bot.answers().await.get("sent"), Some(&2));
    let state = bot.world.get("state").await;
    let channels = state["spaces"][0]["channels"].as_array().expect("channels");
    let made = channels.iter().filter(|channel| channel["name"] == "made");
    assert_eq!(made.count(), 1);
}

#[tokio::test]
async fn a_reply_to_an_interaction_whose_answer_was_lost_appears_once() {
    let script = r#"for name, answer in {
        patience = function(interaction) interaction:defer() end,
        ask = function(interaction) interaction:reply("echo replied") end,
    } do
        argon.command{ name = name, description = "Answers", run = function(interaction)
            answer(interaction)
            print(`through with <{name}>`)
        end }
    end"#;
    let mut bot = Bot::with(script, "").await;
    for (command, method, lost) in [("patience", "Defer", 1), ("ask", "Reply", 2)] {
        let fault = json!({ "kind": "lose", "interface": "IInteractions", "count": lost });
        bot.world.act("fault", fault).await;
        bot.world.command(2, "general", command, json!({})).await;
        bot.host.line(&format!("through with <{command}>")).await;
        let log = bot.world.get("requests?after=0").await;
        let ends = format!("IInteractions/v1/{method}");
        let log = log["requests"].as_array().expect("requests").iter();
        let of_method = log.filter(|one| {
            one["path"]
                .as_str()
                .is_some_and(|path| path.ends_with(&ends))
        });
        assert_eq!(of_method.count(), lost + 1, "{command}");
    }
    assert_eq!(bot.answers().await.get("replied"), Some(&1));
}
