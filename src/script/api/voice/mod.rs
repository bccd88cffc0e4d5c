//! `argon.voice` and `argon.calls.answer`: voice connections and their tracks.
//!
//! A script has handles (userdata) of what lives in [`crate::voice`]; everything that waits goes to the
//! host's runtime and comes back as [`VoiceMail`], plain data. Handlers belong to this version of the
//! script and end with it; connections do not.
//!
//! Bound: [`MOST_EVENTS`] events of voice wait for a script that does not look, beside what its
//! handlers of `voice:listen` are owed (bounded there); further ones are left out, with a warning.
//! Handlers are bounded by [`crate::limits::voice`], and forgotten with the last event of their connection.

mod connection;
mod events;
mod options;
mod track;

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mlua::{AnyUserData, Function, Lua, Table, Value};

use super::{Kit, only, text};
use crate::contract;
use crate::rest::{self, Caller};
use crate::script::errors::{Fault, local_failure};
use crate::script::guest::Guest;
use crate::script::scheduler::Wait;
use crate::script::thread::{Mail, Mailbox};
use crate::voice::receive::recorder::Recording;
use crate::voice::{
    self, Client, Connection, Error, Event, Happening, Settings, TrackHandle, TrackState,
};

/// Events that wait for a script.
const MOST_EVENTS: usize = 1_024;

/// What comes back to a script's thread.
pub(in crate::script) enum VoiceMail {
    /// What a call waits for, and the call's name.
    Answer(u64, &'static str, Result<Answer, Error>),
    /// Something happened; it counts until it is dropped.
    Event(Event, Option<Counted>),
}

/// What a call gives.
pub(in crate::script) enum Answer {
    Nothing,
    Connection(Connection),
    Track(TrackHandle),
    /// A handler is in place.
    Listening(Connection, u64),
    /// It is not.
    Deaf(u64, Error),
    Recording(Connection, Recording),
    /// A length.
    Seconds(f64),
    /// How a track has ended.
    State(TrackState),
}

/// An event that waits.
pub(in crate::script) struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Metatables' methods of the handles.
struct Methods {
    connection: Table,
    track: Table,
    recording: Table,
}

/// What a script has of voice.
pub(in crate::script) struct Voices {
    client: RefCell<Option<Client>>,
    methods: Methods,
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    handlers: Vec<Handler>,
    /// Functions of `voice:listen`, each with its connection.
    listeners: HashMap<u64, (u64, Function)>,
    /// Coroutines that wait for the end of a track.
    waits: Vec<(TrackHandle, u64)>,
    serial: u64,
}

/// A function of `voice:on`.
struct Handler {
    serial: u64,
    connection: u64,
    event: &'static str,
    function: Function,
}

impl Voices {
    pub(in crate::script) fn new(
        lua: &Lua,
        host: Option<voice::Host>,
        script: &str,
        caller: Caller,
        mailbox: &Arc<Mailbox>,
    ) -> mlua::Result<Self> {
        let mailbox = Arc::clone(mailbox);
        let (waiting, name) = (Arc::new(AtomicUsize::new(0)), script.to_owned());
        let post = move |event: Event| {
            let counted = match &event.what {
                // The last one of a connection is never left out: it frees what the script has of it.
                Happening::Heard(_) | Happening::Closed => None,
                _ if waiting.fetch_add(1, Ordering::AcqRel) >= MOST_EVENTS => {
                    waiting.fetch_sub(1, Ordering::AcqRel);
                    tracing::warn!(target: "script", script = %name,
                        "{MOST_EVENTS} events of voice wait for this script: one is left out");
                    return;
                }
                _ => Some(Counted(Arc::clone(&waiting))),
            };
            mailbox.post(Mail::Voice(VoiceMail::Event(event, counted)));
        };
        Ok(Self {
            client: RefCell::new(host.map(|host| host.client(script, caller, Arc::new(post)))),
            methods: Methods {
                connection: lua.create_table()?,
                track: lua.create_table()?,
                recording: lua.create_table()?,
            },
            state: Rc::default(),
        })
    }

    /// Drops every Luau value, and ends the handlers.
    pub(in crate::script) fn clear(&self) {
        self.state.take();
        self.client.take();
    }
}

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    // They stand beside the platform's own routes.
    let voice: Table = kit.argon.raw_get("voice")?;
    let join = kit.waiting(|guest, lua, options: Table| {
        let what = "argon.voice.join";
        guest.may_call(lua, route("IVoice", "StreamToken"))?;
        only(
            &options,
            what,
            &[&["spaceId", "channelId"][..], options::SETTINGS].concat(),
        )?;
        let id = |name: &str| text(&options.raw_get::<Value>(name)?, &format!("{what}: {name}"));
        let (space, channel) = (id("spaceId")?, id("channelId")?);
        let settings = options::settings(&options, what, true)?;
        let joining = guest.with_voice(|client| client.join(space, channel, settings))?;
        guest.voice_call(lua, "voice.join", async move {
            joining.await.map(Answer::Connection)
        })
    })?;
    voice.raw_set("join", join)?;
    let get = kit.function(|guest, lua, room: Value| {
        let room = text(&room, "argon.voice.get: the channel's id")?;
        match guest.with_voice(|client| client.get(&room))? {
            Some(connection) => Ok(Value::UserData(guest.connection(lua, connection)?)),
            None => Ok(Value::Nil),
        }
    })?;
    voice.raw_set("get", get)?;

