//! Runs of timers by the calendar: one event for each due time, whatever ends in between.

use std::sync::Arc;

use super::Event;
use super::batch::ScriptId;
use super::queue::Core;

/// The timers of one script.
#[derive(Debug, Clone)]
pub struct Timers {
    core: Arc<Core>,
    script: ScriptId,
}

impl Timers {
    pub(super) fn new(core: Arc<Core>, script: &str) -> Self {
        let script = core.script(script);
        Self { core, script }
    }

    /// The time up to which runs of that timer were given, milliseconds since 1970; none of one that is
    /// new.
    pub fn given(&self, timer: &str) -> Option<u64> {
        self.core.timer(self.script, timer)
    }

    /// Runs of that timer count from this time on.
    pub fn begin(&self, timer: &str, from: u64) {
        self.core.set_timer(self.script, timer, from);
    }

    /// The timer is over: one that is called so later is a new one.
    pub fn forget(&self, timer: &str) {
        self.core.forget_timer(self.script, timer);
    }

    /// A run is due: the event is kept and given to the script, unless a run of that time or a later one
    /// was given before. Answers whether it was.
    pub fn give(&self, timer: &str, due: u64, event: Event) -> bool {
        self.core.give_run(self.script, timer, due, Arc::new(event))
    }
}
