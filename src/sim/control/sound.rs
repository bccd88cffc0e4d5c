//! What a person's client hears and says, for the playground: a WebSocket of one person in one room.
//!
//! From the server: a binary message for each packet of somebody else in the room, the sender's id (16
//! bytes) and then the Opus packet. To the server: a binary message for each Opus packet that the person
//! says, which reaches bots and others as their track; packets are dropped while `POST speak` speaks for
//! the same person. It closes when the person is in the room no more; with `leave=true` the person leaves,
//! or hangs up, when it closes, as with a client's connection. A packet that is not Opus, or one
//! that is larger than the platform takes, gets `{error}` and the end.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::voice::{one_room, person_in};
use super::{Parameters, Shared, parameter};
use crate::sim::http::refusal;
use crate::sim::voice::socket::stopped;
use crate::sim::voice::{Overheard, packet};
use crate::sim::world::{Fault, Id};

/// How long a page may leave its end unread.
const SEND_PATIENCE: Duration = Duration::from_secs(10);
/// The largest message that is read at all; a larger one breaks the connection.
const LARGEST_MESSAGE: usize = 64 << 10;

/// Opens the socket, or says why not.
pub async fn open(
    State(shared): State<Arc<Shared>>,
    Query(query): Parameters,
    upgrade: WebSocketUpgrade,
) -> Response {
    let checked = || {
        let room = one_room(
            parameter(&query, "channelId")?,
            parameter(&query, "callId")?,
        )?;
        let who: Option<Id> = parameter(&query, "userId")?;
        let who = who.ok_or_else(|| Fault::bad("userId is missing"))?;
        let leave = parameter(&query, "leave")?.unwrap_or(false);
        let mut state = shared.state();
        person_in(&state, room, who)?;
        let hall = state.voice.rooms.overhear(room, who);
        hall.map(|hall| (room, who, leave, hall))
            .ok_or_else(|| Fault::bad("this person is not there"))
    };
    match checked() {
        Ok((room, who, leave, hall)) => upgrade
            .max_message_size(LARGEST_MESSAGE)
            .on_upgrade(move |socket| async move {
                let place = Place { shared, room, who };
                place.talk(socket, hall).await;
                if leave {
                    place.leave();
                }
            })
            .into_response(),
        Err(fault) => refusal(&fault),
    }
}

struct Place {
    shared: Arc<Shared>,
    room: Id,
    who: Id,
}

impl Place {
    async fn talk(&self, mut socket: WebSocket, mut hall: Receiver<Overheard>) {
        let mut stop = self.shared.stopping();
        let reason = loop {
            tokio::select! {
                heard = hall.recv() => {
                    let (from, data) = match heard {
                        Ok(Overheard::Packet { from, data }) => (from, data),
                        Ok(Overheard::Left(gone)) if gone == self.who => break close_code::NORMAL,
                        Ok(Overheard::Left(_)) => continue,
                        // The news that one has left may be among what was missed.
                        Err(RecvError::Lagged(_)) if self.is_there() => continue,
                        Err(_) => break close_code::NORMAL,
                    };
                    if from == self.who {
                        continue;
                    }
                    if !send(&mut socket, Message::Binary(framed(from, &data))).await {
                        return;
                    }
                }
                message = socket.recv() => match message {
                    Some(Ok(Message::Binary(data))) => {
                        if let Err(invalid) = packet::check(&data) {
                            let error = json!({ "error": format!("invalid Opus packet: {invalid}") });
                            send(&mut socket, Message::Text(error.to_string().into())).await;
                            break close_code::POLICY;
                        }
                        self.say(data);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                },
                () = stopped(&mut stop) => break close_code::AWAY,
            }
        };
        let frame = CloseFrame {
            code: reason,
            reason: "".into(),
        };
        send(&mut socket, Message::Close(Some(frame))).await;
    }

    /// Does nothing for somebody who has left in the meantime.
    fn leave(&self) {
        self.shared.act(|world, _| match world.call(self.room) {
            Some(_) => world.hang_up(self.who, self.room).is_ok(),
            None => world.leave_voice_channel(self.who, self.room),
        });
    }

    fn is_there(&self) -> bool {
        self.shared.state().voice.rooms.is_in(self.room, self.who)
    }

    fn say(&self, data: Bytes) {
        let mut state = self.shared.state();
        let rooms = &mut state.voice.rooms;
        if !rooms.is_spoken_for(self.room, self.who) {
            rooms.send(self.room, self.who, data, Instant::now());
        }
    }
}

fn framed(from: Id, data: &Bytes) -> Bytes {
    let mut message = BytesMut::with_capacity(16 + data.len());
    message.put_slice(from.as_bytes());
    message.put_slice(data);
    message.freeze()
}

/// Whether the page took it.
async fn send(socket: &mut WebSocket, message: Message) -> bool {
    let sent = tokio::time::timeout(SEND_PATIENCE, socket.send(message)).await;
    matches!(sent, Ok(Ok(())))
}
