//! What is refused, in which words, and what is sent for what was given.

use serde_json::{Value, json};

use super::params;
use crate::contract::{ROUTES, Type, route};

fn check(label: &str, given: Value) -> Result<Value, String> {
    let (interface, name) = label.split_once('/').expect("a label");
    let route = route(interface, name).expect("the contract has it");
    let Value::Object(given) = given else {
        panic!("parameters are an object")
    };
    let placed = params(route, given)?;
    let mut all = placed.body.unwrap_or_default();
    for (name, value) in placed.query {
        all.insert(name.to_owned(), Value::from(value));
    }
    Ok(Value::Object(all))
}

/// The body of a valid message with these controls.
fn with_controls(controls: Value) -> Result<Value, String> {
    check(
        "IMessages/Send",
        json!({"channelId": "c", "text": "hello", "controls": controls}),
    )
}

fn with_modal(components: Value) -> Result<Value, String> {
    let modal = json!({"customId": "m", "title": "T", "components": components});
    check(
        "IInteractions/Modal",
        json!({"interactionId": "i", "modal": modal}),
    )
}

#[track_caller]
fn refused(result: Result<Value, String>, parts: &[&str]) {
    let problems = result.expect_err("must be refused");
    for part in parts {
        assert!(problems.contains(part), "{part:?} is not in {problems:?}");
    }
}

#[test]
fn unknown_and_missing_parameters_are_named_with_a_suggestion() {
    refused(
        check("IMessages/Send", json!({"chanelId": "c", "text": "x"})),
        &[
            "chanelId: is not known here; did you mean channelId?",
            "channelId: is missing; it is an id (text)",
        ],
    );
    refused(
        check("IBotSelf/GetMe", json!({"x": 1})),
        &["x: is not known here; nothing is taken"],
    );
}

#[test]
fn every_route_refuses_an_unknown_parameter_and_names_each_missing_one() {
    for route in ROUTES {
        let label = route.label();
        refused(
            check(&label, json!({"qqqq": 1})),
            &["qqqq: is not known here"],
        );
        for field in route.params().filter(|field| !field.optional) {
            refused(
                check(&label, json!({"qqqq": 1})),
                &[&format!("{}: is missing", field.name)],
            );
        }
    }
}

#[test]
fn wrong_types_say_what_is_wanted() {
    refused(
        check(
            "IMessages/History",
            json!({"channelId": 5, "limit": "ten", "from": "12a"}),
        ),
        &[
            "channelId: is a number; it must be an id (text)",
            "limit: is text; it must be an integer",
            "from: \"12a\" is not a 64-bit integer",
        ],
    );
    refused(
        check("IMessages/History", json!({"channelId": " ", "limit": 1.5})),
        &["channelId: is empty", "limit: 1.5 is not an integer"],
    );
    refused(
        check("IMessages/History", json!({"channelId": "c", "limit": 101})),
        &["limit: is 101; 1 to 100 is allowed"],
    );
}

#[test]
fn integral_floats_are_integers_and_inexact_ids_are_refused() {
    let sent = check(
        "IMessages/History",
        json!({"channelId": "c", "limit": 7.0, "from": 9_007_199_254_740_993_i64}),
    );
    assert_eq!(
        sent,
        Ok(json!({"channelId": "c", "limit": "7", "from": "9007199254740993"}))
    );
    refused(
        check("IMessages/History", json!({"channelId": "c", "from": 1e17})),
        &["from: 1e+17 is too large to be an exact number; pass it as text"],
    );
    refused(
        check(
            "IMessages/History",
            json!({"channelId": "c", "from": u64::MAX}),
        ),
        &["is not between"],
    );
}

