//! Every object type that a route or an event carries; the union of message entities is beside it.
//!
//! Objects are named as on the platform. A field is optional where the platform may leave it out or
//! send null; the manifest marks only value types, the rest is what its server does (protocol.md).

use super::entities::MESSAGE_ENTITY;
use super::enums::*;
use super::limits::*;
use super::schema::{Limit, Shape, Type, field};

/// Wire shape `AcceptCallResponse`.
pub static ACCEPT_CALL_RESPONSE: Shape = Shape {
    name: "AcceptCallResponse",
    fields: &[
        field("audioBaseUrl", Type::String),
        field("callerId", Type::Guid),
        field("roomName", Type::String),
        field("token", Type::String),
    ],
};

/// Wire shape `ArchetypeListResponse`.
pub static ARCHETYPE_LIST_RESPONSE: Shape = Shape {
    name: "ArchetypeListResponse",
    fields: &[field(
        "archetypes",
        Type::List(&Type::Object(&BOT_ARCHETYPE)),
    )],
};

/// Wire shape `ArchetypeMemberV1`.
pub static ARCHETYPE_MEMBER: Shape = Shape {
    name: "ArchetypeMemberV1",
    fields: &[
        field("displayName", Type::String),
        field("userId", Type::Guid),
        field("username", Type::String),
    ],
};

/// Wire shape `ArchetypeMembersResponse`.
pub static ARCHETYPE_MEMBERS_RESPONSE: Shape = Shape {
    name: "ArchetypeMembersResponse",
    fields: &[
        field("archetypeId", Type::Guid),
        field("members", Type::List(&Type::Object(&ARCHETYPE_MEMBER))),
    ],
};

/// Wire shape `BatchGetReactionsResponse`.
pub static BATCH_GET_REACTIONS_RESPONSE: Shape = Shape {
    name: "BatchGetReactionsResponse",
    fields: &[field(
        "messages",
        Type::List(&Type::Object(&MESSAGE_REACTIONS_DTO)),
    )],
};

/// Wire shape `BotActivityV1`.
pub static BOT_ACTIVITY: Shape = Shape {
    name: "BotActivityV1",
    fields: &[
        field("kind", Type::Enum(&ACTIVITY_KIND)),
        field("startTimestampSeconds", Type::Uint32),
        field("titleName", Type::String),
    ],
};

/// Wire shape `BotArchetypeV1`.
pub static BOT_ARCHETYPE: Shape = Shape {
    name: "BotArchetypeV1",
    fields: &[
        field("archetypeId", Type::Guid),
        field("colour", Type::Int32),
        field("isDefault", Type::Bool),
        field("isMentionable", Type::Bool),
        field("name", Type::String),
        field("permissions", Type::Flags(&ENTITLEMENTS)).optional(),
        field("spaceId", Type::Guid),
    ],
};

/// Wire shape `BotChannel`.
pub static BOT_CHANNEL: Shape = Shape {
    name: "BotChannel",
    fields: &[
        field("channelId", Type::Guid),
        field("channelType", Type::Enum(&CHANNEL_TYPE)),
        field("description", Type::String).optional(),
        field("groupId", Type::Guid).optional(),
        field("name", Type::String),
        field("spaceId", Type::Guid),
    ],
};

/// Wire shape `BotChannelBaseV1`.
pub static BOT_CHANNEL_BASE: Shape = Shape {
    name: "BotChannelBaseV1",
    fields: &[
        field("channelId", Type::Guid),
        field("name", Type::String),
        field("spaceId", Type::Guid),
        field("type", Type::Enum(&CHANNEL_TYPE)),
    ],
};

/// Wire shape `BotChannelFullV1`.
pub static BOT_CHANNEL_FULL: Shape = Shape {
    name: "BotChannelFullV1",
    fields: &[
        field("channelId", Type::Guid),
        field("description", Type::String).optional(),
        field("name", Type::String),
        field("spaceId", Type::Guid),
        field("type", Type::Enum(&CHANNEL_TYPE)),
    ],
};

/// Wire shape `BotCommand`.
pub static BOT_COMMAND: Shape = Shape {
    name: "BotCommand",
    fields: &[
        field("commandId", Type::Guid),
        field("defaultPermission", Type::Bool),
        field("description", Type::String),
        field("name", Type::String),
        field("options", Type::List(&Type::Object(&BOT_COMMAND_OPTION))).optional(),
        field("spaceId", Type::Guid).optional(),
    ],
};

