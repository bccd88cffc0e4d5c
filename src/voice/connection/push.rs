//! Samples that a script makes itself.

use std::sync::Arc;
use std::time::Duration;

use rtrb::{Producer, RingBuffer};

use super::{Connection, Phase};
use crate::voice::Error;
use crate::voice::mixer::{Command, Options, Track, View};
use crate::voice::packet::RATE;
use crate::voice::source::feed::{Feed, SampleFeed};

/// Samples (of one channel) of a script that wait: half a second.
pub const PUSHED: usize = RATE as usize / 2;
/// How soon a push looks again for room.
const LOOK: Duration = Duration::from_millis(10);

/// The end of a push track that a script writes to.
pub(super) struct Pushing {
    to: Producer<f32>,
    /// How often everything had been stopped when it began: once more, and it is over.
    stops: u64,
}

impl Connection {
    /// Plays samples (signed 16 bit, little endian, interleaved, 48 kHz). Comes back when they have found
    /// room, or when everything is stopped meanwhile.
    ///
    /// # Errors
    /// When the connection is over, or ends meanwhile.
    pub async fn push(&self, data: &[u8]) -> Result<(), Error> {
        let began = self.state().stops;
        let mut pushing = self.0.push.lock().await;
        // What was stopped may still fade out, and takes no more.
        if pushing
            .as_ref()
            .is_some_and(|old| old.stops != self.state().stops || old.to.is_abandoned())
        {
            *pushing = None;
        }
        let Pushing { to, stops } = match &mut *pushing {
            Some(pushing) => pushing,
            none => none.insert(self.begin_pushing()?),
        };
        if *stops != began {
            // While it waited for its turn.
            return Ok(());
        }
        let mut samples = data
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| f32::from(i16::from_le_bytes(*pair)) / 32_768.0);
        let mut left = samples.len();
        while left > 0 {
            if self.phase() == Phase::Over {
                return Err(Error::closed());
            }
            if to.is_abandoned() || self.state().stops != began {
                return Ok(());
            }
            let room = to.slots().min(left);
            if room == 0 {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            if let Ok(chunk) = to.write_chunk_uninit(room) {
                left -= chunk.fill_from_iter(&mut samples);
            }
            self.wake();
        }
        Ok(())
    }

    /// Plays what a script will write.
    fn begin_pushing(&self) -> Result<Pushing, Error> {
        let channels = self.0.settings.channels();
        let (to, pushed) = RingBuffer::new(PUSHED * channels);
        let feed = Feed::Samples(SampleFeed::live(pushed, channels));
        let options = Options {
            volume: 1.0,
            normal: 1.0,
            fade_in: 0,
            crossfade: 0,
            duck: None,
            start: 0,
        };
        let id = self.host()?.next_id();
        let track = Track::new(id, Arc::new(View::new(None)), Box::new(feed), options);
        // Under the lock, so that a stop comes before it or behind it, and its number says which.
        let state = self.state();
        self.command(Command::Play(Box::new(track)))?;
        Ok(Pushing {
            to,
            stops: state.stops,
        })
    }
}
