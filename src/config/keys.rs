//! The keys of bot.toml as one table: the reader refuses what is not in it, the reference prints it.

/// One key of a section.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What its value is, for people: `duration`, `list of strings`.
    pub ty: &'static str,
    /// The default as it would be written in the file; empty when there is none.
    pub default: &'static str,
    /// One line for the reference.
    pub doc: &'static str,
}

/// One section of bot.toml.
#[derive(Debug)]
pub struct SectionKeys {
    /// Its header without brackets; `NAME` stands for a script's name.
    pub name: &'static str,
    /// One line for the reference.
    pub doc: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

impl SectionKeys {
    /// The key of that name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Every key's name.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }
}

/// A row of a table of keys.
pub const fn key(
    name: &'static str,
    ty: &'static str,
    default: &'static str,
    doc: &'static str,
) -> Key {
    Key {
        name,
        ty,
        default,
        doc,
    }
}

/// `[bot]`.
pub static BOT: SectionKeys = SectionKeys {
    name: "bot",
    doc: "Who the bot is.",
    keys: &[
        key(
            "name",
            "string",
            "",
            "Label in logs and metrics; default: the file's name without `.toml`.",
        ),
        key(
            "token",
            "string",
            "",
            "The bot's token, best as `\"${ARGON_TOKEN}\"`. Not needed with the embedded server.",
        ),
        key(
            "token_file",
            "path",
            "",
            "A file that holds the token, instead of `token`.",
        ),
    ],
};

/// `[server]`.
pub static SERVER: SectionKeys = SectionKeys {
    name: "server",
    doc: "Which Argon server the bot talks to.",
    keys: &[
        key(
            "url",
            "string",
            "\"embedded\"",
            "`\"embedded\"`, or the base URL of a server, such as `\"https://gateway.argon.zone\"`.",
        ),
        key(
            "listen",
            "address",
            "\"127.0.0.1:7400\"",
            "Where the embedded server listens (playground and API); port 0 is any free port.",
        ),
        key(
            "dialect",
            "string",
            "\"server\"",
            "What the embedded server follows where the platform's server and its documentation disagree: `\"server\"` or `\"documented\"` (see [Dialects](#dialects)).",
        ),
        key(
            "faults",
            "list of faults",
            "[]",
            "What goes wrong in the embedded server from its start on, as `\"answer:interface=IMessages,status=503,count=3\"` (see [Faults](#faults)).",
        ),
        key(
            "chaos",
            "integer",
            "",
            "Faults at random in the embedded server; the same seed gives the same faults.",
        ),
        key(
            "state",
            "path",
            "",
            "A file that the embedded server keeps its world in, from one run to the next; without it every run begins with a fresh world.",
        ),
    ],
};

/// `[events]`.
pub static EVENTS: SectionKeys = SectionKeys {
    name: "events",
    doc: "What the bot hears.",
    keys: &[
        key(
            "intents",
            "\"auto\" or list of intents",
            "\"auto\"",
            "`\"auto\"` asks for what the scripts' handlers need; a list asks for exactly that.",
        ),
        key(
            "catch_up",
            "duration",
            "\"10m\"",
            "How old a message may be that the stream lost (at a crash, a cut connection, in an outage) and the history still has: it comes as a `messageCreate` with `event.recovered`. `\"0s\"` fetches none.",
        ),
    ],
};

/// `[scripts]`.
pub static SCRIPTS: SectionKeys = SectionKeys {
    name: "scripts",
    doc: "Where the scripts are and how they are replaced.",
    keys: &[
        key(
            "dir",
            "path",
            "\"scripts\"",
            "The folder of the scripts: every `.luau` and `.lua` file directly in it, and every folder with an init file.",
        ),
        key(
            "reload",
            "boolean or \"poll\"",
            "true",
            "Whether a changed script is loaded again by itself. With `\"poll\"` the folder is looked through twice a second, for folders of whose changes the system tells nothing: network drives, and folders that are shared with a virtual machine or a container.",
        ),
        key(
            "drain",
            "duration",
            "\"10s\"",
            "How long handlers of a replaced version may go on; then they are cut off, and their events count as failed.",
        ),
        key(
            "rollback",
            "integer",
            "3",
            "How many of a new version's first 20 events must fail for the version before to come back, if none of its last 20 did; 0 is never.",
        ),
    ],
};

/// `[limits]` and `[script.NAME.limits]`.
pub static LIMITS: SectionKeys = SectionKeys {
    name: "limits",
    doc: "What each script may use; `[script.NAME.limits]` overrides it for one script.",
    keys: &[
        key(
            "memory",
            "size",
            "\"64MiB\"",
            "What the script's live data may take; a script that holds more gets an error. At least `\"1MiB\"` and at most `\"128MiB\"`. Garbage that is not collected yet may take half as much again.",
        ),
        key(
            "cpu_per_event",
            "duration",
            "\"2s\"",
            "CPU time of one handler run, all its slices and the coroutines it starts together; past it, the run is ended with an error.",
        ),
        key(
            "load_time",
            "duration",
            "\"5s\"",
            "How long a script's top level may keep the bot from starting, and its CPU time until its first wait.",
        ),
        key(
            "handlers",
            "integer",
            "1000",
            "Handler runs of one script at the same time; further events wait.",
        ),
    ],
};

/// `[script.NAME]`.
pub static SCRIPT: SectionKeys = SectionKeys {
    name: "script.NAME",
    doc: "One script; NAME is its file's or folder's name without extension.",
    keys: &[
        key(
            "enabled",
            "boolean",
            "true",
            "Whether the script is loaded.",
        ),
        key(
            "config",
            "anything",
            "{}",
            "Arrives in the script as `script.config`.",
        ),
        key(
            "allow",
            "list of routes",
            "[\"*\"]",
            "API calls it may make: `\"messages.send\"`, `\"reactions.*\"`, `\"*\"`. Another call raises `permission_denied`. Event methods need the routes that they call, and `argon.command` needs `\"commands.register\"`.",
        ),
        key(
            "deny",
            "list of routes",
            "[]",
            "API calls it may not make; wins over `allow`.",
        ),
        key(
            "http",
            "list of hosts",
            "[]",
            "Hosts that it may call with `argon.http.request`; none by default. `\"api.example.com\"` is that host at the ports 80 and 443; `\"*.example.com\"` the hosts below it; `\"*\"` every host; `\"localhost:3000\"` and `\"localhost:*\"` other ports. An address that is not of the public internet is called only if it is listed itself or by a network (`\"10.0.0.0/8\"`), and by a name only if that entry is for every port (`\"10.0.0.0/8:*\"`).",
        ),
        key(
            "rate_share",
            "number",
            "1.0",
            "The most of each rate limit that it may use, above 0 and at most 1.",
        ),
        key("limits", "table", "", "As `[limits]`, for this script."),
    ],
};

/// `[state]`.
pub static STATE: SectionKeys = SectionKeys {
    name: "state",
    doc: "What survives a restart.",
    keys: &[
        key(
            "dir",
            "path",
            "\".argon\"",
            "The folder of the bot's database: events that are not finished, the place in the stream, the key-value store.",
        ),
        key(
            "backlog",
            "size",
            "\"256MiB\"",
            "What the events that scripts are not done with may have; beyond it the oldest are dropped, with an error in the log.",
        ),
        key(
            "kv",
            "size",
            "\"64MiB\"",
            "What the keys and values of one script, or of one shared store, may have.",
        ),
        key(
            "sync",
            "\"normal\" or \"full\"",
            "\"normal\"",
            "What storing waits for. `\"normal\"`: what was stored survives the host, whatever kills it; a power cut may take the last moments. `\"full\"`: it survives a power cut, and every event waits for the disk.",
        ),
        key(
            "redact",
            "list of paths",
            "[]",
            "Fields that recordings of failed events leave out of events, of the arguments of calls and of their answers: `\"message.text\"`, `\"user.*\"`, `\"headers.set-cookie\"`. A path begins at the top of each, `*` is any name, and lists are gone through.",
        ),
    ],
};

/// `[admin]`.
pub static ADMIN: SectionKeys = SectionKeys {
    name: "admin",
    doc: "Health and metrics over local HTTP.",
    keys: &[key(
        "listen",
        "address",
        "",
        "Where to listen; off when absent. Who reaches it can reload scripts: keep it on this machine.",
    )],
};

/// Every section, in the order of the reference.
pub static SECTIONS: &[&SectionKeys] = &[
    &BOT, &SERVER, &EVENTS, &SCRIPTS, &LIMITS, &SCRIPT, &STATE, &ADMIN,
];

/// Names that may stand at the top of the file.
pub(super) const TOP_LEVEL: &[&str] = &[
    "bot", "server", "events", "scripts", "limits", "script", "state", "admin",
];
