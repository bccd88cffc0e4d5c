//! The platform's rate limits as its server applies them (protocol.md, "Rate limits").
//!
//! A sliding window per bot and interface: [`RATE_SEGMENTS`] segments, the first begins with the first
//! request. A permit belongs to the segment it was used in and comes back when that segment leaves the
//! window. No queue: a request over the limit is refused at once. Beside it at most
//! [`CONCURRENT_REQUESTS`] requests of a bot at the same time; the open event stream is one of them. A
//! request that is refused for concurrency uses no permit.
//!
//! Verified bots get [`VERIFIED_FACTOR`] times the numbers: the platform gives them more, but does not
//! say how many.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::contract::limits::{CONCURRENT_REQUESTS, RATE_SEGMENTS};
use crate::contract::{INTERFACES, Interface};

/// What a verified bot may do more, as a factor. Our choice: the platform's numbers are not published.
const VERIFIED_FACTOR: u32 = 2;

/// One sliding window.
#[derive(Debug)]
struct Window {
    began: Instant,
    /// The segment that the last request fell into, counted from `began`.
    segment: u64,
    /// Permits used, by segment number modulo the length. Invariant: slots of segments that have
    /// left the window are 0.
    used: [u32; RATE_SEGMENTS as usize],
}

impl Window {
    fn new(now: Instant) -> Self {
        Self {
            began: now,
            segment: 0,
            used: [0; RATE_SEGMENTS as usize],
        }
    }

    fn admit(&mut self, now: Instant, segment_length: Duration, limit: u32) -> bool {
        self.slide(now, segment_length);
        if self.in_use() >= limit {
            return false;
        }
        self.used[(self.segment % u64::from(RATE_SEGMENTS)) as usize] += 1;
        true
    }

    fn in_use(&self) -> u32 {
        self.used.iter().sum()
    }

    /// Moves the window to `now`: permits of segments that have left it come back.
    fn slide(&mut self, now: Instant, segment_length: Duration) {
        let passed = now.saturating_duration_since(self.began).as_nanos();
        let segment = (passed / segment_length.as_nanos().max(1)) as u64;
        let steps = segment
            .saturating_sub(self.segment)
            .min(u64::from(RATE_SEGMENTS));
        for step in 1..=steps {
            self.used[((self.segment + step) % u64::from(RATE_SEGMENTS)) as usize] = 0;
        }
        if steps == u64::from(RATE_SEGMENTS) {
            self.used = [0; RATE_SEGMENTS as usize];
        }
        self.segment = self.segment.max(segment);
    }

    /// When the next permits come back, and how many; `None` while none is used.
    fn next_back(&self, segment_length: Duration) -> Option<(Instant, u32)> {
        let segments = u64::from(RATE_SEGMENTS);
        // The oldest segment of the window stands right after the newest one in the ring.
        (1..=segments).find_map(|step| {
            let permits = self.used[((self.segment + step) % segments) as usize];
            let leaves = self.segment + step;
            let at = self.began + segment_length * u32::try_from(leaves).unwrap_or(u32::MAX);
            (permits > 0).then_some((at, permits))
        })
    }
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The interface's window is full; permits come back after this time.
    Window(Duration),
    /// Too many requests at the same time.
    Concurrency,
}

impl Refusal {
    /// How long the bot should wait.
    pub fn wait(self) -> Duration {
        match self {
            Refusal::Window(wait) => wait,
            // As short as a header can say: a place is free as soon as a request has its answer.
            Refusal::Concurrency => Duration::ZERO,
        }
    }
}

/// What becomes of the platform's rate limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LimitScale {
    /// So many times as many requests in each window; at least one.
    Times(f64),
    /// No windows, and any number of requests at the same time.
    Off,
}

impl Default for LimitScale {
    /// As on the platform.
    fn default() -> Self {
        Self::Times(1.0)
    }
}

impl FromStr for LimitScale {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let times = text
            .parse()
            .ok()
            .filter(|times| (0.001..=1e6).contains(times));
        times
            .map(Self::Times)
            .ok_or("a number from 0.001 to 1000000, or \"off\"")
    }
}

