//! Tickets that go to another slot, and names that change: how far each move has come, and what goes along.

use std::collections::{BTreeMap, BTreeSet};

use tornello_engine::ids::{HoldId, SlotId, TicketId};
use tornello_engine::slot::{Arrived, CancelCause, MoveBegun, Renamed};
use tornello_engine::time::Timestamp;

use super::super::rule;
use super::{Move, Naive, Stage, Ticket};

impl Naive {
    /// Whether a ticket has arrived in another slot.
    pub(super) fn is_gone_for_good(&mut self, id: TicketId) -> Result<bool, String> {
        let gone = self.ticket(id)?.gone;
        Ok(gone.is_some_and(|arrival| self.moves[&arrival].stage == Stage::Done))
    }

    pub(super) fn rename(&mut self, at: Timestamp, renamed: &Renamed) -> Result<(), String> {
        rule(at < self.opening.end, "a ticket is renamed when the slot is over")?;
        rule(!renamed.tickets.is_empty() && renamed.tickets.is_sorted(), "tickets are not renamed in order")?;
        let sale = self.sales.get_mut(&renamed.sale).ok_or("an unknown sale is renamed")?;
        let mut before = BTreeSet::new();
        for (number, issue) in &renamed.tickets {
            let ticket = sale.tickets.get_mut(usize::from(*number)).ok_or("an unknown ticket is renamed")?;
            rule(ticket.stands() && !ticket.is_blocked() && !ticket.is_reviewed(at), "a ticket that does not stand is renamed")?;
            rule(*issue == ticket.issue + 1, "a code is not issued anew, one by one")?;
            before.extend(ticket.holder);
            ticket.changes(at).issue = *issue;
            ticket.holder = renamed.holder;
        }
        let replaced = before.into_iter().filter(|person| sale.tickets.iter().all(|ticket| ticket.cancelled || ticket.holder != Some(*person)));
        rule(replaced.eq(renamed.replaced.iter().copied()), "other names were replaced than is said")
    }

    pub(super) fn begin_move(&mut self, at: Timestamp, begun: &MoveBegun, (by_staff, suspected): (bool, bool)) -> Result<(), String> {
        let (slot, to) = (self.opening.slot, begun.arrival.slot());
        rule(at < self.opening.end, "a ticket moves when the slot is over")?;
        rule(to != slot && to.museum() == slot.museum(), "tickets move where they may not")?;
        rule(i64::from(begun.refund_percent) == self.percent(at, begun.sale, CancelCause::Visitor), "a move takes another refund along")?;
        rule(!begun.tickets.is_empty() && begun.tickets.is_sorted(), "tickets do not move in order")?;
        let sale = self.sales.get_mut(&begun.sale).ok_or("tickets of no sale move")?;
        let mut lines = begun.lines.iter().flat_map(|line| (0..line.count).map(move |_| line));
        for number in &begun.tickets {
            let ticket = sale.tickets.get_mut(usize::from(*number)).ok_or("a ticket moves that was never sold")?;
            rule(ticket.stands() && !ticket.is_blocked(), "a ticket that does not stand moves")?;
            rule(by_staff || !ticket.is_reviewed(at), "a ticket is moved that somebody looks at, and not by staff")?;
            let line = lines.next().map(|line| (line.category, line.price_cents, line.proof));
            rule(line == Some((ticket.line.category, ticket.line.price_cents, ticket.line.proof)), "something else moves than was sold")?;
            ticket.gone = Some(begun.arrival);
        }
        rule(lines.next().is_none(), "more moves than tickets")?;
        let moved = Move { begun: begun.clone(), at, suspected, stage: Stage::Begun };
        rule(self.moves.insert(begun.arrival, moved).is_none(), "two moves of one id")
    }

