//! Commands, buttons, selects and forms, from the click to what the bot made of it.

use serde_json::json;

use crate::page::Page;
use crate::support::{World, embedded_bot, run_embedded};

pub const DICE: &str = include_str!("../../scripts/dice.luau");

/// Shows every control, and says what came of it.
const SHOWCASE: &str = r#"
local moderator

argon.command({
    name = "show", description = "Every control",
    options = {
        { name = "title", type = "string", description = "Text", required = true },
        { name = "count", type = "integer", description = "Whole", required = false },
        { name = "factor", type = "number", description = "Any", required = false },
        { name = "loud", type = "boolean", description = "Yes or no", required = false },
        { name = "who", type = "user", description = "Somebody", required = false },
        { name = "where", type = "channel", description = "Somewhere", required = false },
        { name = "role", type = "role", description = "Some role", required = false },
        { name = "size", type = "string", description = "One of these", required = false,
          choices = { { name = "Small", value = "s" }, { name = "Large", value = "l" } } },
    },
    run = function(interaction, options)
        local said = {}
        for _, name in { "title", "count", "factor", "loud", "who", "where", "role", "size" } do
            if options[name] ~= nil then table.insert(said, `{name}={options[name]}`) end
        end
        local button = function(id, label, more)
            local made = { type = "button", variant = "callback", id = id, label = label }
            for key, value in more or {} do made[key] = value end
            return made
        end
        local moderator
        for _, archetype in argon.archetypes.list({ spaceId = interaction.spaceId }).archetypes do
            if archetype.name == "moderator" then moderator = archetype.archetypeId end
        end
        interaction:reply({ text = table.concat(said, " "), controls = {
            { controls = {
                button("ack", "Acknowledge", { colour = { l = 0.55, c = 0.2, h = 29 } }),
                button("defer", "Defer", { colour = { l = 0.78, c = 0.15, h = 95 } }),
                button("nothing", "Say nothing"),
                button("mods", "For moderators", { requiredArchetypeId = moderator }),
                { type = "button", variant = "link", url = "https://example.com/", label = "A link" },
            } },
            { controls = { { type = "stringSelect", customId = "string", placeholder = "One string", options = {
                { label = "Tea", value = "tea", description = "Hot" }, { label = "Milk", value = "milk" } } } } },
            { controls = { { type = "userSelect", customId = "user", placeholder = "Two people", minValues = 2, maxValues = 2 } } },
            { controls = { { type = "archetypeSelect", customId = "archetype", placeholder = "A role" } } },
            { controls = { { type = "channelSelect", customId = "channel", placeholder = "A channel", requiredArchetypeId = moderator } } },
        } })
    end,
})
argon.onControl("ack", function(interaction) interaction:ack() end)
argon.onControl("defer", function(interaction) interaction:defer() end)
argon.onControl("mods", function(interaction) interaction:reply("a moderator clicked") end)
for _, id in { "string", "user", "archetype", "channel" } do
    argon.onSelect(id, function(interaction)
        interaction:reply(`{id}: {#interaction.values} chosen, {interaction.values[1]}`)
    end)
end

argon.command({ name = "form", description = "A form", run = function(interaction)
    interaction:modal({ customId = "form", title = "All fields", components = {
        { type = "textInput", customId = "short", label = "Short", style = "short", required = true, minLength = 3 },
        { type = "stringSelect", customId = "pick", label = "Pick", required = true, options = {
            { label = "One", value = "1" }, { label = "Two", value = "2" } } },
        { type = "userSelect", customId = "person", label = "Person", required = true },
        { type = "channelSelect", customId = "place", label = "Place", required = false },
        { type = "checkbox", customId = "agree", label = "Agree", required = true },
    } })
end })
argon.onModal("form", function(interaction)
    local values = interaction.values
    interaction:reply(`form: {values.short} {values.pick[1]} {#values.person} {values.agree}`)
end)
"#;

async fn showcase() -> (tempfile::TempDir, crate::support::Process, World, Page) {
    let dir = embedded_bot(&[("showcase.luau", SHOWCASE)], "");
    let (host, world) = run_embedded(dir.path(), &[]).await;
    let page = Page::open(&world.base).await;
    (dir, host, world, page)
}

#[tokio::test]
async fn a_command_is_run_with_options_of_every_type() {
    let (_dir, _host, world, page) = showcase().await;
    page.run("show", "Hello").await;
    page.reads("#command-form header", "/show").await;
    let field = |name: &str| {
        format!(
            "#command-form label:nth-child({})",
            match name {
                "title" => 1,
                "count" => 2,
                "factor" => 3,
                "loud" => 4,
                "who" => 5,
                "where" => 6,
                "role" => 7,
                _ => 8,
            }
        )
    };
    for (name, value) in [("count", "3"), ("factor", "0.5")] {
        let input = format!("document.querySelector('{} input')", field(name));
        page.js(&format!("{input}.focus()")).await;
        page.types(value).await;
    }
    for (name, option) in [
        ("loud", "Yes"),
        ("who", "Boris (@boris)"),
        ("where", "# random"),
        ("role", "moderator"),
        ("size", "Large"),
    ] {
        page.choose(&format!("{} select", field(name)), option)
            .await;
    }
    page.click("#command-form button", "Run /show").await;
    let said = format!(
        "title=Hello count=3 factor=0.5 loud=true who={} where={} role=",
        world.person(1),
        world.channel("random")
    );
    page.reads(".message .text", &said).await;
    page.reads(".message .text", " size=l").await;
    page.reads(".interaction.answered", "demo answered after")
        .await;
    page.done();
}

