//! Holds, sales and tickets of a slot, and how events change them together with the counted places. No rules here: `apply` ends in these functions. What a sale is, with its
//! tickets, is in `sold`; what keeps tickets from the gate in `bars`; who has passed it in `passed`. What is counted is counted anew in `recount`; the form in which all of it is
//! written down is in `written`.

mod bars;
mod passed;
mod recount;
mod sold;
mod written;

pub use sold::{FRAUD, Move, MoveStage, Sale, Ticket, TicketState};
pub(super) use written::sorted;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use serde::{Deserialize, Serialize};

use super::buyer::Had;
use super::capacity::Places;
use super::event::{
    Amended, Arrived, Cancelled, Event, Extended, HandedOver, Held, Keeper, Line, MoveBegun, MoveUndone, MovedOut, OfferRenewed, Offered, Prolonged,
    Renamed, RestDrawn, Rested, Scan, Settlement, Sold, Waited, people,
};
use super::passages::{Bars, Taken};
use super::rest::Rests;
use super::waiting_list::{Waiting, WaitingEnd, WaitingList};
use super::{Channel, Refusal};
use crate::envelope::{Digest, Envelope};
use crate::ids::{HoldId, KeyId, OrderId, TicketId};
use crate::money::Cents;
use crate::recall::REMEMBERED_S;
use crate::record::Record;
use crate::spread::Spread;
use crate::time::{MICROS_PER_S, Timestamp};
use bars::keep_was;

/// Places kept for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who asked for it.
    pub who: KeyId,
    /// Through which channel.
    pub channel: Channel,
    /// What is held, at which prices.
    pub lines: Vec<Line>,
    /// The order that it belongs to.
    pub order: Option<OrderId>,
    /// When it was taken; of an offer that began anew, when it did.
    pub held_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// Whether its one extension is used up.
    pub extended: bool,
    /// For what it was last prolonged, if it was.
    pub kept_for: Option<Keeper>,
    /// The pseudonym of who buys, if the channel named one.
    pub buyer: Option<Digest>,
    /// The pseudonym of the device at which they sit, if the channel named one.
    pub device: Option<Digest>,
    /// Whether what it becomes is to be reviewed.
    pub asks_review: bool,
    /// How long its places rest if it ends without being bought, in milliseconds, if that was drawn.
    pub rest_ms: Option<u32>,
}

/// How a hold ended without a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum End {
    Released,
    Expired {
        /// When its time was over, whenever that was noted.
        at: Timestamp,
    },
}

/// A hold that ended without a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    /// Who had asked for it: to others it is unknown.
    pub(super) who: KeyId,
    pub(super) how: End,
    /// When that was noted.
    noted_at: Timestamp,
}

/// Ids are made by the system and their middle bits are random: hashing is folding.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
    fn write_u128(&mut self, value: u128) {
        // The multiplier (2^64 divided by the golden ratio) spreads the random bits over the top, where the table looks first.
        self.0 = (value as u64 >> 16).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

pub(super) type ById<T> = Spread<HoldId, T, BuildHasherDefault<IdHasher>>;

/// Everything of a slot that is not a counter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) holds: ById<Hold>,
    /// Sales never leave, also those of which all tickets were cancelled or have moved on: who shows one is told what became of it. So they grow with what is done
    /// to the slot, as its journal does, and go with it. Each has a place of its own: they are large, and a map moves what it holds when it grows.
    pub(super) sales: ById<Box<Sale>>,
    /// Holds that ended without a sale, for a day: a late caller is told what became of them.
    pub(super) ended: ById<Ended>,
    ended_order: VecDeque<HoldId>,
    deadlines: BTreeSet<(Timestamp, HoldId)>,
    /// The scans of gates without a network that were taken in, and what each comes to: a scan is taken in once.
    pub(super) scans: BTreeMap<Scan, Taken>,
    /// What gates that asked saw of tickets whose state does not tell all of it, in order: of those that came back, and of those with scans.
    online: BTreeMap<TicketId, Vec<Scan>>,
    /// How tickets were before they were blocked, looked at or issued anew, or were so no more: each with the time until when, ascending. Scans that come in late are
    /// judged by it. What a snapshot of an older program did not keep is not known: then a ticket counts as it is.
    was: BTreeMap<TicketId, Vec<(Timestamp, Bars)>>,
    pub(super) list: WaitingList,
    /// Moves under way: what the tickets are to become, and of which sale they are.
    pub(super) moving: BTreeMap<HoldId, HoldId>,
    /// Moves that were undone, oldest first, for a day: who repeats the request is told why.
    pub(super) undone: VecDeque<(HoldId, Refusal, Timestamp)>,
    /// Refunds that whoever has the money has to be told of, by the sale and the number of the record that cancelled its tickets.
    pub(super) owed: BTreeMap<(HoldId, u64), Cents>,
    /// Places that were held and not bought, and are not free yet.
    pub(super) rests: Rests,
    /// What each buyer has who is known. It follows from the holds and sales.
    pub(super) buyers: Spread<Digest, Had>,
}