    /// A move ends; answers what was paid for its tickets.
    pub(super) fn end_move(&mut self, (sale, arrival): (HoldId, HoldId), tickets: &[u16], stage: Stage) -> Result<i64, String> {
        let moved = self.moves.get_mut(&arrival).ok_or("a move ends that never began")?;
        rule(moved.stage == Stage::Begun, "a move ends twice")?;
        rule((moved.begun.sale, &moved.begun.tickets[..]) == (sale, tickets), "a move ends for other tickets than it began for")?;
        moved.stage = stage;
        let mut cents = 0;
        for number in tickets {
            let ticket = self.ticket(sale.ticket(*number))?;
            rule(ticket.gone == Some(arrival) && ticket.entries == 0 && !ticket.cancelled, "a ticket changes while it moves")?;
            cents += ticket.line.price_cents.get();
            if stage == Stage::Undone {
                ticket.gone = None;
            } else {
                ticket.holder = None;
            }
        }
        Ok(cents)
    }

    /// What arrives in the other slot, if this move goes on.
    pub fn departs(&self, arrival: HoldId) -> Option<Arrived> {
        let begun = &self.moves.get(&arrival).filter(|moved| moved.stage == Stage::Begun)?.begun;
        let sale = self.sales.get(&begun.sale)?;
        let holder = |(place, number): (u16, &u16)| sale.tickets[usize::from(*number)].holder.map(|person| (place, person));
        Some(Arrived {
            sale: arrival,
            from: begun.sale,
            who: sale.who,
            order: None,
            channel: sale.channel,
            lines: begun.lines.clone(),
            contact: sale.contact,
            holders: (0..).zip(&begun.tickets).filter_map(holder).collect(),
            refund_percent: begun.refund_percent,
            buyer: sale.buyer,
        })
    }

    /// Until when the tickets of a move were under review, at any time since they left: the step by which they arrive may have been asked for at any of them.
    pub fn reviewed_since(&self, arrival: HoldId) -> Vec<Option<Timestamp>> {
        let Some(Move { begun, at, .. }) = self.moves.get(&arrival) else { return Vec::new() };
        let tickets = self.sales.get(&begun.sale).map(|sale| sale.tickets.as_slice()).unwrap_or_default();
        let moved = begun.tickets.iter().filter_map(|number| tickets.get(usize::from(*number)));
        let since = |ticket: &Ticket| {
            let was = ticket.was.iter().filter(|(until, _)| until >= at).map(|(_, (_, _, review_until))| *review_until);
            was.chain([ticket.review_until]).collect::<Vec<_>>()
        };
        moved.flat_map(since).collect()
    }

    /// When a review that would last until then is over, in time for the gate; none if that is not to come.
    pub(super) fn in_time(&self, at: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let opens_at = self.opening.slot.start().plus_seconds(-i64::from(self.opening.policy.admit_early_s));
        Some(until.min(opens_at.plus_seconds(-1_800))).filter(|until| *until > at)
    }

    /// When the review is over under which tickets arrive: the one that has come along with them, or one of the move itself if that was suspected. None if there is neither, or
    /// no time.
    pub(super) fn goes_on(&self, at: Timestamp, suspected: bool, along: Option<Timestamp>) -> Option<Timestamp> {
        let own = suspected.then(|| at.plus_seconds(self.opening.policy.limits.review_s.into()));
        own.max(along).and_then(|until| self.in_time(at, until))
    }

    /// Whether the ticket has left for another slot for good.
    pub(super) fn has_moved(&self, ticket: &Ticket) -> bool {
        ticket.gone.is_some_and(|arrival| self.moves[&arrival].stage == Stage::Done)
    }

    /// How many moves are under way.
    pub fn moving(&self) -> usize {
        self.moves.values().filter(|moved| moved.stage == Stage::Begun).count()
    }
}

/// Nobody has two tickets that stand, or none, because of a move between these slots; answers how many moves are under way.
pub fn moves_add_up(slots: &BTreeMap<SlotId, Naive>) -> Result<usize, String> {
    for (arrival, moved) in slots.values().flat_map(|naive| &naive.moves) {
        let there = slots.get(&arrival.slot()).and_then(|naive| naive.sales.get(arrival)).map(|sale| sale.tickets.len());
        let adds_up = match moved.stage {
            Stage::Begun => true,
            Stage::Done => there == Some(moved.begun.tickets.len()),
            Stage::Undone => there.is_none(),
        };
        rule(adds_up, "a move is neither done nor undone").map_err(|wrong| format!("{wrong}: {:?}", moved.begun))?;
    }
    Ok(slots.values().map(Naive::moving).sum())
}