/// Wire shape `BotCommandOption`.
pub static BOT_COMMAND_OPTION: Shape = Shape {
    name: "BotCommandOption",
    fields: &[
        field("choices", Type::List(&Type::Object(&COMMAND_CHOICE))).optional(),
        field("description", Type::String)
            .optional()
            .limit(Limit::Length(0, COMMAND_DESCRIPTION)),
        field("name", Type::String).limit(Limit::Length(1, COMMAND_NAME)),
        field("required", Type::Bool).optional(),
        field("subOptions", Type::List(&Type::Object(&BOT_COMMAND_OPTION))).optional(),
        field("type", Type::Enum(&COMMAND_OPTION_TYPE)),
    ],
};

/// Wire shape `BotCommandOptionValueV1`.
pub static BOT_COMMAND_OPTION_VALUE: Shape = Shape {
    name: "BotCommandOptionValueV1",
    fields: &[
        field("name", Type::String),
        field("type", Type::Enum(&COMMAND_OPTION_TYPE)),
        field("value", Type::Any).optional(),
    ],
};

/// Wire shape `BotControlV1`.
pub static BOT_CONTROL: Shape = Shape {
    name: "BotControlV1",
    fields: &[
        field("colour", Type::Object(&OKLCH_COLOR)).optional(),
        field("customId", Type::String)
            .optional()
            .limit(Limit::Length(1, CUSTOM_ID)),
        field("disabled", Type::Bool).optional(),
        field("id", Type::String)
            .optional()
            .limit(Limit::Length(1, CUSTOM_ID)),
        field("label", Type::String)
            .optional()
            .limit(Limit::Length(1, BUTTON_LABEL)),
        field("labelLocalizations", Type::Map(&Type::String)).optional(),
        field("maxValues", Type::Int32)
            .optional()
            .limit(Limit::Range(1.0, 25.0)),
        field("minValues", Type::Int32)
            .optional()
            .limit(Limit::Range(0.0, 25.0)),
        field("options", Type::List(&Type::Object(&SELECT_OPTION)))
            .optional()
            .limit(Limit::Count(1, SELECT_OPTIONS)),
        field("placeholder", Type::String)
            .optional()
            .limit(Limit::Length(0, SELECT_PLACEHOLDER)),
        field("requiredArchetypeId", Type::Guid).optional(),
        field("type", Type::Enum(&CONTROL_TYPE)),
        field("url", Type::String)
            .optional()
            .limit(Limit::Length(1, BUTTON_URL)),
        field("variant", Type::Enum(&BUTTON_VARIANT)).optional(),
    ],
};

/// Wire shape `BotMember`.
pub static BOT_MEMBER: Shape = Shape {
    name: "BotMember",
    fields: &[
        field("archetypeIds", Type::List(&Type::Guid)),
        field("displayName", Type::String),
        field("spaceId", Type::Guid),
        field("userId", Type::Guid),
        field("username", Type::String),
    ],
};

/// Wire shape `BotMessageEntityV1`.
pub static BOT_MESSAGE_ENTITY: Shape = Shape {
    name: "BotMessageEntityV1",
    fields: &[
        field("archetypeId", Type::Guid).optional(),
        field("callId", Type::Guid).optional(),
        field("callerId", Type::Guid).optional(),
        field("colour", Type::Int32).optional(),
        field("contentType", Type::String).optional(),
        field("denominator", Type::Int32).optional(),
        field("domain", Type::String).optional(),
        field("durationSeconds", Type::Int32).optional(),
        field("email", Type::String).optional(),
        field("fileName", Type::String).optional(),
        field("fileSize", Type::Int64).optional(),
        field("hashtag", Type::String).optional(),
        field("height", Type::Int32).optional(),
        field("inviterId", Type::Guid).optional(),
        field("length", Type::Int32),
        field("numerator", Type::Int32).optional(),
        field("offset", Type::Int32),
        field("path", Type::String).optional(),
        field("quotedUserId", Type::Guid).optional(),
        field("thumbHash", Type::String).optional(),
        field("type", Type::Enum(&ENTITY_TYPE)),
        field("userId", Type::Guid).optional(),
        field("width", Type::Int32).optional(),
    ],
};

