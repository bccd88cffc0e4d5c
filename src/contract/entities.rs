//! Message entities as requests carry them: one type whose fields depend on its tag.

use super::enums::ENTITY_TYPE;
use super::schema::{Limit, Type, Union, Variant, field};

/// A span of formatting in a message's text. In requests a span has the fields of its own kind; in
/// events the platform sends them flat ([`super::shapes::BOT_MESSAGE_ENTITY`]).
pub static MESSAGE_ENTITY: Union = Union {
    name: "IMessageEntity",
    tag: "type",
    tags: &ENTITY_TYPE,
    common: &[
        field("type", Type::Enum(&ENTITY_TYPE)),
        field("offset", Type::Int32).limit(Limit::Range(0.0, i32::MAX as f64)),
        field("length", Type::Int32).limit(Limit::Range(0.0, i32::MAX as f64)),
        field("version", Type::Int32).optional(),
    ],
    variants: &[
        Variant {
            tag: "attachment",
            name: "MessageEntityAttachment",
            fields: &[
                field("contentType", Type::String),
                field("fileId", Type::Guid),
                field("fileName", Type::String),
                field("fileSize", Type::Int64),
                field("height", Type::Int32).optional(),
                field("thumbHash", Type::String),
                field("width", Type::Int32).optional(),
            ],
        },
        Variant {
            tag: "email",
            name: "MessageEntityEmail",
            fields: &[field("email", Type::String)],
        },
        Variant {
            tag: "fraction",
            name: "MessageEntityFraction",
            fields: &[
                field("denominator", Type::Int32),
                field("numerator", Type::Int32),
            ],
        },
        Variant {
            tag: "hashtag",
            name: "MessageEntityHashTag",
            fields: &[field("hashtag", Type::String)],
        },
        Variant {
            tag: "mention",
            name: "MessageEntityMention",
            fields: &[field("userId", Type::Guid)],
        },
        Variant {
            tag: "mentionRole",
            name: "MessageEntityMentionRole",
            fields: &[field("archetypeId", Type::Guid)],
        },
        Variant {
            tag: "quote",
            name: "MessageEntityQuote",
            fields: &[field("quotedUserId", Type::Guid)],
        },
        Variant {
            tag: "systemCallEnded",
            name: "MessageEntitySystemCallEnded",
            fields: &[
                field("callId", Type::Guid),
                field("callerId", Type::Guid),
                field("durationSeconds", Type::Int32),
            ],
        },
        Variant {
            tag: "systemCallStarted",
            name: "MessageEntitySystemCallStarted",
            fields: &[field("callId", Type::Guid), field("callerId", Type::Guid)],
        },
        Variant {
            tag: "systemCallTimeout",
            name: "MessageEntitySystemCallTimeout",
            fields: &[field("callId", Type::Guid), field("callerId", Type::Guid)],
        },
        Variant {
            tag: "systemUserJoined",
            name: "MessageEntitySystemUserJoined",
            fields: &[
                field("inviterId", Type::Guid).optional(),
                field("userId", Type::Guid),
            ],
        },
        Variant {
            tag: "underline",
            name: "MessageEntityUnderline",
            fields: &[field("colour", Type::Int32)],
        },
        Variant {
            tag: "url",
            name: "MessageEntityUrl",
            fields: &[field("domain", Type::String), field("path", Type::String)],
        },
    ],
};