#[test]
fn enums_go_out_as_integers_and_choices_as_lower_case_words() {
    for name in [json!("VOICE"), json!("voice"), json!(1), json!(1.0)] {
        let sent = check(
            "IChannels/Create",
            json!({"spaceId": "s", "name": "n", "channelType": name}),
        );
        assert_eq!(sent.expect("valid")["channelType"], json!(1));
    }
    refused(
        check(
            "IChannels/Create",
            json!({"spaceId": "s", "name": "n", "channelType": "voise"}),
        ),
        &["channelType: \"voise\" is not known; did you mean \"voice\"?"],
    );
    refused(
        check(
            "IChannels/Create",
            json!({"spaceId": "s", "name": "n", "channelType": 9}),
        ),
        &["channelType: 9 is not one of text, voice, announcement"],
    );
    let sent = check(
        "ITyping/Start",
        json!({"channelId": "c", "kind": "THINKING"}),
    );
    assert_eq!(sent.expect("valid")["kind"], json!("thinking"));
}

#[test]
fn flags_are_taken_as_mask_names_list_or_set() {
    for intents in [
        json!(65),
        json!("messages, commands"),
        json!(["messages", "COMMANDS"]),
        json!({"messages": true, "commands": true, "typing": false}),
    ] {
        let sent = check("IEvents/Stream", json!({"intents": intents}));
        assert_eq!(sent, Ok(json!({"intents": "65"})));
    }
    refused(
        check("IEvents/Stream", json!({"intents": ["mesages"]})),
        &["did you mean \"messages\"?"],
    );
}

#[test]
fn nulls_are_left_out_and_required_nulls_are_missing() {
    let sent = check(
        "IMessages/Send",
        json!({"channelId": "c", "text": "x", "replyTo": null, "controls": null, "randomId": "5"}),
    );
    assert_eq!(
        sent,
        Ok(json!({"channelId": "c", "text": "x", "randomId": 5}))
    );
    refused(
        check("IMessages/Send", json!({"channelId": "c", "text": null})),
        &["text: is missing"],
    );
}

#[test]
fn a_zero_random_id_is_refused() {
    refused(
        check(
            "IMessages/Send",
            json!({"channelId": "c", "text": "x", "randomId": 0}),
        ),
        &["randomId: 0 means none"],
    );
}

#[test]
fn entities_get_their_version_and_must_lie_in_the_text() {
    let send = |entities: Value| {
        check(
            "IMessages/Send",
            // Four code units in two characters and two letters: 😀 counts twice.
            json!({"channelId": "c", "text": "😀ab", "entities": entities}),
        )
    };
    let sent = send(json!([{"type": "bold", "offset": 0, "length": 4}])).expect("valid");
    assert_eq!(
        sent["entities"],
        json!([{"type": 10, "offset": 0, "length": 4, "version": 1}])
    );
    refused(
        send(json!([{"type": "bold", "offset": 1, "length": 4}])),
        &["entities[1]: ends at 5 but the text has 4 UTF-16 code units"],
    );
    refused(
        send(json!([{"type": "mention", "offset": 0, "length": 1}])),
        &["entities[1].userId: is missing"],
    );
    refused(
        send(json!([{"type": "bold", "offset": 0, "length": 1, "userId": "u"}])),
        &["entities[1].userId: does not belong to bold"],
    );
    // What history sends can be sent on.
    let history = json!([{"type": 1, "offset": 0, "length": 1, "userId": "u", "email": null,
        "version": 1, "unionKey": "x", "unionIndex": 3}]);
    let sent = send(history).expect("valid");
    assert_eq!(
        sent["entities"],
        json!([{"type": 1, "offset": 0, "length": 1, "userId": "u", "version": 1}])
    );
}

#[test]
fn a_problem_deep_inside_has_its_path() {
    let button = |label: &str| json!({"type": "button", "id": label, "label": label});
    refused(
        with_controls(json!([
            {"controls": [button("a")]},
            {"controls": [{"type": "button", "id": "b", "label": "x".repeat(81)}]},
        ])),
        &[
            "controls[2].controls[1].label: has 81 characters (UTF-16 code units); 1 to 80 are allowed",
        ],
    );
}

