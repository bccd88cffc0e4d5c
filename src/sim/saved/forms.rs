//! How parts of the world are written that JSON has no form for: moments, 64-bit numbers, maps whose keys
//! are pairs, tokens. One module each, for serde's `with`.
//!
//! Numbers that use all of 64 bits (ids of messages, masks) are texts, so that a program whose numbers are
//! doubles can hand a snapshot on; positions and counts are numbers. A moment
//! is written as milliseconds from the snapshot's own moment, because a monotonic clock means nothing in
//! another process; serde gives such a module no context, so [`at`] keeps that moment for the thread while
//! a snapshot is written or read.

use std::cell::Cell;
use std::time::Duration;

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::time::Instant;

thread_local! {
    /// The moment of the snapshot that is being written or read.
    static ANCHOR: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Writes or reads a snapshot whose moment is `now`.
pub fn at<T>(now: Instant, work: impl FnOnce() -> T) -> T {
    let before = ANCHOR.replace(Some(now));
    let result = work();
    ANCHOR.set(before);
    result
}

fn anchor() -> Result<Instant, &'static str> {
    ANCHOR
        .get()
        .ok_or("a moment has a form within a snapshot only")
}

/// Milliseconds from the snapshot's moment, negative before it.
fn to_ms(moment: Instant) -> Result<i64, &'static str> {
    let anchor = anchor()?;
    let ahead = moment.checked_duration_since(anchor);
    let behind = anchor.saturating_duration_since(moment);
    let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Ok(ahead.map_or_else(|| -ms(behind), ms))
}

fn from_ms(ms: i64) -> Result<Instant, &'static str> {
    let anchor = anchor()?;
    let span = Duration::from_millis(ms.unsigned_abs());
    let moment = if ms < 0 {
        anchor.checked_sub(span)
    } else {
        anchor.checked_add(span)
    };
    moment.ok_or("a moment that far away cannot be")
}

/// A moment.
pub mod moment {
    use super::*;

    pub fn serialize<S: Serializer>(moment: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
        let ms = to_ms(*moment).map_err(S::Error::custom)?;
        serializer.serialize_i64(ms)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Instant, D::Error> {
        from_ms(i64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A moment that may not be.
pub mod maybe_moment {
    use super::*;

    pub fn serialize<S: Serializer>(
        moment: &Option<Instant>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let ms = moment.map(to_ms).transpose().map_err(S::Error::custom)?;
        ms.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Instant>, D::Error> {
        let ms = Option::<i64>::deserialize(deserializer)?;
        ms.map(from_ms).transpose().map_err(D::Error::custom)
    }
}

/// A number as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<N>(pub N);

impl<N: ToString> Serialize for Text<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string())
    }
}

impl<'de, N: std::str::FromStr> Deserialize<'de> for Text<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let number = text.parse().ok().map(Text);
        number.ok_or_else(|| D::Error::custom(format!("{text:?} is no whole number that fits")))
    }
}

/// A 64-bit number.
pub mod number {
    use super::*;

    pub fn serialize<N: ToString + Copy, S: Serializer>(
        number: &N,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Text(*number).serialize(serializer)
    }

    pub fn deserialize<'de, N: std::str::FromStr, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<N, D::Error> {
        Text::deserialize(deserializer).map(|text| text.0)
    }
}

/// A 64-bit number that may not be.
pub mod maybe_number {
    use super::*;

    pub fn serialize<N: ToString + Copy, S: Serializer>(
        number: &Option<N>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        number.map(Text).serialize(serializer)
    }

    pub fn deserialize<'de, N: std::str::FromStr, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<N>, D::Error> {
        let text = Option::<Text<N>>::deserialize(deserializer)?;
        Ok(text.map(|text| text.0))
    }
}

/// A token: the one place where one is written out, because a bot must be able to go on with it.
pub mod secret {
    use super::*;
    use crate::config::Secret;

    pub fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

/// Bytes that are text: an event as it is sent.
pub mod frame {
    use super::*;
    use bytes::Bytes;

    pub fn serialize<S: Serializer>(frame: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(frame).map_err(S::Error::custom)?)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        String::deserialize(deserializer).map(Bytes::from)
    }
}

/// A map whose keys are no texts, as a list of pairs.
pub mod pairs {
    use std::collections::HashMap;
    use std::hash::Hash;

    use super::*;

    pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &HashMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub fn deserialize<'de, K, V, D>(deserializer: D) -> Result<HashMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Eq + Hash,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        let pairs = Vec::<(K, V)>::deserialize(deserializer)?;
        Ok(pairs.into_iter().collect())
    }
}

/// Who types where until when.
pub mod typing {
    use std::collections::HashMap;

    use super::*;
    use crate::sim::world::Id;

    pub fn serialize<S: Serializer>(
        map: &HashMap<(Id, Id), Instant>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut list = Vec::with_capacity(map.len());
        for (key, until) in map {
            list.push((key, to_ms(*until).map_err(S::Error::custom)?));
        }
        list.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<HashMap<(Id, Id), Instant>, D::Error> {
        let list = Vec::<((Id, Id), i64)>::deserialize(deserializer)?;
        let moments = list
            .into_iter()
            .map(|(key, ms)| Ok((key, from_ms(ms).map_err(D::Error::custom)?)));
        moments.collect()
    }
}

/// Messages by the `randomId` that made them.
pub mod random_ids {
    use std::collections::HashMap;

    use super::*;
    use crate::sim::world::Id;

    pub fn serialize<S: Serializer>(
        map: &HashMap<(Id, i64), i64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let all = map.iter();
        serializer.collect_seq(all.map(|((at, random), id)| (at, Text(random), Text(id))))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<HashMap<(Id, i64), i64>, D::Error> {
        let list = Vec::<(Id, Text<i64>, Text<i64>)>::deserialize(deserializer)?;
        let all = list.into_iter();
        Ok(all.map(|(at, random, id)| ((at, random.0), id.0)).collect())
    }
}

/// The same `randomId`s by age.
pub mod random_order {
    use std::collections::VecDeque;

    use super::*;
    use crate::sim::world::Id;

    type Order = VecDeque<(Instant, (Id, i64))>;

    pub fn serialize<S: Serializer>(order: &Order, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = Vec::with_capacity(order.len());
        for (moment, (at, random)) in order {
            list.push((to_ms(*moment).map_err(S::Error::custom)?, at, Text(*random)));
        }
        list.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Order, D::Error> {
        let list = Vec::<(i64, Id, Text<i64>)>::deserialize(deserializer)?;
        let moments = list.into_iter().map(|(ms, at, random)| {
            let moment = from_ms(ms).map_err(D::Error::custom)?;
            Ok((moment, (at, random.0)))
        });
        moments.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde::{Deserialize, Serialize};
    use tokio::time::Instant;

    use super::{at, maybe_moment, maybe_number, moment, number};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct All {
        #[serde(with = "moment")]
        until: Instant,
        #[serde(with = "maybe_moment")]
        since: Option<Instant>,
        #[serde(with = "number")]
        id: i64,
        #[serde(with = "maybe_number")]
        mask: Option<u64>,
    }

    #[test]
    fn moments_keep_their_distance_and_large_numbers_every_digit() {
        let now = Instant::now();
        let seconds = Duration::from_secs;
        let all = All {
            until: now + seconds(5),
            since: Some(now - seconds(3)),
            id: i64::MIN,
            mask: Some(u64::MAX),
        };
        let text = at(now, || serde_json::to_string(&all)).expect("JSON");
        assert_eq!(
            text,
            r#"{"until":5000,"since":-3000,"id":"-9223372036854775808","mask":"18446744073709551615"}"#
        );
        let later = now + seconds(1_000);
        let read: All = at(later, || serde_json::from_str(&text)).expect("the same");
        assert_eq!(read.until, later + seconds(5));
        assert_eq!(read.since, Some(later - seconds(3)));
        assert_eq!((read.id, read.mask), (all.id, all.mask));
    }

    #[test]
    fn what_cannot_be_is_an_error_and_no_panic() {
        let all = |text: &str| at(Instant::now(), || serde_json::from_str::<All>(text));
        let far = r#"{"until":9223372036854775807,"since":null,"id":"1","mask":null}"#;
        let _ = all(far);
        let wrong = r#"{"until":1,"since":null,"id":"1.5","mask":null}"#;
        let error = all(wrong).expect_err("no whole number").to_string();
        assert!(error.contains("no whole number"), "{error}");
        assert!(
            serde_json::from_str::<All>(wrong).is_err(),
            "outside a snapshot"
        );
    }
}
