//! Faults on request: what can go wrong between a bot and the platform, switched on by the control API,
//! by `--fault` or by a seed.
//!
//! [`Faults`] is pure: armed faults with counters, asked at each point where one may strike. The oldest
//! that fits strikes first and is gone when its count is used up. Where the points are:
//!
//! - a request, when its token and its rate limit have passed: `delay` first, then either `answer`,
//!   which keeps the act from happening, or `lose`, which happens after it;
//! - a stream, between two writes: `drop`, `end`, `stall`. What was taken has left by then, so that
//!   nothing is lost that the platform would not lose;
//! - the events of one write: `reorder`, then `duplicate`, then `sse`;
//! - a voice socket, when it is to be opened: `voiceRefuse`; and between two packets: the other faults of
//!   voice.
//!
//! [`Switch`] is what connections share: one lock, and one atomic flag that keeps the cost of faults
//! that are not armed at a single load.

mod chaos;
mod kinds;
mod spec;
mod sse;
mod switch;

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use chaos::Chaos;
pub use kinds::{KINDS, KindRow, Target, to_json as kinds_to_json};
pub use spec::{FaultError, FaultSpec, VoiceFault};
use spec::{Kind, STREAM};
pub use sse::Form;
pub use switch::Switch;

/// What one request meets.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RequestFault {
    /// Waits before anything else.
    pub delay: Option<Duration>,
    /// Answers with this status instead of acting.
    pub answer: Option<u16>,
    /// Acts, and cuts the connection instead of answering.
    pub lose: bool,
}

/// What a stream meets between two writes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StreamFault {
    /// The connection is cut.
    Drop,
    /// The answer ends.
    End,
    /// No byte for a while.
    Stall(Duration),
}

/// Some events, ready to be written.
#[derive(Debug, PartialEq)]
pub struct Batch {
    /// To be written apart from each other.
    pub pieces: Vec<Bytes>,
    /// What the stream meets after them.
    pub then: Option<StreamFault>,
}

#[derive(Debug)]
struct Armed {
    id: u64,
    spec: FaultSpec,
    /// How often it still strikes, at least 1.
    left: u32,
}

/// Every armed fault.
#[derive(Debug, Default)]
pub struct Faults {
    armed: Vec<Armed>,
    chaos: Option<Chaos>,
    last_id: u64,
    struck: u64,
}

impl Faults {
    /// Arms a fault; its id.
    pub fn arm(&mut self, spec: FaultSpec) -> u64 {
        self.last_id += 1;
        self.armed.push(Armed {
            id: self.last_id,
            left: spec.count,
            spec,
        });
        self.last_id
    }

    /// Faults at random from now on, beside the armed ones.
    pub fn unleash(&mut self, seed: u64) {
        self.chaos = Some(Chaos::new(seed));
    }

    /// Takes one fault back, or all of them and chaos too; how many there were.
    pub fn clear(&mut self, id: Option<u64>) -> usize {
        let before = self.armed.len() + usize::from(self.chaos.is_some());
        match id {
            Some(id) => self.armed.retain(|armed| armed.id != id),
            None => {
                self.armed.clear();
                self.chaos = None;
            }
        }
        before - self.armed.len() - usize::from(self.chaos.is_some())
    }

    /// Whether nothing can strike.
    pub fn is_quiet(&self) -> bool {
        self.armed.is_empty() && self.chaos.is_none()
    }

    /// What the control API shows.
    pub fn to_json(&self) -> Value {
        let armed = self.armed.iter().map(|armed| {
            let mut shown = armed.spec.to_json(armed.left);
            shown.insert("id".to_owned(), json!(armed.id));
            Value::Object(shown)
        });
        json!({
            "faults": armed.collect::<Vec<_>>(),
            "chaos": self.chaos.as_ref().map(|chaos| chaos.seed),
            "struck": self.struck,
        })
    }

    /// The oldest fault that fits strikes.
    fn strike<T>(&mut self, fits: impl Fn(&FaultSpec) -> Option<T>) -> Option<T> {
        let (at, found) = self
            .armed
            .iter()
            .enumerate()
            .find_map(|(at, armed)| Some((at, fits(&armed.spec)?)))?;
        self.struck += 1;
        self.armed[at].left -= 1;
        if self.armed[at].left == 0 {
            self.armed.remove(at);
        }
        Some(found)
    }

