//! What one room of a bot has to tell another: the REST client's successes to the stream, and the
//! stream's needs to the REST client.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::runtime;
use tokio::sync::watch;

use crate::contract::{self, Route};
use crate::rest::{Call, Caller, Client, Observer};
use crate::stream::{self, BoxFuture, Denied};

/// How long a stream waits for running requests before it opens.
const ROOM_PATIENCE: Duration = Duration::from_secs(5);

/// The part of each rate limit that the search for lost messages may take.
const SEARCH_SHARE: f64 = 0.25;

/// The go-between of one bot. The client is built with it, so what needs the client is set later.
pub(super) struct Hub {
    runtime: runtime::Handle,
    client: OnceLock<Client>,
    /// The search for lost messages, to the rate limiter.
    search: OnceLock<Caller>,
    stream: Mutex<Option<stream::Handle>>,
    unauthorized: watch::Sender<bool>,
}

impl Hub {
    /// A go-between without client and stream. Must be called within the runtime.
    pub(super) fn new() -> Self {
        Self {
            runtime: runtime::Handle::current(),
            client: OnceLock::new(),
            search: OnceLock::new(),
            stream: Mutex::default(),
            unauthorized: watch::Sender::default(),
        }
    }

    pub(super) fn set_client(&self, client: Client) {
        // Set once, right after the client was built.
        let _ = self.client.set(client);
    }

    pub(super) fn set_stream(&self, stream: stream::Handle) {
        *self.stream() = Some(stream);
    }

    /// The stream's handle, to stop it.
    pub(super) fn take_stream(&self) -> Option<stream::Handle> {
        self.stream().take()
    }

    /// What the stream has done so far.
    pub(super) fn stream_stats(&self) -> Option<stream::Stats> {
        self.stream().as_ref().map(stream::Handle::stats)
    }

    /// The bot's commands: uses of others are another bot's. None when they are not known.
    pub(super) fn set_commands(&self, ids: Option<Vec<String>>) {
        if let Some(stream) = &*self.stream() {
            stream.set_commands(ids);
        }
    }

    /// Commands of these names are about to be registered.
    pub(super) fn await_commands(&self, names: Vec<String>) {
        if let Some(stream) = &*self.stream() {
            stream.await_commands(names);
        }
    }

    /// This command is the bot's, beside those that are known.
    pub(super) fn add_command(&self, id: &str) {
        if let Some(stream) = &*self.stream() {
            stream.add_command(id);
        }
    }

    /// The platform granted what only verified bots get: their limits are higher.
    pub(super) fn bot_is_verified(&self) {
        if let Some(client) = self.client.get() {
            client.set_verified(true);
        }
    }

    fn stream(&self) -> MutexGuard<'_, Option<stream::Handle>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes when the server refused the token in a REST call.
    pub(super) async fn unauthorized(&self) {
        let mut receiver = self.unauthorized.subscribe();
        let _ = receiver.wait_for(|refused| *refused).await;
    }
}

/// The part of an answer to Send and Reply that matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    message_id: i64,
}

/// The part of a page of history that matters here.
#[derive(Deserialize)]
struct History {
    messages: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    message_id: i64,
    creator_id: String,
    #[serde(default)]
    created_at: Option<String>,
}

/// When the newest message of a page of history was written.
fn newest(response: &[u8]) -> Option<SystemTime> {
    let history: History = serde_json::from_slice(response).ok()?;
    let newest = history.messages.iter().max_by_key(|m| m.message_id)?;
    let written: Timestamp = newest.created_at.as_deref()?.parse().ok()?;
    let since_epoch = u64::try_from(written.as_millisecond()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(since_epoch))
}

impl Observer for Hub {
    fn succeeded(&self, route: &'static Route, response: &Bytes) {
        if route.privileged {
            self.bot_is_verified();
        }
        match (route.interface.name, route.name) {
            ("IMessages", "Send") | ("IInteractions", "Reply") => {
                let sent = serde_json::from_slice::<Sent>(response);
                if let (Ok(sent), Some(stream)) = (sent, &*self.stream()) {
                    stream.message_sent(sent.message_id);
                }
            }
            ("IMessages", "History") => {
                let written = newest(response);
                if let (Some(written), Some(stream)) = (written, &*self.stream()) {
                    stream.history_seen(written);
                }
            }
            _ => {}
        }
    }

    fn unauthorized(&self) {
        self.unauthorized.send_replace(true);
    }
}

impl stream::Host for Hub {
    fn stream_open(&self, open: bool) {
        let Some(client) = self.client.get() else {
            return;
        };
        if open {
            // The stream has a thread of its own, which may wait until it is not the eleventh request.
            // When that takes too long, the platform's answer decides.
            let _ = self.runtime.block_on(async {
                tokio::time::timeout(ROOM_PATIENCE, client.make_room_for_stream()).await
            });
        } else {
            client.set_stream_open(false);
        }
    }

    fn ask<'a>(
        &'a self,
        interface: &'static str,
        route: &'static str,
        params: Map<String, Value>,
    ) -> BoxFuture<'a, Result<Bytes, Denied>> {
        Box::pin(async move {
            let (Some(client), Some(route)) =
                (self.client.get(), contract::route(interface, route))
            else {
                return Err(Denied::No("there is no such route".to_owned()));
            };
            let caller = *self.search.get_or_init(|| client.caller(SEARCH_SHARE));
            let call = Call::new(route, params).map_err(|error| Denied::No(error.to_string()))?;
            client.call(call.caller(caller)).await.map_err(|error| {
                let reason = error.to_string();
                match error.status {
                    500 => Denied::Unclear(reason),
                    _ if error.may_pass_by_waiting() => Denied::Later(reason),
                    _ => Denied::No(reason),
                }
            })
        })
    }

    fn author<'a>(
        &'a self,
        channel_id: &'a str,
        message_id: i64,
    ) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(async move {
            let (Some(client), Some(route)) =
                (self.client.get(), contract::route("IMessages", "History"))
            else {
                return Err("the client is not ready".to_owned());
            };
            // Whether `from` itself is in the page is not documented: ask from the next id on.
            let params = Map::from_iter([
                ("channelId".to_owned(), Value::from(channel_id)),
                ("from".to_owned(), Value::from(message_id.saturating_add(1))),
                ("limit".to_owned(), Value::from(5)),
            ]);
            let call = Call::new(route, params).map_err(|error| error.to_string())?;
            let answer = client.call(call).await.map_err(|error| error.to_string())?;
            let history: History =
                serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
            let found = history
                .messages
                .into_iter()
                .find(|m| m.message_id == message_id);
            Ok(found.map(|message| message.creator_id))
        })
    }
}
