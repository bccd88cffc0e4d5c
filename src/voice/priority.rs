//! Makes the calling thread punctual, as far as the system lets it.

/// The niceness that the pacer asks for. Without the privilege the system refuses, and it stays at 0.
pub(super) const PACER: i32 = -10;
/// The niceness of the threads that make packets: what is not made in time is silence.
pub(super) const WORKER: i32 = -5;

/// Raises the priority of the calling thread, and lets its timers fire without slack (50 µs otherwise).
pub(super) fn raise(nice: i32) {
    // On Linux both are of the thread, not of the process.
    #[cfg(not(target_os = "linux"))]
    let _ = nice;
    #[cfg(target_os = "linux")]
    {
        if let Err(error) = rustix::process::setpriority_process(None, nice) {
            tracing::debug!("a voice thread runs at normal priority: {error}");
        }
        if let Err(error) = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1)) {
            tracing::debug!("a voice thread runs with the usual timer slack: {error}");
        }
    }
}
