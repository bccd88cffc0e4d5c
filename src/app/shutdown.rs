//! Ctrl-C, SIGTERM and SIGHUP.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The wish to end, which everybody can wait for.
#[derive(Debug, Clone)]
pub struct Shutdown {
    requested: watch::Receiver<bool>,
    /// How often a reload was asked for.
    reloads: watch::Receiver<u64>,
}

impl Shutdown {
    /// A shutdown that the process's signals ask for. A second Ctrl-C or SIGTERM exits at once.
    /// Must be called inside the runtime.
    pub fn on_signals() -> Self {
        let (sender, requested) = watch::channel(false);
        let (reload, reloads) = watch::channel(0);
        tokio::spawn(async move {
            if let Err(error) = listen(&sender, &reload).await {
                tracing::warn!("signals cannot be handled, Ctrl-C ends at once: {error}");
                // Without the sender, waiting would end; the process should go on.
                std::future::pending::<()>().await;
            }
        });
        Self { requested, reloads }
    }

    /// A shutdown that the returned sender asks for with `true`, for hosts inside another program.
    pub fn manual() -> (watch::Sender<bool>, Self) {
        let (sender, requested) = watch::channel(false);
        let (_, reloads) = watch::channel(0);
        (sender, Self { requested, reloads })
    }

    /// Tells each time that a reload of every script was asked for (SIGHUP).
    pub(super) fn reloads(&self) -> watch::Receiver<u64> {
        self.reloads.clone()
    }

    /// Completes when the end was asked for.
    pub async fn requested(&self) {
        // An error means that nobody can ask any more, which is the same.
        let _ = self
            .requested
            .clone()
            .wait_for(|requested| *requested)
            .await;
    }
}

async fn listen(sender: &watch::Sender<bool>, reload: &watch::Sender<u64>) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {
                tracing::info!("SIGHUP: reloading every script");
                reload.send_modify(|asked| *asked += 1);
                continue;
            }
        }
        if sender.send_replace(true) {
            tracing::warn!("asked twice to stop: exiting at once");
            std::process::exit(130);
        }
        tracing::info!("stopping: running handlers may finish; once more to exit at once");
    }
}
