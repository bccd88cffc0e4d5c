//! When a request is sent again: the rules, without clock or socket.
//!
//! | what happened | again? |
//! |---|---|
//! | never sent (no connection) | yes |
//! | 429 | yes, through the limiter, until the deadline; it took no effect |
//! | sent, no answer; 502, 503, 504 | if the contract says that repeating is harmless, or the caller wants it ([`super::Call::retry`]) |
//! | 500 to the repetition of a request that may have taken effect | if repeating is harmless |
//! | any other answer | no |
//!
//! A 500 and a 429 say that this request took no effect, and what could not be sent took none either; but
//! that says nothing of the request that it repeats: where it stays the last word, the call fails with
//! `uncertain`, so that nobody sends the same anew for it.
//!
//! Repeating is harmless for idempotent routes, for those that the platform de-duplicates by
//! `randomId` (as long as it remembers the id), and for those whose second request is refused with a
//! code that proves that the first took effect: that refusal is then turned into the success it is.
//! At most [`ATTEMPTS`] attempts that are not 429s, with full jitter: a pause drawn evenly between
//! nothing and a bound that doubles.

use std::time::Duration;

use bytes::Bytes;

use super::Error;
use crate::contract::limits::RANDOM_ID_LIFETIME;
use crate::contract::{Retry, Route};

/// Attempts in all, refusals with 429 not counted.
pub(super) const ATTEMPTS: u32 = 4;

/// How long after a request another one with the same `randomId` may start: a while before the platform
/// forgets it, which leaves time for a slow connection.
pub const RANDOM_ID_RELIED_ON: Duration =
    RANDOM_ID_LIFETIME.saturating_sub(Duration::from_secs(30));

/// What one attempt came to.
#[derive(Debug)]
pub(super) enum Attempt {
    /// A 2xx answer.
    Success(Bytes),
    /// A 429 with its `Retry-After`.
    Refused(Error),
    /// Any other answer; a pause the server asked for.
    Failed(Error, Option<Duration>),
    /// Nothing was sent.
    Unsent(Error),
    /// It was sent; no answer, or only a part of one.
    Lost(Error),
}

/// What to do about it.
#[derive(Debug)]
pub(super) enum Next {
    /// The call is over.
    Done(Result<Bytes, Error>),
    /// Again after a pause; the error if there is no time left.
    Again {
        /// The bound of the pause, to be drawn below.
        below: Duration,
        /// The least pause, asked for by the server.
        least: Duration,
        /// What the call failed with if it ends here.
        otherwise: Error,
    },
    /// Again as soon as the limiter allows it.
    Queue(Error),
}

/// The course of one call over its attempts.
#[derive(Debug)]
pub(super) struct Course {
    route: &'static Route,
    /// The first bound of a pause.
    pause: Duration,
    /// The largest bound.
    longest: Duration,
    attempts: u32,
    /// An earlier attempt may have taken effect.
    unclear: bool,
    /// Whether a request whose answer was lost is sent again.
    repeats: bool,
}

impl Course {
    /// `unclear` says that it was sent before and may have taken effect.
    pub fn new(route: &'static Route, segment: Duration, unclear: bool) -> Self {
        Self {
            route,
            // 250 ms and 5 s on the platform; tests that shorten its windows shorten these alike.
            pause: segment / 40,
            longest: segment / 2,
            attempts: 0,
            unclear,
            repeats: route.retry != Retry::Never,
        }
    }

    /// The same for a caller who would have it take effect twice rather than not at all.
    pub fn whatever_it_does(mut self) -> Self {
        self.repeats = true;
        self
    }

    /// How long after the first attempt that may have taken effect a repetition may still start.
    pub fn repeat_within(&self) -> Option<Duration> {
        (self.unclear && self.route.retry == Retry::RandomId).then_some(RANDOM_ID_RELIED_ON)
    }

    /// Decides after an attempt.
    pub fn next(&mut self, attempt: Attempt) -> Next {
        match attempt {
            Attempt::Success(body) => Next::Done(Ok(body)),
            Attempt::Refused(error) => Next::Queue(error),
            Attempt::Unsent(error) => {
                let error = self.last_word(error);
                self.again(true, Duration::ZERO, error)
            }
            Attempt::Lost(error) => {
                self.unclear = true;
                self.again(self.repeats, Duration::ZERO, error)
            }
            Attempt::Failed(error, least) if matches!(error.status, 502..=504) => {
                self.unclear = true;
                let least = least.unwrap_or_default();
                self.again(self.repeats, least, error)
            }
            Attempt::Failed(error, least) if self.leaves_open(&error) => {
                let uncertain = self.uncertain("status 500");
                self.again(true, least.unwrap_or_default(), uncertain)
            }
            Attempt::Failed(error, _) => Next::Done(match self.route.retry {
                Retry::Settles { code, body } if self.unclear && error.code == code => {
                    Ok(Bytes::from_static(body.as_bytes()))
                }
                _ => Err(error),
            }),
        }
    }

    /// Whether an answer does not tell what became of an earlier request, which matters.
    fn leaves_open(&self, error: &Error) -> bool {
        let matters = matches!(self.route.retry, Retry::RandomId | Retry::Settles { .. });
        error.status == 500 && self.unclear && matters
    }

    /// What the call fails with if it ends with this error, which says that nothing was sent this time, or
    /// that it took no effect.
    pub fn last_word(&self, error: Error) -> Error {
        if !self.unclear || self.route.retry == Retry::Idempotent {
            return error;
        }
        self.uncertain(error.message.as_deref().unwrap_or(&error.code))
    }