    /// What the next request of the interface meets.
    pub fn request(&mut self, interface: &'static str) -> RequestFault {
        let fits = |spec: &FaultSpec| match spec.interface {
            Some(wanted) => wanted == interface,
            None => interface != STREAM,
        };
        let delay = self.strike(|spec| match spec.kind {
            Kind::Delay(wait) if fits(spec) => Some(wait),
            _ => None,
        });
        let struck = self.strike(|spec| match spec.kind {
            Kind::Answer(_) | Kind::Lose if fits(spec) => Some(spec.kind),
            _ => None,
        });
        let fate = self
            .chaos
            .as_mut()
            .and_then(|chaos| chaos.request(interface));
        let by_chance = fate.filter(|_| struck.is_none());
        self.struck += u64::from(by_chance.is_some());
        let kind = struck.or(by_chance);
        RequestFault {
            delay: delay.or(match kind {
                Some(Kind::Delay(wait)) => Some(wait),
                _ => None,
            }),
            answer: match kind {
                Some(Kind::Answer(status)) => Some(status),
                _ => None,
            },
            lose: kind == Some(Kind::Lose),
        }
    }

    /// The bytes that the next stream begins with.
    pub fn opening(&mut self) -> &'static [u8] {
        match self.strike(|spec| (spec.kind == Kind::Sse(Form::Bom)).then_some(())) {
            Some(()) => sse::BOM,
            None => b"",
        }
    }

    /// What an open stream meets now.
    pub fn stream(&mut self) -> Option<StreamFault> {
        self.strike(|spec| stream_fault(spec.kind))
    }

    /// What the next write's events become.
    pub fn batch(&mut self, chunk: &[u8]) -> Batch {
        let mut events = sse::events(chunk);
        let fates: Vec<_> = match &mut self.chaos {
            Some(chaos) => events.iter().map(|_| chaos.event()).collect(),
            None => vec![None; events.len()],
        };
        let then = self.chaos.as_mut().and_then(Chaos::batch);
        let then = then.and_then(stream_fault);
        self.struck += fates.iter().flatten().count() as u64 + u64::from(then.is_some());

        for (at, fate) in fates.iter().enumerate().skip(1) {
            let swap = *fate == Some(Kind::Reorder)
                || self
                    .strike(|spec| (spec.kind == Kind::Reorder).then_some(()))
                    .is_some();
            if swap {
                events.swap(at - 1, at);
            }
        }
        let mut pieces = Vec::with_capacity(events.len());
        for (event, fate) in events.iter().zip(fates) {
            let twice = fate == Some(Kind::Duplicate)
                || self
                    .strike(|spec| (spec.kind == Kind::Duplicate).then_some(()))
                    .is_some();
            if twice {
                pieces.push(event.clone());
            }
            let form = self.strike(|spec| match spec.kind {
                Kind::Sse(form) if form != Form::Bom => Some(form),
                _ => None,
            });
            let form = form.or(match fate {
                Some(Kind::Sse(form)) => Some(form),
                _ => None,
            });
            match form {
                Some(form) => pieces.extend(sse::write(event, form)),
                None => pieces.push(event.clone()),
            }
        }
        Batch { pieces, then }
    }
}

impl Faults {
    /// The status that the next attempt to open a voice socket is answered with.
    pub fn voice_opening(&mut self) -> Option<u16> {
        let refused = |kind| match kind {
            Kind::VoiceRefuse(status) => Some(status),
            _ => None,
        };
        if let Some(status) = self.strike(|spec| refused(spec.kind)) {
            return Some(status);
        }
        let fate = self.chaos.as_mut().and_then(Chaos::voice_opening);
        self.struck += u64::from(fate.is_some());
        fate.and_then(refused)
    }

    /// What an open voice socket meets now; `packet`: it has just passed one on.
    pub fn voice(&mut self, packet: bool) -> Option<VoiceFault> {
        let fault = |kind| match kind {
            Kind::Voice(fault) => Some(fault),
            _ => None,
        };
        if let Some(struck) = self.strike(|spec| fault(spec.kind)) {
            return Some(struck);
        }
        let chaos = self.chaos.as_mut().filter(|_| packet);
        let fate = chaos.and_then(Chaos::voice_packet);
        self.struck += u64::from(fate.is_some());
        fate.and_then(fault)
    }
}

