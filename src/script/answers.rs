//! Answers that wait for a script's thread, counted in bytes.
//!
//! A script that computes does not read its mail. How many answers may come meanwhile is bounded
//! ([`crate::limits::PENDING_CALLS`]), and so is each of them, but all together they could be a hundred
//! gigabytes. So an answer is counted when it comes, and its [`Unread`] travels with it until the script has
//! it; one for which there is no room any more is dropped where it comes, and its call fails with
//! `too_many_answers`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::errors::local_failure;
use crate::limits::ANSWER_BYTES;
use crate::rest;

/// What waits for one script. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers(Arc<AtomicUsize>);

/// Bytes that are counted until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it says that the script has the answer"]
pub(super) struct Unread {
    bytes: usize,
    all: Answers,
}

impl Answers {
    /// Counts an answer of so many bytes to the call with this label.
    ///
    /// # Errors
    /// So much waits already that there is no room for it. A single answer always has room.
    pub(super) fn hold(&self, label: &str, bytes: usize) -> Result<Unread, rest::Error> {
        let fits = |before: usize| {
            let after = before.saturating_add(bytes);
            (before == 0 || after <= ANSWER_BYTES).then_some(after)
        };
        match self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, fits)
        {
            Ok(_) => Ok(Unread {
                bytes,
                all: self.clone(),
            }),
            Err(waiting) => {
                let message = format!(
                    "it was answered, but answers of {waiting} bytes wait for this script already, which \
                     has not come to read them: the answer, of {bytes} bytes, was dropped; ask for less at \
                     a time"
                );
                Err(local_failure(label, "too_many_answers", message))
            }
        }
    }

    /// Counts an answer, or puts the error in its place.
    pub(super) fn admit(
        &self,
        label: &str,
        answer: Result<Bytes, rest::Error>,
    ) -> (Result<Bytes, rest::Error>, Option<Unread>) {
        match answer.and_then(|bytes| Ok((self.hold(label, bytes.len())?, bytes))) {
            Ok((held, bytes)) => (Ok(bytes), Some(held)),
            Err(error) => (Err(error), None),
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_room_until_the_script_has_read_others() {
        let answers = Answers::default();
        let half = ANSWER_BYTES / 2;
        let first = answers.hold("x", half).unwrap();
        let second = answers.hold("x", half).unwrap();
        let error = answers.hold("IMessages/History", 1).unwrap_err();
        assert_eq!(error.code, "too_many_answers");
        assert!(error.to_string().contains("IMessages/History"), "{error}");
        drop(first);
        let third = answers.hold("x", half).unwrap();
        drop((second, third));
        assert_eq!(answers.0.load(Ordering::Acquire), 0);
    }

    #[test]
    fn one_answer_always_has_room() {
        let answers = Answers::default();
        let large = answers.hold("x", ANSWER_BYTES + 1).unwrap();
        assert!(answers.hold("x", 0).is_err());
        drop(large);
        assert!(answers.hold("x", 0).is_ok());
    }
}
