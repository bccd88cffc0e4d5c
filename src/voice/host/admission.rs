//! Taking a connection in, and starting it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use rtrb::RingBuffer;
use tokio::sync::oneshot;

use super::Inner;
use crate::limits::voice::{COMMANDS, CONNECTIONS};
use crate::voice::Error;
use crate::voice::connection::{Connection, Parts, Room};
use crate::voice::encoder::Settings;
use crate::voice::mixer::Command;
use crate::voice::pacer::Lane;
use crate::voice::program::{EVENTS, Ends, FRAMES, Program};
use crate::voice::session::dial::Endpoint;
use crate::voice::session::line::Intake;
use crate::voice::session::{RENEW, Session, Tokens};
use crate::voice::stats::Counters;

impl Inner {
    pub(super) async fn connect(
        self: Arc<Self>,
        script: String,
        room: Room,
        tokens: Tokens,
        settings: Settings,
    ) -> Result<Connection, Error> {
        let (commands, from_handle) = sync_channel(COMMANDS);
        let counters = Arc::new(Counters::default());
        let connection = Connection::new(Parts {
            id: self.next_id(),
            script,
            room,
            settings,
            counters: Arc::clone(&counters),
            host: Arc::downgrade(&self),
            runtime: self.runtime.clone(),
            commands,
        });
        self.admit(&connection)?;
        // From here on the connection is forgotten by its session's end, or here.
        let started = self.start(&connection, from_handle, tokens);
        let first = started.inspect_err(|_| self.forget(connection.id()))?;
        // If whoever waits goes away, so does `first`, and the session ends.
        first.await.unwrap_or_else(|_| Err(Error::closed()))?;
        Ok(connection)
    }

    /// Takes a connection in, unless there are too many, or one in the room.
    pub(super) fn admit(&self, connection: &Connection) -> Result<(), Error> {
        let mut state = self.state();
        if state.closed {
            return Err(Error::new("closed", "the bot is being stopped"));
        }
        let room = connection.room().id();
        let rival = state
            .connections
            .iter()
            .find(|one| one.room().id().eq_ignore_ascii_case(room));
        if let Some(rival) = rival {
            let whose = if rival.script() == connection.script() {
                "this script is joining it already".to_owned()
            } else {
                format!(
                    "the script {} is there already, and a bot speaks once in a room",
                    rival.script()
                )
            };
            return Err(Error::new(
                "already_joined",
                format!("{room} cannot be joined: {whose}"),
            ));
        }
        let mine = state
            .connections
            .iter()
            .filter(|one| one.script() == connection.script());
        if mine.count() >= CONNECTIONS {
            let message =
                format!("a script has at most {CONNECTIONS} voice connections: leave one first");
            return Err(Error::new("too_many_connections", message));
        }
        state.slots.take(connection.script(), connection.id());
        state.connections.push(connection.clone());
        Ok(())
    }

    fn start(
        &self,
        connection: &Connection,
        commands: Receiver<Command>,
        tokens: Tokens,
    ) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
        let (to_session, events) = RingBuffer::new(EVENTS);
        let (to_pacer, frames) = RingBuffer::new(FRAMES);
        let (intake, outlet) = Intake::new(events);
        let line = Arc::clone(&intake.line);
        let counters = connection.counters();
        let settings = *connection.settings();
        let ends = Ends {
            commands,
            events: to_session,
            frames: to_pacer,
            wake: Box::new(move || line.ring()),
            counters: Arc::clone(counters),
        };
        let id = connection.id();
        let program = Program::new(id, settings, ends)
            .map_err(|error| Error::new("opus", error.to_string()))?;
        let lane = |maker| Lane {
            id,
            frames,
            outlet,
            maker,
            counters: Arc::clone(counters),
        };
        let seat = self.engine.seat(program, lane);
        connection.take_seat(
            seat.map_err(|error| Error::new("host", format!("no threads for voice: {error}")))?,
        );
        let (endpoint, ear) = match connection.room() {
            Room::Channel { .. } => (Endpoint::Connect(settings), None),
            Room::Call { caller, .. } => {
                let ear = connection.caller_ear(caller)?;
                (Endpoint::Duplex(settings, caller.clone()), Some(ear))
            }
        };
        let (for_reports, for_opening) = (connection.clone(), connection.clone());
        let session = Session {
            endpoint,
            tokens,
            intake: Some(intake),
            ear,
            stop: connection.stop_signal(),
            report: Box::new(move |report| for_reports.report(report)),
            opened: Box::new(move || {
                for_opening.is_connected();
                for_opening.wake();
            }),
            counters: Arc::clone(counters),
            renew: RENEW,
        };
        let (sender, first) = oneshot::channel();
        self.runtime.spawn(session.run(sender));
        Ok(first)
    }
}
