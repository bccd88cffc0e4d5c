//! Every route of the platform: a new one is a new row.

use super::entities::MESSAGE_ENTITY;
use super::enums::*;
use super::limits::*;
use super::schema::{Field, Interface, Limit, Method, Retry, Route, Shape, Type, field};
use super::shapes::*;

const fn interface(
    name: &'static str,
    version: u32,
    per_minute: u32,
    doc: &'static str,
) -> Interface {
    Interface {
        name,
        version,
        per_minute,
        doc,
    }
}

static ARCHETYPES: Interface = interface("IArchetypes", 1, 30, "Archetypes (roles) of a space.");
static BOT_SELF: Interface =
    interface("IBotSelf", 1, 15, "The bot itself and the spaces it is in.");
static CALLS: Interface = interface("ICalls", 20260401, 20, "Calls to the bot.");
static CHANNELS: Interface = interface("IChannels", 1, 60, "Channels of a space.");
static COMMANDS: Interface = interface("ICommands", 1, 60, "The bot's slash commands.");
static EVENTS: Interface = interface("IEvents", 1, 5, "The event stream.");
static INTERACTIONS: Interface = interface(
    "IInteractions",
    1,
    120,
    "Answers to commands, controls and modals; edits of own messages.",
);
static MEMBERS: Interface = interface("IMembers", 1, 30, "Moderation of members.");
static MESSAGES: Interface = interface("IMessages", 1, 120, "Messages of a channel.");
static REACTIONS: Interface = interface("IReactions", 1, 60, "Emoji reactions on messages.");
static SPACES: Interface = interface("ISpaces", 1, 30, "Spaces and their members.");
static TYPING: Interface = interface("ITyping", 1, 60, "Typing indicators.");
static VOICE: Interface = interface("IVoice", 1, 20, "Speaking in a voice channel.");
static VOICE_EGRESS: Interface = interface(
    "IVoiceEgress",
    20260401,
    10,
    "Listening in a voice channel.",
);

/// Every interface, by name.
pub static INTERFACES: &[&Interface] = &[
    &ARCHETYPES,
    &BOT_SELF,
    &CALLS,
    &CHANNELS,
    &COMMANDS,
    &EVENTS,
    &INTERACTIONS,
    &MEMBERS,
    &MESSAGES,
    &REACTIONS,
    &SPACES,
    &TYPING,
    &VOICE,
    &VOICE_EGRESS,
];

const fn route(
    interface: &'static Interface,
    method: Method,
    name: &'static str,
    doc: &'static str,
) -> Route {
    Route {
        interface,
        name,
        method,
        query: &[],
        body: None,
        response: None,
        errors: &[],
        permission: None,
        privileged: false,
        retry: match method {
            Method::Get => Retry::Idempotent,
            _ => Retry::Never,
        },
        doc,
    }
}

impl Route {
    const fn query(mut self, fields: &'static [Field]) -> Self {
        self.query = fields;
        self
    }
    const fn body(mut self, shape: &'static Shape) -> Self {
        self.body = Some(shape);
        self
    }
    const fn response(mut self, shape: &'static Shape) -> Self {
        self.response = Some(shape);
        self
    }
    const fn errors(mut self, codes: &'static [&'static str]) -> Self {
        self.errors = codes;
        self
    }
    const fn permission(mut self, name: &'static str) -> Self {
        self.permission = Some(name);
        self
    }
    const fn privileged(mut self) -> Self {
        self.privileged = true;
        self
    }
    const fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }
}

/// What a message is made of, in a Send and in a Reply.
static NEW_MESSAGE: &[Field] = &[
    field("channelId", Type::Guid),
    field("controls", Type::List(&Type::Object(&CONTROL_ROW)))
        .optional()
        .limit(Limit::Count(0, CONTROL_ROWS)),
    field("entities", Type::List(&Type::Union(&MESSAGE_ENTITY))).optional(),
    field("randomId", Type::Id64).optional(),
    field("replyTo", Type::Id64).optional(),
    field("text", Type::String),
];

