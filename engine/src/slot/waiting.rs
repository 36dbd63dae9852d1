//! Rules of the waiting list. Parties wait in the order in which they joined, each for all its places or none. Whenever places are free, the first in order that
//! fits wholly in what its channel may take gets them as an offer: a live hold with the entry's id, counted as taken at once, that lapses like any hold, but not
//! while staff have closed the slot: when it reopens, whoever has an offer has as long for it as for a new one. A
//! larger party before it is passed over and keeps its place; the event says what was free, and so why. Nobody who comes later takes places that somebody who
//! waits could use. A party that becomes smaller keeps its place too, and is the next to be served if it fits by then.
//!
//! Offers are made when they are due, like expiries: the shell asks before each command and when the clock says so.

use super::event::{Amended, Event, Line, OfferRenewed, Offered, Waited, WaitingEnded, WaitingLeft};
use super::hold::{are_of_somebody, fewer_of};
use super::waiting_list::{Standing, Waiting};
use super::{Places, Refusal, Slot};
use crate::channel::Channel;
use crate::ids::{Code, HoldId, KeyId, PaymentId};
use crate::time::Timestamp;

/// The most parties that wait for one slot.
const WAITING_MAX: usize = 1_000;
/// The most of them of one caller, so that none takes the list from all others.
const WAITING_OF_ONE_MAX: u32 = 500;
/// The most offers or endings of one record, so that a record stays small; the shell asks again while more are due.
const DUE_MAX: usize = 256;

impl Slot {
    /// A party may join while its channel sells, its places are not to be had, and the slot has that many at all for the channel. A slot that staff closed takes no more
    /// parties; those who wait already stay, and are the first to be served when it reopens.
    pub(super) fn wait(&self, now: Timestamp, entry: HoldId, who: KeyId, channel: Channel, lines: &[Line]) -> Result<Vec<Event>, Refusal> {
        let party = self.party(entry, lines)?;
        self.on_sale(now, channel)?;
        let (available, limited_by) = self.left_for(now, channel);
        if party <= available {
            return Err(Refusal::PlacesAvailable { available });
        }
        // An honest no: not even an empty slot would have these places.
        if party > self.places.most_before(channel, self.sale_ends_at(channel)) {
            return Err(Refusal::NotEnoughPlaces { asked: party, available, limited_by });
        }
        let list = &self.ledger.list;
        if list.len() >= WAITING_MAX {
            return Err(Refusal::WaitingListFull { max: WAITING_MAX as u32 });
        }
        if list.parties_of(who) >= WAITING_OF_ONE_MAX {
            return Err(Refusal::TooManyWaiting { max: WAITING_OF_ONE_MAX });
        }
        let (number, parties_ahead, people_ahead) = (list.next_number(), list.len() as u32, list.people());
        Ok(vec![Event::Waited(Waited { entry, number, channel, lines: lines.to_vec(), parties_ahead, people_ahead })])
    }

    /// Who has an offer leaves by giving it back.
    pub(super) fn leave_waiting(&self, now: Timestamp, entry: HoldId, owner: Option<KeyId>) -> Result<Vec<Event>, Refusal> {
        let is_theirs = |who: KeyId| owner.is_none_or(|owner| owner == who);
        match self.ledger.list.standing(entry) {
            Some(Standing::Waiting(party)) if is_theirs(party.who) => Ok(vec![Event::WaitingLeft(WaitingLeft { entry })]),
            Some(Standing::Offered(_)) => self.release(now, entry, owner, None).map_err(of_entry),
            Some(Standing::Ended(end)) if is_theirs(end.who) => Err(Refusal::EntryEnded { how: end.how, at: end.at }),
            Some(Standing::Waiting(_) | Standing::Ended(_)) | None => Err(Refusal::UnknownEntry),
        }
    }

    /// A party that waits becomes smaller where it stands: nobody's turn changes by that. Who has an offer keeps fewer places of it, as of any hold.
    pub(super) fn wait_for_fewer(
        &self,
        now: Timestamp,
        entry: HoldId,
        counts: &[(Code, u16)],
        owner: Option<KeyId>,
        over: Option<PaymentId>,
    ) -> Result<Vec<Event>, Refusal> {
        are_of_somebody(counts)?;
        let is_theirs = |who: KeyId| owner.is_none_or(|owner| owner == who);
        match self.ledger.list.standing(entry) {
            Some(Standing::Waiting(party)) if is_theirs(party.who) => {
                Ok(vec![Event::Amended(Amended { hold: entry, lines: fewer_of(&party.lines, counts)? })])
            }
            Some(Standing::Offered(_)) => self.shrink(now, entry, counts, owner, over).map_err(of_entry),
            Some(Standing::Ended(end)) if is_theirs(end.who) => Err(Refusal::EntryEnded { how: end.how, at: end.at }),
            Some(Standing::Waiting(_) | Standing::Ended(_)) | None => Err(Refusal::UnknownEntry),
        }
    }

