//! The waiting list of a slot: who waits in which order, who has an offer, how entries ended, and who was served before whom. No rules here: they are in
//! `waiting`. Every question that is asked at each command is answered without walking the list.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Channel;
use super::event::{Line, people};
use super::state::{ById, sorted};
use crate::envelope::Digest;
use crate::ids::{HoldId, KeyId, OrderId};
use crate::recall::REMEMBERED_S;
use crate::time::{MICROS_PER_S, Timestamp};

/// How many offers are kept to explain why others were served before a party that is known; of more, those of the parties that joined first are dropped.
const OVERTAKINGS_MAX: usize = 1_000;

/// A party that waits for places, all or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Its entry on the list; an offer is a hold of the same id.
    pub entry: HoldId,
    /// The how-manieth to join the list, from 1: the order of the list.
    pub number: u64,
    /// Who asked for it.
    pub who: KeyId,
    /// Through which channel.
    pub channel: Channel,
    /// For what it waits, at which prices.
    pub lines: Vec<Line>,
    /// The order that it belongs to.
    pub order: Option<OrderId>,
    /// When it joined.
    pub since: Timestamp,
    /// The pseudonym of who buys, if the channel named one.
    pub buyer: Option<Digest>,
    /// The pseudonym of the device at which they sit, if the channel named one.
    pub device: Option<Digest>,
    /// Whether what it becomes is to be reviewed.
    pub asks_review: bool,
    /// How long its places rest if its offer ends without being bought, in milliseconds, if that was drawn.
    pub rest_ms: Option<u32>,
}

impl Waiting {
    /// How many people they are.
    #[must_use]
    pub fn people(&self) -> u32 {
        people(&self.lines)
    }
}

/// An offer as it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// To which entry.
    pub entry: HoldId,
    /// The how-manieth to join the list.
    pub number: u64,
    /// For how many people.
    pub people: u32,
    /// Through which channel.
    pub channel: Channel,
    /// When.
    pub at: Timestamp,
    /// How many places each channel through which somebody waited might have taken just before, in the order of [`Channel::ALL`]: a party that joined earlier was
    /// too large for these then.
    pub free: [u32; Channel::COUNT],
    /// How many parties that joined earlier went on waiting.
    pub passed_over: u32,
}

/// How an entry ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitingEnd {
    /// The party left while it waited.
    Left,
    /// Sales of its channel ended first.
    SalesEnded,
    /// It took its offer: the sale has the same id.
    Taken,
    /// It gave its offer back.
    Declined,
    /// Its offer lapsed.
    Lapsed,
}

/// An entry that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryEnd {
    /// Whose entry it was.
    pub who: KeyId,
    /// How it ended.
    pub how: WaitingEnd,
    /// When.
    pub at: Timestamp,
}

