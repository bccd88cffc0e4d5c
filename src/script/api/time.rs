//! `argon.time`: the calendar, beside Luau's own `os.clock` and `os.date`.
//!
//! * `now()`: seconds since 1970-01-01T00:00:00Z, with fraction.
//! * `parse(iso)`: the same of an ISO 8601 text with an offset or `Z`; without one it is UTC.
//! * `format(seconds?, pattern?, timezone?)`: ISO 8601 in UTC, or by a `strftime` pattern, in a time
//!   zone of the IANA database (`Europe/Berlin`); now if no time is given.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::strtime};
use mlua::Value;

use super::{Kit, text};
use crate::script::errors::Fault;

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    let time = kit.lua.create_table()?;
    time.raw_set(
        "now",
        kit.function(|guest, _, (): ()| Ok(seconds(guest.clock.calendar())))?,
    )?;
    let parse = kit.function(|_, _, value: Value| {
        let text = text(&value, "argon.time.parse: the time")?;
        parse(&text).map(seconds).ok_or_else(|| {
            Fault::text(format!(
                "argon.time.parse: {text:?} is no ISO 8601 time like 2026-01-31T09:30:00Z"
            ))
        })
    })?;
    time.raw_set("parse", parse)?;
    let format = kit.function(|guest, _, (at, pattern, zone): (Value, Value, Value)| {
        format(&at, &pattern, &zone, guest.clock.calendar())
    })?;
    time.raw_set("format", format)?;
    kit.argon.raw_set("time", time)
}

fn seconds(at: Timestamp) -> f64 {
    at.as_microsecond() as f64 / 1e6
}

fn parse(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let civil = text.parse::<DateTime>().ok()?;
    let zoned = civil.to_zoned_datetime(TimeZone::UTC).ok()?;
    Some(zoned.timestamp())
}

fn format(at: &Value, pattern: &Value, zone: &Value, now: Timestamp) -> Result<String, Fault> {
    let at = match at {
        Value::Nil => now,
        Value::Integer(whole) => instant(*whole as f64)?,
        Value::Number(number) => instant(*number)?,
        other => {
            return Err(super::wrong(
                "argon.time.format: the time",
                "a number",
                other,
            ));
        }
    };
    let zone = match zone {
        Value::Nil => TimeZone::UTC,
        other => {
            let name = text(other, "argon.time.format: the time zone")?;
            TimeZone::get(&name).map_err(|_| {
                Fault::text(format!(
                    "argon.time.format: no time zone is called {name:?}"
                ))
            })?
        }
    };
    match pattern {
        Value::Nil if zone == TimeZone::UTC => Ok(at.to_string()),
        Value::Nil => Ok(at.display_with_offset(zone.to_offset(at)).to_string()),
        other => {
            let pattern = text(other, "argon.time.format: the pattern")?;
            strtime::format(&pattern, &at.to_zoned_datetime(zone))
                .map_err(|error| Fault::text(format!("argon.time.format: {pattern:?}: {error}")))
        }
    }
}

fn instant(seconds: f64) -> Result<Timestamp, Fault> {
    // The bounds of a float-to-integer cast are far outside the calendar.
    Some(seconds)
        .filter(|seconds| !seconds.is_nan())
        .and_then(|seconds| Timestamp::from_microsecond((seconds * 1e6).round() as i64).ok())
        .ok_or_else(|| {
            Fault::text(format!(
                "argon.time.format: {seconds:?} is outside the calendar"
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_with_and_without_an_offset_are_read() {
        for (text, expected) in [
            ("2026-01-31T09:30:00Z", Some(1_769_851_800.0)),
            ("2026-01-31T09:30:00.25Z", Some(1_769_851_800.25)),
            ("2026-01-31T10:30:00+01:00", Some(1_769_851_800.0)),
            ("2026-01-31T09:30:00", Some(1_769_851_800.0)),
            ("yesterday", None),
        ] {
            assert_eq!(parse(text).map(seconds), expected, "{text}");
        }
    }

    #[test]
    fn a_time_is_formatted_in_its_zone() {
        let lua = mlua::Lua::new();
        let string = |text: &str| Value::String(lua.create_string(text).unwrap());
        let at = Value::Number(1_769_851_800.0);
        let shown = |pattern: &Value, zone: &Value| {
            format(&at, pattern, zone, Timestamp::UNIX_EPOCH).unwrap_or_else(|_| "refused".into())
        };
        assert_eq!(shown(&Value::Nil, &Value::Nil), "2026-01-31T09:30:00Z");
        assert_eq!(shown(&string("%H:%M"), &string("Europe/Berlin")), "10:30");
        assert_eq!(
            shown(&Value::Nil, &string("Europe/Berlin")),
            "2026-01-31T10:30:00+01:00"
        );
        assert_eq!(shown(&Value::Nil, &string("Mars/Base")), "refused");
        assert_eq!(shown(&string("%"), &Value::Nil), "refused");
        for outside in [f64::NAN, f64::INFINITY, 1e300, -1e300] {
            let outside = Value::Number(outside);
            let refused =
                format(&outside, &Value::Nil, &Value::Nil, Timestamp::UNIX_EPOCH).is_err();
            assert!(refused, "{outside:?}");
        }
    }
}