/// Wire shape `BotMessageV1`.
pub static BOT_MESSAGE: Shape = Shape {
    name: "BotMessageV1",
    fields: &[
        field("channelId", Type::Guid),
        field("controls", Type::List(&Type::Object(&CONTROL_ROW))).optional(),
        field("entities", Type::List(&Type::Object(&BOT_MESSAGE_ENTITY))).optional(),
        field("messageId", Type::Id64),
        field("reactions", Type::List(&Type::Object(&BOT_REACTION))).optional(),
        field("replyId", Type::Id64).optional(),
        field("sender", Type::Object(&BOT_USER)),
        field("spaceId", Type::Guid),
        field("text", Type::String).optional(),
        field("timeSent", Type::Time),
    ],
};

/// Wire shape `BotPresenceV1`.
pub static BOT_PRESENCE: Shape = Shape {
    name: "BotPresenceV1",
    fields: &[
        field("activity", Type::Object(&BOT_ACTIVITY)).optional(),
        field("status", Type::Enum(&USER_STATUS)),
    ],
};

/// Wire shape `BotReactionV1`.
pub static BOT_REACTION: Shape = Shape {
    name: "BotReactionV1",
    fields: &[
        field("count", Type::Int32),
        field("emoji", Type::String),
        field("userIds", Type::List(&Type::Guid)).optional(),
    ],
};

/// Wire shape `BotSelfResponse`.
pub static BOT_SELF_RESPONSE: Shape = Shape {
    name: "BotSelfResponse",
    fields: &[
        field("botId", Type::Guid),
        field("displayName", Type::String),
        field("userId", Type::Guid),
        field("username", Type::String),
    ],
};

/// Wire shape `BotSpaceBase`.
pub static BOT_SPACE_BASE: Shape = Shape {
    name: "BotSpaceBase",
    fields: &[
        field("description", Type::String).optional(),
        field("name", Type::String),
        field("spaceId", Type::Guid),
    ],
};

/// Wire shape `BotSpaceDetail`.
pub static BOT_SPACE_DETAIL: Shape = Shape {
    name: "BotSpaceDetail",
    fields: &[
        field("description", Type::String).optional(),
        field("isCommunity", Type::Bool),
        field("name", Type::String),
        field("spaceId", Type::Guid),
    ],
};

/// Wire shape `BotSpaceInfo`.
pub static BOT_SPACE_INFO: Shape = Shape {
    name: "BotSpaceInfo",
    fields: &[
        field("grantedEntitlements", Type::Flags(&ENTITLEMENTS)),
        field("pendingApproval", Type::Bool),
        field("spaceId", Type::Guid),
    ],
};

/// Wire shape `BotSpacesResponse`.
pub static BOT_SPACES_RESPONSE: Shape = Shape {
    name: "BotSpacesResponse",
    fields: &[field("spaces", Type::List(&Type::Object(&BOT_SPACE_BASE)))],
};

/// Wire shape `BotSseEvent`.
pub static BOT_SSE_EVENT: Shape = Shape {
    name: "BotSseEvent",
    fields: &[
        field("channelId", Type::Guid).optional(),
        field("data", Type::Any).optional(),
        field("id", Type::String),
        field("spaceId", Type::Guid).optional(),
        field("type", Type::String),
    ],
};

/// Wire shape `BotUserV1`.
pub static BOT_USER: Shape = Shape {
    name: "BotUserV1",
    fields: &[
        field("avatarUrl", Type::String).optional(),
        field("displayName", Type::String),
        field("flags", Type::Flags(&USER_FLAGS)),
        field("userId", Type::Guid),
        field("username", Type::String),
    ],
};

/// Wire shape `BotVoiceStateV1`.
pub static BOT_VOICE_STATE: Shape = Shape {
    name: "BotVoiceStateV1",
    fields: &[
        field("channelId", Type::Guid),
        field("joinedAt", Type::Time),
        field("state", Type::Flags(&MEMBER_STATE)),
    ],
};

/// Wire shape `ChannelListResponse`.
pub static CHANNEL_LIST_RESPONSE: Shape = Shape {
    name: "ChannelListResponse",
    fields: &[field("channels", Type::List(&Type::Object(&BOT_CHANNEL)))],
};

/// Wire shape `CommandChoice`.
pub static COMMAND_CHOICE: Shape = Shape {
    name: "CommandChoice",
    fields: &[field("name", Type::String), field("value", Type::Any)],
};

