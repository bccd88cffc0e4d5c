//! A bot as the admin server shows it: what its rooms count, as facts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::hub::Hub;
use crate::admin::facts::{self, Facts, Tally};
use crate::admin::{BoxFuture, Refusal};
use crate::inbox::Inbox;
use crate::observe::Spread;
use crate::script::{self, Outcome, Reloaded, Report};
use crate::{rest, stream, voice};

/// What is shown of one bot.
pub(super) struct Subject {
    pub(super) username: String,
    pub(super) state: tokio::sync::watch::Receiver<stream::State>,
    pub(super) hub: Arc<Hub>,
    pub(super) inbox: Arc<Inbox>,
    /// Where the inbox is.
    pub(super) database: PathBuf,
    pub(super) client: rest::Client,
    pub(super) scripts: script::Handle,
    pub(super) voice: voice::Host,
}

impl crate::admin::Bot for Subject {
    fn is_live(&self) -> bool {
        matches!(*self.state.borrow(), stream::State::Live { .. })
    }

    fn facts(&self) -> Facts {
        Facts {
            username: self.username.clone(),
            stream: stream_facts(
                &self.state.borrow(),
                self.hub.stream_stats().unwrap_or_default(),
            ),
            inbox: inbox_facts(&self.inbox, &self.database),
            rest: rest_facts(&self.client),
            scripts: self.scripts.reports().into_iter().map(script).collect(),
            voice: self.voice.snapshot().into_iter().map(connection).collect(),
        }
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

fn stream_facts(state: &stream::State, stats: stream::Stats) -> facts::Stream {
    let (name, seconds, attempt, reason) = match state {
        stream::State::Connecting { attempt } => ("connecting", None, Some(*attempt), None),
        stream::State::Live { since } => ("live", Some(since.elapsed().as_secs_f64()), None, None),
        stream::State::Waiting { until, reason } => {
            let reason = Some(reason.clone());
            ("waiting", Some(seconds_until(*until)), None, reason)
        }
        stream::State::Refused(refusal) => ("refused", None, None, Some(refusal.to_string())),
        stream::State::Stopped => ("stopped", None, None, None),
    };
    let last = stats.last.and_then(|at| {
        let at = SystemTime::now().checked_sub(at.elapsed())?;
        at.duration_since(UNIX_EPOCH).ok()
    });
    facts::Stream {
        state: name,
        seconds,
        attempt,
        reason,
        connects: stats.connects,
        ended: stats.ended,
        resumes: stats.resumes,
        gaps: stats.gaps,
        recovered: stats.recovered,
        received: stats.kinds,
        last_event: last.map(|at| at.as_secs_f64()),
        skipped: Tally::from([
            ("duplicate", stats.duplicates),
            ("foreign", stats.foreign),
            ("oversized", stats.oversized),
        ]),
        lookups: stats.lookups,
    }
}

fn seconds_until(at: Instant) -> f64 {
    let left: Duration = at.saturating_duration_since(Instant::now());
    left.as_secs_f64()
}

fn inbox_facts(inbox: &Inbox, database: &Path) -> facts::Inbox {
    let progress = inbox.progress();
    facts::Inbox {
        appended: progress.appended,
        done: progress.done,
        abandoned: progress.abandoned,
        dropped: progress.dropped,
        waiting: progress.waiting,
        unfinished: progress.unfinished,
        unfinished_bytes: progress.unfinished_bytes,
        operations: progress.operations,
        commits: progress.commits,
        failed_commits: progress.failed_commits,
        disk_bytes: size_on_disk(database),
        kv: progress.kv,
    }
}

/// Of a database in WAL mode.
fn size_on_disk(database: &Path) -> u64 {
    let file = |ending: &str| {
        let mut path = database.as_os_str().to_owned();
        path.push(ending);
        std::fs::metadata(path).map_or(0, |file| file.len())
    };
    file("") + file("-wal")
}

fn rest_facts(client: &rest::Client) -> facts::Rest {
    let stats = client.stats();
    let interface = |one: &rest::InterfaceStats| facts::Interface {
        name: one.name,
        limit: one.limit,
        used: one.used,
        queued: one.queued,
        refused: one.refused,
    };
    facts::Rest {
        in_flight: stats.in_flight,
        concurrency: stats.concurrency,
        // The stream keeps to its own limit.
        interfaces: (stats.interfaces.iter())
            .filter(|one| one.name != "IEvents")
            .map(interface)
            .collect(),
        routes: client.traffic().into_iter().map(route).collect(),
    }
}

fn route(traffic: rest::RouteTraffic) -> facts::Route {
    let requests = traffic.outcomes.iter().map(|(outcome, count)| {
        let outcome = match outcome {
            rest::Outcome::Answered(status) => status.to_string(),
            rest::Outcome::Unsent => "unsent".to_owned(),
            rest::Outcome::Lost => "lost".to_owned(),
        };
        (outcome, *count)
    });
    facts::Route {
        name: traffic.route.label(),
        requests: requests.collect(),
        retries: traffic.retries,
        turned_away: Tally::from([
            ("queue_full", traffic.queue_full),
            ("too_late", traffic.too_late),
        ]),
        time: traffic.time,
        wait: traffic.wait,
    }
}

fn script(report: Report) -> facts::Script {
    let (state, reason) = match report.state {
        script::State::Loading => ("loading", None),
        script::State::Loaded => ("running", None),
        script::State::Failed(trouble) => ("failed", Some(trouble.to_string())),
        script::State::Paused(why) => ("paused", Some(why)),
    };
    let counts = report.counts;
    facts::Script {
        name: report.name,
        file: report.path.display().to_string(),
        version: report.version,
        state,
        reason,
        resumes_in: report.paused_until.map(seconds_until),
        load_error: report.failure.as_ref().map(ToString::to_string),
        commands: report.commands,
        events: counts.events,
        lag: counts.lag,
        handling: counts.handling,
        errors: counts.errors,
        stopped: Tally::from([("cpu", counts.ended), ("memory", counts.out_of_memory)]),
        versions: counts.outcomes,
        old_versions: report.leaving,
        waiting: report.waiting,
        calls: counts.calls,
        cpu_seconds: counts.cpu.as_secs_f64(),
        memory_bytes: counts.memory,
        unlogged: counts.unlogged,
        http: Tally::from([
            ("answered", counts.http_answered),
            ("failed", counts.http_failed),
        ]),
    }
}

fn connection(standing: voice::Standing) -> facts::Voice {
    let (room, state) = match standing.place {
        Some((room, phase)) => (Some(room.id().to_owned()), phase_name(phase)),
        None => (None, "free"),
    };
    let stats = standing.stats;
    facts::Voice {
        script: standing.script,
        slot: standing.slot,
        room,
        state,
        sent: stats.sent,
        late: stats.late,
        missed: stats.missed,
        dropped: stats.dropped,
        silence: stats.silence,
        reconnects: stats.reconnects,
        received: stats.received,
        unheard: stats.unheard,
        encoded: stats.encoded,
        encode_seconds: stats.encode_time.as_secs_f64(),
        complexity: stats.complexity,
        lateness: lateness(&stats.lateness),
    }
}

fn lateness(late: &voice::stats::Late) -> Spread {
    let mut count = 0;
    let buckets = voice::stats::BOUNDS.iter().zip(late.counts);
    let buckets = buckets
        .map(|(bound, more)| {
            count += more;
            (*bound, count)
        })
        .collect();
    Spread {
        count: late.counts.iter().sum(),
        seconds: late.total.as_secs_f64(),
        buckets,
    }
}

fn phase_name(phase: voice::Phase) -> &'static str {
    match phase {
        voice::Phase::Joining => "joining",
        voice::Phase::Connected => "connected",
        voice::Phase::Reconnecting => "reconnecting",
        voice::Phase::Over => "over",
    }
}
