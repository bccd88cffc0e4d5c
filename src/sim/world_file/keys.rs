//! The keys of a world file as tables: the reader refuses what is not in them, the reference prints
//! them.

use crate::config::keys::{Key, SectionKeys, key};

const SPACES: Key = key(
    "spaces",
    "list of names",
    "",
    "The spaces to be in; all of them by default.",
);

const ARCHETYPES: Key = key(
    "archetypes",
    "list of names",
    "[]",
    "Archetypes beside `everyone`, in whichever space has one of that name.",
);

/// The file itself.
pub static FILE: SectionKeys = SectionKeys {
    name: "world file",
    doc: "",
    keys: &[
        key("space", "list of tables", "", ""),
        key("person", "list of tables", "", ""),
        key("bot", "list of tables", "", ""),
    ],
};

/// `[[space]]`.
pub static SPACE: SectionKeys = SectionKeys {
    name: "space",
    doc: "A space; there must be one. Bots that `--bot` adds come into the first.",
    keys: &[
        key("name", "string", "", "Its name, unique. Needed."),
        key("description", "string", "", "What it is about."),
        key("channel", "list of tables", "", "`[[space.channel]]`"),
        key("archetype", "list of tables", "", "`[[space.archetype]]`"),
    ],
};

/// `[[space.channel]]`.
pub static CHANNEL: SectionKeys = SectionKeys {
    name: "space.channel",
    doc: "A channel of the space above it.",
    keys: &[
        key(
            "name",
            "string",
            "",
            "Its name, unique in the space. Needed.",
        ),
        key(
            "type",
            "channel type",
            "\"text\"",
            "`\"text\"`, `\"voice\"` or `\"announcement\"`.",
        ),
        key("description", "string", "", "What it is for."),
        key(
            "slow_mode",
            "duration",
            "\"0s\"",
            "How long a member must wait between two messages.",
        ),
        key(
            "override",
            "list of tables",
            "",
            "`[[space.channel.override]]`",
        ),
    ],
};

/// `[[space.channel.override]]`.
pub static OVERRIDE: SectionKeys = SectionKeys {
    name: "space.channel.override",
    doc: "What an archetype's members may do in the channel above it, unlike elsewhere. First everything goes that one of a member's archetypes denies, then everything comes that one of them allows. Whoever lacks `viewChannel` can do nothing in the channel, and a bot can do nothing that it was not granted.",
    keys: &[
        key("archetype", "string", "", "The archetype's name. Needed."),
        key("allow", "list of entitlements", "[]", "What comes."),
        key("deny", "list of entitlements", "[]", "What goes."),
    ],
};

/// `[[space.archetype]]`.
pub static ARCHETYPE: SectionKeys = SectionKeys {
    name: "space.archetype",
    doc: "A role of the space above it. Every space has `everyone`, which everybody has; an archetype of that name takes its place.",
    keys: &[
        key(
            "name",
            "string",
            "",
            "Its name, unique in the space. Needed.",
        ),
        key("colour", "string", "\"#99aab5\"", "`\"#rrggbb\"`."),
        key(
            "mentionable",
            "boolean",
            "true",
            "Whether messages can mention it.",
        ),
        key(
            "permissions",
            "list of entitlements",
            "",
            "What it allows; by default what everybody may do.",
        ),
    ],
};

/// `[[person]]`.
pub static PERSON: SectionKeys = SectionKeys {
    name: "person",
    doc: "Somebody whom tests and the playground act as.",
    keys: &[
        key(
            "name",
            "string",
            "",
            "The name that is shown, unique. Needed.",
        ),
        key(
            "username",
            "string",
            "",
            "The unique name; by default the letters and digits of `name` in lower case.",
        ),
        SPACES,
        ARCHETYPES,
    ],
};

/// `[[bot]]`.
pub static BOT: SectionKeys = SectionKeys {
    name: "bot",
    doc: "A bot that can log in.",
    keys: &[
        key(
            "name",
            "string",
            "",
            "Its name, unique; the user name gets the ending `bot` if it lacks it. Needed.",
        ),
        key(
            "token",
            "string",
            "",
            "What it logs in with: 32 hexadecimal digits, a colon, letters, digits, `-` and `_`; a fresh one by default. It opens nothing but this server: never write a real one.",
        ),
        key(
            "verified",
            "boolean",
            "true",
            "Whether it may use privileged intents and routes.",
        ),
        SPACES,
        ARCHETYPES,
        key(
            "entitlements",
            "list of entitlements",
            "",
            "What it was granted when it was installed; all of them by default.",
        ),
        key(
            "requires",
            "list of entitlements",
            "",
            "What it asks a space for; by default what it was granted. `ready` says where approval is pending.",
        ),
    ],
};

/// Every section, in the order of the reference.
pub static SECTIONS: &[&SectionKeys] = &[&SPACE, &CHANNEL, &OVERRIDE, &ARCHETYPE, &PERSON, &BOT];
