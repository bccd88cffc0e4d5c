//! What a script can call beside the platform's routes, as one table: the checker refuses other
//! names, the reference prints it, and a test compares the type definitions with it.

/// A group of names that belong together.
#[derive(Debug)]
pub struct Library {
    /// Its heading in the reference.
    pub name: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Its names.
    pub members: &'static [Member],
    /// A script that uses it, and that `check` accepts.
    pub example: &'static str,
}

/// A function or a value.
#[derive(Debug)]
pub struct Member {
    /// The whole name: `argon.json.encode`, `script.name`. A method has a colon: `event:reply`.
    pub path: &'static str,
    /// Arguments and result for people.
    pub signature: &'static str,
    /// One or two sentences.
    pub doc: &'static str,
    /// The least and the most arguments; `None` for a value.
    pub arguments: Option<(usize, usize)>,
    /// The argument (from 0) that is a table of options, and the options it knows.
    pub options: Option<(usize, &'static [&'static str])>,
}

const fn function(
    path: &'static str,
    signature: &'static str,
    least: usize,
    most: usize,
    doc: &'static str,
) -> Member {
    Member {
        path,
        signature,
        doc,
        arguments: Some((least, most)),
        options: None,
    }
}

const fn value(path: &'static str, signature: &'static str, doc: &'static str) -> Member {
    Member {
        path,
        signature,
        doc,
        arguments: None,
        options: None,
    }
}

impl Member {
    const fn options(mut self, at: usize, names: &'static [&'static str]) -> Self {
        self.options = Some((at, names));
        self
    }
}

/// As many arguments as you like.
const ANY: usize = usize::MAX;

/// Every library.
pub static LIBRARIES: &[Library] = &[
    Library {
        name: "Event handlers",
        doc: "Handlers of one script start in the order of the stream and run concurrently. The bot's own messages are left out unless the handler asks for them. An error in a handler is logged and harms nothing else.",
        members: &[
            function("argon.on", "(type, handler, options?) -> { off }", 2, 3, "Calls `handler(event)` for each event of the type; `\"*\"` is every type. `{ own = true }` includes what the bot did itself. `off()` ends it.").options(2, &["own"]),
            function("argon.once", "(type, handler, options?) -> { off }", 2, 3, "As `argon.on`, for the next event only.").options(2, &["own"]),
            function("argon.waitFor", "(type, predicate?, timeout?) -> event | nil", 1, 3, "Suspends until an event comes for which `predicate(event)` is true; nil after `timeout` seconds."),
        ],
        example: r#"argon.on("messageCreate", function(event)
	if event.message.text == "!ping" then
		event:reply("pong")
	end
end)

argon.on("ready", function()
	local event = argon.waitFor("memberJoin", nil, 60)
	if event then
		print(event.user.displayName .. " was the first to join")
	end
end)
"#,
    },
    Library {
        name: "Event methods",
        doc: "`content` is a string, or a table `{ text, entities, controls }`. Methods that do not fit an event's type raise.",
        members: &[
            function("event:reply", "(content, options?) -> { messageId }", 1, 2, "Answers a message (a `messages.send` with `replyTo`) or an interaction (an `interactions.reply`). `options` are further parameters of that route."),
            function("event:react", "(emoji)", 1, 1, "Reacts to the message that the event is about."),
            function("event:ack", "()", 0, 0, "Confirms an interaction without an answer."),
            function("event:defer", "()", 0, 0, "Shows that the answer to an interaction will take a while."),
            function("event:modal", "(definition) -> { modalInteractionId }", 1, 1, "Answers an interaction with a form; its submission arrives at `argon.onModal`."),
            function("event:edit", "(content)", 1, 1, "Changes the message that has the control, or the last reply to this event."),
        ],
        example: r#"argon.on("messageCreate", function(event)
	if event.message.text == "!count" then
		event:react("⏳")
		event:reply("three")
		task.wait(1)
		event:edit("two")
	end
end)
"#,
    },
    Library {
        name: "Interactions",
        doc: "The commands of all scripts together are brought in line with the server when the bot starts and when they change. A server that is slow with them holds nothing else up; a command that it refuses with a bare 500 is tried again after five minutes, and then less and less often. What no script registers any more is deleted there once every script has loaded: while one still loads, or cannot be loaded, its commands are not known, and none is deleted. An interaction can be answered for 60 seconds.",
        members: &[
            function("argon.command", "(definition)", 1, 1, "Registers a slash command. The definition has the parameters of `commands.register` and `run(interaction, options)`; `options` has the values by name."),
            function("argon.onControl", "(id, handler) -> { off }", 2, 2, "Calls `handler(interaction)` when somebody clicks the button with that id; `\"poll:*\"` matches every id that begins with `poll:`."),
            function("argon.onSelect", "(customId, handler) -> { off }", 2, 2, "Calls `handler(interaction)` when somebody chooses from that select; `interaction.values` is the list of what was chosen."),
            function("argon.onModal", "(customId, handler) -> { off }", 2, 2, "Calls `handler(interaction)` when that modal is sent; `interaction.values.<customId>` is a string, a list or a boolean, as the component is. A form that is open while the script is reloaded or the host restarted (within an hour) is handed to the version that runs when it is sent."),
        ],
        example: r#"argon.command{
	name = "roll",
	description = "Roll dice",
	options = {
		{ name = "sides", type = "integer", description = "How many sides", required = false },
	},
	run = function(interaction, options)
		interaction:reply({
			text = "You rolled " .. math.random(options.sides or 6),
			controls = {
				{ controls = { { type = "button", variant = "callback", id = "roll:again", label = "Again" } } },
			},
		})
	end,
}

