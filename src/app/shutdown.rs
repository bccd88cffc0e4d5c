//! Ctrl-C, SIGTERM and SIGHUP.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The wish to end, which everybody can wait for.
#[derive(Debug, Clone)]
pub struct Shutdown {
    requested: watch::Receiver<bool>,
}

impl Shutdown {
    /// A shutdown that the process's signals ask for. A second Ctrl-C or SIGTERM exits at once.
    /// Must be called inside the runtime.
    pub fn on_signals() -> Self {
        let (sender, requested) = watch::channel(false);
        tokio::spawn(async move {
            if let Err(error) = listen(&sender).await {
                tracing::warn!("signals cannot be handled, Ctrl-C ends at once: {error}");
                // Without the sender, waiting would end; the process should go on.
                std::future::pending::<()>().await;
            }
        });
        Self { requested }
    }

    /// A shutdown that the returned sender asks for with `true`, for hosts inside another program.
    pub fn manual() -> (watch::Sender<bool>, Self) {
        let (sender, requested) = watch::channel(false);
        (sender, Self { requested })
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

async fn listen(sender: &watch::Sender<bool>) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {
                tracing::warn!("SIGHUP: reloading scripts is not in this version; restart instead");
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
