//! What is kept of a slot, held against itself: the counters, and whatever else follows from holds, sales and tickets, counted anew. Nothing is changed here.

use std::collections::BTreeMap;

use super::super::buyer::Had;
use super::super::capacity::Places;
use super::super::event::{line_of, people, total};
use super::super::{Broken, Channel};
use super::{Ledger, Sale, Ticket, TicketState};
use crate::envelope::Digest;
use crate::ids::HoldId;
use crate::money::Cents;
use crate::spread::Spread;

impl Ledger {
    /// SL-8, in O(1).
    pub(in crate::slot) fn holds_have_deadlines(&self) -> bool {
        self.holds.len() == self.deadlines.len()
    }

    pub(in crate::slot) fn recount(&self, places: &Places) -> Result<(), Broken> {
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
            if sale.refunded_cents.plus(sale.carried_cents) > total(&sale.lines) {
                return broken("SL-6", "more was refunded or carried out than paid");
            }
            self.recount_moves(*id, sale)?;
            for ticket in &sale.tickets {
                sold[sale.channel.index()] += u32::from(!matches!(ticket.state, TicketState::Cancelled | TicketState::Moved));
                admitted += u32::from(matches!(ticket.state, TicketState::Inside { .. } | TicketState::Outside { .. }));
                inside += u32::from(matches!(ticket.state, TicketState::Inside { .. }));
            }
        }
        if self.scans.values().filter(|taken| taken.judged.conflict().is_some()).count() != places.conflicts as usize {
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
        if self.sales.values().flat_map(|sale| &sale.moves).filter(|found| !found.is_done()).count() != self.moving.len() {
            return broken("SL-5", "the moves under way are not those of the sales");
        }
        if self.rests.places() != places.resting {
            return broken("SL-13", "the counted places that rest are not those that do");
        }
        if self.buyers != self.buyers_counted() {
            return broken("SL-11", "what a buyer has is not what it is counted as");
        }
        self.recount_owed()
    }

    /// SL-10: what is owed and what was handed over make up what was refunded.
    fn recount_owed(&self) -> Result<(), Broken> {
        let mut owed: BTreeMap<HoldId, Cents> = BTreeMap::new();
        for (&(sale, _), &cents) in &self.owed {
            let sum = owed.entry(sale).or_insert(Cents::ZERO);
            *sum = sum.plus(cents);
        }
        for (id, sale) in &self.sales {
            let told = owed.remove(id).unwrap_or(Cents::ZERO).plus(sale.handed_over_cents);
            if told != sale.refunded_cents {
                return Err(Broken { invariant: "SL-10", what: "a refund is neither owed a word nor handed over, or both" });
            }
        }
        if owed.is_empty() { Ok(()) } else { Err(Broken { invariant: "SL-10", what: "a refund is owed of no sale" }) }
    }

    /// Whether the tickets of a sale that are moving or have moved are those of its moves, and took their money with them.
    fn recount_moves(&self, id: HoldId, sale: &Sale) -> Result<(), Broken> {
        let broken = |invariant, what| Err(Broken { invariant, what });
        for found in &sale.moves {
            let expected = if found.is_done() { TicketState::Moved } else { TicketState::Moving };
            let state = |number: &u16| sale.tickets.get(usize::from(*number)).map(|ticket| ticket.state);
            if found.begun.tickets.iter().any(|number| state(number) != Some(expected)) {
                return broken("SL-5", "a ticket's state is not that of its move");
            }
            if !found.is_done() && self.moving.get(&found.begun.arrival) != Some(&id) {
                return broken("SL-5", "the moves under way are not those of the sales");
            }
        }
        let gone = |(number, ticket): (u16, &Ticket)| matches!(ticket.state, TicketState::Moving | TicketState::Moved).then_some(number);
        let mut carried = Cents::ZERO;
        for number in (0..).zip(&sale.tickets).filter_map(gone) {
            if sale.moved_to(number).is_none() {
                return broken("SL-5", "a ticket moves nowhere");
            }
            if sale.tickets[usize::from(number)].state == TicketState::Moved {
                carried = carried.plus(line_of(&sale.lines, number).map_or(Cents::ZERO, |line| line.price_cents));
            }
        }
        if carried == sale.carried_cents { Ok(()) } else { broken("SL-6", "what was carried out is not what the moved tickets cost") }
    }

    /// What each buyer has, counted anew.
    pub(super) fn buyers_counted(&self) -> Spread<Digest, Had> {
        let mut counted: Spread<Digest, Had> = Spread::default();
        for hold in self.holds.values() {
            let Some(buyer) = hold.buyer else { continue };
            counted.update(buyer, |had| {
                had.people += people(&hold.lines);
                had.holds += 1;
            });
        }
        for sale in self.sales.values() {
            let Some(buyer) = sale.buyer else { continue };
            let stands = |ticket: &&Ticket| !matches!(ticket.state, TicketState::Cancelled | TicketState::Moved);
            let standing = sale.tickets.iter().filter(stands).count() as u32;
            counted.update(buyer, |had| had.people += standing);
        }
        counted
    }
}
