//! What a stream keeps of its records, whatever they are about: the number and the time of the last one, and which commands they came from.

use serde::{Deserialize, Serialize};

use crate::envelope::Envelope;
use crate::recall::{Keys, Recall};
use crate::record::Record;
use crate::time::Timestamp;

/// The past of one stream. Serialized, equal states give equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    keys: Keys,
    /// Number of the last record; records of a stream are numbered from 1.
    seq: u64,
    /// Time of the last record.
    last_at: Timestamp,
}

impl Default for Past {
    fn default() -> Self {
        Self { keys: Keys::default(), seq: 0, last_at: Timestamp::MIN }
    }
}

impl Past {
    /// Whether a command was seen before, by its key.
    #[must_use]
    pub fn recall(&self, envelope: &Envelope) -> Recall {
        self.keys.recall(envelope)
    }

    /// The record that comes next with these events. Time never goes backwards.
    #[must_use]
    pub fn next<E>(&self, now: Timestamp, envelope: Option<Envelope>, events: Vec<E>) -> Record<E> {
        Record { seq: self.seq + 1, at: self.at_least(now), envelope, events }
    }

    /// Takes in a record.
    pub fn take<E>(&mut self, record: &Record<E>) {
        (self.seq, self.last_at) = (record.seq, record.at);
        if let Some(envelope) = &record.envelope {
            self.keys.remember(envelope.who, envelope.key, envelope.body, record.seq, record.at);
        }
    }

    /// Number of the last record; 0 before the first.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Time of the last record.
    #[must_use]
    pub const fn last_at(&self) -> Timestamp {
        self.last_at
    }

    /// An instant that counts as at least the time of the last record.
    #[must_use]
    pub fn at_least(&self, now: Timestamp) -> Timestamp {
        now.max(self.last_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Digest;
    use crate::ids::KeyId;

    /// Snapshots hold it inside the state of a stream, and some were made when streams had these three as fields of their own.
    #[test]
    fn it_is_written_as_keys_number_and_time_side_by_side() {
        let mut past = Past::default();
        let key = Digest(7);
        let envelope = Envelope { who: KeyId(3), key, body: key, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() };
        past.take(&past.next(Timestamp::from_seconds(5), Some(envelope), vec![()]));
        let flat = (1_u8, &past.keys, past.seq, past.last_at, 2_u8);
        assert_eq!(postcard::to_allocvec(&(1_u8, &past, 2_u8)).unwrap(), postcard::to_allocvec(&flat).unwrap());
        assert_eq!((past.seq, past.keys.len()), (1, 1));
    }
}
