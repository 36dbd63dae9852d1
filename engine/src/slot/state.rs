//! Holds, sales and tickets of a slot, and how events change them together with the counted places. No rules here: `apply` ends in these functions. What is counted is
//! counted anew in `recount`; the form in which all of it is written down is in `written`.

mod recount;
mod written;

pub(super) use written::sorted;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use serde::{Deserialize, Serialize};

use super::buyer::Had;
use super::capacity::Places;
use super::event::{
    AdmissionConflict, Admitted, Amended, Arrived, BlockLifted, Blocked, Cancelled, Direction, Event, Exited, Extended, HandedOver, Held, Judged,
    Keeper, Line, MoveBegun, MoveUndone, MovedOut, OfferRenewed, Offered, Prolonged, Renamed, RestDrawn, Rested, Scan, ScansJudged, Settlement, Sold,
    Unblocked, Waited, people,
};
use super::gate::SCAN_AGE_MAX_S;
use super::passages::{Bars, Crossing, Passage, Taken};
use super::rest::Rests;
use super::waiting_list::{Waiting, WaitingEnd, WaitingList};
use super::{Channel, Refusal};
use crate::envelope::{Digest, Envelope};
use crate::ids::{Code, HoldId, KeyId, OrderId, PersonId, TicketId};
use crate::money::Cents;
use crate::recall::REMEMBERED_S;
use crate::record::Record;
use crate::spread::Spread;
use crate::time::{MICROS_PER_S, Timestamp};

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

/// Places that were sold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    /// Who sold.
    pub who: KeyId,
    /// Through which channel.
    pub channel: Channel,
    /// What was sold, at which prices.
    pub lines: Vec<Line>,
    /// How it was paid.
    pub settlement: Settlement,
    /// Contact data, kept apart under this number.
    pub contact: Option<PersonId>,
    /// The order that it belongs to.
    pub order: Option<OrderId>,
    /// When it was sold.
    pub sold_at: Timestamp,
    /// What was paid back or is to be.
    pub refunded_cents: Cents,
    /// What of that whoever has the money has been told of.
    pub handed_over_cents: Cents,
    /// One for each person, in the order of the lines.
    pub tickets: Vec<Ticket>,
    /// What of it stands in other slots, because tickets have moved there.
    pub carried_cents: Cents,
    /// The most percent that a cancellation by the visitor pays back: 100, unless the tickets came from a slot that would have paid back less.
    pub refund_percent_max: u8,
    /// Moves of its tickets to other slots, under way or done, in the order in which they began.
    pub moves: Vec<Move>,
    /// Whose names stand on tickets, kept apart, by the tickets' numbers.
    pub holders: BTreeMap<u16, PersonId>,
    /// The pseudonym of who bought, if the channel named one.
    pub buyer: Option<Digest>,
    /// Why staff block tickets that are blocked as [`FRAUD`] as well, by the tickets' numbers: that is what they are blocked for once nobody says fraud any more.
    pub beneath: BTreeMap<u16, Code>,
}

/// What a verdict blocks tickets for. Whatever else they are blocked for is a word of staff, the last one: that of a verdict stands beside it, and above.
pub const FRAUD: &str = "fraud";

impl Sale {
    /// The ticket that one of this sale became, or is to become, in another slot.
    #[must_use]
    pub fn moved_to(&self, number: u16) -> Option<TicketId> {
        // An undone move is not kept, so a ticket is in one at most.
        self.moves.iter().find_map(|moved| moved.begun.ticket(number))
    }

    fn new(who: KeyId, channel: Channel, lines: Vec<Line>, settlement: Settlement, at: Timestamp) -> Box<Self> {
        Box::new(Self {
            who,
            channel,
            tickets: vec![Ticket { issue: 1, state: TicketState::Valid, blocked: None, review_until: None }; people(&lines) as usize],
            lines,
            settlement,
            contact: None,
            order: None,
            sold_at: at,
            refunded_cents: Cents::ZERO,
            handed_over_cents: Cents::ZERO,
            carried_cents: Cents::ZERO,
            refund_percent_max: 100,
            moves: Vec::new(),
            holders: BTreeMap::new(),
            buyer: None,
            beneath: BTreeMap::new(),
        })
    }
}

