//! `argon.kv`: what scripts store.

use crate::support::{Bot, message};

#[tokio::test(flavor = "multi_thread")]
async fn values_are_stored_listed_updated_and_removed() {
    let bot = Bot::start(&[(
        "kv_keeper.luau",
        r#"local kv = argon.kv
        kv.set("a", { list = { 1, 2 }, text = "ü", yes = true })
        kv.set("user:2", "two")
        kv.set("user:1", "one")
        local a = kv.get("a")
        print(#a.list, a.text, a.yes, kv.get("none"))
        for _, entry in kv.list("user:") do print(entry.key, entry.value) end
        print(kv.list("user:", { limit = 1, after = "user:1" })[1].key, #kv.list("x"))
        print(kv.update("n", function(n) return (n or 0) + 1 end), kv.update("n", function(n) return n + 1 end))
        kv.update("n", function() return nil end)
        kv.delete("a")
        kv.set("user:1", nil)
        print(kv.get("n"), kv.get("a"), kv.get("user:1"))
        kv.set("brief", 1, { ttl = 0.02 })
        task.wait(0.05)
        print(kv.get("brief"), #kv.list())"#,
    )])
    .await;
    let said = [
        "2\tü\ttrue\tnil",
        "user:1\tone",
        "user:2\ttwo",
        "user:2\t0",
        "1\t2",
        "nil\tnil\tnil",
        "nil\t1",
    ];
    bot.said("kv_keeper", &said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_are_apart_and_shared_ones_are_shared() {
    let script = r#"argon.on("messageCreate", function()
        argon.kv.set("mine", script.name)
        for _ = 1, 50 do
            argon.kv.shared("all").update("n", function(n) task.wait() return (n or 0) + 1 end)
        end
        print(argon.kv.get("mine"), argon.kv.shared("all").get("n") >= 50)
    end)
    argon.on("memberJoin", function() print(argon.kv.shared("all").get("n")) end)"#;
    let bot = Bot::start(&[("kv_one.luau", script), ("kv_two.luau", script)]).await;
    bot.event("messageCreate", message("go")).await;
    bot.log.wait("kv_one", 1).await;
    bot.log.wait("kv_two", 1).await;
    let join = serde_json::json!({"spaceId": "s", "user": {"userId": "u"}});
    bot.event("memberJoin", join).await;
    bot.said("kv_one", &["kv_one\ttrue", "100"]).await;
    bot.said("kv_two", &["kv_two\ttrue", "100"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_raised_where_they_are_made() {
    let bot = Bot::start(&[(
        "kv_wrong.luau",
        r#"local function try(f) print((select(2, pcall(f)))) end
        try(function() argon.kv.set("", 1) end)
        try(function() argon.kv.get(7) end)
        try(function() argon.kv.set("k", { f = print }) end)
        try(function() argon.kv.set("k", 1, { tll = 2 }) end)
        try(function() argon.kv.update("k", 3) end)
        try(function() argon.kv.update("k", function() error("mine") end) end)
        try(function() argon.kv.set("k", string.rep("x", 2000000)) end)
        try(function() argon.kv.list("", { limit = 0 }) end)"#,
    )])
    .await;
    bot.log.wait("kv_wrong", 8).await;
    let said = bot.log.of("kv_wrong");
    for (line, (said, expected)) in said
        .iter()
        .zip([
            "a key is text of 1 to 512 bytes, and it is empty",
            "the key must be a string, got number",
            "argon.kv.set: f",
            "did you mean ttl?",
            "must be a function, got number",
            "mine",
            "the value has 2000002 bytes as JSON",
            "limit must be a whole number from 1 to 1000",
        ])
        .enumerate()
    {
        assert!(said.contains(expected), "{said:?}");
        let place = format!("kv_wrong.luau:{}:", line + 2);
        assert!(said.starts_with(&place), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_has_all_that_was_asked_for_or_says_that_it_is_too_large() {
    let bot = Bot::start(&[(
        "kv_large.luau",
        r#"local kv = argon.kv
        for n = 1, 9 do kv.set(`k{n}`, string.rep("x", 1000000)) end
        local _, failure = pcall(kv.list, "k")
        print(failure.code, failure.message)
        print(#kv.list("k", { limit = 8 }), #kv.list("k9"))
        local keys, after = {}, nil
        repeat
            local page = kv.list("k", { limit = 4, after = after })
            for _, entry in page do
                after = entry.key
                table.insert(keys, after)
            end
        until #page < 4
        print(table.concat(keys, " "))"#,
    )])
    .await;
    let said = [
        "response_too_large\tthe first 8 of the entries have 8 MiB already, as many as one answer may: ask \
         for fewer with `limit`",
        "8\t1",
        "k1 k2 k3 k4 k5 k6 k7 k8 k9",
    ];
    bot.said("kv_large", &said).await;
}
