//! What keeps a ticket from the gate: that it is blocked, or looked at, or that its code was issued anew. How all this was before is kept for scans that come in late.

use std::collections::BTreeMap;

use super::super::event::{BlockLifted, Blocked, Unblocked};
use super::super::gate::SCAN_AGE_MAX_S;
use super::super::passages::Bars;
use super::{FRAUD, Ledger, Ticket};
use crate::ids::{Code, HoldId, TicketId};
use crate::time::Timestamp;

impl Ledger {
    /// All tickets of a sale are looked at together.
    pub(in crate::slot) fn review_until(&mut self, id: HoldId, until: Option<Timestamp>, at: Timestamp) {
        let Some(sale) = self.sales.get_mut(&id) else { return };
        for (number, ticket) in (0..).zip(&mut sale.tickets) {
            let before = Bars::of(ticket);
            ticket.review_until = until;
            keep_was(&mut self.was, id.ticket(number), before, Bars::of(ticket), at);
        }
    }

    /// What of a ticket a gate would have looked at then.
    pub(in crate::slot) fn bars_at(&self, id: TicketId, ticket: &Ticket, at: Timestamp) -> Bars {
        let was = self.was.get(&id).and_then(|was| was.iter().find(|(until, _)| at < *until));
        was.map_or_else(|| Bars::of(ticket), |(_, bars)| *bars)
    }

    pub(in crate::slot) fn blocked(&mut self, blocked: &Blocked, at: Timestamp) {
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

    pub(in crate::slot) fn unblocked(&mut self, unblocked: &Unblocked, at: Timestamp) {
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

    pub(in crate::slot) fn block_lifted(&mut self, lifted: &BlockLifted, at: Timestamp) {
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
}

fn is_fraud(reason: Code) -> bool {
    reason.as_str() == FRAUD
}

/// Keeps how a ticket was until now, before it became something else. Within one instant only the last counts.
pub(super) fn keep_was(was: &mut BTreeMap<TicketId, Vec<(Timestamp, Bars)>>, ticket: TicketId, before: Bars, after: Bars, at: Timestamp) {
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