argon.onControl("roll:*", function(interaction)
	interaction:reply("You rolled " .. math.random(6))
end)
"#,
    },
    Library {
        name: "Tasks and time",
        doc: "What waits suspends only the coroutine that called it. Times are in seconds.",
        members: &[
            function("task.spawn", "(f, ...) -> thread", 1, ANY, "Runs a function (or a suspended coroutine) at once, in a coroutine of its own."),
            function("task.defer", "(f, ...) -> thread", 1, ANY, "The same at the end of the current turn."),
            function("task.delay", "(seconds, f, ...) -> thread", 2, ANY, "The same after a while."),
            function("task.wait", "(seconds?) -> seconds", 0, 1, "Suspends for a while; returns how long it really was."),
            function("task.cancel", "(thread)", 1, 1, "Ends a coroutine that waits."),
            function("argon.every", "(seconds, f) -> { off }", 2, 2, "Runs a function again and again; the first time after one period, in a new version not before its turn. A run that is not over when the next is due takes its place. A run ends with the process and is not made up for: what has to happen once, whatever ends in between, is for `argon.cron`."),
            function("argon.cron", "(pattern, f, options?) -> { off }", 2, 3, "Runs a function by the calendar: five fields as in Vixie cron (minute, hour, day of the month, month, day of the week; `*`, lists, ranges, steps, names), in UTC or in `options.timezone`, a time zone of the IANA database. The function gets the time that the run was due at. A fixed time that a clock leaves out in spring runs right after the gap; one that comes twice in autumn runs once. Each due time runs once, also across restarts, and a run that a crash has ended runs again as an event does: what it was answered and what it sent stays. What was due while the host did not run is left out; with `missed = \"catchUp\"` (the default is `\"skip\"`), the last of it runs at the start. A timer is recognised by its pattern and time zone, several with the same by their order; one that is off is forgotten, and counts from then if it is set again.").options(2, &["timezone", "missed"]),
            function("argon.time.now", "() -> seconds", 0, 0, "Seconds since 1970-01-01T00:00:00Z, with fraction."),
            function("argon.time.parse", "(iso) -> seconds", 1, 1, "The same of an ISO 8601 text; without an offset it is UTC."),
            function("argon.time.format", "(seconds?, pattern?, timezone?) -> string", 0, 3, "ISO 8601 in UTC, or a `strftime` pattern in a time zone of the IANA database. Now, if no time is given."),
        ],
        example: r#"argon.every(3600, function()
	argon.log.info("an hour has passed", { at = argon.time.format(nil, "%H:%M", "Europe/Berlin") })
end)

