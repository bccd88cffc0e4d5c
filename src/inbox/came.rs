//! What came on the stream, as a process after this one has to know it: the place to go on from, the
//! de-duplication windows, the messages of each channel ([`Sightings`]).
//!
//! It lies in the database twice over. A window has 1 KiB and a channel up to 32, and with every commit
//! several of them change a little; so a commit writes only what has changed, as [`Note`]s in one row of
//! the *trail*. Every [`FOLD`] bytes, and after a commit that failed, the windows and channels that have
//! changed since are written whole instead, and the trail begins anew. A start reads what was written
//! whole and takes the notes in again, which is what the process before it had done with them.

use std::collections::{HashMap, HashSet};
use std::mem;

use super::batch::{put, take};
use super::sightings::{Channel, Sighting, Sightings};
use super::window::{Scope, Window};

/// Bytes of notes in the trail: those of some 4,000 messages, which a start takes in within milliseconds.
pub(super) const FOLD: usize = 256 << 10;

/// Something that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note<'a> {
    /// An event with a place in the order of a scope.
    Sequence {
        scope: Scope,
        sequence: u64,
        /// The scope's window begins with it.
        anew: bool,
    },
    /// A message.
    Message(Sighting),
    /// The stream was opened, at that time (milliseconds since 1970).
    Opened(i64),
    /// Nothing is missing in this channel any more, or in any.
    Settled(Option<u128>),
    /// The channel is gone.
    Gone(u128),
    /// The stream goes on after the event of this id.
    Position(&'a str),
}

impl<'a> Note<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Note::Sequence {
                scope,
                sequence,
                anew,
            } => {
                out.push(match (scope, anew) {
                    (Scope::Direct, false) => 0,
                    (Scope::Direct, true) => 1,
                    (Scope::Space(_), false) => 2,
                    (Scope::Space(_), true) => 3,
                });
                if let Scope::Space(id) = scope {
                    out.extend_from_slice(&id.to_le_bytes());
                }
                out.extend_from_slice(&sequence.to_le_bytes());
            }
            Note::Message(sighting) => {
                out.push(4 + u8::from(sighting.recovered));
                out.extend_from_slice(&sighting.channel.to_le_bytes());
                out.extend_from_slice(&sighting.message.to_le_bytes());
                out.extend_from_slice(&sighting.sent.to_le_bytes());
            }
            Note::Opened(at) => {
                out.push(6);
                out.extend_from_slice(&at.to_le_bytes());
            }
            Note::Settled(None) => out.push(7),
            Note::Settled(Some(channel)) => {
                out.push(8);
                out.extend_from_slice(&channel.to_le_bytes());
            }
            Note::Gone(channel) => {
                out.push(10);
                out.extend_from_slice(&channel.to_le_bytes());
            }
            Note::Position(id) => {
                out.push(9);
                put(out, id.len());
                out.extend_from_slice(id.as_bytes());
            }
        }
    }

    /// The first of the notes of a row. None for bytes that are no note.
    fn decode(bytes: &mut &'a [u8]) -> Option<Self> {
        let [kind] = *bytes.split_off(..1)? else {
            return None;
        };
        let id = |bytes: &mut &[u8]| {
            let id = bytes.split_off(..16)?;
            Some(u128::from_le_bytes(id.try_into().ok()?))
        };
        let number = |bytes: &mut &[u8]| {
            let number = bytes.split_off(..8)?;
            Some(i64::from_le_bytes(number.try_into().ok()?))
        };
        Some(match kind {
            0..=3 => Note::Sequence {
                scope: match kind {
                    0 | 1 => Scope::Direct,
                    _ => Scope::Space(id(bytes)?),
                },
                sequence: number(bytes)?.cast_unsigned(),
                anew: kind % 2 == 1,
            },
            4 | 5 => Note::Message(Sighting {
                channel: id(bytes)?,
                message: number(bytes)?,
                sent: number(bytes)?,
                recovered: kind == 5,
            }),
            6 => Note::Opened(number(bytes)?),
            7 => Note::Settled(None),
            8 => Note::Settled(Some(id(bytes)?)),
            9 => {
                let length = take(bytes)?;
                Note::Position(std::str::from_utf8(bytes.split_off(..length)?).ok()?)
            }
            10 => Note::Gone(id(bytes)?),
            _ => return None,
        })
    }
}

/// What is written whole: what has changed since that was done last.
#[derive(Debug, Default)]
struct Changed {
    scopes: HashSet<Scope>,
    channels: HashSet<u128>,
    gap: bool,
}

/// What came on the stream of one bot.
#[derive(Debug, Default)]
pub(super) struct Came {
    position: String,
    /// Each with when its last event came, milliseconds since 1970.
    windows: HashMap<Scope, (Window, u64)>,
    sightings: Sightings,
    changed: Changed,
    /// What was noted since the last commit.
    notes: Vec<u8>,
    /// Whether the position moved since then.
    moved: bool,
    /// Bytes in the trail.
    trail: usize,
    /// The trail says less than there is here: a commit failed.
    is_torn: bool,
}

