//! What one buyer may have at one museum on one day, and how many holds may be open at once, over all its slots. No slot can decide that alone: the shell counts what
//! buyers have, in the order in which records are written, and sets aside what is asked before it asks the slot, so that two who ask at once cannot both have the last of
//! it. Here are the rules, and the counts.
//!
//! What counts is what counts in a slot (`slot/buyer.rs`): live holds, places that are waited for, offers, and tickets that stand. The count follows from the records
//! of the slots alone, so what a start reads back is what was counted before.

use std::collections::HashMap;

use jiff::civil::Date;

use crate::calendar;
use crate::envelope::{Digest, Envelope};
use crate::ids::{HoldId, MuseumId, SlotId};
use crate::record::Record;
use crate::slot::{Command, Event, Keeper, Limits, Refusal, Slot, TicketState, is_limited, people};

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

/// Whether a buyer who has so many people, and for whom so many more are set aside, may have more. Asked only of what [`DayCounts::asked`] says is limited.
///
/// # Errors
/// `too_many_for_day`.
pub fn may_have(limits: &Limits, has: u32, more: u32) -> Result<(), Refusal> {
    match limits.day_max {
        Some(max) if has.saturating_add(more) > u32::from(max) => Err(Refusal::TooManyForDay { max, has }),
        _ => Ok(()),
    }
}

/// A buyer at a museum, whenever the visit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuyerAt {
    /// The museum.
    pub museum: MuseumId,
    /// The buyer's pseudonym.
    pub buyer: Digest,
}

impl BuyerAt {
    /// A buyer at the museum of a slot.
    #[must_use]
    pub const fn of(slot: SlotId, buyer: Digest) -> Self {
        Self { museum: slot.museum(), buyer }
    }
}

/// Whether a buyer who has so many open holds, and for whom so many more are set aside, may have one more. Asked only of what [`OpenHolds::asked`] says is one.
///
/// # Errors
/// `too_many_open_holds`.
pub fn may_hold(limits: &Limits, open: u32) -> Result<(), Refusal> {
    match limits.holds_max {
        Some(max) if open >= u32::from(max) => Err(Refusal::TooManyOpenHolds { max }),
        _ => Ok(()),
    }
}

/// The live holds of buyers, with their entries of waiting lists, by museum: a fold over the records of all slots, each stream in its order. As in a slot
/// (`slot/buyer.rs`), of whoever was named when places were asked for, or with the payment that keeps them, through the channels in which buyers are limited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenHolds {
    has: HashMap<BuyerAt, u32>,
    /// Whose each of them is; nobody's yet, if nobody was named.
    of: HashMap<HoldId, Option<Digest>>,
}

impl OpenHolds {
    /// How many a buyer has.
    #[must_use]
    pub fn has(&self, buyer: &BuyerAt) -> u32 {
        self.has.get(buyer).copied().unwrap_or(0)
    }

