//! What scripts can do, seen from outside: real scripts in a folder, events through a real inbox, calls
//! through the real client to a local server. Scripts tell what they see with `print`.

mod script_support;

use std::time::Duration;

use argon_host::contract::{self, Type};
use argon_host::script::{State, commands};
use script_support::{Bot, answer_json, message};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn handlers_start_in_stream_order_and_run_concurrently() {
    let bot = Bot::start(&[(
        "concurrent.luau",
        r#"argon.on("messageCreate", function(event)
            print("start " .. event.message.text)
            event:reply("to " .. event.message.text)
            print("end " .. event.message.text)
        end)"#,
    )])
    .await;
    let held = bot.server.hold();
    for text in ["a", "b", "c"] {
        bot.event("messageCreate", message(text)).await;
    }
    // All three have begun although no call has been answered.
    bot.said("concurrent", &["start a", "start b", "start c"])
        .await;
    drop(held);
    bot.log.wait("concurrent", 6).await;
    let mut ends = bot.log.of("concurrent").split_off(3);
    ends.sort();
    assert_eq!(ends, ["end a", "end b", "end c"]);
    bot.done(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_off_and_star_do_what_they_say() {
    let bot = Bot::start(&[(
        "subscriptions.luau",
        r#"argon.once("messageCreate", function(e) print("once " .. e.message.text) end)
        local on
        on = argon.on("messageCreate", function(e)
            print("on " .. e.message.text)
            if e.message.text == "b" then on.off() end
        end)
        argon.on("*", function(e) print("any " .. e.type .. " " .. e.id) end)"#,
    )])
    .await;
    for text in ["a", "b", "c"] {
        bot.event("messageCreate", message(text)).await;
    }
    bot.event("someFutureEvent", json!({"x": 1})).await;
    bot.said(
        "subscriptions",
        &[
            "once a",
            "on a",
            "any messageCreate 1",
            "on b",
            "any messageCreate 2",
            "any messageCreate 3",
            "any someFutureEvent 4",
        ],
    )
    .await;
    let all_without_privilege = 12253;
    let registrations = bot.host().registrations();
    assert_eq!(registrations.borrow().intents(), all_without_privilege);
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_for_gives_the_event_or_nil_or_the_predicates_error() {
    let bot = Bot::start(&[(
        "waiter.luau",
        r#"task.spawn(function()
            local e = argon.waitFor("messageCreate", function(e) return e.message.text == "yes" end, 60)
            print("got " .. e.message.text)
        end)
        task.spawn(function()
            local ok, err = pcall(argon.waitFor, "messageCreate", function() error("odd", 0) end)
            print(ok, err)
        end)
        task.spawn(function()
            local ok, err = pcall(argon.waitFor, "messageCreate", function() task.wait() end)
            print(ok, (string.find(err, "nothing can wait here", 1, true) ~= nil))
        end)
        print(argon.waitFor("messageCreate", nil, 0.01))"#,
    )])
    .await;
    bot.said("waiter", &["nil"]).await;
    bot.event("messageCreate", message("no")).await;
    bot.event("messageCreate", message("yes")).await;
    bot.said("waiter", &["nil", "false\todd", "false\ttrue", "got yes"])
        .await;
    bot.done(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_run_in_the_documented_order() {
    let bot = Bot::start(&[(
        "tasks.luau",
        r#"task.defer(function(x) print("deferred", x) end, 1)
        local slow = task.delay(0.02, function(x) print("delayed", x) end, 2)
        local never = task.delay(0.01, function() print("never") end)
        task.cancel(never)
        task.spawn(function(x)
            print("spawned", x)
            local waited = task.wait(0.03)
            print("waited", waited >= 0.03 and waited < 5)
        end, 3)
        local sleeper = task.spawn(function() task.wait(0.001) print("cancelled too late") end)
        task.cancel(sleeper)
        print(coroutine.status(sleeper), type(slow))
        print(pcall(task.cancel, coroutine.running()))
        print(pcall(task.spawn, 5))
        task.defer(coroutine.running(), "again")
        print(coroutine.yield())
        print("top")"#,
    )])
    .await;
    bot.said(
        "tasks",
        &[
            "spawned\t3",
            "dead\tthread",
            "false\ttask.cancel: a coroutine that runs cannot be cancelled; return from it instead",
            "false\ttask.spawn: what it starts must be a function or a coroutine, got number",
            "deferred\t1",
            "again",
            "top",
            "delayed\t2",
            "waited\ttrue",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_inside_a_wrapped_coroutine_suspends_only_that_one() {
    let bot = Bot::start(&[(
        "wrapped.luau",
        r#"local sent
        local step = coroutine.wrap(function()
            print("in")
            sent = argon.messages.send{ channelId = "c", text = "x" }
            print("sent " .. type(sent.messageId))
            print("more " .. tostring(coroutine.yield("mine")))
        end)
        print("back", step())
        repeat task.wait(0.001) until sent
        step("value")"#,
    )])
    .await;
    bot.said("wrapped", &["in", "back", "sent string", "more value"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coroutine_that_waits_cannot_be_resumed_by_the_script() {
    let bot = Bot::start(&[(
        "meddler.luau",
        r#"local co = coroutine.create(function()
            local ok, err = pcall(task.wait, 60)
            print(ok, (string.find(err, "the script resumed it", 1, true) ~= nil))
            task.wait(0.001)
            print("and goes on")
        end)
        coroutine.resume(co)
        coroutine.resume(co, "mine")
        local closed = coroutine.create(function() task.wait(0.001) print("never") end)
        coroutine.resume(closed)
        coroutine.close(closed)"#,
    )])
    .await;
    bot.said("meddler", &["false\ttrue", "and goes on"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_can_wait_the_call_says_so_and_sends_nothing() {
    let bot = Bot::start(&[(
        "unyielding.luau",
        r#"local t = setmetatable({}, { __index = function()
            return argon.messages.send{ channelId = "c", text = "x" }
        end })
        print(pcall(function() return t.x end))
        print(pcall(table.sort, {2, 1, 3}, function() task.wait() end))"#,
    )])
    .await;
    bot.log.wait("unyielding", 2).await;
    let lines = bot.log.of("unyielding");
    assert!(
        lines[0].starts_with("false\tunyielding.luau:2: this call waits"),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("false\tunyielding.luau:5: this call waits"),
        "{lines:?}"
    );
    assert_eq!(bot.server.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_a_handler_is_logged_with_place_traceback_and_event_and_harms_nothing_else() {
    let bot = Bot::start(&[(
        "broken.luau",
        "local function inner(e)\n    return e.nothing.here\nend\n\
         argon.on('messageCreate', function(e)\n    inner(e)\nend)\n\
         argon.on('messageCreate', function(e) print('fine') end)",
    )])
    .await;
    bot.event("messageCreate", message("x")).await;
    bot.log.wait("broken", 2).await;
    let lines = bot.log.of("broken");
    assert_eq!(
        lines[0],
        "broken.luau:2: attempt to index nil with 'here'\n     2 |     return e.nothing.here\n  \
         at broken.luau:2 in function 'inner'\n  at broken.luau:5"
    );
    let line = bot.log.line("broken", 0);
    assert_eq!(
        (line.event.as_str(), line.event_id.as_str()),
        ("messageCreate", "1")
    );
    assert_eq!(lines[1], "fine");
    assert_eq!(bot.host().reports()[0].errors, 1);
    bot.done(1).await;
}

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
        "refused.luau:7: IMessages/Send: 403 not_a_member: No.\n     7 |                 \
         argon.messages.send{ channelId = \"c\", text = \"uncaught\" }\n  at refused.luau:7",
    ];
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_are_shared_may_wait_and_keep_to_the_folder() {
    let bot = Bot::start(&[
        (
            "modular.luau",
            r#"local a = require("./modular_lib/a")
            print(a.name, a == require("./modular_lib/a"))
            print(require("./modular_lib/slow"))
            print(pcall(require, "./modular_lib/circle1"))
            print(pcall(require, "../outside"))
            print(pcall(require, "./modular_lib/bad"))
            print(pcall(require, "./modular_lib/fails"))
            print(pcall(require, "./modular_lib/fails"))
            print(pcall(require, "./modular_lib/two"))"#,
        ),
        (
            "modular_lib/a.luau",
            r#"return { name = require("./b") .. "!" }"#,
        ),
        ("modular_lib/b.lua", r#"return "b""#),
        ("modular_lib/slow.luau", r#"task.wait(0.001) return "slow""#),
        ("modular_lib/circle1.luau", r#"return require("./circle2")"#),
        ("modular_lib/circle2.luau", r#"return require("./circle1")"#),
        ("modular_lib/bad.luau", "local x = = 1"),
        (
            "modular_lib/fails.luau",
            r#"print("runs once") error("no luck")"#,
        ),
        ("modular_lib/two.luau", "return 1, 2"),
    ])
    .await;
    bot.log.wait("modular", 9).await;
    let lines = bot.log.of("modular");
    assert_eq!(lines[..3], ["b!\ttrue", "slow", lines[2].as_str()]);
    assert!(
        lines[2].contains(
            "modular_lib/circle1.luau → modular_lib/circle2.luau → modular_lib/circle1.luau"
        ) || lines[2].contains(
            "modular_lib/circle2.luau → modular_lib/circle1.luau → modular_lib/circle2.luau"
        ),
        "{}",
        lines[2]
    );
    assert!(
        lines[3].ends_with("require: ../outside is outside the scripts folder"),
        "{lines:?}"
    );
    assert!(
        lines[4].starts_with("false\tmodular_lib/bad.luau:1: "),
        "{lines:?}"
    );
    assert_eq!(lines[5], "runs once");
    assert_eq!(lines[6], "false\tmodular_lib/fails.luau:1: no luck");
    assert_eq!(lines[7], lines[6]);
    assert_eq!(
        lines[8],
        "false\tmodular_lib/two.luau: a module must return exactly one value"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_coroutines_that_need_a_slow_module_run_it_once() {
    let bot = Bot::start(&[
        (
            "impatient.luau",
            r#"for i = 1, 2 do
                task.spawn(function() print(i, require("./impatient_lib/slow")) end)
            end"#,
        ),
        (
            "impatient_lib/slow.luau",
            r#"print("runs") task.wait(0.001) return "value""#,
        ),
    ])
    .await;
    bot.log.wait("impatient", 3).await;
    let mut lines = bot.log.of("impatient");
    lines.sort();
    assert_eq!(lines, ["1\tvalue", "2\tvalue", "runs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn own_messages_are_left_out_unless_asked_for() {
    let bot = Bot::start(&[(
        "mirror.luau",
        r#"argon.on("messageCreate", function(e) print("others " .. e.message.text) end)
        argon.on("messageCreate", function(e) print("all " .. e.message.text) end, { own = true })
        print(pcall(argon.on, "messageCreate", print, { onw = true }))"#,
    )])
    .await;
    let mut own = message("mine");
    own["message"]["sender"]["userId"] = json!("bot-id");
    bot.event("messageCreate", own).await;
    bot.event("messageCreate", message("yours")).await;
    bot.said(
        "mirror",
        &[
            "false\targon.on: the options table has no field onw; did you mean own?",
            "all mine",
            "others yours",
            "all yours",
        ],
    )
    .await;
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
    let synced = commands::sync(&bot.client, &wanted).await.expect("listed");
    assert_eq!((synced.changes, synced.refused.len()), (2, 0));
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
async fn what_is_registered_later_is_told_then() {
    let bot = Bot::start(&[(
        "late.luau",
        r#"argon.on("messageCreate", function()
            argon.on("reactionAdd", function(e) print("reaction " .. e.emoji) end)
            argon.command{ name = "later", description = "Later", run = print }
        end)"#,
    )])
    .await;
    let mut registrations = bot.host().registrations();
    assert_eq!(registrations.borrow_and_update().intents(), 1);
    bot.event("messageCreate", message("x")).await;
    registrations
        .wait_for(|now| now.intents() == 1 | 1 << 3 | 1 << 6 && now.commands.len() == 1)
        .await
        .expect("the host lives");
    bot.event(
        "reactionAdd",
        json!({"channelId": "c", "emoji": "👍", "messageId": 1, "spaceId": "s", "userId": "u"}),
    )
    .await;
    bot.said("late", &["reaction 👍"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_fails_to_load_is_reported_and_the_others_run() {
    let bot = Bot::start(&[
        ("bad_syntax.luau", "local x = 1\nlocal y = = 2\n"),
        (
            "bad_top.luau",
            "local t = nil\nargon.on('ready', print)\nt.x = 1\n",
        ),
        (
            "good.luau",
            "argon.on('messageCreate', function() print('fine') end)",
        ),
    ])
    .await;
    let reports = bot.host().reports();
    let failure = |name: &str| {
        let report = reports
            .iter()
            .find(|report| report.name == name)
            .expect("reported");
        match &report.state {
            State::Failed(trouble) => trouble.clone(),
            other => panic!("{name} is {other:?}"),
        }
    };
    let syntax = failure("bad_syntax").place.expect("a place");
    assert_eq!(
        (syntax.line, syntax.source.as_deref()),
        (2, Some("local y = = 2"))
    );
    assert_eq!(
        failure("bad_top").to_string(),
        "bad_top.luau:3: attempt to index nil with 'x'\n     3 | t.x = 1\n  at bad_top.luau:3"
    );
    assert_eq!(
        bot.host().registrations().borrow().events.len(),
        1,
        "only good's"
    );
    bot.event("messageCreate", message("x")).await;
    bot.said("good", &["fine"]).await;
    // A failed script does not hold events back.
    bot.done(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_payload_is_skipped() {
    let bot = Bot::start(&[(
        "robust.luau",
        "argon.on('messageCreate', function(e) print(e.message.text) end)",
    )])
    .await;
    bot.raw_event("messageCreate", "{\"message\": {").await;
    bot.event("messageCreate", message("after")).await;
    bot.log.wait("robust", 2).await;
    let lines = bot.log.of("robust");
    assert!(
        lines[0].starts_with("skipped an event whose payload cannot be read"),
        "{lines:?}"
    );
    assert_eq!(lines[1], "after");
    bot.done(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_handlers_finish_and_takes_no_more_events() {
    let mut bot = Bot::start(&[(
        "drained.luau",
        r#"argon.every(0.001, function() end)
        argon.on("messageCreate", function(e)
            print("start " .. e.message.text)
            e:reply("x")
            print("end " .. e.message.text)
        end)"#,
    )])
    .await;
    let held = bot.server.hold();
    bot.event("messageCreate", message("a")).await;
    bot.said("drained", &["start a"]).await;
    let host = bot.take_host();
    let stopping = tokio::spawn(host.stop(Duration::from_secs(30)));
    drop(held);
    stopping.await.expect("stops");
    bot.event("messageCreate", message("b")).await;
    assert_eq!(bot.log.of("drained"), ["start a", "end a"]);
    assert_eq!(bot.inbox.progress().done, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_does_not_finish_is_cut_off_when_the_time_is_over() {
    let mut bot = Bot::start(&[(
        "endless.luau",
        "argon.on('messageCreate', function() print('start') task.wait(1e6) end)",
    )])
    .await;
    bot.event("messageCreate", message("a")).await;
    bot.said("endless", &["start"]).await;
    bot.take_host().stop(Duration::from_millis(10)).await;
    let progress = bot.inbox.progress();
    assert_eq!((progress.done, progress.abandoned), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_allowed_are_refused_at_the_call() {
    let mut bot = Bot::start(&[(
        "greedy.luau",
        r#"argon.once("messageCreate", function()
            for i = 1, 4096 do
                task.spawn(pcall, argon.messages.send, { channelId = "c", text = "x" })
            end
            local ok, e = pcall(argon.messages.send, { channelId = "c", text = "x" })
            print(ok, e.code)
        end)"#,
    )])
    .await;
    let _held = bot.server.hold();
    bot.event("messageCreate", message("a")).await;
    bot.said("greedy", &["false\ttoo_many_calls"]).await;
    bot.take_host().stop(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handler_limit_holds_events_back_until_one_finishes() {
    let bot = Bot::start_limited(
        &[(
            "narrow.luau",
            r#"argon.on("messageCreate", function(e)
                print("start " .. e.message.text)
                e:reply("x")
                print("end " .. e.message.text)
            end)
            argon.on("memberJoin", function(e)
                -- Who waits for an event must not keep it from coming.
                print("got " .. argon.waitFor("memberLeave").userId)
            end)"#,
        )],
        1,
    )
    .await;
    for text in ["a", "b"] {
        bot.event("messageCreate", message(text)).await;
    }
    bot.said("narrow", &["start a", "end a", "start b", "end b"])
        .await;
    bot.event(
        "memberJoin",
        json!({"spaceId": "s", "user": {"userId": "u"}}),
    )
    .await;
    bot.event("memberLeave", json!({"spaceId": "s", "userId": "u"}))
        .await;
    bot.log.wait("narrow", 5).await;
    assert_eq!(bot.log.of("narrow")[4], "got u");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_cannot_change_what_it_was_given() {
    let bot = Bot::start(&[(
        "sandboxed.luau",
        r#"print(script.name, script.config.list[2], script.config.missing)
        for _, f in {
            function() script.config.list[1] = 0 end,
            function() argon.messages.send = nil end,
            function() argon.on = nil end,
            function() string.format = nil end,
            function() task.wait = nil end,
            function() getmetatable("").__index = nil end,
        } do print((pcall(f))) end
        x = 1
        print(x, io, loadstring, getfenv, debug.info ~= nil)"#,
    )])
    .await;
    bot.said(
        "sandboxed",
        &[
            "sandboxed\ttwo\tnil",
            "false",
            "false",
            "false",
            "false",
            "false",
            "false",
            "1\tnil\tnil\tnil\ttrue",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeating_timer_does_not_overlap_itself_and_can_be_ended() {
    let bot = Bot::start(&[(
        "ticking.luau",
        r#"local runs, inside = 0, 0
        local timer
        timer = argon.every(0.001, function()
            inside += 1
            runs += 1
            if inside > 1 then print("overlap") end
            task.wait(0.005)
            inside -= 1
            if runs == 3 then timer.off() task.wait(0.02) print("runs " .. runs) end
        end)"#,
    )])
    .await;
    bot.said("ticking", &["runs 3"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coroutine_whose_handle_was_taken_is_not_used_for_another_handler() {
    let bot = Bot::start(&[(
        "keeper.luau",
        r#"local first
        argon.on("messageCreate", function(e)
            local me = coroutine.running()
            print(first == nil or first ~= me)
            first = first or me
        end)"#,
    )])
    .await;
    for text in ["a", "b", "c"] {
        bot.event("messageCreate", message(text)).await;
    }
    bot.said("keeper", &["true", "true", "true"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_carry_level_and_fields() {
    let bot = Bot::start(&[(
        "talker.luau",
        r#"argon.log.warn("low", { left = 2 })
        argon.log.error("odd", { f = print })"#,
    )])
    .await;
    bot.log.wait("talker", 2).await;
    let line = bot.log.line("talker", 0);
    assert_eq!(
        (
            line.level.as_str(),
            line.message.as_str(),
            line.fields.as_str()
        ),
        ("WARN", "low", "{\"left\":2}")
    );
    assert!(matches!(bot.host().reports()[0].state, State::Failed(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_top_level_counts_as_loaded() {
    let bot = Bot::start_slow(&[(
        "sluggish.luau",
        r#"argon.on("messageCreate", function(e) print("early " .. e.message.text) end)
        task.wait(1e6)"#,
    )])
    .await;
    assert_eq!(bot.host().reports()[0].state, State::Loading);
    bot.event("messageCreate", message("x")).await;
    bot.log.wait("sluggish", 2).await;
    assert_eq!(bot.log.of("sluggish")[1], "early x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_dropped_ends_its_scripts() {
    let mut bot = Bot::start(&[(
        "dropped.luau",
        "argon.on('messageCreate', function() print('start') task.wait(1e6) end)",
    )])
    .await;
    bot.event("messageCreate", message("a")).await;
    bot.said("dropped", &["start"]).await;
    drop(bot.take_host());
    bot.abandoned(1).await;
}
