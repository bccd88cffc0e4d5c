//! One voice socket for as long as its connection lasts: open, ready, lost, opened again.
//!
//! * A socket that is lost is opened again, at once and then with growing pauses, each time with a fresh
//!   token; meanwhile the mixer stands still, so that the audio goes on where it was.
//! * Before a token's two hours are over, a second socket is opened beside the first and takes over
//!   ([`Renewal`]). The server lets a bot speak in a room once, and ends the first by itself: what is due
//!   meanwhile waits, at most for [`HOLD`], so that only what is on the wire can be lost between the two.
//! * What the server ends on purpose (`error` after `ready`: kicked, the call is over, replaced) stays
//!   ended: the script is told, and may join again.
//! * A server that says nothing for [`SILENT`] (it pings every 30 s) is gone.
//!
//! | file | owns |
//! |---|---|
//! | here | a session: what it does with its socket |
//! | `tokens` | where tokens come from |
//! | `opening` | one attempt, and the pauses between them |
//! | `dial` | the socket itself, up to `ready` |
//! | `renewal` | the second socket |
//! | `line` | what comes from the real-time threads |

pub mod dial;
pub mod line;
mod opening;
mod renewal;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::Error;
use super::mixer::Event;
use super::receive::Ear;
use super::stats::Counters;
use dial::{Endpoint, Failure, Socket, Status, ready};
use line::Intake;
use opening::{Opening, open, open_ready, pause};
use renewal::{Renewal, Step};
pub use tokens::Tokens;

/// How long the server may say nothing at all.
const SILENT: Duration = Duration::from_secs(75);
/// When a fresh token is asked for: ten minutes before the old one ends.
pub const RENEW: Duration = Duration::from_secs(110 * 60);
/// How long packets wait for the successor of a socket, once it is connected and not ready yet.
const HOLD: Duration = Duration::from_millis(600);
/// The pause before another attempt to renew.
const RENEW_AGAIN: Duration = Duration::from_secs(60);
/// How long a packet may take to be written.
const WRITE: Duration = Duration::from_secs(10);
/// How long the server has to answer a close frame.
const CLOSE: Duration = Duration::from_secs(2);
/// Attempts of a join before the script is told.
const FIRST_ATTEMPTS: u32 = 3;
/// Attempts in a row that a refused token is worth.
const REFUSED_ATTEMPTS: u32 = 5;
/// A connection that lasted so long was a good one: the next attempt is made at once.
const GOOD: Duration = Duration::from_secs(20);

/// What a session tells its connection.
pub enum Report {
    /// The socket was lost; the session tries to open it again.
    Lost(String),
    /// It is open again.
    Back,
    /// The participant who is heard has left.
    TargetLeft,
    /// Something of the mixer.
    Mixer(Event),
    /// It is over. Without a reason, because it was asked to end.
    Over(Option<String>),
}

/// A session.
pub struct Session {
    /// What the socket is for.
    pub endpoint: Endpoint,
    /// Its tokens.
    pub tokens: Tokens,
    /// What it sends.
    pub intake: Option<Intake>,
    /// What it hears.
    pub ear: Option<Ear>,
    /// Turns true when it is to end.
    pub stop: watch::Receiver<bool>,
    /// Told in order. Must not wait.
    pub report: Box<dyn Fn(Report) + Send + Sync>,
    /// Called when packets are wanted.
    pub opened: Box<dyn Fn() + Send + Sync>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// How long a socket lasts until another takes over; [`RENEW`] suits the platform.
    pub renew: Duration,
}

/// How a socket ended.
enum End {
    Asked,
    Lost(String),
    Ended(String),
}

impl Session {
    /// Runs until it is over. `first` is told when the first socket is ready, or why it never will be.
    pub async fn run(mut self, first: oneshot::Sender<Result<(), Error>>) {
        let over = self.keep(first).await;
        self.drain(true);
        (self.report)(Report::Over(over));
    }

