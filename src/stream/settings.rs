//! What the stream needs to know, what it needs from outside, and what it shows.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use super::ending::Refusal;
use crate::config::Secret;
use crate::contract::limits;
use bytes::Bytes;
use serde_json::{Map, Value};

/// How a stream is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Base address without a trailing slash; `{base}/IEvents/v1/Stream`.
    pub base_url: String,
    /// The bot's token.
    pub token: Secret,
    /// The bot's own user id, to tell its messages from others'.
    pub user_id: String,
    /// How old a message may be that is looked for in the history because the stream may have lost it;
    /// nothing is looked for when it is zero.
    pub catch_up: Duration,
    /// How long things take.
    pub timings: Timings,
}

/// Times of the stream. The defaults are for the platform; tests shorten them.
#[derive(Debug, Clone, Copy)]
pub struct Timings {
    /// The most that making a TCP and TLS connection may take.
    pub connect: Duration,
    /// No byte for this long: the connection is dead. Two and a half heartbeats. Also bounds the wait
    /// for the answer's head.
    pub silence: Duration,
    /// Bytes, but no complete event for this long: what comes cannot be read. Five heartbeats, because
    /// a server may keep the connection alive with comments, and a large event takes its time.
    pub event_silence: Duration,
    /// Between closing a connection and opening the next, so that the server has noticed: a stream
    /// that opens before the end of the last one is deaf.
    pub settle: Duration,
    /// How long new intents must stand before the stream is reopened for them.
    pub debounce: Duration,
    /// The window of the platform's limit on connects.
    pub budget_window: Duration,
    /// The bound of the first wait after a failure; it doubles with each failure.
    pub backoff: Duration,
    /// The bound that the doubling stops at.
    pub backoff_most: Duration,
    /// A connection that lived for this long was a good one: the next failure is the first again.
    pub healthy: Duration,
    /// The least wait after a 429; it doubles with each.
    pub throttled: Duration,
    /// How long a message that was sent may take to come back.
    pub deaf: Duration,
    /// The most that asking for a message's author, or the id of a command that is being registered, may
    /// take; the stream waits for it.
    pub lookup: Duration,
    /// After so long without an event, the stream has brought what the platform had for it. The search for
    /// lost messages begins as long after a connect.
    pub quiet: Duration,
    /// After so long without an event of one space, while there are events of others, the stream has brought
    /// what the platform had of that space.
    pub patience: Duration,
    /// The most that is waited for either.
    pub patience_most: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: limits::HEARTBEAT * 5 / 2,
            event_silence: limits::HEARTBEAT * 5,
            settle: Duration::from_millis(500),
            debounce: Duration::from_millis(500),
            budget_window: limits::RATE_WINDOW,
            backoff: Duration::from_secs(1),
            backoff_most: Duration::from_secs(60),
            healthy: Duration::from_secs(60),
            throttled: Duration::from_secs(10),
            deaf: Duration::from_secs(10),
            lookup: Duration::from_secs(3),
            // Two of the platform's batches.
            quiet: Duration::from_secs(1),
            // Six of them, in which 300 spaces have their turn.
            patience: Duration::from_secs(3),
            // What the platform keeps of a space (5,000 events) takes 50 s.
            patience_most: Duration::from_secs(60),
        }
    }
}

/// A future on the heap, as trait methods return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why something was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// The platform says no.
    No(String),
    /// A bare 500: no, or a fault of the server.
    Unclear(String),
    /// It cannot be asked now.
    Later(String),
}

/// What the stream needs from outside.
pub trait Host: Send + Sync {
    /// The stream is about to open (it takes one of the bot's ten concurrent requests), or its
    /// connection is closed.
    fn stream_open(&self, open: bool);

    /// The user id of a message's author; `None` when there is no such message. Runs on the runtime
    /// that [`super::spawn`] was called in, for at most [`Timings::lookup`].
    fn author<'a>(
        &'a self,
        channel_id: &'a str,
        message_id: i64,
    ) -> BoxFuture<'a, Result<Option<String>, String>>;

    /// Asks the REST API something that may wait, with a part of the rate limits only. Runs on the
    /// runtime that [`super::spawn`] was called in.
    fn ask<'a>(
        &'a self,
        interface: &'static str,
        route: &'static str,
        params: Map<String, Value>,
    ) -> BoxFuture<'a, Result<Bytes, Denied>>;
}

/// What a stream is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// A connection is being made, or is open and its first event has not come.
    Connecting {
        /// 1 for the first try after a good connection.
        attempt: u32,
    },
    /// Events come.
    Live {
        /// When the server accepted the stream.
        since: Instant,
    },
    /// Not connected; tries again later.
    Waiting {
        /// When.
        until: Instant,
        /// What ended the connection before.
        reason: String,
    },
    /// The platform will not have it until somebody changes something.
    Refused(Refusal),
    /// Over.
    Stopped,
}

/// What a stream has done since it was spawned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections that were tried.
    pub connects: u64,
    /// Connections, and attempts to make one, that ended, by why (`Ending::name`).
    pub ended: BTreeMap<&'static str, u64>,
    /// Connections that said where to go on.
    pub resumes: u64,
    /// Places in the stream that were given up, so that events may be missing.
    pub gaps: u64,
    /// Events that came complete, whatever became of them, by type; types that the contract does not know
    /// are `other`.
    pub kinds: BTreeMap<&'static str, u64>,
    /// When the last one came.
    pub last: Option<Instant>,
    /// Events put into the inbox.
    pub appended: u64,
    /// Events dropped because they had come before.
    pub duplicates: u64,
    /// Interactions dropped because they were another bot's.
    pub foreign: u64,
    /// Events dropped because they were too large, complete or not.
    pub oversized: u64,
    /// Times that the author of a message had to be asked for.
    pub lookups: u64,
    /// Messages that the stream lost and the history had.
    pub recovered: u64,
}
