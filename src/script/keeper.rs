//! The task that looks after the scripts of a bot: loads what is new, replaces what has changed, ends what
//! is gone, pauses what fails again and again.
//!
//! One transaction at a time, so that nobody has to think about two. While new versions load, a further
//! change of one of their files makes the load start over: nobody wants the text that was saved before.
//! Everything that happens to a script is told as a `tracing` event of the target `reload` with the fields
//! `script`, `version` and `outcome`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::Trouble;
use super::graph::Graph;
use super::host::Settings;
use super::modals::Modals;
use super::reload::watch::Eye;
use super::scripts::Script;
use super::transaction::{Begin, Candidate, Stage, Wanted};
use crate::modules::{Found, chunk_name, discover, stem};

/// How often the keeper looks around without a reason.
const ROUND: Duration = Duration::from_millis(500);
/// How long the error of a load is kept back after a save: if the file changes again until then, it was
/// not finished, and the error of no interest.
const HOLD_BACK: Duration = Duration::from_millis(300);
/// How long a file that looks half-written is waited for.
const DISTRUST: Duration = Duration::from_millis(300);
/// How much longer than the drain time a version's thread may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// What became of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is new, and runs.
    Loaded,
    /// A new version runs in the place of the old one.
    Reloaded,
    /// It could not be loaded; if a version ran before, that one goes on.
    Failed(Trouble),
    /// Its file is gone, and so is the script.
    Unloaded,
    /// The new version failed at its first events: the one before came back.
    RolledBack,
    /// It failed again and again and is left alone for a while.
    Paused,
}

impl Outcome {
    /// One word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Reloaded => "reloaded",
            Self::Failed(_) => "failed",
            Self::Unloaded => "unloaded",
            Self::RolledBack => "rolled_back",
            Self::Paused => "paused",
        }
    }
}

/// What became of one script in a reload.
#[derive(Debug, Clone)]
pub struct Reloaded {
    /// The script's name.
    pub script: String,
    /// The version that was tried; 0 when none was begun.
    pub version: u64,
    /// How it went.
    pub outcome: Outcome,
    /// The version that it replaced, or that goes on.
    pub before: Option<u64>,
}

/// A wish of the host's.
pub(super) enum Request {
    /// Load again: one script, or all.
    Reload(
        Option<String>,
        oneshot::Sender<Result<Vec<Reloaded>, String>>,
    ),
    /// Let a paused script run again.
    Resume(String, oneshot::Sender<Result<Vec<Reloaded>, String>>),
}