impl Ledger {
    /// Whether there is or was a hold or sale of that id.
    pub(super) fn knows(&self, id: HoldId) -> bool {
        self.holds.contains_key(&id) || self.sales.contains_key(&id) || self.ended.contains_key(&id)
    }

    pub(super) fn held(&mut self, places: &mut Places, held: &Held, record: &Record<Event>) {
        let (who, order) = by(record);
        let (buyer, asks_review) = of_buyer(record);
        let Held { hold, channel, ref lines, expires_at } = *held;
        let (lines, held_at, device, rest_ms) = (lines.clone(), record.at, device_of(record), None);
        let hold_of = Hold { who, channel, lines, order, held_at, expires_at, extended: false, kept_for: None, buyer, device, asks_review, rest_ms };
        self.keep(places, hold, hold_of);
    }

    fn keep(&mut self, places: &mut Places, id: HoldId, hold: Hold) {
        places.held[hold.channel.index()] += people(&hold.lines);
        self.count(hold.buyer, people(&hold.lines).cast_signed(), 1);
        self.deadlines.insert((hold.expires_at, id));
        self.holds.insert(id, hold);
    }

    pub(super) fn waited(&mut self, waited: &Waited, record: &Record<Event>) {
        let (who, order) = by(record);
        let (buyer, asks_review) = of_buyer(record);
        let Waited { entry, number, channel, ref lines, .. } = *waited;
        let (lines, since, device, rest_ms) = (lines.clone(), record.at, device_of(record), None);
        self.list.join(Waiting { entry, number, who, channel, lines, order, since, buyer, device, asks_review, rest_ms });
    }

    /// An offer is a hold of the entry's id, of the one who waited.
    pub(super) fn offered(&mut self, places: &mut Places, offered: &Offered, at: Timestamp) {
        let Some(party) = self.list.offer(offered.entry, at, offered.free, offered.passed_over) else { return };
        let Waiting { who, channel, lines, order, buyer, device, asks_review, rest_ms, .. } = party;
        let (held_at, expires_at) = (at, offered.expires_at);
        let hold = Hold { who, channel, lines, order, held_at, expires_at, extended: false, kept_for: None, buyer, device, asks_review, rest_ms };
        self.keep(places, offered.entry, hold);
    }

    pub(super) fn rest_drawn(&mut self, drawn: &RestDrawn) {
        match self.holds.get_mut(&drawn.hold) {
            Some(hold) => hold.rest_ms = Some(drawn.rest_ms),
            None => self.list.rest_drawn(drawn.hold, drawn.rest_ms),
        }
    }

    /// The hold still has the places: what it loses follows in the same record.
    pub(super) fn rested(&mut self, places: &mut Places, rested: &Rested, at: Timestamp) {
        let Some(hold) = self.holds.get(&rested.hold) else { return };
        let payment = if let Some(Keeper::Payment(payment)) = hold.kept_for { Some(payment) } else { None };
        self.rests.rest(rested, payment, [hold.buyer, hold.device], at);
        places.resting += rested.places;
    }

    pub(super) fn extended(&mut self, extended: &Extended) {
        if let Some(hold) = self.lives_until(extended.hold, extended.expires_at) {
            hold.extended = true;
        }
    }

    pub(super) fn prolonged(&mut self, prolonged: &Prolonged, record: &Record<Event>) {
        let (named, _) = of_buyer(record);
        let Some(hold) = self.lives_until(prolonged.hold, prolonged.expires_at) else { return };
        // What a quote keeps stays the quote's, also while it is paid for.
        if !matches!(hold.kept_for, Some(Keeper::Quote(_))) {
            hold.kept_for = Some(prolonged.cause);
        }
        // What was kept for nobody is from now on of whoever is named with its payment.
        if hold.buyer.is_none() && matches!(prolonged.cause, Keeper::Payment(_)) {
            hold.buyer = named;
            let more = people(&hold.lines).cast_signed();
            self.count(named, more, 1);
        }
    }

    pub(super) fn offer_renewed(&mut self, renewed: &OfferRenewed, at: Timestamp) {
        if let Some(hold) = self.lives_until(renewed.entry, renewed.expires_at) {
            (hold.held_at, hold.extended) = (at, false);
        }
    }

    fn lives_until(&mut self, id: HoldId, expires_at: Timestamp) -> Option<&mut Hold> {
        let hold = self.holds.get_mut(&id)?;
        self.deadlines.remove(&(hold.expires_at, id));
        self.deadlines.insert((expires_at, id));
        hold.expires_at = expires_at;
        Some(hold)
    }

