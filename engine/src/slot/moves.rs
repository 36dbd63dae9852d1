//! Rules of tickets that go to another slot, and of tickets that go to another person.
//!
//! A move is a flow over two slots, driven by the shell, whose journal is the slot that the tickets leave: `BeginMove` here, `Arrive` there, then `FinishMove`
//! here, or `UndoMove` if the other slot refuses. From the first step on the old tickets are good nowhere, and the new ones exist only if the second was
//! written; so nobody gets in twice, and nobody's ticket is lost.

use std::collections::BTreeMap;

use super::buyer::Had;
use super::event::{Arrived, Event, Line, MoveBegun, MoveUndone, MovedOut, Renamed, line_of, total};
use super::sale::{NAMED_ISSUE, standing_unblocked, unblocked};
use super::{CancelCause, Command, MoveStage, Refusal, Sale, Slot};
use crate::channel::Channel;
use crate::ids::{Code, HoldId, KeyId, PersonId};
use crate::money::Cents;
use crate::time::Timestamp;

/// What became of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MoveFate {
    /// It is not known yet whether the tickets have arrived.
    UnderWay,
    /// They have.
    Done,
    /// They have not, and stand as before.
    Undone(Refusal),
}

impl Slot {
    /// A move begins for tickets that could also be let in: not used, not cancelled, not blocked, and only within the museum and at the price that was paid. The
    /// slot may be closed: that is when people want to move. What is under review is moved by staff alone, who see whose it is, and its review goes along.
    pub(super) fn begin_move(
        &self,
        now: Timestamp,
        (id, owner): (HoldId, Option<KeyId>),
        tickets: &[u16],
        (arrival, via): (HoldId, Channel),
        prices: &[(Code, Cents)],
    ) -> Result<Vec<Event>, Refusal> {
        if arrival.slot() == self.opening.slot {
            return Err(Refusal::SameSlot);
        }
        if arrival.slot().museum() != self.opening.slot.museum() {
            return Err(Refusal::OtherMuseum);
        }
        let sale = self.sale_to_change(now, id, owner)?;
        // The steps of a flow are known by this id: it is used once.
        if sale.moves.iter().any(|moved| moved.begun.arrival == arrival) || self.fate_of(arrival).is_some() {
            return Err(Refusal::IdTaken);
        }
        let tickets = if owner.is_none() { unblocked(sale, tickets)? } else { standing_unblocked(now, sale, tickets)? };
        let lines = lines_of(&sale.lines, &tickets);
        at_the_same_price(&lines, prices)?;
        let refund_percent = self.refund_percent(now, sale, CancelCause::Visitor);
        Ok(vec![Event::MoveBegun(MoveBegun { sale: id, arrival, tickets, lines, via, refund_percent })])
    }

    /// Takes in tickets of another slot. Places count as for a sale through the channel that sold them. Whether sales are open goes by the channel of whoever moves them, so
    /// that a desk helps those who come too late for the web. If the move is to be reviewed, or a review comes along, the same record puts it under review: no gate finds it in
    /// between, and no crash loses it.
    pub(super) fn arrive(
        &self,
        now: Timestamp,
        arrived: &Arrived,
        via: Channel,
        (asks_review, review_until): (bool, Option<Timestamp>),
    ) -> Result<Vec<Event>, Refusal> {
        // First of all: whoever asks again after a day must hear that they have arrived, whatever else has changed.
        if self.ledger.sales.contains_key(&arrived.sale) {
            return Err(Refusal::IdTaken);
        }
        let party = self.party(arrived.sale, &arrived.lines)?;
        self.on_sale(now, via)?;
        self.places_for(now, arrived.channel, party)?;
        self.room_for_buyer(arrived.buyer.into_iter(), arrived.channel, Had { people: party, holds: 0 })?;
        let review = self.review_of_arrival(now, arrived.sale, asks_review, review_until);
        Ok(std::iter::once(Event::Arrived(arrived.clone())).chain(names_of(arrived)).chain(review).collect())
    }

    pub(super) fn finish_move(&self, arrival: HoldId) -> Result<Vec<Event>, Refusal> {
        let begun = self.begun(arrival).ok_or(Refusal::NotMoving)?;
        Ok(vec![Event::MovedOut(MovedOut { sale: begun.sale, arrival, tickets: begun.tickets.clone(), carried_cents: total(&begun.lines) })])
    }

    pub(super) fn undo_move(&self, arrival: HoldId, why: &Refusal) -> Result<Vec<Event>, Refusal> {
        let begun = self.begun(arrival).ok_or(Refusal::NotMoving)?;
        Ok(vec![Event::MoveUndone(MoveUndone { sale: begun.sale, arrival, tickets: begun.tickets.clone(), why: why.clone() })])
    }

    /// Another person's name takes no place: it may be changed in a full slot, and after sales have ended, until the slot is over.
    pub(super) fn rename(
        &self,
        now: Timestamp,
        id: HoldId,
        owner: Option<KeyId>,
        tickets: &[u16],
        holder: Option<PersonId>,
    ) -> Result<Vec<Event>, Refusal> {
        let sale = self.sale_to_change(now, id, owner)?;
        let numbers = standing_unblocked(now, sale, tickets)?;
        let next = |&number: &u16| Some((number, sale.tickets[usize::from(number)].issue.checked_add(1)?));
        let tickets: Vec<(u16, u16)> = numbers.iter().map(next).collect::<Option<_>>().ok_or(Refusal::IssuesUsedUp)?;
        let stays = |person| Some(person) == holder || sale.names().any(|(number, other)| other == person && numbers.binary_search(&number).is_err());
        let mut replaced: Vec<PersonId> =
            numbers.iter().filter_map(|number| sale.holders.get(number).copied()).filter(|person| !stays(*person)).collect();
        replaced.sort_unstable();
        replaced.dedup();
        Ok(vec![Event::Renamed(Renamed { sale: id, tickets, holder, replaced })])
    }