/// One of a bot's places for a running request; it is free again when this is dropped.
#[derive(Debug)]
#[must_use = "the place is free again as soon as this is dropped"]
pub struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The limits of every bot of one server.
#[derive(Debug)]
pub struct Limits {
    segment: Duration,
    scale: LimitScale,
    bots: Mutex<HashMap<Uuid, BotLimits>>,
}

#[derive(Debug, Default)]
struct BotLimits {
    running: Arc<AtomicUsize>,
    /// By interface name.
    windows: HashMap<&'static str, Window>,
}

impl Limits {
    /// Limits whose windows have segments of this length.
    pub fn new(segment: Duration, scale: LimitScale) -> Self {
        Self {
            segment,
            scale,
            bots: Mutex::default(),
        }
    }

    /// Gives every window back; running requests keep their places.
    pub fn clear(&self) {
        let mut bots = self.bots.lock().unwrap_or_else(PoisonError::into_inner);
        for bot in bots.values_mut() {
            bot.windows.clear();
        }
    }

    /// Lets one request begin, or refuses it.
    pub fn admit(
        &self,
        bot: Uuid,
        verified: bool,
        interface: &'static Interface,
        now: Instant,
    ) -> Result<Slot, Refusal> {
        let limit = self.limit_of(interface, verified);
        let mut bots = self.bots.lock().unwrap_or_else(PoisonError::into_inner);
        let bot = bots.entry(bot).or_default();
        let Some(limit) = limit else {
            bot.running.fetch_add(1, Ordering::AcqRel);
            return Ok(Slot(Arc::clone(&bot.running)));
        };
        // Only raised under the lock, so that the check and the raise are one step.
        if bot.running.load(Ordering::Acquire) >= CONCURRENT_REQUESTS {
            return Err(Refusal::Concurrency);
        }
        let window = bot
            .windows
            .entry(interface.name)
            .or_insert_with(|| Window::new(now));
        if !window.admit(now, self.segment, limit) {
            let back = window.next_back(self.segment);
            let wait = back.map(|(at, _)| at.saturating_duration_since(now));
            return Err(Refusal::Window(wait.unwrap_or_default()));
        }
        bot.running.fetch_add(1, Ordering::AcqRel);
        Ok(Slot(Arc::clone(&bot.running)))
    }

    /// How much of its limits a bot has used, for people to look at: `{running, concurrent, interfaces:
    /// [{interface, used, limit, nextBackMs, nextBack}]}`. `nextBack` permits come back in `nextBackMs`;
    /// both are null while none is used. Limits that are lifted are null.
    pub fn usage(&self, bot: Uuid, verified: bool, now: Instant) -> Value {
        let mut bots = self.bots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bot = bots.get_mut(&bot);
        let running = bot
            .as_ref()
            .map_or(0, |bot| bot.running.load(Ordering::Acquire));
        let interfaces = INTERFACES.iter().map(|interface| {
            let window = bot.as_mut().and_then(|bot| {
                let window = bot.windows.get_mut(interface.name)?;
                window.slide(now, self.segment);
                Some(&*window)
            });
            let back = window.and_then(|window| window.next_back(self.segment));
            let wait = back.map(|(at, _)| at.saturating_duration_since(now));
            json!({
                "interface": interface.name,
                "limit": self.limit_of(interface, verified),
                "nextBack": back.map(|(_, permits)| permits),
                "nextBackMs": wait.map(|wait| wait.as_secs_f64() * 1e3),
                "used": window.map_or(0, Window::in_use),
            })
        });
        json!({
            "concurrent": (self.scale != LimitScale::Off).then_some(CONCURRENT_REQUESTS),
            "interfaces": interfaces.collect::<Vec<_>>(),
            "running": running,
        })
    }

