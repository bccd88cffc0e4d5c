//! Who is in which room, what they send, and what was recorded of it.
//!
//! A room is a voice channel or a call; it exists while somebody is in it. Each participant has at most
//! one track. A packet goes to everybody who listens to the track at that moment, and into the
//! recording of the participant. Who is in the room themselves can overhear it: every packet of everybody,
//! as a person's client plays them.
//!
//! Bounds: a listener that is [`BACKLOG`] packets behind loses the oldest, as on a real network; a
//! recording keeps the last [`RECORDED_PACKETS`], and the last [`MOST_RECORDINGS`] recordings are kept.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use crate::sim::world::Id;

/// Packets that wait for a slow listener: 5 s of 20 ms.
pub const BACKLOG: usize = 256;
/// Packets that a recording keeps: 5 minutes of 20 ms.
pub const RECORDED_PACKETS: usize = 15_000;
/// Recordings that are kept, one for each participant of a room.
pub const MOST_RECORDINGS: usize = 32;

/// What a track is, as its sender described it.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// The identity that listeners are told.
    pub sid: String,
    /// 1 or 2.
    pub channels: u8,
    /// How long a packet is, milliseconds.
    pub frame_ms: f64,
    /// The sender's name for it.
    pub name: String,
    /// Where the sound comes from: `microphone` unless the sender says otherwise.
    pub source: String,
    /// Free text of the sender.
    pub metadata: Option<String>,
}

impl Track {
    /// The source that a track has when nothing else is said.
    pub const MICROPHONE: &str = "microphone";

    /// A person's.
    pub fn microphone() -> Self {
        Self {
            sid: new_sid(),
            channels: 1,
            frame_ms: 20.0,
            name: Self::MICROPHONE.to_owned(),
            source: Self::MICROPHONE.to_owned(),
            metadata: None,
        }
    }
}

/// A fresh identity of a track.
pub fn new_sid() -> String {
    format!("TR_{}", Id::new_v4().simple())
}

#[derive(Debug)]
struct Participant {
    /// Listeners end when it is dropped.
    track: Option<(Track, broadcast::Sender<Bytes>)>,
    /// Whether the control API speaks for this person now.
    speaking: bool,
}

/// What somebody sent.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Counts the recording's packets from 1.
    pub number: u64,
    /// When it came.
    pub at: Instant,
    /// The packet as it came.
    pub data: Bytes,
}

/// What was heard of a participant.
#[derive(Debug)]
pub struct Recording {
    room: Id,
    who: Id,
    /// What was sent last.
    pub track: Track,
    /// When the first packet came.
    pub began: Instant,
    /// The last packets, oldest first.
    pub packets: VecDeque<Packet>,
    /// How many there were in all.
    pub count: u64,
}

/// A participant's track, as a listener sees it: it ends when the track does.
#[derive(Debug)]
pub struct Ear {
    /// The track's identity.
    pub sid: String,
    /// Its packets from now on.
    pub packets: broadcast::Receiver<Bytes>,
}

/// What is overheard in a room.
#[derive(Debug, Clone)]
pub enum Overheard {
    /// Somebody sent a packet.
    Packet {
        /// Who.
        from: Id,
        /// The packet as it came.
        data: Bytes,
    },
    /// Somebody is in the room no more.
    Left(Id),
}

/// Every room.
#[derive(Debug)]
pub struct Rooms {
    rooms: HashMap<(Id, Id), Participant>,
    /// Who overhears a room; none for most.
    halls: HashMap<Id, broadcast::Sender<Overheard>>,
    recordings: VecDeque<Recording>,
    /// Changes when a track begins.
    began: watch::Sender<()>,
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            rooms: HashMap::new(),
            halls: HashMap::new(),
            recordings: VecDeque::new(),
            began: watch::Sender::new(()),
        }
    }
}

impl Rooms {
    /// Somebody is in a room. A track takes the place of the one before.
    pub fn join(&mut self, room: Id, who: Id, track: Option<Track>) {
        let participant = self.rooms.entry((room, who)).or_insert(Participant {
            track: None,
            speaking: false,
        });
        if let Some(track) = track {
            participant.track = Some((track, broadcast::Sender::new(BACKLOG)));
            self.began.send_replace(());
        }
    }

