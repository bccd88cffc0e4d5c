//! Handles of tracks and recordings.

use mlua::{Lua, MetaMethod, Table, UserData, UserDataMethods, Value};

use super::options::{number, seconds, volume};
use super::{Answer, Methods, events, this};
use crate::script::api::Kit;
use crate::script::errors::Fault;
use crate::script::vm::meta;
use crate::voice::packet::RATE;
use crate::voice::receive::recorder::Recording;
use crate::voice::{Connection, Error, TrackHandle, TrackState};

/// A script's handle of a track.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) track: TrackHandle,
    pub(super) methods: Table,
}

/// A script's handle of a recording.
#[derive(Clone)]
pub(super) struct Recorded {
    pub(super) connection: Connection,
    pub(super) recording: Recording,
    pub(super) methods: Table,
}

/// The word for a track's state.
pub(super) fn word(state: TrackState) -> &'static str {
    match state {
        TrackState::Queued => "queued",
        TrackState::Playing => "playing",
        TrackState::Paused => "paused",
        TrackState::Finished => "finished",
        TrackState::Stopped => "stopped",
        TrackState::Failed => "failed",
    }
}

fn as_seconds(samples: u64) -> Value {
    Value::Number(samples as f64 / f64::from(RATE))
}

impl UserData for Handle {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        meta(methods, MetaMethod::Index, |lua, this, key: Value| {
            let Value::String(name) = &key else {
                return Ok(Value::Nil);
            };
            let view = this.track.view();
            match &*name.to_string_lossy() {
                "position" => Ok(as_seconds(view.position())),
                "duration" => Ok(view.duration().map_or(Value::Nil, as_seconds)),
                "state" => lua.create_string(word(view.state())).map(Value::String),
                "source" => lua.create_string(this.track.name()).map(Value::String),
                _ => this.methods.raw_get(key),
            }
        });
        meta(methods, MetaMethod::Eq, |_, this, other: Value| {
            let other = other
                .as_userdata()
                .and_then(|other| other.borrow::<Self>().ok());
            Ok(other.is_some_and(|other| other.track.id() == this.track.id()))
        });
        meta(methods, MetaMethod::ToString, |_, this, (): ()| {
            Ok(format!("track {}", this.track.name()))
        });
    }
}

impl UserData for Recorded {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        meta(methods, MetaMethod::Index, |_, this, key: Value| match key
            .as_string()
            .is_some_and(|name| *name == "seconds")
        {
            true => Ok(as_seconds(this.recording.samples())),
            false => this.methods.raw_get(key),
        });
    }
}

fn track(value: &Value, usage: &str) -> Result<TrackHandle, Fault> {
    this::<Handle>(value, usage).map(|handle| handle.track)
}

pub(super) fn install(kit: &Kit, methods: &Methods) -> mlua::Result<()> {
    let tracks = &methods.track;
    for (name, act) in [
        (
            "pause",
            TrackHandle::pause as fn(&TrackHandle) -> Result<(), Error>,
        ),
        ("resume", TrackHandle::resume),
    ] {
        let call = kit.function(move |guest, lua, this: Value| {
            let done = act(&track(&this, &format!("track:{name}()"))?);
            done.map_err(|error| guest.voice_fault(lua, &format!("track:{name}"), error))
        })?;
        tracks.raw_set(name, call)?;
    }
    let stop = kit.function(|guest, lua, (this, fade): (Value, Value)| {
        let track = track(&this, "track:stop(fade)")?;
        let fade = seconds(&fade, "track:stop: the fade")?.unwrap_or(0.0);
        let done = track.stop(fade);
        done.map_err(|error| guest.voice_fault(lua, "track:stop", error))
    })?;
    tracks.raw_set("stop", stop)?;
    let set_volume = kit.function(|guest, lua, (this, wanted, fade): (Value, Value, Value)| {
        let track = track(&this, "track:setVolume(volume, fade)")?;
        let volume = volume(&wanted, "track:setVolume: the volume")?;
        let fade = seconds(&fade, "track:setVolume: the fade")?.unwrap_or(0.0);
        let done = track.set_volume(volume, fade);
        done.map_err(|error| guest.voice_fault(lua, "track:setVolume", error))
    })?;
    tracks.raw_set("setVolume", set_volume)?;
    let seek = kit.waiting(|guest, lua, (this, position): (Value, Value)| {
        let track = track(&this, "track:seek(seconds)")?;
        let position = number(&position, "track:seek: the position", 0.0, 86_400.0)?;
        guest.voice_call(lua, "track:seek", async move {
            track.seek(position).await.map(|()| Answer::Nothing)
        })
    })?;
    tracks.raw_set("seek", seek)?;
    let wait = kit.waiting(|guest, lua: &Lua, this: Value| {
        let track = track(&this, "track:wait()")?;
        events::wait_for(guest, lua, track)
    })?;
    tracks.raw_set("wait", wait)?;
    tracks.set_readonly(true);

    let stop = kit.waiting(|guest, lua, value: Value| {
        let Recorded {
            connection,
            recording,
            ..
        } = this(&value, "recording:stop()")?;
        guest.voice_call(lua, "recording:stop", async move {
            recording.stop();
            connection.hear_less();
            let samples = recording
                .done()
                .await
                .map_err(|error| Error::new("file", error))?;
            Ok(Answer::Seconds(samples as f64 / f64::from(RATE)))
        })
    })?;
    methods.recording.raw_set("stop", stop)?;
    methods.recording.set_readonly(true);
    Ok(())
}