fn stream_fault(kind: Kind) -> Option<StreamFault> {
    match kind {
        Kind::Drop => Some(StreamFault::Drop),
        Kind::End => Some(StreamFault::End),
        Kind::Stall(wait) => Some(StreamFault::Stall(wait)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Faults, RequestFault, StreamFault, VoiceFault};
    use crate::sim::events::frame;
    use crate::sim::quirks::Quirks;

    fn armed(specs: &[&str]) -> Faults {
        let mut faults = Faults::default();
        for spec in specs {
            faults.arm(spec.parse().expect("a fault"));
        }
        faults
    }

    #[test]
    fn a_fault_strikes_its_interface_as_often_as_it_counts() {
        let mut faults = armed(&["answer:interface=IMessages,status=503,count=2"]);
        assert_eq!(faults.request("ISpaces"), RequestFault::default());
        for _ in 0..2 {
            assert_eq!(faults.request("IMessages").answer, Some(503));
        }
        assert_eq!(faults.request("IMessages"), RequestFault::default());
        assert!(faults.is_quiet());
        assert_eq!(faults.to_json()["struck"], 2);
    }

    #[test]
    fn without_an_interface_the_stream_is_spared() {
        let mut faults = armed(&["answer:status=500", "refuse:status=502"]);
        assert_eq!(faults.request("IEvents").answer, Some(502));
        assert_eq!(faults.request("IEvents").answer, None);
        assert_eq!(faults.request("ITyping").answer, Some(500));
    }

    #[test]
    fn a_delay_goes_with_another_fault_and_the_oldest_is_first() {
        let mut faults = armed(&["lose", "answer:status=500", "delay:seconds=2,count=2"]);
        let first = faults.request("IMessages");
        assert_eq!(
            (first.delay, first.lose),
            (Some(Duration::from_secs(2)), true)
        );
        let second = faults.request("IMessages");
        assert_eq!((second.answer, second.lose), (Some(500), false));
    }

    #[test]
    fn streams_meet_one_fault_at_a_time() {
        let mut faults = armed(&["stall:seconds=1", "drop", "end", "sse:form=bom"]);
        let stall = StreamFault::Stall(Duration::from_secs(1));
        assert_eq!(faults.stream(), Some(stall));
        assert_eq!(faults.stream(), Some(StreamFault::Drop));
        assert_eq!(faults.stream(), Some(StreamFault::End));
        assert_eq!(faults.stream(), None);
        assert_eq!(faults.opening(), b"\xef\xbb\xbf");
        assert_eq!(faults.opening(), b"");
    }

    #[test]
    fn events_are_doubled_and_change_places() {
        let [a, b, c] = ["a", "b", "c"].map(|id| frame(Quirks::default(), "x", "{}", id));
        let chunk = [&a[..], &b, &c].concat();
        let mut faults = armed(&["reorder", "duplicate"]);
        assert_eq!(faults.batch(&a).pieces, [a.clone(), a.clone()]);
        assert_eq!(
            faults.batch(&chunk).pieces,
            [b.clone(), a.clone(), c.clone()]
        );
        assert_eq!(faults.batch(&chunk).pieces, [a, b, c]);
    }

    #[test]
    fn voice_sockets_meet_their_own_faults_only() {
        let mut faults = armed(&["drop", "voiceRefuse:status=503", "voiceClose", "voiceCut"]);
        assert_eq!(faults.voice_opening(), Some(503));
        assert_eq!(faults.voice_opening(), None);
        assert_eq!(faults.voice(false), Some(VoiceFault::Close(1001)));
        assert_eq!(faults.voice(true), Some(VoiceFault::Cut));
        assert_eq!(faults.voice(true), None);
        assert_eq!(faults.stream(), Some(StreamFault::Drop));
    }

    #[test]
    fn clearing_ends_chaos_too() {
        let mut faults = armed(&["drop", "end"]);
        faults.unleash(3);
        assert_eq!(faults.to_json()["chaos"], 3);
        assert_eq!(faults.clear(Some(1)), 1);
        assert_eq!(faults.clear(Some(1)), 0);
        assert_eq!(faults.clear(None), 2);
        assert!(faults.is_quiet());
    }
}
