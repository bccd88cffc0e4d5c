//! Tracks: how a source is played, and the handle of what plays.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Connection, Phase, Playing, State, Waiting};
use crate::limits::voice::TRACKS;
use crate::voice::mixer::{Command, Options, State as TrackState, Track, View};
use crate::voice::packet::RATE;
use crate::voice::source::feed::{self, Opened, Plan};
use crate::voice::{Error, Happening};

/// How a source is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Play {
    /// A factor, from 0 to 4.
    pub volume: f32,
    /// Begins again at its end.
    pub looped: bool,
    /// Seconds.
    pub fade_in: f64,
    /// Seconds that it overlaps with the one before in the queue.
    pub crossfade: f64,
    /// Seconds from the file's beginning.
    pub start: f64,
    /// What is left of it while somebody who is listened to speaks.
    pub duck: Option<f32>,
    /// LUFS to bring it to.
    pub normalize: Option<f64>,
}

impl Default for Play {
    fn default() -> Self {
        Self {
            volume: 1.0,
            looped: false,
            fade_in: 0.0,
            crossfade: 0.0,
            start: 0.0,
            duck: None,
            normalize: None,
        }
    }
}

/// Seconds as samples.
pub fn samples(seconds: f64) -> u64 {
    (seconds.clamp(0.0, 1e9) * f64::from(RATE)).round() as u64
}

/// A handle of a track.
#[derive(Clone)]
pub struct TrackHandle {
    pub(super) id: u64,
    pub(super) view: Arc<View>,
    pub(super) plan: Arc<Plan>,
    pub(super) name: Arc<str>,
    pub(super) connection: Connection,
}

impl Connection {
    /// Opens a file and plays it beside the others. Comes back when it is open.
    ///
    /// # Errors
    /// When the file cannot be played, or too many tracks play.
    pub async fn play(&self, source: &str, play: Play) -> Result<TrackHandle, Error> {
        let too_many = || {
            Error::new(
                "too_many_tracks",
                format!("{TRACKS} tracks play at once at most: stop one first"),
            )
        };
        let playing = |state: &State| {
            state
                .tracks
                .iter()
                .filter(|playing| !playing.queued)
                .count()
        };
        if playing(&self.state()) >= TRACKS {
            return Err(too_many());
        }
        let (track, options, opened) = self.open(source, play).await?;
        let ready = Track::new(
            track.id,
            Arc::clone(&track.view),
            Box::new(opened.feed),
            options,
        );
        {
            let mut state = self.state();
            if playing(&state) >= TRACKS {
                return Err(too_many());
            }
            state.tracks.push(Playing {
                track: track.clone(),
                queued: false,
            });
        }
        self.enter(&track, Command::Play(Box::new(ready)))?;
        Ok(track)
    }

    /// Gives the mixer a track; forgets it again if that fails.
    fn enter(&self, track: &TrackHandle, command: Command) -> Result<(), Error> {
        let result = self.command(command);
        if result.is_err() {
            self.state()
                .tracks
                .retain(|playing| playing.track.id != track.id);
        }
        result
    }

    pub(super) async fn open(
        &self,
        source: &str,
        play: Play,
    ) -> Result<(TrackHandle, Options, Opened), Error> {
        if self.phase() == Phase::Over {
            return Err(Error::closed());
        }
        let host = self.host()?;
        let path = host.existing(source).await?;
        let normal = match play.normalize {
            Some(target) => host.gain_to(&path, source, target).await?,
            None => 1.0,
        };
        let start = samples(play.start);
        let plan = Plan {
            path,
            channels: self.0.settings.channels(),
            start,
            looped: play.looped,
        };
        let opened = opened(plan.clone(), source).await?;
        let track = TrackHandle {
            id: host.next_id(),
            view: Arc::new(View::new(opened.duration)),
            plan: Arc::new(plan),
            name: source.into(),
            connection: self.clone(),
        };
        let options = Options {
            volume: play.volume,
            normal,
            fade_in: samples(play.fade_in) as u32,
            crossfade: samples(play.crossfade).min(u64::from(u32::MAX)) as u32,
            duck: play.duck,
            start: opened.start,
        };
        Ok((track, options, opened))
    }
}

