//! Ogg Opus files (RFC 7845): reading, seeking, and writing recordings.
//!
//! A file is indexed once when it is opened, by its page headers alone: links (a chained file has
//! several, one after another), their pre-skip and length, and a page about every second to seek to. The
//! packets themselves come from the `ogg` crate, which checks every page's checksum. Only the first
//! Opus stream of a link is read; mapping families beyond mono and stereo are refused. A file with a packet
//! over [`index::LARGEST_PACKET`] is refused at once: whoever reads a packet holds it as a whole.
//!
//! | file | owns |
//! |---|---|
//! | here | what a packet of a file is, and what is wrong with a file |
//! | `index` | headers, links, and the pages to seek to |
//! | `reader` | reading and seeking |
//! | `writer` | writing |

mod index;
mod reader;
mod writer;

use std::io;

use bytes::Bytes;
use ogg::OggReadError;

use super::packet;
pub use reader::Reader;
pub use writer::Writer;

/// Why a file is not played.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Not Ogg, or broken.
    #[error("broken Ogg: {0}")]
    Ogg(OggReadError),
    /// Ogg, but no Opus in it.
    #[error("it has no Opus stream")]
    NotOpus,
    /// The header is not understood.
    #[error("its Opus header is not understood: {0}")]
    Header(&'static str),
    /// A packet is too large.
    #[error("it has a packet of over {0} bytes")]
    Large(u64),
    /// A packet is none.
    #[error("a broken Opus packet: {0}")]
    Packet(#[from] packet::Invalid),
}

impl From<OggReadError> for Error {
    fn from(error: OggReadError) -> Self {
        match error {
            OggReadError::ReadError(error) => Error::Io(error),
            other => Error::Ogg(other),
        }
    }
}

/// A packet of a file, with what of it is heard.
#[derive(Debug, Clone)]
pub struct AudioPacket {
    /// As it is in the file.
    pub data: Bytes,
    /// Its length at 48 kHz.
    pub samples: u32,
    /// Samples at its beginning that are not heard: pre-skip, or before the target of a seek.
    pub skip: u32,
    /// Samples at its end that are not heard: the last page says where the audio ends.
    pub trim: u32,
    /// It comes before the target of a seek, to settle a decoder: never sent.
    pub settling: bool,
}
