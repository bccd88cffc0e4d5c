//! How long something takes, as a histogram: counters of the times that were at most so long.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts};
use serde::{Serialize, Serializer};

/// The upper bounds, seconds: from what a handler without a wait takes to what a call may wait for its
/// turn.
const BOUNDS: &[f64] = &[
    0.000_1, 0.000_5, 0.002_5, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// Times that are noted by many threads and read by anybody at any time. Noting one is a few atomic
/// additions.
#[derive(Debug)]
pub struct Durations(Histogram);

impl Default for Durations {
    fn default() -> Self {
        // A name is needed where histograms have a registry; these have none.
        let options = HistogramOpts::new("durations", "durations").buckets(BOUNDS.to_vec());
        Self(Histogram::with_opts(options).expect("the bounds rise"))
    }
}

impl Durations {
    /// Notes one.
    pub fn note(&self, time: Duration) {
        self.0.observe(time.as_secs_f64());
    }

    /// Those that were noted so far.
    pub fn read(&self) -> Spread {
        use prometheus::core::Metric as _;
        let metric = self.0.metric();
        let histogram = metric.get_histogram();
        let buckets = histogram.get_bucket().iter();
        Spread {
            count: histogram.get_sample_count(),
            seconds: histogram.get_sample_sum(),
            buckets: buckets
                .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
                .collect(),
        }
    }
}

/// Times that were noted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Spread {
    /// How many.
    pub count: u64,
    /// All of them together.
    pub seconds: f64,
    /// Upper bounds in seconds, each with how many were not longer.
    pub buckets: Vec<(f64, u64)>,
}

/// `{ count, seconds }`: who wants to see more reads the metrics.
impl Serialize for Spread {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut fields = serializer.serialize_struct("Spread", 2)?;
        fields.serialize_field("count", &self.count)?;
        fields.serialize_field("seconds", &self.seconds)?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_in_its_bucket_and_all_larger_ones() {
        let durations = Durations::default();
        durations.note(Duration::from_millis(30));
        durations.note(Duration::from_secs(90));
        let spread = durations.read();
        assert_eq!(spread.count, 2);
        assert!((spread.seconds - 90.03).abs() < 1e-9);
        let up_to = |bound: f64| {
            spread
                .buckets
                .iter()
                .find(|(at, _)| *at == bound)
                .unwrap()
                .1
        };
        assert_eq!((up_to(0.025), up_to(0.05), up_to(60.0)), (0, 1, 1));
        assert_eq!(
            serde_json::to_value(&spread).unwrap(),
            serde_json::json!({ "count": 2, "seconds": 90.03 })
        );
    }
}
