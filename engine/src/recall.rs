//! What was already asked: idempotency keys of one stream, so that a repeated command finds its first answer and is not done twice.
//!
//! The scope of a key is its caller and the stream that owns these [`Keys`]. Only commands that became events are remembered (a refusal is decided anew);
//! entries leave by event time, never by a wall clock, so a replay ends with the same keys as the live run. The answer itself is rebuilt from the events.

use std::collections::VecDeque;

use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::envelope::{Digest, Envelope};
use crate::ids::KeyId;
use crate::spread::{Queue, Spread};
use crate::time::{DAY_S, MICROS_PER_S, Timestamp};

/// How long a key is remembered, in seconds of event time.
pub const REMEMBERED_S: i64 = DAY_S;

/// What is known of the key that a command carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Recall {
    /// Not seen in the last 24 hours: decide.
    New,
    /// Done before, with the same body: answer from the events that start at `seq`.
    Done {
        /// Sequence number, in its stream, of the first event that the command became.
        seq: u64,
    },
    /// The same key came with another body: refuse.
    OtherBody,
}

/// One remembered command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// Who gave the command.
    pub who: KeyId,
    /// Digest of the caller's idempotency key.
    pub key: Digest,
    /// Digest of what was asked.
    pub body: Digest,
    /// Sequence number of the first event that the command became.
    pub seq: u64,
    /// Time of that event.
    pub at: Timestamp,
}

/// The keys of one stream. Equality, iteration and serialization see the entries in the order in which they were remembered, and nothing else.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    entries: Queue<Entry>,
    /// How many entries have left at the front since this value was made; the place of an entry is its number minus this.
    gone: u64,
    numbers: Spread<(KeyId, Digest), u64>,
}

impl Keys {
    /// What is known of the key of `envelope`, in O(1).
    #[must_use]
    pub fn recall(&self, envelope: &Envelope) -> Recall {
        match self.get(envelope.who, envelope.key) {
            None => Recall::New,
            Some(entry) if entry.body == envelope.body => Recall::Done { seq: entry.seq },
            Some(_) => Recall::OtherBody,
        }
    }

    /// Notes that a command became events, the first of them `seq` at `at`; forgets what is older than 24 hours before `at`. Called again for a key that is
    /// still known (a later event of the same command), the first entry stands. If `at` goes backwards, nothing is forgotten too early.
    pub fn remember(&mut self, who: KeyId, key: Digest, body: Digest, seq: u64, at: Timestamp) {
        while let Some(oldest) = self.entries.front().filter(|oldest| at.micros_since(oldest.at) > REMEMBERED_S * MICROS_PER_S) {
            self.numbers.remove(&(oldest.who, oldest.key));
            self.entries.drop_front();
            self.gone += 1;
        }
        if self.numbers.insert_new((who, key), self.gone + self.entries.len() as u64) {
            self.entries.push_back(Entry { who, key, body, seq, at });
        }
    }

    /// How many commands are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The remembered commands, oldest first: the same after a replay as live.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    fn get(&self, who: KeyId, key: Digest) -> Option<&Entry> {
        let number = self.numbers.get(&(who, key))?;
        self.entries.get(usize::try_from(number - self.gone).ok()?)
    }
}

impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Keys {}

impl Serialize for Keys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entries = serializer.serialize_seq(Some(self.len()))?;
        self.iter().try_for_each(|entry| entries.serialize_element(entry))?;
        entries.end()
    }
}

