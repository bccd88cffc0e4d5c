//! What goes wrong in voice, for scripts and logs.

use crate::rest;

/// Why something did not work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The platform refused a call.
    #[error(transparent)]
    Rest(#[from] rest::Error),
    /// Anything else.
    #[error("{message}")]
    Voice {
        /// Names the reason, for scripts.
        code: &'static str,
        /// Says what to do, for people.
        message: String,
    },
}

impl Error {
    /// An error with a code for scripts.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Error::Voice {
            code,
            message: message.into(),
        }
    }

    /// The connection is over.
    pub fn closed() -> Self {
        Self::new("closed", "this voice connection is over: join again")
    }
}
