//! Why a connection ended, and what a refusal means.

use std::fmt;
use std::time::Duration;

use crate::allocator::EVENT_BYTES;

/// Why a connection, or the attempt to make one, ended. `Display` is the reason in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The bot is being stopped.
    Stopped,
    /// The scripts need other intents.
    IntentsChanged,
    /// The stream is open but cut off; the evidence.
    Deaf(&'static str),
    /// The server ended the stream.
    Closed,
    /// No byte came for the watchdog's time.
    Silent(Duration),
    /// Bytes came, but no event was complete for that time: what came cannot be read any more.
    Stuck(Duration),
    /// An event grew past the bound before it was complete.
    Oversized,
    /// What came is not an event stream.
    Broken(String),
    /// The connection could not be made, or broke.
    Lost(String),
    /// The server answered with another status than 200.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The platform's `error`, when the body had one.
        code: Option<String>,
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
}

impl Ending {
    /// One word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::IntentsChanged => "intents_changed",
            Self::Deaf(_) => "deaf",
            Self::Closed => "closed",
            Self::Silent(_) => "silent",
            Self::Stuck(_) => "stuck",
            Self::Oversized => "oversized",
            Self::Broken(_) => "broken",
            Self::Lost(_) => "lost",
            Self::Refused { status: 429, .. } => "rate_limited",
            Self::Refused { .. } => "refused",
        }
    }

    /// Whether the platform does not grant the intents that were asked for.
    pub fn is_missing_intents(&self) -> bool {
        matches!(self, Self::Refused { code: Some(code), .. } if code == "missing_intents")
    }

    /// Whether the event after the last position may be what ended it, so that resuming there again
    /// could end the same way.
    pub fn may_be_poisoned(&self) -> bool {
        matches!(self, Self::Oversized | Self::Stuck(_) | Self::Broken(_))
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the bot stops"),
            Self::IntentsChanged => f.write_str("the scripts need other intents"),
            Self::Deaf(evidence) => write!(f, "the stream is deaf: {evidence}"),
            Self::Closed => f.write_str("the server closed the stream"),
            Self::Silent(time) => write!(f, "nothing came for {} s", time.as_secs_f64()),
            Self::Stuck(time) => write!(
                f,
                "bytes came but no complete event for {} s; invalid UTF-8, perhaps",
                time.as_secs_f64()
            ),
            Self::Oversized => write!(f, "an event over {} MiB came", EVENT_BYTES >> 20),
            Self::Broken(what) => write!(f, "what came is not an event stream: {what}"),
            Self::Lost(what) => f.write_str(what),
            Self::Refused { status, code, .. } => {
                write!(f, "the server answered {status}")?;
                match code {
                    Some(code) => write!(f, " ({code})"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Why the platform will not have the stream until somebody changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// 401: the token is wrong or revoked. The stream has stopped for good.
    Token,
    /// 403 `missing_intents`, and none of the intents is privileged, so that there is none to leave out.
    /// Tried again when the intents change.
    Intents {
        /// The mask that was asked for.
        mask: u64,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token => f.write_str(
                "the platform refused the bot's token (401); check `token` or `token_file` in [bot] \
                 and create a new token if this one was revoked",
            ),
            Self::Intents { mask } => write!(
                f,
                "the platform refused the intents {mask} (missing_intents); the stream is opened again \
                 when the scripts need others"
            ),
        }
    }
}
