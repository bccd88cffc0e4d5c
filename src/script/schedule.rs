//! A cron pattern on the calendar of a time zone.
//!
//! The patterns are Vixie cron's, read by croner: a fixed time that the clock leaves out in spring is due
//! right after the gap, one that comes twice in autumn is due the first time, and patterns with `*` or
//! steps in minute or hour follow the clock.

use std::cmp::Ordering;

use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::{CivilDateTime, Cron, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// The most characters of a pattern: a list of every minute and every hour fits.
const PATTERN: usize = 512;

/// A cron pattern in a time zone, and when it is due next.
#[derive(Debug)]
pub(super) struct Schedule {
    cron: Cron,
    zone: TimeZone,
    /// When it is due next; the end of all time if never again.
    pub(super) due: Timestamp,
}

impl Schedule {
    /// Reads a pattern of five fields: minute, hour, day of the month, month, day of the week.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(super) fn new(pattern: &str, zone: TimeZone, now: Timestamp) -> Result<Self, String> {
        if pattern.len() > PATTERN {
            return Err(format!("it is longer than {PATTERN} characters"));
        }
        let cron = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build()
            .parse(pattern)
            .map_err(|error| explain(&error))?;
        let mut schedule = Self {
            cron,
            zone,
            due: Timestamp::MAX,
        };
        schedule.due = schedule
            .after(now)
            .ok_or("no day of the calendar matches it")?;
        Ok(schedule)
    }

    /// Due next is the first time after `now`.
    pub(super) fn move_on(&mut self, now: Timestamp) {
        self.due = self.after(now).unwrap_or(Timestamp::MAX);
    }

    /// The last time that matches in `after..=until`.
    pub(super) fn last_between(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let moment = Moment {
            at: until,
            zone: self.zone.clone(),
        };
        let last = self.cron.find_previous_occurrence(&moment, true).ok()?;
        (last.at > after).then_some(last.at)
    }

    /// The first time after `at` that matches.
    fn after(&self, at: Timestamp) -> Option<Timestamp> {
        let moment = Moment {
            at,
            zone: self.zone.clone(),
        };
        let next = self.cron.find_next_occurrence(&moment, false).ok()?;
        Some(next.at)
    }
}

fn explain(error: &CronError) -> String {
    match error {
        CronError::EmptyPattern => "it is empty".to_owned(),
        CronError::InvalidPattern(what)
        | CronError::IllegalCharacters(what)
        | CronError::ComponentError(what) => what.trim_end_matches('.').to_owned(),
        other => other.to_string(),
    }
}

/// A point of time and the zone whose calendar counts, as croner wants it.
#[derive(Clone)]
struct Moment {
    at: Timestamp,
    zone: TimeZone,
}

impl Moment {
    fn civil(&self) -> DateTime {
        self.zone.to_datetime(self.at)
    }
}

impl CronDateTime for Moment {
    fn to_civil(&self) -> CivilDateTime {
        let civil = self.civil();
        CivilDateTime::from_ymd_hms(
            civil.year().into(),
            civil.month().unsigned_abs().into(),
            civil.day().unsigned_abs().into(),
            civil.hour().unsigned_abs().into(),
            civil.minute().unsigned_abs().into(),
            civil.second().unsigned_abs().into(),
        )
        .expect("both calendars are the proleptic Gregorian one, without leap seconds")
    }