/// Why the keeper looks at the folder.
#[derive(Clone, Copy)]
enum Reason<'a> {
    /// Something in it was touched; these files are still being written.
    Touched(&'a BTreeSet<PathBuf>),
    /// Somebody asked: for one script, or for all.
    Asked(Option<&'a str>),
}

/// An error that is told later, unless the file changes before.
struct HeldBack {
    until: Instant,
    reloaded: Reloaded,
}

/// What the folder asks for.
#[derive(Default)]
struct Plan {
    wanted: Vec<Wanted>,
    gone: Vec<String>,
}

/// The task's state.
pub(super) struct Keeper {
    pub(super) settings: Settings,
    pub(super) root: PathBuf,
    pub(super) stage: Stage,
    eye: Eye,
    held_back: BTreeMap<String, HeldBack>,
    /// Files that looked half-written: with that length, until then.
    distrusted: BTreeMap<PathBuf, (usize, Instant)>,
}

impl Keeper {
    pub(super) fn new(settings: Settings, root: PathBuf, stage: Stage) -> Self {
        let eye = match settings.reload.watch {
            Some(watch) => Eye::open(&root, &settings.dir, watch),
            None => Eye::closed(),
        };
        Self {
            settings,
            root,
            stage,
            eye,
            held_back: BTreeMap::new(),
            distrusted: BTreeMap::new(),
        }
    }

    /// The first load of every script of the folder.
    pub(super) async fn load_all(&mut self, found: Vec<Found>) {
        let plan = self.plan(found, Reason::Asked(None));
        let candidates = self
            .stage
            .load(&self.root, plan.wanted, Begin::AtOnce)
            .await;
        self.stage.swap(&candidates, &[]).await;
        for reloaded in self.outcomes(&candidates, &[]) {
            if let Outcome::Failed(trouble) = &reloaded.outcome {
                tracing::error!(target: "script", script = %reloaded.script,
                    "the script has failed: {trouble}");
            }
        }
    }

    /// Looks after the scripts until the host is gone.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let shared = std::sync::Arc::clone(&self.stage.shared);
        loop {
            let round = Instant::now() + ROUND;
            let held_back = self.held_back.values().map(|held| held.until).min();
            let next = [Some(round), held_back, self.eye.due()];
            let next = next.into_iter().flatten().min().unwrap_or(round);
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.serve(request).await,
                    None => return,
                },
                () = self.eye.news() => {}
                () = shared.news.notified() => self.look_after().await,
                () = tokio::time::sleep_until(next.into()) => self.time().await,
            }
        }
    }

    /// A moment has come that the keeper waited for.
    async fn time(&mut self) {
        let now = Instant::now();
        self.tell_held_back(now);
        if self.eye.due().is_some_and(|due| due <= now) {
            let unsettled = self.eye.look(now);
            self.look(Reason::Touched(&unsettled)).await;
        }
        self.see_off(now);
        self.look_after().await;
    }

    async fn serve(&mut self, request: Request) {
        let (answer, reply) = match request {
            Request::Reload(script, reply) => {
                let answer = self.look(Reason::Asked(script.as_deref())).await;
                let known = script
                    .as_ref()
                    .is_none_or(|name| answer.iter().any(|reloaded| reloaded.script == *name));
                let answer = if known {
                    Ok(answer)
                } else {
                    Err(format!(
                        "there is no script {:?} in {}",
                        script.unwrap_or_default(),
                        self.root.display()
                    ))
                };
                (answer, reply)
            }
            Request::Resume(name, reply) => (self.resume_by_hand(&name).await, reply),
        };
        // Who asked may have gone.
        let _ = reply.send(answer);
    }

    /// Looks at the folder and does what it asks for.
    async fn look(&mut self, reason: Reason<'_>) -> Vec<Reloaded> {
        let begun = Instant::now();
        // The folder itself may be a link that leads elsewhere now.
        let found = self
            .settings
            .dir
            .canonicalize()
            .and_then(|root| Ok((discover(&root)?, root)));
        let (found, root) = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(target: "reload",
                    "the scripts folder {} cannot be read, its scripts go on as they are: {error}",
                    self.settings.dir.display());
                return Vec::new();
            }
        };
        if root != self.root {
            self.root = root;
            if let Some(watch) = self.settings.reload.watch {
                self.eye = Eye::open(&self.root, &self.settings.dir, watch);
            }
        }
        let plan = self.plan(found, reason);
        if plan.wanted.is_empty() && plan.gone.is_empty() {
            return Vec::new();
        }
        for wanted in &plan.wanted {
            self.held_back.remove(&wanted.name);
        }
        let files = self.files_of(&plan.wanted);
        let looked = Instant::now();
        let loading = self.stage.load(&self.root, plan.wanted, Begin::Loaded);
        let candidates = match reason {
            Reason::Asked(_) => loading.await,
            Reason::Touched(_) => tokio::select! {
                candidates = loading => candidates,
                () = self.overtaken(&files) => return Vec::new(),
            },
        };
        let loaded = Instant::now();
        self.stage.swap(&candidates, &plan.gone).await;
        tracing::debug!(target: "reload", "looked for {:.2} ms, loaded in {:.2} ms, swapped in {:.2} ms",
            milliseconds(looked - begun), milliseconds(loaded - looked), milliseconds(loaded.elapsed()));
        for candidate in candidates.iter().filter(|one| one.result.is_ok()) {
            if let Some(script) = self.stage.scripts.lock().all.get_mut(&candidate.name) {
                script.quarantine.forgive();
            }
        }
        let outcomes = self.outcomes(&candidates, &plan.gone);
        for reloaded in &outcomes {
            let touched = matches!(reason, Reason::Touched(_));
            if touched && matches!(reloaded.outcome, Outcome::Failed(_)) {
                let held = HeldBack {
                    until: Instant::now() + HOLD_BACK,
                    reloaded: reloaded.clone(),
                };
                self.held_back.insert(reloaded.script.clone(), held);
            } else {
                tell(reloaded, begun.elapsed());
            }
        }
        outcomes
    }

    /// The files that these versions will consist of, as far as that is known.
    fn files_of(&self, wanted: &[Wanted]) -> BTreeSet<PathBuf> {
        let scripts = self.stage.scripts.lock();
        let mut files = BTreeSet::new();
        for one in wanted {
            files.insert(one.path.clone());
            let script = scripts.all.get(&one.name);
            if let Some(tried) = script.and_then(|script| script.tried.as_ref()) {
                let tried = tried.files.lock().unwrap_or_else(PoisonError::into_inner);
                files.extend(tried.paths().cloned());
            }
        }
        files
    }

    /// Completes when one of the files that are being loaded was touched again.
    async fn overtaken(&self, files: &BTreeSet<PathBuf>) {
        loop {
            self.eye.news().await;
            if self.eye.is_any_pending(files) {
                return;
            }
        }
    }

    /// What has to be loaded and ended, judged by what the folder has now.
    fn plan(&mut self, found: Vec<Found>, reason: Reason<'_>) -> Plan {
        let now = Instant::now();
        let mut plan = Plan::default();
        let mut distrusted = Vec::new();
        let mut scripts = self.stage.scripts.lock();
        let unsettled = match reason {
            Reason::Touched(unsettled) => Some(unsettled),
            Reason::Asked(_) => None,
        };
        for one in &found {
            let options = self.settings.of(&one.name);
            if !options.enabled {
                continue;
            }
            let refused = refusal(&self.root, one);
            let known = scripts
                .all
                .get(&one.name)
                .and_then(|script| script.tried.as_ref());
            let wanted = match (reason, known) {
                (Reason::Asked(Some(name)), _) => name == one.name,
                (Reason::Asked(None), _) | (Reason::Touched(_), None) => true,
                (Reason::Touched(unsettled), Some(tried)) => {
                    let mut files = tried.files.lock().unwrap_or_else(PoisonError::into_inner);
                    let changed = tried.path != one.path
                        || tried.refused != refused
                        || files.is_stale(&self.root);
                    changed
                        && !files.has_any(unsettled.iter())
                        && !half_written(&mut self.distrusted, &mut files, now, &mut distrusted)
                }
            };
            let being_written = unsettled
                .is_some_and(|files| files.contains(&one.path) || files.contains(&one.entry));
            if wanted && !being_written {
                plan.wanted.push(Wanted {
                    name: one.name.clone(),
                    path: one.path.clone(),
                    refused,
                    files: None,
                });
            }
        }
        if !matches!(reason, Reason::Asked(Some(_))) {
            let known = scripts.all.iter().map(|(name, script)| {
                let tried = script.tried.as_ref();
                (name.as_str(), tried.map(|tried| tried.path.as_path()))
            });
            plan.gone = gone(&self.root, known, &found, unsettled);
        }
        for wanted in &plan.wanted {
            if !scripts.all.contains_key(&wanted.name) {
                let options = self.settings.of(&wanted.name).clone();
                let caller = self.stage.rest.caller(options.rate_share);
                let versions = scripts.past.remove(&wanted.name).unwrap_or(0);
                let modals = Modals::new(self.stage.inbox.kv(), &wanted.name);
                let script = Script::new(options, caller, modals, versions);
                scripts.all.insert(wanted.name.clone(), script);
            }
        }
        drop(scripts);
        self.eye.distrust(distrusted, DISTRUST);
        plan
    }

    pub(super) fn outcomes(&self, candidates: &[Candidate], gone: &[String]) -> Vec<Reloaded> {
        let tried = candidates.iter().map(|candidate| Reloaded {
            script: candidate.name.clone(),
            version: candidate.number,
            before: candidate.replaces,
            outcome: match (&candidate.result, candidate.replaces) {
                (Err(trouble), _) => Outcome::Failed(trouble.clone()),
                (Ok(()), Some(_)) if candidate.again => Outcome::RolledBack,
                (Ok(()), Some(_)) => Outcome::Reloaded,
                (Ok(()), None) => Outcome::Loaded,
            },
        });
        let gone = gone.iter().map(|name| Reloaded {
            script: name.clone(),
            version: 0,
            before: None,
            outcome: Outcome::Unloaded,
        });
        let outcomes: Vec<_> = tried.chain(gone).collect();
        for reloaded in &outcomes {
            if let Some(script) = self.stage.scripts.lock().all.get(&reloaded.script) {
                script.status.note(&reloaded.outcome);
            }
        }
        outcomes
    }

    fn tell_held_back(&mut self, now: Instant) {
        let due: Vec<String> = self
            .held_back
            .iter()
            .filter(|(_, held)| held.until <= now)
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            if let Some(held) = self.held_back.remove(&name) {
                tell(&held.reloaded, Duration::ZERO);
            }
        }
    }

    /// Forgets versions whose threads have ended, and those that do not come to an end.
    fn see_off(&self, now: Instant) {
        let mut scripts = self.stage.scripts.lock();
        scripts.leaving.retain(|leaving| {
            if leaving.version.has_ended() {
                return false;
            }
            if now > leaving.until + GRACE {
                leaving.version.cut_off();
            }
            let overdue = now > leaving.until + GRACE * 2;
            if overdue {
                tracing::warn!(target: "script", script = %leaving.script,
                    version = leaving.version.number,
                    "version {} does not come to an end; it is left behind", leaving.version.number);
            }
            !overdue
        });
    }
}

