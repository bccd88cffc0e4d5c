//! Hearing: whom a connection listens to, with a socket for each in a channel, and its own in a call.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{oneshot, watch};

use super::{Connection, Heard, Host, Phase, Room, State};
use crate::limits::voice::HEARD;
use crate::voice::mixer::Command;
use crate::voice::receive::recorder::{Recorder, Recording};
use crate::voice::receive::{Ear, Format, Hearing};
use crate::voice::session::dial::Endpoint;
use crate::voice::session::{RENEW, Report, Session, Tokens};
use crate::voice::{Error, Happening};

/// Whether a socket was opened, once that is known.
pub(super) type First = Option<Result<(), Error>>;

/// Somebody is about to be listened to or recorded: the socket is kept meanwhile.
struct Expected {
    connection: Connection,
    hearing: Arc<Hearing>,
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.hearing.unexpect();
        self.connection.hear_less();
    }
}

impl Connection {
    /// Calls a handler with what somebody says. Comes back when the socket is open.
    ///
    /// # Errors
    /// When the participant cannot be heard, or has too many handlers.
    pub async fn listen(
        &self,
        user: &str,
        owner: u64,
        listener: u64,
        format: Format,
    ) -> Result<(), Error> {
        let expected = self.hear(user).await?;
        let connection = self.clone();
        let notify = Arc::new(move |what| connection.tell(what));
        expected.hearing.listen(owner, listener, format, notify)?;
        // An owner that ended before this handler was in its place has not ended it.
        if !self.host()?.is_running(&self.0.script, owner) {
            expected.hearing.forget(owner, None);
            let message = "this version of the script has ended";
            return Err(Error::new("closed", message));
        }
        Ok(())
    }

    /// Ends the handlers of one owner, or one of them.
    pub fn forget(&self, owner: u64, listener: Option<u64>) {
        let heard: Vec<_> = self
            .state()
            .heard
            .iter()
            .map(|heard| Arc::clone(&heard.hearing))
            .collect();
        for hearing in heard {
            hearing.forget(owner, listener);
        }
        self.hear_less();
    }

    /// Closes the sockets that nobody needs any more.
    pub fn hear_less(&self) {
        self.state().heard.retain(|heard| {
            // Also lets go of the recordings that were stopped.
            let unused = heard.hearing.is_unused();
            let Some(stop) = heard.stop.as_ref().filter(|_| unused) else {
                return true;
            };
            stop.send_replace(true);
            false
        });
    }

    /// Writes what somebody says to a file.
    ///
    /// # Errors
    /// When the participant cannot be heard, or is recorded too often, or the file not be written.
    pub async fn record(
        &self,
        user: Option<&str>,
        file: &str,
        seconds: f64,
    ) -> Result<Recording, Error> {
        let caller = match &self.0.room {
            Room::Call { caller, .. } => Some(caller.as_str()),
            Room::Channel { .. } => None,
        };
        let user = user.or(caller).ok_or_else(|| {
            Error::new(
                "invalid_params",
                "voice:record in a channel needs to know whom: voice:record(userId, path)",
            )
        })?;
        let path = self.host()?.writable(file).await?;
        let expected = self.hear(user).await?;
        // Asked first, because the file of a recording is empty from its beginning.
        expected.hearing.may_record()?;
        let began = Instant::now();
        let started = self
            .0
            .runtime
            .spawn_blocking(move || Recorder::start(&path, seconds, began))
            .await;
        let started = started.map_err(|error| Error::new("host", error.to_string()))?;
        let (recorder, recording) =
            started.map_err(|error| Error::new("file", format!("{file:?}: {error}")))?;
        expected.hearing.record(recorder)?;
        Ok(recording)
    }