    fn civil_weekday(&self) -> Weekday {
        let sunday_first = self.civil().weekday().to_sunday_zero_offset();
        Weekday::from_days_from_sunday(sunday_first.unsigned_abs().into())
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let small = |part: u32| i8::try_from(part).map_err(|_| CronError::InvalidTime);
        let civil = DateTime::new(
            i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?,
            small(civil.month())?,
            small(civil.day())?,
            small(civil.hour())?,
            small(civil.minute())?,
            small(civil.second())?,
            0,
        )
        .map_err(|_| CronError::InvalidDate)?;
        let at = |at: Result<Timestamp, jiff::Error>| {
            at.map_err(|_| CronError::InvalidTime).map(|at| Self {
                at,
                zone: self.zone.clone(),
            })
        };
        let found = self.zone.to_ambiguous_timestamp(civil);
        Ok(match found.offset() {
            AmbiguousOffset::Unambiguous { .. } => Resolution::Single(at(found.unambiguous())?),
            AmbiguousOffset::Fold { .. } => {
                Resolution::Ambiguous(at(found.earlier())?, at(found.later())?)
            }
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        let at = self
            .at
            .checked_add(SignedDuration::from_secs(seconds))
            .ok()?;
        Some(Self {
            at,
            zone: self.zone.clone(),
        })
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    /// The next `count` times after `from`, as texts.
    fn times(pattern: &str, zone: TimeZone, from: &str, count: usize) -> Vec<String> {
        let mut schedule = Schedule::new(pattern, zone, at(from)).unwrap();
        (0..count)
            .map(|_| {
                let due = schedule.due;
                schedule.move_on(due);
                due.to_string()
            })
            .collect()
    }

    #[test]
    fn patterns_follow_the_calendar_of_their_zone() {
        // 2026-11-27 is a Friday.
        assert_eq!(
            times("0 9 * * 1-5", berlin(), "2026-11-27T07:00:00Z", 2),
            ["2026-11-27T08:00:00Z", "2026-11-30T08:00:00Z"]
        );
        assert_eq!(
            times(
                "*/20 0,12 1 jan *",
                TimeZone::UTC,
                "2026-11-27T07:00:00Z",
                4
            ),
            [
                "2027-01-01T00:00:00Z",
                "2027-01-01T00:20:00Z",
                "2027-01-01T00:40:00Z",
                "2027-01-01T12:00:00Z"
            ]
        );
        // Day of the month or day of the week, as cron has it.
        assert_eq!(
            times("0 0 13 * fri", TimeZone::UTC, "2026-11-01T00:00:00Z", 3),
            [
                "2026-11-06T00:00:00Z",
                "2026-11-13T00:00:00Z",
                "2026-11-20T00:00:00Z"
            ]
        );
    }

    #[test]
    fn an_hour_that_is_left_out_or_comes_twice_runs_a_fixed_time_once() {
        // Clocks go from 02:00 to 03:00 on 2026-03-29 and from 03:00 to 02:00 on 2026-10-25.
        assert_eq!(
            times("30 2 * * *", berlin(), "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
        );
        assert_eq!(
            times("30 2 * * *", berlin(), "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        // What runs every half hour runs in both of the doubled ones.
        assert_eq!(
            times("*/30 * * * *", berlin(), "2026-10-25T00:15:00Z", 4),
            [
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T01:30:00Z",
                "2026-10-25T02:00:00Z"
            ]
        );
    }

    #[test]
    fn what_was_missed_is_the_last_time_in_between() {
        let from = at("2026-11-24T07:00:00Z");
        let schedule = Schedule::new("0 9 * * *", berlin(), from).unwrap();
        let last = |after: &str, until: &str| {
            let last = schedule.last_between(at(after), at(until));
            last.map(|last| last.to_string())
        };
        let due = Some("2026-11-27T08:00:00Z".to_owned());
        assert_eq!(last("2026-11-20T08:00:00Z", "2026-11-28T07:59:59Z"), due);
        assert_eq!(last("2026-11-26T08:00:00Z", "2026-11-27T08:00:00Z"), due);
        assert_eq!(last("2026-11-27T08:00:00Z", "2026-11-28T07:00:00Z"), None);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "0 24 * * *",
            "0 0 0 * *",
            "0 0 * * someday",
            "0 0 30 2 *",
            "5-1 * * * *",
            "@reboot",
            &"1,".repeat(300),
        ] {
            let refused = Schedule::new(pattern, TimeZone::UTC, at("2026-11-24T00:00:00Z"));
            assert!(refused.is_err(), "{pattern:?}: {refused:?}");
        }
    }
}
