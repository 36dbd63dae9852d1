//! What was blocked or given up on one day: a stream for each day in UTC, so that signals of those who never got as far as a slot are not lost with a restart. It is
//! bounded: of each buyer, device and card that takes part only so many entries are kept a day, of all together only so many, and what comes beyond is counted, by a command that the shell gives
//! now and then. Whoever was refused beyond that carries the attempt away with them, sealed, and it is kept when they appeal: some more of these are, so that a flood of
//! refusals leaves nobody without an appeal. Tickets that gates refused are noted here as well: a refusal changes nothing in its slot, so nothing is written there.
//!
//! - AT-1: an attempt is noted once, on its own day; of a ticket that is refused again and again for one reason, ever rarer steps, and between two of them once at most at
//!   another gate than the one it came in by.
//! - AT-2: no party, and no day, has more entries than are kept; nor has a sale, or a day, more refused tickets.
//! - AT-3: replay equals live, and time does not go back.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Broken};
use crate::calendar;
use crate::channel::Channel;
use crate::envelope::{Assessment, Party, PartyKind};
use crate::ids::{AttemptId, Code, HoldId, MuseumId, SlotId, TicketId};
use crate::money::Cents;
use crate::past::Past;
use crate::record::Record;
use crate::slot::{self, ConflictReason};
use crate::time::{DAY_S, MICROS_PER_S, Timestamp};

/// The most entries that are kept of one party on one day.
pub const ENTRIES_OF_ONE_MAX: u32 = 20;
/// The most entries that are kept of one day.
pub const ENTRIES_MAX: usize = 20_000;
/// Of both, this part at most is filled by those who were only asked for one more proof: the rest is for those who were refused, and may appeal.
const UNPROVEN_PART: usize = 2;
/// So many more at most are kept of one day because somebody appealed.
pub const CLAIMED_MAX: usize = 2_000;
/// The most of them of one buyer, device or card. Who is known by less, or by nothing, is one with many others, and shares only what there is for all.
pub const CLAIMED_OF_ONE_MAX: u32 = 5;
/// The most counts that are kept of one day.
const COUNTS_MAX: u32 = 10_000;
/// The most parties of one attempt.
const PARTIES_MAX: usize = 8;
/// The most tickets that are noted as refused on one day, each once for each reason.
pub const REFUSED_MAX: usize = 20_000;
/// The most of them of one sale.
pub const REFUSED_OF_SALE_MAX: usize = 20;
/// From so many refusals of a ticket on, for one reason and on one day, nothing more is noted of it.
pub const TIMES_MAX: u32 = 256;
/// From so many refusals of a ticket on it is shown again on purpose.
const SIGN_TIMES: u32 = 4;

/// The day in UTC on which something happens: days since 1970.
#[must_use]
pub fn day_of(at: Timestamp) -> u16 {
    u16::try_from(at.as_micros().div_euclid(DAY_S * MICROS_PER_S)).unwrap_or(0)
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

/// What somebody tried to do. Numbers are written in the journal: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// To hold places.
    Hold,
    /// To wait for places.
    Wait,
    /// To buy them.
    Buy {
        /// Whether they were held before.
        held: bool,
    },
    /// To pay for them.
    Pay,
    /// To give tickets back.
    Refund,
    /// To take tickets back.
    Void,
}

/// What was assessed, beside who took part and when: from this and the journal before it, what was known when it was refused can be worked out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Figures {
    /// To do what.
    pub aim: Aim,
    /// The hold, entry or sale; of a payment its first hold.
    pub hold: HoldId,
    /// For how many people.
    pub people: u32,
    /// How many of them would have paid less than the full price.
    pub cheap: u32,
    /// What it would have cost.
    pub cents: Cents,
    /// What it would have cost at the full price; zero: not known.
    pub list_cents: Cents,
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
    /// What was assessed. Attempts of before this was written have none.
    pub figures: Option<Box<Figures>>,
}

impl Attempt {
    /// The first party; who names none is one with all others who name none.
    #[must_use]
    pub fn acting(&self) -> Option<Party> {
        self.parties.first().copied()
    }