/// What a commit has to write of it.
pub(super) enum News<'a> {
    Nothing,
    /// A row of the trail.
    Row(&'a [u8]),
    /// Everything that has changed, instead of the trail.
    Whole,
}

impl Came {
    /// What was written whole, and the rows of the trail after that, each with when it was written.
    pub(super) fn restored<'r>(
        position: String,
        windows: impl IntoIterator<Item = (Scope, (Window, u64))>,
        sightings: Sightings,
        trail: impl IntoIterator<Item = (u64, &'r [u8])>,
    ) -> Self {
        let mut came = Self {
            position,
            windows: windows.into_iter().collect(),
            sightings,
            ..Self::default()
        };
        for (at, mut row) in trail {
            came.trail += row.len();
            while !row.is_empty() {
                let Some(note) = Note::decode(&mut row) else {
                    tracing::error!(
                        "a part of what came on the stream cannot be read and is left out"
                    );
                    break;
                };
                came.apply(note, at);
            }
        }
        came.sightings.process_ended();
        came
    }

    /// It came now (milliseconds since 1970).
    pub(super) fn note(&mut self, note: Note<'_>, now: u64) {
        self.apply(note, now);
        match note {
            // See `close_row`.
            Note::Position(_) => self.moved = true,
            note => note.encode(&mut self.notes),
        }
    }

    fn apply(&mut self, note: Note<'_>, at: u64) {
        match note {
            Note::Sequence {
                scope,
                sequence,
                anew,
            } => {
                let known = self.windows.get_mut(&scope).filter(|_| !anew);
                match known.and_then(|known| known.0.mark(sequence).map(|_| known)) {
                    Some((_, seen)) => *seen = at,
                    None => {
                        let window = Window::starting_with(sequence);
                        self.windows.insert(scope, (window, at));
                    }
                }
                self.changed.scopes.insert(scope);
            }
            Note::Message(sighting) => {
                self.changed.channels.insert(sighting.channel);
                let forgotten = self.sightings.see(sighting);
                self.changed.channels.extend(forgotten);
            }
            Note::Opened(at) => {
                self.sightings.open_gap(at);
                self.changed.gap = true;
            }
            Note::Settled(Some(channel)) => {
                self.sightings.settle(channel);
                self.changed.channels.insert(channel);
            }
            Note::Settled(None) => {
                self.sightings.settle_all();
                self.changed.gap = true;
                let all = self.sightings.channels().map(|(id, _)| id);
                self.changed.channels.extend(all);
            }
            Note::Gone(channel) => {
                self.sightings.forget(channel);
                self.changed.channels.insert(channel);
            }
            Note::Position(id) => {
                self.position.clear();
                self.position.push_str(id);
            }
        }
    }

    /// Everything is noted that goes with the next commit. Of the positions the last one counts.
    pub(super) fn close_row(&mut self) {
        if mem::take(&mut self.moved) {
            Note::Position(&self.position).encode(&mut self.notes);
        }
    }

