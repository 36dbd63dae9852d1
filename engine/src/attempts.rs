//! What was blocked or given up on one day: a stream for each day in UTC, so that signals of those who never got as far as a slot are not lost with a restart. It is
//! bounded: of one party only so many entries are kept a day, of all together only so many, and what comes beyond is counted, by a command that the shell gives
//! now and then.
//!
//! - AT-1: an attempt is noted once, on its own day.
//! - AT-2: no party, and no day, has more entries than are kept.
//! - AT-3: replay equals live, and time does not go back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Broken};
use crate::channel::Channel;
use crate::envelope::{Assessment, Envelope, Party};
use crate::ids::{AttemptId, MuseumId, SlotId};
use crate::money::Cents;
use crate::recall::{Keys, Recall};
use crate::record::Record;
use crate::time::{MICROS_PER_S, Timestamp};

/// The most entries that are kept of one party on one day.
pub const ENTRIES_OF_ONE_MAX: u32 = 20;
/// The most entries that are kept of one day.
pub const ENTRIES_MAX: usize = 20_000;
/// Of both, this part at most is filled by those who were only asked for one more proof: the rest is for those who were refused, and may appeal.
const UNPROVEN_PART: usize = 2;
/// The most counts that are kept of one day.
const COUNTS_MAX: u32 = 10_000;
/// The most parties of one attempt.
const PARTIES_MAX: usize = 8;

/// The day in UTC on which something happens: days since 1970.
#[must_use]
pub fn day_of(at: Timestamp) -> u16 {
    u16::try_from(at.as_micros().div_euclid(86_400 * MICROS_PER_S)).unwrap_or(0)
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It was refused.
    Blocked,
    /// One more proof was asked for and never given.
    Abandoned,
    /// One more proof was asked for, and what was given did not hold.
    Failed,
}

/// Somebody tried something.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// Its id, which is also the code of an appeal.
    pub id: AttemptId,
    /// When.
    pub at: Timestamp,
    /// Through which channel.
    pub channel: Channel,
    /// At which museum.
    pub museum: MuseumId,
    /// In which slot, if it got so far.
    pub slot: Option<SlotId>,
    /// For how many people.
    pub people: u32,
    /// What it would have cost.
    pub amount_cents: Cents,
    /// Who took part, the one that acts first.
    pub parties: Vec<Party>,
    /// What the scorer said.
    pub assessment: Option<Assessment>,
    /// How it ended.
    pub ending: Ending,
}

impl Attempt {
    /// By whom attempts are counted: the first party; who names none is one with all others who name none.
    #[must_use]
    pub fn acting(&self) -> Option<Party> {
        self.parties.first().copied()
    }
}

/// What can be asked of a day's attempts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Keep one.
    Note(Box<Attempt>),
    /// Count more of one party of whom as many are kept as may be.
    Count {
        /// Who.
        acting: Option<Party>,
        /// How many more.
        more: u32,
    },
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Event {
    /// See [`Attempt`].
    Noted(Attempt),
    /// See [`Counted`].
    Counted(Counted),
}

/// So many more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Counted {
    /// Who.
    pub acting: Option<Party>,
    /// How many more.
    pub more: u32,
}

/// Why not. In order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It is of another day, or has too many parties.
    #[error("the attempt cannot be kept like that")]
    BadAttempt,
    /// It is kept already.
    #[error("this attempt is kept already")]
    AttemptKnown,
    /// As many are kept as may be.
    #[error("as many attempts are kept as may be: count it")]
    AttemptsFull,
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadAttempt => "bad_attempt",
            Self::AttemptKnown => "attempt_known",
            Self::AttemptsFull => "attempts_full",
        }
    }
}

/// The attempts of a day. Serialized, equal states give equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    day: u16,
    entries: BTreeMap<AttemptId, Attempt>,
    /// How many of each party are kept, and how many more there were.
    acting: BTreeMap<Option<Party>, (u32, u64)>,
    counts: u32,
    keys: Keys,
    seq: u64,
    last_at: Timestamp,
}

impl Aggregate for Attempts {
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn recall(&self, envelope: &Envelope) -> Recall {
        self.keys.recall(envelope)
    }

    fn decide(&self, _now: Timestamp, command: &Command) -> Result<Vec<Event>, Refusal> {
        match command {
            Command::Note(attempt) => {
                if attempt.id.day() != self.day || day_of(attempt.at) != self.day || attempt.parties.len() > PARTIES_MAX {
                    return Err(Refusal::BadAttempt);
                }
                if self.entries.contains_key(&attempt.id) {
                    return Err(Refusal::AttemptKnown);
                }
                let part = if attempt.ending == Ending::Blocked { 1 } else { UNPROVEN_PART };
                if self.entries.len() >= ENTRIES_MAX / part || self.of(attempt.acting()).0 as usize >= ENTRIES_OF_ONE_MAX as usize / part {
                    return Err(Refusal::AttemptsFull);
                }
                Ok(vec![Event::Noted((**attempt).clone())])
            }
            Command::Count { acting, more } => {
                if self.counts >= COUNTS_MAX {
                    return Err(Refusal::AttemptsFull);
                }
                Ok(vec![Event::Counted(Counted { acting: *acting, more: *more })])
            }
        }
    }

    fn due(&self, _now: Timestamp) -> Vec<Event> {
        Vec::new()
    }

    fn record(&self, now: Timestamp, envelope: Option<Envelope>, events: Vec<Event>) -> Record<Event> {
        Record { seq: self.seq + 1, at: now.max(self.last_at), envelope, events }
    }

