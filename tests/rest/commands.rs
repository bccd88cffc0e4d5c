//! Bringing commands in line when calls fail.

use argon_host::script::CommandSpec;
use argon_host::script::commands::{Again, sync};
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
    for (status, again) in [(503, Again::Soon), (500, Again::Later), (400, Again::Never)] {
        let server = with(move |_| error(status, "no")).await;
        let client = crate::client(&server.base);
        let synced = sync(&client, &[command("roll")], true, |_| {})
            .await
            .expect("a list");
        let ids: Vec<_> = synced.commands.iter().map(|known| &*known.id).collect();
        assert_eq!(ids, ["c1"], "{status}");
        assert_eq!(synced.failed.len(), 1);
        assert_eq!(synced.again(), again, "{status}");
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
        let synced = sync(&client, &wanted, true, |_| {}).await.expect("a list");
        let names: Vec<_> = synced
            .commands
            .iter()
            .map(|known| &*known.key.name)
            .collect();
        assert_eq!(names, ["roll"], "{status}");
        assert_eq!(synced.is_unsure, is_unsure, "{status}");
        let again = if is_unsure { Again::Soon } else { Again::Later };
        assert_eq!(synced.again(), again, "{status}");
    }
}

#[tokio::test]
async fn nothing_is_deleted_while_not_every_command_is_known() {
    let server = with(|_| ok(r#"{"commandId":"c2"}"#)).await;
    let client = crate::client(&server.base);
    let synced = sync(&client, &[command("flip")], false, |_| {}).await;
    let synced = synced.expect("a list");
    assert_eq!(
        (synced.left_out, synced.changes),
        (vec!["/roll".to_owned()], 1)
    );
    let paths: Vec<_> = server
        .seen()
        .iter()
        .map(|one| one.path().to_owned())
        .collect();
    assert_eq!(paths, ["/ICommands/v1/List", "/ICommands/v1/Register"]);
}