/// A move of tickets to another slot, unless it was undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// What was begun.
    pub begun: MoveBegun,
    /// How far it is.
    pub stage: MoveStage,
}

impl Move {
    /// Whether the tickets have arrived.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.stage, MoveStage::Done)
    }
}

/// How far a move is. Variants are numbered in snapshots, and the first two as the yes or no that stood there before moves were reviewed: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MoveStage {
    /// The tickets are on their way.
    UnderWay,
    /// They have arrived.
    Done,
    /// They are on their way, and to be under review from when they arrive.
    UnderWayToReview,
}

impl MoveBegun {
    /// The ticket that the one with this number becomes.
    #[must_use]
    pub fn ticket(&self, number: u16) -> Option<TicketId> {
        self.tickets.binary_search(&number).ok().map(|place| self.arrival.ticket(place as u16))
    }
}

fn is_fraud(reason: Code) -> bool {
    reason.as_str() == FRAUD
}

/// One person's ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Which issue of the code counts.
    pub issue: u16,
    /// What became of it.
    pub state: TicketState,
    /// Why it may not be admitted, if it may not; [`FRAUD`] if that is one of two reasons.
    pub blocked: Option<Code>,
    /// Before then it is not admitted, as its sale is being looked at.
    pub review_until: Option<Timestamp>,
}

/// What became of a ticket. Variants are numbered in the journal: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketState {
    /// Not used yet.
    Valid,
    /// Its holder is inside.
    Inside {
        /// When it was first let in.
        first_at: Timestamp,
        /// When it was last let in.
        since: Timestamp,
        /// How many times it was let in.
        entries: u8,
    },
    /// Its holder has left.
    Outside {
        /// When it was first let in.
        first_at: Timestamp,
        /// When its holder left.
        left_at: Timestamp,
        /// How many times it was let in.
        entries: u8,
    },
    /// It counts no more.
    Cancelled,
    /// It is on its way to another slot, and good nowhere meanwhile.
    Moving,
    /// It has become a ticket of another slot.
    Moved,
}

impl TicketState {
    /// Whether its holder is inside.
    #[must_use]
    pub const fn is_inside(self) -> bool {
        matches!(self, Self::Inside { .. })
    }

    /// How many times it was let in.
    #[must_use]
    pub const fn entries(self) -> u8 {
        match self {
            Self::Inside { entries, .. } | Self::Outside { entries, .. } => entries,
            Self::Valid | Self::Cancelled | Self::Moving | Self::Moved => 0,
        }
    }

    /// When the ticket was first let in, if it was.
    #[must_use]
    pub const fn first_at(self) -> Option<Timestamp> {
        match self {
            Self::Inside { first_at, .. } | Self::Outside { first_at, .. } => Some(first_at),
            Self::Valid | Self::Cancelled | Self::Moving | Self::Moved => None,
        }
    }

    /// What becomes of the ticket when its holder is let in at `at` for the `entry`th time.
    #[must_use]
    pub const fn entered(self, at: Timestamp, entry: u8) -> Self {
        let first_at = match self {
            Self::Outside { first_at, .. } => first_at,
            _ => at,
        };
        Self::Inside { first_at, since: at, entries: entry }
    }

    /// What becomes of the ticket when its holder leaves at `at`.
    #[must_use]
    pub const fn left(self, at: Timestamp) -> Self {
        match self {
            Self::Inside { first_at, entries, .. } => Self::Outside { first_at, left_at: at, entries },
            other => other,
        }
    }
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
        let Some(hold) = self.holds.get_mut(&amended.hold) else { return };
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

    /// All tickets of a sale are looked at together.
    pub(super) fn review_until(&mut self, id: HoldId, until: Option<Timestamp>, at: Timestamp) {
        let Some(sale) = self.sales.get_mut(&id) else { return };
        for (number, ticket) in (0..).zip(&mut sale.tickets) {
            let before = Bars::of(ticket);
            ticket.review_until = until;
            keep_was(&mut self.was, id.ticket(number), before, Bars::of(ticket), at);
        }
    }