/// Opens a file on a thread that may wait for the disk.
async fn opened(plan: Plan, source: &str) -> Result<Opened, Error> {
    let (sender, opened) = oneshot::channel();
    let tell = move |opened| {
        // Fails when whoever asked has gone.
        let _ = sender.send(opened);
    };
    feed::open(plan, tell)
        .map_err(|error| Error::new("host", format!("no thread to read {source:?}: {error}")))?;
    let opened = opened
        .await
        .map_err(|_| Error::new("host", "the reading thread has ended"))?;
    opened.map_err(|error| Error::new("source", format!("{source:?} cannot be played: {error}")))
}

impl std::fmt::Debug for TrackHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrackHandle")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish()
    }
}

impl TrackHandle {
    /// Identity.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// As the script named the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it stands.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The connection that it plays in.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Stands still.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn pause(&self) -> Result<(), Error> {
        if self.while_waiting(|waiting| waiting.paused = true) {
            return Ok(());
        }
        self.connection.command(Command::Pause(self.id))
    }

    /// Goes on.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn resume(&self) -> Result<(), Error> {
        if self.while_waiting(|waiting| waiting.paused = false) {
            return Ok(());
        }
        self.connection.command(Command::Resume(self.id))
    }

    /// Ends it, fading for so many seconds.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn stop(&self, fade: f64) -> Result<(), Error> {
        let waited = {
            let mut state = self.connection.state();
            let at = state
                .waiting
                .iter()
                .position(|waiting| waiting.track.id == self.id);
            at.and_then(|at| state.waiting.remove(at))
        };
        if let Some(Waiting { track, .. }) = waited {
            self.view.set_state(TrackState::Stopped);
            self.connection
                .tell(Happening::Finished { track, error: None });
            return Ok(());
        }
        let opening = self.connection.state().stop_opening(|id| id == self.id);
        if let Some(id) = opening {
            self.connection.over(id, None);
            return Ok(());
        }
        self.connection
            .command(Command::Stop(self.id, samples(fade) as u32))
    }

    /// Changes it, if the mixer does not know it yet. Once that is false, it stays so: what is changed is
    /// then a command to the mixer.
    fn while_waiting(&self, change: impl FnOnce(&mut Waiting)) -> bool {
        let mut state = self.connection.state();
        state.waiting(self.id).map(change).is_some()
    }

    /// Changes the volume within so many seconds; at once, if its turn has not come.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn set_volume(&self, volume: f32, fade: f64) -> Result<(), Error> {
        if self.while_waiting(|waiting| waiting.options.volume = volume) {
            return Ok(());
        }
        self.connection
            .command(Command::Volume(self.id, volume, samples(fade) as u32))
    }

    /// Goes on from that many seconds. Comes back when the file is open there.
    ///
    /// # Errors
    /// When the file cannot be played from there, or the track is over.
    pub async fn seek(&self, seconds: f64) -> Result<(), Error> {
        if self.view.state().is_over() {
            return Err(Error::new(
                "over",
                "this track is over: play it again with startAt",
            ));
        }
        let start = samples(seconds);
        let plan = Plan {
            start,
            ..(*self.plan).clone()
        };
        let opened = opened(plan.clone(), &self.name).await?;
        let waits = self.while_waiting(|waiting| {
            // It is opened again when its turn is near.
            waiting.track.plan = Arc::new(plan);
            self.view.set_position(opened.start);
        });
        if waits {
            return Ok(());
        }
        self.connection
            .command(Command::Seek(self.id, Box::new(opened.feed), opened.start))
    }
}