    /// For whom a command asks for one more, by every pseudonym that is named; nobody if it does not, or for nobody who is limited.
    #[must_use]
    pub fn asked(&self, envelope: &Envelope, command: &Command) -> Vec<Digest> {
        match command.unnamed() {
            Command::Hold { channel, .. } | Command::HoldFor { channel, .. } | Command::Wait { channel, .. } if is_limited(*channel) => {
                envelope.buyers().collect()
            }
            // Who is named with a payment for a hold of nobody has one more from then on.
            Command::Bind { hold, .. } | Command::Prolong { hold, cause: Keeper::Payment(_), .. } if self.of.get(hold) == Some(&None) => {
                envelope.buyers().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Takes in what was written of a slot.
    pub fn take(&mut self, record: &Record<Event>) {
        let named = record.envelope.as_ref().and_then(Envelope::buyer);
        for event in &record.events {
            match event {
                Event::Held(held) if is_limited(held.channel) => self.open(held.hold, named),
                // An offer is a hold of the entry's id, so that nothing changes when it is made.
                Event::Waited(waited) if is_limited(waited.channel) => self.open(waited.entry, named),
                Event::Prolonged(prolonged) if matches!(prolonged.cause, Keeper::Payment(_)) && self.of.get(&prolonged.hold) == Some(&None) => {
                    self.open(prolonged.hold, named);
                }
                Event::Sold(sold) => self.close(sold.sale),
                Event::Released(released) => self.close(released.hold),
                Event::Expired(expired) => self.close(expired.hold),
                Event::WaitingLeft(left) => self.close(left.entry),
                Event::WaitingEnded(ended) => self.close(ended.entry),
                _ => {}
            }
        }
    }

    /// Counts a slot anew, as it is: for one that was read back from the disk with records of which nobody was told.
    pub fn put(&mut self, slot: &Slot) {
        let known: Vec<HoldId> = self.of.keys().filter(|hold| hold.slot() == slot.id()).copied().collect();
        known.into_iter().for_each(|hold| self.close(hold));
        for (id, hold) in slot.holds().filter(|(_, hold)| is_limited(hold.channel)) {
            self.open(*id, hold.buyer);
        }
        for party in slot.waiting().filter(|party| is_limited(party.channel)) {
            self.open(party.entry, party.buyer);
        }
    }

    /// Forgets slots of days before `day`, in which nothing is open any more, whatever was written of them.
    pub fn forget(&mut self, day: Date) {
        let from = calendar::instant(day.at(0, 0, 0, 0));
        let gone: Vec<HoldId> = self.of.keys().filter(|hold| hold.slot().start() < from).copied().collect();
        gone.into_iter().for_each(|hold| self.close(hold));
    }

    fn open(&mut self, hold: HoldId, buyer: Option<Digest>) {
        self.close(hold);
        self.of.insert(hold, buyer);
        if let Some(buyer) = buyer {
            *self.has.entry(BuyerAt::of(hold.slot(), buyer)).or_insert(0) += 1;
        }
    }

    fn close(&mut self, hold: HoldId) {
        let Some(Some(buyer)) = self.of.remove(&hold) else { return };
        let buyer = BuyerAt::of(hold.slot(), buyer);
        if let Some(has) = self.has.get_mut(&buyer) {
            *has = has.saturating_sub(1);
            if *has == 0 {
                self.has.remove(&buyer);
            }
        }
    }
}

/// What is counted of a hold, an entry of a waiting list, or a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    /// The day of its slot.
    day: Date,
    /// Whose it is; nobody's yet, if it is a hold or an entry and nobody was named.
    buyer: Option<Digest>,
    /// For how many people it still is.
    people: u32,
    /// Whether a payment keeps its places: money for them may come when they are gone.
    for_payment: bool,
}

/// What buyers have, by day: a fold over the records of all slots, each stream in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DayCounts {
    has: HashMap<BuyerDay, u32>,
    /// Holds, entries of waiting lists and sales, through the channels in which buyers are limited. Of those that are over, only what a payment kept stays, with nobody
    /// in it: whose it was.
    of: HashMap<HoldId, Counted>,
}

impl DayCounts {
    /// How many people a buyer has.
    #[must_use]
    pub fn has(&self, buyer: &BuyerDay) -> u32 {
        self.has.get(buyer).copied().unwrap_or(0)
    }

    /// Whose a hold, an entry or a sale is, or was, if a payment kept it and it ended without a sale.
    #[must_use]
    pub fn buyer_of(&self, hold: HoldId) -> Option<Digest> {
        self.of.get(&hold)?.buyer
    }