    /// Comes back when the socket is open, for everybody who waits for it.
    async fn hear(&self, user: &str) -> Result<Expected, Error> {
        let host = self.host()?;
        let (expected, mut opened) = {
            let mut state = self.state();
            // Whoever is heard before the connection's end ends with it, so it is asked in here.
            if self.phase() == Phase::Over {
                return Err(Error::closed());
            }
            let known = state
                .heard
                .iter()
                .find(|heard| heard.hearing.user.eq_ignore_ascii_case(user));
            let (hearing, opened) = match known {
                Some(heard) => (Arc::clone(&heard.hearing), heard.opened.clone()),
                None => self.begin_to_hear(&mut state, &host, user)?,
            };
            hearing.expect();
            let connection = self.clone();
            let expected = Expected {
                connection,
                hearing,
            };
            (expected, opened)
        };
        let result = match opened.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(result)) => result.clone(),
            Ok(None) | Err(_) => Err(Error::closed()),
        };
        result.map(|()| expected)
    }

    /// Begins to open a socket for one participant.
    fn begin_to_hear(
        &self,
        state: &mut State,
        host: &Host,
        user: &str,
    ) -> Result<(Arc<Hearing>, watch::Receiver<First>), Error> {
        let Room::Channel { space, channel } = &self.0.room else {
            let message = "only the caller can be heard in a call";
            return Err(Error::new("invalid_params", message));
        };
        if state.heard.len() >= HEARD {
            let message = format!(
                "{HEARD} people are heard by a connection at most: end the handlers and recordings of somebody first"
            );
            return Err(Error::new("too_many_listeners", message));
        }
        let hearing = Arc::new(Hearing::new(user));
        let (stop, stopped) = watch::channel(false);
        let tokens = host.tokens(&self.0.script, space, channel);
        let session = self.listening(user, &hearing, tokens, stopped)?;
        let (result, opened) = watch::channel(None);
        state.heard.push(Heard {
            hearing: Arc::clone(&hearing),
            stop: Some(stop),
            opened: opened.clone(),
        });
        let (sender, first) = oneshot::channel();
        self.0.runtime.spawn(session.run(sender));
        let (connection, of_session) = (self.clone(), Arc::clone(&hearing));
        self.0.runtime.spawn(async move {
            let opened = first.await.unwrap_or_else(|_| Err(Error::closed()));
            // Whoever tries again opens another.
            if opened.is_err() {
                connection.hear_no_more(&of_session);
            }
            result.send_replace(Some(opened));
        });
        Ok((hearing, opened))
    }

    fn listening(
        &self,
        user: &str,
        hearing: &Arc<Hearing>,
        tokens: Tokens,
        stop: watch::Receiver<bool>,
    ) -> Result<Session, Error> {
        let connection = self.clone();
        let of_session = Arc::clone(hearing);
        let report = move |report| match report {
            Report::TargetLeft => connection.target_left(&of_session.user),
            Report::Over(reason) => connection.heard_enough(&of_session, reason),
            Report::Lost(_) | Report::Back | Report::Mixer(_) => {}
        };
        Ok(Session {
            endpoint: Endpoint::Subscribe(user.to_owned()),
            tokens,
            intake: None,
            ear: Some(self.ear(hearing)?),
            stop,
            report: Box::new(report),
            opened: Box::new(|| {}),
            counters: Arc::default(),
            renew: RENEW,
        })
    }

    /// An ear for the connection's own socket: the caller of a call.
    pub(in crate::voice) fn caller_ear(&self, caller: &str) -> Result<Ear, Error> {
        let hearing = Arc::new(Hearing::new(caller));
        self.state().heard.push(Heard {
            hearing: Arc::clone(&hearing),
            stop: None,
            // The connection's own socket.
            opened: watch::Sender::new(Some(Ok(()))).subscribe(),
        });
        self.ear(&hearing)
    }

    fn ear(&self, hearing: &Arc<Hearing>) -> Result<Ear, Error> {
        let connection = self.clone();
        let tell = move |what| connection.speaks(what);
        Ear::new(
            Arc::clone(hearing),
            Arc::clone(&self.0.counters),
            Arc::new(tell),
        )
        .map_err(|error| Error::new("opus", error.to_string()))
    }

    fn speaks(&self, what: Happening) {
        if let Happening::Speaking(_, speaking) = &what {
            let ducked = {
                let mut state = self.state();
                state.speaking = if *speaking {
                    state.speaking + 1
                } else {
                    state.speaking.saturating_sub(1)
                };
                state.speaking > 0
            };
            // A connection that is over ducks nothing.
            let _ = self.command(Command::Duck(ducked));
        }
        self.tell(what);
    }

    pub(super) fn target_left(&self, user: &Arc<str>) {
        self.tell(Happening::TargetLeft(Arc::clone(user)));
    }

    /// A listening session is over: the server ended it.
    fn heard_enough(&self, hearing: &Arc<Hearing>, reason: Option<String>) {
        self.hear_no_more(hearing);
        if let Some(reason) = reason {
            tracing::warn!(target: "script", script = %self.0.script,
                "voice: {} is not heard any more: {reason}", hearing.user);
        }
    }

    fn hear_no_more(&self, hearing: &Arc<Hearing>) {
        hearing.close();
        self.state()
            .heard
            .retain(|heard| !Arc::ptr_eq(&heard.hearing, hearing));
    }
}