    let calls: Table = kit.argon.raw_get("calls")?;
    let answer = kit.waiting(|guest, lua, (event, options): (Value, Option<Table>)| {
        let what = "argon.calls.answer";
        guest.may_call(lua, route("ICalls", "Accept"))?;
        let call = match &event {
            Value::Table(event) => event.raw_get("callId")?,
            other => other.clone(),
        };
        let call = text(&call, "argon.calls.answer: the event's callId")?;
        let settings = match &options {
            Some(options) => {
                only(options, what, options::SETTINGS)?;
                options::settings(options, what, false)?
            }
            None => Settings::new(false),
        };
        let answering = guest.with_voice(|client| client.answer(call, settings))?;
        guest.voice_call(lua, "calls.answer", async move {
            answering.await.map(Answer::Connection)
        })
    })?;
    calls.raw_set("answer", answer)?;

    connection::install(kit, &kit.guest.voices.methods.connection)?;
    track::install(kit, &kit.guest.voices.methods)
}

fn route(interface: &str, name: &str) -> &'static contract::Route {
    contract::route(interface, name).expect("the contract has it")
}

/// The handle in `this`, which a method was called on.
fn this<T: Clone + 'static>(this: &Value, usage: &str) -> Result<T, Fault> {
    let handle = match this {
        Value::UserData(data) => data.borrow::<T>().ok().map(|handle| handle.clone()),
        _ => None,
    };
    handle.ok_or_else(|| Fault::text(format!("call it with a colon: {usage}")))
}

impl Guest {
    fn with_voice<R>(&self, act: impl FnOnce(&Client) -> R) -> Result<R, Fault> {
        match &*self.voices.client.borrow() {
            Some(client) => Ok(act(client)),
            None => Err(Fault::text("there is no voice here")),
        }
    }

    /// Begins something on the host's runtime for the running coroutine.
    fn voice_call(
        &self,
        lua: &Lua,
        name: &'static str,
        work: impl Future<Output = Result<Answer, Error>> + Send + 'static,
    ) -> Result<u64, Fault> {
        self.room_for_call(lua, name)?;
        let ticket = self.scheduler.borrow_mut().ticket(lua, Wait::Voice, None);
        let mailbox = Arc::clone(&self.mailbox);
        self.runtime.spawn(async move {
            let answer = work.await;
            mailbox.post(Mail::Voice(VoiceMail::Answer(ticket, name, answer)));
        });
        Ok(ticket)
    }

    /// What went wrong, as an error to raise.
    fn voice_fault(&self, lua: &Lua, name: &str, error: Error) -> Fault {
        self.refusal(lua, &as_failure(name, error))
    }

    /// A handle of a connection.
    fn connection(&self, lua: &Lua, connection: Connection) -> mlua::Result<AnyUserData> {
        lua.create_userdata(connection::Handle {
            connection,
            methods: self.voices.methods.connection.clone(),
        })
    }

    /// A handle of a track.
    fn track(&self, lua: &Lua, track: TrackHandle) -> mlua::Result<AnyUserData> {
        lua.create_userdata(track::Handle {
            track,
            methods: self.voices.methods.track.clone(),
        })
    }

    /// Something of voice has come.
    pub(in crate::script) fn voice_mail(&self, lua: &Lua, mail: VoiceMail) {
        match mail {
            VoiceMail::Answer(ticket, name, answer) => {
                let answer = match answer {
                    Ok(Answer::Deaf(listener, error)) => {
                        self.voices.state.borrow_mut().listeners.remove(&listener);
                        Err(self.voice_fault(lua, name, error))
                    }
                    Ok(answer) => self.voice_value(lua, answer),
                    Err(error) => Err(self.voice_fault(lua, name, error)),
                };
                let result = answer.map_err(|fault| match fault {
                    Fault::Value(value) => value,
                    Fault::Text(text) => lua.create_string(text).map_or(Value::Nil, Value::String),
                    Fault::Lua(error) => {
                        // No memory for the answer.
                        self.report(&error, None);
                        Value::Nil
                    }
                });
                self.redeem(ticket, result);
            }
            VoiceMail::Event(event, _counted) => {
                if let Err(error) = self.voice_event(lua, event) {
                    self.report(&error, None);
                }
            }
        }
    }

    fn voice_value(&self, lua: &Lua, answer: Answer) -> Result<Value, Fault> {
        Ok(match answer {
            Answer::Nothing | Answer::Deaf(..) => Value::Nil,
            Answer::Connection(connection) => Value::UserData(self.connection(lua, connection)?),
            Answer::Track(track) => Value::UserData(self.track(lua, track)?),
            Answer::Listening(connection, listener) => {
                Value::Table(events::listening(self, lua, connection, listener)?)
            }
            Answer::State(state) => Value::String(lua.create_string(track::word(state))?),
            Answer::Recording(connection, recording) => {
                Value::UserData(lua.create_userdata(track::Recorded {
                    connection,
                    recording,
                    methods: self.voices.methods.recording.clone(),
                })?)
            }
            Answer::Seconds(seconds) => Value::Number(seconds),
        })
    }
}

/// An error of voice as what a failed call raises.
fn as_failure(name: &str, error: Error) -> rest::Error {
    match error {
        Error::Rest(error) => error,
        Error::Voice { code, message } => local_failure(name, code, message),
    }
}
