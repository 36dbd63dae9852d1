//! Holds, sales and tickets of a slot, and how events change them together with the counted places. No rules here: `apply` ends in these functions.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::capacity::Places;
use super::event::{
    AdmissionConflict, Admitted, Cancelled, ConflictReason, Direction, Event, Exited, Extended, Held, Line, Offered, Scan, Settlement, Sold, Waited,
    people, total,
};
use super::waiting_list::{Waiting, WaitingEnd, WaitingList};
use super::{Broken, Channel};
use crate::ids::{Code, HoldId, KeyId, OrderId, PersonId};
use crate::money::Cents;
use crate::recall::REMEMBERED_S;
use crate::record::Record;
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
    /// When it was taken.
    pub held_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// Whether its one extension is used up.
    pub extended: bool,
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
    /// One for each person, in the order of the lines.
    pub tickets: Vec<Ticket>,
}

/// One person's ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Which issue of the code counts.
    pub issue: u16,
    /// What became of it.
    pub state: TicketState,
    /// Why it may not be admitted, if it may not.
    pub blocked: Option<Code>,
}

/// What became of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl TicketState {
    /// When the ticket was first let in, if it was.
    #[must_use]
    pub const fn first_at(self) -> Option<Timestamp> {
        match self {
            Self::Inside { first_at, .. } | Self::Outside { first_at, .. } => Some(first_at),
            Self::Valid | Self::Cancelled => None,
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
    Expired,
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

pub(super) type ById<T> = HashMap<HoldId, T, BuildHasherDefault<IdHasher>>;

/// Everything of a slot that is not a counter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) holds: ById<Hold>,
    pub(super) sales: ById<Sale>,
    /// Holds that ended without a sale, for a day: a late caller is told what became of them.
    pub(super) ended: ById<(End, Timestamp)>,
    ended_order: VecDeque<HoldId>,
    deadlines: BTreeSet<(Timestamp, HoldId)>,
    /// The scans of gates without a network that were taken in, and what speaks against those that should not have been: a scan is taken in once.
    pub(super) scans: BTreeMap<Scan, Option<ConflictReason>>,
    pub(super) list: WaitingList,
}

impl Ledger {
    /// Whether there is or was a hold or sale of that id.
    pub(super) fn knows(&self, id: HoldId) -> bool {
        self.holds.contains_key(&id) || self.sales.contains_key(&id) || self.ended.contains_key(&id)
    }

    pub(super) fn held(&mut self, places: &mut Places, held: &Held, record: &Record<Event>) {
        let (who, order) = by(record);
        let hold =
            Hold { who, channel: held.channel, lines: held.lines.clone(), order, held_at: record.at, expires_at: held.expires_at, extended: false };
        self.keep(places, held.hold, hold);
    }

    fn keep(&mut self, places: &mut Places, id: HoldId, hold: Hold) {
        places.held[hold.channel.index()] += people(&hold.lines);
        self.deadlines.insert((hold.expires_at, id));
        self.holds.insert(id, hold);
    }

    pub(super) fn waited(&mut self, waited: &Waited, record: &Record<Event>) {
        let (who, order) = by(record);
        let Waited { entry, number, channel, ref lines, .. } = *waited;
        self.list.join(Waiting { entry, number, who, channel, lines: lines.clone(), order, since: record.at });
    }

    /// An offer is a hold of the entry's id, of the one who waited.
    pub(super) fn offered(&mut self, places: &mut Places, offered: &Offered, at: Timestamp) {
        let Some(party) = self.list.offer(offered.entry, at, offered.free, offered.passed_over) else { return };
        let Waiting { who, channel, lines, order, .. } = party;
        self.keep(places, offered.entry, Hold { who, channel, lines, order, held_at: at, expires_at: offered.expires_at, extended: false });
    }

    pub(super) fn extended(&mut self, extended: &Extended) {
        if let Some(hold) = self.holds.get_mut(&extended.hold) {
            self.deadlines.remove(&(hold.expires_at, extended.hold));
            self.deadlines.insert((extended.expires_at, extended.hold));
            hold.expires_at = extended.expires_at;
            hold.extended = true;
        }
    }

    fn take_hold(&mut self, places: &mut Places, id: HoldId) -> Option<Hold> {
        let hold = self.holds.remove(&id)?;
        self.deadlines.remove(&(hold.expires_at, id));
        places.held[hold.channel.index()] -= people(&hold.lines);
        Some(hold)
    }

    pub(super) fn ended(&mut self, places: &mut Places, id: HoldId, end: End, at: Timestamp) {
        let Some(hold) = self.take_hold(places, id) else { return };
        self.list.hold_ended(id, hold.who, if end == End::Released { WaitingEnd::Declined } else { WaitingEnd::Lapsed }, at);
        while let Some(oldest) = self.ended_order.front() {
            if self.ended.get(oldest).is_some_and(|(_, ended_at)| at.micros_since(*ended_at) <= REMEMBERED_S * MICROS_PER_S) {
                break;
            }
            self.ended.remove(oldest);
            self.ended_order.pop_front();
        }
        self.ended.insert(id, (end, at));
        self.ended_order.push_back(id);
    }

    pub(super) fn sold(&mut self, places: &mut Places, sold: &Sold, record: &Record<Event>) {
        let (mut who, mut order) = by(record);
        if let Some(hold) = self.take_hold(places, sold.sale) {
            who = hold.who;
            order = order.or(hold.order);
            self.list.hold_ended(sold.sale, who, WaitingEnd::Taken, record.at);
        }
        let count = people(&sold.lines);
        places.sold[sold.channel.index()] += count;
        self.sales.insert(
            sold.sale,
            Sale {
                who,
                channel: sold.channel,
                lines: sold.lines.clone(),
                settlement: sold.settlement.clone(),
                contact: sold.contact,
                order,
                sold_at: record.at,
                refunded_cents: Cents::ZERO,
                tickets: vec![Ticket { issue: 1, state: TicketState::Valid, blocked: None }; count as usize],
            },
        );
    }

    pub(super) fn cancelled(&mut self, places: &mut Places, cancelled: &Cancelled) {
        let Some(sale) = self.sales.get_mut(&cancelled.sale) else { return };
        for &number in &cancelled.tickets {
            if let Some(ticket) = sale.tickets.get_mut(usize::from(number)).filter(|ticket| ticket.state == TicketState::Valid) {
                ticket.state = TicketState::Cancelled;
                places.sold[sale.channel.index()] -= 1;
            }
        }
        sale.refunded_cents = sale.refunded_cents.plus(cancelled.refund_cents);
    }

    pub(super) fn blocked(&mut self, sale: HoldId, tickets: &[u16], reason: Option<Code>) {
        let Some(sale) = self.sales.get_mut(&sale) else { return };
        for &number in tickets {
            if let Some(ticket) = sale.tickets.get_mut(usize::from(number)) {
                ticket.blocked = reason;
            }
        }
    }

    pub(super) fn admitted(&mut self, places: &mut Places, admitted: &Admitted, at: Timestamp) {
        let Some(sale) = self.sales.get_mut(&admitted.ticket.sale()) else { return };
        let Some(ticket) = sale.tickets.get_mut(usize::from(admitted.ticket.number())) else { return };
        places.admitted += u32::from(!matches!(ticket.state, TicketState::Outside { .. }));
        places.inside += 1;
        let Some(scanned_at) = admitted.scanned_at else {
            ticket.state = ticket.state.entered(at, admitted.entry);
            return;
        };
        ticket.state = ticket.state.entered(scanned_at.min(at), admitted.entry);
        if let Some(live) = places.live.as_mut().filter(|live| scanned_at <= live.measured_at) {
            // The sensors had counted them.
            live.inside_then += 1;
        }
        let Admitted { ticket, gate, .. } = *admitted;
        self.scans.insert(Scan { ticket, scanned_at, gate, direction: Direction::In }, None);
    }

    pub(super) fn exited(&mut self, places: &mut Places, exited: &Exited, at: Timestamp) {
        let Some(sale) = self.sales.get_mut(&exited.ticket.sale()) else { return };
        let Some(ticket) = sale.tickets.get_mut(usize::from(exited.ticket.number())) else { return };
        let TicketState::Inside { .. } = ticket.state else { return };
        places.inside -= 1;
        let Some(scanned_at) = exited.scanned_at else {
            ticket.state = ticket.state.left(at);
            return;
        };
        ticket.state = ticket.state.left(scanned_at.min(at));
        if let Some(live) = places.live.as_mut().filter(|live| scanned_at <= live.measured_at) {
            // The sensors had counted them out.
            live.inside_then = live.inside_then.saturating_sub(1);
        }
        let Exited { ticket, gate, .. } = *exited;
        self.scans.insert(Scan { ticket, scanned_at, gate, direction: Direction::Out }, None);
    }

    /// The ticket stays as it is: what the conflict says of people is not counted.
    pub(super) fn conflicted(&mut self, places: &mut Places, conflict: &AdmissionConflict) {
        let AdmissionConflict { ticket, gate, scanned_at, reason } = *conflict;
        let before = self.scans.insert(Scan { ticket, scanned_at, gate, direction: Direction::In }, Some(reason));
        places.conflicts += u32::from(before.flatten().is_none());
    }

    /// The holds whose time is over at `now`, at most `limit` of them, earliest first.
    pub(super) fn due(&self, now: Timestamp, limit: usize) -> impl Iterator<Item = HoldId> {
        self.deadlines.iter().take_while(move |(at, _)| *at <= now).take(limit).map(|(_, hold)| *hold)
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// SL-8, in O(1).
    pub(super) fn holds_have_deadlines(&self) -> bool {
        self.holds.len() == self.deadlines.len()
    }

    pub(super) fn recount(&self, places: &Places) -> Result<(), Broken> {
        let broken = |invariant, what| Err(Broken { invariant, what });
        let (mut held, mut sold, mut admitted, mut inside) = ([0; Channel::COUNT], [0; Channel::COUNT], 0, 0);
        for (id, hold) in &self.holds {
            held[hold.channel.index()] += people(&hold.lines);
            if self.sales.contains_key(id) || self.ended.contains_key(id) {
                return broken("SL-2", "a hold has ended twice");
            }
            if !self.deadlines.contains(&(hold.expires_at, *id)) {
                return broken("SL-8", "a hold has no deadline");
            }
        }
        for (id, sale) in &self.sales {
            if self.ended.contains_key(id) {
                return broken("SL-2", "a hold was both sold and ended");
            }
            if sale.refunded_cents > total(&sale.lines) {
                return broken("SL-6", "more was refunded than paid");
            }
            for ticket in &sale.tickets {
                sold[sale.channel.index()] += u32::from(ticket.state != TicketState::Cancelled);
                admitted += u32::from(matches!(ticket.state, TicketState::Inside { .. } | TicketState::Outside { .. }));
                inside += u32::from(matches!(ticket.state, TicketState::Inside { .. }));
            }
        }
        if self.scans.values().flatten().count() != places.conflicts as usize {
            return broken("SL-5", "the counted conflicts are not those of the scans");
        }
        if (held, sold) != (places.held, places.sold) {
            return broken("SL-5", "the counted places are not those of the holds and tickets");
        }
        if (admitted, inside) != (places.admitted, places.inside) {
            return broken("SL-3", "the counted admissions are not those of the tickets");
        }
        if !self.list.recount(|id| self.holds.contains_key(&id), |id| self.knows(id)) {
            return broken("SL-9", "an entry of the waiting list is not what it is counted as");
        }
        Ok(())
    }
}

fn by(record: &Record<Event>) -> (KeyId, Option<OrderId>) {
    record.envelope.as_ref().map_or((KeyId::SYSTEM, None), |envelope| (envelope.who, envelope.order))
}

/// The written form of a [`Ledger`]: sorted, so that equal states are equal bytes; what follows from the rest is left out.
#[derive(Serialize, Deserialize)]
struct Written<H, S, C, L> {
    holds: Vec<(HoldId, H)>,
    sales: Vec<(HoldId, S)>,
    ended: Vec<(HoldId, End, Timestamp)>,
    scans: C,
    list: L,
}

pub(super) fn sorted<T>(map: &ById<T>) -> Vec<(HoldId, &T)> {
    let mut entries: Vec<_> = map.iter().map(|(id, value)| (*id, value)).collect();
    entries.sort_unstable_by_key(|(id, _)| *id);
    entries
}

impl Serialize for Ledger {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ended = self.ended_order.iter().filter_map(|id| self.ended.get(id).map(|(end, at)| (*id, *end, *at))).collect();
        Written { holds: sorted(&self.holds), sales: sorted(&self.sales), ended, scans: &self.scans, list: &self.list }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Ledger {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::<Hold, Sale, _, WaitingList>::deserialize(deserializer)?;
        Ok(Self {
            deadlines: written.holds.iter().map(|(id, hold)| (hold.expires_at, *id)).collect(),
            holds: written.holds.into_iter().collect(),
            sales: written.sales.into_iter().collect(),
            ended_order: written.ended.iter().map(|(id, ..)| *id).collect(),
            ended: written.ended.into_iter().map(|(id, end, at)| (id, (end, at))).collect(),
            scans: written.scans,
            list: written.list,
        })
    }
}
