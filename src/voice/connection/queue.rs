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

impl Waiting {
    /// The track as the mixer has it.
    fn ready(self, opened: Opened) -> Box<Track> {
        let options = Options {
            start: opened.start,
            ..self.options
        };
        let TrackHandle { id, view, .. } = self.track;
        let mut track = Track::new(id, view, Box::new(opened.feed), options);
        track.hold(self.paused);
        Box::new(track)
    }
}

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
            paused: false,
        });
        self.refill();
        Ok(track)
    }

    /// Opens the next of the queue when the mixer needs it.
    pub(super) fn refill(&self) {
        let track = {
            let mut state = self.state();
            if state.opening.is_some() || state.ready >= READY {
                return;
            }
            let Some(next) = state.waiting.pop_front() else {
                return;
            };
            let track = next.track.clone();
            state.opening = Some(next);
            state.tracks.push(Playing {
                track: track.clone(),
                queued: true,
            });
            track
        };
        self.reopen(&track);
    }

    fn reopen(&self, track: &TrackHandle) {
        let connection = self.clone();
        let of_thread = track.clone();
        let opened = move |opened| connection.reopened(&of_thread, opened);
        if let Err(error) = feed::open((*track.plan).clone(), opened) {
            self.reopened(track, Err(error.into()));
        }
    }

    fn reopened(&self, track: &TrackHandle, opened: Result<Opened, source::Error>) {
        let failed = {
            let mut state = self.state();
            let Some(next) = state.opening.take() else {
                // The connection is over.
                return;
            };
            if !track.view.state().is_over() && !Arc::ptr_eq(&next.track.plan, &track.plan) {
                // By now it is to begin somewhere else.
                let track = next.track.clone();
                state.opening = Some(next);
                drop(state);
                return self.reopen(&track);
            }
            match opened {
                _ if track.view.state().is_over() => None,
                Ok(opened) => {
                    state.ready += 1;
                    // Under the lock: what is asked of the track from here on comes behind it.
                    let entered = self.command(Command::Queue(next.ready(opened)));
                    entered.err().map(|_| (TrackState::Stopped, None))
                }
                Err(error) => {
                    // As if it had been: its end takes that back.
                    state.ready += 1;
                    Some((TrackState::Failed, Some(error.to_string())))
                }
            }
        };
        if let Some((state, error)) = failed {
            track.view.set_state(state);
            self.over(track.id, error);
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
            let opening = state.stop_opening(|_| true);
            (waiting, opening)
        };
        for track in waiting {
            track.view.set_state(TrackState::Stopped);
            self.tell(Happening::Finished { track, error: None });
        }
        if let Some(track) = opening {
            self.over(track, None);
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