    /// Ends somebody's track; they stay in the room.
    pub fn mute(&mut self, room: Id, who: Id) {
        if let Some(participant) = self.rooms.get_mut(&(room, who)) {
            participant.track = None;
        }
    }

    /// Somebody is in the room no more.
    pub fn leave(&mut self, room: Id, who: Id) {
        self.rooms.remove(&(room, who));
        self.tell_hall(room, || Overheard::Left(who));
    }

    /// Everybody leaves.
    pub fn close(&mut self, room: Id) {
        self.rooms.retain(|&(at, _), _| at != room);
        self.halls.remove(&room);
    }

    /// Every packet in a room from now on, one's own included, while one is in it: the receiver ends
    /// with the room, and is told who leaves. `None` for somebody who is not there.
    pub fn overhear(&mut self, room: Id, who: Id) -> Option<broadcast::Receiver<Overheard>> {
        let hall = || broadcast::Sender::new(BACKLOG);
        self.is_in(room, who)
            .then(|| self.halls.entry(room).or_insert_with(hall).subscribe())
    }

    /// Tells those who overhear the room; forgets it when nobody does.
    fn tell_hall(&mut self, room: Id, what: impl FnOnce() -> Overheard) {
        if let Some(hall) = self.halls.get(&room)
            && hall.send(what()).is_err()
        {
            self.halls.remove(&room);
        }
    }

    /// Everybody leaves every room, and what was recorded is forgotten.
    pub fn clear(&mut self) {
        self.rooms.clear();
        self.recordings.clear();
    }

    /// Changes when a track begins in any room.
    pub fn tracks_begun(&self) -> watch::Receiver<()> {
        self.began.subscribe()
    }

    /// The packets of somebody's track from now on, if there is one from that source.
    pub fn listen(&self, room: Id, who: Id, source: Option<&str>) -> Option<Ear> {
        let (track, packets) = self.rooms.get(&(room, who))?.track.as_ref()?;
        let right = source.is_none_or(|source| source == track.source);
        right.then(|| Ear {
            sid: track.sid.clone(),
            packets: packets.subscribe(),
        })
    }

    /// Somebody sends a packet; false when they have no track (any more).
    pub fn send(&mut self, room: Id, who: Id, data: Bytes, at: Instant) -> bool {
        let participant = self.rooms.get(&(room, who));
        let Some((track, packets)) = participant.and_then(|one| one.track.as_ref()) else {
            return false;
        };
        // Fails only when nobody listens.
        let _ = packets.send(data.clone());
        let track = track.clone();
        self.tell_hall(room, || Overheard::Packet {
            from: who,
            data: data.clone(),
        });
        let known = |recording: &Recording| recording.room == room && recording.who == who;
        let place = self.recordings.iter().position(known);
        let place = place.unwrap_or_else(|| {
            if self.recordings.len() == MOST_RECORDINGS {
                self.recordings.pop_front();
            }
            self.recordings.push_back(Recording {
                room,
                who,
                track: track.clone(),
                began: at,
                packets: VecDeque::new(),
                count: 0,
            });
            self.recordings.len() - 1
        });
        let recording = &mut self.recordings[place];
        if recording.track.sid != track.sid {
            recording.track = track;
        }
        recording.count += 1;
        if recording.packets.len() == RECORDED_PACKETS {
            recording.packets.pop_front();
        }
        recording.packets.push_back(Packet {
            number: recording.count,
            at,
            data,
        });
        true
    }

    /// What was heard of somebody in a room, also after they left.
    pub fn recording(&self, room: Id, who: Id) -> Option<&Recording> {
        let mut recordings = self.recordings.iter();
        recordings.find(|recording| recording.room == room && recording.who == who)
    }

    /// Begins to speak for a person: false when they are not in the room, or speak already.
    pub fn begin_speech(&mut self, room: Id, who: Id) -> bool {
        match self.rooms.get_mut(&(room, who)) {
            Some(participant) => !std::mem::replace(&mut participant.speaking, true),
            None => false,
        }
    }

    /// Whether the control API speaks for this person now.
    pub fn is_spoken_for(&self, room: Id, who: Id) -> bool {
        let participant = self.rooms.get(&(room, who));
        participant.is_some_and(|participant| participant.speaking)
    }