/// Wire shape `CommandListResponse`.
pub static COMMAND_LIST_RESPONSE: Shape = Shape {
    name: "CommandListResponse",
    fields: &[field("commands", Type::List(&Type::Object(&BOT_COMMAND)))],
};

/// Wire shape `CommandRegisteredResponse`.
pub static COMMAND_REGISTERED_RESPONSE: Shape = Shape {
    name: "CommandRegisteredResponse",
    fields: &[
        field("commandId", Type::Guid),
        field("name", Type::String),
        field("spaceId", Type::Guid).optional(),
    ],
};

/// Wire shape `ControlRowV1`.
pub static CONTROL_ROW: Shape = Shape {
    name: "ControlRowV1",
    fields: &[field("controls", Type::List(&Type::Object(&BOT_CONTROL)))
        .limit(Limit::Count(1, BUTTONS_PER_ROW))],
};

/// Wire shape `DeletedResponse`.
pub static DELETED_RESPONSE: Shape = Shape {
    name: "DeletedResponse",
    fields: &[field("deleted", Type::Bool)],
};

/// Wire shape `KickResponse`.
pub static KICK_RESPONSE: Shape = Shape {
    name: "KickResponse",
    fields: &[field("kicked", Type::Bool)],
};

/// Wire shape `ListReactionsResponse`.
pub static LIST_REACTIONS_RESPONSE: Shape = Shape {
    name: "ListReactionsResponse",
    fields: &[field("reactions", Type::List(&Type::Object(&REACTION_DTO)))],
};

/// Wire shape `MemberListResponse`.
pub static MEMBER_LIST_RESPONSE: Shape = Shape {
    name: "MemberListResponse",
    fields: &[field("members", Type::List(&Type::Object(&BOT_MEMBER)))],
};

/// Wire shape `MessageDto`.
pub static MESSAGE_DTO: Shape = Shape {
    name: "MessageDto",
    fields: &[
        field("channelId", Type::Guid),
        field("controls", Type::List(&Type::Object(&CONTROL_ROW))).optional(),
        field("createdAt", Type::Time),
        field("creatorId", Type::Guid),
        field("entities", Type::List(&Type::Union(&MESSAGE_ENTITY))).optional(),
        field("messageId", Type::Id64),
        field("reactions", Type::List(&Type::Object(&REACTION_DTO))).optional(),
        field("replyTo", Type::Id64).optional(),
        field("spaceId", Type::Guid),
        field("text", Type::String),
    ],
};

/// Wire shape `MessageHistoryResponse`.
pub static MESSAGE_HISTORY_RESPONSE: Shape = Shape {
    name: "MessageHistoryResponse",
    fields: &[field("messages", Type::List(&Type::Object(&MESSAGE_DTO)))],
};

/// Wire shape `MessageReactionsDto`.
pub static MESSAGE_REACTIONS_DTO: Shape = Shape {
    name: "MessageReactionsDto",
    fields: &[
        field("messageId", Type::Id64),
        field("reactions", Type::List(&Type::Object(&REACTION_DTO))),
    ],
};

/// Wire shape `ModalComponentV1`.
pub static MODAL_COMPONENT: Shape = Shape {
    name: "ModalComponentV1",
    fields: &[
        field("customId", Type::String).limit(Limit::Length(1, CUSTOM_ID)),
        field("default", Type::Bool).optional(),
        field("description", Type::String).optional(),
        field("label", Type::String).limit(Limit::Length(1, MODAL_TITLE)),
        field("maxLength", Type::Int32)
            .optional()
            .limit(Limit::Range(0.0, MODAL_TEXT as f64)),
        field("maxValues", Type::Int32)
            .optional()
            .limit(Limit::Range(1.0, 25.0)),
        field("minLength", Type::Int32)
            .optional()
            .limit(Limit::Range(0.0, MODAL_TEXT as f64)),
        field("minValues", Type::Int32)
            .optional()
            .limit(Limit::Range(0.0, 25.0)),
        field("options", Type::List(&Type::Object(&SELECT_OPTION)))
            .optional()
            .limit(Limit::Count(1, SELECT_OPTIONS)),
        field("placeholder", Type::String)
            .optional()
            .limit(Limit::Length(0, 100)),
        field("required", Type::Bool).optional(),
        field("style", Type::Enum(&TEXT_STYLE)).optional(),
        field("type", Type::Enum(&MODAL_COMPONENT_TYPE)),
        field("value", Type::String)
            .optional()
            .limit(Limit::Length(0, MODAL_TEXT as usize)),
    ],
};

