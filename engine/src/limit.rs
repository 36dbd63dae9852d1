//! What one buyer may have at one museum on one day, over all its slots. No slot can decide that alone: the shell counts what buyers have, in the order in which records
//! are written, and sets aside what is asked before it asks the slot, so that two who ask at once cannot both have the last of it. Here is the rule, and the count.

use std::collections::{BTreeMap, HashMap};

use jiff::civil::Date;

use crate::calendar;
use crate::channel::Channel;
use crate::envelope::Digest;
use crate::ids::{HoldId, MuseumId, SlotId};
use crate::record::Record;
use crate::slot::{Event, Limits, Refusal, is_limited, people};

/// A buyer at a museum on a day in Rome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuyerDay {
    /// The day of the slots.
    pub day: Date,
    /// The museum.
    pub museum: MuseumId,
    /// The buyer's pseudonym.
    pub buyer: Digest,
}

impl BuyerDay {
    /// A buyer on the day of a slot.
    #[must_use]
    pub fn of(slot: SlotId, buyer: Digest) -> Self {
        Self { day: calendar::local_day(slot.start()), museum: slot.museum(), buyer }
    }
}

/// Whether a buyer who has so many people, and for whom so many more are set aside, may have more.
///
/// # Errors
/// `too_many_for_day`.
pub fn may_have(limits: &Limits, channel: Channel, has: u32, more: u32) -> Result<(), Refusal> {
    match limits.day_max.filter(|_| is_limited(channel)) {
        Some(max) if has.saturating_add(more) > u32::from(max) => Err(Refusal::TooManyForDay { max, has }),
        _ => Ok(()),
    }
}

/// What buyers have, by day: a fold over the records of all slots, each stream in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DayCounts {
    has: BTreeMap<BuyerDay, u32>,
    /// Whose the holds and sales are, and for how many people each still is.
    whose: HashMap<HoldId, (BuyerDay, u32)>,
}

impl DayCounts {
    /// How many people a buyer has.
    #[must_use]
    pub fn has(&self, buyer: &BuyerDay) -> u32 {
        self.has.get(buyer).copied().unwrap_or(0)
    }

    /// Takes in what was written of a slot.
    pub fn take(&mut self, slot: SlotId, record: &Record<Event>) {
        let buyer = record.envelope.as_ref().and_then(|envelope| envelope.buyer()).map(|buyer| BuyerDay::of(slot, buyer));
        for event in &record.events {
            match event {
                Event::Held(held) if is_limited(held.channel) => self.set(held.hold, buyer, people(&held.lines)),
                Event::Sold(sold) if is_limited(sold.channel) && !self.whose.contains_key(&sold.sale) => {
                    self.set(sold.sale, buyer, people(&sold.lines));
                }
                Event::Arrived(arrived) if is_limited(arrived.channel) => {
                    self.set(arrived.sale, arrived.buyer.map(|buyer| BuyerDay::of(slot, buyer)), people(&arrived.lines));
                }
                Event::Amended(amended) => {
                    let buyer = self.whose.get(&amended.hold).map(|(buyer, _)| *buyer);
                    self.set(amended.hold, buyer, people(&amended.lines));
                }
                Event::Released(released) => self.less(released.hold, u32::MAX),
                Event::Expired(expired) => self.less(expired.hold, u32::MAX),
                Event::Cancelled(cancelled) => self.less(cancelled.sale, cancelled.tickets.len() as u32),
                Event::MovedOut(moved) => self.less(moved.sale, moved.tickets.len() as u32),
                _ => {}
            }
        }
    }

    /// What was read back of a hold or sale, if nothing newer is known of it.
    pub fn seed(&mut self, hold: HoldId, buyer: BuyerDay, people: u32) {
        if people > 0 && !self.whose.contains_key(&hold) {
            self.set(hold, Some(buyer), people);
        }
    }

    /// Forgets days before `day`.
    pub fn forget(&mut self, day: Date) {
        self.has.retain(|buyer, _| buyer.day >= day);
        self.whose.retain(|_, (buyer, _)| buyer.day >= day);
    }