    /// What the next commit has to write.
    pub(super) fn news(&self) -> News<'_> {
        if self.is_torn || self.trail + self.notes.len() > FOLD {
            News::Whole
        } else if self.notes.is_empty() {
            News::Nothing
        } else {
            News::Row(&self.notes)
        }
    }

    /// What [`Came::news`] said is committed. Only then may it be forgotten.
    pub(super) fn committed(&mut self) {
        if matches!(self.news(), News::Whole) {
            self.is_whole();
        } else {
            self.trail += self.notes.len();
            self.notes.clear();
        }
    }

    /// Everything is written whole.
    pub(super) fn is_whole(&mut self) {
        self.changed = Changed::default();
        self.trail = 0;
        self.is_torn = false;
        self.notes.clear();
    }

    /// What [`Came::news`] said could not be written. The notes go, or those of hours with a full disk
    /// would fill the memory.
    pub(super) fn failed(&mut self) {
        self.is_torn |= !self.notes.is_empty();
        self.notes.clear();
    }

    /// Whether the trail has something.
    pub(super) fn has_trail(&self) -> bool {
        self.trail > 0
    }

    /// Whether something was noted that no commit has written.
    pub(super) fn is_unwritten(&self) -> bool {
        self.is_torn || self.moved || !self.notes.is_empty()
    }

    /// The id of the event after which the stream goes on; empty when there is none.
    pub(super) fn position(&self) -> &str {
        &self.position
    }

    /// The windows, each with when its last event came, milliseconds since 1970.
    pub(super) fn windows(&self) -> impl Iterator<Item = (Scope, &Window, u64)> {
        (self.windows.iter()).map(|(&scope, (window, seen))| (scope, window, *seen))
    }

    /// Forgets windows of which nothing came since that time.
    pub(super) fn forget_before(&mut self, oldest: u64) {
        self.windows.retain(|_, (_, seen)| *seen >= oldest);
    }

    /// The messages that came.
    pub(super) fn sightings(&self) -> &Sightings {
        &self.sightings
    }

    /// The windows that have changed.
    pub(super) fn changed_windows(&self) -> impl Iterator<Item = (Scope, &Window, u64)> {
        let known = |scope: &Scope| self.windows.get_key_value(scope);
        let changed = self.changed.scopes.iter().filter_map(known);
        changed.map(|(&scope, (window, seen))| (scope, window, *seen))
    }

    /// The channels that have changed; none of those that were forgotten.
    pub(super) fn changed_channels(&self) -> impl Iterator<Item = (u128, Option<&Channel>)> {
        (self.changed.channels.iter()).map(|&id| (id, self.sightings.channel(id)))
    }

    /// Whether a gap was opened or closed.
    pub(super) fn gap_changed(&self) -> bool {
        self.changed.gap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: Scope = Scope::Space(0xfeed);

    fn sequence(sequence: u64) -> Note<'static> {
        Note::Sequence {
            scope: SPACE,
            sequence,
            anew: false,
        }
    }

    fn message(message: i64) -> Note<'static> {
        Note::Message(Sighting {
            channel: 5,
            message,
            sent: message * 10,
            recovered: message == 3,
        })
    }

    /// What the next commit writes as a row.
    fn row(came: &mut Came) -> Vec<u8> {
        came.close_row();
        let News::Row(row) = came.news() else {
            panic!("no row");
        };
        let row = row.to_vec();
        came.committed();
        row
    }

    #[test]
    fn every_note_is_read_as_it_was_and_damage_is_noticed() {
        let anew = Note::Sequence {
            scope: Scope::Direct,
            sequence: u64::MAX,
            anew: true,
        };
        let all = [
            sequence(7),
            anew,
            message(-2),
            message(3),
            Note::Opened(9),
            Note::Settled(None),
            Note::Settled(Some(u128::MAX)),
            Note::Gone(7),
            Note::Position("ü_1"),
        ];
        let mut bytes = Vec::new();
        for note in &all {
            note.encode(&mut bytes);
        }
        let read = |mut bytes: &[u8]| {
            let mut count = 0;
            while !bytes.is_empty() {
                assert_eq!(Note::decode(&mut bytes)?, all[count]);
                count += 1;
            }
            Some(count)
        };
        assert_eq!(read(&bytes), Some(all.len()));
        let whole = (0..=bytes.len()).filter(|&end| read(&bytes[..end]).is_some());
        assert_eq!(whole.count(), all.len() + 1);
        assert_eq!(Note::decode(&mut &[11][..]), None);
    }

    #[test]
    fn a_process_that_ended_is_followed_by_one_that_knows_the_same() {
        let mut live = Came::default();
        let mut rows = Vec::new();
        let steps: [&[Note<'_>]; 4] = [
            &[Note::Opened(1), Note::Settled(None), Note::Position("a")],
            &[
                sequence(4),
                message(1),
                sequence(6),
                message(3),
                Note::Position("b"),
            ],
            &[Note::Opened(50), message(200), Note::Settled(Some(5))],
            &[sequence(5), Note::Position("c"), message(4)],
        ];
        for (at, step) in (100..).zip(steps) {
            for note in step {
                live.note(*note, at);
            }
            rows.push((at, row(&mut live)));
        }
        let trail = rows.iter().map(|(at, row)| (*at, &row[..]));
        let next = Came::restored(String::new(), [], Sightings::default(), trail);
        assert_eq!((next.position(), next.has_trail()), ("c", true));
        let windows = |came: &Came| -> Vec<_> {
            let all = came.windows();
            all.map(|(scope, window, seen)| (scope, window.clone(), seen))
                .collect()
        };
        assert_eq!(windows(&next), windows(&live));
        assert_eq!(windows(&next)[0].2, 103);
        let (mut was, is) = (live.sightings.clone(), &next.sightings);
        was.process_ended();
        assert_eq!(is.channel(5), was.channel(5));
        assert_eq!((is.since(), is.gap_from()), (Some(1), was.gap_from()));
        assert!(is.has_recovered(5, 3) && is.has(5, 200) && !is.has(5, 2));
    }

    #[test]
    fn the_trail_is_bounded_and_what_could_not_be_written_is_written_whole() {
        let mut came = Came::default();
        let mut written = 0;
        for n in 0.. {
            came.note(sequence(n), 1);
            match came.news() {
                News::Row(row) => written += row.len(),
                News::Whole => break,
                News::Nothing => panic!("a note"),
            }
            came.committed();
        }
        assert!((FOLD - 100..=FOLD).contains(&written), "{written}");
        assert_eq!(came.changed_windows().count(), 1);
        came.committed();
        assert!(!came.has_trail() && came.changed_windows().next().is_none());
        assert!(matches!(came.news(), News::Nothing));

        came.note(message(1), 2);
        came.failed();
        assert!(came.is_unwritten());
        came.note(sequence(9), 2);
        assert!(matches!(came.news(), News::Whole));
        assert_eq!(came.changed_channels().count(), 1);
        came.committed();
        came.note(Note::Position("x"), 3);
        assert!(!row(&mut came).is_empty());
        assert!(!came.is_unwritten());
    }
}