/// Every route, by interface and name.
pub static ROUTES: &[Route] = &[
    route(&ARCHETYPES, Method::Get, "Get", "One archetype.")
        .query(&[
            field("spaceId", Type::Guid),
            field("archetypeId", Type::Guid),
        ])
        .response(&BOT_ARCHETYPE)
        .errors(&["not_a_member", "not_found"]),
    route(
        &ARCHETYPES,
        Method::Get,
        "List",
        "Every archetype of a space; permissions only with manageArchetype.",
    )
    .query(&[field("spaceId", Type::Guid)])
    .response(&ARCHETYPE_LIST_RESPONSE)
    .errors(&["not_a_member"]),
    route(
        &ARCHETYPES,
        Method::Get,
        "ListMembers",
        "The members who have an archetype; empty on the platform today.",
    )
    .query(&[
        field("spaceId", Type::Guid),
        field("archetypeId", Type::Guid),
    ])
    .response(&ARCHETYPE_MEMBERS_RESPONSE)
    .errors(&["not_a_member"])
    .permission("ViewMembers"),
    route(&BOT_SELF, Method::Get, "GetMe", "The bot's own profile.").response(&BOT_SELF_RESPONSE),
    route(
        &BOT_SELF,
        Method::Get,
        "GetSpaces",
        "The spaces the bot is installed in.",
    )
    .response(&BOT_SPACES_RESPONSE),
    route(&CALLS, Method::Post, "Accept", "Accepts a ringing call.")
        .body(&Shape {
            name: "AcceptCallRequest",
            fields: &[field("callId", Type::Guid)],
        })
        .response(&ACCEPT_CALL_RESPONSE)
        .errors(&["accept_failed", "not_ringing", "not_callee", "not_verified"])
        .permission("ConnectVoice")
        .privileged(),
    route(
        &CALLS,
        Method::Post,
        "Reject",
        "Rejects a call, with a reason if one is given.",
    )
    .body(&Shape {
        name: "RejectCallRequest",
        fields: &[
            field("callId", Type::Guid),
            field("reason", Type::String).optional(),
        ],
    })
    .response(&REJECT_CALL_RESPONSE)
    .errors(&["not_callee", "not_verified"])
    .permission("ConnectVoice")
    .privileged(),
    route(
        &CALLS,
        Method::Get,
        "Ringing",
        "The calls that ring now; empty on the platform today.",
    )
    .response(&RINGING_CALLS_RESPONSE)
    .errors(&["not_verified"])
    .permission("ConnectVoice")
    .privileged(),
    route(&CHANNELS, Method::Post, "Create", "Creates a channel.")
        .body(&Shape {
            name: "CreateChannelRequest",
            fields: &[
                field("channelType", Type::Enum(&CHANNEL_TYPE)),
                field("description", Type::String).optional(),
                field("groupId", Type::Guid).optional(),
                field("name", Type::String),
                field("spaceId", Type::Guid),
            ],
        })
        .response(&BOT_CHANNEL)
        .errors(&["not_a_member"])
        .permission("ManageChannels"),
    route(&CHANNELS, Method::Delete, "Delete", "Deletes a channel.")
        .query(&[field("spaceId", Type::Guid), field("channelId", Type::Guid)])
        .response(&DELETED_RESPONSE)
        .errors(&["not_a_member"])
        .permission("ManageChannels"),
    route(&CHANNELS, Method::Get, "List", "Every channel of a space.")
        .query(&[field("spaceId", Type::Guid)])
        .response(&CHANNEL_LIST_RESPONSE)
        .errors(&["not_a_member"]),
    route(
        &COMMANDS,
        Method::Delete,
        "Delete",
        "Removes a slash command.",
    )
    .query(&[field("commandId", Type::Guid)])
    .response(&DELETED_RESPONSE)
    .errors(&["not_found"])
    .retry(Retry::Settles {
        code: "not_found",
        body: "{\"deleted\":true}",
    }),
    route(
        &COMMANDS,
        Method::Get,
        "List",
        "Every command of the bot, in all scopes.",
    )
    .response(&COMMAND_LIST_RESPONSE),
    route(
        &COMMANDS,
        Method::Get,
        "ListForSpace",
        "The commands that can be used in a space.",
    )
    .query(&[field("spaceId", Type::Guid)])
    .response(&COMMAND_LIST_RESPONSE),
    route(
        &COMMANDS,
        Method::Post,
        "Register",
        "Adds a slash command, global or of one space. It does not merge: see argon.command.",
    )
    .body(&Shape {
        name: "RegisterCommandRequest",
        fields: &[
            field("defaultPermission", Type::Bool).optional(),
            field("description", Type::String).limit(Limit::Length(0, COMMAND_DESCRIPTION)),
            field("name", Type::String).limit(Limit::Length(1, COMMAND_NAME)),
            field("options", Type::List(&Type::Object(&BOT_COMMAND_OPTION))).optional(),
            field("spaceId", Type::Guid).optional(),
        ],
    })
    .response(&COMMAND_REGISTERED_RESPONSE)
    .errors(&["command_limit", "invalid_description", "invalid_name"]),
    route(
        &COMMANDS,
        Method::Patch,
        "Update",
        "Changes a slash command.",
    )
    .body(&Shape {
        name: "UpdateCommandRequest",
        fields: &[
            field("commandId", Type::Guid),
            field("defaultPermission", Type::Bool).optional(),
            field("description", Type::String)
                .optional()
                .limit(Limit::Length(0, COMMAND_DESCRIPTION)),
            field("options", Type::List(&Type::Object(&BOT_COMMAND_OPTION))).optional(),
        ],
    })
    .response(&BOT_COMMAND)
    .errors(&["not_found"])
    .retry(Retry::Idempotent),
    route(
        &EVENTS,
        Method::Get,
        "Stream",
        "The event stream. The host owns it; scripts use argon.on.",
    )
    .query(&[
        field("intents", Type::Flags(&INTENT_FLAGS)),
        field("lastEventId", Type::String).optional(),
    ])
    .response(&BOT_SSE_EVENT)
    .errors(&["missing_intents"]),
    route(
        &INTERACTIONS,
        Method::Post,
        "Ack",
        "Confirms an interaction without an answer.",
    )
    .body(&Shape {
        name: "AckRequest",
        fields: &[field("interactionId", Type::Guid)],
    })
    .errors(&["interaction_not_found"])
    .retry(Retry::Idempotent),
    route(
        &INTERACTIONS,
        Method::Post,
        "Defer",
        "Shows that an answer will take a while.",
    )
    .body(&Shape {
        name: "DeferRequest",
        fields: &[field("interactionId", Type::Guid)],
    })
    .errors(&["interaction_not_found"])
    .retry(Retry::Idempotent),
    route(
        &INTERACTIONS,
        Method::Patch,
        "EditMessage",
        "Changes text or controls of one of the bot's messages.",
    )
    .body(&Shape {
        name: "EditMessageRequest",
        fields: &[
            field("channelId", Type::Guid),
            field("controls", Type::List(&Type::Object(&CONTROL_ROW)))
                .optional()
                .limit(Limit::Count(0, CONTROL_ROWS)),
            field("messageId", Type::Id64),
            field("text", Type::String).optional(),
        ],
    })
    .errors(&["message_not_found"])
    .retry(Retry::Idempotent),
    route(
        &INTERACTIONS,
        Method::Post,
        "Modal",
        "Opens a form for the person; uses the interaction up.",
    )
    .body(&Shape {
        name: "ModalRequest",
        fields: &[
            field("interactionId", Type::Guid),
            field("modal", Type::Object(&MODAL_DEFINITION)),
        ],
    })
    .response(&MODAL_RESPONSE)
    .errors(&["validation_error", "interaction_not_found"]),
    route(
        &INTERACTIONS,
        Method::Post,
        "Reply",
        "Answers an interaction with a message.",
    )
    .body(&Shape {
        name: "ReplyRequest",
        fields: NEW_MESSAGE,
    })
    .response(&REPLY_RESPONSE)
    .errors(&["not_a_member"])
    .retry(Retry::RandomId),
    route(
        &MEMBERS,
        Method::Post,
        "Kick",
        "Removes somebody from a voice channel.",
    )
    .query(&[
        field("spaceId", Type::Guid),
        field("channelId", Type::Guid),
        field("userId", Type::Guid),
    ])
    .response(&KICK_RESPONSE)
    .errors(&["kick_failed", "not_a_member"])
    .permission("KickMembers"),
    route(
        &MESSAGES,
        Method::Get,
        "History",
        "A page of a channel's messages, newest first, older than `from` if it is given.",
    )
    .query(&[
        field("channelId", Type::Guid),
        field("from", Type::Id64).optional(),
        field("limit", Type::Int32)
            .optional()
            .limit(Limit::Range(1.0, HISTORY_PAGE.0 as f64)),
    ])
    .response(&MESSAGE_HISTORY_RESPONSE)
    .errors(&["not_a_member"])
    .permission("ReadMessages"),
    route(&MESSAGES, Method::Post, "Send", "Writes a message.")
        .body(&Shape {
            name: "SendMessageRequest",
            fields: NEW_MESSAGE,
        })
        .response(&SEND_MESSAGE_RESPONSE)
        .errors(&["not_a_member"])
        .permission("SendMessages")
        .retry(Retry::RandomId),
    route(&REACTIONS, Method::Post, "Add", "Reacts to a message.")
        .body(&Shape {
            name: "AddReactionRequest",
            fields: &[
                field("channelId", Type::Guid),
                field("emoji", Type::String),
                field("messageId", Type::Id64),
            ],
        })
        .errors(&[
            "insufficient_permissions",
            "not_a_member",
            "message_not_found",
            "already_reacted",
            "reaction_limit_reached",
        ])
        .permission("AddReactions")
        .retry(Retry::Settles {
            code: "already_reacted",
            body: "{}",
        }),
    route(
        &REACTIONS,
        Method::Post,
        "BatchGet",
        "The reactions of several messages.",
    )
    .body(&Shape {
        name: "BatchGetReactionsRequest",
        fields: &[
            field("channelId", Type::Guid),
            field("messageIds", Type::List(&Type::Id64)).limit(Limit::Count(1, REACTION_BATCH)),
        ],
    })
    .response(&BATCH_GET_REACTIONS_RESPONSE)
    .retry(Retry::Idempotent),
    route(
        &REACTIONS,
        Method::Get,
        "List",
        "The reactions of one message; 404 on the platform today, BatchGet works.",
    )
    .query(&[
        field("channelId", Type::Guid),
        field("messageId", Type::Id64),
    ])
    .response(&LIST_REACTIONS_RESPONSE)
    .errors(&["message_not_found"]),
    route(
        &REACTIONS,
        Method::Delete,
        "Remove",
        "Takes the bot's own reaction back.",
    )
    .body(&Shape {
        name: "RemoveReactionRequest",
        fields: &[
            field("channelId", Type::Guid),
            field("emoji", Type::String),
            field("messageId", Type::Id64),
        ],
    })
    .errors(&["message_not_found", "reaction_not_found"])
    .retry(Retry::Settles {
        code: "reaction_not_found",
        body: "{}",
    }),
    route(&SPACES, Method::Get, "Get", "A space.")
        .query(&[field("spaceId", Type::Guid)])
        .response(&BOT_SPACE_DETAIL)
        .errors(&["not_a_member"]),
    route(&SPACES, Method::Get, "GetMember", "One member of a space.")
        .query(&[field("spaceId", Type::Guid), field("userId", Type::Guid)])
        .response(&BOT_MEMBER)
        .errors(&["not_a_member"])
        .permission("ViewMembers"),
    route(
        &SPACES,
        Method::Get,
        "ListMembers",
        "Every member of a space.",
    )
    .query(&[field("spaceId", Type::Guid)])
    .response(&MEMBER_LIST_RESPONSE)
    .errors(&["not_a_member"])
    .permission("ViewMembers")
    .privileged(),
    route(
        &TYPING,
        Method::Post,
        "Start",
        "Shows the bot typing; ends by itself after 8 seconds.",
    )
    .body(&Shape {
        name: "SendTypingRequest",
        fields: &[
            field("channelId", Type::Guid),
            field("kind", Type::Choice(TYPING_KINDS)).optional(),
        ],
    })
    .errors(&["not_a_member"])
    .permission("SendMessages")
    .retry(Retry::Idempotent),
    route(&TYPING, Method::Post, "Stop", "Ends the typing indicator.")
        .body(&Shape {
            name: "StopTypingRequest",
            fields: &[field("channelId", Type::Guid)],
        })
        .errors(&["not_a_member"])
        .retry(Retry::Idempotent),
    route(
        &VOICE,
        Method::Post,
        "StreamToken",
        "A token to speak in a voice channel, valid for 2 hours.",
    )
    .body(&Shape {
        name: "VoiceStreamTokenRequest",
        fields: &[field("channelId", Type::Guid), field("spaceId", Type::Guid)],
    })
    .response(&VOICE_STREAM_TOKEN_RESPONSE)
    .errors(&["not_voice_channel", "not_a_member", "channel_not_found"])
    .permission("ConnectVoice")
    .retry(Retry::Idempotent),
    route(
        &VOICE_EGRESS,
        Method::Post,
        "SubscribeTrack",
        "A token to hear one person in a voice channel.",
    )
    .body(&Shape {
        name: "SubscribeTrackRequest",
        fields: &[
            field("channelId", Type::Guid),
            field("spaceId", Type::Guid),
            field("userId", Type::Guid),
        ],
    })
    .response(&SUBSCRIBE_TRACK_RESPONSE)
    .errors(&[
        "not_voice_channel",
        "not_a_member",
        "not_verified",
        "channel_not_found",
    ])
    .permission("ConnectVoice")
    .privileged(),
    route(
        &VOICE_EGRESS,
        Method::Delete,
        "UnsubscribeTrack",
        "Stops hearing somebody; the server wants spaceId, too.",
    )
    .query(&[field("spaceId", Type::Guid).optional()])
    .body(&Shape {
        name: "UnsubscribeTrackRequest",
        fields: &[field("trackId", Type::String)],
    })
    .response(&DELETED_RESPONSE)
    .errors(&["not_verified"])
    .permission("ConnectVoice")
    .privileged(),
];