    /// For whom a command asks for more people on the day of its slot, by every pseudonym that is named, and for how many; none if it asks for nothing that is limited.
    /// What is under way for a group, by [`Command::Amend`], is not.
    #[must_use]
    pub fn asked(&self, envelope: &Envelope, command: &Command) -> Option<(Vec<Digest>, u32)> {
        let (buyers, more): (Vec<Digest>, u32) = match command.unnamed() {
            Command::Hold { channel, lines, .. }
            | Command::HoldFor { channel, lines, .. }
            | Command::SellDirect { channel, lines, .. }
            | Command::Wait { channel, lines, .. }
                if is_limited(*channel) =>
            {
                (envelope.buyers().collect(), people(lines))
            }
            // Who is named when the hold is confirmed, or when its payment begins, and not before, has had nothing counted of it.
            Command::Sell { hold, .. }
            | Command::SellPaid { hold, .. }
            | Command::Bind { hold, .. }
            | Command::Prolong { hold, cause: Keeper::Payment(_), .. } => {
                let unnamed = self.of.get(hold).filter(|counted| counted.buyer.is_none())?;
                (envelope.buyers().collect(), unnamed.people)
            }
            // On their own day tickets move freely, if they count there already: those of a route without a limit of its own do not.
            Command::Arrive { arrived, .. } if is_limited(arrived.channel) && !self.counts_on(arrived.from, arrived.sale.slot()) => {
                (arrived.buyer.into_iter().flat_map(|buyer| envelope.also_known(buyer)).collect(), people(&arrived.lines))
            }
            _ => return None,
        };
        (more > 0 && !buyers.is_empty()).then_some((buyers, more))
    }

    /// Whether a sale counts on the day of a slot.
    fn counts_on(&self, sale: HoldId, slot: SlotId) -> bool {
        is_same_day(sale.slot(), slot) && self.of.contains_key(&sale)
    }

    /// Takes in what was written of a slot.
    pub fn take(&mut self, record: &Record<Event>) {
        let named = record.envelope.as_ref().and_then(Envelope::buyer);
        for event in &record.events {
            match event {
                Event::Held(held) if is_limited(held.channel) => self.set(held.hold, named, people(&held.lines), false),
                // An offer is a hold of the entry's id for as many people, so that nothing changes when it is made.
                Event::Waited(waited) if is_limited(waited.channel) => self.set(waited.entry, named, people(&waited.lines), false),
                Event::Sold(sold) if is_limited(sold.channel) => self.sold(sold.sale, self.buyer_of(sold.sale).or(named), people(&sold.lines)),
                Event::Arrived(arrived) if is_limited(arrived.channel) => self.sold(arrived.sale, arrived.buyer, people(&arrived.lines)),
                Event::Amended(amended) => {
                    if let Some(counted) = self.of.get(&amended.hold).copied() {
                        self.set(amended.hold, counted.buyer, people(&amended.lines), counted.for_payment);
                    }
                }
                Event::Prolonged(prolonged) if matches!(prolonged.cause, Keeper::Payment(_)) => {
                    if let Some(counted) = self.of.get(&prolonged.hold).copied() {
                        self.set(prolonged.hold, counted.buyer.or(named), counted.people, true);
                    }
                }
                Event::Released(released) => self.end(released.hold),
                Event::Expired(expired) => self.end(expired.hold),
                Event::WaitingLeft(left) => self.end(left.entry),
                Event::WaitingEnded(ended) => self.end(ended.entry),
                Event::Cancelled(cancelled) => self.less(cancelled.sale, cancelled.tickets.len() as u32),
                Event::MovedOut(moved) => self.less(moved.sale, moved.tickets.len() as u32),
                _ => {}
            }
        }
    }

    /// Counts a slot anew, as it is: for one that was read back from the disk with records of which nobody was told.
    pub fn put(&mut self, slot: &Slot) {
        let known: Vec<HoldId> = self.of.keys().filter(|hold| hold.slot() == slot.id()).copied().collect();
        known.into_iter().for_each(|hold| self.end(hold));
        for (id, hold) in slot.holds().filter(|(_, hold)| is_limited(hold.channel)) {
            self.set(*id, hold.buyer, people(&hold.lines), matches!(hold.kept_for, Some(Keeper::Payment(_))));
        }
        for party in slot.waiting().filter(|party| is_limited(party.channel)) {
            self.set(party.entry, party.buyer, party.people(), false);
        }
        for (id, sale) in slot.sales().filter(|(_, sale)| is_limited(sale.channel)) {
            let stands = |state: TicketState| !matches!(state, TicketState::Cancelled | TicketState::Moved);
            let standing = sale.tickets.iter().filter(|ticket| stands(ticket.state)).count() as u32;
            if standing > 0 {
                self.sold(*id, sale.buyer, standing);
            }
        }
    }