    /// Answers why it is over.
    async fn keep(&mut self, first: oneshot::Sender<Result<(), Error>>) -> Option<String> {
        let mut first = Some(first);
        let mut failed = 0;
        loop {
            let opened = {
                let mut opening = std::pin::pin!(open_ready(&self.tokens, &self.endpoint));
                loop {
                    tokio::select! {
                        opened = &mut opening => break opened,
                        () = stopped(&mut self.stop) => return None,
                        () = attend(&mut self.intake, &self.report) => {}
                    }
                }
            };
            let (error, fatal) = match opened {
                Ok(socket) => {
                    match first.take() {
                        // Whoever asked may have gone: then nobody will ever leave.
                        Some(first) => {
                            if first.send(Ok(())).is_err() {
                                return None;
                            }
                        }
                        None => {
                            self.counters.reconnects.add(1);
                            (self.report)(Report::Back);
                        }
                    }
                    let began = Instant::now();
                    match self.talk(socket).await {
                        End::Asked => return None,
                        End::Ended(reason) => return Some(reason),
                        End::Lost(reason) => {
                            failed = if began.elapsed() >= GOOD {
                                0
                            } else {
                                failed + 1
                            };
                            (self.report)(Report::Lost(reason));
                        }
                    }
                    (None, false)
                }
                Err(Opening::Token(error)) => {
                    let fatal = match &error {
                        Error::Rest(error) => !error.may_pass_by_waiting(),
                        Error::Voice { .. } => true,
                    };
                    (Some(error), fatal)
                }
                Err(Opening::Socket(failure)) => {
                    let refused =
                        matches!(failure, Failure::Refused(_)) && failed + 1 >= REFUSED_ATTEMPTS;
                    let fatal = refused || !failure.may_pass();
                    (Some(Error::new("voice_server", failure.to_string())), fatal)
                }
            };
            if let Some(error) = error {
                failed += 1;
                if fatal || (first.is_some() && failed >= FIRST_ATTEMPTS) {
                    let reason = error.to_string();
                    if let Some(first) = first.take() {
                        // Fails when whoever asked has gone.
                        let _ = first.send(Err(error));
                    }
                    return Some(reason);
                }
                tracing::debug!("voice: {error}; trying again");
            }
            let pause = pause(failed, rand::random());
            let until = Instant::now() + pause;
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(until) => break,
                    () = stopped(&mut self.stop) => return None,
                    () = attend(&mut self.intake, &self.report) => {}
                }
            }
        }
    }

    /// Tells the mixer's events; drops packets if there is no socket for them.
    fn drain(&mut self, packets: bool) {
        if let Some(intake) = &mut self.intake {
            drain(intake, &self.report, packets);
        }
    }

    async fn talk(&mut self, mut socket: Socket) -> End {
        set_open(&self.intake, &self.opened, true);
        let end = self.exchange(&mut socket).await;
        set_open(&self.intake, &self.opened, false);
        // Nothing tells when who speaks now will end.
        if let Some(ear) = &mut self.ear {
            ear.rest();
        }
        if matches!(end, End::Asked) {
            // What was due is still sent. If that fails, there is nobody to say goodbye to.
            let _ = send(&mut self.intake, &self.report, &mut socket, &self.counters).await;
        }
        self.drain(true);
        if matches!(end, End::Asked) {
            close(socket).await;
        }
        end
    }

    async fn exchange(&mut self, socket: &mut Socket) -> End {
        let Self {
            endpoint,
            tokens,
            intake,
            ear,
            stop,
            report,
            opened,
            renew,
            counters,
        } = self;
        let mut heard = Instant::now();
        let mut renew_at = heard + *renew;
        let mut renewal = Renewal::None;
        // How this socket ended, while its successor is on its way.
        let mut over = None;
        loop {
            let quiet = ear.as_ref().and_then(Ear::deadline).map(Instant::from_std);
            let hold = renewal.hold();
            let idle = matches!(renewal, Renewal::None);
            let event = tokio::select! {
                () = has_something(intake), if over.is_none() && hold.is_none() => {
                    match send(intake, report, socket, counters).await {
                        Ok(()) => None,
                        Err(reason) => Some(End::Lost(reason)),
                    }
                }
                () = sleep_until(hold) => {
                    renewal.release();
                    None
                }
                message = socket.next(), if over.is_none() => {
                    heard = Instant::now();
                    match message {
                        Some(Ok(message)) => read(ear, report, message),
                        Some(Err(error)) => Some(End::Lost(error.to_string())),
                        None => Some(End::Lost("the server closed the connection".into())),
                    }
                }
                () = tokio::time::sleep_until(heard + SILENT), if over.is_none() => {
                    Some(End::Lost("the server has gone silent".into()))
                }
                () = sleep_until(quiet) => {
                    if let Some(ear) = ear {
                        ear.wait(std::time::Instant::now());
                    }
                    None
                }
                () = tokio::time::sleep_until(renew_at), if idle && tokens.is_renewable() => {
                    renewal = Renewal::Opening(Box::pin(open(tokens, endpoint)));
                    None
                }
                step = renewal.step() => {
                    renewal = match step {
                        Step::Opened(newer) => Renewal::Greeting(
                            Box::pin(ready(newer)),
                            Some(Instant::now() + HOLD),
                        ),
                        Step::Ready(newer) => {
                            let old = std::mem::replace(socket, newer);
                            match over.take() {
                                None => drop(tokio::spawn(close(old))),
                                Some(_) => set_open(intake, opened, true),
                            }
                            heard = Instant::now();
                            renew_at = heard + *renew;
                            Renewal::None
                        }
                        Step::Failed(error) => {
                            if let Some(end) = over.take() {
                                return end;
                            }
                            tracing::debug!("voice: the token is not renewed yet: {error}");
                            renew_at = Instant::now() + RENEW_AGAIN;
                            Renewal::None
                        }
                    };
                    None
                }
                () = stopped(stop) => return End::Asked,
            };
            match event {
                None => {}
                Some(end) if matches!(renewal, Renewal::None) => return end,
                // Its successor may be why.
                Some(end) => {
                    set_open(intake, opened, false);
                    over = Some(end);
                }
            }
        }
    }
}
/// Packets are wanted now, or not: then the mixer stands still.
fn set_open(intake: &Option<Intake>, opened: &(dyn Fn() + Send + Sync), open: bool) {
    if let Some(intake) = intake {
        intake.line.set_open(open);
    }
    if open {
        opened();
    }
}