    pub(super) fn amended(&mut self, places: &mut Places, amended: &Amended, record: &Record<Event>) {
        let Some(hold) = self.holds.get_mut(&amended.hold) else {
            self.list.amend(amended.hold, &amended.lines);
            return;
        };
        let held = &mut places.held[hold.channel.index()];
        let (before, after, buyer) = (people(&hold.lines), people(&amended.lines), hold.buyer);
        *held = *held - before + after;
        hold.lines.clone_from(&amended.lines);
        hold.asks_review |= record.envelope.as_ref().is_some_and(Envelope::asks_review);
        self.count(buyer, after.cast_signed() - before.cast_signed(), 0);
    }

    /// Counts people and holds of a buyer in or out; one who has nothing is not kept.
    fn count(&mut self, buyer: Option<Digest>, people: i32, holds: i32) {
        let Some(buyer) = buyer else { return };
        self.buyers.update(buyer, |had| {
            had.people = had.people.saturating_add_signed(people);
            had.holds = had.holds.saturating_add_signed(holds);
        });
    }

    fn take_hold(&mut self, places: &mut Places, id: HoldId) -> Option<Hold> {
        let hold = self.holds.remove(&id)?;
        self.deadlines.remove(&(hold.expires_at, id));
        places.held[hold.channel.index()] -= people(&hold.lines);
        self.count(hold.buyer, -people(&hold.lines).cast_signed(), -1);
        Some(hold)
    }

    pub(super) fn released(&mut self, places: &mut Places, id: HoldId, at: Timestamp) {
        let Some(hold) = self.take_hold(places, id) else { return };
        self.list.hold_ended(id, hold.who, WaitingEnd::Declined, at);
        self.remember(id, Ended { who: hold.who, how: End::Released, noted_at: at });
    }

    pub(super) fn expired(&mut self, places: &mut Places, id: HoldId, at: Timestamp) {
        let Some(hold) = self.take_hold(places, id) else { return };
        self.list.hold_ended(id, hold.who, WaitingEnd::Lapsed, at);
        self.remember(id, Ended { who: hold.who, how: End::Expired { at: hold.expires_at }, noted_at: at });
    }

    /// Keeps what became of a hold, and forgets what was noted more than a day before.
    fn remember(&mut self, id: HoldId, ended: Ended) {
        while let Some(oldest) = self.ended_order.front() {
            let age = self.ended.get(oldest).map(|before| ended.noted_at.micros_since(before.noted_at));
            if age.is_some_and(|age| age <= REMEMBERED_S * MICROS_PER_S) {
                break;
            }
            self.ended.remove(oldest);
            self.ended_order.pop_front();
        }
        self.ended.insert(id, ended);
        self.ended_order.push_back(id);
    }

    pub(super) fn sold(&mut self, places: &mut Places, sold: &Sold, record: &Record<Event>) {
        let (mut who, mut order) = by(record);
        let (mut buyer, _) = of_buyer(record);
        let mut lines = None;
        if let Some(hold) = self.take_hold(places, sold.sale) {
            buyer = hold.buyer.or(buyer);
            // What the system keeps for a quote becomes a sale of whoever the quote is of.
            who = if hold.who == KeyId::SYSTEM { who } else { hold.who };
            order = order.or(hold.order);
            lines = Some(hold.lines).filter(|held| *held == sold.lines);
            self.list.hold_ended(sold.sale, who, WaitingEnd::Taken, record.at);
        }
        places.sold[sold.channel.index()] += people(&sold.lines);
        let lines = lines.unwrap_or_else(|| sold.lines.clone());
        let mut sale = Sale::new(who, sold.channel, lines, sold.settlement.clone(), record.at);
        (sale.contact, sale.order, sale.buyer) = (sold.contact, order, buyer);
        self.count(buyer, people(&sold.lines).cast_signed(), 0);
        self.sales.insert(sold.sale, sale);
    }

    pub(super) fn arrived(&mut self, places: &mut Places, arrived: &Arrived, at: Timestamp) {
        places.sold[arrived.channel.index()] += people(&arrived.lines);
        let mut sale = Sale::new(arrived.who, arrived.channel, arrived.lines.clone(), Settlement::Moved { from: arrived.from }, at);
        (sale.contact, sale.order, sale.buyer) = (arrived.contact, arrived.order, arrived.buyer);
        self.count(arrived.buyer, people(&arrived.lines).cast_signed(), 0);
        (sale.refund_percent_max, sale.holders) = (arrived.refund_percent, arrived.holders.iter().copied().collect());
        self.sales.insert(arrived.sale, sale);
    }

