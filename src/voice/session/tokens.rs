//! Where a session gets its tokens.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::dial::Grant;
use crate::config::Secret;
use crate::contract;
use crate::rest::{Call, Caller, Client};
use crate::voice::Error;

/// Where a session gets its tokens.
pub enum Tokens {
    /// A voice channel: a fresh one each time.
    Channel {
        /// To ask with.
        client: Client,
        /// On whose account.
        caller: Caller,
        /// The space.
        space: String,
        /// The voice channel.
        channel: String,
    },
    /// A call: the one that accepting it gave.
    Call(Grant),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StreamToken {
    token: String,
    ingress_url: String,
}

impl Tokens {
    pub(super) async fn grant(&self) -> Result<Grant, Error> {
        match self {
            Tokens::Call(grant) => Ok(grant.clone()),
            Tokens::Channel {
                client,
                caller,
                space,
                channel,
            } => {
                let route = contract::route("IVoice", "StreamToken").expect("the contract has it");
                let mut params = Map::new();
                params.insert("spaceId".into(), Value::from(space.as_str()));
                params.insert("channelId".into(), Value::from(channel.as_str()));
                let call = Call::new(route, params)?.caller(*caller);
                let answer = client.call(call).await?;
                let answer: StreamToken = serde_json::from_slice(&answer).map_err(|error| {
                    Error::new("invalid_response", format!("IVoice/StreamToken: {error}"))
                })?;
                Ok(Grant {
                    base: answer.ingress_url,
                    token: Secret::new(answer.token),
                })
            }
        }
    }

    pub(super) fn is_renewable(&self) -> bool {
        matches!(self, Tokens::Channel { .. })
    }
}
