//! Bringing commands in line when calls fail.

use argon_host::script::CommandSpec;
use argon_host::script::commands::sync;
use serde_json::json;

use crate::server::{Reply, Request, Server, error, ok};

const OLD: &str = r#"{"commands":[{"commandId":"c1","name":"roll","description":"as it was"}]}"#;

fn command(name: &str) -> CommandSpec {
    let definition = json!({ "name": name, "description": "as it is" });
    CommandSpec {
        script: "dice".into(),
        name: name.into(),
        space_id: None,
        definition: definition.as_object().expect("an object").clone(),
    }
}

/// A server that has `/roll` in an old version.
async fn with(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |_, request| match request.path() {
        "/ICommands/v1/List" => ok(OLD),
        _ => answer(request),
    })
    .await
}

#[tokio::test]
async fn a_command_whose_change_fails_is_still_the_bots() {
    for (status, is_worth_another) in [(503, true), (500, false), (400, false)] {
        let server = with(move |_| error(status, "no")).await;
        let client = crate::client(&server.base);
        let synced = sync(&client, &[command("roll")], |_| {})
            .await
            .expect("a list");
        let ids: Vec<_> = synced.commands.iter().map(|known| &*known.id).collect();
        assert_eq!(ids, ["c1"], "{status}");
        assert_eq!(synced.failed.len(), 1);
        assert_eq!(synced.is_worth_another(), is_worth_another, "{status}");
        assert!(!synced.is_unsure);
    }
}

#[tokio::test]
async fn a_registration_without_an_answer_leaves_it_open_whose_command_is_whose() {
    for (status, is_unsure) in [(0, true), (502, true), (500, false)] {
        let server = with(move |request| match request.path() {
            "/ICommands/v1/Register" if status == 0 => Reply::Close,
            "/ICommands/v1/Register" => error(status, "no"),
            _ => ok("{}"),
        })
        .await;
        let client = crate::client(&server.base);
        let wanted = [command("roll"), command("flip")];
        let synced = sync(&client, &wanted, |_| {}).await.expect("a list");
        let names: Vec<_> = synced
            .commands
            .iter()
            .map(|known| &*known.key.name)
            .collect();
        assert_eq!(names, ["roll"], "{status}");
        assert_eq!(synced.is_unsure, is_unsure, "{status}");
        assert_eq!(synced.is_worth_another(), is_unsure, "{status}");
    }
}