    /// What of a ticket a gate would have looked at then.
    pub(super) fn bars_at(&self, id: TicketId, ticket: &Ticket, at: Timestamp) -> Bars {
        let was = self.was.get(&id).and_then(|was| was.iter().find(|(until, _)| at < *until));
        was.map_or_else(|| Bars::of(ticket), |(_, bars)| *bars)
    }

    pub(super) fn handed_over(&mut self, handed: &HandedOver) {
        let Some(cents) = self.owed.remove(&(handed.sale, handed.seq)) else { return };
        if let Some(sale) = self.sales.get_mut(&handed.sale) {
            sale.handed_over_cents = sale.handed_over_cents.plus(cents);
        }
    }

    pub(super) fn blocked(&mut self, blocked: &Blocked, at: Timestamp) {
        let Blocked { sale: id, tickets, reason } = blocked;
        let Some(sale) = self.sales.get_mut(id) else { return };
        for &number in tickets {
            let Some(ticket) = sale.tickets.get_mut(usize::from(number)) else { continue };
            let before = Bars::of(ticket);
            match (ticket.blocked, is_fraud(*reason)) {
                (Some(staff), true) if !is_fraud(staff) => {
                    ticket.blocked = Some(*reason);
                    sale.beneath.insert(number, staff);
                }
                (Some(fraud), false) if is_fraud(fraud) => {
                    sale.beneath.insert(number, *reason);
                }
                _ => ticket.blocked = Some(*reason),
            }
            keep_was(&mut self.was, id.ticket(number), before, Bars::of(ticket), at);
        }
    }

    pub(super) fn unblocked(&mut self, unblocked: &Unblocked, at: Timestamp) {
        let Some(sale) = self.sales.get_mut(&unblocked.sale) else { return };
        for &number in &unblocked.tickets {
            if let Some(ticket) = sale.tickets.get_mut(usize::from(number)) {
                let before = Bars::of(ticket);
                ticket.blocked = None;
                keep_was(&mut self.was, unblocked.sale.ticket(number), before, Bars::of(ticket), at);
                sale.beneath.remove(&number);
            }
        }
    }

    pub(super) fn block_lifted(&mut self, lifted: &BlockLifted, at: Timestamp) {
        let Some(sale) = self.sales.get_mut(&lifted.sale) else { return };
        for &number in &lifted.tickets {
            let Some(ticket) = sale.tickets.get_mut(usize::from(number)) else { continue };
            let beneath = sale.beneath.remove(&number);
            if ticket.blocked == Some(lifted.reason) {
                let before = Bars::of(ticket);
                ticket.blocked = beneath;
                keep_was(&mut self.was, lifted.sale.ticket(number), before, Bars::of(ticket), at);
            }
        }
    }

    pub(super) fn admitted(&mut self, places: &mut Places, admitted: &Admitted, at: Timestamp) {
        let Admitted { ticket, gate, entry, .. } = *admitted;
        let Some(state) = self.state_of(ticket) else { return };
        let scan = Scan { ticket, scanned_at: admitted.scanned_at.unwrap_or(at), gate, direction: Direction::In };
        let at = self.passed(places, scan, admitted.scanned_at.is_some(), state, at);
        self.becomes(places, ticket, state.entered(at, entry));
    }

    pub(super) fn exited(&mut self, places: &mut Places, exited: &Exited, at: Timestamp) {
        let Exited { ticket, gate, .. } = *exited;
        let Some(state) = self.state_of(ticket).filter(|state| state.is_inside()) else { return };
        let scan = Scan { ticket, scanned_at: exited.scanned_at.unwrap_or(at), gate, direction: Direction::Out };
        let at = self.passed(places, scan, exited.scanned_at.is_some(), state, at);
        self.becomes(places, ticket, state.left(at));
    }

    /// Somebody passed a gate; answers when, as it counts.
    fn passed(&mut self, places: &mut Places, passage: Scan, is_scan: bool, state: TicketState, at: Timestamp) -> Timestamp {
        if !is_scan {
            self.keep_online(passage, state);
            return at;
        }
        self.keep_told(passage, state);
        let people = self.note(places, passage, Judged::Passed, at);
        counted_by_sensors(places, people);
        passage.scanned_at.min(at)
    }