/// Whether a changed file looks as if its writer were not done; then it is given time, once for each
/// length.
fn half_written(
    known: &mut BTreeMap<PathBuf, (usize, Instant)>,
    files: &mut Graph,
    now: Instant,
    distrusted: &mut Vec<PathBuf>,
) -> bool {
    let mut any = false;
    for (path, length) in files.suspicious() {
        let fresh = match known.get(&path) {
            Some((before, until)) if *before == length => now < *until,
            _ => {
                known.insert(path.clone(), (length, now + DISTRUST));
                true
            }
        };
        if fresh {
            any = true;
            distrusted.push(path);
        } else {
            known.remove(&path);
        }
    }
    any
}

/// The scripts, by name and file, of which the folder has nothing any more. A file that is on its way, or
/// a link to it, is not gone: git and vim take it away before they write it anew.
fn gone<'s>(
    root: &Path,
    known: impl Iterator<Item = (&'s str, Option<&'s Path>)>,
    found: &[Found],
    unsettled: Option<&BTreeSet<PathBuf>>,
) -> Vec<String> {
    known
        .filter(|(name, _)| !found.iter().any(|one| one.name == *name))
        .filter(|(name, path)| {
            let is_it = |file: &PathBuf| {
                let called = file.file_name().and_then(|called| stem(called.to_str()?));
                *path == Some(file) || (called == Some(name) && file.parent() == Some(root))
            };
            !unsettled.is_some_and(|files| files.iter().any(is_it))
        })
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Why a script is not even tried.
fn refusal(root: &Path, script: &Found) -> Option<Trouble> {
    let file = chunk_name(root, &script.entry);
    let message = if let Some(outside) = &script.outside {
        format!(
            "{file} is a link to {}, outside the scripts folder: copy it here, or set \"dir\" in [scripts] \
             to the folder that it is in",
            outside.display()
        )
    } else {
        let rival = script.rivals.first()?;
        format!(
            "{} and {file} are both called {:?}: rename one of them",
            chunk_name(root, rival),
            script.name
        )
    };
    Some(Trouble::plain(message))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Says what became of a script.
pub(super) fn tell(reloaded: &Reloaded, took: Duration) {
    let Reloaded {
        script,
        version,
        outcome,
        before,
    } = reloaded;
    let (name, ms) = (outcome.name(), milliseconds(took));
    let before = before.unwrap_or_default();
    match outcome {
        Outcome::Loaded => tracing::info!(target: "reload", %script, version, outcome = name,
            "loaded in {ms:.1} ms"),
        Outcome::Reloaded => tracing::info!(target: "reload", %script, version, outcome = name,
            "version {version} runs, after {ms:.1} ms"),
        Outcome::Unloaded => tracing::info!(target: "reload", %script, outcome = name,
            "its file is gone: unloaded"),
        Outcome::Failed(trouble) if before == 0 => {
            tracing::error!(target: "reload", %script, version, outcome = name,
                "cannot be loaded: {trouble}");
        }
        // Of what is not even tried there is no version.
        Outcome::Failed(trouble) if *version == 0 => {
            tracing::error!(target: "reload", %script, version, outcome = name,
                "cannot be loaded, version {before} goes on: {trouble}");
        }
        Outcome::Failed(trouble) => {
            tracing::error!(target: "reload", %script, version, outcome = name,
                "version {version} cannot be loaded, version {before} goes on: {trouble}");
        }
        Outcome::RolledBack => tracing::error!(target: "reload", %script, version, outcome = name,
            "version {before} failed at its first events: the one before it runs again, as version \
             {version}; the file on disk runs again when it is saved"),
        Outcome::Paused => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_taken_away_to_be_written_anew_is_not_gone() {
        let (a, b) = (Path::new("/s/a.luau"), Path::new("/s/b.luau"));
        let (root, real) = (Path::new("/s"), Path::new("/s/lib/real.luau"));
        let known = [
            ("a", Some(a)),
            ("b", Some(b)),
            ("link", Some(real)),
            ("never_tried", None),
        ];
        let gone =
            |unsettled: Option<&BTreeSet<PathBuf>>| gone(root, known.into_iter(), &[], unsettled);
        let unsettled = BTreeSet::from([a.to_owned(), root.join("link.luau")]);
        assert_eq!(gone(Some(&unsettled)), ["b", "never_tried"]);
        let unsettled = BTreeSet::from([real.to_owned(), root.join("lib/b.luau")]);
        assert_eq!(gone(Some(&unsettled)), ["a", "b", "never_tried"]);
        assert_eq!(
            gone(None),
            ["a", "b", "link", "never_tried"],
            "somebody asks now"
        );
    }
}
