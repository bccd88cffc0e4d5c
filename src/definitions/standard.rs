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
    StdDoc {
        name: "cooldown",
        doc: "How often something may be done, by each person or whatever the key is: a sliding window for each key. Keys that have cooled down are not kept. It lives in the memory of one version: a reload and a restart make every key ready. What must outlive them belongs in `argon.kv`, with a `ttl`.",
        members: &[
            (
                "cooldown.new(seconds, { uses }?)",
                "A new one: at most `uses` (1) in any `seconds`.",
            ),
            (
                "c:try(key)",
                "Uses the key if it is ready. Returns whether it was, and the seconds to wait.",
            ),
            (
                "c:left(key)",
                "The seconds until the key is ready, without using it.",
            ),
            ("c:reset(key)", "Makes the key ready."),
            ("c:count()", "How many keys are cooling down."),
        ],
        example: r#"local cooldown = require("@std/cooldown")

local calm = cooldown.new(30, { uses = 3 })

argon.on("messageCreate", function(event)
	if event.message.text == "!joke" then
		local ready, left = calm:try(event.message.sender.userId)
		event:reply(if ready then "Knock, knock." else `No more jokes for {math.ceil(left)} seconds.`)
	end
end)
"#,
    },
    StdDoc {
        name: "i18n",
        doc: "Texts in several languages. A text is looked up in the language asked for (`de-AT`), its base language (`de`), then the fallback; a key that is nowhere answers itself and is told in the log. `{name}` in a text is replaced. A text may be a table of forms for a number: `zero`, `one`, `other`, chosen by `count`.",
        members: &[
            (
                "i18n.new(languages, fallback)",
                "Texts by language and key.",
            ),
            ("i:t(language, key, values?)", "The text."),
            (
                "i:of(language)",
                "`t` for one language, a function of key and values.",
            ),
            ("i:has(language, key)", "Whether there is such a text."),
            (
                "i:languages()`, `i:missing(language)",
                "The languages, and the keys that one of them lacks.",
            ),
        ],
        example: r#"local i18n = require("@std/i18n")

local texts = i18n.new({
	en = { joined = "{name} is here.", people = { one = "One person.", other = "{count} people." } },
	de = { joined = "{name} ist da.", people = { one = "Eine Person.", other = "{count} Personen." } },
}, "en")
local t = texts:of(script.config.language)

argon.on("voiceJoin", function(event)
	print(t("joined", { name = event.user.displayName }))
	print(t("people", { count = 3 }))
end)
"#,
    },
    StdDoc {
        name: "commands",
        doc: "Commands that people write as messages, with typed arguments, cooldowns and required archetypes. Words are parted by spaces, \"quotes\" keep them together, a mention is one word. What a person does wrong is answered with the usage.",
        members: &[
            ("commands.new(prefix)", "Hears messages that begin so."),
            (
                "c:add{ name, description?, aliases?, args?, cooldown?, archetypes?, run }",
                "Adds a command. An argument is `{ name, type, optional?, min?, max? }` of type `string`, `number`, `integer`, `boolean`, `user` (an id) or `rest` (all that is left). `cooldown` is in seconds, for each person. `archetypes` are ids of which a person needs one. `run(event, args)` gets the arguments by name.",
            ),
            (
                "c:usage(name)`, `c:help()",
                "How a command, or every one, is written.",
            ),
            ("c:off()", "Hears no more messages."),
        ],
        example: r#"local commands = require("@std/commands")

local bot = commands.new("!")
bot:add({
	name = "remind",
	description = "Reminds you",
	args = {
		{ name = "minutes", type = "number", min = 1, max = 600 },
		{ name = "text", type = "rest" },
	},
	cooldown = 5,
	run = function(event, args)
		event:reply("I will.")
		task.wait(args.minutes * 60)
		event:reply(args.text)
	end,
})
"#,
    },
    StdDoc {
        name: "paginator",
        doc: "A message with pages, and buttons that turn them. Only one person can, and the buttons go away when nobody has turned a page for a while. Pages end with the version of the script that showed them; at the next click their buttons go. After a crash the handler runs again and goes on with the message that it had sent.",
        members: &[(
            "paginator.show(event, pages, options?)",
            "Answers an event with the first page; suspends until the buttons go away, and returns the last page. A page is a text or a message; `pages` is a list, or `{ count, page }` with a function that makes a page when it is shown. Options: `userId` (who may turn; the person of the event), `anyone`, `start`, `timeout` (120 seconds).",
        )],
        example: r#"local paginator = require("@std/paginator")

argon.command({
	name = "members",
	description = "Who is here",
	run = function(interaction)
		local list = argon.spaces.listMembers({ spaceId = interaction.spaceId }).members
		paginator.show(interaction, {
			count = math.ceil(#list / 10),
			page = function(number: number)
				local names: { string } = {}
				for at = number * 10 - 9, math.min(number * 10, #list) do
					table.insert(names, list[at].displayName)
				end
				return table.concat(names, "\n")
			end,
		})
	end,
})
"#,
    },
    StdDoc {
        name: "confirm",
        doc: "A question with two buttons, asked and awaited. Only the person who is asked can answer. A question ends with the version of the script that asked it; at the next click its buttons go. After a crash the handler runs again and waits for the answer to the message that it had sent.",
        members: &[(
            "confirm.ask(event, content, options?)",
            "Answers an event with the question; suspends until it is answered. Returns whether the answer was yes, or nil when nobody answered in time. Options: `userId` (who is asked; the person of the event), `yes` and `no` (labels), `timeout` (60 seconds).",
        )],
        example: r#"local confirm = require("@std/confirm")

argon.on("messageCreate", function(event)
	if event.message.text == "!reset" then
		local sure = confirm.ask(event, "Forget every score?", { yes = "Forget", no = "Keep" })
		event:reply(if sure then "All scores are gone." else "Nothing has changed.")
	end
end)
"#,
    },
    StdDoc {
        name: "form",
        doc: "A modal, asked and awaited. Submissions of several people are told apart. A form ends with the version of the script that asked it.",
        members: &[(
            "form.ask(event, modal, timeout?)",
            "Opens the modal for the person of an interaction; suspends until it is sent. Returns its values by `customId` and the submission, which can be answered; nothing when it was not sent within `timeout` (600) seconds.",
        )],
        example: r#"local form = require("@std/form")
local message = require("@std/message")

argon.command({
	name = "suggest",
	description = "Suggest something",
	run = function(interaction)
		local modal = message
			.modal({ customId = "suggest", title = "Suggestion" })
			:paragraph({ customId = "text", label = "What should change?" })
		local values, submission = form.ask(interaction, modal)
		if values and submission then
			print("suggested:", values.text)
			submission:reply("Thank you.")
		end
	end,
})
"#,
    },
];
