//! Calls to the platform, event methods, modals, commands.

use std::time::Duration;

use argon_host::contract::{self, Type};
use argon_host::script::commands;
use serde_json::json;

use crate::support::{Bot, Call, answer_json, message};

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_call_is_an_error_value_with_fields() {
    let bot = Bot::start_with(
        &[(
            "refused.luau",
            r#"local ok, e = pcall(argon.messages.send, { channelId = "c", text = "x" })
            print(ok, e.status, e.code, e.message, e.route, e.retryAfter)
            print(tostring(e))
            print("said: " .. e)
            print(pcall(setmetatable, e, nil))
            task.spawn(function()
                argon.messages.send{ channelId = "c", text = "uncaught" }
            end)
            local ok, e = pcall(argon.messages.send, { channelId = "c", txt = "x" })
            print(ok, e.status, e.code, e.route)"#,
        )],
        |_| answer_json(403, json!({"error": "not_a_member", "message": "No."})),
    )
    .await;
    bot.log.wait("refused", 6).await;
    let mut lines = bot.log.of("refused");
    lines.sort();
    let mut expected = vec![
        "false\t403\tnot_a_member\tNo.\tIMessages/Send\tnil",
        "IMessages/Send: 403 not_a_member: No.",
        "said: IMessages/Send: 403 not_a_member: No.",
        "false\tcannot change a protected metatable",
        "false\t0\tinvalid_params\tIMessages/Send",
        "refused.luau:7:17: IMessages/Send: 403 not_a_member: No.\n  7 |                 \
         argon.messages.send{ channelId = \"c\", text = \"uncaught\" }\n    |                 \
         ^^^^^^^^^^^^^^^^^^^\n  at refused.luau:7",
    ];
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_methods_reach_the_right_routes() {
    let bot = Bot::start(&[(
        "methods.luau",
        r#"argon.on("messageCreate", function(e)
            print(e:reply("hi", { controls = {} }).messageId)
            e:react("👍")
            e:edit({ text = "edited" })
            print(pcall(e.ack, e))
            print(pcall(e.reply))
        end)
        argon.onControl("poll:*", function(e)
            e:ack()
            e:defer()
            e:reply({ text = "voted" })
            e:edit("closed")
        end)
        argon.onControl("other", function(e) print("wrong") end)
        argon.onSelect("pick", function(e) print(table.concat(e.values, ",")) end)
        argon.on("memberJoin", function(e) print(pcall(e.reply, e, "welcome")) end)"#,
    )])
    .await;
    bot.event("messageCreate", message("x")).await;
    bot.log.wait("methods", 3).await;
    bot.event(
        "controlInteraction",
        json!({"channelId": "c1", "controlId": "poll:1", "controlType": 0, "interactionId": "i1",
            "messageId": 77, "spaceId": "s1", "user": {"userId": "u", "username": "u",
            "displayName": "U", "flags": 0}}),
    )
    .await;
    bot.done(2).await;
    bot.event(
        "selectInteraction",
        json!({"channelId": "c1", "customId": "pick", "controlType": 1, "interactionId": "i2",
            "messageId": 77, "spaceId": "s1", "values": ["a", "b"], "user": {"userId": "u",
            "username": "u", "displayName": "U", "flags": 0}}),
    )
    .await;
    bot.event(
        "memberJoin",
        json!({"spaceId": "s1", "user": {"userId": "u"}}),
    )
    .await;
    bot.said(
        "methods",
        &[
            "9007199254740993",
            "false\tevent:ack: messageCreate is not an interaction",
            "false\tcall it with a colon: event:reply(…); got nil for the event",
            "a,b",
            "false\tevent:reply: memberJoin is not about a message",
        ],
    )
    .await;
    let calls = bot.server.calls();
    let seen: Vec<_> = calls
        .iter()
        .map(|call| (call.method.as_str(), call.path.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            ("POST", "/IMessages/v1/Send"),
            ("POST", "/IReactions/v1/Add"),
            ("PATCH", "/IInteractions/v1/EditMessage"),
            ("POST", "/IInteractions/v1/Ack"),
            ("POST", "/IInteractions/v1/Defer"),
            ("POST", "/IInteractions/v1/Reply"),
            ("PATCH", "/IInteractions/v1/EditMessage"),
        ]
    );
    assert_eq!(calls[0].body["replyTo"], json!(1234567890123456789i64));
    assert_eq!(calls[0].body["channelId"], json!("c1"));
    assert_eq!(
        calls[2].body["messageId"],
        json!(9007199254740993i64),
        "the bot's reply"
    );
    assert_eq!(calls[3].body, json!({"interactionId": "i1"}));
    assert_eq!(calls[5].body["text"], json!("voted"));
    assert_eq!(
        calls[6].body["messageId"],
        json!(77),
        "the message with the button"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_that_overtakes_the_answer_to_its_modal_is_still_found() {
    let bot = Bot::start(&[(
        "quick.luau",
        r#"argon.onControl("ask", function(e)
            print(e:modal{ customId = "feedback", title = "Feedback", components = {
                { type = "textInput", customId = "text", label = "Text" },
            } }.modalInteractionId)
        end)
        argon.onModal("feedback", function(e) print("submitted", e.values.text) end)
        argon.on("messageCreate", function(e) print(e.message.text) end)"#,
    )])
    .await;
    let user = json!({"userId": "u", "username": "u", "displayName": "U", "flags": 0});
    let held = bot.server.hold();
    bot.event(
        "controlInteraction",
        json!({"channelId": "c1", "controlId": "ask", "controlType": 0, "interactionId": "i1",
            "messageId": 77, "spaceId": "s1", "user": user}),
    )
    .await;
    bot.event(
        "modalSubmit",
        json!({"channelId": "c1", "customId": "modal-1", "interactionId": "i2", "spaceId": "s1",
            "user": user, "values": [{"customId": "text", "values": ["Nice"]}]}),
    )
    .await;
    // The script goes on with other events, so it has seen the submission.
    bot.event("messageCreate", message("meanwhile")).await;
    bot.said("quick", &["meanwhile"]).await;
    drop(held);
    bot.said("quick", &["meanwhile", "modal-1", "submitted\tNice"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_of_a_form_that_is_known_waits_for_no_other() {
    let answer = |call: &Call| {
        let opened = call.body["interactionId"].as_str().unwrap_or_default();
        answer_json(200, json!({ "modalInteractionId": format!("of-{opened}") }))
    };
    let bot = Bot::start_with(
        &[(
            "forms.luau",
            r#"argon.onControl("ask", function(e)
                print("opens")
                print(e:modal{ customId = "feedback", title = "Feedback", components = {
                    { type = "textInput", customId = "text", label = "Text" },
                } }.modalInteractionId)
            end)
            argon.onModal("feedback", function(e) print(e.modalInteractionId, e.values.text) end)"#,
        )],
        answer,
    )
    .await;
    let user = json!({"userId": "u", "username": "u", "displayName": "U", "flags": 0});
    let click = |id: &str| {
        json!({"channelId": "c1", "controlId": "ask", "controlType": 0, "interactionId": id,
            "messageId": 77, "spaceId": "s1", "user": user})
    };
    let submit = |id: &str| {
        json!({"channelId": "c1", "customId": id, "interactionId": "other", "spaceId": "s1",
            "user": user, "values": [{"customId": "text", "values": ["Nice"]}]})
    };
    bot.event("controlInteraction", click("one")).await;
    let mut said = vec!["opens", "of-one"];
    bot.said("forms", &said).await;
    let held = bot.server.hold();
    bot.event("controlInteraction", click("two")).await;
    said.push("opens");
    bot.said("forms", &said).await;
    bot.event("modalSubmit", submit("of-two")).await;
    bot.event("modalSubmit", submit("of-one")).await;
    said.push("of-one\tNice");
    bot.said("forms", &said).await;
    drop(held);
    said.extend(["of-two", "of-two\tNice"]);
    bot.said("forms", &said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_waits_also_for_the_answer_that_the_version_before_waits_for() {
    let script = |name: &str| {
        format!(
            r#"argon.onControl("ask", function(e)
                print("{name} opens")
                e:modal{{ customId = "feedback", title = "Feedback", components = {{
                    {{ type = "checkbox", customId = "agree", label = "Agree" }},
                }} }}
            end)
            argon.onModal("feedback", function(e) print("{name}", e.customId, e.values.agree) end)
            argon.on("messageCreate", function(e) print("{name}", e.message.text) end)"#
        )
    };
    let bot = Bot::start(&[("handed.luau", &script("one"))]).await;
    let user = json!({"userId": "u", "username": "u", "displayName": "U", "flags": 0});
    let held = bot.server.hold();
    bot.event(
        "controlInteraction",
        json!({"channelId": "c1", "controlId": "ask", "controlType": 0, "interactionId": "i1",
            "messageId": 77, "spaceId": "s1", "user": user}),
    )
    .await;
    bot.said("handed", &["one opens"]).await;
    bot.replace("handed", &script("two")).await;
    bot.event(
        "modalSubmit",
        json!({"channelId": "c1", "customId": "modal-1", "interactionId": "modal-1",
            "spaceId": "s1", "user": user,
            "values": [{"customId": "agree", "values": ["true"]}]}),
    )
    .await;
    bot.event("messageCreate", message("meanwhile")).await;
    bot.said("handed", &["one opens", "two\tmeanwhile"]).await;
    drop(held);
    let all = ["one opens", "two\tmeanwhile", "two\tfeedback\ttrue"];
    bot.said("handed", &all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modal_comes_back_under_its_own_name_with_typed_values() {
    let bot = Bot::start(&[(
        "feedback.luau",
        r#"argon.onControl("ask", function(e)
            print(e:modal{ customId = "feedback", title = "Feedback", components = {
                { type = "textInput", customId = "text", label = "Text" },
                { type = "checkbox", customId = "agree", label = "Agree" },
            } }.modalInteractionId)
        end)
        argon.onModal("feedback", function(e)
            print(e.customId, e.modalInteractionId, e.values.text, e.values.agree, #e.values)
            print(pcall(e.ack, e))
        end)"#,
    )])
    .await;
    let user = json!({"userId": "u", "username": "u", "displayName": "U", "flags": 0});
    bot.event(
        "controlInteraction",
        json!({"channelId": "c1", "controlId": "ask", "controlType": 0, "interactionId": "i1",
            "messageId": 77, "spaceId": "s1", "user": user}),
    )
    .await;
    bot.said("feedback", &["modal-1"]).await;
    bot.event(
        "modalSubmit",
        json!({"channelId": "c1", "customId": "modal-1", "interactionId": "i2", "spaceId": "s1",
            "user": user, "values": [{"customId": "text", "values": ["Nice"]},
            {"customId": "agree", "values": ["true"]}]}),
    )
    .await;
    bot.said(
        "feedback",
        &[
            "modal-1",
            "feedback\tmodal-1\tNice\ttrue\t2",
            "false\tevent:ack: modalSubmit needs no answer of this kind, the platform refuses it; \
             use event:reply",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_brought_in_line_and_answered_with_typed_options() {
    let bot = Bot::start_with(
        &[(
            "dice.luau",
            r#"argon.command{ name = "Roll", description = "Roll dice", options = {
                { name = "sides", type = "integer", description = "How many" } },
                run = function(i, options) print("roll", options.sides, math.type and 0 or type(options.sides)) end }
            argon.command{ name = "old", description = "Same", run = function() end }
            print(pcall(argon.command, { name = "roll", description = "Again", run = print }))
            print(pcall(argon.command, { name = "x", description = "y", runn = print, run = print }))
            print(pcall(argon.command, { name = "x", description = "y" }))"#,
        )],
        |call| match call.path.as_str() {
            "/ICommands/v1/List" => answer_json(200, json!({"commands": [
                {"commandId": "c-old", "name": "old", "description": "Same", "options": null,
                    "defaultPermission": true},
                {"commandId": "c-gone", "name": "gone", "description": "x"}]})),
            "/ICommands/v1/Register" => {
                answer_json(200, json!({"commandId": "c-roll", "name": "roll"}))
            }
            _ => answer_json(200, json!({"deleted": true})),
        },
    )
    .await;
    bot.log.wait("dice", 3).await;
    let lines = bot.log.of("dice");
    assert_eq!(
        lines[0],
        "false\targon.command: this script has registered /roll already"
    );
    assert!(lines[1].contains("runn"), "{lines:?}");
    assert_eq!(
        lines[2],
        "false\targon.command: run must be a function, got nil"
    );

    let wanted = bot.host().registrations().borrow().commands.clone();
    let synced = commands::sync(&bot.client, &wanted, true, |_| {})
        .await
        .expect("listed");
    assert_eq!((synced.changes, synced.failed.len()), (2, 0));
    let paths: Vec<_> = bot
        .server
        .calls()
        .into_iter()
        .map(|call| call.path)
        .collect();
    assert_eq!(
        paths,
        [
            "/ICommands/v1/List",
            "/ICommands/v1/Delete",
            "/ICommands/v1/Register"
        ]
    );
    bot.host().commands_are(&synced.commands);
    let interaction = |id: &str| {
        json!({"channelId": "c1", "commandId": id, "commandName": "roll", "interactionId": "i",
            "spaceId": "s1", "user": {"userId": "u"}, "options": [
            {"name": "sides", "type": 1, "value": "20"}]})
    };
    bot.event("commandInteraction", interaction("c-roll")).await;
    bot.log.wait("dice", 4).await;
    assert_eq!(bot.log.of("dice")[3], "roll\t20\tnumber");
    assert_eq!(bot.host().reports()[0].commands, ["roll", "old"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_contract_is_callable() {
    let mut source = String::from(
        "print(pcall(argon.events.stream, { intents = { messages = true } }))\nlocal failed = {}\n",
    );
    let mut expected = Vec::new();
    for route in contract::ROUTES {
        if route.label() == "IEvents/Stream" {
            continue;
        }
        let params: Vec<_> = route
            .params()
            .filter(|field| !field.optional)
            .map(|field| format!("{} = {}", field.name, sample(&field.ty)))
            .collect();
        source += &format!(
            "do local ok, e = pcall(argon.{}, {{ {} }}) if not ok then print(e) end end\n",
            route.permission_name(),
            params.join(", ")
        );
        expected.push((route.method.as_str().to_owned(), route.path()));
    }
    source += "print('all')";
    let bot = Bot::start_with(&[("routes.luau", &source)], |_| answer_json(200, json!({}))).await;
    bot.said(
        "routes",
        &[
            "false\targon.events.stream: the host has the event stream open already; use argon.on",
            "all",
        ],
    )
    .await;
    let seen: Vec<_> = bot
        .server
        .calls()
        .into_iter()
        .map(|call| (call.method, call.path))
        .collect();
    assert_eq!(seen, expected);
}

/// A valid value of a type, as Luau.
fn sample(ty: &Type) -> String {
    match ty {
        Type::Int32 | Type::Uint32 | Type::Int64 | Type::Float => "1".into(),
        Type::Id64 => "'9007199254740993'".into(),
        Type::Bool => "true".into(),
        Type::Choice(words) => format!("'{}'", words[0]),
        Type::Enum(of) => format!("'{}'", of.values[0].1),
        Type::Flags(of) => format!("{{ {} = true }}", of.values[0].1),
        Type::List(of) => format!("{{ {} }}", sample(of)),
        Type::Object(shape) => {
            let fields = shape.fields.iter().filter(|field| !field.optional);
            let fields: Vec<_> = fields
                .map(|field| format!("{} = {}", field.name, sample(&field.ty)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        _ => "'x'".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_allowed_are_refused_at_the_call() {
    let mut bot = Bot::start_heavy(&[(
        "greedy.luau",
        // No answer is read before the top level waits.
        r#"for i = 1, 4096 do
            task.spawn(pcall, argon.messages.send, { channelId = "c", text = "x" })
        end
        local ok, e = pcall(argon.messages.send, { channelId = "c", text = "x" })
        print(ok, e.code)"#,
    )])
    .await;
    bot.said("greedy", &["false\ttoo_many_calls"]).await;
    bot.take_host().stop(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_json_is_an_error_value_too() {
    let bot = Bot::start_with(
        &[(
            "garbled.luau",
            r#"local ok, e = pcall(argon.spaces.get, { spaceId = "s" })
            print(ok, e.code, e.route)"#,
        )],
        |_| axum::response::IntoResponse::into_response("<html>"),
    )
    .await;
    bot.said("garbled", &["false\tinvalid_response\tISpaces/Get"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_scripts_with_one_command_name_are_told_apart_by_the_platforms_id() {
    let command = |scope: &str, text: &str| {
        format!(
            "argon.command{{ name = 'roll', description = 'Roll', {scope} run = function() \
             print('{text}') end }}"
        )
    };
    let (everywhere, here) = (command("", "global"), command("spaceId = 's1',", "here"));
    let bot = Bot::start(&[("roll_all.luau", &everywhere), ("roll_here.luau", &here)]).await;
    let key = |script: &str, space: Option<&str>| commands::Registered {
        id: script.into(),
        key: argon_host::script::CommandKey {
            name: "roll".into(),
            space_id: space.map(str::to_owned),
            script: script.into(),
        },
    };
    bot.host()
        .commands_are(&[key("roll_all", None), key("roll_here", Some("s1"))]);
    for id in ["roll_here", "roll_all"] {
        bot.event(
            "commandInteraction",
            json!({"channelId": "c1", "commandId": id, "commandName": "roll",
                "interactionId": "i", "spaceId": "s1", "user": {"userId": "u"}}),
        )
        .await;
    }
    bot.done(4).await;
    assert_eq!(bot.log.of("roll_here"), ["here"]);
    assert_eq!(bot.log.of("roll_all"), ["global"]);
    // As long as the platform has not told the id, the space's own goes first, and only that.
    bot.event(
        "commandInteraction",
        json!({"channelId": "c1", "commandId": "unheard", "commandName": "roll",
            "interactionId": "i", "spaceId": "s1", "user": {"userId": "u"}}),
    )
    .await;
    bot.done(6).await;
    assert_eq!(bot.log.of("roll_here"), ["here", "here"]);
    assert_eq!(bot.log.of("roll_all"), ["global"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_has_moved_to_another_script_is_that_scripts_at_once() {
    let source = r#"argon.command{ name = "deal", description = "Deal",
        run = function() print(script.name) end }"#;
    let bot = Bot::start(&[("moved_from.luau", source)]).await;
    let registered = commands::Registered {
        id: "c-deal".into(),
        key: argon_host::script::CommandKey {
            name: "deal".into(),
            space_id: None,
            script: "moved_from".into(),
        },
    };
    bot.host().commands_are(&[registered]);
    // The platform's commands are the same: the synchronisation has nothing to say, or has not come yet.
    bot.rename("moved_from", "moved_to").await;
    bot.event(
        "commandInteraction",
        json!({"channelId": "c1", "commandId": "c-deal", "commandName": "deal",
            "interactionId": "i", "spaceId": "s1", "user": {"userId": "u"}}),
    )
    .await;
    bot.done(1).await;
    assert_eq!(bot.log.of("moved_to"), ["moved_to"]);
}