argon.cron("0 9 * * mon-fri", function(due)
	print("good morning,", argon.time.format(due, "%A", "Europe/Berlin"))
end, { timezone = "Europe/Berlin" })

local reminder = task.delay(10, function()
	print("ten seconds later")
end)
task.cancel(reminder)
print(argon.time.now() - argon.time.parse("2026-01-31T09:30:00Z"))
"#,
    },
    Library {
        name: "Key-value store",
        doc: "Values that outlive the process, by text keys of up to 512 bytes. A value is what JSON can say, up to 1 MiB as JSON. Each script has a store of its own with up to 100,000 keys and the bytes that `kv` under `[state]` says; `argon.kv.shared(name)` is one that every script of the bot can use. What a function returned from is on disk. A handler that runs again after a crash does not count twice: what it did before has the same result, once. Failures raise an error value as failed calls do, with the code `quota_exceeded`, `disk` or, of `list`, `response_too_large`.",
        members: &[
            function("argon.kv.get", "(key) -> value | nil", 1, 1, "The value, nil when there is none."),
            function("argon.kv.set", "(key, value, options?)", 2, 3, "Stores a value; nil removes the key. `{ ttl = seconds }` ends it by itself.").options(2, &["ttl"]),
            function("argon.kv.delete", "(key)", 1, 1, "Removes a key."),
            function("argon.kv.update", "(key, f) -> value", 2, 2, "Stores what `f(value)` returns, and returns it. Nobody else writes the key in between: when somebody did, `f` is called again with the new value. Nil removes the key; a ttl that runs goes on."),
            function("argon.kv.list", "(prefix?, options?) -> { { key, value } }", 0, 2, "The entries whose keys begin so, in the order of their bytes: `limit` of them (100, at most 1000), behind the key `after`. Fewer than `limit` are all that there are: entries of more than 8 MiB together raise the code `response_too_large`, and are read with a smaller `limit`.").options(1, &["limit", "after"]),
            function("argon.kv.shared", "(name) -> store", 1, 1, "The store of that name, with the same functions."),
        ],
        example: r#"argon.on("messageCreate", function(event)
	local author = event.message.sender.userId
	local count = argon.kv.update(`messages:{author}`, function(count)
		return (count or 0) + 1
	end)
	if count == 100 then
		event:reply("Your hundredth message!")
	end
end)

for _, entry in argon.kv.list("messages:", { limit = 10 }) do
	print(entry.key, entry.value)