    fn apply(&mut self, record: &Record<Event>) {
        (self.seq, self.last_at) = (record.seq, record.at);
        if let Some(envelope) = &record.envelope {
            self.keys.remember(envelope.who, envelope.key, envelope.body, record.seq, record.at);
        }
        for event in &record.events {
            match event {
                Event::Noted(attempt) => {
                    self.acting.entry(attempt.acting()).or_default().0 += 1;
                    self.entries.insert(attempt.id, attempt.clone());
                }
                Event::Counted(counted) => {
                    let (_, more) = self.acting.entry(counted.acting).or_default();
                    *more = more.saturating_add(u64::from(counted.more));
                    self.counts += 1;
                }
            }
        }
    }

    fn check(&self) -> Result<(), Broken> {
        if self.entries.len() > ENTRIES_MAX || self.counts > COUNTS_MAX {
            return Err(Broken { invariant: "AT-2", what: "more attempts of a day are kept than may be" });
        }
        Ok(())
    }

    fn wake_at(&self) -> Option<Timestamp> {
        None
    }

    fn seq(&self) -> u64 {
        self.seq
    }
}

impl Attempts {
    /// None on that day yet.
    #[must_use]
    pub fn new(day: u16) -> Self {
        Self { day, entries: BTreeMap::new(), acting: BTreeMap::new(), counts: 0, keys: Keys::default(), seq: 0, last_at: Timestamp::MIN }
    }

    /// How many of a party are kept, and how many more there were.
    #[must_use]
    pub fn of(&self, acting: Option<Party>) -> (u32, u64) {
        self.acting.get(&acting).copied().unwrap_or_default()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: AttemptId) -> Option<&Attempt> {
        self.entries.get(&id)
    }

    /// Those that are kept, in the order of their ids.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Attempt> {
        self.entries.values()
    }

    /// The full count.
    pub fn recount(&self) -> Result<(), Broken> {
        self.check()?;
        let mut kept: BTreeMap<Option<Party>, u32> = BTreeMap::new();
        for (id, attempt) in &self.entries {
            if *id != attempt.id || id.day() != self.day {
                return Err(Broken { invariant: "AT-1", what: "an attempt stands under another id or day" });
            }
            *kept.entry(attempt.acting()).or_default() += 1;
        }
        let counted = self.acting.iter().all(|(acting, (count, _))| kept.get(acting).copied().unwrap_or(0) == *count);
        if !counted || kept.values().any(|count| *count > ENTRIES_OF_ONE_MAX) {
            return Err(Broken { invariant: "AT-2", what: "more attempts of a party are kept than may be, or they are miscounted" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Digest, PartyKind};

    const NOW: Timestamp = Timestamp::from_seconds(1_780_000_000);

    fn attempt(n: u64, who: u128) -> Box<Attempt> {
        let parties = vec![Party { kind: PartyKind::Device, pseudonym: Digest(who) }];
        Box::new(Attempt {
            id: AttemptId::new(day_of(NOW), n),
            at: NOW,
            channel: Channel::Web,
            museum: MuseumId(1),
            slot: None,
            people: 2,
            amount_cents: Cents::new(3_200),
            parties,
            assessment: None,
            ending: Ending::Blocked,
        })
    }

    /// Does what is asked; AT-1 and AT-2 hold after it, and the state survives its bytes (AT-3).
    fn tell(attempts: &mut Attempts, command: Command) -> Result<(), Refusal> {
        let events = attempts.decide(NOW, &command)?;
        let record = attempts.record(NOW, None, events);
        attempts.apply(&record);
        assert_eq!((attempts.check(), attempts.recount()), (Ok(()), Ok(())));
        let bytes = postcard::to_allocvec(attempts).unwrap();
        assert_eq!(&postcard::from_bytes::<Attempts>(&bytes).unwrap(), attempts);
        Ok(())
    }

    #[test]
    fn of_one_party_only_so_many_are_kept_and_the_rest_is_counted() {
        let mut attempts = Attempts::new(day_of(NOW));
        for n in 0..u64::from(ENTRIES_OF_ONE_MAX) {
            tell(&mut attempts, Command::Note(attempt(n, 7))).unwrap();
        }
        assert_eq!(tell(&mut attempts, Command::Note(attempt(3, 8))), Err(Refusal::AttemptKnown));
        assert_eq!(tell(&mut attempts, Command::Note(attempt(99, 7))), Err(Refusal::AttemptsFull));
        tell(&mut attempts, Command::Note(attempt(99, 8))).unwrap();
        let acting = attempt(0, 7).acting();
        tell(&mut attempts, Command::Count { acting, more: 4_000 }).unwrap();
        assert_eq!((attempts.of(acting), attempts.entries().len()), ((ENTRIES_OF_ONE_MAX, 4_000), 21));
        assert_eq!(attempts.get(AttemptId::new(day_of(NOW), 99)).map(|found| found.people), Some(2));
        // Whoever never gave a proof leaves room for what is refused, and can be appealed.
        let unproven = |n| Command::Note(Box::new(Attempt { ending: Ending::Abandoned, ..*attempt(n, 10) }));
        let kept = (200..220).filter(|n| tell(&mut attempts, unproven(*n)).is_ok()).count();
        assert_eq!((kept, tell(&mut attempts, Command::Note(attempt(220, 10)))), (10, Ok(())));
        let later = Attempt { at: NOW.plus_seconds(86_400), ..*attempt(100, 9) };
        assert_eq!(tell(&mut attempts, Command::Note(Box::new(later))), Err(Refusal::BadAttempt));
    }
}
