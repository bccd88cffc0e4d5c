//! `allow` and `deny` of `[script.NAME]`: what is refused never leaves the host.

use serde_json::json;

use crate::support::{Bot, message};

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_raises_permission_denied_and_sends_nothing() {
    let bot = Bot::start_permitted(
        &[(
            "guarded.luau",
            r#"argon.messages.send{ channelId = "c", text = "allowed" }
            local ok, e = pcall(argon.members.kick, { spaceId = "s", userId = "u" })
            print(ok, e.code, e.status, e.route)
            print(e.message)
            -- Whatever else is wrong with it.
            print(select(2, pcall(argon.members.kick, { spoceId = 1 })).code)"#,
        )],
        &["messages.*"],
        &[],
    )
    .await;
    bot.said(
        "guarded",
        &[
            "false\tpermission_denied\t0\tIMembers/Kick",
            "the script guarded may not call members.kick: write allow = [\"messages.*\", \"members.kick\"] \
             under [script.guarded] in bot.toml",
            "permission_denied",
        ],
    )
    .await;
    let paths: Vec<_> = bot.server.calls().into_iter().map(|c| c.path).collect();
    assert_eq!(paths, ["/IMessages/v1/Send"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deny_wins_and_its_error_names_the_line_without_it() {
    let bot = Bot::start_permitted(
        &[(
            "denied.luau",
            r#"for _, route in { argon.messages.send, argon.reactions.add } do
                local _, e = pcall(route, {})
                print(e.code, e.message)
            end"#,
        )],
        &["*", "messages.send"],
        &["messages.send", "reactions.*"],
    )
    .await;
    bot.said(
        "denied",
        &[
            "permission_denied\tthe script denied may not call messages.send: write deny = [\"reactions.*\"] \
             under [script.denied] in bot.toml",
            "permission_denied\tthe script denied may not call reactions.add: write deny = [\"messages.send\"] \
             under [script.denied] in bot.toml",
        ],
    )
    .await;
    assert_eq!(bot.server.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_methods_and_commands_need_the_routes_that_they_call() {
    let bot = Bot::start_permitted(
        &[(
            "methodical.luau",
            r#"local function try(...)
                local ok, e = pcall(...)
                print(ok or e.code .. " " .. e.route)
            end
            try(argon.command, { name = "a", description = "b", run = print })
            argon.on("messageCreate", function(e)
                try(e.reply, e, "hi")
                try(e.react, e, "x")
                try(e.edit, e, "x")
            end)
            argon.onControl("*", function(e)
                try(e.ack, e)
                try(e.defer, e)
                try(e.reply, e, "hi")
                try(e.modal, e, { title = "t", customId = "m", components = {
                    { type = "checkbox", customId = "c", label = "l" } } })
            end)"#,
        )],
        &["interactions.reply"],
        &[],
    )
    .await;
    bot.event("messageCreate", message("hello")).await;
    bot.log.wait("methodical", 4).await;
    let control =
        json!({"interactionId": "i1", "controlId": "x", "channelId": "c1", "messageId": 5});
    bot.event("controlInteraction", control).await;
    bot.said(
        "methodical",
        &[
            "permission_denied ICommands/Register",
            "permission_denied IMessages/Send",
            "permission_denied IReactions/Add",
            "permission_denied IInteractions/EditMessage",
            "permission_denied IInteractions/Ack",
            "permission_denied IInteractions/Defer",
            "true",
            "permission_denied IInteractions/Modal",
        ],
    )
    .await;
    assert_eq!(bot.server.count(), 1, "the one reply that is allowed");
    assert!(bot.host().reports()[0].commands.is_empty());
}