    /// Whether somebody is in the room.
    pub fn is_in(&self, room: Id, who: Id) -> bool {
        self.rooms.contains_key(&(room, who))
    }

    /// The person can be spoken for again.
    pub fn end_speech(&mut self, room: Id, who: Id) {
        if let Some(participant) = self.rooms.get_mut(&(room, who)) {
            participant.speaking = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::sync::broadcast::error::TryRecvError;
    use tokio::time::Instant;

    use super::{MOST_RECORDINGS, Overheard, RECORDED_PACKETS, Rooms, Track};
    use crate::sim::world::Id;

    const ROOM: Id = Id::from_u128(1);
    const ADA: Id = Id::from_u128(2);

    fn packet() -> Bytes {
        Bytes::from_static(&[0xf8, 0xff, 0xfe])
    }

    #[test]
    fn a_listener_hears_one_participant_until_the_track_ends() {
        let mut rooms = Rooms::default();
        let now = Instant::now();
        assert!(rooms.listen(ROOM, ADA, None).is_none());
        rooms.join(ROOM, ADA, None);
        assert!(!rooms.send(ROOM, ADA, packet(), now), "no track yet");
        rooms.join(ROOM, ADA, Some(Track::microphone()));
        assert!(rooms.listen(ROOM, ADA, Some("screen")).is_none());
        let mut ear = rooms.listen(ROOM, ADA, Some("microphone")).expect("there");
        assert!(rooms.send(ROOM, ADA, packet(), now));
        assert_eq!(ear.packets.try_recv(), Ok(packet()));
        rooms.leave(ROOM, ADA);
        assert_eq!(ear.packets.try_recv(), Err(TryRecvError::Closed));
    }

    #[test]
    fn recordings_keep_the_last_packets_and_outlive_the_participant() {
        let mut rooms = Rooms::default();
        let now = Instant::now();
        rooms.join(ROOM, ADA, Some(Track::microphone()));
        for _ in 0..RECORDED_PACKETS + 3 {
            rooms.send(ROOM, ADA, packet(), now);
        }
        rooms.close(ROOM);
        let recording = rooms.recording(ROOM, ADA).expect("kept");
        assert_eq!(recording.packets.len(), RECORDED_PACKETS);
        assert_eq!(recording.packets.front().map(|first| first.number), Some(4));
        for other in 0..MOST_RECORDINGS as u128 {
            let room = Id::from_u128(100 + other);
            rooms.join(room, ADA, Some(Track::microphone()));
            rooms.send(room, ADA, packet(), now);
        }
        assert!(rooms.recording(ROOM, ADA).is_none(), "the oldest fell out");
    }

    #[test]
    fn a_room_is_overheard_by_those_in_it() {
        let (mut rooms, now) = (Rooms::default(), Instant::now());
        let boris = Id::from_u128(3);
        rooms.join(ROOM, ADA, Some(Track::microphone()));
        assert!(rooms.overhear(ROOM, boris).is_none(), "not there");
        rooms.join(ROOM, boris, None);
        let mut hall = rooms.overhear(ROOM, boris).expect("there");
        rooms.send(ROOM, ADA, packet(), now);
        rooms.leave(ROOM, ADA);
        let heard = hall.try_recv().expect("a packet");
        assert!(matches!(heard, Overheard::Packet { from: ADA, data } if data == packet()));
        let heard = hall.try_recv().expect("news");
        assert!(matches!(heard, Overheard::Left(ADA)));
        rooms.close(ROOM);
        assert!(matches!(hall.try_recv(), Err(TryRecvError::Closed)));

        rooms.join(ROOM, boris, Some(Track::microphone()));
        drop(rooms.overhear(ROOM, boris));
        rooms.send(ROOM, boris, packet(), now);
        assert!(rooms.halls.is_empty(), "forgotten when nobody listens");
    }

    #[test]
    fn one_speech_at_a_time() {
        let mut rooms = Rooms::default();
        assert!(!rooms.begin_speech(ROOM, ADA));
        rooms.join(ROOM, ADA, Some(Track::microphone()));
        assert!(rooms.begin_speech(ROOM, ADA));
        assert!(!rooms.begin_speech(ROOM, ADA));
        rooms.end_speech(ROOM, ADA);
        assert!(rooms.begin_speech(ROOM, ADA));
    }
}
