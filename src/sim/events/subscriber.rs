//! How far a bot has read, and how it goes back.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::buffer::{Buffer, DIRECT_BUFFER, SPACE_BUFFER};
use crate::sim::saved::forms;

/// Delivered events that are remembered for bots that name their position.
pub(super) const SENT_KEPT: usize = SPACE_BUFFER + DIRECT_BUFFER;

/// A bot as a reader of buffers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Subscriber {
    /// The sequence to read next, by space.
    pub(super) positions: Vec<(Uuid, u64)>,
    /// Where the round over the spaces goes on.
    pub(super) turn: usize,
    pub(super) direct: Buffer,
    pub(super) direct_position: u64,
    pub(super) streams: usize,
    /// False while the subscriptions are forgotten (before the first stream, and for a deaf one).
    pub(super) subscribed: bool,
    /// When the last stream ended; `None` before the first.
    #[serde(with = "forms::maybe_moment")]
    pub(super) closed: Option<Instant>,
    /// What was delivered, newest last: the space (`None` for a direct event) and the sequence. Kept only
    /// for bots that name their position, the last [`SENT_KEPT`].
    pub(super) sent: VecDeque<(Option<Uuid>, u64)>,
    #[serde(skip)]
    pub(super) wake: watch::Sender<()>,
}

impl Subscriber {
    pub(super) fn position(&mut self, scope: Option<Uuid>) -> Option<&mut u64> {
        let Some(space) = scope else {
            return Some(&mut self.direct_position);
        };
        let mut positions = self.positions.iter_mut();
        positions
            .find(|(known, _)| *known == space)
            .map(|(_, position)| position)
    }

    /// Goes back to right after the event with that id, or after every event of a cursor. An id that was
    /// not delivered lately moves its own space only; one that says nothing moves nothing.
    pub(super) fn rewind(&mut self, id: &str) {
        let sequenced = id.rsplit_once('_').and_then(|(scope, sequence)| {
            let scope = match scope {
                "direct" => None,
                space => Some(Uuid::try_parse(space).ok()?),
            };
            Some((scope, sequence.parse::<u64>().ok()?))
        });
        let Some((scope, sequence)) = sequenced else {
            for part in id.split(',') {
                let Some((space, sequence)) = part.split_once(':') else {
                    return;
                };
                if let (Ok(space), Ok(sequence)) = (Uuid::try_parse(space), sequence.parse::<u64>())
                    && let Some(position) = self.position(Some(space))
                {
                    *position = sequence.saturating_add(1).min(*position);
                }
            }
            return;
        };
        match self
            .sent
            .iter()
            .rposition(|&known| known == (scope, sequence))
        {
            Some(at) => {
                for (scope, sequence) in self.sent.split_off(at + 1) {
                    if let Some(position) = self.position(scope) {
                        *position = sequence.min(*position);
                    }
                }
            }
            None => {
                if let Some(position) = self.position(scope) {
                    *position = sequence.saturating_add(1).min(*position);
                }
            }
        }
    }
}