    /// By whom attempts are counted: by the first party, and by every buyer, device and card that takes part, so that a device that makes up a name each time is one. Behind a
    /// totem or a desk are many: by these they are counted only where they come first; and by a network only where nobody else is named, wherever a shop names it.
    fn counted(&self) -> BTreeSet<Option<Party>> {
        let mut counted: BTreeSet<_> = self.parties.iter().filter(|party| is_of_one(party.kind)).copied().map(Some).collect();
        let acting = self.acting();
        if counted.is_empty() || acting.is_none_or(|acting| acting.kind != PartyKind::Network) {
            counted.insert(acting);
        }
        counted
    }
}

/// Whether a party of a kind is one of its own, and not what many have in common.
const fn is_of_one(kind: PartyKind) -> bool {
    matches!(kind, PartyKind::Buyer | PartyKind::Device | PartyKind::Card)
}

/// A gate with a network refused a ticket, for a reason that hints at a copy or a forgery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Refused {
    /// Which ticket.
    pub ticket: TicketId,
    /// Why.
    pub reason: ConflictReason,
    /// Which gate, the last time.
    pub gate: Code,
    /// When, the last time.
    pub at: Timestamp,
    /// The how-manieth time for that reason on that day; one of those that [`is_step`] lets be noted, or between two of them: see [`Command::RefuseElsewhere`].
    pub times: u32,
    /// Whether somebody had come in on it at another gate, sooner than one walks from there.
    pub apart: bool,
}

impl Refused {
    /// Whether it speaks against the sale: two people at once, or somebody who does not take no for an answer. Who has left and wants in again is refused as well, and is
    /// nearly always honest.
    #[must_use]
    pub const fn is_sign(&self) -> bool {
        matches!(self.reason, ConflictReason::TicketInside | ConflictReason::TicketUsed) && (self.apart || self.times >= SIGN_TIMES)
    }
}

/// Whether the how-manieth refusal of a ticket for one reason on one day is noted: 1, 4, 16, 64 and 256. Whoever shows a ticket a second time because the first did no
/// good is heard once; a flood of scans is a handful of records.
#[must_use]
pub const fn is_step(times: u32) -> bool {
    times.is_power_of_two() && times.trailing_zeros() & 1 == 0 && times <= TIMES_MAX
}

/// What the refusal of a ticket at a gate hints at; none if it says nothing of sharing or forgery, as when somebody comes early, the building is full, or we blocked
/// the ticket ourselves. `by_code` says whether its code was shown, not its id typed; only codes are copied, so only with one is the wrong day of interest.
#[must_use]
pub fn hint_of(refusal: &slot::Refusal, ticket: TicketId, by_code: bool, at: Timestamp) -> Option<ConflictReason> {
    use ConflictReason as R;
    match ConflictReason::of(refusal)? {
        reason @ (R::TicketInside | R::TicketUsed | R::TicketCancelled | R::TicketMoved | R::CodeOutdated) => Some(reason),
        reason @ (R::TooEarly | R::TooLate) => (by_code && calendar::local_day(at) != calendar::local_day(ticket.slot().start())).then_some(reason),
        R::TicketBlocked | R::TicketMoving | R::TicketUnderReview => None,
    }
}

/// How many attempts of a party a day keeps at most, those that were appealed included.
const fn kept_of_one_max(party: Option<Party>) -> u32 {
    match party {
        Some(Party { kind, .. }) if is_of_one(kind) => ENTRIES_OF_ONE_MAX + CLAIMED_OF_ONE_MAX,
        _ => ENTRIES_OF_ONE_MAX + CLAIMED_MAX as u32,
    }
}