/// Wire shape `ModalDefinitionV1`.
pub static MODAL_DEFINITION: Shape = Shape {
    name: "ModalDefinitionV1",
    fields: &[
        field("components", Type::List(&Type::Object(&MODAL_COMPONENT)))
            .limit(Limit::Count(1, MODAL_COMPONENTS)),
        field("customId", Type::String).limit(Limit::Length(1, CUSTOM_ID)),
        field("title", Type::String).limit(Limit::Length(1, MODAL_TITLE)),
    ],
};

/// Wire shape `ModalResponse`.
pub static MODAL_RESPONSE: Shape = Shape {
    name: "ModalResponse",
    fields: &[field("modalInteractionId", Type::Guid)],
};

/// Wire shape `ModalSubmitValueV1`.
pub static MODAL_SUBMIT_VALUE: Shape = Shape {
    name: "ModalSubmitValueV1",
    fields: &[
        field("customId", Type::String),
        field("values", Type::List(&Type::String)).optional(),
    ],
};

/// Wire shape `OklchColor`.
pub static OKLCH_COLOR: Shape = Shape {
    name: "OklchColor",
    fields: &[
        field("c", Type::Float).limit(Limit::Range(COLOUR_CHROMA.0, COLOUR_CHROMA.1)),
        field("h", Type::Float).limit(Limit::Below(COLOUR_HUE.0, COLOUR_HUE.1)),
        field("l", Type::Float).limit(Limit::Range(COLOUR_LIGHTNESS.0, COLOUR_LIGHTNESS.1)),
    ],
};

/// Wire shape `ReactionDto`.
pub static REACTION_DTO: Shape = Shape {
    name: "ReactionDto",
    fields: &[
        field("count", Type::Int32),
        field("emoji", Type::String),
        field("userIds", Type::List(&Type::Guid)).optional(),
    ],
};

/// Wire shape `RejectCallResponse`.
pub static REJECT_CALL_RESPONSE: Shape = Shape {
    name: "RejectCallResponse",
    fields: &[field("rejected", Type::Bool)],
};

/// Wire shape `ReplyResponse`.
pub static REPLY_RESPONSE: Shape = Shape {
    name: "ReplyResponse",
    fields: &[field("messageId", Type::Id64)],
};

/// Wire shape `RingingCall`.
pub static RINGING_CALL: Shape = Shape {
    name: "RingingCall",
    fields: &[field("callId", Type::Guid), field("callerId", Type::Guid)],
};

/// Wire shape `RingingCallsResponse`.
pub static RINGING_CALLS_RESPONSE: Shape = Shape {
    name: "RingingCallsResponse",
    fields: &[field("calls", Type::List(&Type::Object(&RINGING_CALL)))],
};

/// Wire shape `SelectOptionV1`.
pub static SELECT_OPTION: Shape = Shape {
    name: "SelectOptionV1",
    fields: &[
        field("default", Type::Bool).optional(),
        field("description", Type::String)
            .optional()
            .limit(Limit::Length(0, CUSTOM_ID)),
        field("label", Type::String).limit(Limit::Length(1, CUSTOM_ID)),
        field("value", Type::String).limit(Limit::Length(1, CUSTOM_ID)),
    ],
};

/// Wire shape `SendMessageResponse`.
pub static SEND_MESSAGE_RESPONSE: Shape = Shape {
    name: "SendMessageResponse",
    fields: &[field("messageId", Type::Id64)],
};

/// Wire shape `SubscribeTrackResponse`.
pub static SUBSCRIBE_TRACK_RESPONSE: Shape = Shape {
    name: "SubscribeTrackResponse",
    fields: &[
        field("roomName", Type::String),
        field("token", Type::String),
        field("trackId", Type::String),
        field("wsUrl", Type::String),
    ],
};

/// Wire shape `VoiceStreamTokenResponse`.
pub static VOICE_STREAM_TOKEN_RESPONSE: Shape = Shape {
    name: "VoiceStreamTokenResponse",
    fields: &[
        field("ingressUrl", Type::String),
        field("roomName", Type::String),
        field("token", Type::String),
    ],
};