/// What has become of an entry: one of these at a time (SL-9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It waits.
    Waiting(&'a Waiting),
    /// It has an offer: a live hold of the same id.
    Offered(&'a Offer),
    /// It is over; known for a day.
    Ended(&'a EntryEnd),
}

/// The list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct WaitingList {
    /// How many have ever joined.
    joined: u64,
    /// By number: the order of the list.
    waiting: BTreeMap<u64, Waiting>,
    numbers: ById<u64>,
    /// The numbers of those who wait, by channel and size: the first who fits is found without asking all.
    sizes: [BTreeMap<u32, BTreeSet<u64>>; Channel::COUNT],
    people: u32,
    /// How many parties wait for each caller.
    callers: BTreeMap<KeyId, u32>,
    offers: ById<Offer>,
    /// Offers, by number, to parties that joined later than somebody who is known: who waits, has an offer, or was overtaken and has ended.
    overtakings: BTreeMap<u64, Offer>,
    ended: ById<EntryEnd>,
    ended_order: VecDeque<HoldId>,
    /// Of those that have ended, the ones that were overtaken while they waited: the offer that each had, or what would be one if it had been served when it left.
    overtaken: ById<Offer>,
    /// The numbers of the offers and of those that were overtaken. It follows from the two.
    served: BTreeSet<u64>,
}

impl WaitingList {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many people wait.
    pub(super) const fn people(&self) -> u32 {
        self.people
    }

    /// How many parties of a caller wait.
    pub(super) fn parties_of(&self, who: KeyId) -> u32 {
        self.callers.get(&who).copied().unwrap_or(0)
    }

    /// The number of who joins next.
    pub(super) const fn next_number(&self) -> u64 {
        self.joined + 1
    }

    /// Those who wait, in order.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Waiting> {
        self.waiting.values()
    }

    pub(super) fn standing(&self, entry: HoldId) -> Option<Standing<'_>> {
        if let Some(number) = self.numbers.get(&entry) {
            return self.waiting.get(number).map(Standing::Waiting);
        }
        let offered = self.offers.get(&entry).map(Standing::Offered);
        offered.or_else(|| self.ended.get(&entry).map(Standing::Ended))
    }

    /// Whether anybody waits through that channel.
    pub(super) fn waits_through(&self, channel: Channel) -> bool {
        !self.sizes[channel.index()].is_empty()
    }

    /// The entries of a channel, smallest parties first.
    pub(super) fn through(&self, channel: Channel) -> impl Iterator<Item = HoldId> {
        let numbers = self.sizes[channel.index()].values().flatten();
        numbers.filter_map(|number| self.waiting.get(number).map(|party| party.entry))
    }

    /// The entries that have an offer, in the order of joining.
    pub(super) fn offered(&self) -> Vec<HoldId> {
        let mut offers: Vec<(u64, HoldId)> = self.offers.values().map(|offer| (offer.number, offer.entry)).collect();
        offers.sort_unstable();
        offers.into_iter().map(|(_, entry)| entry).collect()
    }

    /// The first in order, after that number, who fits wholly in the places that are free for its channel.
    pub(super) fn first_fitting(&self, free: &[u32; Channel::COUNT], after: u64) -> Option<&Waiting> {
        let fitting = self.sizes.iter().zip(free).flat_map(|(sizes, &free)| sizes.range(..=free));
        let number = fitting.filter_map(|(_, numbers)| numbers.range(after + 1..).next()).min()?;
        self.waiting.get(number)
    }

    /// How many parties, and how many people, wait before that number.
    pub(super) fn ahead_of(&self, number: u64) -> (u32, u32) {
        self.waiting.range(..number).fold((0, 0), |(parties, people), (_, party)| (parties + 1, people + party.people()))
    }

    /// How many parties wait between two numbers, both excluded.
    pub(super) fn between(&self, after: u64, before: u64) -> u32 {
        self.waiting.range(after + 1..before).count() as u32
    }

    /// The offers made to parties that joined after an entry, while it waited; also of one that has its own offer by now, or has ended.
    pub(super) fn overtakers_of(&self, entry: HoldId) -> impl DoubleEndedIterator<Item = &Offer> {
        let waits = self.numbers.get(&entry).map(|number| (*number, Timestamp::MAX));
        let served = || self.offers.get(&entry).or_else(|| self.overtaken.get(&entry)).map(|turn| (turn.number, turn.at));
        let (number, until) = waits.or_else(served).unwrap_or((u64::MAX, Timestamp::MIN));
        self.before(number, until)
    }

    /// The offers made to parties that joined after that number, before that time. Those of the very instant in which it was served itself came after it.
    fn before(&self, number: u64, until: Timestamp) -> impl DoubleEndedIterator<Item = &Offer> {
        self.overtakings.range(number.saturating_add(1)..).map(|(_, offer)| offer).filter(move |offer| offer.at < until)
    }

    /// The offer that an overtaken entry had, or what stands for it; none if it was not overtaken, or is not known any more.
    pub(super) fn turn_of(&self, entry: HoldId) -> Option<&Offer> {
        self.overtaken.get(&entry)
    }

    pub(super) fn join(&mut self, party: Waiting) {
        self.joined = self.joined.max(party.number);
        self.numbers.insert(party.entry, party.number);
        self.count_in(&party);
        self.waiting.insert(party.number, party);
    }

    fn count_in(&mut self, party: &Waiting) {
        let size = party.people();
        self.people += size;
        *self.callers.entry(party.who).or_default() += 1;
        self.sizes[party.channel.index()].entry(size).or_default().insert(party.number);
    }

    /// It is drawn how long the places of an entry's offer rest.
    pub(super) fn rest_drawn(&mut self, entry: HoldId, rest_ms: u32) {
        if let Some(party) = self.numbers.get(&entry).and_then(|number| self.waiting.get_mut(number)) {
            party.rest_ms = Some(rest_ms);
        }
    }

    /// The entry waits for other lines, and keeps its turn.
    pub(super) fn amend(&mut self, entry: HoldId, lines: &[Line]) {
        if let Some(mut party) = self.take(entry) {
            party.lines = lines.to_vec();
            self.join(party);
        }
    }

    /// Takes an entry off the list.
    fn take(&mut self, entry: HoldId) -> Option<Waiting> {
        let party = self.waiting.remove(&self.numbers.remove(&entry)?)?;
        let size = party.people();
        self.people -= size;
        if let Some(parties) = self.callers.get_mut(&party.who) {
            *parties -= 1;
            if *parties == 0 {
                self.callers.remove(&party.who);
            }
        }
        let sizes = &mut self.sizes[party.channel.index()];
        if let Some(numbers) = sizes.get_mut(&size) {
            numbers.remove(&party.number);
            if numbers.is_empty() {
                sizes.remove(&size);
            }
        }
        Some(party)
    }

    /// The entry has an offer now; answers whose it is and for what.
    pub(super) fn offer(&mut self, entry: HoldId, at: Timestamp, free: [u32; Channel::COUNT], passed_over: u32) -> Option<Waiting> {
        let party = self.take(entry)?;
        let offer = Offer { entry, number: party.number, people: party.people(), channel: party.channel, at, free, passed_over };
        self.offers.insert(entry, offer);
        self.served.insert(offer.number);
        self.overtakings.insert(offer.number, offer);
        self.drop_explained();
        Some(party)
    }

    /// The entry is over before it had an offer.
    pub(super) fn leave(&mut self, entry: HoldId, how: WaitingEnd, at: Timestamp) {
        if let Some(party) = self.take(entry) {
            self.end(entry, EntryEnd { who: party.who, how, at });
            // Whoever was served up to then was served while it waited, in this instant too.
            let until = Timestamp::from_micros(at.as_micros().saturating_add(1));
            let (number, people, channel) = (party.number, party.people(), party.channel);
            self.explain(Offer { entry, number, people, channel, at: until, free: [0; Channel::COUNT], passed_over: 0 });
            self.drop_explained();
        }
    }

    /// The hold of that id is over; if it was an offer, so is its entry.
    pub(super) fn hold_ended(&mut self, hold: HoldId, who: KeyId, how: WaitingEnd, at: Timestamp) {
        if let Some(offer) = self.offers.remove(&hold) {
            self.served.remove(&offer.number);
            self.end(hold, EntryEnd { who, how, at });
            self.explain(offer);
            self.drop_explained();
        }
    }

    /// Keeps what is needed to say why others were served before an entry that has ended, if any were.
    fn explain(&mut self, turn: Offer) {
        if self.before(turn.number, turn.at).next().is_some() {
            self.served.insert(turn.number);
            self.overtaken.insert(turn.entry, turn);
        }
    }

    fn end(&mut self, entry: HoldId, end: EntryEnd) {
        while let Some(oldest) = self.ended_order.front() {
            if self.ended.get(oldest).is_some_and(|ended| end.at.micros_since(ended.at) <= REMEMBERED_S * MICROS_PER_S) {
                break;
            }
            self.ended.remove(oldest);
            if let Some(turn) = self.overtaken.remove(oldest) {
                self.served.remove(&turn.number);
            }
            self.ended_order.pop_front();
        }
        self.ended.insert(entry, end);
        self.ended_order.push_back(entry);
    }

    /// Drops offers that explain nothing any more: nobody who joined earlier is known.
    fn drop_explained(&mut self) {
        let waits = self.waiting.first_key_value().map(|(number, _)| *number);
        let first = waits.into_iter().chain(self.served.first().copied()).min().unwrap_or(u64::MAX);
        while self.overtakings.len() > OVERTAKINGS_MAX || self.overtakings.first_key_value().is_some_and(|(number, _)| *number <= first) {
            self.overtakings.pop_first();
        }
    }

    /// SL-9 in O(1), as far as counters tell: no entry waits twice, no offer is without a hold.
    pub(super) fn is_sound(&self, holds: usize) -> bool {
        self.numbers.len() == self.waiting.len() && self.offers.len() <= holds
    }

    /// SL-9: whether every entry waits, or has an offer, or has ended, and is counted as what it is. `lives` and `knows` say whether the slot has a live hold of
    /// an id, and whether it has a hold or sale of it at all.
    pub(super) fn recount(&self, lives: impl Fn(HoldId) -> bool, knows: impl Fn(HoldId) -> bool) -> bool {
        let mut counted = Self::default();
        self.waiting.values().for_each(|party| counted.count_in(party));
        let waits = |(number, party): (&u64, &Waiting)| {
            let elsewhere = self.offers.contains_key(&party.entry) || self.ended.contains_key(&party.entry) || knows(party.entry);
            *number == party.number && *number <= self.joined && self.numbers.get(&party.entry) == Some(number) && !elsewhere
        };
        self.numbers.len() == self.waiting.len()
            && (&counted.sizes, counted.people, &counted.callers) == (&self.sizes, self.people, &self.callers)
            && self.waiting.iter().all(waits)
            && self.offers.keys().all(|entry| lives(*entry) && !self.ended.contains_key(entry))
            && self.ended.keys().all(|entry| !lives(*entry))
            && self.overtaken.keys().all(|entry| self.ended.contains_key(entry))
            && self.served.len() == self.offers.len() + self.overtaken.len()
    }
}

