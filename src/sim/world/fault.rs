//! Why an act did not happen.

use std::time::Duration;

use crate::contract;

/// A refusal: what becomes the error of an HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// `{error, message}` with a status.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The snake_case code.
        error: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The platform's server throws here: a 500 without a body. Its documentation would have this code.
    Crash(&'static str),
    /// A message too soon after another one in a slow channel; the next may come after this time. A crash of
    /// the platform's server, too; its documentation would have `rate_limited`.
    TooFast(Duration),
}

impl Fault {
    /// A failure that the platform documents.
    pub fn code(code: &'static str) -> Self {
        let known = contract::error_code(code);
        Fault::Refused {
            status: known.map_or(400, |known| known.status),
            error: code,
            message: known.map_or_else(String::new, |known| known.doc.to_owned()),
        }
    }

    /// The request makes no sense (control API).
    pub fn bad(message: impl Into<String>) -> Self {
        Fault::Refused {
            status: 400,
            error: "bad_request",
            message: message.into(),
        }
    }

    /// What the request names does not exist (control API).
    pub fn missing(message: impl Into<String>) -> Self {
        Fault::Refused {
            status: 404,
            error: "not_found",
            message: message.into(),
        }
    }

    /// The error code, if there is one.
    pub fn error(&self) -> Option<&'static str> {
        match self {
            Fault::Refused { error, .. } => Some(error),
            Fault::Crash(_) | Fault::TooFast(_) => None,
        }
    }
}