    /// What is due of the waiting list: who waited in vain is told so, then places are offered.
    pub(super) fn serve(&self, now: Timestamp) -> Vec<Event> {
        let list = &self.ledger.list;
        let over = Channel::ALL.into_iter().filter(|channel| now >= self.sale_ends_at(*channel));
        let ended: Vec<Event> =
            over.flat_map(|channel| list.through(channel)).take(DUE_MAX).map(|entry| Event::WaitingEnded(WaitingEnded { entry })).collect();
        if !ended.is_empty() {
            return ended;
        }
        let (mut offers, mut passed_over, mut before) = (Vec::new(), 0, 0);
        self.offer(now, DUE_MAX, |party, free| {
            passed_over += list.between(before, party.number);
            before = party.number;
            let expires_at = self.hold_until(now, party.channel);
            offers.push(Event::Offered(Offered { entry: party.entry, expires_at, free, passed_over }));
        });
        offers
    }

    /// The offers of a slot that reopens begin anew, but those that last longer anyway: nobody could take them while it was closed.
    pub(super) fn renew_offers(&self, now: Timestamp) -> Vec<Event> {
        let renewed = |entry: HoldId| {
            let hold = self.ledger.holds.get(&entry)?;
            let expires_at = self.hold_until(now, hold.channel);
            (hold.expires_at < expires_at).then_some(Event::OfferRenewed(OfferRenewed { entry, expires_at }))
        };
        self.ledger.list.offered().into_iter().filter_map(renewed).collect()
    }

    /// When [`Slot::serve`] next has something to say if nothing else happens: at once, when a quota ends, when a reading goes stale, or when sales end.
    pub(super) fn serve_at(&self) -> Option<Timestamp> {
        let (list, places, now) = (&self.ledger.list, &self.places, self.past.last_at());
        let end = Channel::ALL.into_iter().filter(|channel| list.waits_through(*channel)).map(|channel| self.sale_ends_at(channel)).min()?;
        if end <= now || self.somebody_fits(now) {
            // Whatever the clock says: it may be behind the last record, after somebody has set it right.
            return Some(Timestamp::MIN);
        }
        let limited = Channel::ALL.into_iter().filter(|channel| places.quotas[channel.index()].is_set());
        let capped = places.live.filter(|live| live.sellable.is_some());
        let moments = limited.map(|channel| places.release_at(channel)).chain(capped.map(|live| live.until));
        moments.filter(|moment| now < *moment && *moment < end && self.somebody_fits(*moment)).min().or(Some(end))
    }

    /// How many places a channel may take beside what is due to those who wait, and what holds back the rest.
    pub(super) fn left_for(&self, now: Timestamp, channel: Channel) -> (u32, super::LimitedBy) {
        if self.ledger.list.is_empty() {
            return self.places.available(channel, now);
        }
        self.offer(now, usize::MAX, |_, _| {}).available(channel, now)
    }

    /// Goes through the list once, from the front, and tells `offered` of each party that is served with what was free for each channel just before. Answers
    /// the places as they are then.
    fn offer(&self, now: Timestamp, limit: usize, mut offered: impl FnMut(&Waiting, [u32; Channel::COUNT])) -> Places {
        let (mut places, mut after) = (self.places, 0);
        for _ in 0..limit {
            let free = self.free(&places, now);
            let Some(party) = self.ledger.list.first_fitting(&free, after) else { break };
            offered(party, free);
            // What is free only shrinks, so that nobody passed over once can fit later in the same round.
            places.held[party.channel.index()] += party.people();
            after = party.number;
        }
        places
    }

    fn somebody_fits(&self, now: Timestamp) -> bool {
        self.ledger.list.first_fitting(&self.free(&self.places, now), 0).is_some()
    }

    /// How many places each channel may take; 0 for one that does not sell, or through which nobody waits.
    fn free(&self, places: &Places, now: Timestamp) -> [u32; Channel::COUNT] {
        let asks = |channel| self.ledger.list.waits_through(channel) && self.on_sale(now, channel).is_ok();
        Channel::ALL.map(|channel| if asks(channel) { places.available(channel, now).0 } else { 0 })
    }
}

/// What is said of an offer, said of its entry.
fn of_entry(refusal: Refusal) -> Refusal {
    if refusal == Refusal::UnknownHold { Refusal::UnknownEntry } else { refusal }
}