async fn send(
    intake: &mut Option<Intake>,
    report: &(dyn Fn(Report) + Send + Sync),
    socket: &mut Socket,
    counters: &Counters,
) -> Result<(), String> {
    let Some(intake) = intake else {
        return Ok(());
    };
    while let Ok(due) = intake.packets.pop() {
        match timeout(WRITE, socket.send(Message::Binary(due.packet))).await {
            Ok(Ok(())) => counters.note_sent(due.at.elapsed()),
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("the server does not take the packets".into()),
        }
    }
    drain(intake, report, false);
    Ok(())
}

/// A message of the server; answers how the socket ends, if it does.
fn read(
    ear: &mut Option<Ear>,
    report: &(dyn Fn(Report) + Send + Sync),
    message: Message,
) -> Option<End> {
    match message {
        Message::Binary(data) => {
            if let Some(ear) = ear {
                ear.hear(&data, std::time::Instant::now());
            }
        }
        Message::Text(text) => match Status::parse(&text) {
            Some(Status::Error(reason)) => return Some(End::Ended(reason)),
            Some(Status::TargetLeft) => report(Report::TargetLeft),
            Some(Status::Ready | Status::Waiting | Status::Subscribed | Status::Other(_))
            | None => {}
        },
        Message::Close(frame) => {
            let reason = frame.map_or_else(String::new, |frame| format!(" ({})", frame.code));
            return Some(End::Lost(format!(
                "the server closed the connection{reason}"
            )));
        }
        // The library answers pings.
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
    }
    None
}
fn drain(intake: &mut Intake, report: &dyn Fn(Report), packets: bool) {
    while packets && intake.packets.pop().is_ok() {}
    while let Ok(event) = intake.events.pop() {
        report(Report::Mixer(event));
    }
}

/// Keeps the mixer's events flowing while there is no socket. Comes back when something was there.
async fn attend(intake: &mut Option<Intake>, report: &(dyn Fn(Report) + Send + Sync)) {
    has_something(intake).await;
    if let Some(intake) = intake {
        drain(intake, report, true);
    }
}

async fn has_something(intake: &mut Option<Intake>) {
    match intake {
        Some(intake) => intake.ready().await,
        None => std::future::pending().await,
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the connection was forgotten, which ends the session, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Closes a socket as the protocol asks.
async fn close(mut socket: Socket) {
    let frame = CloseFrame {
        code: CloseCode::Normal,
        reason: Bytes::new().try_into().unwrap_or_default(),
    };
    let goodbye = async {
        if socket.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    // A server that does not answer is left alone.
    let _ = timeout(CLOSE, goodbye).await;
}