#[test]
fn buttons_need_what_their_variant_needs() {
    let row = |button: Value| with_controls(json!([{"controls": [button]}]));
    let sent = row(json!({"type": "button", "label": "L", "id": "a"})).expect("valid");
    assert_eq!(
        sent["controls"][0]["controls"][0],
        json!({"type": 0, "variant": 0, "label": "L", "id": "a"})
    );
    let sent = row(json!({"type": "button", "label": "L", "url": "https://a.b/c"}));
    assert_eq!(
        sent.expect("valid")["controls"][0]["controls"][0]["variant"],
        json!(1)
    );
    refused(
        row(json!({"type": "button", "label": "L", "variant": "callback"})),
        &["controls[1].controls[1].id: is missing; a callback button needs it"],
    );
    refused(
        row(json!({"type": "button", "label": "L", "variant": "link", "url": "ftp://a"})),
        &["url: is not an http or https address"],
    );
    refused(
        row(json!({"type": "button", "label": " ", "id": "a", "customId": "b"})),
        &["label: is blank", "customId: does not belong to a button"],
    );
    refused(
        row(
            json!({"type": "button", "label": "L", "id": "a", "colour": {"l": 0.9, "c": 0.1, "h": 360}}),
        ),
        &[
            "colour.l: is 0.9; 0.4 to 0.8 is allowed",
            "colour.h: is 360; at least 0 and less than 360",
        ],
    );
}

#[test]
fn selects_need_an_id_and_only_string_selects_have_options() {
    let row = |select: Value| with_controls(json!([{"controls": [select]}]));
    let option = |value: &str| json!({"label": value, "value": value});
    assert!(
        row(
            json!({"type": "stringSelect", "customId": "s", "options": [option("a"), option("b")]})
        )
        .is_ok()
    );
    refused(
        row(
            json!({"type": "stringSelect", "customId": "s", "options": [option("a"), option("a")]}),
        ),
        &["options[2].value: \"a\" is used twice"],
    );
    refused(
        row(json!({"type": "stringSelect"})),
        &["customId: is missing", "options: is missing"],
    );
    refused(
        row(
            json!({"type": "userSelect", "customId": "s", "options": [option("a")], "minValues": 3, "maxValues": 2}),
        ),
        &[
            "options: does not belong to a userSelect",
            "minValues: is 3, more than maxValues (2)",
        ],
    );
}

#[test]
fn rows_are_bounded_not_mixed_and_identifiers_unique() {
    let button = |id: String| json!({"type": "button", "label": "L", "id": id});
    let row = |from: usize, count: usize| {
        let buttons: Vec<Value> = (from..from + count)
            .map(|at| button(format!("b{at}")))
            .collect();
        json!({"controls": buttons})
    };
    let full: Vec<Value> = (0..5).map(|at| row(at * 5, 5)).collect();
    assert!(with_controls(json!(full)).is_ok());
    refused(
        with_controls(json!([row(0, 6)])),
        &["controls[1].controls: has 6 elements; 1 to 5 are allowed"],
    );
    let many: Vec<Value> = (0..6).map(|at| row(at, 1)).collect();
    refused(
        with_controls(json!(many)),
        &["controls: has 6 elements; 0 to 5"],
    );
    refused(
        with_controls(json!([row(0, 1), row(0, 1)])),
        &["controls[2].controls[1].id: \"b0\" is used twice"],
    );
    let select = json!({"type": "userSelect", "customId": "s"});
    refused(
        with_controls(json!([{"controls": [button("a".to_owned()), select]}])),
        &["controls[1].controls: a row holds either buttons or exactly one select"],
    );
}

