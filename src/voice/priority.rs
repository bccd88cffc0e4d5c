//! Makes the calling thread punctual, as far as the system lets it.

/// The niceness that the pacer asks for. Without the privilege the system refuses, and it stays at 0.
#[cfg(target_os = "linux")]
const NICE: i32 = -10;

/// Raises the priority of the calling thread, and lets its timers fire without slack (50 µs otherwise).
pub(super) fn raise() {
    // On Linux both are of the thread, not of the process.
    #[cfg(target_os = "linux")]
    {
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!("the voice pacer runs at normal priority: {error}");
        }
        if let Err(error) = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1)) {
            tracing::debug!("the voice pacer runs with the usual timer slack: {error}");
        }
    }
}
