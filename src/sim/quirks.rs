//! Where the platform's server and its documentation disagree, as one table (protocol.md).
//!
//! A quirk is what the server really does. With all of them the embedded server behaves as the real
//! one, with none of them as the documentation says; the code asks for one quirk where the two ways
//! part. What both agree on is not here, and neither is how the voice sockets write their status
//! messages, where two builds of the server differ ([`super::VoiceStatus`]).

use crate::config::Dialect;

/// One line of the reference.
#[derive(Debug)]
pub struct Difference {
    /// What it is about.
    pub about: &'static str,
    /// What the server does.
    pub server: &'static str,
    /// What the documentation says.
    pub documented: &'static str,
}

macro_rules! quirks {
    ($($name:ident: $about:literal, $server:literal, $documented:literal;)*) => {
        /// Which of the server's own ways are in force.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Quirks {
            $(#[doc = concat!($about, ": ", $server, ". Documented: ", $documented, ".")] pub $name: bool,)*
        }

        impl Quirks {
            /// What a dialect means.
            pub const fn of(dialect: Dialect) -> Self {
                let server = matches!(dialect, Dialect::Server);
                Self { $($name: server,)* }
            }
        }

        /// The table for the reference.
        pub static DIFFERENCES: &[Difference] = &[
            $(Difference { about: $about, server: $server, documented: $documented },)*
        ];
    };
}

quirks! {
    numbers: "Enums and bit sets in answers and events",
        "enums are numbers (`IChannels` writes a channel's type as `Text`, `typingStart` its kind as `THINKING`), bit sets are numbers",
        "enums are camelCase names, bit sets one string of names (`permissions` and `intents` are numbers)";
    numbered_entities: "The type of a message's entity in a request",
        "must be a number",
        "is a name; a number is accepted";
    missing_are_defaults: "A required field that a request leaves out",
        "is zero, null or the zero id; messages without `randomId` repeat one another",
        "is a `validation_error`; a message without `randomId` repeats nothing";
    bare_500s: "An act that makes no sense (unknown space or channel, invalid controls or modal, text in a voice channel, slow mode, somebody else's message, a command that exists)",
        "is a 500 without a body",
        "is an error with a code";
    invalid_modal_is_used_up: "An invalid modal",
        "uses the interaction up",
        "leaves the interaction open";
    modal_ids: "`modalSubmit`",
        "`customId` is the `modalInteractionId`, and the submission cannot be acknowledged",
        "`customId` is the definition's, and the submission is an interaction";
    interactions_for_all: "Interaction events",
        "go to every bot in the space",
        "go to the bot whose command or message it is";
    controls_are_hidden: "`messageCreate`",
        "`controls` is null",
        "carries the message's controls";
    stale_history: "`IMessages/History`",
        "shows reactions up to 3 s late; entities have `version`, `unionKey` and `unionIndex`",
        "shows what is there";
    empty_lists: "`IReactions/List`, `IArchetypes/ListMembers`, `ICalls/Ringing`",
        "404, an empty list, an empty list",
        "answer what is there";
    global_commands_repeat: "A global command that is registered again",
        "is there twice",
        "is refused as one of a space is";
    egress_wants_space: "`IVoiceEgress`",
        "`UnsubscribeTrack` needs `?spaceId=`, `wsUrl` is an HTTP address",
        "`UnsubscribeTrack` needs its body only, `wsUrl` is a WebSocket address";
    newer_fields: "Fields that are newer than the documentation",
        "`callIncoming.fromLocale`, `locale` of users, entities of type `gif`",
        "are not there";
    retry_after_is_1: "`Retry-After` of a 429",
        "is 1 whatever the wait",
        "is the wait in whole seconds";
    deaf_streams: "A bot's second stream when the first one ends",
        "gets heartbeats only",
        "goes on";
    ready_without_ids: "`ready`",
        "has `spaces`",
        "has `spaceIds` beside `spaces`";
    position_is_kept: "Events that were missed",
        "come when the bot is back within 10 minutes; `Last-Event-ID` and `lastEventId` are ignored",
        "come when the bot names the last one it had, then `resumed`; otherwise it begins with what is new";
    id_comes_last: "The fields of a server-sent event",
        "are `event`, `data`, `id`",
        "are `id`, `event`, `data`";
}

impl Default for Quirks {
    fn default() -> Self {
        Self::of(Dialect::default())
    }
}