    fn uncertain(&self, why: &str) -> Error {
        let message = format!(
            "its answer was lost, and repeating it failed ({why}): nobody knows whether it took effect"
        );
        Error::local(self.route, "uncertain", message)
    }

    fn again(&mut self, allowed: bool, least: Duration, error: Error) -> Next {
        self.attempts += 1;
        if !allowed || self.attempts >= ATTEMPTS {
            return Next::Done(Err(error));
        }
        Next::Again {
            below: (self.pause * (1 << (self.attempts - 1))).min(self.longest),
            least,
            otherwise: error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::route;

    fn course(interface: &str, name: &str) -> Course {
        let route = route(interface, name).expect("the contract has it");
        Course::new(route, Duration::from_secs(10), false)
    }

    fn failed(course: &Course, status: u16, code: &str) -> Attempt {
        let body = format!(r#"{{"error":"{code}"}}"#);
        Attempt::Failed(Error::answer(course.route, status, body.as_bytes()), None)
    }

    fn lost(course: &Course) -> Attempt {
        Attempt::Lost(Error::local(course.route, "lost_response", ""))
    }

    #[test]
    fn a_lost_kick_is_never_repeated() {
        let mut course = course("IMembers", "Kick");
        let attempt = lost(&course);
        assert!(matches!(course.next(attempt), Next::Done(Err(_))));
    }

    #[test]
    fn a_lost_kick_is_repeated_for_a_caller_who_wants_that() {
        let mut course = course("IMembers", "Kick").whatever_it_does();
        let attempt = lost(&course);
        assert!(matches!(course.next(attempt), Next::Again { .. }));
    }

    #[test]
    fn what_was_never_sent_is_repeated_four_times_at_most_with_doubling_bounds() {
        let mut course = course("IMembers", "Kick");
        let mut bounds = Vec::new();
        loop {
            let error = Error::local(course.route, "unreachable", "");
            match course.next(Attempt::Unsent(error)) {
                Next::Again { below, .. } => bounds.push(below.as_millis()),
                Next::Done(result) => {
                    assert!(result.is_err());
                    break;
                }
                Next::Queue(_) => panic!("not a 429"),
            }
        }
        assert_eq!(bounds, [250, 500, 1000]);
    }

    #[test]
    fn a_refusal_settles_only_an_unclear_attempt() {
        let mut first = course("IReactions", "Add");
        let attempt = failed(&first, 409, "already_reacted");
        assert!(matches!(first.next(attempt), Next::Done(Err(_))));

        let mut second = course("IReactions", "Add");
        let attempt = lost(&second);
        assert!(matches!(second.next(attempt), Next::Again { .. }));
        let attempt = failed(&second, 409, "already_reacted");
        match second.next(attempt) {
            Next::Done(Ok(body)) => assert_eq!(&body[..], b"{}"),
            other => panic!("{other:?}"),
        }

        let mut third = course("IReactions", "Add");
        let error = Error::local(third.route, "unreachable", "");
        assert!(matches!(
            third.next(Attempt::Unsent(error)),
            Next::Again { .. }
        ));
        let attempt = failed(&third, 409, "already_reacted");
        assert!(matches!(third.next(attempt), Next::Done(Err(_))));
    }

    #[test]
    fn a_random_id_is_repeated_only_while_the_platform_remembers_it() {
        let mut course = course("IMessages", "Send");
        assert_eq!(course.repeat_within(), None);
        let attempt = lost(&course);
        assert!(matches!(course.next(attempt), Next::Again { .. }));
        assert_eq!(course.repeat_within(), Some(Duration::from_secs(90)));
    }

    #[test]
    fn a_500_to_a_repetition_leaves_open_what_became_of_the_first() {
        for (interface, name) in [("IMessages", "Send"), ("IReactions", "Add")] {
            let route = route(interface, name).expect("the contract has it");
            let mut course = Course::new(route, Duration::from_secs(10), true);
            let mut fail = || {
                let error = Error::answer(route, 500, b"");
                course.next(Attempt::Failed(error, None))
            };
            for _ in 1..ATTEMPTS {
                assert!(matches!(fail(), Next::Again { .. }), "{name}");
            }
            match fail() {
                Next::Done(Err(error)) => assert_eq!(error.code, "uncertain", "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        // Reading twice is as good as once.
        let mut course = course("ISpaces", "Get");
        let attempt = lost(&course);
        assert!(matches!(course.next(attempt), Next::Again { .. }));
        let attempt = failed(&course, 500, "");
        assert!(matches!(course.next(attempt), Next::Done(Err(_))));
    }

    #[test]
    fn what_cannot_be_repeated_leaves_open_what_became_of_the_first() {
        let ends_with = |mut course: Course| {
            let attempt = lost(&course);
            let mut next = course.next(attempt);
            while let Next::Again { .. } = next {
                let error = Error::local(course.route, "unreachable", "nobody there");
                next = course.next(Attempt::Unsent(error));
            }
            match next {
                Next::Done(Err(error)) => error.code,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(ends_with(course("IMessages", "Send")), "uncertain");
        assert_eq!(ends_with(course("IReactions", "Add")), "uncertain");
        let kick = course("IMembers", "Kick").whatever_it_does();
        assert_eq!(ends_with(kick), "uncertain");
        assert_eq!(ends_with(course("ISpaces", "Get")), "unreachable");
    }

    #[test]
    fn a_bare_500_is_final_everywhere() {
        for (interface, name) in [
            ("IMessages", "Send"),
            ("ISpaces", "Get"),
            ("IMembers", "Kick"),
        ] {
            let mut course = course(interface, name);
            let error = Error::answer(course.route, 500, b"");
            let next = course.next(Attempt::Failed(error, None));
            assert!(matches!(next, Next::Done(Err(_))));
        }
    }
}