impl<'de> Deserialize<'de> for Keys {
    /// Takes the entries as they are, without pruning; of two with the same key the first stands.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut keys = Self::default();
        for entry in VecDeque::<Entry>::deserialize(deserializer)? {
            if keys.numbers.insert_new((entry.who, entry.key), keys.entries.len() as u64) {
                keys.entries.push_back(entry);
            }
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked(who: u64, key: u128, body: u128) -> Envelope {
        Envelope { who: KeyId(who), key: Digest(key), body: Digest(body), parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() }
    }

    fn remember(keys: &mut Keys, who: u64, key: u128, body: u128, seq: u64, at_s: i64) {
        keys.remember(KeyId(who), Digest(key), Digest(body), seq, Timestamp::from_seconds(at_s));
    }

    #[test]
    fn a_key_belongs_to_its_caller_and_its_body() {
        let mut keys = Keys::default();
        remember(&mut keys, 1, 10, 100, 7, 0);
        let cases = [
            (asked(1, 10, 100), Recall::Done { seq: 7 }),
            (asked(1, 10, 101), Recall::OtherBody),
            (asked(2, 10, 100), Recall::New),
            (asked(1, 11, 100), Recall::New),
        ];
        for (envelope, expected) in cases {
            assert_eq!(keys.recall(&envelope), expected, "{envelope:?}");
        }
    }

    #[test]
    fn a_key_lives_for_exactly_a_day_of_event_time() {
        let mut keys = Keys::default();
        remember(&mut keys, 1, 1, 1, 1, 0);
        remember(&mut keys, 1, 2, 2, 2, REMEMBERED_S);
        assert_eq!(keys.recall(&asked(1, 1, 1)), Recall::Done { seq: 1 });
        remember(&mut keys, 1, 3, 3, 3, REMEMBERED_S + 1);
        assert_eq!(keys.recall(&asked(1, 1, 1)), Recall::New);
        assert_eq!(keys.recall(&asked(1, 2, 2)), Recall::Done { seq: 2 });
        remember(&mut keys, 1, 1, 9, 4, REMEMBERED_S + 2);
        assert_eq!(keys.recall(&asked(1, 1, 9)), Recall::Done { seq: 4 });
        assert_eq!(keys.len(), 3);
    }

    #[test]
    fn time_at_the_ends_of_its_range_and_backwards_does_no_harm() {
        let mut keys = Keys::default();
        for (key, at) in [Timestamp::MAX, Timestamp::MIN, Timestamp::MAX, Timestamp::from_seconds(0)].into_iter().enumerate() {
            keys.remember(KeyId(1), Digest(key as u128), Digest(0), key as u64, at);
        }
        assert_eq!(keys.recall(&asked(1, 3, 0)), Recall::Done { seq: 3 });
        assert_eq!(keys.iter().count(), keys.len());
    }

    proptest! {
        /// Against the plainest model: a list, searched from the front, pruned from the front.
        #[test]
        fn keys_agree_with_a_list_and_survive_a_snapshot(
            steps in prop::collection::vec((0_u64..3, 0_u128..6, 0_u128..2, 0_i64..40_000), 0..60), cut in 0_usize..60,
        ) {
            let (mut keys, mut list, mut now) = (Keys::default(), Vec::<Entry>::new(), 0);
            for (seq, (who, key, body, pause)) in steps.into_iter().enumerate() {
                now += pause;
                let at = Timestamp::from_seconds(now);
                remember(&mut keys, who, key, body, seq as u64, now);
                list.retain(|entry| at.micros_since(entry.at) <= REMEMBERED_S * MICROS_PER_S);
                if !list.iter().any(|entry| (entry.who, entry.key) == (KeyId(who), Digest(key))) {
                    list.push(Entry { who: KeyId(who), key: Digest(key), body: Digest(body), seq: seq as u64, at });
                }
                prop_assert!(keys.iter().eq(list.iter()));
                for entry in &list {
                    let envelope = asked(entry.who.0, entry.key.0, entry.body.0);
                    prop_assert_eq!(keys.recall(&envelope), Recall::Done { seq: entry.seq });
                }
                prop_assert_eq!(keys.numbers.len(), list.len());
                if seq == cut {
                    let bytes = postcard::to_allocvec(&keys).unwrap();
                    let restored: Keys = postcard::from_bytes(&bytes).unwrap();
                    prop_assert_eq!(&restored, &keys);
                    keys = restored;
                }
            }
        }
    }
}