/// The written form: what follows from the rest is left out. Behind the offers stand those of entries that have ended and were overtaken.
#[derive(Serialize, Deserialize)]
struct Written<W, O> {
    joined: u64,
    waiting: Vec<W>,
    offers: Vec<O>,
    overtakings: Vec<O>,
    ended: Vec<(HoldId, EntryEnd)>,
}

impl Serialize for WaitingList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ended = self.ended_order.iter().filter_map(|entry| self.ended.get(entry).map(|end| (*entry, *end))).collect();
        let offers = [sorted(&self.offers), sorted(&self.overtaken)].into_iter().flatten().map(|(_, offer)| offer).collect();
        let (waiting, overtakings) = (self.waiting.values().collect(), self.overtakings.values().collect());
        Written { joined: self.joined, waiting, offers, overtakings, ended }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for WaitingList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::<Waiting, Offer>::deserialize(deserializer)?;
        let ended: ById<EntryEnd> = written.ended.iter().copied().collect();
        let served = written.offers.iter().map(|offer| offer.number).collect();
        let (overtaken, offers): (Vec<_>, Vec<_>) =
            written.offers.into_iter().map(|offer| (offer.entry, offer)).partition(|(entry, _)| ended.contains_key(entry));
        let mut list = Self {
            joined: written.joined,
            offers: offers.into_iter().collect(),
            overtaken: overtaken.into_iter().collect(),
            served,
            overtakings: written.overtakings.into_iter().map(|offer| (offer.number, offer)).collect(),
            ended_order: written.ended.iter().map(|(entry, _)| *entry).collect(),
            ended,
            ..Self::default()
        };
        written.waiting.into_iter().for_each(|party| list.join(party));
        Ok(list)
    }
}
