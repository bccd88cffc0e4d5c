//! Calls that end by the bot's side: the caller is not left in them.

use serde_json::json;

use crate::stage::Stage;
use crate::support::PATIENCE;

/// Somebody calls; the call's id.
async fn ring(stage: &Stage) -> String {
    let caller = stage.world.person(0);
    let body = json!({ "userId": caller, "locale": "en-GB" });
    let call = stage.world.act("call", body).await;
    call["callId"].as_str().expect("an id").to_owned()
}

async fn state(stage: &Stage, call: &str) -> String {
    let calls = stage.world.get("calls").await;
    let mut calls = calls["calls"].as_array().expect("calls").iter();
    let call = calls.find(|one| one["callId"] == call).expect("the call");
    call["state"].as_str().expect("a state").to_owned()
}

async fn is_over(stage: &Stage, call: &str) {
    let over = async {
        while state(stage, call).await != "ended" {
            tokio::task::yield_now().await;
        }
    };
    let over = tokio::time::timeout(PATIENCE, over).await;
    over.unwrap_or_else(|_| panic!("the call goes on:\n{}", stage.process.output()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_accepted_and_cannot_be_connected_is_hung_up() {
    let script = "argon.on('callIncoming', function(event)
            local ok, e = pcall(argon.calls.answer, event)
            print('answered', ok, not ok and e.code)
        end)";
    let mut stage = Stage::with(&[("call.luau", script)]).await;
    let fault = json!({ "kind": "voiceRefuse", "status": 401, "count": 3 });
    stage.world.act("fault", fault).await;
    let call = ring(&stage).await;
    let answered = stage.process.line("answered").await;
    assert!(
        answered.contains("false") && answered.contains("voice_server"),
        "{answered}"
    );
    assert_eq!(state(&stage, &call).await, "ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_is_deleted_in_a_call_hangs_up() {
    let script = "argon.on('callIncoming', function(event)
            argon.calls.answer(event)
            print('answered')
        end)";
    let mut stage = Stage::with(&[("call.luau", script)]).await;
    let call = ring(&stage).await;
    stage.process.line("answered").await;
    assert_eq!(state(&stage, &call).await, "accepted");
    std::fs::remove_file(stage.dir().join("scripts/call.luau")).expect("the script");
    is_over(&stage, &call).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_is_deleted_while_it_answers_hangs_up() {
    let script = "argon.on('callIncoming', function(event)
            print('answering')
            argon.calls.answer(event)
        end)";
    let mut stage = Stage::with(&[("call.luau", script)]).await;
    let fault = json!({ "kind": "delay", "interface": "ICalls", "seconds": 3 });
    stage.world.act("fault", fault).await;
    let call = ring(&stage).await;
    stage.process.line("answering").await;
    std::fs::remove_file(stage.dir().join("scripts/call.luau")).expect("the script");
    stage.process.line("its file is gone").await;
    assert_eq!(state(&stage, &call).await, "ringing");
    is_over(&stage, &call).await;
    // At once, not when a script that is away would have been given up.
    let output = stage.process.output();
    assert!(!output.contains("has not run"), "{output}");
}
