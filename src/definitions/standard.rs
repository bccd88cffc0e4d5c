//! What the reference says of the modules of `@std`. Their types are in the modules themselves.

/// A module for people.
#[derive(Debug)]
pub struct StdDoc {
    /// Its name behind `@std/`.
    pub name: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// What it has: name with arguments, and one or two sentences.
    pub members: &'static [(&'static str, &'static str)],
    /// A script that uses it.
    pub example: &'static str,
}

/// Every module, in the order of [`crate::modules::STD`].
pub static STD_DOCS: &[StdDoc] = &[
    StdDoc {
        name: "message",
        doc: "Texts with formatting, buttons, selects and forms. What is built is a plain table that `event:reply`, `event:edit` (without formatting), `event:modal` and `argon.messages.send` take. Each piece is checked when it is added; the error names the field. The methods of a message return it, and where they take a text they also take a function that adds pieces, which nest.",
        members: &[
            ("message.new(text?)", "A new message."),
            (
                "message.markdown(source, names?)",
                "A message of `**bold** _italic_ ~~struck~~ ||spoiler|| [label](https://…) <@userId> <@&archetypeId>` and code in one or three backticks. A backslash takes a sign as it is; what nothing closes stays as it is. `names` are the names to show, by id.",
            ),
            (
                "m:add(text)`, `m:line(text?)",
                "Adds text; `line` ends its line.",
            ),
            (
                "m:bold(text)`, `m:italic(text)`, `m:strike(text)`, `m:spoiler(text)`, `m:code(text)",
                "Adds formatted text.",
            ),
            (
                "m:underline(text, 0xRRGGBB)",
                "Adds text that is underlined in a colour.",
            ),
            ("m:quote(userId, text)", "Quotes what a person said."),
            ("m:link(address, label?)", "Adds a link to a web address."),
            (
                "m:mention(user, name?)`, `m:mentionRole(archetypeId, name)`, `m:mentionEveryone()",
                "`user` is a user of an event, or an id.",
            ),
            (
                "m:markdown(source, names?)",
                "Adds text that is written as above.",
            ),
            ("m:row(control, …)", "Adds a row of buttons, or one select."),
            (
                "m:buttons(list)",
                "Adds buttons in as many rows as they need.",
            ),
            (
                "m:to(channelId, replyTo?)",
                "The parameters of `argon.messages.send`.",
            ),
            ("m:send(channelId, replyTo?)", "Sends it."),
            (
                "message.button{ id, label, colour?, disabled?, requiredArchetypeId? }",
                "A button for `argon.onControl`; with `url` in the place of `id` one that opens an address.",
            ),
            (
                "message.select{ customId, options, placeholder?, minValues?, maxValues? }",
                "A choice for `argon.onSelect`. An option is a text, or `{ label, value, description? }`. `userSelect`, `archetypeSelect` and `channelSelect` have no options.",
            ),
            (
                "message.colour(name)",
                "red, orange, yellow, lime, green, teal, cyan, blue, indigo, purple, magenta, pink, brown, grey, white or black, as the platform writes colours.",
            ),
            (
                "message.modal{ customId, title }",
                "A form. Its methods add components: `textInput`, `paragraph`, `select`, `userSelect`, `archetypeSelect`, `channelSelect`, `checkbox`, each with `{ customId, label, required?, … }`.",
            ),
        ],
        example: r#"local message = require("@std/message")

argon.command({
	name = "vote",
	description = "Ask for a vote",
	run = function(interaction)
		local ballot = message
			.markdown("**Pizza** or _pasta_, ||or both||?")
			:line()
			:add("asked by ")
			:mention(interaction.user)
			:row(
				message.button({ id = "vote:pizza", label = "Pizza", colour = "red" }),
				message.button({ id = "vote:pasta", label = "Pasta", colour = "yellow" })
			)
		interaction:reply(ballot)
	end,
})
"#,
    },
    StdDoc {
        name: "lru",
        doc: "A table of at most so many entries that forgets what was used least recently.",
        members: &[
            (
                "lru.new(capacity, { ttl }?)",
                "A new one. With `ttl`, an entry is forgotten so many seconds after its last `set`.",
            ),
            (
                "cache:get(key)",
                "The value, which counts as used; nil when there is none. `cache:peek(key)` does not use it.",
            ),
            ("cache:set(key, value)", "Keeps a value; nil deletes it."),
            (
                "cache:getOr(key, make)",
                "The value, made by `make(key)` when there is none.",
            ),
            ("cache:delete(key)`, `cache:clear()", "Forgets one, or all."),
            (
                "cache:count()`, `cache:keys()",
                "How many there are, and which, the most recently used first.",
            ),
        ],
        example: r#"local lru = require("@std/lru")

local names = lru.new(500, { ttl = 300 }) :: lru.Lru<string, string>

argon.on("voiceJoin", function(event)
	local name = names:getOr(event.user.userId, function()
		return event.user.displayName
	end)
	print(name .. " is here")
end)
"#,
    },
];
