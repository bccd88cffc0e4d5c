//! Tokens for the voice sockets: who may speak or listen in which room, until when.
//!
//! A token looks like the platform's (a JWT with the claims of a media server), and clients must not
//! look into it. Its last part is random instead of a signature: the server knows every token that it
//! gave out, and looks it up.
//!
//! Bound: [`MOST_TOKENS`]; when there are more, the oldest is forgotten and refused from then on.

use std::collections::VecDeque;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use crate::sim::clock::Now;
use crate::sim::saved::forms;
use crate::sim::world::Id;

/// How long a token can be used, by the world's clock.
pub const LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);
/// Tokens that are remembered.
pub const MOST_TOKENS: usize = 1_000;

/// Where a token leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Room {
    /// A voice channel.
    Channel(Id),
    /// A call.
    Call(Id),
}

impl Room {
    /// The channel's or the call's id.
    pub fn id(self) -> Id {
        match self {
            Room::Channel(id) | Room::Call(id) => id,
        }
    }
}

/// What a token is good for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    /// The bot's user.
    pub bot: Id,
    /// Where.
    pub room: Room,
    /// The room's name, as the platform's answers show it.
    pub room_name: String,
    /// The only one whom it lets hear, and the subscription's id; `None` for a token that may also
    /// speak.
    pub egress: Option<(Id, String)>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Known {
    token: String,
    grant: Grant,
    #[serde(with = "forms::moment")]
    expires: Instant,
}

/// Every token that was given out. No `Debug`, so that no token is printed.
#[derive(Default, Serialize, Deserialize)]
pub struct Tokens(VecDeque<Known>);

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It was never given out, or was taken back.
    #[error("the voice token is missing or wrong: ask for one with IVoice/StreamToken")]
    Unknown,
    /// It is older than [`LIFETIME`].
    #[error("the voice token has expired: it lives 2 hours; ask for a new one")]
    Expired,
}

impl Tokens {
    /// A new token.
    pub fn issue(&mut self, grant: Grant, now: Now) -> String {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let header = json!({ "alg": "HS256", "typ": "JWT" });
        let began = now.wall.as_second();
        let claims = json!({
            "exp": began + LIFETIME.as_secs() as i64,
            "iss": "argon-embedded",
            "nbf": began,
            "sub": grant.bot,
            "video": {
                "canPublish": grant.egress.is_none(),
                "canSubscribe": true,
                "room": grant.room_name,
                "roomJoin": true,
            },
        });
        let secret: [u8; 32] = rand::random();
        let token = format!(
            "{}.{}.{}",
            part(header.to_string().as_bytes()),
            part(claims.to_string().as_bytes()),
            part(&secret)
        );
        // A snapshot may have more.
        while self.0.len() >= MOST_TOKENS {
            self.0.pop_front();
        }
        self.0.push_back(Known {
            token: token.clone(),
            grant,
            expires: now.mono + LIFETIME,
        });
        token
    }

    /// What the token is good for now.
    pub fn check(&self, token: &str, now: Now) -> Result<&Grant, Refused> {
        let known = self.0.iter().find(|known| known.token == token);
        let known = known.ok_or(Refused::Unknown)?;
        match known.expires > now.mono {
            true => Ok(&known.grant),
            false => Err(Refused::Expired),
        }
    }

    /// The tokens whose grant is meant.
    pub fn matching(&self, meant: impl Fn(&Grant) -> bool) -> Vec<String> {
        let tokens = self.0.iter().filter(|known| meant(&known.grant));
        tokens.map(|known| known.token.clone()).collect()
    }

    /// Takes back the tokens whose grant is meant; says whether there were any.
    pub fn revoke(&mut self, meant: impl Fn(&Grant) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|known| !meant(&known.grant));
        self.0.len() < before
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::Value;

    use super::{Grant, MOST_TOKENS, Refused, Room, Tokens};
    use crate::sim::clock::Clock;
    use crate::sim::world::Id;
    use crate::sim::world::testing::later;

    fn grant() -> Grant {
        Grant {
            bot: Id::from_u128(1),
            room: Room::Channel(Id::from_u128(2)),
            room_name: "a room".to_owned(),
            egress: None,
        }
    }

    #[test]
    fn a_token_looks_like_a_jwt_and_lives_two_hours() {
        let (mut tokens, now) = (Tokens::default(), Clock::new().now());
        let token = tokens.issue(grant(), now);
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts.len(), 3);
        let claims = URL_SAFE_NO_PAD.decode(parts[1]).expect("base64url");
        let claims: Value = serde_json::from_slice(&claims).expect("JSON");
        let lives = claims["exp"].as_i64().zip(claims["nbf"].as_i64());
        assert_eq!(lives.map(|(exp, nbf)| exp - nbf), Some(7_200));
        assert_eq!(claims["video"]["room"], "a room");

        assert!(tokens.check(&token, later(now, 7_199)).is_ok());
        let refused = tokens.check(&token, later(now, 7_200)).map(|_| ());
        assert_eq!(refused, Err(Refused::Expired));
        let refused = tokens.check("a.b.c", now).map(|_| ());
        assert_eq!(refused, Err(Refused::Unknown));
    }

    #[test]
    fn the_oldest_token_is_forgotten_and_a_revoked_one_is_unknown() {
        let (mut tokens, now) = (Tokens::default(), Clock::new().now());
        let first = tokens.issue(grant(), now);
        for _ in 0..MOST_TOKENS {
            tokens.issue(grant(), now);
        }
        assert!(tokens.check(&first, now).is_err());
        let last = tokens.issue(grant(), now);
        assert!(tokens.revoke(|grant| grant.bot == Id::from_u128(1)));
        assert!(tokens.check(&last, now).is_err());
    }
}
