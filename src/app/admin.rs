//! A bot as the admin server shows it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::hub::Hub;
use crate::admin::{BoxFuture, Refusal};
use crate::inbox::Inbox;
use crate::script::{self, Outcome, Reloaded, Report};
use crate::stream;

/// What is shown of one bot.
pub(super) struct Subject {
    pub(super) username: String,
    pub(super) state: tokio::sync::watch::Receiver<stream::State>,
    pub(super) hub: std::sync::Arc<Hub>,
    pub(super) inbox: std::sync::Arc<Inbox>,
    pub(super) scripts: script::Handle,
}

impl crate::admin::Bot for Subject {
    fn is_live(&self) -> bool {
        matches!(*self.state.borrow(), stream::State::Live { .. })
    }

    fn status(&self) -> Value {
        let progress = self.inbox.progress();
        let stats = self.hub.stream_stats().unwrap_or_default();
        json!({
            "running": true,
            "username": self.username,
            "stream": stream_state(&self.state.borrow()),
            "connects": stats.connects,
            "received": stats.received,
            "inbox": {
                "appended": progress.appended,
                "done": progress.done,
                "abandoned": progress.abandoned,
                "dropped": progress.dropped,
                "waiting": progress.waiting,
            },
            "scripts": self.scripts.reports().iter().map(script).collect::<Vec<_>>(),
        })
    }

    fn reload<'a>(&'a self, script: Option<&'a str>) -> BoxFuture<'a, Result<Vec<Value>, Refusal>> {
        Box::pin(async move { listed(self.scripts.reload(script).await) })
    }

    fn resume<'a>(&'a self, script: &'a str) -> BoxFuture<'a, Result<Vec<Value>, Refusal>> {
        Box::pin(async move { listed(self.scripts.resume(script).await) })
    }
}

fn listed(answer: Result<Vec<Reloaded>, String>) -> Result<Vec<Value>, Refusal> {
    let list = answer.map_err(Refusal)?;
    Ok(list
        .into_iter()
        .map(|reloaded| {
            let mut entry = json!({
                "script": reloaded.script,
                "version": reloaded.version,
                "outcome": reloaded.outcome.name(),
            });
            if let Outcome::Failed(trouble) = &reloaded.outcome {
                entry["error"] = trouble.to_string().into();
            }
            entry
        })
        .collect())
}

fn stream_state(state: &stream::State) -> Value {
    match state {
        stream::State::Connecting { attempt } => {
            json!({ "state": "connecting", "attempt": attempt })
        }
        stream::State::Live { since } => {
            json!({ "state": "live", "seconds": since.elapsed().as_secs() })
        }
        stream::State::Waiting { until, reason } => {
            json!({ "state": "waiting", "seconds": seconds_until(*until), "reason": reason })
        }
        stream::State::Refused(refusal) => {
            json!({ "state": "refused", "reason": refusal.to_string() })
        }
        stream::State::Stopped => json!({ "state": "stopped" }),
    }
}

fn seconds_until(at: Instant) -> f64 {
    let left: Duration = at.saturating_duration_since(Instant::now());
    left.as_secs_f64()
}

fn script(report: &Report) -> Value {
    let (state, reason) = match &report.state {
        script::State::Loading => ("loading", None),
        script::State::Loaded => ("running", None),
        script::State::Failed(trouble) => ("failed", Some(trouble.to_string())),
        script::State::Paused(why) => ("paused", Some(why.clone())),
    };
    json!({
        "name": report.name,
        "file": report.path,
        "version": report.version,
        "state": state,
        "reason": reason,
        "resumesIn": report.paused_until.map(seconds_until),
        "loadError": report.failure.as_ref().map(ToString::to_string),
        "events": report.events,
        "errors": report.errors,
        "ended": report.ended,
        "cpuSeconds": report.cpu.as_secs_f64(),
        "memoryBytes": report.memory,
        "waiting": report.waiting,
        "oldVersions": report.leaving,
        "commands": report.commands,
    })
}
