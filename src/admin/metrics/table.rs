//! Every metric.

use prometheus::proto::MetricType;
use rustix::time::{ClockId, clock_gettime};

use super::super::facts::{Facts, Interface, Route, STATES, Script, Voice};
use super::Bots;
use super::samples::Samples;

/// What kind of values a metric has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows while the process runs.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Times, by how long they were.
    Histogram,
}

impl Kind {
    /// Its name in the text format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl From<Kind> for MetricType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::COUNTER,
            Kind::Gauge => Self::GAUGE,
            Kind::Histogram => Self::HISTOGRAM,
        }
    }
}

/// What the values are of, and how they are read.
#[derive(Clone, Copy)]
pub(super) enum Of {
    /// The host, once.
    Host(fn(&Bots, &mut Samples)),
    /// The process, as Prometheus' own libraries name it.
    Process,
    /// Each bot.
    Bot(fn(&Facts, &mut Samples)),
    /// Each interface of the platform.
    Interface(fn(&Interface, &mut Samples)),
    /// Each route that was called.
    Route(fn(&Route, &mut Samples)),
    /// Each script.
    Script(fn(&Script, &mut Samples)),
    /// Each voice connection.
    Voice(fn(&Voice, &mut Samples)),
}

/// One metric.
#[derive(Clone, Copy)]
pub struct Metric {
    /// What kind of values it has.
    pub kind: Kind,
    /// Its name.
    pub name: &'static str,
    /// The label beside those that say what a value is of; empty when there is none.
    pub label: &'static str,
    /// What it means.
    pub help: &'static str,
    pub(super) of: Of,
}

impl Metric {
    /// Its labels.
    pub fn labels(&self) -> Vec<&'static str> {
        let subject: &[_] = match self.of {
            Of::Host(_) | Of::Process => &[],
            Of::Bot(_) => &["bot"],
            Of::Interface(_) => &["bot", "interface"],
            Of::Route(_) => &["bot", "route"],
            Of::Script(_) => &["bot", "script"],
            Of::Voice(_) => &["bot", "script", "connection"],
        };
        let own = Some(self.label).filter(|label| !label.is_empty());
        subject.iter().copied().chain(own).collect()
    }
}

const fn counter(name: &'static str, label: &'static str, help: &'static str, of: Of) -> Metric {
    Metric {
        kind: Kind::Counter,
        name,
        label,
        help,
        of,
    }
}

const fn gauge(name: &'static str, label: &'static str, help: &'static str, of: Of) -> Metric {
    Metric {
        kind: Kind::Gauge,
        name,
        label,
        help,
        of,
    }
}

const fn histogram(name: &'static str, help: &'static str, of: Of) -> Metric {
    Metric {
        kind: Kind::Histogram,
        name,
        label: "",
        help,
        of,
    }
}