/// Which part of what is kept those may fill that ended like that.
const fn part_of(ending: Ending) -> usize {
    match ending {
        Ending::Blocked => 1,
        Ending::Abandoned | Ending::Failed => UNPROVEN_PART,
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
    /// Keep that a gate refused a ticket.
    Refuse(Refused),
    /// Keep that a gate refused a ticket which had come in by another one, also between two steps, once: whoever was refused where they came in before that must not hide it.
    RefuseElsewhere(Refused),
    /// Keep one for which there was no room, because somebody appeals: of it nothing is written yet.
    Claim(Box<Attempt>),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Event {
    /// See [`Attempt`].
    Noted(Attempt),
    /// See [`Counted`].
    Counted(Counted),
    /// See [`Refused`].
    Refused(Refused),
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
    /// It is of another day, has too many parties, or is none of the refusals that are noted.
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
    of: BTreeMap<Option<Party>, (u32, u64)>,
    counts: u32,
    /// Of each ticket that was refused, and for each reason, how many times.
    refused: BTreeMap<(TicketId, ConflictReason), u32>,
    past: Past,
}

impl Aggregate for Attempts {
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn past(&self) -> &Past {
        &self.past
    }

    fn decide(&self, _now: Timestamp, command: &Command) -> Result<Vec<Event>, Refusal> {
        match command {
            Command::Note(attempt) => {
                self.keeps(attempt)?;
                if self.entries.len() >= ENTRIES_MAX / part_of(attempt.ending) || self.full_of(attempt).is_some() {
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
            Command::Refuse(refused) => self.refuse(*refused, false),
            Command::RefuseElsewhere(refused) => self.refuse(*refused, true),
            Command::Claim(attempt) => {
                self.keeps(attempt)?;
                if attempt.ending != Ending::Blocked {
                    return Err(Refusal::BadAttempt);
                }
                let is_full = |party: Option<Party>| self.of(party).0 >= kept_of_one_max(party);
                if self.entries.len() >= ENTRIES_MAX + CLAIMED_MAX || attempt.counted().into_iter().any(is_full) {
                    return Err(Refusal::AttemptsFull);
                }
                Ok(vec![Event::Noted((**attempt).clone())])
            }
        }
    }

    fn apply(&mut self, record: &Record<Event>) {
        self.past.take(record);
        for event in &record.events {
            match event {
                Event::Noted(attempt) => {
                    for party in attempt.counted() {
                        self.of.entry(party).or_default().0 += 1;
                    }
                    self.entries.insert(attempt.id, attempt.clone());
                }
                Event::Counted(counted) => {
                    let (_, more) = self.of.entry(counted.acting).or_default();
                    *more = more.saturating_add(u64::from(counted.more));
                    self.counts += 1;
                }
                Event::Refused(refused) => {
                    self.refused.insert((refused.ticket, refused.reason), refused.times);
                }
            }
        }
    }

    fn check(&self) -> Result<(), Broken> {
        if self.entries.len() > ENTRIES_MAX + CLAIMED_MAX || self.counts > COUNTS_MAX || self.refused.len() > REFUSED_MAX {
            return Err(Broken { invariant: "AT-2", what: "more attempts of a day are kept than may be" });
        }
        Ok(())
    }
}

impl Attempts {
    /// None on that day yet.
    #[must_use]
    pub fn new(day: u16) -> Self {
        Self { day, entries: BTreeMap::new(), of: BTreeMap::new(), counts: 0, refused: BTreeMap::new(), past: Past::default() }
    }

    /// Whether an attempt is one of this day that can be kept, and is not yet.
    fn keeps(&self, attempt: &Attempt) -> Result<(), Refusal> {
        if attempt.id.day() != self.day || day_of(attempt.at) != self.day || attempt.parties.len() > PARTIES_MAX {
            return Err(Refusal::BadAttempt);
        }
        if self.entries.contains_key(&attempt.id) { Err(Refusal::AttemptKnown) } else { Ok(()) }
    }

    fn refuse(&self, refused: Refused, elsewhere: bool) -> Result<Vec<Event>, Refusal> {
        let Refused { ticket, reason, at, times, .. } = refused;
        let before = self.refused_for(ticket, reason);
        let between = elsewhere && (before == 0 || is_step(before)) && (1..TIMES_MAX).contains(&times);
        if day_of(at) != self.day || !(is_step(times) || between) {
            return Err(Refusal::BadAttempt);
        }
        match before {
            // Whoever counts has begun anew since, as after a restart.
            before if before >= times => return Err(Refusal::AttemptKnown),
            0 if self.refused.len() >= REFUSED_MAX || self.refused_of(ticket.sale()) >= REFUSED_OF_SALE_MAX => return Err(Refusal::AttemptsFull),
            _ => {}
        }
        Ok(vec![Event::Refused(refused)])
    }

    /// How many times a ticket was refused for a reason, as far as that is noted.
    #[must_use]
    pub fn refused_for(&self, ticket: TicketId, reason: ConflictReason) -> u32 {
        self.refused.get(&(ticket, reason)).copied().unwrap_or(0)
    }

    /// How many tickets of a sale were refused, each once for each reason.
    fn refused_of(&self, sale: HoldId) -> usize {
        self.refused.range((sale.ticket(0), ConflictReason::TicketInside)..).take_while(|((ticket, _), _)| ticket.sale() == sale).count()
    }

    /// How many of a party are kept, and how many more there were.
    #[must_use]
    pub fn of(&self, party: Option<Party>) -> (u32, u64) {
        self.of.get(&party).copied().unwrap_or_default()
    }

    /// Of whom as many are kept as may be of attempts that end like that one, among those by whom it is counted, if of anybody.
    fn full_of(&self, attempt: &Attempt) -> Option<Option<Party>> {
        let max = ENTRIES_OF_ONE_MAX as usize / part_of(attempt.ending);
        attempt.counted().into_iter().find(|party| self.of(*party).0 as usize >= max)
    }

    /// By whom one is counted for which there is no room: by that party of whom as many are kept as may be, and not by a name that is another one each time; where the day is full, by
    /// the one that acts first.
    #[must_use]
    pub fn more_of(&self, attempt: &Attempt) -> Option<Party> {
        self.full_of(attempt).unwrap_or_else(|| attempt.acting())
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
        let mut acting: BTreeMap<Option<Party>, u32> = BTreeMap::new();
        for (id, attempt) in &self.entries {
            if *id != attempt.id || id.day() != self.day {
                return Err(Broken { invariant: "AT-1", what: "an attempt stands under another id or day" });
            }
            let (first, counted) = (attempt.acting(), attempt.counted());
            if counted.contains(&first) {
                *acting.entry(first).or_default() += 1;
            }
            for party in counted {
                *kept.entry(party).or_default() += 1;
            }
        }
        let counted = self.of.iter().all(|(party, (count, _))| kept.get(party).copied().unwrap_or(0) == *count);
        // Records of before all parties were counted may be more of another than of the first.
        if !counted || acting.iter().any(|(party, count)| *count > kept_of_one_max(*party)) {
            return Err(Broken { invariant: "AT-2", what: "more attempts of a party are kept than may be, or they are miscounted" });
        }
        if self.refused.values().any(|times| !(1..=TIMES_MAX).contains(times)) {
            return Err(Broken { invariant: "AT-1", what: "a refusal of a ticket is noted beyond the last step" });
        }
        let mut of_sale: BTreeMap<HoldId, usize> = BTreeMap::new();
        for (ticket, _) in self.refused.keys() {
            *of_sale.entry(ticket.sale()).or_default() += 1;
        }
        if of_sale.values().any(|count| *count > REFUSED_OF_SALE_MAX) {
            return Err(Broken { invariant: "AT-2", what: "more refused tickets of a sale are kept than may be" });
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
            figures: None,
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
        let later = Attempt { at: NOW.plus_seconds(DAY_S), ..*attempt(100, 9) };
        assert_eq!(tell(&mut attempts, Command::Note(Box::new(later))), Err(Refusal::BadAttempt));
    }

    fn attempt_of(n: u64, parties: &[(PartyKind, u128)]) -> Box<Attempt> {
        let parties = parties.iter().map(|(kind, who)| Party { kind: *kind, pseudonym: Digest(*who) }).collect();
        Box::new(Attempt { parties, ..*attempt(n, 0) })
    }

    #[test]
    fn one_device_with_many_names_is_one_and_a_network_that_many_share_silences_nobody() {
        use PartyKind::{Buyer, Card, Device, Network};
        let mut attempts = Attempts::new(day_of(NOW));
        let throwing = |n: u64| attempt_of(n, &[(Buyer, 1_000 + u128::from(n)), (Device, 7), (Network, 8)]);
        let kept = (0..100).filter(|n| tell(&mut attempts, Command::Note(throwing(*n))).is_ok()).count();
        assert_eq!(kept, ENTRIES_OF_ONE_MAX as usize);
        let device = Party { kind: Device, pseudonym: Digest(7) };
        assert_eq!(attempts.more_of(&throwing(50)), Some(device), "more are counted by what stays the same");
        // Nor does a card instead, or the device behind another name that comes first.
        assert_eq!(tell(&mut attempts, Command::Note(attempt_of(200, &[(Card, 9), (Device, 7)]))), Err(Refusal::AttemptsFull));
        let appealed = (300..400).filter(|n| tell(&mut attempts, Command::Claim(throwing(*n))).is_ok()).count();
        assert_eq!(appealed, CLAIMED_OF_ONE_MAX as usize);
        // Whoever comes from the same network on a device of their own is kept, and heard.
        for n in 500..560 {
            let (who, device) = (u128::from(n), u128::from(n) + 5_000);
            tell(&mut attempts, Command::Note(attempt_of(n, &[(Buyer, who), (Device, device), (Network, 8)]))).unwrap();
        }
        // Also where the shop names the network first.
        for n in 700..760 {
            let (who, device) = (u128::from(n), u128::from(n) + 5_000);
            tell(&mut attempts, Command::Note(attempt_of(n, &[(Network, 8), (Buyer, who), (Device, device)]))).unwrap();
        }
        let nameless = |n| attempt_of(n, &[(Network, 8)]);
        let noted = (600..700).filter(|n| tell(&mut attempts, Command::Note(nameless(*n))).is_ok()).count();
        assert_eq!((noted, tell(&mut attempts, Command::Claim(nameless(800)))), (ENTRIES_OF_ONE_MAX as usize, Ok(())));
    }

    #[test]
    fn a_day_that_was_written_when_only_the_first_party_counted_is_read_and_takes_no_more_of_the_others() {
        let mut attempts = Attempts::new(day_of(NOW));
        let throwing = |n: u64| attempt_of(n, &[(PartyKind::Buyer, 1_000 + u128::from(n)), (PartyKind::Device, 7)]);
        for n in 0..100 {
            let record = attempts.record(NOW, None, vec![Event::Noted(*throwing(n))]);
            attempts.apply(&record);
        }
        assert_eq!((attempts.check(), attempts.recount()), (Ok(()), Ok(())));
        assert_eq!(tell(&mut attempts, Command::Note(throwing(100))), Err(Refusal::AttemptsFull));
        tell(&mut attempts, Command::Note(attempt(101, 8))).unwrap();
    }

    #[test]
    fn who_was_refused_beyond_what_is_kept_is_noted_when_they_appeal_and_a_flood_of_appeals_is_bounded() {
        let mut attempts = Attempts::new(day_of(NOW));
        let claim = |n, who| Command::Claim(attempt(n, who));
        for n in 0..u64::from(ENTRIES_OF_ONE_MAX) {
            tell(&mut attempts, Command::Note(attempt(n, 7))).unwrap();
        }
        assert_eq!(tell(&mut attempts, Command::Note(attempt(50, 7))), Err(Refusal::AttemptsFull));
        tell(&mut attempts, claim(50, 7)).unwrap();
        assert_eq!(attempts.get(AttemptId::new(day_of(NOW), 50)).map(|found| found.people), Some(2));
        assert_eq!(tell(&mut attempts, claim(50, 7)), Err(Refusal::AttemptKnown));
        let more = (60..100).filter(|n| tell(&mut attempts, claim(*n, 7)).is_ok()).count();
        assert_eq!(more, CLAIMED_OF_ONE_MAX as usize - 1);
        // All who name nobody are one: what one of them claims is not taken from the others.
        let nobody = |n| Command::Claim(Box::new(Attempt { parties: vec![], ..*attempt(n, 0) }));
        let anonymous = (1_000..1_100).filter(|n| tell(&mut attempts, nobody(*n)).is_ok()).count();
        assert_eq!(anonymous, 100);
        let unproven = Command::Claim(Box::new(Attempt { ending: Ending::Abandoned, ..*attempt(200, 9) }));
        assert_eq!(tell(&mut attempts, unproven), Err(Refusal::BadAttempt), "nothing was refused");
        // Of a whole day as many as are kept, whoever appeals.
        let full = |n: u64| *attempt(n, u128::from(n) + 1_000);
        attempts = Attempts::new(day_of(NOW));
        let kept = (ENTRIES_MAX + CLAIMED_MAX - 1) as u64;
        attempts.entries = (0..kept).map(|n| (full(n).id, full(n))).collect();
        attempts.of = (0..kept).map(|n| (full(n).acting(), (1, 0))).collect();
        assert_eq!(attempts.decide(NOW, &Command::Note(attempt(kept, 5))), Err(Refusal::AttemptsFull));
        tell(&mut attempts, claim(kept, 5)).unwrap();
        assert_eq!(attempts.decide(NOW, &claim(kept + 1, 6)), Err(Refusal::AttemptsFull));
    }

    fn sale(n: u64) -> HoldId {
        HoldId::new(SlotId::new(MuseumId(1), crate::ids::RouteId(1), NOW), n)
    }

    fn refused(ticket: TicketId, reason: ConflictReason, times: u32) -> Command {
        Command::Refuse(Refused { ticket, reason, gate: "north".parse().unwrap(), at: NOW, times, apart: false })
    }

    #[test]
    fn of_a_ticket_that_is_refused_again_and_again_a_handful_is_kept() {
        let (mut attempts, ticket) = (Attempts::new(day_of(NOW)), sale(1).ticket(0));
        let inside = ConflictReason::TicketInside;
        let kept: Vec<u32> = (1..=10_000).filter(|times| tell(&mut attempts, refused(ticket, inside, *times)).is_ok()).collect();
        assert_eq!((kept, attempts.refused_for(ticket, inside), attempts.seq()), (vec![1, 4, 16, 64, 256], 256, 5));
        for times in [1, 64, 256] {
            assert_eq!(tell(&mut attempts, refused(ticket, inside, times)), Err(Refusal::AttemptKnown));
        }
        for times in [0, 2, 3, 8, 1_024] {
            assert_eq!(tell(&mut attempts, refused(ticket, ConflictReason::TicketUsed, times)), Err(Refusal::BadAttempt), "{times}");
        }
        // After a restart whoever counts begins anew, and what was missed shows in the next step.
        tell(&mut attempts, refused(sale(2).ticket(0), inside, 16)).unwrap();
        assert_eq!(tell(&mut attempts, refused(sale(2).ticket(0), inside, 4)), Err(Refusal::AttemptKnown));
        let Command::Refuse(today) = refused(sale(3).ticket(0), inside, 1) else { unreachable!() };
        let tomorrow = Refused { at: NOW.plus_seconds(DAY_S), ..today };
        assert_eq!(tell(&mut attempts, Command::Refuse(tomorrow)), Err(Refusal::BadAttempt));
    }

    #[test]
    fn of_one_sale_and_of_one_day_only_so_many_refused_tickets_are_kept() {
        let mut attempts = Attempts::new(day_of(NOW));
        let reason = ConflictReason::TicketCancelled;
        let kept = (0..100).filter(|number| tell(&mut attempts, refused(sale(7).ticket(*number), reason, 1)).is_ok()).count();
        assert_eq!(kept, REFUSED_OF_SALE_MAX);
        assert_eq!(tell(&mut attempts, refused(sale(7).ticket(100), reason, 1)), Err(Refusal::AttemptsFull));
        // What is kept may go on; its neighbours are others.
        tell(&mut attempts, refused(sale(7).ticket(0), reason, 4)).unwrap();
        for n in [6, 8] {
            tell(&mut attempts, refused(sale(n).ticket(0), reason, 1)).unwrap();
        }
        attempts.refused = (0..REFUSED_MAX as u64).map(|n| ((sale(n).ticket(0), reason), 1)).collect();
        assert_eq!((attempts.check(), attempts.recount()), (Ok(()), Ok(())));
        assert_eq!(attempts.decide(NOW, &refused(sale(50_000).ticket(0), reason, 1)), Err(Refusal::AttemptsFull));
        attempts.refused.insert((sale(50_000).ticket(0), reason), 1);
        assert!(attempts.check().is_err());
        attempts.refused = [((sale(1).ticket(0), reason), TIMES_MAX + 1)].into();
        assert!(attempts.recount().is_err(), "beyond the last step");
    }

    #[test]
    fn of_a_ticket_that_is_refused_elsewhere_one_more_is_kept_between_two_steps() {
        let (mut attempts, ticket) = (Attempts::new(day_of(NOW)), sale(1).ticket(0));
        let inside = ConflictReason::TicketInside;
        let elsewhere = |times| match refused(ticket, inside, times) {
            Command::Refuse(refused) => Command::RefuseElsewhere(refused),
            other => other,
        };
        for (command, answer) in [
            (refused(ticket, inside, 1), Ok(())),
            (elsewhere(1), Err(Refusal::AttemptKnown)),
            (elsewhere(2), Ok(())),
            (elsewhere(2), Err(Refusal::BadAttempt)),
            (elsewhere(3), Err(Refusal::BadAttempt)),
            (refused(ticket, inside, 4), Ok(())),
            (elsewhere(9), Ok(())),
            (elsewhere(16), Ok(())),
        ] {
            assert_eq!(tell(&mut attempts, command.clone()), answer, "{command:?}");
        }
        let all = (17..10_000).filter(|times| tell(&mut attempts, elsewhere(*times)).is_ok()).collect::<Vec<u32>>();
        assert_eq!(all, [17, 64, 65, 256], "and nothing beyond the last step");
    }

    #[test]
    fn a_refusal_hints_at_a_copy_or_at_nothing() {
        use ConflictReason as R;
        let (ticket, later) = (sale(1).ticket(0), NOW.plus_seconds(3 * DAY_S));
        let (early, late) = (slot::Refusal::TooEarly { opens_at: NOW }, slot::Refusal::TooLate { closed_at: NOW });
        let cases = [
            (slot::Refusal::TicketInside { since: NOW }, false, NOW, Some(R::TicketInside)),
            (slot::Refusal::TicketUsed { at: NOW }, false, NOW, Some(R::TicketUsed)),
            (slot::Refusal::TicketCancelled, false, NOW, Some(R::TicketCancelled)),
            (slot::Refusal::TicketMoved { to: None }, true, NOW, Some(R::TicketMoved)),
            (slot::Refusal::CodeOutdated { issue: 2 }, true, NOW, Some(R::CodeOutdated)),
            (early.clone(), true, NOW.plus_seconds(-3 * DAY_S), Some(R::TooEarly)),
            (early, true, NOW, None),
            (late.clone(), true, later, Some(R::TooLate)),
            (late, false, later, None),
            (slot::Refusal::TicketBlocked { reason: "resold".parse().unwrap() }, true, NOW, None),
            (slot::Refusal::TicketMoving, true, NOW, None),
            (slot::Refusal::TicketUnderReview { until: NOW }, true, NOW, None),
            (slot::Refusal::Wait { inside: 5, ceiling: 5 }, true, NOW, None),
            (slot::Refusal::UnknownTicket, true, NOW, None),
        ];
        for (refusal, by_code, at, hint) in cases {
            assert_eq!(hint_of(&refusal, ticket, by_code, at), hint, "{refusal:?} at {at}");
        }
    }
}
