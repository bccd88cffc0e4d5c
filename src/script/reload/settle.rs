//! When a change on disk is whole: the time from a touch of a file until it may be read.
//!
//! Pure: touches and the clock in, a moment out. The aim is to be live within milliseconds of a save, and
//! never to read a file that its writer has not finished:
//! * a file that its writer has **closed**, or that was renamed into place, is whole after [`QUIET`];
//! * one that was created or written to, and not closed, is being written; without a further touch it
//!   counts as whole after [`OPEN`], because some writers never close;
//! * one that is **gone** may be about to come back (vim renames it away before it writes the new one):
//!   that is believed after [`GONE`];
//! * where the system does not tell whether a file was closed, [`VAGUE`] must be quiet, and [`POLLED`] where
//!   the folder is looked through now and then;
//! * a file that is touched again and again is waited for longer each time, up to [`LONGEST`].
//!
//! All files that are on their way are waited for together, so that what is saved together is loaded
//! together, but none keeps the others for longer than [`HOLD`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Quiet after a close or a rename into place.
pub(crate) const QUIET: Duration = Duration::from_millis(8);
/// Quiet after a write without a close.
pub(crate) const OPEN: Duration = Duration::from_secs(1);
/// How long a file must be gone.
pub(crate) const GONE: Duration = Duration::from_millis(300);
/// Quiet where closes are not told, and for folders.
pub(crate) const VAGUE: Duration = Duration::from_millis(50);
/// Quiet where changes are seen every [`super::poll::POLL`]: until the look after the next one.
pub(crate) const POLLED: Duration = Duration::from_millis(600);
/// The longest quiet for a file that is written often.
pub(crate) const LONGEST: Duration = Duration::from_millis(512);
/// A file that was not touched for so long after it was looked at is new: longer than [`LONGEST`], so that
/// whoever writes in steps of less than that is waited for in the end.
const FORGET: Duration = Duration::from_millis(600);
/// The longest that a whole file waits for one that is not.
pub(crate) const HOLD: Duration = Duration::from_secs(1);
/// The most files that are looked at one by one.
const MOST: usize = 4096;

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touch {
    /// Its writer closed it, or it was renamed into place.
    Whole,
    /// It was created or written to.
    Written,
    /// It was removed or renamed away.
    Gone,
    /// Something.
    Vague,
    /// Something, some time since the last look.
    Polled,
    /// Something that need not keep others waiting: a folder came or went.
    Beside,
}

#[derive(Debug)]
struct Pending {
    due: Instant,
    /// Others wait for it.
    holds: bool,
}

/// What is on its way.
#[derive(Debug, Default)]
pub(crate) struct Settle {
    pending: BTreeMap<PathBuf, Pending>,
    /// When a path was last handed out, and how much quiet it needs now.
    recent: BTreeMap<PathBuf, (Instant, Duration)>,
}

impl Settle {
    /// A path was touched.
    pub(crate) fn note(&mut self, now: Instant, path: &Path, touch: Touch) {
        if self.pending.len() >= MOST && !self.pending.contains_key(path) {
            // What is there will make somebody look at the whole folder.
            return;
        }
        let least = match self.recent.get(path) {
            Some((last, quiet)) if now.saturating_duration_since(*last) < FORGET => *quiet,
            _ => Duration::ZERO,
        };
        let quiet = match touch {
            Touch::Whole => QUIET.max(least),
            Touch::Written => OPEN,
            Touch::Gone => GONE.max(least),
            Touch::Vague | Touch::Beside => VAGUE.max(least),
            Touch::Polled => POLLED.max(least),
        };
        let pending = Pending {
            due: now + quiet,
            holds: touch != Touch::Beside,
        };
        self.pending.insert(path.to_owned(), pending);
    }

    /// These need a longer look: they are asked about again after `quiet`.
    pub(crate) fn distrust(&mut self, now: Instant, path: PathBuf, quiet: Duration) {
        let pending = Pending {
            due: now + quiet,
            holds: true,
        };
        self.pending.entry(path).or_insert(pending);
    }

