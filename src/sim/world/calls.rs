//! Calls from people to bots: they ring, and are accepted, rejected, given up, or time out.
//!
//! A person has one call at a time. The bot is told with `callIncoming` and `callEnded`, whichever way
//! the call ends. While a call is accepted it is a room of its own, with the caller in it. Calls that
//! are over are remembered, so that a late answer to one is refused as on the platform; at most
//! [`MOST_CALLS`] in all, the oldest of those that are over are forgotten first.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::{Effect, Fault, Id, Show, World, forms};
use crate::sim::clock::Now;

/// How long a call rings. The platform's own number is not published.
pub const RING: Duration = Duration::from_secs(30);
/// Calls that are remembered.
pub const MOST_CALLS: usize = 500;

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum CallState {
    /// The bot has not answered yet.
    Ringing {
        /// When it times out.
        #[serde(with = "forms::moment")]
        until: Instant,
    },
    /// Bot and caller can talk.
    Accepted,
    /// The bot did not want it.
    Rejected,
    /// The caller hung up.
    Ended,
    /// Nobody answered.
    TimedOut,
}

impl CallState {
    /// The control API's word for it.
    pub fn name(self) -> &'static str {
        match self {
            CallState::Ringing { .. } => "ringing",
            CallState::Accepted => "accepted",
            CallState::Rejected => "rejected",
            CallState::Ended => "ended",
            CallState::TimedOut => "timedOut",
        }
    }

    fn is_open(self) -> bool {
        matches!(self, CallState::Ringing { .. } | CallState::Accepted)
    }
}

/// A call.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VoiceCall {
    /// Identity, also of its room.
    pub id: Id,
    /// The person.
    pub caller: Id,
    /// The bot's user.
    pub bot: Id,
    /// How far it has come.
    pub state: CallState,
    /// Why the bot rejected it, if it said so.
    pub reason: Option<String>,
}

impl VoiceCall {
    /// When it times out, while it rings.
    pub fn rings_until(&self) -> Option<Instant> {
        match self.state {
            CallState::Ringing { until } => Some(until),
            _ => None,
        }
    }
}

impl World {
    /// Every call that is remembered, oldest first.
    pub fn calls(&self) -> impl Iterator<Item = &VoiceCall> {
        self.calls.iter()
    }

    /// The call with that id.
    pub fn call(&self, id: Id) -> Option<&VoiceCall> {
        self.calls.iter().find(|call| call.id == id)
    }

    /// A person calls a bot (control API); `locale` is the person's language, BCP-47.
    pub fn ring(
        &mut self,
        caller: Id,
        bot: Id,
        locale: Option<&str>,
        now: Now,
    ) -> Result<Id, Fault> {
        match self.user(caller) {
            None => return Err(Fault::missing("there is no such person")),
            Some(user) if user.is_bot() => return Err(Fault::bad("bots cannot call")),
            Some(_) => {}
        }
        let callee = self.bot(bot);
        let callee = callee.ok_or_else(|| Fault::missing("there is no such bot"))?;
        if !callee.verified {
            return Err(Fault::bad("only verified bots can be called"));
        }
        let mut open = self.calls.iter().filter(|call| call.state.is_open());
        if open.any(|call| call.caller == caller) {
            return Err(Fault::bad(
                "this person is in a call already: hang up first",
            ));
        }
        if self.calls.len() == MOST_CALLS {
            let over = self.calls.iter().position(|call| !call.state.is_open());
            let over = over.ok_or_else(|| Fault::bad("there are too many open calls"))?;
            self.calls.remove(over);
        }
        let id = Id::new_v4();
        self.calls.push_back(VoiceCall {
            id,
            caller,
            bot,
            state: CallState::Ringing {
                until: now.mono + RING,
            },
            reason: None,
        });
        self.timers_changed = true;
        let payload = json!({ "callId": id, "fromLocale": locale, "fromUserId": caller });
        self.tell_bot(bot, "callIncoming", payload);
        self.show(Show::Call(id));
        Ok(id)
    }

    /// A bot accepts a call that rings; says who called.
    pub fn accept_call(&mut self, bot: Id, id: Id) -> Result<Id, Fault> {
        let call = self.calls.iter_mut().find(|call| call.id == id);
        let call = call.ok_or_else(|| Fault::code("not_ringing"))?;
        if call.bot != bot {
            return Err(Fault::code("not_callee"));
        }
        if call.rings_until().is_none() {
            return Err(Fault::code("not_ringing"));
        }
        call.state = CallState::Accepted;
        let caller = call.caller;
        self.effects.push(Effect::RoomJoined {
            room: id,
            user: caller,
            speaks: true,
        });
        self.show(Show::Call(id));
        Ok(caller)
    }

