//! What the keeper does about scripts that do badly: pause those that fail again and again, bring back
//! the version before one that fails at its first events.

use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Instant;

use super::keeper::{Keeper, Outcome, Reloaded, tell};
use super::registry::State;
use super::scripts::{Before, Files};
use super::transaction::{Begin, Wanted};

impl Keeper {
    /// Looks at what the threads have to tell.
    pub(super) async fn look_after(&mut self) {
        let now = Instant::now();
        let mut to_pause = Vec::new();
        let mut to_return = Vec::new();
        let mut to_resume = Vec::new();
        {
            let mut scripts = self.stage.scripts.lock();
            for (name, script) in &mut scripts.all {
                let mut why = None;
                // Those of a version that is on its way out, or did not get in, are no fault of this one.
                let running = script.active.as_ref().map(|version| version.number);
                for strike in script.status.take_strikes(running) {
                    if script.quarantine.strike(now) {
                        why = Some(format!("it had to be stopped again and again: {strike}"));
                    }
                }
                let Some(version) = &script.active else {
                    let over = script.quarantine.pause().map(|pause| pause.until <= now);
                    if over == Some(true) {
                        to_resume.push(name.clone());
                    }
                    continue;
                };
                if let State::Failed(trouble) = version.state() {
                    if !version.has_loaded() {
                        // Its top level took so long that it was not waited for.
                        let number = version.number;
                        tracing::error!(target: "reload", script = %name, version = number,
                            outcome = "failed", "the script has failed: {trouble}");
                        self.stage.shared.withdraw(name, number);
                        script.status.note(&Outcome::Failed(trouble.clone()));
                        script.failure = Some(trouble);
                        script.active = None;
                        script.place = None;
                        continue;
                    }
                    why = Some(format!("it has failed: {trouble}"));
                }
                if let Some(why) = why {
                    to_pause.push((name.clone(), why));
                } else if self.settings.reload.rollback > 0
                    && version.tally.early_failures() >= self.settings.reload.rollback
                    && script
                        .before
                        .as_ref()
                        .is_some_and(|before| before.tally.is_sound())
                    && let Some(before) = script.before.take()
                {
                    to_return.push((name.clone(), before));
                }
            }
        }
        for (name, why) in to_pause {
            self.pause(&name, why).await;
        }
        for (name, before) in to_return {
            self.bring_back(name, before).await;
        }
        for name in to_resume {
            self.resume(&name).await;
        }
    }

    async fn pause(&mut self, name: &str, why: String) {
        let now = Instant::now();
        let until = now + self.stage.drain;
        let version = {
            let mut scripts = self.stage.scripts.lock();
            let Some(script) = scripts.all.get_mut(name) else {
                return;
            };
            let length = script.quarantine.begin(now, why.clone());
            script.status.note(&Outcome::Paused);
            let version = script.active.take();
            let number = version.as_ref().map_or(0, |version| version.number);
            // What comes meanwhile is kept, as far as the inbox has room.
            script.place = script.place.take().map(|place| place.pass_to_nobody());
            tracing::error!(target: "reload", script = %name, version = number, outcome = "paused",
                "paused for {} s, because {why}; it runs again then, when its file is saved, or by \
                 POST /api/scripts/{name}/resume; until then its events wait, the oldest dropped when \
                 there are too many", length.as_secs());
            version
        };
        if let Some(version) = version {
            let state = self.stage.retire(name, version, until).await;
            if let Some(script) = self.stage.scripts.lock().all.get_mut(name) {
                script.state = state;
            }
        }
    }

    /// Lets a paused script run again.
    async fn resume(&mut self, name: &str) -> Vec<Reloaded> {
        let wanted = {
            let mut scripts = self.stage.scripts.lock();
            let Some(script) = scripts.all.get_mut(name) else {
                return Vec::new();
            };
            script.tried.as_ref().map(|tried| match &tried.instead {
                // What was rolled back does not come again before it is saved.
                Some((path, files)) => again(name.to_owned(), path.clone(), files),
                None => Wanted {
                    name: name.to_owned(),
                    path: tried.path.clone(),
                    refused: tried.refused.clone(),
                    files: None,
                },
            })
        };
        let begun = Instant::now();
        let candidates = self
            .stage
            .load(&self.root, wanted.into_iter().collect(), Begin::Loaded)
            .await;
        self.stage.swap(&candidates, &[]).await;
        let outcomes = self.outcomes(&candidates, &[]);
        for reloaded in &outcomes {
            tell(reloaded, begun.elapsed());
            if let Outcome::Failed(trouble) = &reloaded.outcome {
                self.pause(name, format!("it cannot be loaded: {trouble}"))
                    .await;
            }
        }
        outcomes
    }

    /// The same for a person, who vouches for it.
    pub(super) async fn resume_by_hand(&mut self, name: &str) -> Result<Vec<Reloaded>, String> {
        {
            let mut scripts = self.stage.scripts.lock();
            let script = scripts.all.get_mut(name);
            let script = script.ok_or_else(|| format!("there is no script {name:?}"))?;
            if script.quarantine.pause().is_none() {
                return Err(format!("the script {name:?} is not paused"));
            }
            script.quarantine.forgive();
        }
        Ok(self.resume(name).await)
    }

    /// The version before one that fails at its first events.
    async fn bring_back(&mut self, name: String, before: Before) {
        let begun = Instant::now();
        let wanted = again(name, before.path, &before.files);
        let candidates = self
            .stage
            .load(&self.root, vec![wanted], Begin::Loaded)
            .await;
        self.stage.swap(&candidates, &[]).await;
        for reloaded in self.outcomes(&candidates, &[]) {
            tell(&reloaded, begun.elapsed());
        }
    }
}

/// A version that ran before, as it was.
fn again(name: String, path: PathBuf, files: &Files) -> Wanted {
    let files = files.lock().unwrap_or_else(PoisonError::into_inner);
    Wanted {
        name,
        path,
        refused: None,
        files: Some(files.frozen()),
    }
}