    /// The ticket stays as it is: what the conflict says of people is not counted.
    pub(super) fn conflicted(&mut self, places: &mut Places, conflict: &AdmissionConflict, at: Timestamp) {
        let AdmissionConflict { ticket, gate, scanned_at, reason } = *conflict;
        let scan = Scan { ticket, scanned_at, gate, direction: Direction::In };
        if let Some(state) = self.state_of(ticket) {
            self.keep_told(scan, state);
        }
        // The admission that it belongs to stands before it in the same record.
        let counts = self.scans.get(&scan).is_some_and(|taken| taken.judged == Judged::Passed);
        let judged = if counts { Judged::PassedInConflict { reason } } else { Judged::Conflict { reason } };
        let people = self.note(places, scan, judged, at);
        counted_by_sensors(places, people);
    }

    pub(super) fn judged(&mut self, places: &mut Places, judged: &ScansJudged, at: Timestamp) {
        let (Some(state), Some(first)) = (self.state_of(judged.ticket), judged.scans.first()) else { return };
        self.keep_told(first.scan, state);
        let people: i32 = judged.scans.iter().map(|found| self.note(places, found.scan, found.judged, at)).sum();
        counted_by_sensors(places, people);
        self.becomes(places, judged.ticket, judged.state);
    }

    fn state_of(&self, ticket: TicketId) -> Option<TicketState> {
        self.sales.get(&ticket.sale())?.tickets.get(usize::from(ticket.number())).map(|ticket| ticket.state)
    }

    /// The ticket is what its passages have made of it.
    fn becomes(&mut self, places: &mut Places, id: TicketId, state: TicketState) {
        let found = self.sales.get_mut(&id.sale()).and_then(|sale| sale.tickets.get_mut(usize::from(id.number())));
        let Some(ticket) = found else { return };
        let before = std::mem::replace(&mut ticket.state, state);
        let is_used = |state: TicketState| u32::from(state.first_at().is_some());
        places.admitted = places.admitted + is_used(state) - is_used(before);
        places.inside = places.inside + u32::from(state.is_inside()) - u32::from(before.is_inside());
    }

    /// Notes what a scan comes to. Answers how many people more or fewer that makes of those whom the sensors had counted already.
    fn note(&mut self, places: &mut Places, scan: Scan, judged: Judged, at: Timestamp) -> i32 {
        let at = self.scans.get(&scan).map_or(scan.scanned_at.min(at), |taken| taken.at);
        let before = self.scans.insert(scan, Taken { at, judged }).map(|taken| taken.judged);
        let conflicts = |judged: Option<Judged>| u32::from(judged.is_some_and(|judged| judged.conflict().is_some()));
        places.conflicts = places.conflicts + conflicts(Some(judged)) - conflicts(before);
        if places.live.is_none_or(|live| at > live.measured_at) {
            return 0;
        }
        let passed = |judged: Option<Judged>| i32::from(judged.is_some_and(Judged::passed));
        let people = passed(Some(judged)) - passed(before);
        if scan.direction == Direction::In { people } else { -people }
    }

    /// The scans of a ticket that were taken in, in the order of their times.
    fn scans_of(&self, scan: Scan) -> impl Iterator<Item = (&Scan, &Taken)> {
        // Nothing was scanned in the first instant that there is, so it does not matter at which gate.
        let first = Scan { scanned_at: Timestamp::MIN, direction: Direction::In, ..scan };
        self.scans.range(first..).take_while(move |(found, _)| found.ticket == scan.ticket)
    }

    /// What gates that asked saw of a ticket before that passage, in order. As long as it was let in once at most, and no scan has come in, its state tells.
    fn seen_online(&self, passage: Scan, state: TicketState) -> Vec<Scan> {
        if let Some(kept) = self.online.get(&passage.ticket) {
            return kept.clone();
        }
        if self.scans_of(passage).next().is_some() {
            return Vec::new();
        }
        let seen = |scanned_at, direction| Scan { scanned_at, direction, ..passage };
        match state {
            TicketState::Inside { first_at, .. } => vec![seen(first_at, Direction::In)],
            TicketState::Outside { first_at, left_at, .. } => vec![seen(first_at, Direction::In), seen(left_at, Direction::Out)],
            TicketState::Valid | TicketState::Cancelled | TicketState::Moving | TicketState::Moved => Vec::new(),
        }
    }

