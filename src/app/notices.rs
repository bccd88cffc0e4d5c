//! What the host says of its bots, shown in the playground of their embedded server.
//!
//! Errors of scripts, reloads and everything else that is logged reaches the page by the log's tap, so
//! that no room has to know the playground, and the playground knows no script.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tracing::Level;

use crate::observe::Line;
use crate::sim::{Gravity, Notice, NoticeBoard};

/// Posts the lines of these bots, and those that name no bot, until the log ends.
pub(super) async fn forward(
    mut lines: Receiver<Arc<Line>>,
    board: NoticeBoard,
    bots: HashSet<String>,
) {
    loop {
        match lines.recv().await {
            Ok(line) if line.bot.as_ref().is_none_or(|bot| bots.contains(bot)) => {
                board.post(notice(&line));
            }
            Ok(_) => {}
            Err(RecvError::Lagged(count)) => board.post(Notice {
                gravity: Gravity::Warning,
                bot: None,
                script: None,
                text: format!("{count} lines of the log came too fast and are not shown here"),
            }),
            Err(RecvError::Closed) => return,
        }
    }
}

fn notice(line: &Line) -> Notice {
    Notice {
        gravity: match line.level {
            Level::ERROR => Gravity::Error,
            Level::WARN => Gravity::Warning,
            _ => Gravity::Info,
        },
        bot: line.bot.clone(),
        script: line.script.clone(),
        text: line.text.clone(),
    }
}