    fn set(&mut self, hold: HoldId, buyer: Option<BuyerDay>, people: u32) {
        self.less(hold, u32::MAX);
        let Some(buyer) = buyer else { return };
        *self.has.entry(buyer).or_insert(0) += people;
        self.whose.insert(hold, (buyer, people));
    }

    fn less(&mut self, hold: HoldId, people: u32) {
        let Some((buyer, had)) = self.whose.get_mut(&hold) else { return };
        let (buyer, gone) = (*buyer, people.min(*had));
        *had -= gone;
        if *had == 0 {
            self.whose.remove(&hold);
        }
        if let Some(has) = self.has.get_mut(&buyer) {
            *has = has.saturating_sub(gone);
            if *has == 0 {
                self.has.remove(&buyer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Envelope, Party, PartyKind};
    use crate::ids::{KeyId, RouteId};
    use crate::money::Cents;
    use crate::slot::{CancelCause, Cancelled, Held, Line, Released, Settlement, Sold};
    use crate::tariff::Proof;
    use crate::time::Timestamp;

    fn lines(count: u16) -> Vec<Line> {
        vec![Line { category: "full".parse().unwrap(), count, price_cents: Cents::ZERO, proof: Proof::None }]
    }

    fn record(buyer: Option<u128>, event: Event) -> Record<Event> {
        let parties = buyer.iter().map(|n| Party { kind: PartyKind::Buyer, pseudonym: Digest(*n) }).collect();
        let envelope = Envelope { who: KeyId(1), key: Digest(1), body: Digest(1), parties, assessment: None, order: None };
        Record { seq: 1, at: Timestamp::from_seconds(0), envelope: Some(envelope), events: vec![event] }
    }

    #[test]
    fn a_day_is_counted_over_slots_and_given_back() {
        let slot = |hour: i64| SlotId::new(MuseumId(1), RouteId(1), Timestamp::from_seconds(1_780_300_800 + hour * 3_600));
        let hold = |hour, n| HoldId::new(slot(hour), n);
        let held = |hour, n, count| {
            let event = Event::Held(Held { hold: hold(hour, n), channel: Channel::Web, lines: lines(count), expires_at: Timestamp::MAX });
            (slot(hour), record(Some(7), event))
        };
        let mut counts = DayCounts::default();
        let (day, tomorrow) = (BuyerDay::of(slot(1), Digest(7)), BuyerDay::of(slot(25), Digest(7)));
        for (slot, record) in [held(1, 1, 2), held(2, 2, 3), held(25, 3, 4)] {
            counts.take(slot, &record);
        }
        assert_eq!((counts.has(&day), counts.has(&tomorrow)), (5, 4));
        // A sale of a hold is not counted twice, whoever confirms it.
        let sold = Sold { sale: hold(2, 2), held: true, channel: Channel::Web, lines: lines(3), settlement: Settlement::Free, contact: None };
        counts.take(slot(2), &record(None, Event::Sold(sold)));
        counts.take(slot(1), &record(None, Event::Released(Released { hold: hold(1, 1) })));
        assert_eq!(counts.has(&day), 3);
        let cancelled = Cancelled { sale: hold(2, 2), tickets: vec![0], refund_cents: Cents::ZERO, cause: CancelCause::Visitor };
        counts.take(slot(2), &record(None, Event::Cancelled(cancelled)));
        assert_eq!(counts.has(&day), 2);
        let limits = Limits { day_max: Some(5), ..Limits::NONE };
        assert_eq!(may_have(&limits, Channel::Web, 2, 3), Ok(()));
        assert_eq!(may_have(&limits, Channel::Web, 2, 4), Err(Refusal::TooManyForDay { max: 5, has: 2 }));
        assert_eq!(may_have(&limits, Channel::BoxOffice, 2, 4), Ok(()));
        counts.forget(tomorrow.day);
        assert_eq!((counts.has(&day), counts.has(&tomorrow)), (0, 4));
    }
}
