//! Rules at the gate: the right museum and time, once only unless the policy lets people come back, not cancelled, not blocked, and room in the building.

use super::event::{Admitted, Blocked, Event, Exited, Unblocked, line_of};
use super::sale::chosen;
use super::{Refusal, Slot, TicketState};
use crate::ids::{Code, HoldId, MuseumId, TicketId};
use crate::time::Timestamp;

impl Slot {
    pub(super) fn admit(&self, now: Timestamp, id: TicketId, issue: Option<u16>, gate: Code, museum: MuseumId) -> Result<Vec<Event>, Refusal> {
        if id.slot().museum() != museum {
            return Err(Refusal::WrongMuseum);
        }
        let (sale, ticket) = self.ticket_of(id).ok_or(Refusal::UnknownTicket)?;
        if issue.is_some_and(|issue| issue != ticket.issue) {
            return Err(Refusal::CodeOutdated { issue: ticket.issue });
        }
        if let Some(reason) = ticket.blocked.filter(|_| ticket.state != TicketState::Cancelled) {
            return Err(Refusal::TicketBlocked { reason });
        }
        let entry = match ticket.state {
            TicketState::Cancelled => return Err(Refusal::TicketCancelled),
            TicketState::Inside { since, .. } => return Err(Refusal::TicketInside { since }),
            TicketState::Valid => {
                self.gate_open(now)?;
                1
            }
            TicketState::Outside { first_at, entries, .. } => {
                let reentry = &self.opening.policy.reentry;
                if entries > reentry.times_max || now > first_at.plus_seconds(i64::from(reentry.within_s)) {
                    return Err(Refusal::TicketUsed { at: first_at });
                }
                entries.saturating_add(1)
            }
        };
        if let Some(inside) = self.places.people_upper(now)
            && let Some(ceiling) = self.places.live.and_then(|live| live.ceiling)
            && inside >= ceiling
        {
            return Err(Refusal::Wait { inside, ceiling });
        }
        let line = line_of(&sale.lines, id.number()).ok_or(Refusal::UnknownTicket)?;
        Ok(vec![Event::Admitted(Admitted { ticket: id, gate, entry, category: line.category, proof: line.proof })])
    }

    /// The time window of a first admission.
    fn gate_open(&self, now: Timestamp) -> Result<(), Refusal> {
        let policy = &self.opening.policy;
        let opens_at = self.opening.slot.start().plus_seconds(-i64::from(policy.admit_early_s));
        let closed_at = self.opening.end.plus_seconds(i64::from(policy.admit_late_s));
        if now < opens_at {
            Err(Refusal::TooEarly { opens_at })
        } else if now > closed_at {
            Err(Refusal::TooLate { closed_at })
        } else {
            Ok(())
        }
    }

    pub(super) fn exit(&self, id: TicketId, gate: Code, museum: MuseumId) -> Result<Vec<Event>, Refusal> {
        if id.slot().museum() != museum {
            return Err(Refusal::WrongMuseum);
        }
        let (_, ticket) = self.ticket_of(id).ok_or(Refusal::UnknownTicket)?;
        match ticket.state {
            TicketState::Inside { .. } => Ok(vec![Event::Exited(Exited { ticket: id, gate })]),
            _ => Err(Refusal::NotInside),
        }
    }

    pub(super) fn block(&self, id: HoldId, tickets: &[u16], reason: Code) -> Result<Vec<Event>, Refusal> {
        let sale = self.ledger.sales.get(&id).ok_or(Refusal::UnknownSale)?;
        let tickets = chosen(sale, tickets, |ticket| ticket.state != TicketState::Cancelled)?;
        if tickets.is_empty() || tickets.iter().any(|&number| sale.tickets[usize::from(number)].state == TicketState::Cancelled) {
            return Err(Refusal::TicketCancelled);
        }
        Ok(vec![Event::Blocked(Blocked { sale: id, tickets, reason })])
    }

    pub(super) fn unblock(&self, id: HoldId, tickets: &[u16]) -> Result<Vec<Event>, Refusal> {
        let sale = self.ledger.sales.get(&id).ok_or(Refusal::UnknownSale)?;
        let mut tickets = chosen(sale, tickets, |ticket| ticket.blocked.is_some())?;
        tickets.retain(|&number| sale.tickets[usize::from(number)].blocked.is_some());
        if tickets.is_empty() { Err(Refusal::NotBlocked) } else { Ok(vec![Event::Unblocked(Unblocked { sale: id, tickets })]) }
    }
}
