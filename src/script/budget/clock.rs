//! The CPU clock and the priority of a script's thread.

use std::time::Duration;

/// How much lower than the host's threads scripts run, in steps of nice. One step is a tenth of the CPU
/// time when both want it; the network and voice threads must win while scripts compute.
const NICE: i32 = 5;

/// CPU time of the calling thread.
pub(super) fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// Lets the calling thread run behind the host's own. Where the system refuses, or knows priorities of
/// processes only, scripts run like everything else.
pub(crate) fn lower_priority(script: &str) {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        let thread = rustix::thread::gettid();
        let lowered = getpriority_process(Some(thread))
            .and_then(|nice| setpriority_process(Some(thread), (nice + NICE).min(19)));
        if let Err(error) = lowered {
            tracing::debug!(target: "script", script = %script,
                "its thread runs at the host's own priority: {error}");
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = NICE;
        tracing::debug!(target: "script", script = %script,
            "its thread runs at the host's own priority: this system has none for single threads");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_counts_what_the_thread_computes() {
        let before = thread_cpu();
        while thread_cpu() == before {
            std::hint::black_box(0);
        }
        assert!(thread_cpu() > before);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_script_thread_is_nicer_than_the_host() {
        let nice = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
        let host = nice();
        let script = std::thread::spawn(move || {
            lower_priority("test");
            nice()
        });
        assert_eq!(script.join().unwrap(), (host + NICE).min(19));
        assert_eq!(nice(), host, "only that thread");
    }
}
