//! What happens in voice, on its way to a script's handlers.

use std::rc::Rc;

use mlua::{Function, Lua, MultiValue, Table, Value};

use super::Answer;
use super::track::word;
use crate::limits::voice::HANDLERS;
use crate::script::api::nearest;
use crate::script::errors::Fault;
use crate::script::guest::Guest;
use crate::script::scheduler::{Purpose, Wait};
use crate::voice::packet::RATE;
use crate::voice::{Connection, Event, Happening, Heard, Phase, TrackHandle};

/// What `voice:on` knows.
const EVENTS: &[&str] = &[
    "began",
    "finished",
    "disconnected",
    "reconnected",
    "targetLeft",
    "speaking",
];

/// Adds a handler of `voice:on`.
pub(super) fn on(
    guest: &Guest,
    lua: &Lua,
    connection: &Connection,
    event: &str,
    function: Function,
) -> Result<Table, Fault> {
    let Some(event) = EVENTS.iter().find(|known| **known == event) else {
        let hint = nearest(event, EVENTS.iter().copied());
        let hint = hint.map_or_else(
            || format!("it knows {}", EVENTS.join(", ")),
            |near| format!("did you mean {near}?"),
        );
        return Err(Fault::text(format!(
            "voice:on: there is no event {event:?}; {hint}"
        )));
    };
    let serial = {
        let mut state = guest.voices.state.borrow_mut();
        if state.handlers.len() >= HANDLERS {
            return Err(Fault::text(format!(
                "voice:on: a script has {HANDLERS} handlers at most: end some with off()"
            )));
        }
        state.serial += 1;
        let serial = state.serial;
        // Nothing happens any more in one that is over, and nothing would let go of its handlers.
        if connection.phase() != Phase::Over {
            state.handlers.push(super::Handler {
                serial,
                connection: connection.id(),
                event,
                function,
            });
        }
        serial
    };
    let state = Rc::clone(&guest.voices.state);
    off(guest, lua, move || {
        state
            .borrow_mut()
            .handlers
            .retain(|handler| handler.serial != serial)
    })
}

/// A table with `off`.
fn off(guest: &Guest, lua: &Lua, end: impl Fn() + 'static) -> Result<Table, Fault> {
    let off = guest.tools.function(lua, move |_, _: MultiValue| {
        end();
        Ok(())
    })?;
    let handle = lua.create_table_with_capacity(0, 1)?;
    handle.raw_set("off", off)?;
    Ok(handle)
}

/// What `voice:listen` returns.
pub(super) fn listening(
    guest: &Guest,
    lua: &Lua,
    connection: Connection,
    listener: u64,
) -> Result<Table, Fault> {
    let owner = guest.with_voice(|client| client.id())?;
    let state = Rc::clone(&guest.voices.state);
    off(guest, lua, move || {
        state.borrow_mut().listeners.remove(&listener);
        connection.forget(owner, Some(listener));
    })
}

/// A ticket for the end of a track.
pub(super) fn wait_for(guest: &Guest, lua: &Lua, track: TrackHandle) -> Result<u64, Fault> {
    if track.view().state().is_over() {
        return guest.voice_call(lua, "track:wait", async move {
            Ok(Answer::State(track.view().state()))
        });
    }
    let ticket = guest.scheduler.borrow_mut().ticket(lua, Wait::Track, None);
    guest.voices.state.borrow_mut().waits.push((track, ticket));
    Ok(ticket)
}

impl super::State {
    /// A connection is over.
    fn forget(&mut self, connection: u64) {
        self.handlers
            .retain(|handler| handler.connection != connection);
        self.listeners.retain(|_, (of, _)| *of != connection);
    }
}

impl Guest {
    /// Hands out what happened in voice.
    pub(super) fn voice_event(&self, lua: &Lua, event: Event) -> mlua::Result<()> {
        if let Happening::Heard(heard) = &event.what {
            return self.heard(lua, heard);
        }
        self.redeem_tracks(lua)?;
        if matches!(event.what, Happening::Closed) {
            self.voices.state.borrow_mut().forget(event.connection);
            return Ok(());
        }
        let (name, table) = (name(&event.what), lua.create_table()?);
        table.raw_set("type", name)?;
        match event.what {
            Happening::Began(track) => table.raw_set("track", self.track(lua, track)?)?,
            Happening::Finished { track, error } => {
                table.raw_set("reason", word(track.view().state()))?;
                table.raw_set("track", self.track(lua, track)?)?;
                table.raw_set("error", error)?;
            }
            Happening::Disconnected { reason, last } => {
                table.raw_set("reason", reason)?;
                table.raw_set("final", last)?;
            }
            Happening::TargetLeft(user) => table.raw_set("userId", &*user)?,
            Happening::Speaking(user, speaking) => {
                table.raw_set("userId", &*user)?;
                table.raw_set("speaking", speaking)?;
            }
            Happening::Reconnected | Happening::Heard(_) | Happening::Closed => {}
        }
        let concerned: Vec<Function> = {
            let state = self.voices.state.borrow();
            let handlers = state.handlers.iter();
            let concerned = handlers
                .filter(|handler| handler.connection == event.connection && handler.event == name);
            concerned.map(|handler| handler.function.clone()).collect()
        };
        for function in concerned {
            self.begin(lua, &function, &table, Purpose::Voice);
        }
        Ok(())
    }

    /// Wakes those whose track is over.
    fn redeem_tracks(&self, lua: &Lua) -> mlua::Result<()> {
        let over: Vec<(TrackHandle, u64)> = {
            let mut state = self.voices.state.borrow_mut();
            state
                .waits
                .extract_if(.., |(track, _)| track.view().state().is_over())
                .collect()
        };
        for (track, ticket) in over {
            let word = lua.create_string(word(track.view().state()))?;
            self.redeem(ticket, Ok(Value::String(word)));
        }
        Ok(())
    }

    fn heard(&self, lua: &Lua, heard: &Heard) -> mlua::Result<()> {
        let function = self
            .voices
            .state
            .borrow()
            .listeners
            .get(&heard.listener)
            .map(|(_, function)| function.clone());
        let Some(function) = function else {
            return Ok(());
        };
        let frame = lua.create_table_with_capacity(0, 4)?;
        let seconds = |samples: u64| samples as f64 / f64::from(RATE);
        frame.raw_set("userId", &*heard.user)?;
        frame.raw_set("data", lua.create_buffer(&heard.data)?)?;
        frame.raw_set("time", seconds(heard.at))?;
        frame.raw_set("duration", seconds(u64::from(heard.samples)))?;
        self.begin(lua, &function, frame, Purpose::Voice);
        Ok(())
    }
}

fn name(what: &Happening) -> &'static str {
    match what {
        Happening::Began(_) => "began",
        Happening::Finished { .. } => "finished",
        Happening::Disconnected { .. } => "disconnected",
        Happening::Reconnected => "reconnected",
        Happening::TargetLeft(_) => "targetLeft",
        Happening::Speaking(..) => "speaking",
        Happening::Heard(_) => "heard",
        Happening::Closed => "closed",
    }
}