#[tokio::test]
async fn buttons_tell_how_their_interaction_goes() {
    let (_dir, _host, world, page) = showcase().await;
    page.run("show", "x").await;
    page.click("#command-form button", "Run /show").await;
    page.click(".control", "Acknowledge").await;
    page.reads(".interaction.acked", "demo acknowledged it after")
        .await;
    page.click(".control", "Defer").await;
    page.reads(".interaction.deferred", "is working on it")
        .await;
    page.click(".control", "Say nothing").await;
    page.until(
        "the button waits",
        "[...document.querySelectorAll('.control[aria-busy=true]')].some((each) => each.textContent === 'Say nothing')",
    )
    .await;
    // Nobody waits a minute here.
    page.click("[role=tab]", "Faults").await;
    page.click("#time-steps button", "1 min").await;
    page.reads(
        ".interaction.expired",
        "“Say nothing”: demo did not answer in time",
    )
    .await;
    page.reads(".interaction.expired", "“Defer”").await;

    // Ada is a moderator, Boris is not.
    page.click(".control", "For moderators").await;
    page.reads(".message .text", "a moderator clicked").await;
    page.choose("#me", "Boris").await;
    page.until(
        "the button is closed to Boris, and says why",
        "[...document.querySelectorAll('button.control:disabled')].some((each) => each.textContent === 'For moderators' && each.title === 'Only for moderator')",
    )
    .await;
    page.until(
        "so is the select",
        "document.querySelector('[data-key=\"s:channel\"]').disabled",
    )
    .await;
    // Colours are those of the bot in both schemes, and their text can be read.
    let fill = "getComputedStyle([...document.querySelectorAll('.control')].find((each) => each.textContent === 'Defer')).backgroundColor";
    assert_eq!(page.js(fill).await, json!("oklch(0.78 0.15 95)"));
    assert_eq!(
        page.js("document.querySelector('a.control').href").await,
        json!("https://example.com/")
    );
    drop(world);
    page.done();
}

#[tokio::test]
async fn every_select_reaches_the_bot() {
    let (_dir, _host, world, page) = showcase().await;
    page.run("show", "x").await;
    page.click("#command-form button", "Run /show").await;
    page.sees(".control", "One string").await;
    page.choose("[data-key='s:string']", "Milk").await;
    page.reads(".message .text", "string: 1 chosen, milk").await;
    page.choose("[data-key='s:archetype']", "moderator").await;
    page.reads(".message .text", "archetype: 1 chosen").await;
    page.choose("[data-key='s:channel']", "# random").await;
    let chosen = format!("channel: 1 chosen, {}", world.channel("random"));
    page.reads(".message .text", &chosen).await;

    page.click(".control", "Two people").await;
    page.reads(".popup .hint", "Choose 2.").await;
    let first = "document.querySelectorAll('.popup input[type=checkbox]')";
    page.click_at(&format!("{first}[0]")).await;
    page.click_at(&format!("{first}[1]")).await;
    page.reads(".popup .hint", "2 of at most 2").await;
    page.until(
        "no third one",
        "document.querySelector('.popup input:disabled')",
    )
    .await;
    page.click(".popup button", "Apply").await;
    page.reads(
        ".message .text",
        &format!("user: 2 chosen, {}", world.person(0)),
    )
    .await;
    page.done();
}

#[tokio::test]
async fn a_form_says_what_is_missing_and_reaches_the_bot() {
    let (_dir, _host, _world, page) = showcase().await;
    page.run("form", "").await;
    page.reads("dialog h2", "All fields").await;
    page.until(
        "the first field has the focus",
        "document.querySelector('dialog input:focus')",
    )
    .await;
    page.types("no").await;
    page.click("dialog button", "Submit").await;
    page.reads("dialog .error", "At least 3 characters.").await;
    page.reads("dialog .error", "Please tick this.").await;
    page.types("pe").await;
    page.choose("dialog .field:nth-child(2) select", "Two")
        .await;
    page.choose("dialog .field:nth-child(3) select", "Chidi (@chidi)")
        .await;
    page.click_at("document.querySelector('dialog input[type=checkbox]')")
        .await;
    page.click("dialog button", "Submit").await;
    page.reads(".message .text", "form: nope 2 1 true").await;
    page.until(
        "the dialog is gone",
        "!document.querySelector('dialog').open",
    )
    .await;
    page.done();
}
