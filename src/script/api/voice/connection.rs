//! Handles of voice connections.

use std::time::Duration;

use mlua::{MetaMethod, Table, UserData, UserDataMethods, Value};

use super::options::{play, seconds};
use super::{Answer, events, this};
use crate::script::api::{Kit, function, only, text};
use crate::script::errors::Fault;
use crate::script::vm::meta;
use crate::voice::receive::recorder::SECONDS;
use crate::voice::{Connection, Format, Phase, Room};

/// The largest buffer that one push takes, bytes: ten seconds of stereo.
const LARGEST_PUSH: usize = 48_000 * 4 * 10;

/// A script's handle.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) connection: Connection,
    pub(super) methods: Table,
}

impl UserData for Handle {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        meta(methods, MetaMethod::Index, |lua, this, key: Value| {
            let Value::String(name) = &key else {
                return Ok(Value::Nil);
            };
            let string = |text: &str| lua.create_string(text).map(Value::String);
            let connection = &this.connection;
            match (&*name.to_string_lossy(), connection.room()) {
                ("channelId", Room::Channel { channel, .. }) => string(channel),
                ("spaceId", Room::Channel { space, .. }) => string(space),
                ("callId", Room::Call { call, .. }) => string(call),
                ("callerId", Room::Call { caller, .. }) => string(caller),
                ("state", _) => string(match connection.phase() {
                    Phase::Joining => "joining",
                    Phase::Connected => "connected",
                    Phase::Reconnecting => "reconnecting",
                    Phase::Over => "closed",
                }),
                ("stereo", _) => Ok(Value::Boolean(connection.settings().stereo)),
                ("bitrate", _) => Ok(Value::Number(f64::from(connection.settings().bitrate))),
                _ => this.methods.raw_get(key),
            }
        });
        meta(methods, MetaMethod::Eq, |_, this, other: Value| {
            let other = other
                .as_userdata()
                .and_then(|other| other.borrow::<Self>().ok());
            Ok(other.is_some_and(|other| other.connection.id() == this.connection.id()))
        });
        meta(methods, MetaMethod::ToString, |_, this, (): ()| {
            Ok(format!(
                "voice connection in {}",
                this.connection.room().id()
            ))
        });
    }
}

fn connection(value: &Value, usage: &str) -> Result<Connection, Fault> {
    this::<Handle>(value, usage).map(|handle| handle.connection)
}

pub(super) fn install(kit: &Kit, methods: &Table) -> mlua::Result<()> {
    let start = kit.waiting(
        |guest, lua, (this, source, options): (Value, Value, Option<Table>)| {
            let connection = connection(&this, "voice:play(source, options)")?;
            let source = text(&source, "voice:play: the source")?;
            let play = play(options.as_ref(), "voice:play", false)?;
            guest.voice_call(lua, "voice:play", async move {
                connection.play(&source, play).await.map(Answer::Track)
            })
        },
    )?;
    methods.raw_set("play", start)?;
    let queue = kit.waiting(
        |guest, lua, (this, source, options): (Value, Value, Option<Table>)| {
            let connection = connection(&this, "voice:queue(source, options)")?;
            let source = text(&source, "voice:queue: the source")?;
            let play = play(options.as_ref(), "voice:queue", true)?;
            guest.voice_call(lua, "voice:queue", async move {
                connection.queue(&source, play).await.map(Answer::Track)
            })
        },
    )?;
    methods.raw_set("queue", queue)?;
    let skip = kit.function(|guest, lua, this: Value| {
        let done = connection(&this, "voice:skip()")?.skip();
        done.map_err(|error| guest.voice_fault(lua, "voice:skip", error))
    })?;
    methods.raw_set("skip", skip)?;
    let stop = kit.function(|guest, lua, this: Value| {
        let done = connection(&this, "voice:stop()")?.stop_all();
        done.map_err(|error| guest.voice_fault(lua, "voice:stop", error))
    })?;
    methods.raw_set("stop", stop)?;
    let tracks = kit.function(|guest, lua, this: Value| {
        let list = lua.create_table()?;
        for track in connection(&this, "voice:tracks()")?.tracks() {
            list.raw_push(guest.track(lua, track)?)?;
        }
        Ok(list)
    })?;
    methods.raw_set("tracks", tracks)?;
    let push = kit.waiting(|guest, lua, (this, data): (Value, Value)| {
        let connection = connection(&this, "voice:push(buffer)")?;
        let data = match &data {
            Value::Buffer(buffer) if buffer.len() <= LARGEST_PUSH => buffer.to_vec(),
            Value::Buffer(buffer) => {
                let message = format!(
                    "voice:push: the buffer has {} bytes, more than {LARGEST_PUSH}",
                    buffer.len()
                );
                return Err(Fault::text(message));
            }
            other => {
                return Err(super::super::wrong(
                    "voice:push: the samples",
                    "a buffer",
                    other,
                ));
            }
        };
        let frame = 2 * connection.settings().channels();
        if data.len() % frame != 0 {
            let message = format!(
                "voice:push: {} bytes are not whole frames of {frame} bytes",
                data.len()
            );
            return Err(Fault::text(message));
        }
        guest.voice_call(lua, "voice:push", async move {
            connection.push(&data).await.map(|()| Answer::Nothing)
        })
    })?;
    methods.raw_set("push", push)?;
    let leave = kit.waiting(|guest, lua, this: Value| {
        let connection = connection(&this, "voice:leave()")?;
        guest.voice_call(lua, "voice:leave", async move {
            connection.leave().await;
            Ok(Answer::Nothing)
        })
    })?;
    methods.raw_set("leave", leave)?;
    let on = kit.function(
        |guest, lua, (this, event, handler): (Value, Value, Value)| {
            let connection = connection(&this, "voice:on(event, handler)")?;
            let event = text(&event, "voice:on: the event")?;
            let function = function(handler, "voice:on: the handler")?;
            events::on(guest, lua, &connection, &event, function)
        },
    )?;
    methods.raw_set("on", on)?;
    install_hearing(kit, methods)?;
    let stats = kit.function(|_, lua, this: Value| {
        let connection = connection(&this, "voice:stats()")?;
        let table = lua.create_table()?;
        let stats = connection.counters().read();
        for (name, count) in [
            ("sent", stats.sent),
            ("late", stats.late),
            ("missed", stats.missed),
            ("dropped", stats.dropped),
            ("silence", stats.silence),
            ("reconnects", stats.reconnects),
            ("received", stats.received),
            ("unheard", stats.unheard),
            ("encoded", stats.encoded),
            ("complexity", stats.complexity),
        ] {
            table.raw_set(name, count)?;
        }
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let mean = ms(stats.encode_time) / stats.encoded.max(1) as f64;
        table.raw_set("encodeMs", mean)?;
        table.raw_set("longestEncodeMs", ms(stats.encode_longest))?;
        Ok(table)
    })?;
    methods.raw_set("stats", stats)?;
    methods.set_readonly(true);
    Ok(())
}

