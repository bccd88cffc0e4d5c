//! Makes the calling thread punctual, as far as the system lets it. Nobody fails without the privilege.

/// The real-time priority that the pacer asks for (`SCHED_FIFO`, 1 to 99): above every usual thread, below
/// what the system itself runs there (interrupt threads have 50). The pacer works for microseconds at
/// a time and then sleeps, so it keeps nobody else from working.
#[cfg(target_os = "linux")]
const REAL_TIME: u8 = 10;
/// The niceness that the pacer asks for where it may not have that.
const PACER: i32 = -10;
/// The niceness of the threads that make packets: what is not made in time is silence. They compute, so
/// they are no real-time threads.
const WORKER: i32 = -5;

/// For the pacer: real time, or else a higher priority.
pub(super) fn pace() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::unix::{
            RealtimeThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
            thread_native_id,
        };
        use thread_priority::{ThreadPriority, ThreadPriorityValue};
        let level = ThreadPriorityValue::try_from(REAL_TIME).expect("it is from 1 to 99");
        let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
        let wanted = ThreadPriority::Crossplatform(level);
        match set_thread_priority_and_policy(thread_native_id(), wanted, policy) {
            Ok(()) => return exact_timers(),
            Err(error) => tracing::debug!("the pacer is no real-time thread: {error}"),
        }
    }
    raise(PACER);
}

/// For the threads that make packets.
pub(super) fn work() {
    raise(WORKER);
}

/// Raises the priority of the calling thread.
fn raise(nice: i32) {
    // On Linux it is of the thread, not of the process.
    #[cfg(not(target_os = "linux"))]
    let _ = nice;
    #[cfg(target_os = "linux")]
    {
        if let Err(error) = rustix::process::setpriority_process(None, nice) {
            tracing::debug!("a voice thread runs at normal priority: {error}");
        }
        exact_timers();
    }
}

/// Lets the calling thread's timers fire without slack (50 µs otherwise).
#[cfg(target_os = "linux")]
fn exact_timers() {
    if let Err(error) = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1)) {
        tracing::debug!("a voice thread runs with the usual timer slack: {error}");
    }
}
