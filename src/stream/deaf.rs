//! Finds out that a stream is deaf: open, with heartbeats, but cut off from every space.
//!
//! The platform forgets a bot's subscriptions when an earlier stream of it ends late, and a stream that
//! was opened in between stays connected and silent. Two effects give it away:
//! - a message of the bot was accepted and neither it nor any other event of a space came within
//!   [`Deaf::new`]'s patience;
//! - REST shows a message that was written after the stream opened, nothing has come since, and a
//!   heartbeat after it carries the same cursor as the one before.
//!
//! Subscriptions are lost all together, so that any event of any space clears the suspicion, and no
//! payload is ever parsed for this. That includes an event that came just before the answer to the Send
//! that caused it ([`OVERTAKING`]). A suspicion that proved wrong (a channel whose messages the bot does
//! not see) must not cost a connect each time: every verdict without an event of a space since the one
//! before doubles the patience, up to [`PATIENCE_MOST`].

use std::time::{Duration, Instant};

/// How far an event may run ahead of the answer to the request that caused it.
pub const OVERTAKING: Duration = Duration::from_secs(5);
/// How far the platform's clock and ours may differ.
pub const CLOCK_SKEW: Duration = Duration::from_secs(30);
/// The longest that repeated verdicts make us wait.
pub const PATIENCE_MOST: Duration = Duration::from_secs(600);

/// The suspicion against one bot's stream.
#[derive(Debug)]
pub struct Deaf {
    patience: Duration,
    verdicts: u32,
    opened: Option<Instant>,
    /// The last event of a space, on any connection.
    heard: Option<Instant>,
    /// When the oldest message was accepted after which nothing came; put off by stalls.
    accepted: Option<Instant>,
    /// When REST first showed a message that did not come.
    shown: Option<Instant>,
    /// The cursor of this connection's last heartbeat.
    cursor: Option<String>,
    /// A heartbeat confirmed what REST had shown.
    unmoved: bool,
}

impl Deaf {
    /// Waits for `patience` before it calls a stream deaf.
    pub fn new(patience: Duration) -> Self {
        Self {
            patience,
            verdicts: 0,
            opened: None,
            heard: None,
            accepted: None,
            shown: None,
            cursor: None,
            unmoved: false,
        }
    }

    /// A connection was opened: what was suspected of the one before is over.
    pub fn opened(&mut self, now: Instant) {
        self.opened = Some(now);
        self.accepted = None;
        self.shown = None;
        self.cursor = None;
        self.unmoved = false;
    }