fn install_hearing(kit: &Kit, methods: &Table) -> mlua::Result<()> {
    let listen = kit.waiting(
        |guest, lua, (this, user, handler, options): (Value, Value, Value, Option<Table>)| {
            let what = "voice:listen";
            let connection = connection(&this, "voice:listen(userId, handler, options)")?;
            let user = text(&user, "voice:listen: the user's id")?;
            let function = function(handler, "voice:listen: the handler")?;
            let mut format = Format::Opus;
            if let Some(options) = options {
                only(&options, "voice:listen: the options", &["format"])?;
                match options.raw_get("format")? {
                    Value::Nil => {}
                    value => {
                        format = match &*text(&value, "voice:listen: format")? {
                            "opus" => Format::Opus,
                            "pcm" => Format::Pcm,
                            other => {
                                return Err(Fault::text(format!(
                                    "{what}: format must be opus or pcm, got {other:?}"
                                )));
                            }
                        }
                    }
                }
            }
            let (owner, listener) =
                guest.with_voice(|client| (client.id(), client.new_listener()))?;
            let id = connection.id();
            let ticket = guest.voice_call(lua, what, async move {
                Ok(
                    match connection.listen(&user, owner, listener, format).await {
                        Ok(()) => Answer::Listening(connection, listener),
                        Err(error) => Answer::Deaf(listener, error),
                    },
                )
            })?;
            // In place before anything can be heard.
            guest
                .voices
                .state
                .borrow_mut()
                .listeners
                .insert(listener, (id, function));
            Ok(ticket)
        },
    )?;
    methods.raw_set("listen", listen)?;
    let record = kit.waiting(
        |guest, lua, (this, user, path, options): (Value, Value, Value, Option<Table>)| {
            let what = "voice:record";
            let connection = connection(&this, "voice:record(userId, path, options)")?;
            let user = match &user {
                Value::Nil => None,
                user => Some(text(user, "voice:record: the user's id")?),
            };
            let path = text(&path, "voice:record: the path")?;
            let mut longest = SECONDS.0;
            if let Some(options) = options {
                only(&options, "voice:record: the options", &["seconds"])?;
                longest = seconds(&options.raw_get("seconds")?, "voice:record: seconds")?
                    .unwrap_or(longest);
            }
            guest.voice_call(lua, what, async move {
                let recording = connection
                    .record(user.as_deref(), &path, longest.min(SECONDS.1))
                    .await?;
                Ok(Answer::Recording(connection, recording))
            })
        },
    )?;
    methods.raw_set("record", record)
}
