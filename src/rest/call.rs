//! One validated request, ready to be sent.

use std::time::Duration;

use serde_json::{Map, Value};

use super::limiter::Caller;
use super::{Error, validate};
use crate::contract::Route;

/// One validated request.
#[derive(Debug, Clone)]
pub struct Call {
    route: &'static Route,
    query: Vec<(&'static str, String)>,
    body: Option<String>,
    caller: Caller,
    deadline: Duration,
    repeated: Option<Duration>,
    retry: bool,
}

impl Call {
    /// How long a call waits for its turn unless [`Call::deadline`] says otherwise: a whole window, so
    /// that a burst beyond a limit waits for the next window instead of failing, and some room on top.
    pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(75);

    /// Validates the parameters against the contract and places them (query, body).
    ///
    /// Nulls are left out, enum names become numbers, flag sets a mask, ids exact integers; a missing
    /// `randomId` is filled with 64 random bits, an entity's missing `version` with 1, a button's
    /// missing `variant` follows from `id` or `url`, and a text input without `style` is short.
    ///
    /// # Errors
    /// `invalid_params` with every problem, each with its path (`controls[1].controls[0].label`,
    /// counted from 0), what is wrong and what is allowed.
    pub fn new(route: &'static Route, params: Map<String, Value>) -> Result<Self, Error> {
        let placed = validate::params(route, params)
            .map_err(|problems| Error::local(route, "invalid_params", problems))?;
        Ok(Self {
            route,
            query: placed.query,
            body: placed.body.map(|body| Value::Object(body).to_string()),
            caller: Caller::HOST,
            deadline: Self::DEFAULT_DEADLINE,
            repeated: None,
            retry: false,
        })
    }

    /// Says which script asks; without it the host itself does.
    pub fn caller(mut self, caller: Caller) -> Self {
        self.caller = caller;
        self
    }

    /// How long it may wait for its turn, retries included; the default is
    /// [`Call::DEFAULT_DEADLINE`]. A request that has started is not bound by it.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Says that it was sent before, this long ago at most, in another process perhaps, and may have taken
    /// effect. What the platform recognises by its `randomId` is then sent within
    /// [`super::RANDOM_ID_RELIED_ON`] of that, or not at all (`uncertain`).
    pub fn repeated(mut self, ago: Duration) -> Self {
        self.repeated = Some(ago);
        self
    }

    /// Says that it is sent again when its answer is lost, although it may take effect twice then.
    pub fn retry(mut self) -> Self {
        self.retry = true;
        self
    }

    /// Whether it is sent again whatever its route says.
    pub(super) fn is_retried(&self) -> bool {
        self.retry
    }

    /// How long ago it may have taken effect, if it was sent before.
    pub(super) fn repeated_after(&self) -> Option<Duration> {
        self.repeated
    }

    /// The route it goes to.
    pub fn route(&self) -> &'static Route {
        self.route
    }

    /// The JSON body, if the route has one.
    pub fn body(&self) -> Option<&str> {
        self.body.as_deref()
    }

    /// Path and query below the base address: `/ISpaces/v1/Get?spaceId=…`.
    pub fn target(&self) -> String {
        let mut target = self.route.path();
        for (at, (name, value)) in self.query.iter().enumerate() {
            target.push(if at == 0 { '?' } else { '&' });
            target.push_str(name);
            target.push('=');
            percent_encode(value, &mut target);
        }
        target
    }

    /// Who asks.
    pub(super) fn asked_by(&self) -> Caller {
        self.caller
    }

    /// How long it may wait.
    pub(super) fn patience(&self) -> Duration {
        self.deadline
    }
}

/// Everything but RFC 3986's unreserved characters as `%XX`; a space is never a plus.
fn percent_encode(value: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::route;
    use serde_json::json;

    fn call(interface: &str, name: &str, params: Value) -> Call {
        let Value::Object(params) = params else {
            panic!("not an object")
        };
        Call::new(route(interface, name).expect("the contract has it"), params)
            .expect("valid parameters")
    }

    #[test]
    fn query_values_are_percent_encoded() {
        let call = call(
            "IEvents",
            "Stream",
            json!({"intents": ["messages", "commands"], "lastEventId": "a b+c/ä&d=e"}),
        );
        assert_eq!(
            call.target(),
            "/IEvents/v1/Stream?intents=65&lastEventId=a%20b%2Bc%2F%C3%A4%26d%3De"
        );
        assert_eq!(call.body(), None);
    }

    #[test]
    fn ids_beyond_two_to_the_53_stay_exact() {
        let call = call(
            "IMessages",
            "Send",
            json!({"channelId": "c", "text": "x", "replyTo": "9223372036854775807", "randomId": -9223372036854775808i64}),
        );
        let body = call.body().expect("a body");
        assert!(body.contains(r#""replyTo":9223372036854775807"#), "{body}");
        assert!(
            body.contains(r#""randomId":-9223372036854775808"#),
            "{body}"
        );
    }

    #[test]
    fn a_random_id_is_filled_in_and_differs() {
        let body = || {
            let call = call("IMessages", "Send", json!({"channelId": "c", "text": "x"}));
            let body: Value = serde_json::from_str(call.body().expect("a body")).expect("JSON");
            body["randomId"].as_i64().expect("an integer")
        };
        let (one, two) = (body(), body());
        assert_ne!(one, 0);
        assert_ne!(one, two);
    }
}
