//! The options tables of voice.

use mlua::{Table, Value};

use crate::script::api::{only, text, type_name};
use crate::script::errors::Fault;
use crate::voice::{Kind, Play, Settings};

/// Fields that say how a connection is encoded.
pub(super) const SETTINGS: &[&str] = &[
    "stereo",
    "bitrate",
    "kind",
    "complexity",
    "frame",
    "loss",
    "dtx",
];
/// Fields that say how a source is played, and those of the queue.
const PLAY: &[&str] = &["volume", "loop", "fadeIn", "startAt", "duck", "normalize"];
const QUEUE: &[&str] = &[
    "volume",
    "loop",
    "fadeIn",
    "startAt",
    "duck",
    "normalize",
    "crossfade",
];
/// The loudest volume: +12 dB.
const LOUDEST: f64 = 4.0;
/// The longest position, fade or recording, seconds: a day.
const DAY: f64 = 86_400.0;

/// A number within bounds.
pub(super) fn number(value: &Value, what: &str, least: f64, most: f64) -> Result<f64, Fault> {
    let number = match value {
        Value::Integer(whole) => *whole as f64,
        Value::Number(number) => *number,
        other => {
            let got = type_name(other);
            return Err(Fault::text(format!("{what} must be a number, got {got}")));
        }
    };
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(Fault::text(format!(
            "{what} must be from {least} to {most}, got {number}"
        )))
    }
}

/// The same, if there is one.
pub(super) fn optional(
    value: &Value,
    what: &str,
    least: f64,
    most: f64,
) -> Result<Option<f64>, Fault> {
    match value {
        Value::Nil => Ok(None),
        value => number(value, what, least, most).map(Some),
    }
}

/// Seconds, if they are given.
pub(super) fn seconds(value: &Value, what: &str) -> Result<Option<f64>, Fault> {
    optional(value, what, 0.0, DAY)
}

/// A volume.
pub(super) fn volume(value: &Value, what: &str) -> Result<f32, Fault> {
    number(value, what, 0.0, LOUDEST).map(|volume| volume as f32)
}

fn flag(table: &Table, name: &str, what: &str) -> Result<Option<bool>, Fault> {
    match table.raw_get(name)? {
        Value::Nil => Ok(None),
        Value::Boolean(on) => Ok(Some(on)),
        other => {
            let got = type_name(&other);
            Err(Fault::text(format!(
                "{what}: {name} must be true or false, got {got}"
            )))
        }
    }
}

/// How a connection is encoded.
pub(super) fn settings(table: &Table, what: &str, stereo: bool) -> Result<Settings, Fault> {
    let field = |name: &str, least, most| {
        optional(
            &table.raw_get(name)?,
            &format!("{what}: {name}"),
            least,
            most,
        )
    };
    let mut settings = Settings::new(flag(table, "stereo", what)?.unwrap_or(stereo));
    match table.raw_get("kind")? {
        Value::Nil => {}
        kind => {
            settings.kind = match &*text(&kind, &format!("{what}: kind"))? {
                "music" => Kind::Music,
                "voice" => Kind::Voice,
                "lowDelay" => Kind::LowDelay,
                other => {
                    let message =
                        format!("{what}: kind must be music, voice or lowDelay, got {other:?}");
                    return Err(Fault::text(message));
                }
            }
        }
    }
    if let Some(bitrate) = field("bitrate", 6_000.0, 510_000.0)? {
        settings.bitrate = bitrate as u32;
    }
    if let Some(complexity) = field("complexity", 0.0, 10.0)? {
        settings.complexity = complexity as u8;
    }
    if let Some(loss) = field("loss", 0.0, 100.0)? {
        settings.loss = loss as u8;
    }
    if let Some(frame) = field("frame", 2.5, 60.0)? {
        settings.frame = match (frame * 48.0) as u32 {
            samples @ (120 | 240 | 480 | 960 | 1920 | 2880) => samples,
            _ => {
                let message = format!(
                    "{what}: frame must be 2.5, 5, 10, 20, 40 or 60 milliseconds, got {frame}"
                );
                return Err(Fault::text(message));
            }
        };
    }
    settings.dtx = flag(table, "dtx", what)?.unwrap_or(settings.dtx);
    Ok(settings)
}

/// How a source is played.
pub(super) fn play(table: Option<&Table>, what: &str, queue: bool) -> Result<Play, Fault> {
    let mut play = Play::default();
    let Some(table) = table else {
        return Ok(play);
    };
    only(
        table,
        &format!("{what}: the options"),
        if queue { QUEUE } else { PLAY },
    )?;
    let field = |name: &str| table.raw_get::<Value>(name);
    let named = |name: &str| format!("{what}: {name}");
    if let value @ (Value::Integer(_) | Value::Number(_)) = field("volume")? {
        play.volume = volume(&value, &named("volume"))?;
    }
    play.looped = flag(table, "loop", what)?.unwrap_or(false);
    for (name, to) in [
        ("fadeIn", &mut play.fade_in),
        ("startAt", &mut play.start),
        ("crossfade", &mut play.crossfade),
    ] {
        *to = seconds(&field(name)?, &named(name))?.unwrap_or(0.0);
    }
    play.duck = optional(&field("duck")?, &named("duck"), 0.0, 1.0)?.map(|duck| duck as f32);
    play.normalize = optional(&field("normalize")?, &named("normalize"), -60.0, 0.0)?;
    Ok(play)
}