end
argon.kv.shared("leaderboard").set("season", 3, { ttl = 86400 })
"#,
    },
    Library {
        name: "HTTP",
        doc: "Requests to other servers. A script may call the hosts that `http` of its section in bot.toml names, and no others; a redirect to another host, or from https to http, is refused, and so is an address that is not of the public internet, unless the list names the address itself. Up to 16 requests of a script run at once, further ones wait for their turn; a body has at most 4 MiB in either direction, and at most 5 redirects are followed.",
        members: &[
            function("argon.http.request", "{ url, method, headers, query, body, json, timeout, retry } -> { status, ok, headers, body, json }", 1, 1, "Sends a request and waits for the whole answer, whatever its status is. `json` in the request is a value to send as JSON; in the answer it is the decoded body. What was not sent or not answered raises an error value as failed calls do, with the code `permission_denied`, `invalid_request`, `unreachable`, `timeout`, `lost_response`, `response_too_large` or `too_many_redirects`. `timeout` is in seconds: 10, at most 60. A handler that runs again after a crash gets the answers that it got before; a `POST` or `PATCH` that was perhaps sent raises the code `uncertain` then, unless `retry = true` says that it may be sent twice.").options(0, &["url", "method", "headers", "query", "body", "json", "timeout", "retry"]),
        ],
        example: r#"argon.command({
	name = "weather",
	description = "How warm is it?",
	run = function(interaction)
		local answer = argon.http.request({
			url = "https://api.example.com/weather",
			query = { city = "Berlin" },
			timeout = 2,
		})
		if answer.ok and answer.json then
			interaction:reply(`It is {answer.json.temperature} degrees.`)
		else
			interaction:reply(`The service says {answer.status}.`)
		end
	end,
})
"#,
    },
    Library {
        name: "Voice",
        doc: "Connections belong to the script's name and outlive a reload; handlers belong to one version. No other script hears of them. Sources are files in the bot's folder: Ogg Opus (sent untouched when it plays alone at volume 1), WAV, MP3, FLAC, Ogg Vorbis, AAC/M4A. What fails raises an error with `code` and `message`.",
        members: &[
            function("argon.voice.join", "(options) -> voice", 1, 1, "Joins a voice channel: `spaceId`, `channelId`; `stereo` (true), `bitrate`, `kind` (`\"music\"`, `\"voice\"`, `\"lowDelay\"`), `complexity` (0 to 10), `frame` (milliseconds), `loss` (per cent, for forward error correction), `dtx`. The connection that the script has there already, if it has one. Another script's connection there is an error with the code `already_joined`: a bot speaks once in a room.").options(0, &["spaceId", "channelId", "stereo", "bitrate", "kind", "complexity", "frame", "loss", "dtx"]),
            function("argon.voice.get", "(channelId) -> voice | nil", 1, 1, "The script's connection in that channel (or call), also one that an earlier version made."),
            function("argon.calls.answer", "(event, options?) -> voice", 1, 2, "Accepts a `callIncoming`. Options as for `argon.voice.join`; mono speech unless they say otherwise.").options(1, &["stereo", "bitrate", "kind", "complexity", "frame", "loss", "dtx"]),
            function("voice:play", "(path, options?) -> track", 1, 2, "Plays beside what plays already: `volume` (0 to 4), `loop`, `fadeIn`, `startAt` (seconds), `normalize` (LUFS), `duck` (what is left of it while somebody speaks). Returns when the file is open. One track too many is an error with the code `too_many_tracks`."),
            function("voice:queue", "(path, options?) -> track", 1, 2, "Plays when what was queued before is over, without a gap; `crossfade` seconds overlap."),
            function("voice:skip", "()", 0, 0, "Ends what plays from the queue."),
            function("voice:stop", "()", 0, 0, "Ends every track and empties the queue."),
            function("voice:tracks", "() -> { track }", 0, 0, "The tracks that are not over."),
            function("voice:push", "(buffer)", 1, 1, "Plays samples: signed 16 bit, little endian, 48 kHz, interleaved. Returns when they have found room (half a second waits)."),
            function("voice:listen", "(userId, handler, options?) -> { off }", 2, 3, "Calls `handler(frame)` with each packet: `userId`, `data` (a buffer), `time`, `duration`. `{ format = \"pcm\" }` decodes to signed 16 bit, 48 kHz, mono. A handler that falls 256 packets behind misses the newest. One person or handler too many is an error with the code `too_many_listeners`."),
            function("voice:record", "(userId, path, options?) -> recording", 2, 3, "Writes what somebody says to an Ogg Opus file in the bot's folder; in a call nil is the caller. The path ends in `.ogg` or `.opus` and is not hidden (no part begins with a dot); its folder is there. An older Ogg file of that name is written over, unless it is still being recorded; any other file is left alone, and the call raises. Silence keeps its length. `seconds` is the longest (an hour). `recording:stop()` waits until the file is whole and returns its seconds. One recording too many is an error with the code `too_many_recordings`."),
            function("voice:on", "(event, handler) -> { off }", 2, 2, "`began` and `finished` (`track`, `reason`, `error`), `disconnected` (`reason`, `final`), `reconnected`, `targetLeft` (`userId`), `speaking` (`userId`, `speaking`: somebody who is listened to or recorded begins or ends). The handler is of this connection and of this version of the script, and ends with either: a new version gets the connection by `argon.voice.get` and adds its own. While an old version still runs, both hear what happens. If 1,024 events wait for a script that does not look, further ones are left out, with a warning."),
            function("voice:stats", "() -> table", 0, 0, "What was counted so far. Packets: `sent`, of them `late` (written to the socket more than 20 ms after their time), `missed` (none was ready, so silence was sent), `dropped` (the socket did not take them), `silence`, `received`, `unheard` (a handler was too slow). Encoding: `encoded` (frames), `encodeMs` (mean time), `longestEncodeMs`, `complexity` (now; lowered by itself when there is not enough time). `reconnects`: how often the socket was opened again."),
            function("voice:leave", "()", 0, 0, "Leaves the channel, or hangs up."),
            value("voice.state", ": string", "`joining`, `connected`, `reconnecting`, `closed`. Also `spaceId`, `channelId`, or `callId`, `callerId`."),
            function("track:pause", "()", 0, 0, "Stands still. A queued track can be paused before its turn: when that comes it waits, and so do those behind it."),
            function("track:resume", "()", 0, 0, "Goes on."),
            function("track:seek", "(seconds)", 1, 1, "Goes to a position. Ogg Opus begins with a whole packet."),
            function("track:setVolume", "(volume, fade?)", 1, 2, "From 0 to 4, within `fade` seconds."),
            function("track:stop", "(fade?)", 0, 1, "Ends it, within `fade` seconds."),
            function("track:wait", "() -> state", 0, 0, "Waits for its end: `finished`, `stopped` or `failed`."),
            value("track.position", ": seconds", "Also `duration` (nil when the file does not say), `state` and `source`."),
        ],
        example: r#"argon.command{
	name = "play",
	description = "Play a tune in a voice channel",
	options = { { name = "channel", type = "channel", description = "Where", required = true } },
	run = function(interaction, options)
		interaction:defer()
		local voice = argon.voice.get(options.channel)
			or argon.voice.join{ spaceId = interaction.spaceId, channelId = options.channel, stereo = true }
		local track = voice:play("audio/tune.ogg", { volume = 0.8, fadeIn = 0.5 })
		interaction:reply("Playing, " .. (track.duration or 0) .. " s.")
		track:wait()
		voice:leave()
	end,
}