#[test]
fn modals_keep_the_rules_whose_breach_would_consume_the_interaction() {
    let sent = with_modal(json!([{"type": "textInput", "customId": "a", "label": "A"}]));
    assert_eq!(
        sent.expect("valid")["modal"]["components"][0],
        json!({"type": 0, "customId": "a", "label": "A", "style": 0})
    );
    refused(
        with_modal(json!([])),
        &["modal.components: has 0 elements; 1 to 5"],
    );
    let text = |id: &str| json!({"type": "textInput", "customId": id, "label": "A"});
    refused(
        with_modal(json!([text("a"), text("a")])),
        &["modal.components[2].customId: \"a\" is used twice"],
    );
    refused(
        with_modal(json!([
            {"type": "textInput", "customId": "a", "label": "x".repeat(46), "minLength": 9,
             "maxLength": 3, "value": "four"},
            {"type": "checkbox", "customId": "b", "label": "B", "value": "x"},
            {"type": "stringSelect", "customId": "c", "label": "C"},
            {"type": "channelSelect", "customId": "d", "label": "D",
             "options": [{"label": "l", "value": "v"}]},
        ])),
        &[
            "modal.components[1].label: has 46 characters",
            "modal.components[1].minLength: is 9, more than maxLength (3)",
            "modal.components[1].value: has 4 characters, more than maxLength (3)",
            "modal.components[2].value: does not belong to a checkbox",
            "modal.components[3].options: is missing",
            "modal.components[4].options: does not belong to a channelSelect",
        ],
    );
}

#[test]
fn command_names_are_lowered_and_checked_and_choices_fit_their_option() {
    let register = |name: &str, options: Value| {
        check(
            "ICommands/Register",
            json!({"name": name, "description": "d", "options": options}),
        )
    };
    let sent = register(
        "Roll",
        json!([{"name": "sides", "description": "d", "type": "integer"}]),
    )
    .expect("valid");
    assert_eq!(sent["name"], "roll");
    assert_eq!(sent["options"][0]["type"], json!(1));
    refused(
        register(
            "ro ll",
            json!([
                {"name": "a", "description": "d", "type": "integer",
                 "choices": [{"name": "x", "value": "text"}]},
                {"name": "A", "type": "user",
                 "choices": [{"name": "x", "value": "y"}]},
            ]),
        ),
        &[
            "name: contains ' '",
            "options[1].choices[1].value: does not fit the option's type, integer",
            "options[2].name: \"A\" is used twice",
            "options[2].choices: does not belong to a user",
        ],
    );
    refused(
        register(&"x".repeat(33), json!(null)),
        &["name: has 33 characters"],
    );
}

#[test]
fn an_empty_table_is_an_empty_list_or_object() {
    let sent = check(
        "IMessages/Send",
        json!({"channelId": "c", "text": "x", "entities": {}}),
    );
    assert_eq!(sent.expect("valid")["entities"], json!([]));
    refused(
        check(
            "IReactions/BatchGet",
            json!({"channelId": "c", "messageIds": {}}),
        ),
        &["messageIds: has 0 elements; 1 to 50 are allowed"],
    );
}

#[test]
fn many_problems_are_counted_not_listed() {
    let entities: Vec<Value> = (0..50).map(|_| json!({"type": "bold"})).collect();
    refused(
        check(
            "IMessages/Send",
            json!({"channelId": "c", "text": "x", "entities": entities}),
        ),
        &["and 90 more problems"],
    );
}

#[test]
fn every_rule_hangs_on_a_shape_of_the_contract() {
    fn shapes(ty: &Type, out: &mut Vec<&'static str>) {
        match ty {
            Type::Object(shape) if !out.contains(&shape.name) => {
                out.push(shape.name);
                shape.fields.iter().for_each(|field| shapes(&field.ty, out));
            }
            Type::List(item) => shapes(item, out),
            _ => {}
        }
    }
    let mut known = Vec::new();
    for body in ROUTES.iter().filter_map(|route| route.body) {
        known.push(body.name);
        body.fields
            .iter()
            .for_each(|field| shapes(&field.ty, &mut known));
    }
    for (name, _) in super::RULES {
        assert!(known.contains(name), "{name}");
    }
}
