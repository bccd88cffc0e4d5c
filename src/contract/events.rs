//! The stream's 28 events and 14 intents.

use super::enums::*;
use super::schema::{Event, Intent, Shape, Type, field};
use super::shapes::*;

/// The stream's intents. All without privilege are 12253, all together 16383.
pub static INTENTS: &[Intent] = &[
    intent("messages", 0),
    intent("members", 1).privileged(),
    intent("channels", 2),
    intent("reactions", 3),
    intent("typing", 4),
    intent("presence", 5).privileged(),
    intent("commands", 6),
    intent("directMessages", 7),
    intent("moderation", 8),
    intent("archetypes", 9),
    intent("spaceUpdates", 10),
    intent("voice", 11),
    intent("calls", 12).privileged(),
    intent("controlInteractions", 13),
];

const fn intent(name: &'static str, bit: u32) -> Intent {
    Intent {
        name,
        bit,
        privileged: false,
    }
}

impl Intent {
    const fn privileged(mut self) -> Self {
        self.privileged = true;
        self
    }
}

/// The stream's events, by name.
pub static EVENTS: &[Event] = &[
    Event {
        name: "archetypeCreate",
        payload: &Shape {
            name: "ArchetypeCreateEvent",
            fields: &[
                field("archetype", Type::Object(&BOT_ARCHETYPE)),
                field("spaceId", Type::Guid),
            ],
        },
        intent: Some("archetypes"),
        doc: "An archetype was added to a space.",
    },
    Event {
        name: "archetypeUpdate",
        payload: &Shape {
            name: "ArchetypeUpdateEvent",
            fields: &[
                field("archetype", Type::Object(&BOT_ARCHETYPE)),
                field("spaceId", Type::Guid),
            ],
        },
        intent: Some("archetypes"),
        doc: "An archetype of a space changed.",
    },
    Event {
        name: "botEntitlementsUpdated",
        payload: &Shape {
            name: "BotEntitlementsUpdatedEvent",
            fields: &[
                field("grantedEntitlements", Type::Flags(&ENTITLEMENTS)),
                field("requiredEntitlements", Type::Flags(&ENTITLEMENTS)),
                field("spaceId", Type::Guid),
            ],
        },
        intent: None,
        doc: "What the space grants the bot no longer matches what the bot requires.",
    },
    Event {
        name: "botInstallingToSpace",
        payload: &Shape {
            name: "BotInstallingToSpaceEvent",
            fields: &[field("spaceId", Type::Guid)],
        },
        intent: None,
        doc: "The bot is being installed into a space.",
    },
    Event {
        name: "botUninstallingFromSpace",
        payload: &Shape {
            name: "BotUninstallingFromSpaceEvent",
            fields: &[field("spaceId", Type::Guid)],
        },
        intent: None,
        doc: "The bot is being removed from a space.",
    },
    Event {
        name: "callEnded",
        payload: &Shape {
            name: "CallEndedEvent",
            fields: &[field("callId", Type::Guid)],
        },
        intent: Some("calls"),
        doc: "A call with the bot is over.",
    },
    Event {
        name: "callIncoming",
        payload: &Shape {
            name: "CallIncomingEvent",
            fields: &[
                field("callId", Type::Guid),
                field("fromUserId", Type::Guid),
                field("fromLocale", Type::String).optional(),
            ],
        },
        intent: Some("calls"),
        doc: "Somebody calls the bot; it rings until it is accepted, rejected or given up.",
    },
    Event {
        name: "channelCreate",
        payload: &Shape {
            name: "ChannelCreateEvent",
            fields: &[
                field("channel", Type::Object(&BOT_CHANNEL_FULL)),
                field("spaceId", Type::Guid),
            ],
        },
        intent: Some("channels"),
        doc: "A space has a new channel.",
    },
    Event {
        name: "channelDelete",
        payload: &Shape {
            name: "ChannelDeleteEvent",
            fields: &[field("channelId", Type::Guid), field("spaceId", Type::Guid)],
        },
        intent: Some("channels"),
        doc: "A channel is gone.",
    },
    Event {
        name: "commandInteraction",
        payload: &Shape {
            name: "CommandInteractionEvent",
            fields: &[
                field("channelId", Type::Guid),
                field("commandId", Type::Guid),
                field("commandName", Type::String),
                field("interactionId", Type::Guid),
                field(
                    "options",
                    Type::List(&Type::Object(&BOT_COMMAND_OPTION_VALUE)),
                )
                .optional(),
                field("spaceId", Type::Guid),
                field("user", Type::Object(&BOT_USER)),
                field("voiceState", Type::Object(&BOT_VOICE_STATE)).optional(),
            ],
        },
        intent: Some("commands"),
        doc: "Somebody ran one of the bot's slash commands.",
    },
    Event {
        name: "controlInteraction",
        payload: &Shape {
            name: "ControlInteractionEvent",
            fields: &[
                field("channelId", Type::Guid),
                field("controlId", Type::String),
                field("controlType", Type::Enum(&CONTROL_TYPE)),
                field("interactionId", Type::Guid),
                field("messageId", Type::Id64),
                field("spaceId", Type::Guid),
                field("user", Type::Object(&BOT_USER)),
                field("voiceState", Type::Object(&BOT_VOICE_STATE)).optional(),
            ],
        },
        intent: Some("controlInteractions"),
        doc: "Somebody clicked a button on one of the bot's messages.",
    },
    Event {
        name: "heartbeat",
        payload: &Shape {
            name: "HeartbeatEventPayload",
            fields: &[field("timestamp", Type::Int64)],
        },
        intent: None,
        doc: "Nothing happened for 30 seconds; the connection is alive.",
    },
    Event {
        name: "memberJoin",
        payload: &Shape {
            name: "MemberJoinEvent",
            fields: &[
                field("spaceId", Type::Guid),
                field("user", Type::Object(&BOT_USER)),
            ],
        },
        intent: Some("members"),
        doc: "Somebody joined a space.",
    },
    Event {
        name: "memberLeave",
        payload: &Shape {
            name: "MemberLeaveEvent",
            fields: &[field("spaceId", Type::Guid), field("userId", Type::Guid)],
        },
        intent: Some("members"),
        doc: "Somebody left a space or was removed from it.",
    },
    Event {
        name: "memberUpdate",
        payload: &Shape {
            name: "MemberUpdateEvent",
            fields: &[
                field("spaceId", Type::Guid),
                field("user", Type::Object(&BOT_USER)),
            ],
        },
        intent: Some("members"),
        doc: "A member's profile or archetypes changed.",
    },
    Event {
        name: "messageCreate",
        payload: &Shape {
            name: "MessageCreateEvent",
            fields: &[
                field("channelId", Type::Guid),
                field("message", Type::Object(&BOT_MESSAGE)),
                field("spaceId", Type::Guid),
            ],
        },
        intent: Some("messages"),
        doc: "A message was written in a channel that the bot can see.",
    },
    Event {
        name: "messageEdit",
        payload: &Shape {
            name: "MessageEditEvent",
            fields: &[
                field("channelId", Type::Guid),
                field("messageId", Type::Id64),
                field("spaceId", Type::Guid),
                field("text", Type::String),
                field("updatedAt", Type::Time),
            ],
        },
        intent: Some("messages"),
        doc: "A message was edited.",
    },
    Event {
        name: "modalSubmit",
        payload: &Shape {
            name: "ModalSubmitEvent",
            fields: &[
                field("channelId", Type::Guid),
                field("customId", Type::String),
                field("interactionId", Type::Guid),
                field("spaceId", Type::Guid),
                field("user", Type::Object(&BOT_USER)),
                field("values", Type::List(&Type::Object(&MODAL_SUBMIT_VALUE))),
                field("voiceState", Type::Object(&BOT_VOICE_STATE)).optional(),
            ],
        },
        intent: Some("controlInteractions"),
        doc: "Somebody sent a modal that the bot had opened.",
    },
    Event {
        name: "presenceUpdate",
        payload: &Shape {
            name: "PresenceUpdateEvent",
            fields: &[
                field("presence", Type::Object(&BOT_PRESENCE)),
                field("spaceId", Type::Guid),
                field("user", Type::Object(&BOT_USER)),
            ],
        },
        intent: Some("presence"),
        doc: "Somebody's status or activity changed.",
    },
    Event {
        name: "reactionAdd",
        payload: &Shape {
            name: "ReactionAddEvent",
            fields: &[
                field("channelId", Type::Guid),
                field("emoji", Type::String),
                field("messageId", Type::Id64),
                field("spaceId", Type::Guid),
                field("userId", Type::Guid),
            ],
        },
        intent: Some("reactions"),
        doc: "Somebody reacted to a message.",
    },
    Event {
        name: "reactionRemove",
        payload: &Shape {
            name: "ReactionRemoveEvent",
            fields: &[
                field("channelId", Type::Guid),
                field("emoji", Type::String),
                field("messageId", Type::Id64),
                field("spaceId", Type::Guid),
                field("userId", Type::Guid),
            ],
        },
        intent: Some("reactions"),
        doc: "Somebody took a reaction back.",
    },
    Event {
        name: "ready",
        payload: &Shape {
            name: "ReadyEventPayload",
            fields: &[
                field("intents", Type::Flags(&INTENT_FLAGS)),
                field("spaces", Type::List(&Type::Object(&BOT_SPACE_INFO))),
            ],
        },
        intent: None,
        doc: "The stream is open; lists the spaces and what they grant.",
    },
    Event {
        name: "resumed",
        payload: &Shape {
            name: "ResumedEventPayload",
            fields: &[field("replayedCount", Type::Int32)],
        },
        intent: None,
        doc: "Events that were missed have been sent again (documented replay only).",
    },
    Event {
        name: "selectInteraction",
        payload: &Shape {
            name: "SelectInteractionEvent",
            fields: &[
                field("channelId", Type::Guid),
                field("controlType", Type::Enum(&CONTROL_TYPE)),
                field("customId", Type::String),
                field("interactionId", Type::Guid),
                field("messageId", Type::Id64),
                field("spaceId", Type::Guid),
                field("user", Type::Object(&BOT_USER)),
                field("values", Type::List(&Type::String)),
                field("voiceState", Type::Object(&BOT_VOICE_STATE)).optional(),
            ],
        },
        intent: Some("controlInteractions"),
        doc: "Somebody chose from a select on one of the bot's messages.",
    },
    Event {
        name: "typingStart",
        payload: &Shape {
            name: "TypingStartEvent",
            fields: &[
                field("channelId", Type::Guid),
                field("kind", Type::Choice(TYPING_KINDS)).optional(),
                field("spaceId", Type::Guid),
                field("userId", Type::Guid),
            ],
        },
        intent: Some("typing"),
        doc: "Somebody began to type.",
    },
    Event {
        name: "typingStop",
        payload: &Shape {
            name: "TypingStopEvent",
            fields: &[
                field("channelId", Type::Guid),
                field("spaceId", Type::Guid),
                field("userId", Type::Guid),
            ],
        },
        intent: Some("typing"),
        doc: "Somebody stopped typing.",
    },
    Event {
        name: "voiceJoin",
        payload: &Shape {
            name: "VoiceJoinEvent",
            fields: &[
                field("channelId", Type::Guid),
                field("spaceId", Type::Guid),
                field("user", Type::Object(&BOT_USER)),
            ],
        },
        intent: Some("voice"),
        doc: "Somebody joined a voice channel.",
    },
    Event {
        name: "voiceLeave",
        payload: &Shape {
            name: "VoiceLeaveEvent",
            fields: &[
                field("channelId", Type::Guid),
                field("spaceId", Type::Guid),
                field("user", Type::Object(&BOT_USER)),
            ],
        },
        intent: Some("voice"),
        doc: "Somebody left a voice channel.",
    },
];
