//! Sizes and durations as they are written in bot.toml.

use std::time::Duration;

/// `"10s"`, `"500ms"`, `"1.5m"`, `"1h"`.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

/// `"64MiB"`, `"512KiB"`, `"1GiB"`, `"4096B"`, in bytes.
pub fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let bytes = number * factor;
    // Below 2^53 every whole number is exact.
    (bytes.fract() == 0.0 && bytes < 9e15).then_some(bytes as u64)
}

/// A decimal number without sign and the unit behind it.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_want_a_unit() {
        assert_eq!(duration("10s"), Some(Duration::from_secs(10)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("1.5m"), Some(Duration::from_secs(90)));
        assert_eq!(duration("1 h"), Some(Duration::from_secs(3600)));
        for wrong in ["10", "s", "", "-1s", "1e9s", "1d", "1.2.3s"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!(size("64MiB"), Some(64 << 20));
        assert_eq!(size("512KiB"), Some(512 << 10));
        assert_eq!(size("0.5GiB"), Some(1 << 29));
        for wrong in ["64MB", "64", "", "MiB", "0.3B", "99999999999GiB"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }
}
