//! One version of a script, as the host knows it.

use std::sync::{Arc, Weak};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Inner, ORPHANED};
use crate::config::Secret;
use crate::contract;
use crate::rest::{Call, Caller};
use crate::voice::Error;
use crate::voice::connection::{Connection, Phase, Room};
use crate::voice::encoder::Settings;
use crate::voice::session::Tokens;
use crate::voice::session::dial::Grant;

/// One version of a script. Dropped, its handlers end; its connections do not.
pub struct Client {
    pub(super) host: Arc<Inner>,
    pub(super) script: String,
    pub(super) caller: Caller,
    pub(super) id: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    token: String,
    caller_id: String,
    audio_base_url: String,
}

impl Client {
    /// Identity, as the owner of handlers.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// A number for a handler of [`Connection::listen`].
    pub fn new_listener(&self) -> u64 {
        self.host.next_id()
    }

    /// The script's connection in that channel or call.
    pub fn get(&self, room: &str) -> Option<Connection> {
        let mine = |one: &Connection| {
            one.script() == self.script && one.room().id().eq_ignore_ascii_case(room)
        };
        self.host
            .of(|one| mine(one) && one.phase() != Phase::Over && one.phase() != Phase::Joining)
            .pop()
    }

    /// Joins a voice channel. The script's connection there, if it has one already.
    ///
    /// # Errors
    /// When the platform refuses, or the voice server does not answer.
    pub fn join(
        &self,
        space: String,
        channel: String,
        settings: Settings,
    ) -> impl Future<Output = Result<Connection, Error>> + Send + use<> {
        let known = self.get(&channel);
        let tokens = Tokens::Channel {
            client: self.host.rest.clone(),
            caller: self.caller,
            space: space.clone(),
            channel: channel.clone(),
        };
        let (host, script) = (Arc::clone(&self.host), self.script.clone());
        async move {
            match known {
                Some(known) => Ok(known),
                None => {
                    let room = Room::Channel { space, channel };
                    let connected = Arc::clone(&host).connect(script, room, tokens, settings);
                    host.owned(connected.await?)
                }
            }
        }
    }

    /// Accepts a call that rings.
    ///
    /// # Errors
    /// When the platform refuses, or the voice server does not answer.
    pub fn answer(
        &self,
        call: String,
        settings: Settings,
    ) -> impl Future<Output = Result<Connection, Error>> + Send + use<> {
        let (host, script, caller) = (Arc::clone(&self.host), self.script.clone(), self.caller);
        async move {
            let mut params = Map::new();
            params.insert("callId".into(), Value::from(call.as_str()));
            let route = contract::route("ICalls", "Accept").expect("the contract has it");
            let answer = host
                .rest
                .call(Call::new(route, params)?.caller(caller))
                .await?;
            let connecting = async {
                let accepted: Accepted = serde_json::from_slice(&answer).map_err(|error| {
                    Error::new("invalid_response", format!("ICalls/Accept: {error}"))
                })?;
                let grant = Grant {
                    base: accepted.audio_base_url,
                    token: Secret::new(accepted.token),
                };
                let room = Room::Call {
                    call: call.clone(),
                    caller: accepted.caller_id,
                };
                Arc::clone(&host)
                    .connect(script.clone(), room, Tokens::Call(grant), settings)
                    .await
            };
            match connecting.await {
                Ok(connection) => host.owned(connection),
                Err(error) => {
                    // It is accepted: the caller would wait in it, unless it is talked in already.
                    if !matches!(
                        &error,
                        Error::Voice {
                            code: "already_joined",
                            ..
                        }
                    ) {
                        host.hang_up(&script, &call).await;
                    }
                    Err(error)
                }
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut state = self.host.state();
        let mut alone = false;
        if let Some(script) = state.scripts.get_mut(&self.script) {
            script.versions.retain(|(id, _)| *id != self.id);
            alone = script.versions.is_empty();
        }
        drop(state);
        for connection in self.host.of(|one| one.script() == self.script) {
            connection.forget(self.id, None);
            if alone {
                let host = Arc::downgrade(&self.host);
                self.host.runtime.spawn(orphan(host, connection));
            }
        }
    }
}

/// Ends a connection whose script does not come back.
async fn orphan(host: Weak<Inner>, connection: Connection) {
    tokio::time::sleep(ORPHANED).await;
    if let Some(host) = host.upgrade() {
        host.end_orphan(&connection);
    }
}
