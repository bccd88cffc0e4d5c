//! What was asked of the platform so far, by route.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::limiter::Reason;
use crate::contract::Route;
use crate::observe::{Durations, Spread};

/// What one request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It was answered with this HTTP status.
    Answered(u16),
    /// It was not sent: there is no connection.
    Unsent,
    /// It was sent, and no whole answer came.
    Lost,
}

/// The requests of one route.
#[derive(Debug, Clone)]
pub struct RouteTraffic {
    /// The route.
    pub route: &'static Route,
    /// Requests by what they came to.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Of them, those that repeated one that failed.
    pub retries: u64,
    /// Calls that were not sent, because too many waited already.
    pub queue_full: u64,
    /// Calls that were not sent, because their turn did not come in time.
    pub too_late: u64,
    /// From sending a request to the end of its answer.
    pub time: Spread,
    /// How long requests waited for their turn.
    pub wait: Spread,
}

#[derive(Debug)]
struct Meter {
    route: &'static Route,
    outcomes: BTreeMap<Outcome, u64>,
    retries: u64,
    queue_full: u64,
    too_late: u64,
    time: Durations,
    wait: Durations,
}

/// The routes that were called, in the order of their names.
#[derive(Debug, Default)]
pub(super) struct Traffic(Mutex<BTreeMap<(&'static str, &'static str), Meter>>);

impl Traffic {
    fn routes(&self) -> MutexGuard<'_, BTreeMap<(&'static str, &'static str), Meter>> {
        // Counters; a panic elsewhere does not make them wrong.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, route: &'static Route, note: impl FnOnce(&mut Meter)) {
        let mut routes = self.routes();
        let meter = routes.entry((route.interface.name, route.name));
        note(meter.or_insert_with(|| Meter {
            route,
            outcomes: BTreeMap::new(),
            retries: 0,
            queue_full: 0,
            too_late: 0,
            time: Durations::default(),
            wait: Durations::default(),
        }));
    }

    /// A request had its turn after this time; `again` says that it repeats one that failed.
    pub fn turn(&self, route: &'static Route, waited: Duration, again: bool) {
        self.note(route, |meter| {
            meter.wait.note(waited);
            meter.retries += u64::from(again);
        });
    }

    /// A call got no turn.
    pub fn no_turn(&self, route: &'static Route, reason: Reason) {
        self.note(route, |meter| match reason {
            Reason::QueueFull => meter.queue_full += 1,
            Reason::TooLate => meter.too_late += 1,
        });
    }

    /// A request is over.
    pub fn over(&self, route: &'static Route, outcome: Outcome, took: Duration) {
        self.note(route, |meter| {
            *meter.outcomes.entry(outcome).or_default() += 1;
            if matches!(outcome, Outcome::Answered(_)) {
                meter.time.note(took);
            }
        });
    }

    /// Everything so far.
    pub fn read(&self) -> Vec<RouteTraffic> {
        let routes = self.routes();
        let read = routes.values().map(|meter| RouteTraffic {
            route: meter.route,
            outcomes: meter.outcomes.clone(),
            retries: meter.retries,
            queue_full: meter.queue_full,
            too_late: meter.too_late,
            time: meter.time.read(),
            wait: meter.wait.read(),
        });
        read.collect()
    }
}
