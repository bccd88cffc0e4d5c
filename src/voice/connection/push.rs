//! Samples that a script makes itself.

use std::sync::Arc;
use std::time::Duration;

use rtrb::RingBuffer;

use super::{Connection, Phase};
use crate::voice::Error;
use crate::voice::mixer::{Command, Options, Track, View};
use crate::voice::packet::RATE;
use crate::voice::source::feed::{Feed, SampleFeed};

/// Samples (of one channel) of a script that wait: half a second.
pub const PUSHED: usize = RATE as usize / 2;
/// How soon a push looks again for room.
const LOOK: Duration = Duration::from_millis(10);

impl Connection {
    /// Plays samples (signed 16 bit, little endian, interleaved, 48 kHz). Comes back when they have found
    /// room.
    ///
    /// # Errors
    /// When the connection is over, or ends meanwhile.
    pub async fn push(&self, data: &[u8]) -> Result<(), Error> {
        let channels = self.0.settings.channels();
        let mut producer = self.0.push.lock().await;
        if producer.is_none() {
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
            self.command(Command::Play(Box::new(track)))?;
            *producer = Some(to);
        }
        let Some(to) = producer.as_mut() else {
            return Ok(());
        };
        let mut samples = data
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| f32::from(i16::from_le_bytes(*pair)) / 32_768.0);
        let mut left = samples.len();
        while left > 0 {
            if to.is_abandoned() {
                // The track was ended by stop: the next push begins another.
                *producer = None;
                return Ok(());
            }
            let room = to.slots().min(left);
            if room == 0 {
                if self.phase() == Phase::Over {
                    return Err(Error::closed());
                }
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
}
