//! The queue: tracks that play one after another. The mixer has [`READY`] of them ready; the rest wait
//! here as names, and are opened again when their turn is near.

use std::sync::Arc;

use super::{Connection, Phase, Play, Playing, TrackHandle, Waiting};
use crate::limits::voice::QUEUED;
use crate::voice::mixer::{Command, Options, State as TrackState, Track};
use crate::voice::source::feed::{self, Opened};
use crate::voice::{Error, Happening, source};

/// Tracks that the mixer has ready behind the one that plays.
const READY: usize = 2;

impl Connection {
    /// Opens a file and plays it when those before it in the queue are over. Comes back when the file is
    /// known to be good.
    ///
    /// # Errors
    /// When the file cannot be played, or too many wait.
    pub async fn queue(&self, source: &str, play: Play) -> Result<TrackHandle, Error> {
        if self.state().waiting.len() >= QUEUED {
            let message =
                format!("{QUEUED} tracks wait in the queue at most: skip or stop some first");
            return Err(Error::new("too_many_tracks", message));
        }
        // What was opened is let go: the queue opens it again when its turn is near.
        let (track, options, _) = self.open(source, play).await?;
        if self.phase() == Phase::Over {
            return Err(Error::closed());
        }
        self.state().waiting.push_back(Waiting {
            track: track.clone(),
            options,
        });
        self.refill();
        Ok(track)
    }

    /// Opens the next of the queue when the mixer needs it.
    pub(super) fn refill(&self) {
        let (track, options) = {
            let mut state = self.state();
            if state.opening.is_some() || state.ready >= READY {
                return;
            }
            let Some(next) = state.waiting.pop_front() else {
                return;
            };
            state.opening = Some(next.track.id);
            state.tracks.push(Playing {
                track: next.track.clone(),
                queued: true,
            });
            (next.track, next.options)
        };
        let connection = self.clone();
        let of_thread = track.clone();
        let opened = move |opened| connection.reopened(&of_thread, options, opened);
        if let Err(error) = feed::open((*track.plan).clone(), opened) {
            self.reopened(&track, options, Err(error.into()));
        }
    }

    fn reopened(
        &self,
        track: &TrackHandle,
        options: Options,
        opened: Result<Opened, source::Error>,
    ) {
        let stopped = {
            let mut state = self.state();
            state.opening = None;
            let stopped = track.view.state().is_over();
            state.ready += usize::from(opened.is_ok() && !stopped);
            stopped
        };
        match opened {
            _ if stopped => {}
            Ok(opened) => {
                let ready = Track::new(
                    track.id,
                    Arc::clone(&track.view),
                    Box::new(opened.feed),
                    options,
                );
                if self.command(Command::Queue(Box::new(ready))).is_err() {
                    track.view.set_state(TrackState::Stopped);
                    self.over(track.id, None);
                }
            }
            Err(error) => {
                track.view.set_state(TrackState::Failed);
                self.over(track.id, Some(error.to_string()));
            }
        }
        self.refill();
    }

    /// Ends what plays from the queue; the next one begins.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn skip(&self) -> Result<(), Error> {
        self.command(Command::Skip)
    }

    /// Ends every track and empties the queue.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn stop_all(&self) -> Result<(), Error> {
        let (waiting, opening) = {
            let mut state = self.state();
            let waiting: Vec<_> = state
                .waiting
                .drain(..)
                .map(|waiting| waiting.track)
                .collect();
            let opening = state.opening.and_then(|id| state.track(id));
            (waiting, opening)
        };
        for track in waiting {
            track.view.set_state(TrackState::Stopped);
            self.tell(Happening::Finished { track, error: None });
        }
        if let Some(track) = opening {
            track.view.set_state(TrackState::Stopped);
            self.over(track.id, None);
        }
        // Under the lock: what a script pushes knows from the number whether it was stopped.
        let mut state = self.state();
        self.command(Command::StopAll)?;
        state.stops += 1;
        Ok(())
    }

    /// A track is over.
    pub(super) fn over(&self, id: u64, error: Option<String>) {
        let track = {
            let mut state = self.state();
            state.unqueue(id);
            let at = state
                .tracks
                .iter()
                .position(|playing| playing.track.id == id);
            at.map(|at| state.tracks.remove(at).track)
        };
        // What scripts push is no track of theirs.
        if let Some(track) = track {
            self.tell(Happening::Finished { track, error });
        }
    }
}