    /// A sale of the caller whose slot is not over.
    fn sale_to_change(&self, now: Timestamp, id: HoldId, owner: Option<KeyId>) -> Result<&Sale, Refusal> {
        let sale = self.sale_of(id).filter(|sale| owner.is_none_or(|owner| owner == sale.who)).ok_or(Refusal::UnknownSale)?;
        if now >= self.opening.end { Err(Refusal::SlotOver { ended_at: self.opening.end }) } else { Ok(sale) }
    }

    /// How many moves are under way.
    #[must_use]
    pub fn moving(&self) -> u32 {
        self.ledger.moving.len() as u32
    }

    /// The moves under way, by what the tickets are to become.
    pub fn moves_under_way(&self) -> impl Iterator<Item = HoldId> {
        self.ledger.moving.keys().copied()
    }

    /// A move that is under way.
    #[must_use]
    pub fn begun(&self, arrival: HoldId) -> Option<&MoveBegun> {
        let sale = self.sale_of(*self.ledger.moving.get(&arrival)?)?;
        sale.moves.iter().map(|found| &found.begun).find(|begun| begun.arrival == arrival)
    }

    /// The second step of a move that has begun here, or would begin: whether a review is asked for is known of one that has. What the tickets are under here goes along, as it is
    /// now: a verdict may have ended it, or begun it anew, since they left.
    #[must_use]
    pub fn arrival(&self, begun: &MoveBegun) -> Option<Command> {
        let sale = self.sale_of(begun.sale)?;
        let arrived = Arrived {
            sale: begun.arrival,
            from: begun.sale,
            who: sale.who,
            order: sale.order,
            channel: sale.channel,
            lines: begun.lines.clone(),
            contact: sale.contact,
            holders: sale.holders.iter().filter_map(|(number, person)| Some((begun.ticket(*number)?.number(), *person))).collect(),
            refund_percent: begun.refund_percent,
            buyer: sale.buyer,
        };
        let asks_review = sale.moves.iter().any(|found| found.begun.arrival == begun.arrival && found.stage == MoveStage::UnderWayToReview);
        let review_until = begun.tickets.iter().filter_map(|number| sale.tickets.get(usize::from(*number))?.review_until).max();
        let named = sale.buyer.is_some() || self.opening.policy.limits.buyer_required;
        Some(Command::Arrive { arrived: Box::new(arrived), via: begun.via, asks_review, review_until, named })
    }

    /// What became of the move to `arrival`, for at least a day; none if there was none.
    #[must_use]
    pub fn fate_of_move(&self, sale: HoldId, arrival: HoldId) -> Option<MoveFate> {
        let done = |sale: &Sale| sale.moves.iter().any(|found| found.is_done() && found.begun.arrival == arrival);
        self.fate_of(arrival).or_else(|| self.sale_of(sale).is_some_and(done).then_some(MoveFate::Done))
    }

    fn fate_of(&self, arrival: HoldId) -> Option<MoveFate> {
        if self.ledger.moving.contains_key(&arrival) {
            return Some(MoveFate::UnderWay);
        }
        let why = self.ledger.undone.iter().rev().find(|(undone, ..)| *undone == arrival).map(|(_, why, _)| why.clone());
        why.map(MoveFate::Undone)
    }
}

/// The names that tickets bring along stand on the second issue of their codes, as on what is sold with a name: of the first a gate looks for none. Those that arrived before this
/// was so keep the first, which people have.
fn names_of(arrived: &Arrived) -> impl Iterator<Item = Event> {
    let mut named: BTreeMap<PersonId, Vec<(u16, u16)>> = BTreeMap::new();
    for (number, person) in &arrived.holders {
        named.entry(*person).or_default().push((*number, NAMED_ISSUE));
    }
    let sale = arrived.sale;
    named.into_iter().map(move |(person, tickets)| Event::Renamed(Renamed { sale, tickets, holder: Some(person), replaced: Vec::new() }))
}

/// The lines of some tickets of a sale; their numbers ascend, as the lines do.
fn lines_of(lines: &[Line], numbers: &[u16]) -> Vec<Line> {
    let mut chosen: Vec<Line> = Vec::new();
    for line in numbers.iter().filter_map(|&number| line_of(lines, number)) {
        match chosen.last_mut().filter(|last| last.category == line.category) {
            Some(last) => last.count += 1,
            None => chosen.push(Line { count: 1, ..line.clone() }),
        }
    }
    chosen
}

/// Money does not change hands when tickets move, so they must cost there what was paid here.
fn at_the_same_price(lines: &[Line], prices: &[(Code, Cents)]) -> Result<(), Refusal> {
    let price = |line: &Line| prices.iter().find(|(category, _)| *category == line.category).map(|(_, price)| price.times(u32::from(line.count)));
    if let Some(line) = lines.iter().find(|line| price(line).is_none()) {
        return Err(Refusal::NotSoldThere { category: line.category });
    }
    let (paid_cents, price_cents) = (total(lines), lines.iter().filter_map(price).sum());
    if paid_cents == price_cents { Ok(()) } else { Err(Refusal::PriceDiffers { paid_cents, price_cents }) }
}
