//! The second socket, which takes over before the first one's token ends.

use std::pin::Pin;

use tokio::time::Instant;

use super::dial::{Failure, Socket};
use super::opening::Opening;

pub(super) type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The second socket, while the first still talks.
pub(super) enum Renewal<'a> {
    None,
    /// A token is asked for, and a connection opened.
    Opening(Pending<'a, Result<Socket, Opening>>),
    /// It is connected: from any moment on the server takes packets only there. Until when they wait.
    Greeting(Pending<'a, Result<Socket, Failure>>, Option<Instant>),
}

/// How a renewal goes on.
pub(super) enum Step {
    Opened(Socket),
    Ready(Socket),
    Failed(Opening),
}

impl Renewal<'_> {
    /// Until when packets wait.
    pub(super) fn hold(&self) -> Option<Instant> {
        match self {
            Renewal::Greeting(_, hold) => *hold,
            Renewal::None | Renewal::Opening(_) => None,
        }
    }

    /// Packets wait no longer.
    pub(super) fn release(&mut self) {
        if let Renewal::Greeting(_, hold) = self {
            *hold = None;
        }
    }

    pub(super) async fn step(&mut self) -> Step {
        match self {
            Renewal::None => std::future::pending().await,
            Renewal::Opening(opening) => match opening.await {
                Ok(socket) => Step::Opened(socket),
                Err(error) => Step::Failed(error),
            },
            Renewal::Greeting(greeting, _) => match greeting.await {
                Ok(socket) => Step::Ready(socket),
                Err(failure) => Step::Failed(Opening::Socket(failure)),
            },
        }
    }
}