argon.on("callIncoming", function(event)
	local call = argon.calls.answer(event)
	call:play("audio/hello.ogg"):wait()
	call:leave()
end)
"#,
    },
    Library {
        name: "JSON",
        doc: "JSON null is nil.",
        members: &[
            function("argon.json.encode", "(value) -> string", 1, 1, "A value as JSON. Tables with the keys 1 to n are arrays."),
            function("argon.json.decode", "(text) -> value", 1, 1, "The value of a JSON text; raises when it is none."),
        ],
        example: r#"local text = argon.json.encode({ list = { 1, 2, 3 }, done = true })
print(argon.json.decode(text).list[2])
"#,
    },
    Library {
        name: "Log",
        doc: "Lines carry the script's name. `fields` is a table of plain values.",
        members: &[
            function("print", "(...)", 0, ANY, "Writes to the log at level info."),
            function("argon.log.debug", "(message, fields?)", 1, 2, "Writes to the log at level debug."),
            function("argon.log.info", "(message, fields?)", 1, 2, "Writes to the log at level info."),
            function("argon.log.warn", "(message, fields?)", 1, 2, "Writes to the log at level warn."),
            function("argon.log.error", "(message, fields?)", 1, 2, "Writes to the log at level error."),
        ],
        example: r#"print("loaded", script.name)
argon.log.warn("the list is long", { entries = 2000 })
"#,
    },
    Library {
        name: "Script",
        doc: "What the script knows of itself, and its modules.",
        members: &[
            value("script.name", ": string", "The file's or folder's name without extension."),
            value("script.config", ": any", "`config` of the script's section in bot.toml, read-only; an empty table without it."),
            value("script.state", ": table", "Plain data that the next version of the script gets when it is reloaded: strings, numbers, booleans, vectors, buffers, and tables of them. What is something else (a function, a coroutine, a metatable) is left out, and a warning names it. At most 1,000,000 values and 32 MiB of text. Gone when the host ends."),
            function("script.onUnload", "(f)", 1, 1, "Calls `f` when this version's turn is over: at a reload, and when the script or the host ends. It may make calls; they must be done within `[scripts] drain`. What it writes to `script.state` before its first wait goes to the next version."),
            function("require", "(path) -> value", 1, 1, "A module's value: `\"./file\"` and `\"../lib/x\"` from the requiring file, `\"@self/x\"` inside a folder script, `\"@std/x\"` for one that is built in. A module runs once for each version of a script."),
        ],
        example: r#"local greeting = script.config.greeting or "Hello"
script.state.greeted = script.state.greeted or 0

argon.on("messageCreate", function(event)
	if event.message.text == "!hello" then
		script.state.greeted += 1
		event:reply(greeting)
	end
end)

script.onUnload(function()
	print(`greeted {script.state.greeted} people so far`)
end)
"#,
    },
];