    /// Forgets days before `day`.
    pub fn forget(&mut self, day: Date) {
        self.has.retain(|buyer, _| buyer.day >= day);
        self.of.retain(|_, counted| counted.day >= day);
    }

    fn set(&mut self, hold: HoldId, buyer: Option<Digest>, people: u32, for_payment: bool) {
        self.remove(hold);
        let day = calendar::local_day(hold.slot().start());
        if let Some(buyer) = buyer {
            *self.has.entry(BuyerDay { day, museum: hold.slot().museum(), buyer }).or_insert(0) += people;
        }
        self.of.insert(hold, Counted { day, buyer, people, for_payment });
    }

    /// A sale for which nobody is named is nobody's for good.
    fn sold(&mut self, sale: HoldId, buyer: Option<Digest>, people: u32) {
        if buyer.is_some() {
            self.set(sale, buyer, people, false);
        } else {
            self.remove(sale);
        }
    }

    /// A hold or an entry is over, without a sale.
    fn end(&mut self, hold: HoldId) {
        if let Some(ended) = self.remove(hold).filter(|ended| ended.for_payment && ended.buyer.is_some()) {
            self.of.insert(hold, Counted { people: 0, ..ended });
        }
    }

    /// Some tickets of a sale stand no more.
    fn less(&mut self, sale: HoldId, people: u32) {
        let Some(counted) = self.of.get_mut(&sale) else { return };
        let gone = people.min(counted.people);
        counted.people -= gone;
        let left = *counted;
        if left.people == 0 {
            self.of.remove(&sale);
        }
        self.discount(sale, left, gone);
    }

    fn remove(&mut self, hold: HoldId) -> Option<Counted> {
        let counted = self.of.remove(&hold)?;
        self.discount(hold, counted, counted.people);
        Some(counted)
    }