    /// An event of a space came.
    pub fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
        self.verdicts = 0;
        self.accepted = None;
        self.shown = None;
        self.unmoved = false;
    }

    /// The platform accepted a message of this bot.
    pub fn accepted(&mut self, now: Instant) {
        let overtaken = self.heard.is_some_and(|heard| {
            heard + OVERTAKING >= now && self.opened.is_some_and(|opened| heard >= opened)
        });
        if self.accepted.is_none() && !overtaken {
            self.accepted = Some(now);
        }
    }

    /// REST showed a message that was written at `written`.
    pub fn shown(&mut self, now: Instant, written: Instant) {
        let Some(opened) = self.opened else { return };
        let while_open = written > opened + CLOCK_SKEW;
        let came = self
            .heard
            .is_some_and(|heard| heard + CLOCK_SKEW >= written);
        if while_open && !came && self.shown.is_none() {
            self.shown = Some(now);
        }
    }

    /// A heartbeat came with this cursor.
    pub fn heartbeat(&mut self, now: Instant, cursor: &str) {
        let same = self.cursor.as_deref() == Some(cursor);
        if let Some(shown) = self.shown
            && now >= shown + self.patience()
            && self.cursor.is_some()
        {
            self.unmoved = same;
            if !same {
                self.shown = None;
            }
        }
        if !same {
            self.cursor = Some(cursor.to_owned());
        }
    }

    /// Reading was held up (the inbox was full): what is waited for gets its time anew.
    pub fn stalled(&mut self, now: Instant) {
        for waiting in [&mut self.accepted, &mut self.shown] {
            if waiting.is_some() {
                *waiting = Some(now);
            }
        }
    }

    /// When the verdict is due, if something is suspected.
    pub fn due(&self) -> Option<Instant> {
        if self.unmoved {
            return self.shown;
        }
        Some(self.accepted? + self.patience())
    }

    /// The evidence, when it is complete.
    pub fn verdict(&self, now: Instant) -> Option<&'static str> {
        if self.due()? > now {
            return None;
        }
        Some(if self.unmoved {
            "the message history moved on while the stream's cursor did not"
        } else {
            "a message that the bot sent did not come back"
        })
    }

    /// The verdict was acted upon.
    pub fn judged(&mut self) {
        self.verdicts = self.verdicts.saturating_add(1);
    }

    fn patience(&self) -> Duration {
        self.patience
            .saturating_mul(1u32.checked_shl(self.verdicts).unwrap_or(u32::MAX))
            .min(PATIENCE_MOST.max(self.patience))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn open() -> (Deaf, Instant) {
        let start = Instant::now();
        let mut deaf = Deaf::new(PATIENCE);
        deaf.opened(start);
        (deaf, start)
    }

    #[test]
    fn an_own_message_that_does_not_come_back_is_a_verdict_after_the_patience() {
        let (mut deaf, start) = open();
        assert_eq!(deaf.due(), None);
        deaf.accepted(start + seconds(1));
        deaf.accepted(start + seconds(8));
        assert_eq!(deaf.due(), Some(start + seconds(11)));
        assert_eq!(deaf.verdict(start + seconds(10)), None);
        assert!(deaf.verdict(start + seconds(11)).is_some());
    }

    #[test]
    fn any_event_of_a_space_clears_the_suspicion() {
        let (mut deaf, start) = open();
        deaf.accepted(start + seconds(1));
        deaf.heard(start + seconds(9));
        assert_eq!(deaf.due(), None);
        deaf.accepted(start + seconds(30));
        assert!(deaf.due().is_some());
    }

    #[test]
    fn an_event_that_overtook_its_answer_counts() {
        let (mut deaf, start) = open();
        deaf.heard(start + seconds(10));
        deaf.accepted(start + seconds(11));
        assert_eq!(deaf.due(), None);
        deaf.accepted(start + seconds(16));
        assert!(deaf.due().is_some());
    }

    #[test]
    fn an_event_of_the_connection_before_proves_nothing_about_this_one() {
        let (mut deaf, start) = open();
        deaf.heard(start + seconds(10));
        deaf.opened(start + seconds(11));
        deaf.accepted(start + seconds(12));
        assert!(deaf.due().is_some());
    }

    #[test]
    fn a_verdict_that_changes_nothing_makes_the_next_one_slower() {
        let (mut deaf, mut now) = open();
        let mut waits = Vec::new();
        for _ in 0..8 {
            deaf.opened(now);
            deaf.accepted(now);
            let due = deaf.due().unwrap();
            waits.push((due - now).as_secs());
            now = due;
            deaf.judged();
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 600, 600]);
        deaf.heard(now);
        deaf.opened(now + seconds(1));
        deaf.accepted(now + seconds(2));
        assert_eq!(deaf.due(), Some(now + seconds(12)));
    }

    #[test]
    fn history_that_moves_on_past_an_unmoved_cursor_is_a_verdict() {
        let (mut deaf, start) = open();
        deaf.heartbeat(start + seconds(30), "a:1");
        deaf.shown(start + seconds(50), start + seconds(45));
        assert_eq!(deaf.due(), None, "one sign is not enough");
        deaf.heartbeat(start + seconds(60), "a:1");
        assert!(deaf.verdict(start + seconds(60)).is_some());
    }

    #[test]
    fn a_cursor_that_moves_an_old_message_or_an_event_is_no_verdict() {
        let (mut deaf, start) = open();
        deaf.heartbeat(start + seconds(30), "a:1");
        deaf.shown(start + seconds(50), start + seconds(45));
        deaf.heartbeat(start + seconds(61), "a:2");
        deaf.heartbeat(start + seconds(91), "a:2");
        assert_eq!(deaf.due(), None);

        deaf.shown(start + seconds(95), start + seconds(20));
        deaf.heartbeat(start + seconds(121), "a:2");
        assert_eq!(deaf.due(), None, "written when the stream had just opened");

        deaf.heard(start + seconds(130));
        deaf.shown(start + seconds(150), start + seconds(140));
        deaf.heartbeat(start + seconds(180), "a:2");
        assert_eq!(deaf.due(), None, "it may be the one that came");
    }

    #[test]
    fn a_stall_of_our_own_is_not_held_against_the_stream() {
        let (mut deaf, start) = open();
        deaf.accepted(start);
        deaf.stalled(start + seconds(60));
        assert_eq!(deaf.verdict(start + seconds(61)), None);
        assert!(deaf.verdict(start + seconds(70)).is_some());
    }
}