/// Every member.
pub fn members() -> impl Iterator<Item = &'static Member> {
    LIBRARIES.iter().flat_map(|library| library.members)
}

/// The member with that whole name.
pub fn member(path: &str) -> Option<&'static Member> {
    members().find(|member| member.path == path)
}

/// The names below a prefix (`argon`, `argon.json`, `script`, `event:`), routes included, those of
/// later versions not.
pub fn children(prefix: &str) -> Vec<String> {
    let mut names: Vec<String> = members()
        .filter_map(|member| child(member.path, prefix))
        .map(str::to_owned)
        .collect();
    for route in crate::contract::ROUTES {
        let path = format!("argon.{}", route.permission_name());
        names.extend(child(&path, prefix).map(str::to_owned));
    }
    names.sort();
    names.dedup();
    names
}

/// The part of `path` that follows `prefix` and its separator.
fn child<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    path.strip_prefix(prefix)?
        .strip_prefix(['.', ':'])?
        .split('.')
        .next()
}

/// The global names of a script: Luau's own that the sandbox keeps, and ours.
pub static GLOBALS: &[&str] = &[
    "_G",
    "_VERSION",
    "argon",
    "assert",
    "bit32",
    "buffer",
    "coroutine",
    "debug",
    "error",
    "gcinfo",
    "getmetatable",
    "ipairs",
    "math",
    "newproxy",
    "next",
    "os",
    "pairs",
    "pcall",
    "print",
    "rawequal",
    "rawget",
    "rawlen",
    "rawset",
    "require",
    "script",
    "select",
    "setmetatable",
    "string",
    "table",
    "task",
    "tonumber",
    "tostring",
    "type",
    "typeof",
    "unpack",
    "utf8",
    "vector",
    "xpcall",
];

/// Names that other Lua hosts have and a sandboxed script does not, with what to use instead.
pub static WITHHELD: &[(&str, &str)] = &[
    ("collectgarbage", "memory is collected by itself"),
    ("dofile", "use require(\"./file\")"),
    ("getfenv", "environments are closed"),
    ("io", "scripts have no files"),
    ("load", "scripts cannot compile text"),
    ("loadfile", "use require(\"./file\")"),
    ("loadstring", "scripts cannot compile text"),
    ("os.execute", "scripts cannot run programs"),
    ("os.exit", "return from the script instead"),
    (
        "os.getenv",
        "pass values as [script.NAME] config in bot.toml, where ${VAR} expands",
    ),
    ("os.remove", "scripts have no files"),
    ("os.rename", "scripts have no files"),
    ("package", "use require(\"./file\")"),
    ("setfenv", "environments are closed"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_one_step_below() {
        assert_eq!(children("argon.json"), ["decode", "encode"]);
        assert!(children("argon").iter().any(|name| name == "messages"));
        assert!(children("argon.messages").iter().any(|name| name == "send"));
        assert!(children("event").iter().any(|name| name == "reply"));
        assert_eq!(children("script"), ["config", "name", "onUnload", "state"]);
    }
}
