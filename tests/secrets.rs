//! A token appears in no output, whatever is logged and whatever goes wrong.

mod support;

use support::{Process, Sim, World, bot};

/// Everything a script can try to see or print, and some ways to fail.
const NOSY: &str = r#"
local function dump(value: any, depth: number)
    if type(value) == "table" and depth < 4 then
        for k, v in value do
            print(tostring(k))
            dump(v, depth + 1)
        end
    else
        print(tostring(value))
    end
end
dump(argon, 0)
dump(script, 0)
argon.on("*", function(event)
    dump(event, 0)
    error("a failure on purpose")
end)
argon.on("messageCreate", function(event)
    local ok, failure = pcall(argon.messages.send, { channelId = "no-such-channel", text = "x" })
    dump(failure, 0)
    print(tostring(failure))
    local channelId = string.match(event.message.text or "", "^look (.+)$")
    if not channelId then return end
    argon.voice.join{ spaceId = event.spaceId :: string, channelId = channelId }:leave()
    event:reply("looked everywhere")
end)
"#;

#[tokio::test]
async fn no_token_is_printed_at_trace_level() {
    let sim = Sim::start().await;
    let (base, token) = (&sim.base, &sim.token);
    let secret = token.split(':').nth(1).expect("a secret part").to_owned();

    let config = format!("[bot]\ntoken = \"${{ARGON_TOKEN}}\"\n[server]\nurl = \"{base}\"\n");
    let dir = bot(&config, &[("nosy.luau", NOSY)]);
    for format in ["human", "json"] {
        let args = ["--log", "trace", "--log-format", format, "run"];
        let mut host = Process::start(dir.path(), &args, &[("ARGON_TOKEN", token)]);
        host.line("live").await;
        let world = World::at(base).await;
        let mut events = world.events().await;
        let lounge = world.channel("Lounge");
        world.write(0, "general", &format!("look {lounge}")).await;
        assert_eq!(events.bot_message().await["text"], "looked everywhere");
        // The platform goes away: errors of every kind of connection.
        host.signal("TERM");
        host.ended().await;
        let output = host.output();
        assert!(output.len() > 10_000, "trace level is on");
        // Tokens of voice connections are JSON web tokens (RFC 7519), which begin so.
        let voice_token = output.find("eyJ").map(|at| &output[at - 40..at + 8]);
        assert_eq!(voice_token, None, "in the {format} log");
        assert!(
            !output.contains(&secret),
            "the token is in the {format} log"
        );
        assert!(
            !output.contains(&token[..32]),
            "half of the token is in the {format} log"
        );
    }
    let requests = World::at(base)
        .await
        .get("requests?after=0")
        .await
        .to_string();
    assert!(
        !requests.contains(&secret),
        "the token is in the request log"
    );
}

#[tokio::test]
async fn no_token_is_in_errors_about_the_config_or_the_connection() {
    let token = "0123456789abcdef0123456789abcdef:c2VjcmV0LXNlY3JldA";
    let secret = "c2VjcmV0";
    let broken = [
        // A wrong type, an unknown key beside it, a syntax error on the token's line.
        "[bot]\ntoken = [\"TOKEN\"]\n",
        "[bot]\ntoken = \"TOKEN\"\ntokn = \"TOKEN\"\n[server]\nurl = \"http://127.0.0.1:1\"\n",
        "[bot]\ntoken = \"TOKEN\" oops\n",
        "[bot]\ntoken = \"TOKEN\n",
        "[server]\nurl = \"https://TOKEN@\"\n",
    ];
    for config in broken {
        let dir = bot(&config.replace("TOKEN", token), &[("empty.luau", "")]);
        for command in ["run", "check"] {
            let mut host = Process::start(dir.path(), &["--log", "trace", command], &[]);
            assert_ne!(host.ended().await.code(), Some(0), "{config}");
            assert!(!host.output().is_empty());
            assert!(
                !host.output().contains(secret),
                "{command}:\n{}",
                host.output()
            );
        }
    }

    // Nobody listens there: the host goes on trying, and says so.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let config = format!("[bot]\ntoken = \"{token}\"\n[server]\nurl = \"http://{address}\"\n");
    let dir = bot(&config, &[("empty.luau", "")]);
    let mut host = Process::start(dir.path(), &["--log", "trace", "run"], &[]);
    host.line("trying again").await;
    host.signal("TERM");
    assert_eq!(host.ended().await.code(), Some(0));
    assert!(!host.output().contains(secret));
}

#[tokio::test]
async fn a_panic_prints_no_token() {
    // A panic prints values through Debug; the type that holds the token has none that shows it.
    let secret = argon_host::config::Secret::new("0123456789abcdef0123456789abcdef:c2VjcmV0");
    let caught = std::panic::catch_unwind(|| panic!("on purpose: {secret:?} {secret}"));
    let message = caught.expect_err("a panic");
    let message = message.downcast_ref::<String>().expect("a text");
    assert!(
        message.contains("[redacted]") && !message.contains("c2VjcmV0"),
        "{message}"
    );
}