    fn discount(&mut self, hold: HoldId, counted: Counted, people: u32) {
        let Some(buyer) = counted.buyer else { return };
        let buyer = BuyerDay { day: counted.day, museum: hold.slot().museum(), buyer };
        if let Some(has) = self.has.get_mut(&buyer) {
            *has = has.saturating_sub(people);
            if *has == 0 {
                self.has.remove(&buyer);
            }
        }
    }
}

fn is_same_day(one: SlotId, other: SlotId) -> bool {
    one.museum() == other.museum() && calendar::local_day(one.start()) == calendar::local_day(other.start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Aggregate;
    use crate::channel::Channel;
    use crate::envelope::{Party, PartyKind};
    use crate::ids::{KeyId, PaymentId, RouteId};
    use crate::money::Cents;
    use crate::slot::{
        Amended, Arrived, CancelCause, Cancelled, Expired, Held, Line, Offered, Opening, Policy, Prolonged, Quota, Released, Settlement, Sold,
        Waited, WaitingEnded, WaitingLeft,
    };
    use crate::tariff::Proof;
    use crate::time::{DAY_S, Timestamp};

    const FIRST: i64 = 1_780_300_800;

    fn slot(hour: i64) -> SlotId {
        SlotId::new(MuseumId(1), RouteId(1), Timestamp::from_seconds(FIRST + hour * 3_600))
    }

    fn hold(hour: i64, n: u64) -> HoldId {
        HoldId::new(slot(hour), n)
    }

    fn lines(count: u16) -> Vec<Line> {
        vec![Line { category: "full".parse().unwrap(), count, price_cents: Cents::ZERO, proof: Proof::None }]
    }

    fn by(key: u128, buyer: Option<u128>) -> Envelope {
        let parties = buyer.iter().map(|n| Party { kind: PartyKind::Buyer, pseudonym: Digest(*n) }).collect();
        Envelope { who: KeyId(1), key: Digest(key), body: Digest(key), parties, assessment: None, order: None, formerly: Vec::new() }
    }

    fn record(buyer: Option<u128>, event: Event) -> Record<Event> {
        Record { seq: 1, at: Timestamp::from_seconds(0), envelope: Some(by(1, buyer)), events: vec![event] }
    }

    fn held(hold: HoldId, count: u16) -> Event {
        Event::Held(Held { hold, channel: Channel::Web, lines: lines(count), expires_at: Timestamp::MAX })
    }

    fn waited(entry: HoldId, count: u16) -> Event {
        let (parties_ahead, people_ahead) = (0, 0);
        Event::Waited(Waited { entry, number: 1, channel: Channel::Web, lines: lines(count), parties_ahead, people_ahead })
    }

    fn sold(sale: HoldId, count: u16) -> Event {
        Event::Sold(Sold { sale, held: true, channel: Channel::Web, lines: lines(count), settlement: Settlement::Free, contact: None, held_by: None })
    }

    fn sell(hold: HoldId) -> Command {
        Command::Sell { hold, owner: None, settlement: Settlement::Free, contact: None }
    }

    #[test]
    fn a_day_is_counted_over_slots_and_given_back() {
        let mut counts = DayCounts::default();
        let (day, tomorrow) = (BuyerDay::of(slot(1), Digest(7)), BuyerDay::of(slot(25), Digest(7)));
        for (hour, n, count) in [(1, 1, 2), (2, 2, 3), (25, 3, 4)] {
            counts.take(&record(Some(7), held(hold(hour, n), count)));
        }
        assert_eq!((counts.has(&day), counts.has(&tomorrow)), (5, 4));
        // A sale of a hold is not counted twice, whoever confirms it.
        counts.take(&record(None, sold(hold(2, 2), 3)));
        counts.take(&record(None, Event::Released(Released { hold: hold(1, 1) })));
        assert_eq!(counts.has(&day), 3);
        let cancelled = Cancelled { sale: hold(2, 2), tickets: vec![0], refund_cents: Cents::ZERO, cause: CancelCause::Visitor };
        counts.take(&record(None, Event::Cancelled(cancelled)));
        assert_eq!(counts.has(&day), 2);
        let limits = Limits { day_max: Some(5), ..Limits::NONE };
        assert_eq!(may_have(&limits, 2, 3), Ok(()));
        assert_eq!(may_have(&limits, 2, 4), Err(Refusal::TooManyForDay { max: 5, has: 2 }));
        assert_eq!(may_have(&Limits::NONE, 2, 4), Ok(()));
        counts.forget(tomorrow.day);
        assert_eq!((counts.has(&day), counts.has(&tomorrow)), (0, 4));
    }

    #[test]
    fn open_holds_are_counted_over_slots_until_they_end() {
        let mut open = OpenHolds::default();
        let buyer = BuyerAt::of(slot(1), Digest(7));
        let nobody = |event| Record { envelope: None, ..record(None, event) };
        // Of two days; who is not named has none.
        for (hour, n) in [(1, 1), (2, 2), (25, 3)] {
            open.take(&record(Some(7), held(hold(hour, n), 2)));
        }
        open.take(&record(None, held(hold(1, 4), 2)));
        open.take(&record(Some(7), waited(hold(2, 5), 2)));
        assert_eq!((open.has(&buyer), open.has(&BuyerAt::of(slot(1), Digest(8)))), (4, 0));
        let limits = Limits { holds_max: Some(4), ..Limits::NONE };
        assert_eq!(may_hold(&limits, open.has(&buyer)), Err(Refusal::TooManyOpenHolds { max: 4 }));
        assert_eq!((may_hold(&limits, 3), may_hold(&Limits::NONE, 4)), (Ok(()), Ok(())));
        // An offer is the entry's hold; whichever way one ends, it is open no more, and ends once.
        open.take(&nobody(Event::Offered(Offered { entry: hold(2, 5), expires_at: Timestamp::MAX, free: [4; Channel::COUNT], passed_over: 0 })));
        assert_eq!(open.has(&buyer), 4);
        open.take(&nobody(Event::Expired(Expired { hold: hold(2, 5) })));
        open.take(&record(None, sold(hold(1, 1), 2)));
        open.take(&record(None, Event::Released(Released { hold: hold(2, 2) })));
        open.take(&record(None, Event::Released(Released { hold: hold(2, 2) })));
        assert_eq!(open.has(&buyer), 1);
        assert_eq!(open.has(&BuyerAt { museum: MuseumId(2), ..buyer }), 0, "museums count apart");
        open.forget(calendar::local_day(slot(25).start()));
        assert_eq!(open.has(&buyer), 1);
        open.forget(calendar::local_day(slot(49).start()));
        assert_eq!(open, OpenHolds::default());
        let asked = |command: &Command| open.asked(&by(1, Some(7)), command);
        let ask = |channel| Command::Hold { hold: hold(1, 9), channel, lines: lines(1) };
        assert_eq!((asked(&ask(Channel::Web)), asked(&ask(Channel::BoxOffice)), asked(&sell(hold(1, 1)))), (vec![Digest(7)], vec![], vec![]));
    }

    #[test]
    fn a_hold_of_nobody_counts_for_whoever_is_named_with_its_payment() {
        let (mut open, mut counts) = (OpenHolds::default(), DayCounts::default());
        let (at, day) = (BuyerAt::of(slot(1), Digest(7)), BuyerDay::of(slot(1), Digest(7)));
        let cause = Keeper::Payment(PaymentId::from_raw(9));
        let kept = |n| Event::Prolonged(Prolonged { hold: hold(1, n), expires_at: Timestamp::MAX, cause });
        let bind = |n| Command::Bind { hold: hold(1, n), payment: PaymentId::from_raw(9), over: None };
        let mut take = |record: &Record<Event>| {
            open.take(record);
            counts.take(record);
            (open.has(&at), counts.has(&day), open.asked(&by(2, Some(7)), &bind(1)), counts.asked(&by(2, Some(7)), &bind(1)))
        };
        let (named, nobody) = (vec![Digest(7)], Vec::new());
        assert_eq!(take(&record(None, held(hold(1, 1), 3))), (0, 0, named.clone(), Some((named.clone(), 3))));
        assert_eq!(take(&record(None, kept(1))), (0, 0, named.clone(), Some((named, 3))), "kept for nobody in particular");
        assert_eq!(take(&record(Some(7), kept(1))), (1, 3, nobody.clone(), None));
        assert_eq!(take(&record(Some(8), kept(1))), (1, 3, nobody.clone(), None), "it is nobody else's after that");
        // A sale of it is the buyer's, whoever confirms it, and no hold any more.
        assert_eq!(take(&record(None, sold(hold(1, 1), 3))), (0, 3, nobody, None));
    }

    #[test]
    fn places_that_are_waited_for_and_offers_count() {
        let mut counts = DayCounts::default();
        let day = BuyerDay::of(slot(1), Digest(7));
        for hour in 1..=4 {
            counts.take(&record(Some(7), waited(hold(hour, 1), 4)));
        }
        assert_eq!(counts.has(&day), 16);
        // A party that waits is smaller by now.
        counts.take(&record(None, Event::Amended(Amended { hold: hold(4, 1), lines: lines(1) })));
        assert_eq!(counts.has(&day), 13);
        // Nobody asks for an offer: its record names no buyer, and neither does that of a payment that buys it.
        let offered = |hour| Event::Offered(Offered { entry: hold(hour, 1), expires_at: Timestamp::MAX, free: [4; Channel::COUNT], passed_over: 0 });
        let nobody = |event| Record { envelope: None, ..record(None, event) };
        counts.take(&nobody(offered(1)));
        counts.take(&nobody(offered(2)));
        assert_eq!(counts.has(&day), 13);
        counts.take(&record(None, sold(hold(1, 1), 4)));
        counts.take(&nobody(Event::Expired(Expired { hold: hold(2, 1) })));
        assert_eq!(counts.has(&day), 9);
        counts.take(&record(None, Event::WaitingLeft(WaitingLeft { entry: hold(3, 1) })));
        counts.take(&nobody(Event::WaitingEnded(WaitingEnded { entry: hold(4, 1) })));
        assert_eq!(counts.has(&day), 4);
    }

    #[test]
    fn who_is_named_late_asks_for_the_whole_hold() {
        let mut counts = DayCounts::default();
        counts.take(&record(None, held(hold(1, 1), 4)));
        counts.take(&record(Some(8), held(hold(1, 2), 3)));
        let asked = |counts: &DayCounts, buyer, command: &Command| counts.asked(&by(2, buyer), command);
        assert_eq!(asked(&counts, Some(7), &sell(hold(1, 1))), Some((vec![Digest(7)], 4)));
        assert_eq!(asked(&counts, None, &sell(hold(1, 1))), None, "who is not named is not limited");
        assert_eq!(asked(&counts, Some(7), &sell(hold(1, 2))), None, "it counts for whoever held it");
        let paid = |hold| Command::SellPaid { hold, owner: None, lines: lines(4), keeper: None, settlement: Settlement::Free, contact: None };
        assert_eq!(asked(&counts, Some(7), &paid(hold(1, 1))), Some((vec![Digest(7)], 4)));
        counts.take(&record(Some(7), sold(hold(1, 1), 4)));
        counts.take(&record(Some(7), sold(hold(1, 2), 3)));
        let has = |n| counts.has(&BuyerDay::of(slot(1), Digest(n)));
        assert_eq!((has(7), has(8)), (4, 3));
        let on = |channel| Command::Hold { hold: hold(1, 3), channel, lines: lines(2) };
        assert_eq!(asked(&counts, Some(7), &on(Channel::Web)), Some((vec![Digest(7)], 2)));
        assert_eq!(asked(&counts, Some(7), &on(Channel::BoxOffice)), None);
    }

    #[test]
    fn whose_places_a_payment_kept_is_known_when_they_are_gone() {
        let mut counts = DayCounts::default();
        let kept = |n| Event::Prolonged(Prolonged { hold: hold(1, n), expires_at: Timestamp::MAX, cause: Keeper::Payment(PaymentId::from_raw(9)) });
        for n in 1..=3 {
            counts.take(&record(Some(7), held(hold(1, n), 1)));
        }
        for n in 1..=2 {
            counts.take(&record(None, kept(n)));
        }
        for n in 2..=3 {
            counts.take(&record(None, Event::Expired(Expired { hold: hold(1, n) })));
        }
        assert_eq!([1, 2, 3].map(|n| counts.buyer_of(hold(1, n))), [Some(Digest(7)), Some(Digest(7)), None]);
        assert_eq!(counts.has(&BuyerDay::of(slot(1), Digest(7))), 1, "what is gone does not count");
        counts.forget(calendar::local_day(slot(25).start()));
        assert_eq!(counts, DayCounts::default());
    }

    #[test]
    fn tickets_that_come_from_another_day_are_asked_for() {
        let mut counts = DayCounts::default();
        counts.take(&record(Some(7), sold(hold(1, 1), 3)));
        let arrive_with = |formerly: &[u128], from, buyer| {
            let (sale, lines) = (hold(2, 1), lines(3));
            let (contact, holders, order, refund_percent) = (None, Vec::new(), None, 100);
            let arrived = Arrived { sale, from, who: KeyId(1), order, channel: Channel::Web, lines, contact, holders, refund_percent, buyer };
            let envelope = Envelope { formerly: formerly.iter().copied().map(Digest).collect(), ..by(1, None) };
            let (arrived, via) = (Box::new(arrived), Channel::Web);
            counts.asked(&envelope, &Command::Arrive { arrived, via, asks_review: false, review_until: None, named: true })
        };
        let arrive = |from, buyer| arrive_with(&[], from, buyer);
        assert_eq!(arrive(hold(25, 1), Some(Digest(7))), Some((vec![Digest(7)], 3)));
        assert_eq!(arrive(hold(1, 1), Some(Digest(7))), None);
        assert_eq!(arrive(hold(1, 2), Some(Digest(7))), Some((vec![Digest(7)], 3)), "of a route that limits nothing they do not count yet");
        assert_eq!(arrive(hold(25, 1), None), None);
        // Of the same buyer by other pseudonyms, and not of whoever else moves them.
        assert_eq!(arrive_with(&[8, 7], hold(25, 1), Some(Digest(7))), Some((vec![Digest(7), Digest(8)], 3)));
        assert_eq!(arrive_with(&[8], hold(25, 1), Some(Digest(7))), Some((vec![Digest(7)], 3)));
    }

    /// Some numbers that look like chance, the same each time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, n: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % n
        }
    }

