//! What can be played: files inside the bot's folder.
//!
//! Ogg Opus gives packets, which the mixer sends untouched or decodes; everything else gives samples.
//! A file is never read as a whole, and by a thread that reads nothing else meanwhile ([`feed`]), so that a
//! slow disk or a hostile file harms nobody else.

pub mod decode;
mod edit;
pub mod feed;
pub mod path;

use std::fs::File;
use std::io;
use std::path::Path;

use super::ogg;
use decode::Decoded;

/// Why something is not played.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk, or no such file.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// No known format.
    #[error("no audio that can be played: Ogg Opus, WAV, MP3, FLAC, Ogg Vorbis and AAC/M4A can")]
    Unknown,
    /// Known, but broken.
    #[error("the file is broken: {0}")]
    Broken(String),
    /// The file ends in the middle.
    #[error("the file is cut off")]
    CutOff,
    /// The position cannot be reached.
    #[error("the file cannot be played from that position")]
    Seek,
    /// Ogg Opus that is not understood.
    #[error(transparent)]
    Ogg(#[from] ogg::Error),
}

impl From<symphonia::core::errors::Error> for Error {
    fn from(error: symphonia::core::errors::Error) -> Self {
        use symphonia::core::errors::Error as Symphonia;
        match error {
            Symphonia::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Error::CutOff
            }
            Symphonia::IoError(error) => Error::Io(error),
            other => Error::Broken(other.to_string()),
        }
    }
}

/// An opened file.
pub enum Source {
    /// Packets.
    Opus(Box<ogg::Reader>),
    /// Samples, with the wanted number of channels.
    Samples(Box<Decoded>),
}

impl Source {
    /// Opens a file; decoded samples will have that many channels, 1 or 2.
    ///
    /// # Errors
    /// When it cannot be read, or is nothing that can be played.
    pub fn open(path: &Path, channels: usize) -> Result<Self, Error> {
        // A pipe or a device would keep the thread for ever.
        if !path.metadata()?.is_file() {
            return Err(Error::Unknown);
        }
        match ogg::Reader::open(File::open(path)?) {
            Ok(reader) => Ok(Source::Opus(Box::new(reader))),
            Err(ogg::Error::Ogg(_) | ogg::Error::NotOpus) => {
                let decoded = Decoded::open(File::open(path)?, path, channels)?;
                Ok(Source::Samples(Box::new(decoded)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// How long it is, samples at 48 kHz, if that is known.
    pub fn duration(&self) -> Option<u64> {
        match self {
            Source::Opus(reader) => Some(reader.duration()),
            Source::Samples(decoded) => decoded.duration(),
        }
    }

    /// Goes to that many samples from the beginning. Answers where it is then: Ogg Opus begins with a
    /// whole packet.
    ///
    /// # Errors
    /// When the position cannot be reached.
    pub fn seek(&mut self, samples: u64) -> Result<u64, Error> {
        match self {
            Source::Opus(reader) => Ok(reader.seek(samples)?),
            Source::Samples(decoded) => decoded.seek(samples).map(|()| samples),
        }
    }
}
