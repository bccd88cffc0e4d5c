//! Opening a socket: a token, a connection, and the pauses between attempts.

use std::time::Duration;

use super::Tokens;
use super::dial::{Endpoint, Failure, Socket, connect, ready};
use crate::voice::Error;

/// The second pause between attempts, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// Why a socket was not opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum Opening {
    #[error(transparent)]
    Token(Error),
    #[error(transparent)]
    Socket(Failure),
}

/// A connected socket with a fresh token.
pub(super) async fn open(tokens: &Tokens, endpoint: &Endpoint) -> Result<Socket, Opening> {
    let grant = tokens.grant().await.map_err(Opening::Token)?;
    connect(&grant, endpoint).await.map_err(Opening::Socket)
}

/// The same, once it takes packets.
pub(super) async fn open_ready(tokens: &Tokens, endpoint: &Endpoint) -> Result<Socket, Opening> {
    let socket = open(tokens, endpoint).await?;
    ready(socket).await.map_err(Opening::Socket)
}

/// The pause before an attempt after so many failures; up to a fifth longer or shorter by `roll`, 0 to 1.
pub(super) fn pause(failed: u32, roll: f64) -> Duration {
    match failed {
        0 => Duration::ZERO,
        failed => {
            let pause = PAUSE
                .0
                .saturating_mul(2u32.saturating_pow(failed - 1))
                .min(PAUSE.1);
            pause.mul_f64(0.8 + 0.4 * roll)
        }
    }
}
#[cfg(test)]
mod tests {
    use super::pause;

    #[test]
    fn pauses_grow_from_nothing_to_half_a_minute() {
        let seconds: Vec<f64> = (0..10)
            .map(|failed| pause(failed, 0.5).as_secs_f64())
            .collect();
        assert_eq!(seconds[..4], [0.0, 0.25, 0.5, 1.0]);
        assert_eq!(seconds[9], 30.0);
        assert!(pause(1, 0.0) < pause(1, 1.0));
        // Whoever loses a socket is back within a second, as far as it is up to the pauses.
        assert!(pause(1, 1.0).as_secs_f64() <= 0.3);
    }
}