    /// A bot rejects a call that rings, or ends one that it has accepted; false when it is over.
    pub fn reject_call(&mut self, bot: Id, id: Id, reason: Option<&str>) -> Result<bool, Fault> {
        let Some(call) = self.calls.iter_mut().find(|call| call.id == id) else {
            return Ok(false);
        };
        if call.bot != bot {
            return Err(Fault::code("not_callee"));
        }
        if !call.state.is_open() {
            return Ok(false);
        }
        call.reason = reason.map(str::to_owned);
        let state = match call.state {
            CallState::Accepted => CallState::Ended,
            _ => CallState::Rejected,
        };
        self.end_call(id, state);
        Ok(true)
    }

    /// A person hangs up (control API).
    pub fn hang_up(&mut self, caller: Id, id: Id) -> Result<(), Fault> {
        match self.call(id) {
            Some(call) if call.caller == caller && call.state.is_open() => {
                self.end_call(id, CallState::Ended);
                Ok(())
            }
            _ => Err(Fault::missing("this person has no such open call")),
        }
    }

    fn end_call(&mut self, id: Id, state: CallState) {
        let Some(call) = self.calls.iter_mut().find(|call| call.id == id) else {
            return;
        };
        call.state = state;
        let bot = call.bot;
        self.tell_bot(bot, "callEnded", json!({ "callId": id }));
        self.effects.push(Effect::RoomClosed(id));
        self.show(Show::Call(id));
    }

    /// Ends the open calls of somebody who goes.
    pub(super) fn end_calls_of(&mut self, user: Id) {
        let open = self.calls.iter().filter(|call| call.state.is_open());
        let open = open.filter(|call| call.caller == user || call.bot == user);
        let open: Vec<Id> = open.map(|call| call.id).collect();
        for id in open {
            self.end_call(id, CallState::Ended);
        }
    }

    pub(super) fn expire_calls(&mut self, now: Now) {
        let calls = self.calls.iter();
        let over = calls.filter(|call| call.rings_until().is_some_and(|at| at <= now.mono));
        let over: Vec<Id> = over.map(|call| call.id).collect();
        for id in over {
            self.end_call(id, CallState::TimedOut);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CallState;
    use crate::config::Secret;
    use crate::sim::world::testing::{events, later, person, world};

    fn kinds(world: &mut super::World) -> Vec<String> {
        let events = events(world).into_iter();
        events.map(|(kind, _)| kind).collect()
    }

    #[test]
    fn a_call_that_nobody_answers_times_out() {
        let (mut world, bot, now) = world();
        let ada = person(&world, "Ada");
        let call = world.ring(ada, bot, Some("en-GB"), now).expect("rings");
        world.expire(later(now, 29));
        assert!(world.call(call).is_some_and(|call| call.state.is_open()));
        world.expire(later(now, 30));
        let state = world.call(call).map(|call| call.state);
        assert_eq!(state, Some(CallState::TimedOut));
        assert_eq!(world.next_deadline(), None);
        let told = events(&mut world);
        assert_eq!(told[0].0, "callIncoming");
        assert_eq!(told[0].1["fromLocale"], "en-GB");
        assert_eq!(told[1].0, "callEnded");
        let fault = world.accept_call(bot, call).expect_err("over");
        assert_eq!(fault.error(), Some("not_ringing"));
    }

    #[test]
    fn only_the_callee_answers_and_only_once() {
        let (mut world, bot, now) = world();
        let other = world.add_bot("other", true, |_| Secret::new("o")).user;
        let ada = person(&world, "Ada");
        let call = world.ring(ada, bot, None, now).expect("rings");
        let fault = world.accept_call(other, call).expect_err("not theirs");
        assert_eq!(fault.error(), Some("not_callee"));
        let fault = world.reject_call(other, call, None).expect_err("no");
        assert_eq!(fault.error(), Some("not_callee"));
        assert_eq!(world.accept_call(bot, call), Ok(ada));
        let fault = world.accept_call(bot, call).expect_err("answered");
        assert_eq!(fault.error(), Some("not_ringing"));
        assert!(world.ring(ada, bot, None, now).is_err(), "one at a time");
    }

    #[test]
    fn every_end_is_told_to_the_bot() {
        let (mut world, bot, now) = world();
        let ada = person(&world, "Ada");
        let call = world.ring(ada, bot, None, now).expect("rings");
        assert_eq!(world.reject_call(bot, call, Some("busy")), Ok(true));
        assert_eq!(world.reject_call(bot, call, None), Ok(false), "over");
        let call = world.ring(ada, bot, None, now).expect("rings");
        world.accept_call(bot, call).expect("rings");
        assert!(world.hang_up(bot, call).is_err(), "not the caller");
        world.hang_up(ada, call).expect("open");
        let call = world.ring(ada, bot, None, now).expect("rings");
        world.leave(ada, None).expect("there");
        let state = world.call(call).map(|call| call.state);
        assert_eq!(state, Some(CallState::Ended));
        let told = kinds(&mut world);
        let ends = told.iter().filter(|kind| *kind == "callEnded").count();
        assert_eq!(ends, 3, "{told:?}");
    }
}