    /// Requests of the interface that a bot may make in one window; `None`: any number.
    fn limit_of(&self, interface: &Interface, verified: bool) -> Option<u32> {
        let limit = interface.per_minute * if verified { VERIFIED_FACTOR } else { 1 };
        match self.scale {
            LimitScale::Times(times) => Some((f64::from(limit) * times).max(1.0) as u32),
            LimitScale::Off => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;
    use tokio::time::Instant;
    use uuid::Uuid;

    use super::{LimitScale, Limits, Refusal, Window};
    use crate::contract;

    const SEGMENT: Duration = Duration::from_secs(10);

    #[test]
    fn permits_come_back_when_their_segment_leaves_the_window() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut window = Window::new(start);
        let mut admit = |seconds| window.admit(at(seconds), SEGMENT, 3);
        assert!(admit(0));
        assert!(admit(9));
        assert!(admit(15));
        assert!(!admit(59), "three permits are used until 60 s");
        assert!(admit(60), "the segment of 0..10 left at 60");
        assert!(admit(61));
        assert!(!admit(69), "the permit of second 15 comes back at 70");
        assert!(admit(70));
        assert!(!admit(119));
        assert!(admit(120));
    }

    #[test]
    fn what_is_shown_is_what_is_enforced() {
        let limits = Limits::new(SEGMENT, LimitScale::default());
        let interface = contract::route("IBotSelf", "GetMe")
            .expect("a route")
            .interface;
        let (bot, start) = (Uuid::nil(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let shown = |seconds| {
            let usage = limits.usage(bot, false, at(seconds));
            let mut gauges = usage["interfaces"].as_array().expect("a list").iter();
            let gauge = gauges.find(|gauge| gauge["interface"] == "IBotSelf");
            (usage["running"].clone(), gauge.expect("there").clone())
        };
        let (running, gauge) = shown(0);
        assert_eq!((running, &gauge["used"]), (0.into(), &0.into()));
        assert_eq!(
            (&gauge["limit"], &gauge["nextBack"]),
            (&15.into(), &Value::Null)
        );
        let admit = |seconds| {
            limits
                .admit(bot, false, interface, at(seconds))
                .expect("room")
        };
        let first = admit(0);
        drop(admit(1));
        drop(admit(25));
        let (running, gauge) = shown(30);
        assert_eq!((running, &gauge["used"]), (1.into(), &3.into()));
        assert_eq!(gauge["nextBack"], 2, "the segment of 0..10");
        assert_eq!(gauge["nextBackMs"], 30_000.0, "which leaves at 60 s");
        drop(first);
        let (running, gauge) = shown(61);
        assert_eq!((running, &gauge["used"]), (0.into(), &1.into()));
        assert_eq!(gauge["nextBackMs"], 19_000.0, "the segment of 20..30");
        assert_eq!(shown(200).1["used"], 0);
    }

    #[test]
    fn a_long_pause_gives_the_whole_window_back() {
        let start = Instant::now();
        let mut window = Window::new(start);
        for _ in 0..3 {
            assert!(window.admit(start, SEGMENT, 3));
        }
        let later = start + Duration::from_secs(100_003);
        for _ in 0..3 {
            assert!(window.admit(later, SEGMENT, 3));
        }
        assert!(!window.admit(later, SEGMENT, 3));
    }

    #[test]
    fn the_eleventh_request_at_once_is_refused_and_uses_no_permit() {
        let limits = Limits::new(SEGMENT, LimitScale::default());
        let interface = contract::route("IBotSelf", "GetMe")
            .expect("a route")
            .interface;
        let bot = Uuid::nil();
        let now = Instant::now();
        let mut slots: Vec<_> = (0..10)
            .map(|_| {
                limits
                    .admit(bot, false, interface, now)
                    .expect("a free place")
            })
            .collect();
        for _ in 0..20 {
            assert_eq!(
                limits.admit(bot, false, interface, now).err(),
                Some(Refusal::Concurrency)
            );
        }
        slots.pop();
        slots.push(
            limits
                .admit(bot, false, interface, now)
                .expect("a free place"),
        );
        slots.clear();
        for _ in 0..4 {
            drop(
                limits
                    .admit(bot, false, interface, now)
                    .expect("15 a window"),
            );
        }
        assert_eq!(
            limits.admit(bot, false, interface, now).err(),
            Some(Refusal::Window(Duration::from_secs(60)))
        );
        let other = Uuid::max();
        assert!(
            limits.admit(other, false, interface, now).is_ok(),
            "bots are apart"
        );
    }
}
