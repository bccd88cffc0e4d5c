//! The frame of the project's benchmarks: repeats an operation in rounds and prints the median.
//!
//! A benchmark is a `[[bench]]` target of its own (`cargo bench --bench NAME`), so that `cargo test` never
//! runs one. Words after `--` choose rows by name: `cargo bench --bench json -- decode`.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Rounds of one row; the median of their means is printed.
const ROUNDS: usize = 15;

/// How long one round takes.
const ROUND: Duration = Duration::from_millis(100);

/// A table of figures, one row for each operation.
pub struct Table {
    filter: Vec<String>,
}

impl Table {
    /// Prints the head of the table.
    pub fn new(title: &str) -> Self {
        println!("\n{title}");
        println!("{:<44} {:>12} {:>12} {:>12}", "", "median", "best", "worst");
        let filter = std::env::args()
            .skip(1)
            .filter(|word| !word.starts_with('-'));
        Self {
            filter: filter.collect(),
        }
    }

    /// Measures an operation and prints its row.
    pub fn row<T>(&self, name: &str, mut operation: impl FnMut() -> T) {
        if !self.filter.is_empty() && !self.filter.iter().any(|word| name.contains(word)) {
            return;
        }
        let mut operations = 1;
        while time(operations, &mut operation) < ROUND {
            operations *= 2;
        }
        let mut rounds: Vec<f64> = (0..ROUNDS)
            .map(|_| time(operations, &mut operation).as_nanos() as f64 / operations as f64)
            .collect();
        rounds.sort_unstable_by(f64::total_cmp);
        println!(
            "{name:<44} {:>12} {:>12} {:>12}",
            show(rounds[ROUNDS / 2]),
            show(rounds[0]),
            show(rounds[ROUNDS - 1])
        );
    }
}

fn time<T>(operations: u64, operation: &mut impl FnMut() -> T) -> Duration {
    let start = Instant::now();
    for _ in 0..operations {
        black_box(operation());
    }
    start.elapsed()
}

fn show(nanoseconds: f64) -> String {
    if nanoseconds < 10_000.0 {
        format!("{nanoseconds:.0} ns")
    } else {
        format!("{:.1} µs", nanoseconds / 1000.0)
    }
}