    /// What is counted record by record is what a recount of the slots says, whatever was done to them.
    #[test]
    fn the_count_of_the_records_is_that_of_the_slots() {
        let mut counted = 0;
        for seed in 0..60 {
            let mut dice = Dice(seed);
            let (mut counts, mut open) = (DayCounts::default(), OpenHolds::default());
            let mut slots: Vec<Slot> = [1, 2, 25]
                .map(|hour| {
                    let end = slot(hour).start().plus_seconds(3_600);
                    Slot::planned(Opening {
                        slot: slot(hour),
                        revision: 1,
                        end,
                        capacity: 12,
                        quotas: [Quota::default(); 5],
                        policy: Policy::default(),
                    })
                })
                .into();
            let (mut now, mut done) = (slot(0).start().plus_seconds(-DAY_S), 0);
            for step in 0..400_u64 {
                now = now.plus_seconds(dice.below(120) as i64);
                let hour = [1, 2, 25][dice.below(3) as usize];
                // What was done lately is mostly what something is still to be done about.
                let (known, fresh) = (hold(hour, 1 + step.saturating_sub(dice.below(30))), hold(hour, 1 + step));
                let buyer = [None, Some(7), Some(8)][dice.below(3) as usize];
                let channel = [Channel::Web, Channel::Kiosk, Channel::BoxOffice][dice.below(3) as usize];
                let count = 1 + dice.below(4) as u16;
                let cause = Keeper::Payment(PaymentId::from_raw(1));
                let command = match dice.below(11) {
                    0..=2 => Command::Hold { hold: fresh, channel, lines: lines(count) },
                    3 => Command::Wait { entry: fresh, who: KeyId(1), channel, lines: lines(count) },
                    4 => Command::SellDirect { sale: fresh, channel, lines: lines(count), settlement: Settlement::Free, contact: None },
                    5 => sell(known),
                    6 => Command::Prolong { hold: known, until: now.plus_seconds(3_000), cause },
                    7 => Command::Cancel { sale: known, owner: None, tickets: Vec::new(), cause: CancelCause::Museum },
                    8 => Command::LeaveWaiting { entry: known, owner: None },
                    9 => Command::WaitForFewer { entry: known, counts: vec![("full".parse().unwrap(), count)], owner: None, over: None },
                    _ => Command::Amend { hold: known, lines: lines(count), owner: None },
                };
                let slot = slots.iter_mut().find(|slot| slot.id() == known.slot()).unwrap();
                while slot.wake_at().is_some_and(|at| at <= now) {
                    let events = slot.due(now);
                    if events.is_empty() {
                        break;
                    }
                    let record = slot.record(now, None, events);
                    slot.apply(&record);
                    counts.take(&record);
                    open.take(&record);
                }
                let envelope = by(u128::from(step) + 100, buyer);
                if let Ok(events) = slot.decide_for(now, &envelope, &command) {
                    let record = slot.record(now, Some(envelope), events);
                    slot.apply(&record);
                    counts.take(&record);
                    open.take(&record);
                    done += 1;
                }
            }
            let mut anew = DayCounts::default();
            slots.iter().for_each(|slot| anew.put(slot));
            assert_eq!(counts.has, anew.has, "seed {seed}");
            let mut open_anew = OpenHolds::default();
            slots.iter().for_each(|slot| open_anew.put(slot));
            assert_eq!(open, open_anew, "seed {seed}");
            assert!(done > 30, "seed {seed} did {done} commands");
            counted += anew.has.len();
            // A slot that is counted anew is counted once, and what a payment kept is still known.
            let before = counts.clone();
            slots.iter().for_each(|slot| counts.put(slot));
            assert_eq!(counts, before, "seed {seed}");
        }
        assert!(counted > 60, "hardly anybody has anything: {counted}");
    }
}