/// Every metric.
pub const METRICS: &[Metric] = &[
    gauge(
        "argon_build_info",
        "version",
        "Which argon-host this is; always 1.",
        Of::Host(|_, out| out.count_of(env!("CARGO_PKG_VERSION"), 1u64)),
    ),
    gauge(
        "argon_bot_up",
        "bot",
        "1 while the bot runs.",
        Of::Host(|bots, out| {
            for (name, facts) in bots {
                out.count_of(name, u64::from(facts.is_some()));
            }
        }),
    ),
    // The event stream.
    gauge(
        "argon_stream_live",
        "",
        "1 while events come in.",
        Of::Bot(|bot, out| out.count(u64::from(bot.stream.state == "live"))),
    ),
    counter(
        "argon_stream_connects_total",
        "",
        "Connections of the event stream that were tried.",
        Of::Bot(|bot, out| out.count(bot.stream.connects)),
    ),
    counter(
        "argon_stream_disconnects_total",
        "reason",
        "Connections of the event stream that ended, and attempts to make one that failed, by why. The next attempt is a reconnect.",
        Of::Bot(|bot, out| out.tally(&bot.stream.ended)),
    ),
    counter(
        "argon_stream_resumes_total",
        "",
        "Connections that said after which event to go on.",
        Of::Bot(|bot, out| out.count(bot.stream.resumes)),
    ),
    counter(
        "argon_stream_gaps_total",
        "",
        "Times that the place in the stream was given up, so that events may be missing.",
        Of::Bot(|bot, out| out.count(bot.stream.gaps)),
    ),
    counter(
        "argon_stream_recovered_messages_total",
        "",
        "Messages that the stream lost and the history of their channel still had.",
        Of::Bot(|bot, out| out.count(bot.stream.recovered)),
    ),
    counter(
        "argon_stream_events_total",
        "type",
        "Events that came complete, by type; types that are not documented are `other`.",
        Of::Bot(|bot, out| out.tally(&bot.stream.received)),
    ),
    counter(
        "argon_stream_skipped_events_total",
        "reason",
        "Events that no script gets: `duplicate`, `foreign` (another bot's interaction), `oversized`.",
        Of::Bot(|bot, out| out.tally(&bot.stream.skipped)),
    ),
    gauge(
        "argon_stream_last_event_timestamp_seconds",
        "",
        "When the last event came, heartbeats included, in seconds since 1970.",
        Of::Bot(|bot, out| {
            if let Some(at) = bot.stream.last_event {
                out.put(at);
            }
        }),
    ),
    counter(
        "argon_stream_author_lookups_total",
        "",
        "Times that the author of a message had to be asked for, to tell whose interaction it is.",
        Of::Bot(|bot, out| out.count(bot.stream.lookups)),
    ),
    // The inbox.
    counter(
        "argon_inbox_events_total",
        "",
        "Events that were put into the inbox.",
        Of::Bot(|bot, out| out.count(bot.inbox.appended)),
    ),
    counter(
        "argon_inbox_deliveries_total",
        "result",
        "Events, once for each script that had them: `done`, `abandoned` (the script ended first and gets them again), `dropped` (the backlog was full).",
        Of::Bot(|bot, out| {
            out.count_of("done", bot.inbox.done);
            out.count_of("abandoned", bot.inbox.abandoned);
            out.count_of("dropped", bot.inbox.dropped);
        }),
    ),
    gauge(
        "argon_inbox_waiting_events",
        "",
        "Events that some script has not taken.",
        Of::Bot(|bot, out| out.count(bot.inbox.waiting)),
    ),
    gauge(
        "argon_inbox_unfinished_events",
        "",
        "Events, once for each script, that are kept until the script is done with them.",
        Of::Bot(|bot, out| out.count(bot.inbox.unfinished)),
    ),
    gauge(
        "argon_inbox_unfinished_bytes",
        "",
        "Payload of the unfinished events, which `backlog` under `[state]` bounds.",
        Of::Bot(|bot, out| out.count(bot.inbox.unfinished_bytes)),
    ),
    counter(
        "argon_inbox_operations_total",
        "",
        "What the journal was asked and has written. Many operations share a commit.",
        Of::Bot(|bot, out| out.count(bot.inbox.operations)),
    ),
    histogram(
        "argon_inbox_commit_seconds",
        "How long commits to the disk took.",
        Of::Bot(|bot, out| out.spread(&bot.inbox.commits)),
    ),
    counter(
        "argon_inbox_failed_commits_total",
        "",
        "Commits that the disk did not take; they are tried again.",
        Of::Bot(|bot, out| out.count(bot.inbox.failed_commits)),
    ),
    gauge(
        "argon_inbox_disk_bytes",
        "",
        "Size of the bot's database with its log.",
        Of::Bot(|bot, out| out.count(bot.inbox.disk_bytes)),
    ),
    counter(
        "argon_kv_operations_total",
        "result",
        "Operations on the key-value stores: `read`, `written`, `deleted`, `listed`, `conflict` (another update came between), `refused`.",
        Of::Bot(|bot, out| out.tally(&bot.inbox.kv)),
    ),
    // The platform's REST API.
    counter(
        "argon_rest_requests_total",
        "status",
        "Requests to the platform by HTTP status, or `unsent` (no connection), or `lost` (no answer).",
        Of::Route(|route, out| out.tally(&route.requests)),
    ),
    counter(
        "argon_rest_retries_total",
        "",
        "Of the requests, those that repeated one that failed.",
        Of::Route(|route, out| out.count(route.retries)),
    ),
    histogram(
        "argon_rest_request_seconds",
        "From sending a request to the end of its answer.",
        Of::Route(|route, out| out.spread(&route.time)),
    ),
    histogram(
        "argon_rest_wait_seconds",
        "How long requests waited for their turn under the rate limits.",
        Of::Route(|route, out| out.spread(&route.wait)),
    ),
    counter(
        "argon_rest_turned_away_calls_total",
        "reason",
        "Calls that got no turn: `queue_full`, or `too_late` for their deadline.",
        Of::Route(|route, out| out.tally(&route.turned_away)),
    ),
    counter(
        "argon_rest_rate_limited_total",
        "",
        "Requests that the platform refused with 429. It stays 0 unless another program uses the token.",
        Of::Interface(|one, out| out.count(one.refused)),
    ),
    gauge(
        "argon_rest_limit_calls",
        "",
        "Calls that fit into the window of the rate limit.",
        Of::Interface(|one, out| out.count(one.limit)),
    ),
    gauge(
        "argon_rest_remaining_calls",
        "",
        "Calls that may start now.",
        Of::Interface(|one, out| {
            let used = u32::try_from(one.used).unwrap_or(u32::MAX);
            out.count(one.limit.saturating_sub(used));
        }),
    ),
    gauge(
        "argon_rest_waiting_calls",
        "",
        "Calls that wait for their turn.",
        Of::Interface(|one, out| out.count(one.queued)),
    ),
    gauge(
        "argon_rest_running_requests",
        "",
        "Requests on their way.",
        Of::Bot(|bot, out| out.count(bot.rest.in_flight)),
    ),
    gauge(
        "argon_rest_concurrency_requests",
        "",
        "Requests that may be on their way at once.",
        Of::Bot(|bot, out| out.count(bot.rest.concurrency)),
    ),
    // Scripts.
    gauge(
        "argon_script_state",
        "state",
        "1 for the state that the script is in: `loading`, `running`, `failed` or `paused`.",
        Of::Script(|script, out| {
            for state in STATES {
                out.count_of(state, u64::from(script.state == *state));
            }
        }),
    ),
    gauge(
        "argon_script_version",
        "",
        "The version that runs, counted from 1; 0 when none does.",
        Of::Script(|script, out| out.count(script.version)),
    ),
    gauge(
        "argon_script_old_versions",
        "",
        "Replaced versions whose handlers still run.",
        Of::Script(|script, out| out.count(script.old_versions)),
    ),
    counter(
        "argon_script_versions_total",
        "result",
        "What became of versions: `loaded`, `reloaded`, `failed`, `rolled_back`, `paused`.",
        Of::Script(|script, out| out.tally(&script.versions)),
    ),
    counter(
        "argon_script_events_total",
        "",
        "Events that handlers began to work on.",
        Of::Script(|script, out| out.count(script.events)),
    ),
    gauge(
        "argon_script_waiting_events",
        "",
        "Events that wait for the script.",
        Of::Script(|script, out| out.count(script.waiting)),
    ),
    histogram(
        "argon_script_lag_seconds",
        "From an event's arrival to the start of its first handler.",
        Of::Script(|script, out| out.spread(&script.lag)),
    ),
    histogram(
        "argon_script_handling_seconds",
        "From the start of an event's first handler to the end of its last, waits included.",
        Of::Script(|script, out| out.spread(&script.handling)),
    ),
    counter(
        "argon_script_errors_total",
        "",
        "Errors that the script did not catch.",
        Of::Script(|script, out| out.count(script.errors)),
    ),
    counter(
        "argon_script_stops_total",
        "reason",
        "Handlers that ended because they used more than they may: `cpu`, `memory`.",
        Of::Script(|script, out| out.tally(&script.stopped)),
    ),
    counter(
        "argon_script_cpu_seconds_total",
        "",
        "CPU time of the script.",
        Of::Script(|script, out| out.put(script.cpu_seconds)),
    ),
    gauge(
        "argon_script_memory_bytes",
        "",
        "Memory of the script's values, as `limits.memory` counts it, garbage included.",
        Of::Script(|script, out| out.count(script.memory_bytes)),
    ),
    gauge(
        "argon_script_pending_calls",
        "",
        "Calls of the platform that wait for an answer.",
        Of::Script(|script, out| out.count(script.calls)),
    ),
    counter(
        "argon_script_unlogged_lines_total",
        "",
        "Lines that were left out of the log, because the script logs too much.",
        Of::Script(|script, out| out.count(script.unlogged)),
    ),
    counter(
        "argon_script_http_requests_total",
        "result",
        "Requests of `argon.http`: `answered`, whatever the status, or `failed`.",
        Of::Script(|script, out| out.tally(&script.http)),
    ),
    // Voice.
    gauge(
        "argon_voice_connected",
        "",
        "1 while the connection has a room. `connection` is a small number, which the next connection of the script takes over; `/api/status` says which room it is in.",
        Of::Voice(|one, out| out.count(u64::from(one.room.is_some()))),
    ),
    counter(
        "argon_voice_sent_packets_total",
        "",
        "Packets sent.",
        Of::Voice(|one, out| out.count(one.sent)),
    ),
    counter(
        "argon_voice_late_packets_total",
        "",
        "Of the packets sent, those more than 20 ms late.",
        Of::Voice(|one, out| out.count(one.late)),
    ),
    histogram(
        "argon_voice_lateness_seconds",
        "How long after their time packets were written to the socket.",
        Of::Voice(|one, out| out.spread(&one.lateness)),
    ),
    counter(
        "argon_voice_missed_packets_total",
        "",
        "Times at which no packet was ready, so that silence was sent.",
        Of::Voice(|one, out| out.count(one.missed)),
    ),
    counter(
        "argon_voice_dropped_packets_total",
        "",
        "Packets that the socket did not take in time.",
        Of::Voice(|one, out| out.count(one.dropped)),
    ),
    counter(
        "argon_voice_silence_packets_total",
        "",
        "Packets of silence.",
        Of::Voice(|one, out| out.count(one.silence)),
    ),
    counter(
        "argon_voice_reconnects_total",
        "",
        "Times that the socket was lost and opened again.",
        Of::Voice(|one, out| out.count(one.reconnects)),
    ),
    counter(
        "argon_voice_received_packets_total",
        "",
        "Packets received.",
        Of::Voice(|one, out| out.count(one.received)),
    ),
    counter(
        "argon_voice_unheard_packets_total",
        "",
        "Packets received that a handler was too slow for.",
        Of::Voice(|one, out| out.count(one.unheard)),
    ),
    counter(
        "argon_voice_encoded_frames_total",
        "",
        "Frames mixed and encoded; packets that are passed through are not.",
        Of::Voice(|one, out| out.count(one.encoded)),
    ),
    counter(
        "argon_voice_encode_seconds_total",
        "",
        "How long mixing and encoding took.",
        Of::Voice(|one, out| out.put(one.encode_seconds)),
    ),
    // The process. Prometheus' own library counts whole seconds of CPU time.
    counter(
        "process_cpu_seconds_total",
        "",
        "CPU time of the process.",
        Of::Host(|_, out| {
            let time = clock_gettime(ClockId::ProcessCPUTime);
            out.put(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9);
        }),
    ),
    gauge(
        "process_resident_memory_bytes",
        "",
        "Memory of the process that is in RAM.",
        Of::Process,
    ),
    gauge(
        "process_virtual_memory_bytes",
        "",
        "Address space of the process.",
        Of::Process,
    ),
    gauge(
        "process_threads",
        "",
        "Threads of the process.",
        Of::Process,
    ),
    gauge(
        "process_open_fds",
        "",
        "Open files and sockets.",
        Of::Process,
    ),
    gauge(
        "process_max_fds",
        "",
        "Files and sockets that may be open.",
        Of::Process,
    ),
    gauge(
        "process_start_time_seconds",
        "",
        "When the process started, in seconds since 1970.",
        Of::Process,
    ),
];
