//! The samples of one metric while they are collected.

use prometheus::proto::{self, Bucket, LabelPair};

use super::{Kind, Metric};
use crate::observe::Spread;

/// The samples of one metric.
pub(super) struct Samples {
    kind: Kind,
    label: &'static str,
    /// The labels that say what the next samples are of.
    subject: Vec<(&'static str, String)>,
    metrics: Vec<proto::Metric>,
}

impl Samples {
    pub(super) fn new(metric: &Metric) -> Self {
        Self {
            kind: metric.kind,
            label: metric.label,
            subject: Vec::new(),
            metrics: Vec::new(),
        }
    }

    /// What comes from now on is of that.
    pub(super) fn of(&mut self, subject: &[(&'static str, &str)]) -> &mut Self {
        self.subject.clear();
        let owned = subject
            .iter()
            .map(|&(name, value)| (name, value.to_owned()));
        self.subject.extend(owned);
        self
    }

    /// A number.
    pub(super) fn put(&mut self, value: f64) {
        self.push(None, value);
    }

    /// A number of things.
    pub(super) fn count(&mut self, count: impl TryInto<u64>) {
        self.put(number(count));
    }

    /// A number of things; the metric's own label says which.
    pub(super) fn count_of(&mut self, which: &str, count: impl TryInto<u64>) {
        self.push(Some(which), number(count));
    }

    /// How often each of several things happened; the metric's own label says which.
    pub(super) fn tally<K: AsRef<str>>(&mut self, tally: &std::collections::BTreeMap<K, u64>) {
        for (which, count) in tally {
            self.count_of(which.as_ref(), *count);
        }
    }

    /// Times.
    pub(super) fn spread(&mut self, spread: &Spread) {
        let mut histogram = proto::Histogram::default();
        histogram.set_sample_count(spread.count);
        histogram.set_sample_sum(spread.seconds);
        let bucket = |&(bound, count): &(f64, u64)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        };
        histogram.set_bucket(spread.buckets.iter().map(bucket).collect());
        let mut metric = self.labelled(None);
        metric.set_histogram(histogram);
        self.metrics.push(metric);
    }

    fn push(&mut self, which: Option<&str>, value: f64) {
        let mut metric = self.labelled(which);
        if self.kind == Kind::Counter {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.metrics.push(metric);
    }

    fn labelled(&self, which: Option<&str>) -> proto::Metric {
        let subject = self.subject.iter().map(|(name, value)| (*name, &**value));
        let own = which.map(|which| (self.label, which));
        let pair = |(name, value): (&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value.to_owned());
            pair
        };
        proto::Metric::from_label(subject.chain(own).map(pair).collect())
    }

    pub(super) fn into_metrics(self) -> Vec<proto::Metric> {
        self.metrics
    }
}

/// A gauge or counter is a floating-point number in the format; counts are exact up to 2^53.
fn number(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or(u64::MAX) as f64
}
