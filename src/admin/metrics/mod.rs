//! `GET /metrics`: the facts of every bot in the text format of Prometheus.
//!
//! What there is stands in one table ([`METRICS`]): name, type, labels, meaning and where the value comes
//! from. The reference is made from the same table. Nothing is counted here: the rooms count, and a scrape
//! reads. Labels are bounded: names of scripts, routes, types and states, and small numbers of voice
//! connections, never ids of the platform.

mod samples;
mod table;

pub use table::{Kind, METRICS, Metric};

use prometheus::TextEncoder;
use prometheus::core::Collector as _;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;

use super::Facts;
use samples::Samples;
use table::Of;

/// What the answer's `Content-Type` is.
pub(super) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The bots by name; those that do not run have no facts.
pub(super) type Bots = [(String, Option<Facts>)];

/// Every metric that has a value.
pub(super) fn render(bots: &Bots) -> String {
    let process = ProcessCollector::for_self().collect();
    let families: Vec<_> = (METRICS.iter())
        .map(|metric| family(metric, bots, &process))
        .filter(|family| !family.get_metric().is_empty())
        .collect();
    // What is not empty and has a name is encoded.
    TextEncoder.encode_to_string(&families).unwrap_or_default()
}

fn family(metric: &Metric, bots: &Bots, process: &[MetricFamily]) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    family.set_field_type(metric.kind.into());
    let mut out = Samples::new(metric);
    let running = || (bots.iter()).filter_map(|(name, facts)| Some((&**name, facts.as_ref()?)));
    match metric.of {
        Of::Host(read) => read(bots, &mut out),
        Of::Process => {
            let known = process.iter().find(|known| known.name() == metric.name);
            family.set_metric(known.map_or_else(Vec::new, |known| known.get_metric().to_vec()));
            return family;
        }
        Of::Bot(read) => {
            for (bot, facts) in running() {
                read(facts, out.of(&[("bot", bot)]));
            }
        }
        Of::Interface(read) => {
            for (bot, facts) in running() {
                for one in &facts.rest.interfaces {
                    read(one, out.of(&[("bot", bot), ("interface", one.name)]));
                }
            }
        }
        Of::Route(read) => {
            for (bot, facts) in running() {
                for route in &facts.rest.routes {
                    read(route, out.of(&[("bot", bot), ("route", &route.name)]));
                }
            }
        }
        Of::Script(read) => {
            for (bot, facts) in running() {
                for script in &facts.scripts {
                    read(script, out.of(&[("bot", bot), ("script", &script.name)]));
                }
            }
        }
        Of::Voice(read) => {
            for (bot, facts) in running() {
                for one in &facts.voice {
                    let connection = one.slot.to_string();
                    let subject = [
                        ("bot", bot),
                        ("script", &*one.script),
                        ("connection", &*connection),
                    ];
                    read(one, out.of(&subject));
                }
            }
        }
    }
    family.set_metric(out.into_metrics());
    family
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::super::facts::{Script, Voice};
    use super::*;
    use crate::observe::Durations;

    /// What a scraper would say of names, help and labels (the rules of `promtool check metrics`).
    fn complaints(metric: &Metric) -> Vec<&'static str> {
        let name = metric.name;
        let lower = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let checks = [
            (lower(name), "letters and underscores"),
            (!metric.help.is_empty(), "help"),
            (
                (metric.kind == Kind::Counter) == name.ends_with("_total"),
                "_total for counters alone",
            ),
            (
                !["_count", "_sum", "_bucket", "_info_"]
                    .iter()
                    .any(|end| name.ends_with(end)),
                "endings of histograms",
            ),
            (
                !["milli", "micro", "minutes", "hours", "kilo", "mega"]
                    .iter()
                    .any(|unit| name.contains(unit)),
                "base units",
            ),
            (
                !["counter", "gauge", "histogram"]
                    .iter()
                    .any(|kind| name.contains(kind)),
                "no type in the name",
            ),
            (
                metric
                    .labels()
                    .iter()
                    .all(|label| lower(label) && *label != "le"),
                "labels",
            ),
            (
                metric.kind != Kind::Histogram || name.ends_with("_seconds"),
                "a unit",
            ),
        ];
        checks
            .iter()
            .filter(|(holds, _)| !holds)
            .map(|(_, rule)| *rule)
            .collect()
    }

    #[test]
    fn every_name_follows_the_rules_and_is_there_once() {
        let mut names = HashSet::new();
        for metric in METRICS {
            assert_eq!(complaints(metric), Vec::<&str>::new(), "{}", metric.name);
            assert!(names.insert(metric.name), "{} is there twice", metric.name);
            assert!(
                metric.name.starts_with("argon_") || metric.name.starts_with("process_"),
                "{}",
                metric.name
            );
        }
    }

    #[test]
    fn what_a_label_says_is_quoted_and_bots_are_told_apart() {
        let durations = Durations::default();
        durations.note(std::time::Duration::from_millis(3));
        let facts = |errors| Facts {
            scripts: vec![Script {
                name: "a \"b\"\\\n".to_owned(),
                state: "running",
                errors,
                handling: durations.read(),
                ..Script::default()
            }],
            voice: vec![Voice {
                script: "a".to_owned(),
                slot: 1,
                sent: 5,
                lateness: durations.read(),
                ..Voice::default()
            }],
            ..Facts::default()
        };
        let bots = [
            ("one".to_owned(), Some(facts(2))),
            ("two".to_owned(), Some(facts(3))),
            ("ended".to_owned(), None),
        ];
        let text = render(&bots);
        let lines = text.lines().map(|line| Ok(line.to_owned()));
        let scrape = prometheus_parse::Scrape::parse(lines).unwrap();
        let value = |name: &str, labels: &[(&str, &str)]| {
            let wanted: BTreeMap<_, _> = labels.iter().copied().collect();
            let found: Vec<_> = scrape
                .samples
                .iter()
                .filter(|sample| sample.metric == name)
                .filter(|sample| {
                    wanted
                        .iter()
                        .all(|(key, value)| sample.labels.get(key) == Some(*value))
                })
                .collect();
            assert_eq!(found.len(), 1, "{name} {labels:?}\n{text}");
            match &found[0].value {
                prometheus_parse::Value::Counter(value) | prometheus_parse::Value::Gauge(value) => {
                    *value
                }
                other => panic!("{other:?}"),
            }
        };
        let of = |bot| value("argon_script_errors_total", &[("bot", bot)]);
        assert_eq!((of("one"), of("two")), (2.0, 3.0));
        assert!(text.contains(r#"script="a \"b\"\\\n""#), "{text}");
        let up = |bot| value("argon_bot_up", &[("bot", bot)]);
        assert_eq!((up("one"), up("ended")), (1.0, 0.0));
        let sent = [("bot", "two"), ("script", "a"), ("connection", "1")];
        assert_eq!(value("argon_voice_sent_packets_total", &sent), 5.0);
        for name in [
            "argon_script_handling_seconds",
            "argon_voice_lateness_seconds",
        ] {
            let bucket = format!("{name}_bucket{{bot=\"one\",");
            assert!(text.contains(&bucket), "{name}: {text}");
        }
    }
}