    pub(super) fn move_begun(&mut self, begun: &MoveBegun, record: &Record<Event>) {
        let Some(sale) = self.sales.get_mut(&begun.sale) else { return };
        turn(sale, &begun.tickets, TicketState::Valid, TicketState::Moving);
        let (_, asks_review) = of_buyer(record);
        let stage = if asks_review { MoveStage::UnderWayToReview } else { MoveStage::UnderWay };
        sale.moves.push(Move { begun: begun.clone(), stage });
        self.moving.insert(begun.arrival, begun.sale);
    }

    pub(super) fn moved_out(&mut self, places: &mut Places, moved: &MovedOut) {
        let Some(sale) = self.moving.remove(&moved.arrival).and_then(|sale| self.sales.get_mut(&sale)) else { return };
        let Some(found) = sale.moves.iter_mut().find(|found| found.begun.arrival == moved.arrival) else { return };
        found.stage = MoveStage::Done;
        let gone = turn(sale, &moved.tickets, TicketState::Moving, TicketState::Moved);
        places.sold[sale.channel.index()] -= gone;
        sale.holders.retain(|number, _| moved.tickets.binary_search(number).is_err());
        sale.carried_cents = sale.carried_cents.plus(moved.carried_cents);
        let buyer = sale.buyer;
        self.count(buyer, -gone.cast_signed(), 0);
    }

    pub(super) fn move_undone(&mut self, undone: &MoveUndone, at: Timestamp) {
        let Some(sale) = self.moving.remove(&undone.arrival).and_then(|sale| self.sales.get_mut(&sale)) else { return };
        sale.moves.retain(|found| found.begun.arrival != undone.arrival);
        turn(sale, &undone.tickets, TicketState::Moving, TicketState::Valid);
        while self.undone.front().is_some_and(|(.., undone_at)| at.micros_since(*undone_at) > REMEMBERED_S * MICROS_PER_S) {
            self.undone.pop_front();
        }
        self.undone.push_back((undone.arrival, undone.why.clone(), at));
    }

    pub(super) fn renamed(&mut self, renamed: &Renamed, at: Timestamp) {
        let Some(sale) = self.sales.get_mut(&renamed.sale) else { return };
        for &(number, issue) in &renamed.tickets {
            let Some(ticket) = sale.tickets.get_mut(usize::from(number)) else { continue };
            let before = Bars::of(ticket);
            ticket.issue = issue;
            keep_was(&mut self.was, renamed.sale.ticket(number), before, Bars::of(ticket), at);
            match renamed.holder {
                Some(holder) => sale.holders.insert(number, holder),
                None => sale.holders.remove(&number),
            };
        }
    }

    pub(super) fn cancelled(&mut self, places: &mut Places, cancelled: &Cancelled, seq: u64) {
        let Some(sale) = self.sales.get_mut(&cancelled.sale) else { return };
        let gone = turn(sale, &cancelled.tickets, TicketState::Valid, TicketState::Cancelled);
        places.sold[sale.channel.index()] -= gone;
        let buyer = sale.buyer;
        sale.refunded_cents = sale.refunded_cents.plus(cancelled.refund_cents);
        if !cancelled.refund_cents.is_zero() {
            let owed = self.owed.entry((cancelled.sale, seq)).or_insert(Cents::ZERO);
            *owed = owed.plus(cancelled.refund_cents);
        }
        self.count(buyer, -gone.cast_signed(), 0);
    }

    pub(super) fn handed_over(&mut self, handed: &HandedOver) {
        let Some(cents) = self.owed.remove(&(handed.sale, handed.seq)) else { return };
        if let Some(sale) = self.sales.get_mut(&handed.sale) {
            sale.handed_over_cents = sale.handed_over_cents.plus(cents);
        }
    }

    /// The holds whose time is over at `now`, earliest first.
    pub(super) fn due(&self, now: Timestamp) -> impl Iterator<Item = HoldId> {
        self.deadlines.iter().take_while(move |(at, _)| *at <= now).map(|(_, hold)| *hold)
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(at, _)| *at)
    }
}

/// Turns those of the tickets that are in one state into another; answers how many.
fn turn(sale: &mut Sale, tickets: &[u16], from: TicketState, to: TicketState) -> u32 {
    let mut turned = 0;
    for &number in tickets {
        if let Some(ticket) = sale.tickets.get_mut(usize::from(number)).filter(|ticket| ticket.state == from) {
            ticket.state = to;
            turned += 1;
        }
    }
    turned
}

fn by(record: &Record<Event>) -> (KeyId, Option<OrderId>) {
    record.envelope.as_ref().map_or((KeyId::SYSTEM, None), |envelope| (envelope.who, envelope.order))
}

fn device_of(record: &Record<Event>) -> Option<Digest> {
    record.envelope.as_ref().and_then(Envelope::device)
}

/// Who buys, and whether what is bought is to be reviewed.
fn of_buyer(record: &Record<Event>) -> (Option<Digest>, bool) {
    record.envelope.as_ref().map_or((None, false), |envelope| (envelope.buyer(), envelope.asks_review()))
}
