//! The bots that an admin server shows.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::Facts;

/// A future in a box, as trait objects need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a wish was not granted: a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub String);

/// A bot as the admin server needs it.
pub trait Bot: Send + Sync {
    /// Whether its event stream is live.
    fn is_live(&self) -> bool;

    /// What is known of it now.
    fn facts(&self) -> Facts;

    /// Loads one script again, or all; a list of what became of each, with the fields `script`,
    /// `version`, `outcome` and, if it failed, `error`.
    fn reload<'a>(&'a self, script: Option<&'a str>) -> BoxFuture<'a, Result<Vec<Value>, Refusal>>;

    /// Lets a paused script run again; the same list.
    fn resume<'a>(&'a self, script: &'a str) -> BoxFuture<'a, Result<Vec<Value>, Refusal>>;
}

/// Bots by name; those that do not run have none.
type Bots = BTreeMap<String, Option<Arc<dyn Bot>>>;

/// The bots of one admin server, each there while it runs.
#[derive(Clone, Default)]
pub struct Roll {
    bots: Arc<Mutex<Bots>>,
}

impl Roll {
    fn bots(&self) -> MutexGuard<'_, Bots> {
        self.bots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A bot of that name is going to run.
    pub fn expect(&self, name: &str) {
        self.bots().entry(name.to_owned()).or_default();
    }

    /// It runs.
    pub fn enter(&self, name: &str, bot: Arc<dyn Bot>) {
        self.bots().insert(name.to_owned(), Some(bot));
    }

    /// It has ended; it is still expected.
    pub fn leave(&self, name: &str) {
        self.bots().insert(name.to_owned(), None);
    }

    /// Every bot by name; those that do not run have none.
    pub fn all(&self) -> Vec<(String, Option<Arc<dyn Bot>>)> {
        let bots = self.bots();
        bots.iter()
            .map(|(name, bot)| (name.clone(), bot.clone()))
            .collect()
    }
}