    /// Keeps what the state tells of a ticket, before a scan makes another one of it.
    fn keep_told(&mut self, scan: Scan, state: TicketState) {
        if self.online.contains_key(&scan.ticket) {
            return;
        }
        let seen = self.seen_online(scan, state);
        if !seen.is_empty() {
            self.online.insert(scan.ticket, seen);
        }
    }

    /// Keeps what a gate that asked saw, unless the state will tell it.
    fn keep_online(&mut self, passage: Scan, state: TicketState) {
        let comes_back = passage.direction == Direction::In && matches!(state, TicketState::Outside { .. });
        if comes_back || self.online.contains_key(&passage.ticket) || self.scans_of(passage).next().is_some() {
            let mut seen = self.seen_online(passage, state);
            seen.push(passage);
            self.online.insert(passage.ticket, seen);
        }
    }

    /// All that is known of a ticket's passages, in no order but that of what gates that asked saw.
    pub(super) fn passages(&self, scan: Scan, state: TicketState) -> Vec<Passage> {
        let online = self.seen_online(scan, state).into_iter().map(Passage::online);
        online.chain(self.scans_of(scan).map(|(scan, taken)| Passage::taken(*scan, *taken))).collect()
    }

    /// Whether a gate that asked saw the ticket of a scan pass that way, from some time on and before the scan was made.
    pub(super) fn saw(&self, scan: Scan, since: Timestamp) -> bool {
        let Some(state) = self.state_of(scan.ticket) else { return false };
        let is_it =
            |passage: &Passage| passage.scan.is_none() && passage.direction == scan.direction && (since..=scan.scanned_at).contains(&passage.at);
        self.passages(scan, state).iter().any(is_it)
    }

    /// How many have come in after some time, less those who have left.
    pub(super) fn came_since(&self, since: Timestamp) -> i32 {
        self.crossings(since).iter().filter(|crossing| crossing.at > since).map(|crossing| crossing.people).sum()
    }

    /// Who has passed the gates from some time on, in no order.
    pub(super) fn crossings(&self, from: Timestamp) -> Vec<Crossing> {
        let mut crossings = Vec::new();
        for (id, sale) in &self.sales {
            for (number, ticket) in (0..).zip(&sale.tickets) {
                // Nobody has passed on a ticket after it became what it is.
                let last = match ticket.state {
                    TicketState::Inside { since, .. } => since,
                    TicketState::Outside { left_at, .. } => left_at,
                    TicketState::Valid | TicketState::Cancelled | TicketState::Moving | TicketState::Moved => continue,
                };
                if last >= from {
                    let any = Scan { ticket: id.ticket(number), scanned_at: from, gate: Code::NOTHING, direction: Direction::In };
                    let of_ticket = self.passages(any, ticket.state).into_iter().filter_map(|passage| passage.crossing());
                    crossings.extend(of_ticket.filter(|crossing| crossing.at >= from));
                }
            }
        }
        crossings
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

/// Keeps how a ticket was until now, before it became something else. Within one instant only the last counts.
fn keep_was(was: &mut BTreeMap<TicketId, Vec<(Timestamp, Bars)>>, ticket: TicketId, before: Bars, after: Bars, at: Timestamp) {
    if before == after {
        return;
    }
    let kept = was.entry(ticket).or_default();
    // Older scans are not taken in.
    let oldest = at.plus_seconds(-SCAN_AGE_MAX_S);
    kept.retain(|(until, _)| *until > oldest);
    match kept.last() {
        Some((until, first)) if *until == at => {
            if *first == after {
                kept.pop();
            }
        }
        _ => kept.push((at, before)),
    }
    if kept.is_empty() {
        was.remove(&ticket);
    }
}

/// Somebody of whom a gate tells late came or went before the last reading: the sensors had seen it.
fn counted_by_sensors(places: &mut Places, people: i32) {
    if let Some(live) = &mut places.live {
        live.inside_then = live.inside_then.saturating_add_signed(people);
    }
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
