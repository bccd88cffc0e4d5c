//! Why a call failed, in the words that a script sees.

use std::fmt;
use std::time::Duration;

use crate::contract::{self, Route};

/// A platform message longer than this is cut, so that an error page does not flood a log.
const LONGEST_MESSAGE: usize = 1000;

/// Why a call failed; what a script sees as `status`, `code`, `message`, `route`, `retryAfter`.
///
/// `Display` reads `IMessages/Send: 403 not_a_member: …`; the status is left out where there was none.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    /// HTTP status; 0 when there was no answer or the call was not sent.
    pub status: u16,
    /// The platform's `error`, or one of ours: `invalid_params`, `rate_limited`, `unauthorized`,
    /// `unreachable` (never sent), `lost_response` (sent, no answer), `uncertain` (sent, no answer, and it
    /// could not be repeated), `internal_error` (a bare 500), `http_502` and the like (no code in the
    /// answer), `response_too_large`, `not_callable`, `invalid_settings`, `stopped`.
    pub code: String,
    /// A sentence for people.
    pub message: Option<String>,
    /// `IMessages/Send`; empty for an error of the client's settings.
    pub route: String,
    /// Seconds after which it may work.
    pub retry_after: Option<f64>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.route.is_empty() {
            write!(f, "{}: ", self.route)?;
        }
        if self.status != 0 {
            write!(f, "{} ", self.status)?;
        }
        f.write_str(&self.code)?;
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// A failure that is ours: no answer of the platform is behind it.
    pub(super) fn local(route: &Route, code: &str, message: impl Into<String>) -> Self {
        Self {
            status: 0,
            code: code.to_owned(),
            message: Some(message.into()),
            route: route.label(),
            retry_after: None,
        }
    }

    /// Settings that no client can be built from.
    pub(super) fn settings(message: impl Into<String>) -> Self {
        Self {
            status: 0,
            code: "invalid_settings".to_owned(),
            message: Some(message.into()),
            route: String::new(),
            retry_after: None,
        }
    }

    /// The request could not start in time, or the platform refused it until the deadline.
    pub(super) fn rate_limited(
        route: &Route,
        status: u16,
        message: impl Into<String>,
        retry_after: Duration,
    ) -> Self {
        Self {
            status,
            retry_after: Some(retry_after.as_secs_f64()),
            ..Self::local(route, "rate_limited", message)
        }
    }

    /// An answer that is not a success. `body` is `{"error", "message"}`, or anything else, or empty.
    pub(super) fn answer(route: &Route, status: u16, body: &[u8]) -> Self {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |key| {
            let text = body.get(key)?.as_str()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let code = text("error");
        let message = text("message")
            .map(|mut text: String| {
                if let Some((end, _)) = text.char_indices().nth(LONGEST_MESSAGE) {
                    text.truncate(end);
                    text.push('…');
                }
                text
            })
            .or_else(|| {
                let known = contract::error_code(code.as_deref()?)?;
                Some(known.doc.to_owned())
            })
            .or_else(|| {
                explain(status)
                    .filter(|_| code.is_none() || status == 401)
                    .map(str::to_owned)
            });
        Self {
            status,
            // One code for a refused token, whatever the server calls it: the host acts on it.
            code: code
                .filter(|_| status != 401)
                .unwrap_or_else(|| bare_code(status)),
            message,
            route: route.label(),
            retry_after: None,
        }
    }

    /// The server refused the token: the bot must stop, a retry cannot help.
    pub fn is_unauthorized(&self) -> bool {
        self.code == "unauthorized"
    }

    /// The call was not made because of a rate limit; [`Error::retry_after`] says when it may work.
    pub fn is_rate_limited(&self) -> bool {
        self.code == "rate_limited"
    }

    /// The parameters were refused before anything was sent.
    pub fn is_invalid_params(&self) -> bool {
        self.code == "invalid_params"
    }

    /// The server could not be reached, was busy or had a fault of its own: the same call may work later.
    pub fn may_pass_by_waiting(&self) -> bool {
        matches!(self.status, 0 | 429 | 500..=599) && !self.is_invalid_params()
    }

    /// The platform may have acted although the call failed: it was sent and the answer is missing,
    /// or a proxy answered in the platform's place.
    pub fn may_have_taken_effect(&self) -> bool {
        matches!(&*self.code, "lost_response" | "uncertain") || matches!(self.status, 502..=504)
    }
}

/// The code of an answer that carries none.
fn bare_code(status: u16) -> String {
    match status {
        401 => "unauthorized".to_owned(),
        429 => "rate_limited".to_owned(),
        500 => "internal_error".to_owned(),
        _ => format!("http_{status}"),
    }
}

/// What an answer without a message probably means.
fn explain(status: u16) -> Option<&'static str> {
    Some(match status {
        300..=399 => {
            "the server redirects, which the Bot API never does; check the base address in bot.toml"
        }
        401 => {
            "the platform refused the bot's token; put a valid one into bot.toml or its environment \
             variable"
        }
        403 => "the bot may not do this here",
        404 => "the server does not know this route or thing; check the base address and the ids",
        413 => "the request is larger than the server takes",
        500 => {
            "the platform failed without saying why; likely an unknown channel or space id, controls \
             it does not accept, text in a voice channel, slow mode, a message of somebody else, or a \
             command name that is taken"
        }
        502..=504 => "the platform is unavailable at the moment",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::route;

    fn send() -> &'static Route {
        route("IMessages", "Send").expect("the contract has it")
    }

    #[test]
    fn it_reads_as_promised() {
        let error = Error::answer(
            send(),
            403,
            br#"{"error":"not_a_member","message":"no such luck"}"#,
        );
        assert_eq!(
            error.to_string(),
            "IMessages/Send: 403 not_a_member: no such luck"
        );
        let local = Error::local(send(), "invalid_params", "text: is missing");
        assert_eq!(
            local.to_string(),
            "IMessages/Send: invalid_params: text: is missing"
        );
    }

    #[test]
    fn a_null_message_is_explained_from_the_contract() {
        let error = Error::answer(send(), 403, br#"{"error":"not_a_member","message":null}"#);
        assert_eq!(
            error.message.as_deref(),
            Some("The bot is not in this space.")
        );
    }

    #[test]
    fn a_bare_500_says_what_the_cause_may_be() {
        let error = Error::answer(send(), 500, b"");
        assert_eq!(error.code, "internal_error");
        assert!(error.message.is_some_and(|text| text.contains("slow mode")));
    }

    #[test]
    fn a_page_of_a_proxy_gets_a_code_and_is_not_quoted() {
        let error = Error::answer(send(), 502, b"<html>bad gateway</html>");
        assert_eq!(error.code, "http_502");
        assert!(error.may_have_taken_effect());
        assert!(!error.to_string().contains("html"));
    }

    #[test]
    fn an_endless_message_is_cut() {
        let body = format!(r#"{{"error":"x","message":"{}"}}"#, "ä".repeat(5000));
        let error = Error::answer(send(), 400, body.as_bytes());
        assert_eq!(error.message.map(|text| text.chars().count()), Some(1001));
    }
}
