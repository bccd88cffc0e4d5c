//! Voice of the embedded server: tokens, rooms, and the sockets that carry Opus packets.
//!
//! No sound is decoded here: packets are checked by their structure and passed on. People join by the
//! control API, bots by a socket; a bot is in a voice channel while a socket of it is open, and may be
//! in several channels at once. The world says who is where ([`super::world::Effect`]); sockets follow.
//!
//! | file | owns |
//! |---|---|
//! | `mod` | the open sockets and what each one is for |
//! | `packet` | whether bytes are an Opus packet (RFC 6716) |
//! | `file` | Ogg Opus files |
//! | `token` | tokens and their lifetime |
//! | `rooms` | participants, their tracks and recordings |
//! | `socket` | `/audio/connect`, `/audio/subscribe`, `/audio/duplex` |
//!
//! Bound: [`MOST_SOCKETS`] open sockets; one more is told an `error` and closed.

pub mod file;
pub mod packet;
mod rooms;
pub mod socket;
mod token;

use std::collections::HashMap;
use std::net::SocketAddr;

use tokio::sync::oneshot;

use super::world::Id;
pub use rooms::{Overheard, Rooms, Track, new_sid};
pub use token::{Grant, Room, Tokens};

/// Sockets that may be open at once.
pub const MOST_SOCKETS: usize = 500;

/// How the server writes its status messages, and how it ends a connection that sent a bad packet.
/// Two builds of the platform's voice server are seen in the wild.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VoiceStatus {
    /// `{"status":"ready"}`, as documented; a bad packet gets an `error` and a close frame.
    #[default]
    Status,
    /// `{"type":"ready"}`; there is `/audio/connect` only, and a bad packet cuts the TCP connection without
    /// a word.
    Type,
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `/audio/connect`: speaks.
    Connect,
    /// `/audio/subscribe`: hears one participant.
    Subscribe,
    /// `/audio/duplex`: both.
    Duplex,
}

impl Kind {
    /// Whether the bot sends packets.
    pub fn speaks(self) -> bool {
        self != Kind::Subscribe
    }

    /// Whether the bot gets packets.
    pub fn hears(self) -> bool {
        self != Kind::Connect
    }
}

struct Session {
    token: String,
    kind: Kind,
    bot: Id,
    room: Room,
    /// Takes the reason for which the server ends the socket.
    end: oneshot::Sender<&'static str>,
}

/// A socket that has ended by itself.
pub struct Ended {
    /// The bot's user.
    pub bot: Id,
    /// Where it was.
    pub room: Room,
    /// Whether the bot has no other socket in the room.
    pub last: bool,
}

/// Everything about voice. Behind the server's one lock.
pub struct Voice {
    address: SocketAddr,
    /// Tokens that were given out.
    pub tokens: Tokens,
    /// Participants and recordings.
    pub rooms: Rooms,
    sessions: HashMap<u64, Session>,
    last: u64,
}

impl Voice {
    /// Nobody speaks yet; `address` is where the sockets are.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            tokens: Tokens::default(),
            rooms: Rooms::default(),
            sessions: HashMap::new(),
            last: 0,
        }
    }

    /// The sockets' base address with that scheme.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    /// Whether a socket may open: a token serves one kind of socket at a time.
    pub fn may_begin(&self, token: &str, kind: Kind) -> Result<(), &'static str> {
        let mut sessions = self.sessions.values();
        if sessions.any(|open| open.token == token && open.kind != kind) {
            return Err(
                "this token is in use by another kind of socket: one token cannot serve both; use /audio/duplex or a second token",
            );
        }
        match self.sessions.len() >= MOST_SOCKETS {
            true => Err("the server has too many open voice sockets"),
            false => Ok(()),
        }
    }

    /// A socket opens. It takes the place of an older one with the same token, and one that speaks of
    /// an older one that speaks for the same bot in the same room. The receiver gets the reason when
    /// the server ends the socket.
    pub fn begin(
        &mut self,
        token: &str,
        kind: Kind,
        grant: &Grant,
    ) -> (u64, oneshot::Receiver<&'static str>) {
        self.end_where("a newer connection took the place of this one", |open| {
            let same_place = open.bot == grant.bot && open.room == grant.room;
            open.token == token || (same_place && open.kind.speaks() && kind.speaks())
        });
        let (end, ended) = oneshot::channel();
        self.last += 1;
        self.sessions.insert(
            self.last,
            Session {
                token: token.to_owned(),
                kind,
                bot: grant.bot,
                room: grant.room,
                end,
            },
        );
        (self.last, ended)
    }

    /// A socket has ended; `None` if the server had ended it before.
    pub fn end(&mut self, session: u64) -> Option<Ended> {
        let Session {
            bot, room, kind, ..
        } = self.sessions.remove(&session)?;
        if kind.speaks() {
            self.rooms.mute(room.id(), bot);
        }
        let mut rest = self.sessions.values();
        Some(Ended {
            bot,
            room,
            last: !rest.any(|open| open.bot == bot && open.room == room),
        })
    }

    /// Somebody is in a room no more: their sockets there end.
    pub fn left(&mut self, room: Id, who: Id) {
        self.rooms.leave(room, who);
        self.end_where("the bot was removed from the voice channel", |open| {
            open.bot == who && open.room.id() == room
        });
    }

    /// A room is no more: its sockets end, and its tokens are worth nothing.
    pub fn closed(&mut self, room: Id) {
        self.rooms.close(room);
        self.tokens.revoke(|grant| grant.room.id() == room);
        self.end_where("the call is over", |open| open.room.id() == room);
    }

    /// Ends a bot's subscription; says whether there was one.
    pub fn unsubscribe(&mut self, bot: Id, track: &str) -> bool {
        let meant = |grant: &Grant| {
            let egress = grant.egress.as_ref();
            grant.bot == bot && egress.is_some_and(|(_, known)| known == track)
        };
        let tokens = self.tokens.matching(meant);
        self.end_where("the subscription was ended", |open| {
            tokens.contains(&open.token)
        });
        self.tokens.revoke(meant)
    }

    /// Ends every socket and empties every room; from now on these tokens are good.
    pub fn restart(&mut self, tokens: Tokens) {
        self.end_where("the world was replaced", |_| true);
        self.rooms.clear();
        self.tokens = tokens;
    }

    fn end_where(&mut self, reason: &'static str, meant: impl Fn(&Session) -> bool) {
        let ended = self.sessions.extract_if(|_, open| meant(open));
        for (_, session) in ended {
            // Fails only when the socket is ending anyway.
            let _ = session.end.send(reason);
        }
    }
}