    /// When something can be read.
    pub(crate) fn due(&self) -> Option<Instant> {
        let holding = || self.pending.values().filter(|one| one.holds);
        let together = holding().map(|one| one.due).max();
        let longest = holding().map(|one| one.due).min().map(|at| at + HOLD);
        let beside = self.pending.values().filter(|one| !one.holds);
        [
            together.into_iter().chain(longest).min(),
            beside.map(|one| one.due).min(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What can be read is taken out; the answer is what is still on its way.
    pub(crate) fn take(&mut self, now: Instant) -> BTreeSet<PathBuf> {
        self.recent
            .retain(|_, (last, _)| now.saturating_duration_since(*last) < FORGET);
        let recent = &mut self.recent;
        self.pending.retain(|path, pending| {
            let whole = pending.due <= now;
            if whole && recent.len() < MOST {
                let quiet = match recent.get(path) {
                    Some((_, quiet)) => (*quiet * 4).min(LONGEST),
                    None => QUIET * 4,
                };
                recent.insert(path.clone(), (now, quiet));
            }
            !whole
        });
        self.pending.keys().cloned().collect()
    }

    /// What is on its way.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &PathBuf> {
        self.pending.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn path(name: &str) -> &Path {
        Path::new(name)
    }

    /// When these touches (milliseconds, file, what) are whole.
    fn whole(touches: &[(u32, &str, Touch)]) -> u128 {
        let begun = Instant::now();
        let mut settle = Settle::default();
        for (at, file, touch) in touches {
            settle.note(begun + MS * *at, path(file), *touch);
        }
        let due = settle.due().unwrap();
        assert!(settle.take(due).is_empty());
        assert_eq!(settle.due(), None);
        (due - begun).as_millis()
    }

    #[test]
    fn the_ways_of_editors() {
        use Touch::{Gone, Polled, Vague, Whole, Written};
        // VS Code, cp: truncate, write, close.
        assert_eq!(
            whole(&[(0, "a", Written), (1, "a", Written), (2, "a", Whole)]),
            10
        );
        // vim: away, created, written, closed.
        let vim = [
            (0, "a", Gone),
            (1, "a", Written),
            (2, "a", Written),
            (9, "a", Whole),
        ];
        assert_eq!(whole(&vim), 17);
        // sed -i, atomic saves: renamed into place.
        assert_eq!(whole(&[(0, "a", Whole)]), 8);
        // git checkout: removed, then written; several files.
        let git = [
            (0, "a", Gone),
            (0, "a", Written),
            (1, "a", Whole),
            (3, "b", Gone),
            (5, "b", Written),
            (6, "b", Whole),
        ];
        assert_eq!(whole(&git), 14);
        // A slow writer that keeps the file open.
        let slow = [
            (0, "a", Written),
            (400, "a", Written),
            (900, "a", Written),
            (1500, "a", Whole),
        ];
        assert_eq!(whole(&slow), 1508);
        assert_eq!(whole(&[(0, "a", Gone)]), 300);
        assert_eq!(whole(&[(0, "a", Vague)]), 50);
        // One that writes for a second, seen twice a second.
        assert_eq!(whole(&[(0, "a", Polled), (500, "a", Polled)]), 1100);
    }

    #[test]
    fn a_renamed_script_goes_and_comes_at_once() {
        assert_eq!(whole(&[(0, "a", Touch::Gone), (0, "b", Touch::Whole)]), 300);
    }

    #[test]
    fn whoever_writes_for_ever_keeps_the_others_for_a_moment_only() {
        let begun = Instant::now();
        let mut settle = Settle::default();
        settle.note(begun, path("whole"), Touch::Whole);
        for at in 0..20u32 {
            settle.note(begun + MS * 50 * at, path("log"), Touch::Written);
        }
        let due = settle.due().unwrap();
        assert_eq!(due, begun + QUIET + HOLD);
        assert_eq!(settle.take(due), BTreeSet::from([PathBuf::from("log")]));
        assert_eq!(settle.pending().count(), 1);
    }

    #[test]
    fn a_folder_that_comes_does_not_keep_a_file_waiting() {
        let begun = Instant::now();
        let mut settle = Settle::default();
        settle.note(begun, path("folder"), Touch::Beside);
        settle.note(begun, path("a"), Touch::Whole);
        let due = settle.due().unwrap();
        assert_eq!(due, begun + QUIET);
        settle.take(due);
        assert_eq!(settle.due(), Some(begun + VAGUE));
    }

    #[test]
    fn a_file_that_is_saved_in_steps_is_waited_for_longer_and_longer() {
        let mut now = Instant::now();
        let mut settle = Settle::default();
        let mut waits = Vec::new();
        for _ in 0..5 {
            settle.note(now, path("a"), Touch::Whole);
            let due = settle.due().unwrap();
            waits.push((due - now).as_millis());
            settle.take(due);
            now = due + MS * 20;
        }
        assert_eq!(waits, [8, 32, 128, 512, 512]);
        now += FORGET;
        settle.note(now, path("a"), Touch::Whole);
        assert_eq!(settle.due(), Some(now + QUIET), "and forgotten");
    }
}
