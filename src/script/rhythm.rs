//! When something that repeats is due: every so many seconds, or by a cron pattern. Pure: the time is
//! given.
//!
//! A pattern is due by the calendar, but threads sleep by a clock that knows nothing of it. So the timer
//! of a pattern looks at the calendar at least every [`CHECK`]: a clock that is set, or a machine that
//! slept, delays a run by no more than that, and repeats none.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::schedule::Schedule;

/// How often the timer of a pattern looks at the calendar.
const CHECK: Duration = Duration::from_secs(30);

/// When something that repeats is due.
#[derive(Debug)]
pub(super) enum Rhythm {
    /// Every so often.
    Period(Duration),
    /// By the calendar.
    Cron(Box<Schedule>),
}

/// What becomes of runs for which there was no process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missed {
    /// They are left out.
    Skip,
    /// The last of them is made up for at the start.
    CatchUp,
}

/// What is to be done when a timer has fired.
#[derive(Debug, PartialEq)]
pub(super) struct Beat {
    /// When the timer fires next.
    pub(super) next: Instant,
    /// Whether a run begins now.
    pub(super) runs: bool,
    /// The time that the run was due at, of a pattern.
    pub(super) due: Option<Timestamp>,
}

impl Missed {
    /// Sets a new timer's schedule to the run that it begins with: runs up to `given` were given before,
    /// and the process began at `started`. A run that was due since then is late, not missed.
    pub(super) fn settle(self, schedule: &mut Schedule, given: Timestamp, started: Timestamp) {
        schedule.move_on(given.max(started));
        if self == Missed::CatchUp
            && let Some(missed) = schedule.last_between(given, started)
        {
            schedule.due = missed;
        }
    }
}

impl Rhythm {
    /// When its timer fires for the first time.
    pub(super) fn first(&self, now: Instant, calendar: Timestamp) -> Instant {
        now + match self {
            Rhythm::Period(period) => *period,
            Rhythm::Cron(schedule) => sleep(schedule.due, calendar),
        }
    }

    /// The timer that was set for `planned` has fired. Runs that were missed are left out, not made up
    /// for.
    pub(super) fn beat(&mut self, planned: Instant, now: Instant, calendar: Timestamp) -> Beat {
        match self {
            Rhythm::Period(period) => {
                let next = planned + *period;
                Beat {
                    next: if next <= now { now + *period } else { next },
                    runs: true,
                    due: None,
                }
            }
            Rhythm::Cron(schedule) => {
                let due = (schedule.due <= calendar).then_some(schedule.due);
                if due.is_some() {
                    schedule.move_on(calendar);
                }
                Beat {
                    next: now + sleep(schedule.due, calendar),
                    runs: due.is_some(),
                    due,
                }
            }
        }
    }
}

/// How long the timer of a pattern sleeps.
fn sleep(due: Timestamp, calendar: Timestamp) -> Duration {
    let left = Duration::try_from(due.duration_since(calendar)).unwrap_or_default();
    left.min(CHECK)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_pattern_runs_once_for_each_due_time_however_the_clock_is_set() {
        let calendar = at("2026-11-24T11:59:50Z");
        let mut rhythm = Rhythm::Cron(Box::new(
            Schedule::new("0 * * * *", TimeZone::UTC, calendar).unwrap(),
        ));
        let now = Instant::now();
        let fires = rhythm.first(now, calendar);
        assert_eq!(fires, now + Duration::from_secs(10));

        let noon = at("2026-11-24T12:00:00Z");
        let beat = rhythm.beat(fires, fires, noon);
        assert_eq!((beat.runs, beat.due), (true, Some(noon)));
        assert_eq!(beat.next, fires + CHECK);

        // Set back by a minute: noon comes again, its run does not.
        let beat = rhythm.beat(beat.next, beat.next, at("2026-11-24T11:59:30Z"));
        assert!(!beat.runs);
        let beat = rhythm.beat(beat.next, beat.next, noon);
        assert!(!beat.runs);

        // The machine slept for three hours: one run, for the first time that was missed.
        let woken = at("2026-11-24T15:30:00Z");
        let beat = rhythm.beat(beat.next, beat.next, woken);
        assert_eq!(beat.due, Some(at("2026-11-24T13:00:00Z")));
        let beat = rhythm.beat(beat.next, beat.next, at("2026-11-24T15:59:59Z"));
        assert!(!beat.runs);
        let beat = rhythm.beat(beat.next, beat.next, at("2026-11-24T16:00:00Z"));
        assert_eq!(beat.due, Some(at("2026-11-24T16:00:00Z")));
    }

    #[test]
    fn runs_without_a_process_are_left_out_or_made_up_for_once() {
        let due = |missed: Missed, given: &str, started: &str| {
            let (given, started) = (at(given), at(started));
            let mut schedule = Schedule::new("0 * * * *", TimeZone::UTC, started).unwrap();
            missed.settle(&mut schedule, given, started);
            schedule.due.to_string()
        };
        let (given, started) = ("2026-11-24T03:00:00Z", "2026-11-24T07:20:00Z");
        assert_eq!(due(Missed::Skip, given, started), "2026-11-24T08:00:00Z");
        assert_eq!(due(Missed::CatchUp, given, started), "2026-11-24T07:00:00Z");
        // Nothing was missed; and a version that comes later goes on where the one before it was.
        for missed in [Missed::Skip, Missed::CatchUp] {
            assert_eq!(
                due(missed, "2026-11-24T07:00:00Z", started),
                "2026-11-24T08:00:00Z"
            );
            assert_eq!(
                due(missed, "2026-11-24T09:00:00Z", started),
                "2026-11-24T10:00:00Z"
            );
        }
    }

    #[test]
    fn a_period_keeps_its_beat_and_makes_up_for_nothing() {
        let mut rhythm = Rhythm::Period(Duration::from_secs(10));
        let calendar = Timestamp::UNIX_EPOCH;
        let start = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(rhythm.first(start, calendar), start + 10 * second);
        let late = rhythm.beat(start + 10 * second, start + 12 * second, calendar);
        assert_eq!((late.runs, late.next), (true, start + 20 * second));
        let missed = rhythm.beat(start + 20 * second, start + 95 * second, calendar);
        assert_eq!(missed.next, start + 105 * second);
    }
}
