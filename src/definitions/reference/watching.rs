//! The part of the reference about watching a host that runs: the admin server and its metrics.

use super::{quoted, row, table};
use crate::admin::{ROUTES, metrics::METRICS};

pub(super) fn admin(out: &mut String) {
    out.push_str(
        "\n## Admin server\n\nWith `listen` under `[admin]`. Answers are JSON, errors \
         `{\"error\": code, \"message\": sentence}`; metrics are text. Bots with the same `listen` share one \
         server.\n\n",
    );
    table(out, &["Request", "Answer"]);
    for route in ROUTES {
        let request = quoted(&format!("{} {}", route.method, route.path));
        row(out, &[&request, route.doc]);
    }
    out.push_str(
        "\n### Metrics\n\n`GET /metrics` answers in the text format of Prometheus. Times are in seconds and \
         sizes in bytes; a histogram has the series `_bucket`, `_sum` and `_count`. The label `bot` is the \
         `name` under `[bot]`. No label has an id of the platform, so that the number of series is bounded.\n\n",
    );
    table(out, &["Metric", "Type", "Labels", "Meaning"]);
    for metric in METRICS {
        let labels: Vec<_> = metric.labels().into_iter().map(quoted).collect();
        row(
            out,
            &[
                &quoted(metric.name),
                metric.kind.name(),
                &labels.join(" "),
                metric.help,
            ],
        );
    }
}
