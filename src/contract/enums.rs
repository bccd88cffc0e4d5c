//! Every enum and flag enum of the platform, with numbers and names (protocol.md, "Enum numbers").

use super::schema::{Enum, Flags};

/// Kinds of a formatted span of a message's text. `gif` is not documented but sent.
pub static ENTITY_TYPE: Enum = Enum {
    name: "EntityType",
    values: &[
        (0, "hashtag"),
        (1, "mention"),
        (2, "mentionEveryone"),
        (3, "mentionRole"),
        (4, "email"),
        (5, "url"),
        (6, "monospace"),
        (7, "quote"),
        (8, "spoiler"),
        (9, "strikethrough"),
        (10, "bold"),
        (11, "italic"),
        (12, "underline"),
        (13, "fraction"),
        (14, "ordinal"),
        (15, "capitalized"),
        (16, "systemCallStarted"),
        (17, "systemCallEnded"),
        (18, "systemCallTimeout"),
        (19, "systemUserJoined"),
        (20, "attachment"),
        (21, "gif"),
    ],
};

/// Kinds of channel.
pub static CHANNEL_TYPE: Enum = Enum {
    name: "ChannelType",
    values: &[(0, "text"), (1, "voice"), (2, "announcement")],
};

/// Kinds of control on a message.
pub static CONTROL_TYPE: Enum = Enum {
    name: "ControlType",
    values: &[
        (0, "button"),
        (1, "stringSelect"),
        (2, "userSelect"),
        (3, "archetypeSelect"),
        (4, "channelSelect"),
    ],
};

/// What a button does.
pub static BUTTON_VARIANT: Enum = Enum {
    name: "ButtonVariant",
    values: &[(0, "callback"), (1, "link")],
};

/// Kinds of component in a modal.
pub static MODAL_COMPONENT_TYPE: Enum = Enum {
    name: "ModalComponentType",
    values: &[
        (0, "textInput"),
        (1, "stringSelect"),
        (2, "userSelect"),
        (3, "archetypeSelect"),
        (4, "channelSelect"),
        (5, "checkbox"),
    ],
};

/// Height of a modal's text input.
pub static TEXT_STYLE: Enum = Enum {
    name: "TextStyle",
    values: &[(0, "short"), (1, "paragraph")],
};

/// Types of a command's option.
pub static COMMAND_OPTION_TYPE: Enum = Enum {
    name: "CommandOptionType",
    values: &[
        (0, "string"),
        (1, "integer"),
        (2, "boolean"),
        (3, "user"),
        (4, "channel"),
        (5, "role"),
        (6, "number"),
    ],
};

/// A person's status.
pub static USER_STATUS: Enum = Enum {
    name: "UserStatus",
    values: &[
        (0, "offline"),
        (1, "online"),
        (2, "away"),
        (3, "inGame"),
        (4, "listen"),
        (5, "touchGrass"),
        (6, "doNotDisturb"),
    ],
};

/// What a person is doing.
pub static ACTIVITY_KIND: Enum = Enum {
    name: "ActivityKind",
    values: &[
        (0, "game"),
        (1, "software"),
        (2, "streaming"),
        (3, "listen"),
    ],
};

/// Properties of a user account.
pub static USER_FLAGS: Flags = Flags {
    name: "UserFlags",
    values: &[
        (1, "bot"),
        (2, "system"),
        (4, "verified"),
        (8, "premium"),
        (16, "banned"),
        (32, "deleted"),
    ],
};

/// State of a member in a voice channel.
pub static MEMBER_STATE: Flags = Flags {
    name: "MemberState",
    values: &[
        (2, "muted"),
        (4, "mutedByServer"),
        (8, "mutedHeadphones"),
        (16, "mutedHeadphonesByServer"),
        (32, "streaming"),
    ],
};

/// Permission bits of an archetype.
pub static ENTITLEMENTS: Flags = Flags {
    name: "Entitlements",
    values: &[
        (1 << 0, "viewChannel"),
        (1 << 1, "readHistory"),
        (1 << 2, "joinToVoice"),
        (1 << 5, "sendMessages"),
        (1 << 6, "sendVoice"),
        (1 << 7, "attachFiles"),
        (1 << 8, "addReactions"),
        (1 << 9, "anyMentions"),
        (1 << 10, "mentionEveryone"),
        (1 << 11, "externalEmoji"),
        (1 << 12, "externalStickers"),
        (1 << 13, "useCommands"),
        (1 << 14, "postEmbeddedLinks"),
        (1 << 20, "connect"),
        (1 << 21, "speak"),
        (1 << 22, "video"),
        (1 << 23, "stream"),
        (1 << 24, "canDrawOnStream"),
        (1 << 30, "useASIO"),
        (1 << 31, "additionalStreams"),
        (1 << 40, "disconnectMember"),
        (1 << 41, "moveMember"),
        (1 << 42, "banMember"),
        (1 << 43, "muteMember"),
        (1 << 44, "kickMember"),
        (1 << 50, "manageChannels"),
        (1 << 51, "manageArchetype"),
        (1 << 52, "manageBots"),
        (1 << 53, "manageEvents"),
        (1 << 54, "manageBehaviour"),
        (1 << 55, "manageServer"),
        (1 << 56, "manageMessages"),
    ],
};

/// The stream's intents as bits; [`super::INTENTS`] says what each asks for.
pub static INTENT_FLAGS: Flags = Flags {
    name: "Intents",
    values: &[
        (1 << 0, "messages"),
        (1 << 1, "members"),
        (1 << 2, "channels"),
        (1 << 3, "reactions"),
        (1 << 4, "typing"),
        (1 << 5, "presence"),
        (1 << 6, "commands"),
        (1 << 7, "directMessages"),
        (1 << 8, "moderation"),
        (1 << 9, "archetypes"),
        (1 << 10, "spaceUpdates"),
        (1 << 11, "voice"),
        (1 << 12, "calls"),
        (1 << 13, "controlInteractions"),
    ],
};

/// What a typing indicator says; a word on the wire, upper-case in events.
pub const TYPING_KINDS: &[&str] = &["typing", "thinking", "uploading", "searching"];

/// Every enum, for the type definitions and the reference.
pub static ENUMS: &[&Enum] = &[
    &ENTITY_TYPE,
    &CHANNEL_TYPE,
    &CONTROL_TYPE,
    &BUTTON_VARIANT,
    &MODAL_COMPONENT_TYPE,
    &TEXT_STYLE,
    &COMMAND_OPTION_TYPE,
    &USER_STATUS,
    &ACTIVITY_KIND,
];

/// Every flag enum, for the type definitions and the reference.
pub static FLAGS: &[&Flags] = &[&USER_FLAGS, &MEMBER_STATE, &ENTITLEMENTS, &INTENT_FLAGS];
